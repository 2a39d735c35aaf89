/* SPDX-License-Identifier: BSD-3-Clause */
/* A named durable subscription while a client has it open: a cursor named
 * <sink>@<name>, locked, and the ids that were sent and not yet acknowledged. The
 * cursor never passes an event that the client did not acknowledge. */
#ifndef UNIX_SUBSCRIPTION_H
#define UNIX_SUBSCRIPTION_H

#include "request.h"
#include "server.h"

struct subscription;

/* Opens, making it where it is new. Reading begins at subscription_pos(). 0, or -1 with the
 * reason for the client in error. *gap_r (JOURNAL_ID bytes): an id of another journal from
 * which reading can't go on, or "". */
int subscription_open(struct server *s, const struct request *req, struct subscription **sub_r,
                      char *gap_r, struct buf *error);
/* Leaves the cursor at what is acknowledged, or where it is to be moved. */
void subscription_close(struct server *s, struct subscription **sub);

/* notifyctl wants to move the cursor: its client must be cut off, and comes back. */
bool subscription_moves(const struct server *s, const struct subscription *sub);

const char *subscription_name(const struct subscription *sub);
uint64_t subscription_pos(const struct subscription *sub);
bool subscription_made(const struct subscription *sub); /* by this client */

/* As many unacknowledged as the option allows. */
bool subscription_full(const struct server *s, const struct subscription *sub);
/* An event is on its way. 0, or -1 when memory is short: it must not be sent. */
int subscription_sent(struct subscription *sub, uint64_t pos);
/* All up to this id is done; subscription_store() writes it down. 0, or -1 with error. */
int subscription_ack(const struct server *s, struct subscription *sub, const struct request *req,
                     uint64_t read_pos, struct buf *error);
void subscription_store(struct server *s, struct subscription *sub);
/* Reading reached read_pos and all that came of it is with the client: moves the cursor there
 * unless something is unacknowledged. So what the filters leave out is not held for ever. */
void subscription_settle(struct server *s, struct subscription *sub, uint64_t read_pos);
/* Counts what was deleted before its client had it. */
void subscription_gone(const struct server *s, const struct subscription *sub, uint64_t from,
                       uint64_t to, uint64_t bytes);
/* Shows that it is in use, so that it does not expire. */
void subscription_touch(struct subscription *sub);

/* Removes one that nobody has open. 0, or -1 with error. */
int subscription_remove(struct server *s, const char *name, struct buf *error);
/* Removes those that nobody opened for that long (milliseconds); logs each. */
void subscription_expire(struct server *s, int64_t after);
size_t subscription_count(const struct server *s);

#endif
