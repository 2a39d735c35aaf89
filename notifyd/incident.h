/* SPDX-License-Identifier: BSD-3-Clause */
/* An incident: from the first failure of a far side until all went well for INCIDENT_STEADY_MS.
 * Each reason is told once in it, and again while it lasts. A queue that is full now and again, and
 * takes some events in between, is one incident. Times are monotonic milliseconds. Blocks nowhere.
 */
#ifndef NOTIFYD_INCIDENT_H
#define NOTIFYD_INCIDENT_H

#include <stdbool.h>
#include <stdint.h>

#define INCIDENT_REASONS   8 /* several hosts are down, each in its way */
#define INCIDENT_STEADY_MS 5000
#define INCIDENT_REMIND_MS 600000 /* one that lasts is told again */
#define INCIDENT_WAIT_MAX  30000  /* before the next try */

/* Begins all zero: none is under way. */
struct incident {
	int wait;        /* milliseconds, the last one; 0: none */
	int64_t failing; /* since when; 0: it is not */
	int64_t well;    /* since when it works again; 0: it does not */
	struct {
		char why[256];
		int64_t told;
	} reasons[INCIDENT_REASONS];
};

/* It failed. True: this reason is to be told. */
bool incident_failed(struct incident *i, const char *why, int64_t now);

/* Milliseconds before the next try, with jitter: twice as long each time. slow: only an admin can
 * mend it. After incident_failed(), once. */
int incident_wait(struct incident *i, bool slow);

/* It works (again). */
void incident_well(struct incident *i, int64_t now);

/* True once, when it is over; *seconds_r: how long nothing worked. */
bool incident_over(struct incident *i, int64_t now, int64_t *seconds_r);

#endif
