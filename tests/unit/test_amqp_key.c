/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../notifyd/sinks/amqp/key.h"
#include "../../notifyd/sinks/amqp/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct buf key;

static struct str str(const char *s)
{
	return (struct str){s, s ? strlen(s) : 0};
}

static struct key_facts facts(void)
{
	return (struct key_facts){
	    .group = STR("message"),
	    .event = STR("vnd.cmu.MessageCopy"),
	    .user = STR("jane"),
	    .owner = STR("john.doe@example.org"),
	    .domain = STR("example.org"),
	    .local = STR("john.doe"),
	    .mailbox = STR("Archive/2024 Q1"),
	    .server = STR("imap1.example.org"),
	};
}

static void is(const char *template, const struct key_facts *f, const char *want)
{
	key_fill(&key, template, f);
	assert_string_equal(buf_cstr(&key), want);
}

static void templates(void **state)
{
	static const struct {
		const char *template, *key;
	} cases[] = {
	    {"%g.%e", "message.MessageCopy"},
	    {"%e", "MessageCopy"},
	    {"mail.%s.%d.%l.%e", "mail.imap1%2Eexample%2Eorg.example%2Eorg.john%2Edoe.MessageCopy"},
	    {"%u.%o", "jane.john%2Edoe@example%2Eorg"},
	    {"%m", "Archive/2024%20Q1"},
	    {"%l@%d", "john%2Edoe@example%2Eorg"},
	    {"100%%.%g", "100%.message"},
	    {"fixed", "fixed"},
	    {"a.*.#", "a.*.#"}, /* the admin's own words stay as they are */
	};
	struct key_facts f = facts();
	char *why;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(key_check(cases[i].template, &why), 0);
		assert_null(why);
		is(cases[i].template, &f, cases[i].key);
	}
}

static void words(void **state)
{
	static const struct {
		const char *fact, *word;
	} cases[] = {
	    {"jane", "jane"},
	    {"j.a.n.e", "j%2Ea%2En%2Ee"},
	    {"*", "%2A"},
	    {"#", "%23"},
	    {"a*b#c", "a%2Ab%23c"},
	    {"100%", "100%25"},
	    {"%2E", "%252E"},
	    {"", "-"},
	    {NULL, "-"},
	    {"-", "%2D"}, /* nothing and a dash stay apart */
	    {"--", "--"},
	    {"a-b", "a-b"},
	    {"tab\there", "tab%09here"},
	    {"\x7f", "%7F"},
	    {"Entw\xc3\xbcrfe", "Entw\xc3\xbcrfe"},
	    {"caf\xe9", "caf%E9"},
	    {"\xc3", "%C3"},
	    {"\xed\xa0\x80", "%ED%A0%80"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct key_facts f = {.user = str(cases[i].fact)};
		is("%u", &f, cases[i].word);
	}
	/* a NUL in the middle */
	struct key_facts f = {.user = {"a\0b", 3}};
	is("%u", &f, "a%00b");
}

static void events(void **state)
{
	struct key_facts f = {.event = STR("vnd.example.Some thing")};
	(void)state;
	is("%e", &f, "vnd%2Eexample%2ESome%20thing");
	f.event = STR("vnd.cmu.");
	is("%e", &f, "vnd%2Ecmu%2E");
	f.event = STR("AclChange");
	is("%e", &f, "AclChange");
}

static void errors(void **state)
{
	static const char *const bad[] = {"%x", "%g.%", "%g.%E", "%g.% e", "%%%"};
	char *why, template[300];
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(key_check(bad[i], &why), -1);
		assert_non_null(strstr(why, "must be %g group, %e event"));
		free(why);
	}
	for (int extra = 0; extra < 2; extra++) {
		memset(template, 'a', sizeof template);
		template[KEY_MAX + extra] = '\0';
		assert_int_equal(key_check(template, &why), -extra);
		if (extra)
			assert_string_equal(why, "is longer than 255 bytes");
		free(why);
	}
}

/* Whatever the facts hold: as many words as the template has, none empty, none that a binding would
 * read as more; UTF-8; never too long. */
static void any_bytes(void **state)
{
	char bytes[700];
	(void)state;
	srandom(4);
	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)random() % (round % 8 ? 40 : sizeof bytes), dots = 0;
		for (size_t i = 0; i < len; i++)
			bytes[i] = random() % 3 ? ".%*#- a\xc3\xbc"[random() % 9] : (char)random();
		struct key_facts f = {.group = STR("message"), .user = {bytes, len}};
		key_fill(&key, "%g.%u", &f);
		assert_false(key.failed);
		assert_in_range(key.len, strlen("message.-"), KEY_MAX);
		for (size_t i = 0, n; i < key.len; i += n) {
			n = utf8_sequence((unsigned char *)key.s + i, key.len - i);
			assert_true(n);
			assert_true((unsigned char)key.s[i] > ' ');
			assert_null(key.s[i] ? strchr("*#", key.s[i]) : NULL);
			dots += key.s[i] == '.';
		}
		assert_int_equal(dots, 1);
	}
}

static void cut_whole(void **state)
{
	char user[300];
	(void)state;
	for (size_t len = 230; len < 262; len++) {
		/* escapes and characters of two bytes at each place of the cut */
		for (int kind = 0; kind < 2; kind++) {
			memset(user, 'a', sizeof user);
			for (size_t i = len - 24; i < sizeof user - 1; i += 2)
				memcpy(user + i, kind ? "\xc3\xbc" : "..", 2);
			struct key_facts f = {.user = {user, sizeof user - 1}};
			key_fill(&key, "%u", &f);
			assert_in_range(key.len, KEY_MAX - 4, KEY_MAX);
			size_t hash = key.len - 17;
			assert_int_equal(key.s[hash], '~');
			for (size_t i = 0, n; i < hash; i += n) {
				n = utf8_sequence((unsigned char *)key.s + i, hash - i);
				assert_true(n);
				if (key.s[i] == '%')
					assert_true(i + 3 <= hash);
			}
		}
	}
}

static int done(void **state)
{
	(void)state;
	buf_free(&key);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(templates), cmocka_unit_test(words),     cmocka_unit_test(events),
	    cmocka_unit_test(errors),    cmocka_unit_test(any_bytes), cmocka_unit_test(cut_whole),
	};
	return cmocka_run_group_tests(tests, NULL, done);
}
