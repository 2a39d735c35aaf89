/* SPDX-License-Identifier: BSD-3-Clause */
/* What a subscription asks for. All that ask for the same have one selector, which decides about an
 * event once for all of them. */
#ifndef UNIX_SELECTOR_H
#define UNIX_SELECTOR_H

#include "blocks.h"
#include "request.h"

#include <sys/queue.h>

struct selector;
TAILQ_HEAD(selector_list, selector); /* those in use */

/* NULL with the reason for the client in error. */
struct selector *selector_get(struct selector_list *all, struct request *req, struct buf *error);
void selector_put(struct selector_list *all, struct selector **sel);

/* The first line at or behind i that is asked for; n when there is none. sel NULL: all are. */
size_t selector_next(struct selector *sel, const struct block *b, size_t i);

#endif
