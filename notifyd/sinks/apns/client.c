/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

#include "credentials.h"
#include "session.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define RETRY_MIN     1000 /* milliseconds */
#define RETRY_MAX     60000
#define REASON_MAX    320
#define COLLAPSE_MAX  64
#define TOKEN_HEX_MAX 200

struct apns_client {
	struct endpoint endpoint;
	struct credentials credentials;
	struct resolve *resolver;
	struct session *session; /* NULL: no connection */
	int64_t timeout, retry_max;
	int64_t (*clock)(void);
	size_t inflight_max;
	struct stream *slots, *spare;
	bool proved;        /* an answer showed that connection and credentials are good */
	bool drain;         /* nothing new on this connection; it ends when all is answered */
	bool refused;       /* credentials: the wait is a long one */
	int strikes;        /* connections that came to nothing, in a row */
	int64_t since;      /* milliseconds: when this connection was up */
	int64_t not_before; /* milliseconds: no connection until then */
	uint64_t connects;
	char why[REASON_MAX + 80]; /* of the last failure; "": none */
	char words[REASON_MAX + 500];
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t system_clock(void)
{
	return time(NULL);
}

/* --- options --- */

static int wrong(char **why_r, const char *what)
{
	*why_r = strdup(what);
	return -1;
}

static int load(const struct apns_client_options *o, struct endpoint *e, struct credentials *c,
                char **why_r)
{
	*why_r = NULL;
	if (!o->url || endpoint_parse(o->url, e))
		return wrong(why_r, "url: must be production, sandbox or https://HOST[:PORT]");
	return credentials_load(c, o, why_r);
}

int apns_client_check(const struct apns_client_options *o, char **why_r)
{
	struct endpoint e;
	struct credentials c;

	if (load(o, &e, &c, why_r))
		return -1;
	credentials_forget(&c);
	return 0;
}

int apns_client_open(struct apns_client **c_r, const struct apns_client_options *o, char **why_r)
{
	struct apns_client *c = calloc(1, sizeof(*c));

	*c_r = NULL;
	if (!c)
		return wrong(why_r, "memory is short");
	if (load(o, &c->endpoint, &c->credentials, why_r)) {
		free(c);
		return -1;
	}
	c->timeout = o->timeout;
	c->retry_max = o->retry_max;
	c->clock = o->clock ? o->clock : system_clock;
	c->inflight_max = o->inflight;
	c->slots = calloc(o->inflight, sizeof(*c->slots));
	c->resolver = resolve_open();
	if (!c->slots || !c->resolver) {
		apns_client_close(&c);
		return wrong(why_r, "memory is short");
	}
	for (size_t i = o->inflight; i--;) {
		c->slots[i].newer = c->spare;
		c->spare = &c->slots[i];
	}
	*c_r = c;
	return 0;
}

void apns_client_close(struct apns_client **cp)
{
	struct apns_client *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	session_close(&c->session);
	resolve_close(&c->resolver);
	credentials_forget(&c->credentials);
	for (size_t i = 0; c->slots && i < c->inflight_max; i++)
		buf_free(&c->slots[i].payload);
	free(c->slots);
	free(c);
}

const char *apns_client_topic(const struct apns_client *c)
{
	return c->credentials.topic[0] ? c->credentials.topic : NULL;
}

/* --- connections --- */

/* From half of it to all of it, so that servers restarted together do not come together. */
static int64_t jitter(int64_t ms)
{
	uint32_t r = 0;

	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		r = (uint32_t)now_ms();
	return ms / 2 + (ms / 2) * (int64_t)(r >> 8) / (UINT32_MAX >> 8);
}

static int64_t back_off(const struct apns_client *c)
{
	int64_t ms = RETRY_MIN, most = c->retry_max < RETRY_MAX ? c->retry_max : RETRY_MAX;

	for (int i = 1; i < c->strikes && ms < most; i++)
		ms *= 2;
	return jitter(ms < most ? ms : most);
}

static void set_why(struct apns_client *c, const char *why, const char *hint)
{
	snprintf(c->why, sizeof(c->why), "%.300s%s%.90s", why, hint && *hint ? ": " : "",
	         hint ? hint : "");
}

/* The connection is over, its streams are settled. When the next may be made: at once, when
 * this one was of use for a while; a server that ends each after a moment is not hurried. */
static void leave(struct apns_client *c, int64_t now)
{
	const char *hint = session_refused(c->session);
	bool useful = c->proved && now - c->since >= RETRY_MIN;

	if (!c->drain)
		set_why(c, session_why(c->session), hint);
	c->refused |= hint != NULL;
	session_close(&c->session);
	c->drain = false;
	if (c->refused) {
		c->not_before = now + jitter(c->retry_max);
	} else if (useful) {
		c->not_before = now;
	} else {
		c->strikes++;
		c->not_before = now + back_off(c);
	}
	c->proved = false;
}

static void connect_now(struct apns_client *c, int64_t now)
{
	struct transport *t =
	    transport_open(c->credentials.tls, c->resolver, &c->endpoint, c->timeout);

	c->session = session_open(t, c->timeout, now);
	c->proved = c->drain = c->refused = false;
	c->since = now;
	if (!c->session) {
		set_why(c, "memory is short", NULL);
		c->not_before = now + c->retry_max;
	}
}

/* --- pushes --- */

static bool printable(const char *s, size_t max)
{
	size_t n = 0;

	while (s[n] > ' ' && s[n] <= '~')
		n++;
	return n && n <= max && !s[n];
}

static bool acceptable(const struct apns_push *p)
{
	size_t len = strspn(p->token, "0123456789abcdefABCDEF");

	return len && len <= TOKEN_HEX_MAX && !p->token[len] && printable(p->topic, 255) &&
	       printable(p->push_type, 64) && p->len && p->len <= APNS_PAYLOAD_MAX &&
	       p->priority >= 0 && p->priority <= 10 && p->expiration >= 0 &&
	       (!p->collapse_id || printable(p->collapse_id, COLLAPSE_MAX));
}

static size_t allowed(const struct apns_client *c)
{
	size_t n = c->proved ? session_streams(c->session) : 1;

	/* A server that allows none is found out by one that has no answer. */
	if (!n)
		n = 1;
	return n < c->inflight_max ? n : c->inflight_max;
}

int apns_client_submit(struct apns_client *c, const struct apns_push *p)
{
	struct jwt *jwt = c->credentials.jwt;
	const char *bearer = NULL;
	int64_t now = now_ms();

	if (!acceptable(p))
		return APNS_NEVER;
	if (!c->session && now >= c->not_before)
		connect_now(c, now);
	if (!c->session || session_up(c->session) != 1 || c->drain || session_going(c->session))
		return APNS_WAIT;
	if (jwt) {
		int64_t made = jwt_made(jwt);
		bearer = jwt_bearer(jwt, c->clock());
		if (!bearer) {
			set_why(c, "OpenSSL can't sign the provider token", NULL);
			c->drain = true;
			return APNS_WAIT;
		}
		if (jwt_made(jwt) != made)
			c->proved = false;
	}
	if (session_inflight(c->session) >= allowed(c))
		return APNS_FULL;
	struct stream *st = c->spare;
	c->spare = st->newer;
	st->ref = p->ref;
	st->token_made = jwt ? jwt_made(jwt) : 0;
	if (session_submit(c->session, st, p, c->endpoint.authority, bearer, now)) {
		st->newer = c->spare;
		c->spare = st;
		return APNS_WAIT;
	}
	return APNS_OK;
}

/* The token that a push went with has expired: a new one, once. */
static void renew(struct apns_client *c, const struct stream *st, const char *reason,
                  const char *hint)
{
	struct jwt *jwt = c->credentials.jwt;

	if (jwt && st->token_made != jwt_made(jwt))
		return; /* others said so before */
	if (jwt && jwt_expired(jwt, c->clock())) {
		c->proved = false;
		return;
	}
	c->refused = c->drain = true;
	set_why(c, reason, hint);
}

/* What the answer, or its lack, means for the push; and for the connection. */
static void conclude(struct apns_client *c, const struct stream *st, struct apns_answer *a,
                     char *reason, size_t size)
{
	struct answers read;
	char said[ANSWERS_REASON_MAX + 16];

	a->status = st->status;
	a->reason = reason;
	if (!st->status) {
		const char *why = st->cause ? st->cause : session_why(c->session);
		a->outcome = APNS_AGAIN;
		snprintf(reason, size, "%s", *why ? why : "the connection was lost");
		return;
	}
	answers_read(st->status, st->body, st->body_len, &read);
	a->outcome = read.outcome;
	a->timestamp_ms = read.timestamp_ms;
	a->retry_after_ms = st->retry_after_ms;
	snprintf(reason, size, "%s%s%s", read.reason[0] ? read.reason : "no reason told",
	         read.hint ? ": " : "", read.hint ? read.hint : "");
	snprintf(said, sizeof(said), "%d%s%s", st->status, read.reason[0] ? " " : "", read.reason);
	switch (read.verdict) {
	case ANSWERS_FINE:
		c->proved |= !c->credentials.jwt || st->token_made == jwt_made(c->credentials.jwt);
		c->strikes = 0;
		if (!c->drain)
			c->why[0] = '\0';
		break;
	case ANSWERS_SERVER:
		set_why(c, said, "trouble at the server");
		c->drain = true;
		break;
	case ANSWERS_RENEW:
		renew(c, st, said, read.hint);
		break;
	case ANSWERS_REFUSED:
		set_why(c, said, read.hint);
		c->refused = c->drain = true;
		break;
	}
}

static void tell(struct apns_client *c, apns_answer_fn answer, void *ctx)
{
	char reason[REASON_MAX];
	struct stream *st;

	/* The callback may submit, so that there is no end but this count to it. */
	for (size_t n = session_inflight(c->session); n-- && (st = session_settled(c->session));) {
		struct apns_answer a = {0};
		void *ref = st->ref;
		conclude(c, st, &a, reason, sizeof(reason));
		st->newer = c->spare;
		c->spare = st;
		answer(ctx, ref, &a);
	}
}

/* --- stepping --- */

static int64_t at_most(int64_t due, int64_t now, int64_t wait)
{
	return due <= now ? 0 : due - now < wait ? due - now : wait;
}

static void wait_for(const struct apns_client *c, int64_t now, int64_t ms)
{
	struct pollfd p = {.fd = -1};

	if (c->session) {
		p.fd = session_poll(c->session, &p.events);
		ms = at_most(session_due(c->session), now, ms);
	} else if (now < c->not_before) {
		ms = at_most(c->not_before, now, ms);
	}
	poll(&p, 1, (int)ms);
}

static bool move(struct apns_client *c, int64_t now, apns_answer_fn answer, void *ctx)
{
	if (!c->session)
		return false;
	bool up = session_up(c->session) == 1;
	bool moved = session_move(c->session, now);
	if (!up && session_up(c->session) == 1) {
		c->connects++;
		c->since = now;
	}
	tell(c, answer, ctx);
	if (!session_inflight(c->session) &&
	    (session_up(c->session) < 0 || c->drain || session_going(c->session)))
		leave(c, now);
	return moved;
}

size_t apns_client_step(struct apns_client *c, int wait_ms, apns_answer_fn answer, void *ctx)
{
	int64_t now = now_ms();

	if (!move(c, now, answer, ctx) && wait_ms > 0) {
		wait_for(c, now, wait_ms);
		move(c, now_ms(), answer, ctx);
	}
	return c->session ? session_inflight(c->session) : 0;
}

int apns_client_probe(struct apns_client *c, char *why, size_t size)
{
	int64_t now = now_ms(), end = now + c->timeout;

	connect_now(c, now);
	while (c->session && !session_greeted(c->session) && now < end) {
		apns_client_step(c, (int)(end - now), NULL, NULL);
		now = now_ms();
	}
	if (c->session && session_greeted(c->session))
		return 0;
	/* a time-out of the connection's is told at its very end */
	apns_client_step(c, 0, NULL, NULL);
	snprintf(why, size, "%s",
	         !c->session                   ? c->why
	         : session_up(c->session) == 1 ? "the server took the connection, but says nothing"
	                                       : "no connection in time");
	return -1;
}

int apns_client_poll(const struct apns_client *c, short *events_r)
{
	*events_r = 0;
	return c->session ? session_poll(c->session, events_r) : -1;
}

/* --- state --- */

static enum apns_condition condition(const struct apns_client *c, int64_t now)
{
	if (c->session && session_up(c->session) == 1)
		return c->drain && c->refused ? APNS_REFUSED
		       : c->drain             ? APNS_WAITING
		                              : APNS_CONNECTED;
	if (c->session)
		return APNS_CONNECTING;
	return c->refused ? APNS_REFUSED : now < c->not_before ? APNS_WAITING : APNS_IDLE;
}

void apns_client_state(struct apns_client *c, struct apns_state *s_r)
{
	int64_t now = now_ms();
	const struct endpoint *e = &c->endpoint;

	*s_r = (struct apns_state){.condition = condition(c, now),
	                           .wait_ms =
	                               c->session || now >= c->not_before ? 0 : c->not_before - now,
	                           .inflight = c->session ? session_inflight(c->session) : 0,
	                           .streams = c->session ? allowed(c) : 0,
	                           .connects = c->connects,
	                           .words = c->words};
	long long seconds = (long long)(s_r->wait_ms + 999) / 1000;
	switch (s_r->condition) {
	case APNS_IDLE:
		snprintf(c->words, sizeof(c->words),
		         "not connected until there is something to push%s%s",
		         c->why[0] ? "; before: " : "", c->why);
		break;
	case APNS_CONNECTING:
		snprintf(c->words, sizeof(c->words), "connecting to %s:%s%s%s", e->host, e->port,
		         c->why[0] ? " after " : "", c->why);
		break;
	case APNS_CONNECTED:
		snprintf(c->words, sizeof(c->words), "connected to %s:%s, %zu stream%s", e->host,
		         e->port, s_r->streams, s_r->streams == 1 ? "" : "s");
		break;
	case APNS_WAITING:
		snprintf(c->words, sizeof(c->words), "retrying in %lld s: %s", seconds, c->why);
		break;
	case APNS_REFUSED:
		snprintf(c->words, sizeof(c->words), "%s refused (%s), tried again in %lld s",
		         c->credentials.jwt ? "provider token" : "certificate", c->why, seconds);
		break;
	}
}
