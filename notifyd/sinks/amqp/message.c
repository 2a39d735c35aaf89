/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

#include "../../../lib/catalog.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static amqp_bytes_t bytes(const char *s, size_t len)
{
	return (amqp_bytes_t){.len = len, .bytes = (void *)(uintptr_t)s};
}

/* Length of the UTF-8 sequence at s (RFC 3629), 0 when it is none. */
static size_t utf8_sequence(const unsigned char *s, size_t len)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n;
	if (*s < 0x80)
		return 1;
	if (*s >= 0xc2 && *s <= 0xdf) {
		n = 2;
	} else if (*s >= 0xe0 && *s <= 0xef) {
		n = 3;
		if (*s == 0xe0)
			low = 0xa0;
		else if (*s == 0xed)
			high = 0x9f;
	} else if (*s >= 0xf0 && *s <= 0xf4) {
		n = 4;
		if (*s == 0xf0)
			low = 0x90;
		else if (*s == 0xf4)
			high = 0x8f;
	} else {
		return 0;
	}
	if (len < n || s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* The fact as it is where it is UTF-8 (nearly always); else a copy in text with U+FFFD for each
 * byte that is not: some client libraries drop a connection over a bad string. text is large
 * enough, so that it does not move. */
static amqp_bytes_t utf8(struct str fact, struct buf *text)
{
	const unsigned char *s = (const unsigned char *)fact.s;
	size_t i = 0, n;
	while (i < fact.len && (n = utf8_sequence(s + i, fact.len - i)))
		i += n;
	if (i == fact.len)
		return bytes(fact.s, fact.len);

	size_t start = text->len;
	for (i = 0; i < fact.len; i += n) {
		n = utf8_sequence(s + i, fact.len - i);
		if (n) {
			buf_add(text, s + i, n);
		} else {
			buf_adds(text, "\xef\xbf\xbd");
			n = 1;
		}
	}
	return bytes(text->s + start, text->len - start);
}

static void header(struct message *m, const char *name, struct str fact)
{
	if (!fact.len)
		return;
	amqp_table_entry_t *e = &m->headers[m->properties.headers.num_entries++];
	e->key = amqp_cstring_bytes(name);
	e->value.kind = AMQP_FIELD_KIND_UTF8;
	e->value.value.bytes = utf8(fact, &m->text);
}

/* A word of a topic key has no dot of its own. */
static void add_word(struct buf *key, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.s[i] == '.' || s.s[i] == '%' || (unsigned char)s.s[i] <= ' ')
			buf_addf(key, "%%%02X", (unsigned char)s.s[i]);
		else
			buf_addc(key, s.s[i]);
	}
}

static void set_key(struct message *m, const char *group, struct str event)
{
	static const char vendor[] = "vnd.cmu.";
	size_t prefix = sizeof vendor - 1;

	if (event.len > prefix && !memcmp(event.s, vendor, prefix)) {
		event.s += prefix;
		event.len -= prefix;
	}
	struct buf *key = &m->keybuf;
	buf_reset(key);
	buf_adds(key, group);
	buf_addc(key, '.');
	add_word(key, event);
	if (key->len > MESSAGE_KEY_MAX) {
		uint64_t hash = XXH3_64bits(key->s, key->len);
		key->len = MESSAGE_KEY_MAX - 17;
		while ((key->s[key->len] & 0xc0) == 0x80) /* not inside a character */
			key->len--;
		buf_addf(key, "~%016" PRIx64, hash);
	}
	m->key = bytes(key->s, key->len);
}

/* The domain of whose mailbox it is, else of who acted. */
static struct str domain_of(const struct record *rec)
{
	struct str who = rec->owner.len ? rec->owner : rec->user;
	const char *at = who.len ? memrchr(who.s, '@', who.len) : NULL;
	if (!at)
		return (struct str){"", 0};
	return (struct str){at + 1, (size_t)(who.s + who.len - (at + 1))};
}

int message_set(struct message *m, const unsigned char uuid[16], const struct record *rec)
{
	struct str domain = domain_of(rec);
	const char *group = catalog_group(rec->event);
	size_t worst =
	    3 * (rec->event.len + rec->user.len + rec->owner.len + rec->mailbox.len + domain.len);

	/* Grown before anything borrows from it. */
	buf_reset(&m->text);
	if (m->text.cap < worst)
		buf_addf(&m->text, "%*s", (int)worst, "");
	if (m->text.failed)
		return -1;
	m->text.len = 0;

	set_key(m, group, rec->event);
	if (m->keybuf.failed)
		return -1;
	journal_id(m->id, uuid, rec->pos);

	amqp_basic_properties_t *p = &m->properties;
	p->_flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG |
	            AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
	            AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_APP_ID_FLAG;
	p->content_type = amqp_cstring_bytes("application/json");
	p->delivery_mode = AMQP_DELIVERY_PERSISTENT;
	p->message_id = amqp_cstring_bytes(m->id);
	p->timestamp = (uint64_t)(rec->time / 1000000);
	p->type = bytes(rec->event.s, rec->event.len);
	p->app_id = amqp_cstring_bytes("notifyd");
	p->headers = (amqp_table_t){.num_entries = 0, .entries = m->headers};
	header(m, "group", (struct str){group, strlen(group)});
	header(m, "event", rec->event);
	header(m, "user", rec->user);
	header(m, "owner", rec->owner);
	header(m, "domain", domain);
	header(m, "mailbox", rec->mailbox);
	return 0;
}

size_t message_properties_max(const struct message *m)
{
	const amqp_basic_properties_t *p = &m->properties;
	/* Flags, delivery-mode, timestamp, four short strings, the headers' own length. */
	size_t n = 2 + 1 + 8 + 4 * 256 + 4;
	for (int i = 0; i < p->headers.num_entries; i++) {
		const amqp_table_entry_t *e = &p->headers.entries[i];
		n += 1 + e->key.len + 1 + 4 + e->value.value.bytes.len;
	}
	return n;
}

void message_free(struct message *m)
{
	buf_free(&m->keybuf);
	buf_free(&m->text);
}
