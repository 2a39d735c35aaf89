/* SPDX-License-Identifier: BSD-3-Clause */
/* What Apple's provider API refuses, as far as its documentation says. */
#ifndef TESTS_APNS_STRICT_H
#define TESTS_APNS_STRICT_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field {
	FIELD_METHOD,
	FIELD_PATH,
	FIELD_SCHEME,
	FIELD_AUTHORITY,
	FIELD_AUTHORIZATION,
	FIELD_TOPIC,
	FIELD_PUSH_TYPE,
	FIELD_PRIORITY,
	FIELD_EXPIRATION,
	FIELD_COLLAPSE_ID,
	FIELD_ID,
	FIELD_CONTENT_TYPE,
	FIELDS,
	FIELD_OTHER = -1,
};

struct text {
	char *s; /* NUL-terminated; NULL: absent */
	size_t len;
};

struct request {
	struct text field[FIELDS];
	struct text body;
	bool doubled; /* a field came twice */
};

struct strict_key {
	const char *id, *team;
	EVP_PKEY *key; /* public */
};

struct strict {
	const char *topics[16]; /* NULL ends; none: all */
	struct strict_key keys[4];
	size_t nkeys;
	int64_t clock_offset; /* seconds that this server's clock is ahead */
	int64_t token_max_age;
};

/* A connection's memory of provider tokens. */
struct strict_peer {
	char uid[256]; /* of the client certificate; "": none was shown */
	bool certified;
	char token[1024]; /* the last that was in order */
	int64_t iat;
	uint64_t tokens; /* that were looked at, how many different */
};

struct verdict {
	int status;
	const char *reason; /* NULL with 200 */
};

/* FIELD_OTHER when the name is none that matters. */
enum field strict_field(const char *name, size_t len);
const char *strict_name(enum field f);

struct verdict strict_check(const struct strict *s, struct strict_peer *peer,
                            const struct request *r);

#endif
