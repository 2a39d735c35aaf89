/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"
#include "key.h"
#include "utf8.h"

#include "../../../lib/catalog.h"

#include <string.h>

static amqp_bytes_t bytes(const char *s, size_t len)
{
	return (amqp_bytes_t){.len = len, .bytes = (void *)(uintptr_t)s};
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

/* Of whose mailbox it is, else of who acted. */
static void split(const struct record *rec, struct str *local_r, struct str *domain_r)
{
	struct str who = rec->owner.len ? rec->owner : rec->user;
	const char *at = who.len ? memrchr(who.s, '@', who.len) : NULL;
	size_t before = at ? (size_t)(at - who.s) : who.len;

	*local_r = (struct str){who.s, before};
	*domain_r = at ? (struct str){at + 1, who.len - before - 1} : (struct str){"", 0};
}

#define BODY_KEEP (64 << 10)
#define BEFORE    "{\"id\":\""
#define AFTER     "\",\"event\":"

size_t message_body_len(const struct message *m, const struct record *rec)
{
	size_t around = sizeof BEFORE - 1 + JOURNAL_ID - 1 + sizeof AFTER - 1 + 1;
	return rec->json.len + (m->with_id ? around : 0);
}

static int set_body(struct message *m, const struct record *rec)
{
	m->body = bytes(rec->json.s, rec->json.len);
	if (!m->with_id)
		return 0;
	if (m->bodybuf.cap > BODY_KEEP) /* few are large */
		buf_free(&m->bodybuf);
	buf_reset(&m->bodybuf);
	buf_adds(&m->bodybuf, BEFORE);
	buf_adds(&m->bodybuf, m->id);
	buf_adds(&m->bodybuf, AFTER);
	buf_add(&m->bodybuf, rec->json.s, rec->json.len);
	buf_addc(&m->bodybuf, '}');
	m->body = bytes(m->bodybuf.s, m->bodybuf.len);
	return m->bodybuf.failed ? -1 : 0;
}

int message_set(struct message *m, const unsigned char uuid[16], const struct record *rec)
{
	const char *group = catalog_group(rec->event);
	struct str local, domain;
	split(rec, &local, &domain);
	size_t worst =
	    3 * (rec->event.len + rec->user.len + rec->owner.len + rec->mailbox.len + domain.len);

	/* Grown before anything borrows from it. */
	buf_reset(&m->text);
	if (m->text.cap < worst)
		buf_addf(&m->text, "%*s", (int)worst, "");
	if (m->text.failed)
		return -1;
	m->text.len = 0;

	key_fill(&m->keybuf, m->template,
	         &(struct key_facts){
		     .group = {group, strlen(group)},
		     .event = rec->event,
		     .user = rec->user,
		     .owner = rec->owner,
		     .domain = domain,
		     .local = local,
		     .mailbox = rec->mailbox,
		     .server = {m->server, strlen(m->server)},
		 });
	if (m->keybuf.failed)
		return -1;
	m->key = bytes(m->keybuf.s, m->keybuf.len);
	journal_id(m->id, uuid, rec->pos);
	if (set_body(m, rec))
		return -1;

	amqp_basic_properties_t *p = &m->properties;
	p->_flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
	p->delivery_mode = AMQP_DELIVERY_PERSISTENT;
	p->message_id = amqp_cstring_bytes(m->id);
	p->headers = (amqp_table_t){.num_entries = 0, .entries = m->headers};
	if (m->bare)
		return 0;
	p->_flags |= AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG |
	             AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_APP_ID_FLAG;
	p->content_type = amqp_cstring_bytes("application/json");
	p->timestamp = (uint64_t)(rec->time / 1000000);
	p->type = bytes(rec->event.s, rec->event.len);
	p->app_id = amqp_cstring_bytes("notifyd");
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
	size_t n = 2 + 1 + 8 + 4 + p->message_id.len + p->content_type.len + p->type.len +
	           p->app_id.len + 4;
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
	buf_free(&m->bodybuf);
}
