/* SPDX-License-Identifier: BSD-3-Clause */
/* The devices that are registered with a sink, what each of them watches, and the pushes that are
 * due, in an SQLite file. Changes since the last registry_commit() are lost when the process ends;
 * those before it survive a power cut. Others (notifyctl) may write to it at the same time. */
#ifndef NOTIFYD_APNS_REGISTRY_H
#define NOTIFYD_APNS_REGISTRY_H

#include "device.h"
#include "names.h"

#define REGISTRY_FILE "devices-%s.sqlite3" /* in the journal's directory; %s: the sink's name */

struct registry;

/* All calls but registry_free(), registry_rest() and those that say so: -1 with *why_r, valid until
 * the next call, when the file can't be read or written; what was not committed is then lost, and
 * the handle only good for registry_free(). *why_r holds no token. */

enum {
	REGISTRY_OWN,   /* the sink's own: it may be missing, is made fit for names, and moved aside
	                 * when it is damaged */
	REGISTRY_MAKE,  /* a tool's: it may be missing */
	REGISTRY_THERE, /* a tool's: it may not: -1 with errno ENOENT */
};
/* names is borrowed as long as the registry lives. *aside_r (NULL: nothing was): a file that was
 * damaged is moved aside. *r_r is made even when this fails. busy_ms: how long to wait for others
 * that write. */
int registry_open(struct registry **r_r, const char *dir, const char *sink, struct names *names,
                  int how, int busy_ms, const char **aside_r, const char **why_r);
void registry_free(struct registry **r);

/* --- devices --- */

/* Takes a registration; id is not looked at, token is lower-cased. mailboxes: as the device spells
 * them, none: the inbox. An older registration of the same user, or with the same account, of the
 * same token and kind goes. 1; 0 when a newer one is there. */
int registry_register(struct registry *r, const struct device *d, const struct str *mailboxes,
                      size_t n_mailboxes, const char **why_r);

/* 1; 0: there is none (any more). *d_r borrows, until the next call. */
int registry_get(struct registry *r, int64_t id, struct device *d_r, const char **why_r);

/* Calls fn for each device that watches the mailbox, with the name that the device has for it, or
 * a collection (a calendar, an address book), with no name, and is not expired at `now`. fn calls
 * nothing of the registry. */
typedef void registry_fn(void *ctx, const struct device *d, struct str asked);
int registry_watchers(struct registry *r, struct str owner, struct str mailbox, int64_t now,
                      registry_fn *fn, void *ctx, const char **why_r);
int registry_collection(struct registry *r, struct str unique_id, int64_t now, registry_fn *fn,
                        void *ctx, const char **why_r);

/* All, by user; and those whose token or account begins so, whatever the case. fn calls nothing but
 * registry_mailboxes(). */
int registry_each(struct registry *r, struct str begins, registry_fn *fn, void *ctx,
                  const char **why_r);
/* What a mail device watches: as it spells it, and what that is. */
typedef void registry_mailbox_fn(void *ctx, struct str asked, const struct names_place *place);
int registry_mailboxes(struct registry *r, int64_t id, registry_mailbox_fn *fn, void *ctx,
                       const char **why_r);

/* Removes a device, with what is due. 1; 0: there was none. */
int registry_remove(struct registry *r, int64_t id, const char **why_r);
/* The device's token is void for its kind: removes all that have it and registered before `before`
 * (0: whenever). How many. */
int registry_void(struct registry *r, int64_t id, int64_t before, const char **why_r);
/* Removes those that are expired. How many. */
int registry_expire(struct registry *r, int64_t now, const char **why_r);
/* How many there are of each kind. */
int registry_count(struct registry *r, int64_t counts_r[DEVICE_KINDS], const char **why_r);

/* --- what is due --- */

struct registry_due {
	unsigned want;     /* the caller's; with device and user it makes a row */
	int64_t device;    /* 0: a user's, whatever the devices */
	const char *user;  /* "" for a device's */
	int64_t at, event; /* when it is due; the time of the newest event behind it */
	unsigned reason;   /* the caller's */
	unsigned tries;
	const char *mailboxes; /* names, each ended by a line feed */
};
int registry_due_put(struct registry *r, const struct registry_due *due, const char **why_r);
int registry_due_remove(struct registry *r, unsigned want, int64_t device, const char *user,
                        const char **why_r);
typedef void registry_due_fn(void *ctx, const struct registry_due *due);
int registry_due_each(struct registry *r, registry_due_fn *fn, void *ctx, const char **why_r);

/* --- transactions --- */

/* Whether there may be changes since the last commit, and others that write wait for it. */
bool registry_unsettled(const struct registry *r);
/* -1 too when a call failed since the file was opened. */
int registry_commit(struct registry *r, const char **why_r);
/* Lets go of the file after reads, which begin a transaction that others wait for now and then. */
void registry_rest(struct registry *r);

#endif
