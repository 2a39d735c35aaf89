/* SPDX-License-Identifier: BSD-3-Clause */
/* What shows Apple who we are, and us who Apple is. */
#ifndef NOTIFYD_APNS_CREDENTIALS_H
#define NOTIFYD_APNS_CREDENTIALS_H

#include "client.h"
#include "jwt.h"

#include <openssl/ssl.h>

struct credentials {
	SSL_CTX *tls;    /* TLS 1.2 or later, for HTTP/2 alone, the server verified */
	struct jwt *jwt; /* NULL: by certificate */
	char topic[256]; /* the certificate's UID; "" */
};

/* 0, or -1 with *why_r malloc'd and nothing kept. */
int credentials_load(struct credentials *c, const struct apns_client_options *options,
                     char **why_r);
void credentials_forget(struct credentials *c);

#endif
