/* SPDX-License-Identifier: BSD-3-Clause */
/* An incident that may recur thousands of times a second: told at once the first time, then at
 * most once a pause with how often it happened. */
#ifndef NOTIFYD_REPEATED_H
#define NOTIFYD_REPEATED_H

#include "log.h"

struct repeated {
	enum log_level level;
	const char *what; /* "malformed requests" */
	uint64_t total, untold;
	int64_t told;    /* monotonic milliseconds of the last line, 0: never */
	int64_t pause;   /* before the next, milliseconds; 0: REPEATED_PAUSE */
	int64_t longest; /* the pause doubles with each line up to this; 0: it stays */
	char why[200];   /* of the last one */
};

#define REPEATED_PAUSE (60 * 1000)

void repeated_add(struct repeated *r, int64_t now_ms, const char *why);
/* Tells what is due; to be called every few seconds. */
void repeated_tick(struct repeated *r, int64_t now_ms);
/* It is over: tells what is untold and begins anew; the number since it began. */
uint64_t repeated_end(struct repeated *r, int64_t now_ms);

#endif
