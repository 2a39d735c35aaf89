/* SPDX-License-Identifier: BSD-3-Clause */
/* Sends dead letters again through the sink's driver, in the order in which they died, those that
 * are marked for it. Each goes out with the id it had. */
#ifndef NOTIFYD_RETRY_H
#define NOTIFYD_RETRY_H

#include "dead.h"
#include "headers.h"
#include "sink.h"

struct retry {
	struct sink *sink; /* closed, before and after */
	struct dead *dead;
	struct headers *headers; /* NULL: none are added */
	/* Called between two flushes, after at most a second; false: stop. */
	bool (*serve)(void *ctx, const struct retry *r);
	void *ctx;

	uint64_t from; /* 0 at first: the letter to go on with at the next call */
	uint64_t delivered, discarded, failed;
};

/* SINK_OK: all were tried, or serve() said stop; SINK_RETRY with sink->why: to be called again
 * later. Blocks as its driver's calls do. */
int retry_run(struct retry *r);

#endif
