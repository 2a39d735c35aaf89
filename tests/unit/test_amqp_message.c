/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../notifyd/sinks/amqp/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct message m;
static const unsigned char uuid[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                       0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

static struct str str(const char *s)
{
	return (struct str){s, s ? strlen(s) : 0};
}

static void is(amqp_bytes_t got, const char *want)
{
	if (got.len != strlen(want) || memcmp(got.bytes, want, got.len))
		fail_msg("'%.*s' should be '%s'", (int)got.len, (char *)got.bytes, want);
}

/* Headers as "name=value " in their order. */
static void headers_are(const char *want)
{
	char got[1024] = "";
	for (int i = 0; i < m.properties.headers.num_entries; i++) {
		const amqp_table_entry_t *e = &m.properties.headers.entries[i];
		assert_int_equal(e->value.kind, AMQP_FIELD_KIND_UTF8);
		size_t n = strlen(got);
		snprintf(got + n, sizeof got - n, "%.*s=%.*s ", (int)e->key.len,
		         (char *)e->key.bytes, (int)e->value.value.bytes.len,
		         (char *)e->value.value.bytes.bytes);
	}
	assert_string_equal(got, want);
}

static void set(const char *event, const char *user, const char *owner, const char *mailbox)
{
	struct record rec = {
	    .pos = 0x1a2b0,
	    .time = INT64_C(1717158600123456),
	    .event = str(event),
	    .user = str(user),
	    .owner = str(owner),
	    .mailbox = str(mailbox),
	};
	m.template = "%g.%e";
	m.server = "imap.example.org";
	assert_int_equal(message_set(&m, uuid, &rec), 0);
}

static void properties(void **state)
{
	(void)state;
	set("vnd.cmu.MessageCopy", "jane", "john@example.org", "Entw\xc3\xbcrfe/2024");
	is(m.key, "message.MessageCopy");
	is(m.properties.type, "vnd.cmu.MessageCopy");
	is(m.properties.message_id, "01234567-89ab-cdef-0123-456789abcdef-000000000001a2b0");
	is(m.properties.content_type, "application/json");
	is(m.properties.app_id, "notifyd");
	assert_int_equal(m.properties.delivery_mode, 2);
	assert_int_equal(m.properties.timestamp, 1717158600);
	headers_are("group=message event=vnd.cmu.MessageCopy user=jane owner=john@example.org "
	            "domain=example.org mailbox=Entw\xc3\xbcrfe/2024 ");
}

static void no_more_than_the_id(void **state)
{
	(void)state;
	m.bare = true;
	set("vnd.cmu.MessageCopy", "jane", "john@example.org", "INBOX");
	m.bare = false;
	is(m.key, "message.MessageCopy");
	is(m.properties.message_id, "01234567-89ab-cdef-0123-456789abcdef-000000000001a2b0");
	assert_int_equal(m.properties.delivery_mode, 2);
	assert_int_equal(m.properties._flags,
	                 AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG);
}

static void absent_facts(void **state)
{
	(void)state;
	set("AclChange", NULL, "", NULL);
	is(m.key, "mailbox.AclChange");
	headers_are("group=mailbox event=AclChange ");
	set("Login", "jane@example.org", NULL, NULL);
	is(m.key, "access.Login");
	headers_are("group=access event=Login user=jane@example.org domain=example.org ");
	/* whose mailbox it is decides, and john has no domain */
	set("MessageNew", "jane@example.org", "john", "INBOX");
	headers_are(
	    "group=message event=MessageNew user=jane@example.org owner=john mailbox=INBOX ");
}

static void keys_are_two_words(void **state)
{
	(void)state;
	set("vnd.example.Some thing%", NULL, NULL, NULL);
	is(m.key, "other.vnd%2Eexample%2ESome%20thing%25");
	is(m.properties.type, "vnd.example.Some thing%");
	set("vnd.cmu.", NULL, NULL, NULL);
	is(m.key, "other.vnd%2Ecmu%2E");
}

static void long_keys_stay_distinct(void **state)
{
	char event[256], first[256];
	(void)state;
	memset(event, 'a', 249);
	event[249] = '\0';
	set(event, NULL, NULL, NULL); /* other. and 249: just fits */
	assert_int_equal(m.key.len, 255);
	assert_null(memchr(m.key.bytes, '~', m.key.len));
	strcpy(event + 249, "bb");
	set(event, NULL, NULL, NULL);
	assert_int_equal(m.key.len, 255);
	assert_int_equal(((char *)m.key.bytes)[238], '~');
	memcpy(first, m.key.bytes, 255);
	event[250] = 'c';
	set(event, NULL, NULL, NULL);
	assert_int_equal(m.key.len, 255);
	assert_memory_equal(first, m.key.bytes, 238);
	assert_memory_not_equal(first, m.key.bytes, 255);
	/* never cut inside a character */
	for (size_t i = 0; i + 1 < 250; i += 2)
		memcpy(event + i, "\xc3\xbc", 2);
	set(event, NULL, NULL, NULL);
	assert_int_equal(m.key.len, 255);
	event[0] = 'x';
	memmove(event + 1, "\xc3\xbc", 2);
	set(event, NULL, NULL, NULL);
	assert_true(m.key.len <= 255);
}

static void headers_are_utf8(void **state)
{
	(void)state;
	set("MessageNew",
	    "a\xff"
	    "b",
	    "\xc3",
	    "\xed\xa0\x80"
	    "x\xf0\x9f\x93\xa7");
	headers_are("group=message event=MessageNew user=a\xef\xbf\xbd"
	            "b owner=\xef\xbf\xbd "
	            "mailbox=\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
	            "x\xf0\x9f\x93\xa7 ");
	set("MessageNew", "\xc3(", NULL, "\xe2\x82(\xf0\x9f\x93");
	headers_are("group=message event=MessageNew user=\xef\xbf\xbd( "
	            "mailbox=\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd ");
}

/* A message whose properties fit no frame would be noticed when half of it is sent. */
static void properties_are_bounded(void **state)
{
	static char name[3000], room[40000];
	(void)state;
	memset(name, '\xff', sizeof name - 1); /* three bytes each in UTF-8 */
	for (size_t len = 0; len < sizeof name; len += 1499) {
		set("MessageNew", name + sizeof name - 1 - len, name + sizeof name - 1 - len,
		    "INBOX");
		int n = amqp_encode_properties(AMQP_BASIC_CLASS, &m.properties,
		                               (amqp_bytes_t){sizeof room, room});
		assert_true(n > 0);
		assert_in_range(message_properties_max(&m), n, n + 1024);
	}
}

static int done(void **state)
{
	(void)state;
	message_free(&m);
	return 0;
}

static void the_body(void **state)
{
	static const char json[] = "{\"event\":\"Login\"}";
	struct record rec = {.pos = 0x1a2b0, .event = str("Login"), .json = str(json)};
	(void)state;
	m.template = "%g.%e";
	m.server = "";
	for (int with_id = 0; with_id < 2; with_id++) {
		m.with_id = with_id;
		assert_int_equal(message_set(&m, uuid, &rec), 0);
		is(m.body, with_id
		               ? "{\"id\":\"01234567-89ab-cdef-0123-456789abcdef-000000000001a2b0"
		                 "\",\"event\":{\"event\":\"Login\"}}"
		               : json);
		assert_int_equal(message_body_len(&m, &rec), m.body.len);
	}
	m.with_id = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_body),           cmocka_unit_test(no_more_than_the_id),
	    cmocka_unit_test(properties),         cmocka_unit_test(absent_facts),
	    cmocka_unit_test(keys_are_two_words), cmocka_unit_test(long_keys_stay_distinct),
	    cmocka_unit_test(headers_are_utf8),   cmocka_unit_test(properties_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, done);
}
