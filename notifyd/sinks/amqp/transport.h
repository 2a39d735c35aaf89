/* SPDX-License-Identifier: BSD-3-Clause */
/* One stream to a broker, TCP or TLS. Only transport_open() and transport_wait() wait, and no
 * longer than they are told (but for the resolver). */
#ifndef NOTIFYD_AMQP_TRANSPORT_H
#define NOTIFYD_AMQP_TRANSPORT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct transport {
	int fd; /* -1: closed */
	SSL *ssl;
	bool read_wants_write, write_wants_read; /* TLS: what the call waits for is the other way */
	bool full;                               /* the last write would have waited */
	char why[160];                           /* set whenever a call fails */
};

/* Milliseconds that only go up. */
int64_t transport_now(void);

/* Connects to one of the name's addresses until deadline. tls NULL: plain TCP. 0 or -1. */
int transport_open(struct transport *t, const char *host, uint16_t port, SSL_CTX *tls,
                   int64_t deadline);

/* How many bytes, 0 when it would wait, -1 when the stream is broken or at its end. */
ssize_t transport_read(struct transport *t, void *to, size_t len);
ssize_t transport_write(struct transport *t, const void *from, size_t len);

/* Until there is something to read, or room to write when `writing`; at most ms. Read until
 * transport_read() says 0 before: TLS may hold bytes that poll() does not see. */
void transport_wait(struct transport *t, bool writing, int64_t ms);

void transport_close(struct transport *t); /* at once */

#endif
