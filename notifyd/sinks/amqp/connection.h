/* SPDX-License-Identifier: BSD-3-Clause */
/* librabbitmq's connection with one channel, and what it takes to use it without waiting: only
 * connection_open(), the library's requests after connection_request() and connection_close()
 * wait, each for a bounded time. Where the library could wait without end (a full socket, a
 * missed heartbeat) it is not called; see connection_publish(). */
#ifndef NOTIFYD_AMQP_CONNECTION_H
#define NOTIFYD_AMQP_CONNECTION_H

#include <amqp.h>
#include <stdbool.h>
#include <stdint.h>

#define CONNECTION_CHANNEL 1

struct connection;

struct connection_options {
	const char *host;
	uint16_t port;
	const char *vhost, *user;
	const char *password; /* NULL: SASL EXTERNAL, by the certificate */
	const char *name;     /* what the broker's lists show */
	bool tls;
	const char *cafile, *certificate, *key;
	int heartbeat;   /* seconds, asked for */
	int64_t timeout; /* milliseconds: silence borne while answers are awaited */
};

/* Milliseconds that only go up. */
int64_t connection_now(void);

/* Connects, logs in, opens the channel. 0, or -1 with *c_r NULL, why filled, and in *code_r the
 * broker's reply code when it gave one, CONNECTION_DISTRUST, else 0. */
#define CONNECTION_DISTRUST 1 /* its certificate, or ours, won't do */
int connection_open(struct connection **c_r, const struct connection_options *opt, int64_t deadline,
                    int *code_r, char *why, size_t whysize);

/* idle: all that was published is confirmed. Then it takes leave, and waits a moment for the
 * answer where the connection is whole. */
void connection_close(struct connection **c, bool idle);

/* For one request of the library's (amqp_queue_declare() and the like), answered until deadline;
 * connection_answer() then says how it went: 0 or -1. */
amqp_connection_state_t connection_request(struct connection *c, int64_t deadline);
int connection_answer(struct connection *c);

/* A frame of the channel that came, other than channel.close. Borrowed until the next call. 1, 0
 * none yet, -1 broken or closed by the broker. awaiting: answers are due. */
int connection_next(struct connection *c, bool awaiting, amqp_frame_t *f_r);

/* 0; CONNECTION_FULL: not taken, no room in the socket (connection_wait()) or broken, which
 * connection_next() tells when it has given what the broker said before. The properties must fit
 * a frame; they have at most properties_max bytes there. mandatory, since without it an event that
 * no queue takes is confirmed all the same.
 * Of a large message as much goes out as there is room for. While it is connection_midway(),
 * nothing else may be published: connection_go_on(), which needs no more than the connection has
 * kept, sends the rest in pieces; its result likewise. */
#define CONNECTION_FULL 1
int connection_publish(struct connection *c, const char *exchange, amqp_bytes_t key,
                       const amqp_basic_properties_t *properties, size_t properties_max,
                       amqp_bytes_t body);
bool connection_midway(const struct connection *c);
int connection_go_on(struct connection *c);

/* Waits for bytes, or for room after CONNECTION_FULL; at most ms, and no longer than heartbeats
 * allow. Only after connection_next() said 0: TLS may hold bytes that poll() does not see. */
void connection_wait(struct connection *c, int64_t ms);
bool connection_full(const struct connection *c); /* connection_publish() would say so */

/* A frame's greatest length, 20 bytes around the properties included. */
size_t connection_frame_max(const struct connection *c);

/* The broker's words while it takes no messages (memory or disk alarm), else NULL. */
const char *connection_blocked(const struct connection *c);

/* Why the last call failed: one line; and the code, as above. */
const char *connection_why(const struct connection *c);
int connection_code(const struct connection *c);

#endif
