/* SPDX-License-Identifier: BSD-3-Clause */
/* How much of its file system a journal may take: mboxevent_max_size, mboxevent_min_free.
 * Used inside mail processes, by the rules of journal.h. */
#ifndef MBEV_ROOM_H
#define MBEV_ROOM_H

#include "journal.h"

#include <sys/types.h>

struct room {
	uint64_t max;     /* bytes that all segments together may have */
	uint64_t segment; /* bytes of these that a new one may grow to */
	uint64_t used;    /* bytes that they have */
	uint64_t newest;  /* of these, the newest one's */
	size_t segments;
	uint64_t free, least; /* bytes of the file system that are free, and that are to stay so */
};

/* bases, n: as segment_list() gave them. 0, or -1 with errno. */
int room_measure(int dirfd, const struct journal_options *opt, const uint64_t *bases, ssize_t n,
                 struct room *room_r);

/* Why no further segment may be begun (static), and as what a loss then counts; NULL: one may. */
const char *room_refusal(const struct room *room, enum lost_reason *reason_r);

/* --- for notifyd and notifyctl --- */

/* Bytes that can be appended before the first event is refused, about: what another program writes
 * to the file system is not known. *why_r: which option it will be. -1 with errno. */
int64_t room_left(int dirfd, const struct journal_options *opt, const char **why_r);

/* Where the oldest segments should end for writers not to be refused soon: before that is asked
 * again they may fill the newest one and two more. 0: there is room. */
uint64_t room_relief(int dirfd, const struct journal_options *opt);

#endif
