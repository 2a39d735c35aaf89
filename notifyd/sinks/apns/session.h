/* SPDX-License-Identifier: BSD-3-Clause */
/* One HTTP/2 connection: pushes go out as streams, answers come back. Decides nothing: what an
 * answer or its lack means is the client's to say. Nothing here waits. */
#ifndef NOTIFYD_APNS_SESSION_H
#define NOTIFYD_APNS_SESSION_H

#include "../../../lib/buf.h"
#include "answers.h"
#include "client.h"
#include "transport.h"

#define SESSION_BODY_MAX 512 /* of an answer: more is not looked at */

/* A push under way. */
struct stream {
	struct stream *older, *newer; /* of those under way; newer: of those settled or free too */
	int32_t id;
	void *ref;
	int64_t deadline;   /* milliseconds */
	int64_t token_made; /* the provider token it went with */
	int status;         /* 0: no answer */
	const char *cause;  /* why there is none; static; NULL: the session's */
	int64_t retry_after_ms;
	struct buf payload;
	size_t sent, body_len;
	char body[SESSION_BODY_MAX];
};

struct streams {
	struct stream *first, *last;
	size_t n;
};

struct session;

/* Connects over t, which it takes, also when it fails: NULL, out of memory. timeout: milliseconds
 * of silence that mean death, and that an answer may take. */
struct session *session_open(struct transport *t, int64_t timeout, int64_t now);

/* Takes leave where nothing is under way. */
void session_close(struct session **s);

/* 1 ready, 0 connecting, -1 over: session_why(). */
int session_up(const struct session *s);

/* The server has read what we said first: it took our certificate, and speaks HTTP/2. */
bool session_greeted(const struct session *s);

/* Begins a stream; fields of st but ref and token_made are the session's. bearer: NULL when a
 * certificate is enough. 0, or -1 and the session is over or goes away: nothing was sent. */
int session_submit(struct session *s, struct stream *st, const struct apns_push *p,
                   const char *authority, const char *bearer, int64_t now);

/* Writes and reads all that goes without waiting; looks after time-outs. True: something moved.
 * When it is over, all that was under way is settled, without an answer. */
bool session_move(struct session *s, int64_t now);

/* A stream that is settled: st->status, st->body; or st->cause. NULL: none. */
struct stream *session_settled(struct session *s);

size_t session_inflight(const struct session *s); /* under way, and settled but not yet taken */
size_t session_streams(const struct session *s);  /* as many as the server allows */

/* GOAWAY was received: nothing new is taken. */
bool session_going(const struct session *s);

/* Why it is over or goes away: one line. */
const char *session_why(const struct session *s);

/* It is over, or goes away, because our credentials are not taken; what to do, else NULL. */
const char *session_refused(const struct session *s);

int session_poll(const struct session *s, short *events_r);
int64_t session_due(const struct session *s); /* session_move() is needed by then */

#endif
