/* SPDX-License-Identifier: BSD-3-Clause */
/* What notifyd remembers of mailboxes, in an SQLite file: the UIDVALIDITY of each, and the events
 * about changes that are still to be appended to the journal. Changes since the last
 * mailboxes_commit() are lost when the process ends; those before it survive a power cut. */
#ifndef NOTIFYD_MAILBOXES_H
#define NOTIFYD_MAILBOXES_H

#include "../lib/record.h"

#include <stdbool.h>
#include <stdint.h>

#define MAILBOXES_FILE "mailboxes.sqlite3" /* in the journal's directory */

struct mailboxes;

/* A mailbox by the spelling of its documented URL. */
struct mailbox {
	struct str account; /* what stands before the path: john@example.org@imap.example.org */
	struct str name;    /* the path, percent-encoded: INBOX, Archive/2024 */
	char separator;     /* of the path: what is below */
};

/* All calls but mailboxes_free(): -1 with *why_r, valid until the next call, when the file can't be
 * read or written; what was not committed is then lost, and the handle only good for
 * mailboxes_free(). */

/* Opens <dir>/MAILBOXES_FILE, or makes it. A file that is damaged or of another version is moved
 * aside, and *aside_r (NULL: nothing was) says so. *m_r is made even when this fails. */
int mailboxes_open(struct mailboxes **m_r, const char *dir, const char **aside_r,
                   const char **why_r);
/* A file that turned out to be damaged since is moved aside too; *why_r of the call said so. */
void mailboxes_free(struct mailboxes **m);

/* 1 with its UIDVALIDITY (0: it is there, under a value not seen yet), or 0: never seen. */
int mailboxes_get(struct mailboxes *m, const struct mailbox *box, uint32_t *uidvalidity_r,
                  const char **why_r);
int mailboxes_put(struct mailboxes *m, const struct mailbox *box, uint32_t uidvalidity,
                  const char **why_r);

/* Moves what is known of `from` and of all below it to `to`; a name there that is known already
 * keeps what is known of it. forget: those below have values now that nobody has seen. */
int mailboxes_rename(struct mailboxes *m, const struct mailbox *from, const struct mailbox *to,
                     bool forget, const char **why_r);

/* Keeps an event (JSON) to be appended later. */
int mailboxes_owe(struct mailboxes *m, struct str json, const char **why_r);
/* 1 with the first event behind id `after` (*json_r: until the next call), or 0: no more. */
int mailboxes_owed(struct mailboxes *m, int64_t after, int64_t *id_r, struct str *json_r,
                   const char **why_r);
/* Those up to id are appended. */
int mailboxes_paid(struct mailboxes *m, int64_t id, const char **why_r);

/* The journal position behind the last record whose changes are here: one that comes again, after
 * a crash or because a cursor was moved back, would be taken for news. */
int mailboxes_seen(struct mailboxes *m, uint64_t *pos_r, const char **why_r);
int mailboxes_saw(struct mailboxes *m, uint64_t pos, const char **why_r);

/* Changes since the last commit; 0: there are none. */
uint64_t mailboxes_changes(const struct mailboxes *m);
int mailboxes_commit(struct mailboxes *m, const char **why_r);

#endif
