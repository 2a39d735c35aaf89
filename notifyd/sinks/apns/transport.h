/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes to and from the server: its name looked up, TCP to one address after the other, TLS with
 * ALPN for HTTP/2. Nothing here waits. SIGPIPE must be ignored. */
#ifndef NOTIFYD_APNS_TRANSPORT_H
#define NOTIFYD_APNS_TRANSPORT_H

#include "endpoint.h"
#include "resolve.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct transport;

/* All borrowed as long as it lives. timeout: milliseconds, for all of it to be ready, and for sent
 * bytes to be acknowledged by TCP. NULL: out of memory. */
struct transport *transport_open(SSL_CTX *tls, struct resolve *resolver,
                                 const struct endpoint *endpoint, int64_t timeout);
void transport_close(struct transport **t);

/* 1 ready, 0 not yet, -1 failed: transport_why(). now: milliseconds that only go up. */
int transport_advance(struct transport *t, int64_t now);

/* How many bytes; 0: none now; -1 failed or closed. len is not 0. */
ssize_t transport_read(struct transport *t, void *to, size_t len);
ssize_t transport_write(struct transport *t, const void *from, size_t len);

/* What to wait for with poll(2). */
int transport_poll(const struct transport *t, short *events_r);

/* When transport_advance() has to be called at the latest, ready or not; INT64_MAX: any time. */
int64_t transport_due(const struct transport *t);

/* Why it failed: one line. */
const char *transport_why(const struct transport *t);

/* It failed because the server does not take our certificate. */
bool transport_refused(const struct transport *t);

#endif
