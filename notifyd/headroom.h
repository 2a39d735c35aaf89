/* SPDX-License-Identifier: BSD-3-Clause */
/* How much can still be appended to the journal before events are lost: mboxevent_max_size,
 * mboxevent_min_free and the file system, as journal_append() obeys them. */
#ifndef NOTIFYD_HEADROOM_H
#define NOTIFYD_HEADROOM_H

#include "../lib/conf.h"

struct headroom {
	uint64_t used, max; /* bytes of all segments, and what they may be */
	uint64_t left;      /* bytes until events are refused */
	uint64_t segments;
	const char *option; /* which one is the narrowest */
};

/* -1 with errno when the file system can't be asked. */
int headroom_measure(const struct conf_scope *mboxevent, int journalfd, struct headroom *room_r);

#endif
