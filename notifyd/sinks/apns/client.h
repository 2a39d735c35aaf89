/* SPDX-License-Identifier: BSD-3-Clause */
/* The way to Apple's provider API: one HTTP/2 connection, authenticated by a client certificate
 * or a provider token, on which pushes are streams. No call blocks but apns_client_step(), and
 * that no longer than it is told to, and apns_client_probe(). Whatever the server does is an answer
 * or a state, never an end. What it keeps is bounded by options.inflight. SIGPIPE must be ignored.
 */
#ifndef NOTIFYD_APNS_CLIENT_H
#define NOTIFYD_APNS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define APNS_PAYLOAD_MAX 4096 /* bytes; Apple's limit, checked by apns_client_submit() */

struct apns_client;

/* Borrowed for the call that gets it. Either certificate and key, or token_key, key_id and
 * team_id; the others NULL. */
struct apns_client_options {
	const char *url;               /* "production", "sandbox" or https://HOST[:PORT] */
	const char *cafile;            /* PEM; NULL: the system's */
	const char *certificate, *key; /* PEM files, which may be the same */
	const char *token_key;         /* PEM file: Apple's AuthKey_....p8 */
	const char *key_id, *team_id;  /* ten characters each */
	int64_t timeout;   /* milliseconds that connecting, and then an answer, may take */
	int64_t retry_max; /* milliseconds: about so long after a refusal; other attempts to connect
	                      are 1 s to a minute apart, and never longer than this */
	int64_t (*clock)(void); /* seconds since 1970; NULL: the system's */
	size_t inflight;        /* pushes without answer at most, whatever the server allows */
};

/* Everything about the options that can be told without connecting: which are missing, files
 * that can't be read or hold something else, a key that others can read or that is protected, a
 * certificate that has expired. 0, or -1 with *why_r malloc'd: one line, the option's name and a
 * colon before it, no secret. */
int apns_client_check(const struct apns_client_options *options, char **why_r);

/* The same, and keeps what is needed. Does not connect yet. */
int apns_client_open(struct apns_client **c_r, const struct apns_client_options *options,
                     char **why_r);

/* Takes leave (GOAWAY) without waiting. Pushes without answer get none: send them again. */
void apns_client_close(struct apns_client **c);

/* The topic that the certificate is for (its subject's UID); NULL: it names none, or tokens. */
const char *apns_client_topic(const struct apns_client *c);

struct apns_push {
	const char *token;       /* the device's, in hex */
	const char *topic;       /* apns-topic */
	const char *push_type;   /* apns-push-type: "background", "alert", ... */
	int priority;            /* apns-priority: 1, 5 or 10; 0: not sent */
	int64_t expiration;      /* apns-expiration: seconds since 1970; 0: now or never */
	const char *collapse_id; /* apns-collapse-id, 64 bytes at most; NULL: not sent */
	const char *payload;     /* JSON */
	size_t len;
	void *ref; /* yours; comes back with the answer */
};

enum apns_outcome {
	APNS_DELIVERED,     /* 200: Apple has it */
	APNS_GONE,          /* 410: remove the device, if it registered before timestamp_ms (0: not
	                       told: do as if it had) */
	APNS_BAD_TOKEN,     /* 400 BadDeviceToken: remove the device (or the wrong one of production
	                       and sandbox: when nearly all are bad, it is that) */
	APNS_NOT_FOR_TOPIC, /* 400 DeviceTokenNotForTopic: keep the device, report; no use to retry
	                     */
	APNS_DROP,     /* this push can never succeed (413, other 400, 404, 405, ...): report */
	APNS_BACK_OFF, /* 429: nothing more to this device for retry_after_ms (0: not told) */
	APNS_AGAIN,    /* not delivered through no fault of this push (500, 503, connection lost,
	                  no answer in time, GOAWAY): send again. The client backs off by
	                  itself, so the caller need not, except from the same push's third
	                  APNS_AGAIN on: then by device, so that it does not delay others */
	APNS_TOPIC_REFUSED, /* the certificate or key is not for this topic: keep the push; nothing
	                       more with this topic for a while (minutes). A configuration error */
};

/* Borrowed for the call of apns_answer_fn. */
struct apns_answer {
	enum apns_outcome outcome;
	int status;             /* HTTP's; 0: none came */
	const char *reason;     /* Apple's, and what to do where there is something; or why there is
	                           no answer: one line, never a secret or the device's token */
	int64_t timestamp_ms;   /* APNS_GONE: since 1970 */
	int64_t retry_after_ms; /* APNS_BACK_OFF */
};

/* Called by apns_client_step() alone, once for each push taken. May call apns_client_submit(), but
 * no other function of these. */
typedef void (*apns_answer_fn)(void *ctx, void *ref, const struct apns_answer *answer);

enum {
	APNS_OK = 0,
	APNS_FULL = 1,  /* not taken: enough is in flight (one, until the first success on a new
	                   connection; then what the server allows): step, then come again */
	APNS_WAIT = 2,  /* not taken: no connection now, see apns_client_state() for how long; step
	                   all the same */
	APNS_NEVER = -1 /* not taken and never will be: longer than APNS_PAYLOAD_MAX, or a header
	                   or token with characters that it can't have: as APNS_DROP */
};

/* The push is copied. Connects when there is no connection (APNS_WAIT until there is one). */
int apns_client_submit(struct apns_client *c, const struct apns_push *p);

/* Moves bytes, waits up to wait_ms for the first progress (0: not at all), and tells what
 * answers there are. To be called at least once a second also when idle. Returns the number of
 * pushes in flight. */
size_t apns_client_step(struct apns_client *c, int wait_ms, apns_answer_fn answer, void *ctx);

/* Connects, sees that the server takes our certificate and speaks HTTP/2, and pushes nothing.
 * Waits, at most options.timeout, which must not be longer than the caller has. Only for a client
 * that has no connection. 0, or -1 with why: one line. */
int apns_client_probe(struct apns_client *c, char *why, size_t size);

/* A descriptor and poll(2)'s events to wait for beside the caller's own; -1: none now. */
int apns_client_poll(const struct apns_client *c, short *events_r);

enum apns_condition {
	APNS_IDLE, /* no connection, none is wanted */
	APNS_CONNECTING,
	APNS_CONNECTED,
	APNS_WAITING, /* the last connection failed or was lost: next attempt in wait_ms */
	APNS_REFUSED, /* certificate or provider token refused: an admin must act; retried slowly */
};

struct apns_state {
	enum apns_condition condition;
	int64_t wait_ms;   /* APNS_WAITING, APNS_REFUSED: until the next attempt */
	size_t inflight;   /* pushes taken and without answer */
	size_t streams;    /* pushes that may be in flight now */
	uint64_t connects; /* connections made since apns_client_open() */
	const char *words; /* for status, borrowed until the next call: "connected to
	                      api.push.apple.com:443, 100 streams", "retrying in 8 s: ...",
	                      "provider token refused (403 InvalidProviderToken): check ..." */
};

void apns_client_state(struct apns_client *c, struct apns_state *s_r);

#endif
