/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver contract. A sink is one process: a driver, its options and a
 * durable cursor. A driver is a directory below sinks/. Adding one: that directory, one line
 * in notifyd/drivers.c's table, its sources in Makefile.am, a switch in configure.ac when it
 * needs a library. */
#ifndef NOTIFYD_SINK_H
#define NOTIFYD_SINK_H

#include "../lib/conf.h"
#include "../lib/record.h"

struct worker;

enum {
	SINK_OK = 0,
	SINK_FULL = 1,   /* send: not taken, enough is in flight; flush first */
	SINK_RETRY = -1, /* the far side is down; nothing is lost: close, back off, open, resend */
	SINK_DROP = -2,  /* the lowest unconfirmed record can never be delivered: dead letter */
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
	char note[128];         /* the driver's state in words while all is well or waits
	                           ("connected to mq1:5672", "blocked by the broker: low on
	                           memory"), for status; "" when it has none */
	char why[256];          /* set before SINK_RETRY or SINK_DROP: one line, no secret, says
	                           what and what to do */
};

/* Every driver has all of check, open, send, flush, close, or else run (and maybe check).
 * No call but run() blocks longer than `wait_ms` or the sink's own time-out option. */
struct sink_driver {
	const char *name;                  /* notifyd_<sink>_type */
	const char *help;                  /* one line */
	const struct conf_option *options; /* ended by a row with name NULL */
	bool devices;                      /* gets registrations of devices: filter_devices() */

	/* Beyond the rows: combinations, files that must be readable. Connects nowhere.
	 * 0, or -1 with sink->why. May be NULL. */
	int (*check)(struct sink *sink);

	/* Makes state, connects. SINK_OK or SINK_RETRY. */
	int (*open)(struct sink *sink);

	/* Takes one record; rec is borrowed for the call. Never waits for the far side.
	 * SINK_OK, SINK_FULL, SINK_RETRY, or SINK_DROP (this very record). */
	int (*send)(struct sink *sink, const struct record *rec);

	/* Moves bytes and reads answers, waiting up to wait_ms for the first progress (0: not at
	 * all). *confirmed_r: the `next` of the highest record such that it and all sent before it
	 * are confirmed, untouched when there is none new. *inflight_r: records sent and not
	 * confirmed. Called at least once a second also when idle (heartbeats). SINK_OK,
	 * SINK_RETRY, SINK_DROP. */
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

/* notifyd/drivers.c: NULL when there is none of that name. */
const struct sink_driver *sink_driver(const char *name);
extern const struct sink_driver *const sink_drivers[]; /* NULL ends */
extern const char *const sink_drivers_off[]; /* known, but left out of this build; NULL ends */
/* notifyd's own, for notifyd_mailbox_reset; NULL: left out of this build. */
extern const struct sink_driver *const sink_driver_reset;

/* Options every sink has: type, groups, events, users, owners, mailboxes, from, headers. */
extern const struct conf_option sink_options[];

#endif
