/* SPDX-License-Identifier: BSD-3-Clause */
/* What was published on a channel and what the broker said of it. Delivery tags
 * count from 1 on each channel; answers come in any order, one by one or all up to a
 * tag. The cursor may only follow the lowest tag that is not confirmed. */
#ifndef NOTIFYD_AMQP_CONFIRM_H
#define NOTIFYD_AMQP_CONFIRM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIRM_MAX 4096 /* tags awaited at once; a power of two */

enum confirm_state {
	CONFIRM_WAITING,
	CONFIRM_ACKED,
	CONFIRM_NACKED,
	CONFIRM_RETURNED, /* unroutable: the ack that follows a basic.return does not count */
};

struct confirm_entry {
	uint64_t pos, next; /* of the record */
	size_t bytes;
	enum confirm_state state;
};

struct confirm {
	struct confirm_entry entries[CONFIRM_MAX]; /* tag t at t % CONFIRM_MAX */
	uint64_t low;                              /* lowest tag not settled */
	uint64_t end;                              /* the next tag */
	size_t bytes;                              /* in [low, end) */
};

void confirm_init(struct confirm *c); /* a new channel */

/* Published: false when CONFIRM_MAX are awaited. Positions must rise. */
bool confirm_add(struct confirm *c, uint64_t pos, uint64_t next, size_t bytes);

/* basic.ack and basic.nack. Tag 0 with multiple means all so far. A tag that was settled before is
 * passed over; -1 for one that was never published. */
int confirm_ack(struct confirm *c, uint64_t tag, bool multiple);
int confirm_nack(struct confirm *c, uint64_t tag, bool multiple);

/* basic.return of the record at pos. False when no such record is awaited. */
bool confirm_return(struct confirm *c, uint64_t pos);

/* Settles what is confirmed from the lowest on. True with the last one's `next` when that is
 * anything new. */
bool confirm_settle(struct confirm *c, uint64_t *next_r);

/* The lowest entry not settled: NULL when nothing is awaited. After confirm_settle() it is waiting,
 * nacked or returned. */
const struct confirm_entry *confirm_lowest(const struct confirm *c);

/* The lowest is settled otherwise, whatever the broker says of it yet. There must be one. */
void confirm_skip(struct confirm *c);

/* How many are awaited. */
size_t confirm_count(const struct confirm *c);

#endif
