/* SPDX-License-Identifier: BSD-3-Clause */
/* An AMQP 0-9-1 connection with one channel (AMQP 0-9-1 specification; RabbitMQ's extensions).
 * librabbitmq encodes and decodes the methods and properties. Reading, writing, time-outs and
 * heartbeats are done here, because the library's own calls wait without end on a full socket.
 * Only connection_open() and connection_call() wait, until their deadline. */
#ifndef NOTIFYD_AMQP_CONNECTION_H
#define NOTIFYD_AMQP_CONNECTION_H

#include "../../../lib/record.h"

#include <amqp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#define CONNECTION_CHANNEL 1

struct connection;

struct connection_options {
	const char *host;
	uint16_t port;
	const char *vhost, *user, *password;
	const char *name; /* what the broker's lists show */
	SSL_CTX *tls;     /* NULL: TCP */
	int heartbeat;    /* seconds, asked for */
	int64_t timeout;  /* milliseconds: silence borne while answers are awaited */
};

/* Connects, logs in, opens the channel. 0, or -1 with *c_r NULL, why filled, and the broker's
 * reply code in *code_r when it gave one, else 0. */
int connection_open(struct connection **c_r, const struct connection_options *opt, int64_t deadline,
                    int *code_r, char *why, size_t whysize);

/* Takes leave where the connection is whole, without waiting for the answer. */
void connection_close(struct connection **c);

/* A frame that came, other than what the connection itself sees to (heartbeats, connection.*).
 * Borrowed until the next call. */
struct connection_frame {
	uint8_t type;                              /* AMQP_FRAME_METHOD, _HEADER or _BODY */
	amqp_method_number_t method;               /* METHOD */
	void *decoded;                             /* METHOD: its fields */
	const amqp_basic_properties_t *properties; /* HEADER */
	uint64_t body_size;                        /* HEADER: length of the body that follows */
	size_t body_len;                           /* BODY */
};

/* 1 a frame, 0 none yet, -1 the connection is broken. */
int connection_next(struct connection *c, struct connection_frame *f_r);

/* Sends a request on the channel and waits for its answer. 0, or -1: broken, or the channel was
 * closed by the broker (connection_code()). */
int connection_call(struct connection *c, amqp_method_number_t id, void *request,
                    amqp_method_number_t reply, int64_t deadline);

/* Queues a message: nothing is sent before connection_write(). 0; CONNECTION_TOO_LONG when its
 * headers fit no frame (nothing is queued); -1 out of memory, broken. */
#define CONNECTION_TOO_LONG (-2)
int connection_publish(struct connection *c, amqp_basic_publish_t *publish,
                       amqp_basic_properties_t *properties, struct str body);

/* Writes what is queued as far as the stream takes it. 0, or -1: no more can be written;
 * connection_next() still gives what the broker said before, then why. */
int connection_write(struct connection *c);
size_t connection_queued(const struct connection *c); /* bytes not written yet */
bool connection_stuck(const struct connection *c);    /* the last write found no room */

/* Sends a heartbeat when one is due, and breaks a connection that was silent for too long;
 * call after connection_next() said 0. awaiting: answers are due. 0 or -1. */
int connection_tick(struct connection *c, bool awaiting);

/* Waits for bytes, for room when some are queued, or for the next tick; at most ms. */
void connection_wait(struct connection *c, int64_t ms);

/* The broker's words while it takes no messages (memory or disk alarm), else NULL. */
const char *connection_blocked(const struct connection *c);

/* Takes a channel.close: connection_code() and connection_why() say why. */
void connection_channel_closed(struct connection *c, const amqp_channel_close_t *close);

/* Why the last call failed: one line; and the AMQP reply code when the broker gave one, else 0. */
const char *connection_why(const struct connection *c);
int connection_code(const struct connection *c);

#endif
