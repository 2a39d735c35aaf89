/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates and keys for amqps. */
#ifndef NOTIFYD_AMQP_TLS_H
#define NOTIFYD_AMQP_TLS_H

#include <openssl/ssl.h>

/* A client's context: TLS 1.2 or later, the peer verified against cafile (NULL: the system's
 * store), our certificate and key where they are not NULL. Never asks for a pass phrase.
 * 0, or -1 with *why_r malloc'd: which file, what is wrong with it and what to do. */
int tls_context(SSL_CTX **ctx_r, const char *cafile, const char *certificate, const char *key,
                char **why_r);

#endif
