/* SPDX-License-Identifier: BSD-3-Clause */
/* Brings the journal to the disk each mboxevent_sync, in a thread of the loop's, since a disk may
 * take its time; tells log, metrics and status what came of it. */
#ifndef NOTIFYD_SYNCER_H
#define NOTIFYD_SYNCER_H

#include "keeper.h"
#include "tally.h"

#include <uv.h>

struct syncer {
	int journalfd;
	struct tally *tally; /* NULL: nothing is counted */
	struct status *status;
	uv_timer_t timer;
	uv_work_t work;
	bool busy;
	int error, told; /* of the last sync, and that was logged last; errno */
	struct keeper_synced synced;
	uint64_t rescued;      /* of synced, as it was told */
	uint64_t again, pause; /* after a failure: loop time, milliseconds */
	int64_t took;          /* microseconds of the last sync; -1: there was nothing to sync */
};

/* dir: the journal's, open as journalfd. */
void syncer_init(struct syncer *s, uv_loop_t *loop, const char *dir, int journalfd,
                 struct tally *tally);
/* interval: milliseconds; 0 or less: writers sync each append themselves. */
void syncer_set(struct syncer *s, int64_t interval);
/* Once the loop has ended: a last time. */
void syncer_end(struct syncer *s);

#endif
