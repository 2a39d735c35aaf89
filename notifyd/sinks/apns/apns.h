/* SPDX-License-Identifier: BSD-3-Clause */
/* The sink, as its own parts see it: what records say (watch.c) makes entries due (gather.h), which
 * become pushes and events (pushes.c); apns.c has the options and the clock. */
#ifndef NOTIFYD_APNS_APNS_H
#define NOTIFYD_APNS_APNS_H

#include "../../filter.h"
#include "../../sink.h"
#include "announce.h"
#include "client.h"
#include "gather.h"
#include "registry.h"

enum push_due { PUSH_DUE_NO, PUSH_DUE_YES, PUSH_DUE_USERS }; /* what the option reads as */

struct apns {
	struct sink *sink;
	struct names *names;
	struct registry *registry;
	struct gather *gather;
	struct apns_client *client; /* NULL: it does not push */
	struct announce *announce;  /* NULL: no PushDue */
	struct filter *filter;      /* NULL: no user is left out */
	enum push_due push_due;
	bool hashes;
	int64_t window, expiration, expiry;   /* milliseconds; expiry 0: never */
	const char *calendars, *addressbooks; /* their prefixes */
	const char *topics[DEVICE_KINDS];     /* borrowed; NULL: it does not push to that kind */
	struct buf texts[2];                  /* scratch */

	/* watch.c, for the record under way */
	const struct record *rec;
	int64_t wall, now, at; /* wall clock and own; when what the record makes due is due */
	unsigned reason;
	bool failed; /* memory was short */

	/* pushes.c */
	int64_t hold[DEVICE_KINDS]; /* before then nothing of that kind is pushed */
	int64_t tell;               /* before then no event is appended */
	size_t flying;
	int64_t progress;    /* when a push was last delivered */
	bool renew;          /* the client is to be made anew: nothing is sent until then */
	bool broken;         /* the registry failed in an answer; sink->why is set */
	unsigned bad_tokens; /* in a row, none delivered yet */
	bool delivered;
	struct {
		uint64_t pushed, old, dropped, removed;
		int64_t told; /* when the last one that failed was reported */
		uint64_t untold;
	} count;
};

int64_t apns_wall_ms(void);
int64_t apns_now_ms(void);

/* watch.c: what a record makes due, or registers. SINK_OK, SINK_RETRY or SINK_DROP. */
int watch_record(struct apns *a, const struct record *rec);

/* pushes.c: pushes and tells what is ready, as far as it is taken. SINK_OK or SINK_RETRY. */
int pushes_send(struct apns *a);
/* Moves bytes and takes answers, up to wait_ms. SINK_OK or SINK_RETRY. */
int pushes_step(struct apns *a, int wait_ms);

#endif
