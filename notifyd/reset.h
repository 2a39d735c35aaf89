/* SPDX-License-Identifier: BSD-3-Clause */
/* MailboxReset: tells when a mailbox has another UIDVALIDITY than it had, since then every UID that
 * anybody remembers of it is void. A reader of the journal like any sink, with a cursor of its own,
 * that appends to the journal what it finds; it passes over its own events. */
#ifndef NOTIFYD_RESET_H
#define NOTIFYD_RESET_H

#include "../lib/conf.h"
#include "../lib/record.h"

struct reset;

/* All calls but reset_close(): -1 with *why_r (until the next call) when it must be closed and
 * opened again, and what was not settled be seen again. */

/* dir is the journal's; conf is borrowed for the call. *aside_r as in mailboxes.h. */
int reset_open(struct reset **r_r, const struct conf *conf, const char *dir, const char **aside_r,
               const char **why_r);
void reset_close(struct reset **r);

/* Remembers what an event says of mailboxes. */
int reset_see(struct reset *r, const struct record *rec, const char **why_r);

/* Changes that are not settled yet; many at once cost one sync. */
uint64_t reset_unsettled(const struct reset *r);

/* Puts on the disk what was seen. From then on it may be confirmed. */
int reset_settle(struct reset *r, const char **why_r);

/* Whether events are due. They are on the disk, and are appended and then forgotten, in this order:
 * a crash in between makes them come twice. */
bool reset_due(const struct reset *r);
/* Appends them, after reset_settle(). Those that the journal does not take stay due, and *wait_r
 * says why; else it is NULL. */
int reset_append(struct reset *r, const char **wait_r, const char **why_r);

#endif
