/* SPDX-License-Identifier: BSD-3-Clause */
/* What is due to whom: one entry a device (or a user, where no device is asked about) and thing
 * that shall come of it, however many events are behind it. An entry waits for its time, is then
 * ready, and is taken out to be pushed; events that come meanwhile make it due again. Memory alone;
 * what shall outlive the process is listed for the caller to write down. Times are milliseconds of
 * the caller's monotonic clock, but for `event`, which is milliseconds since 1970. */
#ifndef NOTIFYD_APNS_GATHER_H
#define NOTIFYD_APNS_GATHER_H

#include "../../../lib/record.h"

#include <sys/queue.h>

#define GATHER_MAILBOXES 64 /* names kept of an entry */

/* REASON_MANY: there were more names than are kept. */
enum gather_reason { REASON_NEW = 1, REASON_CHANGE = 2, REASON_MANY = 4 };

/* What shall come of an entry: a push, or a PushDue. */
enum gather_want { WANT_PUSH, WANT_EVENT, WANTS };

enum due_state { DUE_WAITS, DUE_READY, DUE_TAKEN };

struct due {
	enum gather_want want;
	int64_t device; /* 0: the user's */
	char *user;     /* "" for a device's */
	int64_t at;     /* DUE_WAITS: when it becomes ready */
	int64_t event;  /* time of the newest event behind it */
	int64_t again;  /* DUE_TAKEN: when it is due again; 0: it is not */
	unsigned reason, tries;
	unsigned taken_reason;  /* DUE_TAKEN: of what is under way */
	struct buf mailboxes;   /* names, each ended by a line feed, each once */
	unsigned n_mailboxes;   /* names that are not under way */
	size_t taken_mailboxes; /* DUE_TAKEN: bytes that were there when it was taken */
	enum due_state state;
	bool stored;  /* the caller's: it is written down */
	bool changed; /* it is on the list of those that differ from what is written down */
	bool over;    /* it is done with, and only on that list still */

	/* gather's own */
	size_t place;
	unsigned epoch;
	struct due *next;
	TAILQ_ENTRY(due) ready, change;
};

struct gather;

struct gather *gather_new(void); /* NULL: no memory */
void gather_free(struct gather **g);

/* Something happened that is to be told at `at` or sooner. mailbox: empty for none. NULL: memory is
 * short. */
struct due *gather_add(struct gather *g, enum gather_want want, int64_t device, const char *user,
                       int64_t at, int64_t event, unsigned reason, struct str mailbox);

/* Makes ready whose time has come. */
void gather_ripen(struct gather *g, int64_t now);

/* The first that is ready, or NULL. It stays the first until it is taken, put off or done. */
struct due *gather_ready(struct gather *g, enum gather_want want);
/* It is under way. */
void gather_take(struct gather *g, struct due *d);

/* Of one that was ready or taken: it comes (again) at `at`. */
void gather_put_off(struct gather *g, struct due *d, int64_t at);
/* Of one that was ready or taken: it is done with, but for what came since it was taken. */
void gather_done(struct gather *g, struct due *d);

/* Those that come to differ from now on are of the next epoch. The number of the one that ends. */
unsigned gather_epoch(struct gather *g);
/* The first of that epoch or one before that differs from what is written down, or NULL. */
struct due *gather_changed(struct gather *g, unsigned epoch);
/* It is written down now (`over`: is no longer). It may free d. */
void gather_settled(struct gather *g, struct due *d);

/* Entries in all that are not over; those that are ready or taken and not written down. */
size_t gather_count(const struct gather *g);
size_t gather_urgent(const struct gather *g);

#endif
