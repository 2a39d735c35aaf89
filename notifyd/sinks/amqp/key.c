/* SPDX-License-Identifier: BSD-3-Clause */
#include "key.h"
#include "utf8.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <inttypes.h>
#include <stdio.h>

#define HASH 17 /* ~ and 16 digits */

static const char vendor[] = "vnd.cmu.";

/* NULL: there is no such letter. */
static const struct str *fact(const struct key_facts *f, char letter)
{
	switch (letter) {
	case 'g':
		return &f->group;
	case 'e':
		return &f->event;
	case 'u':
		return &f->user;
	case 'o':
		return &f->owner;
	case 'd':
		return &f->domain;
	case 'l':
		return &f->local;
	case 'm':
		return &f->mailbox;
	case 's':
		return &f->server;
	default:
		return NULL;
	}
}

int key_check(const char *template, char **why_r)
{
	static const struct key_facts none;
	const char *bad = NULL;

	*why_r = NULL;
	for (const char *p = strchr(template, '%'); p; p = strchr(p + 2, '%'))
		if (p[1] != '%' && !fact(&none, p[1])) {
			bad = p + 1; /* maybe the end */
			break;
		}
	if (bad && asprintf(why_r,
	                    "'%%%.1s': must be %%g group, %%e event, %%u user, %%o owner, "
	                    "%%d domain, %%l local part, %%m mailbox, %%s server, or %%%% for a "
	                    "percent sign",
	                    bad) < 0)
		*why_r = NULL;
	else if (!bad && strlen(template) > KEY_MAX &&
	         asprintf(why_r, "is longer than %d bytes", KEY_MAX) < 0)
		*why_r = NULL;
	return bad || strlen(template) > KEY_MAX ? -1 : 0;
}

void key_word(struct buf *key, struct str s)
{
	const unsigned char *p = (const unsigned char *)s.s;
	bool dash = s.len == 1 && *p == '-';

	if (!s.len)
		buf_addc(key, '-');
	for (size_t i = 0, n; i < s.len; i += n) {
		n = utf8_sequence(p + i, s.len - i);
		if (!n || p[i] <= ' ' || p[i] == 0x7f || p[i] == '.' || p[i] == '%' ||
		    p[i] == '*' || p[i] == '#' || dash) {
			buf_addf(key, "%%%02X", p[i]);
			n = 1;
		} else {
			buf_add(key, p + i, n);
		}
	}
}

/* Not inside a character or an escape. */
static void cut(struct buf *key)
{
	uint64_t hash = XXH3_64bits(key->s, key->len);
	size_t len = KEY_MAX - HASH;

	while (len && (key->s[len] & 0xc0) == 0x80)
		len--;
	if (len >= 1 && key->s[len - 1] == '%')
		len--;
	else if (len >= 2 && key->s[len - 2] == '%')
		len -= 2;
	key->len = len;
	buf_addf(key, "~%016" PRIx64, hash);
}

void key_fill(struct buf *key, const char *template, const struct key_facts *facts)
{
	struct key_facts f = *facts;

	if (f.event.len >= sizeof vendor && !memcmp(f.event.s, vendor, sizeof vendor - 1)) {
		f.event.s += sizeof vendor - 1;
		f.event.len -= sizeof vendor - 1;
	}
	buf_reset(key);
	for (const char *p = template; *p; p++) {
		const struct str *s = *p == '%' && p[1] ? fact(&f, *++p) : NULL;
		if (s)
			key_word(key, *s);
		else
			buf_addc(key, *p);
	}
	if (!key->failed && key->len > KEY_MAX)
		cut(key);
}
