/* SPDX-License-Identifier: BSD-3-Clause */
/* What the metrics process looks at, and what it answers from it. */
#ifndef NOTIFYD_WATCH_H
#define NOTIFYD_WATCH_H

#include "follower.h"
#include "settings.h"

struct watch {
	const struct settings *settings; /* the sinks' own options are not checked */
	const char *journal;
	int journalfd;
	struct tally *tally;
	struct follower *follower;
};

/* Prometheus's text format, version 0.0.4. Begins the follower anew where a cursor was moved back.
 */
void watch_metrics(const struct watch *w, struct buf *out);

/* notifyd is alive and the journal can be appended to. What is wrong, a line each, or "ok". */
bool watch_healthy(const struct watch *w, struct buf *out);

/* Each required sink has a worker that runs and has not just died for the second time in a row.
 * Whether its far side is reached is another matter. Likewise. */
bool watch_ready(const struct watch *w, struct buf *out);

/* The name of a sink's driver. */
const char *watch_type(const struct sink *sink);

#endif
