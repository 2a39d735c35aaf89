/* SPDX-License-Identifier: BSD-3-Clause */
/* What one client reads: its place in the journal, its subscription, and which lines of the blocks
 * it gets. */
#ifndef UNIX_FEED_H
#define UNIX_FEED_H

#include "subscription.h"

struct feed;

enum feed_result {
	FEED_MORE,   /* there may be more at once */
	FEED_END,    /* the journal's end */
	FEED_FULL,   /* no more before an ack */
	FEED_FAILED, /* the journal can't be read just now (blocks_why()); worth another try */
};

/* Live, from the journal's end; or as the request says. NULL with the reason for the client
 * in error. */
struct feed *feed_live(struct server *s, struct buf *error);
struct feed *feed_subscribe(struct server *s, struct request *req, struct buf *error);
void feed_close(struct server *s, struct feed **f);

/* Adds to out what comes next, until it holds GATHER bytes or a turn's share was looked at;
 * borrowed until the next feed_fill() of any feed. When memory is short, out->failed is set: the
 * connection must end, its subscription has lost nothing. */
#define FEED_GATHER (64u << 10)
enum feed_result feed_fill(struct server *s, struct feed *f, struct lines *out);

struct subscription *feed_subscription(struct feed *f); /* NULL: live */
uint64_t feed_pos(const struct feed *f);

#endif
