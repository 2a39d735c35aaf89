/* SPDX-License-Identifier: BSD-3-Clause */
/* Routing keys: words of the admin's own and of the event's, with dots between. */
#ifndef NOTIFYD_AMQP_KEY_H
#define NOTIFYD_AMQP_KEY_H

#include "../../../lib/record.h"

#define KEY_MAX 255 /* a short string of AMQP */

/* What a template may name. */
struct key_facts {
	struct str group, event, user, owner, domain, local, mailbox, server;
};

/* %g group, %e event (without vnd.cmu.), %u user, %o owner, %d domain, %l local part, %m mailbox,
 * %s server, %% a percent sign. 0, or -1 with *why_r malloc'd. */
int key_check(const char *template, char **why_r);

/* Makes key anew. What a template names has no dot of its own, so that it is one word, or part of
 * one, whatever it holds: see key_word(). What is longer than KEY_MAX is cut and ends in a hash of
 * the whole. */
void key_fill(struct buf *key, const char *template, const struct key_facts *facts);

/* Appends s as one word: percent-encoded are dots, percent signs, spaces, control characters, what
 * a topic binding takes for more (* and #), and bytes that are not UTF-8. "-" for nothing; what is
 * "-" itself is %2D. */
void key_word(struct buf *key, struct str s);

#endif
