/* SPDX-License-Identifier: BSD-3-Clause */
/* What one client reads: a reader of its own, its filters, its subscription, and
 * the lines made of it. */
#ifndef UNIX_FEED_H
#define UNIX_FEED_H

#include "subscription.h"

struct feed;

enum feed_result {
	FEED_MORE,   /* there may be more at once */
	FEED_END,    /* the journal's end */
	FEED_FULL,   /* no more before an ack */
	FEED_FAILED, /* the journal can't be read just now (feed_why()); worth another try */
};

/* Live, from the journal's end; or as the request says. NULL with the reason for the client
 * in error. */
struct feed *feed_live(struct server *s, struct buf *error);
struct feed *feed_subscribe(struct server *s, struct request *req, struct buf *error);
void feed_close(struct server *s, struct feed **f);

/* Appends lines to out until it holds GATHER bytes or a turn's share was read. When memory is
 * short, out->failed is set: the connection must end, its subscription has lost nothing. */
#define FEED_GATHER (64u << 10)
enum feed_result feed_fill(struct server *s, struct feed *f, struct buf *out);
const char *feed_why(const struct feed *f); /* right after FEED_FAILED */

struct subscription *feed_subscription(struct feed *f); /* NULL: live */
uint64_t feed_pos(const struct feed *f);
void feed_rest(struct feed *f); /* gives its buffer back */

#endif
