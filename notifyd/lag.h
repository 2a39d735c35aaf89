/* SPDX-License-Identifier: BSD-3-Clause */
/* How far readers are behind the end of a journal. */
#ifndef NOTIFYD_LAG_H
#define NOTIFYD_LAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lag {
	uint64_t pos;    /* in: everything below is delivered */
	uint64_t events; /* out: not delivered, */
	uint64_t bytes;  /* their size in the segments, */
	int64_t oldest;  /* and when the first of them was appended, microseconds; 0: none */
	bool exact;      /* false: counting took too long, `events` is an estimate */
};

/* Fills all n in one pass. 0, or -1 with *why_r malloc'd. */
int lag_measure(const char *journal, struct lag *lags, size_t n, char **why_r);

/* Bytes of all segments; their number in *segments_r. */
uint64_t lag_journal_size(const char *journal, size_t *segments_r);

/* Bytes of records at or behind pos. */
uint64_t lag_bytes(const char *journal, uint64_t pos);

/* Events appended a second over the last 10 seconds; -1 when it can't be told. */
double lag_rate(const char *journal);

#endif
