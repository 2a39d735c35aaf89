/* SPDX-License-Identifier: BSD-3-Clause */
#include "payload.h"

#include "../../../lib/event.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define COLLAPSE_MAX 64 /* bytes; Apple's limit */

static void hexed(char *out, const unsigned char *digest, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		sprintf(out + 2 * i, "%02x", digest[i]);
	out[2 * len] = '\0';
}

static void hash(char *out, const EVP_MD *how, const char *s, size_t len)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	if (!EVP_Digest(s, len, digest, &n, how, NULL))
		n = 0;
	hexed(out, digest, n);
}

void payload_hash(char out[PAYLOAD_HASH], const char *s)
{
	hash(out, EVP_sha256(), s, strlen(s));
}

void payload_collapse(char out[PAYLOAD_COLLAPSE], const struct device *d)
{
	bool plain = true;
	for (const char *p = d->account; *p; p++)
		plain &= *p > ' ' && *p <= '~'; /* it goes into a header */
	if (plain && strlen(d->account) <= COLLAPSE_MAX)
		strcpy(out, d->account);
	else
		payload_hash(out, d->account);
}

static void add_mailboxes(struct buf *out, struct str names)
{
	const char *p = names.s, *end = p + names.len;
	bool first = true;
	while (p < end) {
		char digest[2 * EVP_MAX_MD_SIZE + 1];
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		if (!stop)
			return;
		hash(digest, EVP_md5(), p, (size_t)(stop - p));
		buf_addf(out, "%s\"%s\"", first ? ",\"m\":[" : ",", digest);
		first = false;
		p = stop + 1;
	}
	if (!first)
		buf_addc(out, ']');
}

void payload_write(struct buf *out, const struct device *d, struct str mailboxes, int64_t event,
                   int64_t now)
{
	struct str account = {d->account, strlen(d->account)};
	if (d->kind == DEVICE_MAIL) {
		buf_adds(out, "{\"aps\":{\"account-id\":");
		event_json_string(out, account);
		add_mailboxes(out, mailboxes);
		buf_adds(out, "}}");
		return;
	}
	buf_adds(out, "{\"key\":");
	event_json_string(out, account);
	buf_addf(out, ",\"dataChangedTimestamp\":%lld,\"pushRequestSubmittedTimestamp\":%lld}",
	         (long long)(event / 1000), (long long)(now / 1000));
}
