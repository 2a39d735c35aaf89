/* SPDX-License-Identifier: BSD-3-Clause */
/* Provider tokens: JSON Web Tokens signed with ES256 (RFC 7519, RFC 7518), which Apple takes for an
 * hour and wants renewed no oftener than every 20 minutes. Times are seconds since 1970, the
 * caller's. */
#ifndef NOTIFYD_APNS_JWT_H
#define NOTIFYD_APNS_JWT_H

#include <stdbool.h>
#include <stdint.h>

#define JWT_RENEW_MIN (20 * 60)
#define JWT_RENEW     (40 * 60)

struct jwt;

/* keyfile: Apple's AuthKey_<key_id>.p8, PEM with a P-256 key, which others can't read. 0, or -1
 * with *why_r malloc'd: which option, what is wrong with it and what to do. */
int jwt_open(struct jwt **j_r, const char *keyfile, const char *key_id, const char *team_id,
             char **why_r);
void jwt_close(struct jwt **j);

/* "bearer <token>", borrowed until the next call; a secret. The same until it is JWT_RENEW old, or
 * more than a minute younger than now. NULL: OpenSSL could not sign. */
const char *jwt_bearer(struct jwt *j, int64_t now);

/* The server says that it has expired. True: the next jwt_bearer() gives a new one. False: it is
 * younger than JWT_RENEW_MIN, so a clock is wrong and a new one would be no better. */
bool jwt_expired(struct jwt *j, int64_t now);

/* When the present one was made; 0: none yet. */
int64_t jwt_made(const struct jwt *j);

#endif
