/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates and keys for amqps. */
#ifndef NOTIFYD_AMQP_TLS_H
#define NOTIFYD_AMQP_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

/* Sets a client's context up: TLS 1.2 or later, the peer verified against cafile (NULL: the
 * system's store), our certificate and key where they are not NULL. Never asks for a pass phrase.
 * 0, or -1 with *why_r malloc'd: "certificate: " (or cafile, or key), which file, what is wrong
 * with it and what to do. */
int tls_setup(SSL_CTX *ctx, const char *cafile, const char *certificate, const char *key,
              char **why_r);

/* The same in a context that is thrown away: can these files be used? */
int tls_check(const char *cafile, const char *certificate, const char *key, char **why_r);

/* Why a peer's certificate is refused, error is zero while none is. */
struct tls_refusal {
	int error; /* X509_V_ERR_... */
	const char *name;
};

/* The handshake fails unless the certificate is for host, a name or an address; a name is sent as
 * SNI, whatever the library was told to connect to. Refusals go to *refusal, which the context
 * borrows as it does host. 0, or -1: out of memory. */
int tls_expect(SSL_CTX *ctx, const char *host, struct tls_refusal *refusal);

/* Why TLS failed just now, in words; takes it out of OpenSSL's queue. False when it did not.
 * *distrust_r: a certificate is refused, the peer's or ours. */
bool tls_why(const struct tls_refusal *refusal, char *why, size_t size, bool *distrust_r);

#endif
