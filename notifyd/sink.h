/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver contract. A sink is one process: a driver, its options and a
 * durable cursor. A driver is a directory below sinks/. Adding one that needs a library: that
 * directory with its sink.am, a line in Makefile.am that includes it, its name in
 * notifyd/drivers.c, a switch in configure.ac. */
#ifndef NOTIFYD_SINK_H
#define NOTIFYD_SINK_H

#include "../lib/conf.h"
#include "../lib/record.h"

struct worker;

#define SINK_PROBE_MS 10000

enum {
	SINK_OK = 0,
	SINK_FULL = 1,   /* send: not taken, enough is in flight; flush first */
	SINK_RETRY = -1, /* the far side is down; nothing is lost: close, back off, open, resend */
	SINK_DROP = -2,  /* a record can never be delivered: dead letter */
};

struct sink {
	const struct sink_driver *driver;
	const char *name;
	struct conf_scope conf; /* notifyd_<name>_..., checked */
	unsigned char uuid[16]; /* of the journal: ids are journal_id(uuid, rec->pos) */
	const char *journal;    /* its directory */
	struct worker *worker;  /* for drivers with run() */
	void *state;            /* the driver's; NULL while closed */
	bool busy;              /* something is under way beside records: flush comes as often as
	                           with records in flight */
	unsigned turn;          /* the driver's own count, kept over close(): whose turn it is */
	void *kept;         /* the driver's: one malloc'd block that outlives close(); freed with
	                       the sink */
	char next[80];      /* where the next open() goes ("mq2:5672"), for status; "" when there
	                       is nothing to tell */
	bool slow;          /* with SINK_RETRY: an admin must mend it, so that it is tried more
	                       and more slowly, up to once a minute, and at once after SIGHUP */
	char note[128];     /* the driver's state in words while all is well or waits
	                       ("connected to mq1:5672", "blocked by the broker: low on
	                       memory"), for status; "" when it has none */
	bool blocked;       /* the driver's: connected, but the far side takes nothing for now */
	uint64_t discarded; /* the driver's count, kept over close(): records that it settled
	                       undelivered, as an option of its says */
	char why[256];      /* set before SINK_RETRY or SINK_DROP: one line, no secret, says
	                       what and what to do */
};

/* Every driver has all of check, open, send, flush, close, or else run (and maybe check).
 * No call but run() blocks longer than `wait_ms` or the sink's own time-out option. */
struct sink_driver {
	const char *name;                  /* notifyd_<sink>_type */
	const char *help;                  /* one line */
	const struct conf_option *options; /* ended by a row with name NULL */
	bool devices;                      /* gets registrations of devices: filter_devices() */
	bool older;                        /* reads what processes with the hook of the version
	                                      of the journal before append: all of it */

	/* Beyond the rows: combinations, files that must be readable. Connects nowhere.
	 * 0, or -1 with sink->why: "notifyd_<sink>_<option>: what is wrong" is told with the file
	 * and line of that option. May be NULL. */
	int (*check)(struct sink *sink);

	/* Makes state, connects. SINK_OK or SINK_RETRY. */
	int (*open)(struct sink *sink);

	/* Whether open() or run() would succeed, for notifyctl doctor: connects and leaves.
	 * Delivers nothing and changes nothing, here or there, and leaves no state. What open()
	 * makes may be missing. Only in a process of its own, with notifyd's rights. SINK_OK, or
	 * SINK_RETRY with sink->why, which always says what to do. Waits SINK_PROBE_MS at most,
	 * whatever the sink's own time-out. May be NULL: nothing to reach. */
	int (*probe)(struct sink *sink);

	/* Takes one record; rec is borrowed for the call. Never waits for the far side. Of which it
	 * said SINK_FULL comes again, before any other, or close() does.
	 * SINK_OK, SINK_FULL, SINK_RETRY, or SINK_DROP (this very record). */
	int (*send)(struct sink *sink, const struct record *rec);

	/* Moves bytes and reads answers, waiting up to wait_ms for the first progress (0: not at
	 * all). *confirmed_r: the `next` of the highest record such that it and all sent before it
	 * are confirmed, untouched when there is none new. *inflight_r: records sent and not
	 * confirmed. Called at least once a second also when idle (heartbeats). SINK_OK,
	 * SINK_RETRY, or SINK_DROP: all before the lowest record that is not confirmed was told,
	 * that one, at position *confirmed_r, can never be delivered and no longer counts; the
	 * worker goes on with this state. */
	int (*flush)(struct sink *sink, int wait_ms, uint64_t *confirmed_r, size_t *inflight_r);

	/* Frees state; never blocks on the far side. Safe when state is NULL. */
	void (*close)(struct sink *sink);

	/* Reopens files after SIGHUP. May be NULL. */
	void (*reopen)(struct sink *sink);

	/* A driver with cursors of its own (unix): serves until worker_stopping(). Exit code. */
	int (*run)(struct sink *sink);
};

/* "%s" into sink->why, cut to fit. Returns code. */
int sink_why(struct sink *sink, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* --- notifyd/drivers.c --- */

/* Every notifyd_<sink>_type that this version knows; NULL ends. */
extern const char *const sink_types[];

/* The driver of a type. One that is no part of libnotifyd is loaded from sink_<type>.so beside it,
 * and stays. NULL when there is no such type, or it can't be loaded; *why_r (NULL allowed) is then
 * NULL or malloc'd: what is missing and what to do. */
const struct sink_driver *sink_driver(const char *type, char **why_r);

/* In a driver's own module, once: what sink_driver() looks for. */
struct sink_module {
	const char *version; /* of the sources it was built from: must be notifyd's */
	const struct sink_driver *driver;
};
#define SINK_MODULE(name)                                                                          \
	extern const struct sink_module sink_module;                                               \
	const struct sink_module sink_module = {PACKAGE_VERSION, &(name)}

/* notifyd's own, for notifyd_mailbox_reset; NULL: left out of this build. */
extern const struct sink_driver *const sink_driver_reset;
/* notifyd's own, where this build's version of the journal is not the first. */
extern const struct sink_driver sink_older;
#define SINK_OLDER "-older" /* no name that a user can choose */
/* Where a process of it that was killed may have gone on behind its cursor: a cursor whose position
 * is the end of this version's part before, which must not be deleted, and whose count of events is
 * the position of what was to be taken over next. Zeros: nothing is under way. */
#define SINK_OLDER_MARK "-older-mark"

/* Options every sink has: type, groups, events, users, owners, mailboxes, from, headers,
 * required, dead_letters. */
extern const struct conf_option sink_options[];

#endif
