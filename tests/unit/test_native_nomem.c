/* SPDX-License-Identifier: BSD-3-Clause */
/* Each allocation of a conversion fails in turn: NATIVE_NOMEM or the right result, no crash, and
 * the next call works. What allocates is compiled here, with allocators of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static int left; /* allocations until one fails; negative: none does */

static int fails(void)
{
	return left >= 0 && left-- == 0;
}

static void *test_calloc_(size_t n, size_t size)
{
	return fails() ? NULL : calloc(n, size);
}

static void *test_realloc_(void *p, size_t size)
{
	return fails() ? NULL : realloc(p, size);
}

static char *test_strdup_(const char *s)
{
	return fails() ? NULL : strdup(s);
}

#define calloc  test_calloc_
#define realloc test_realloc_
#define strdup  test_strdup_
#include "../../lib/buf.c"
#include "../../lib/event.c"
#include "../../lib/native.c"
#undef calloc
#undef realloc
#undef strdup

#include <cmocka.h>

/* Stands in for lib/conf.c. */
const char *conf_get(const struct conf *c, const char *service, const char *key)
{
	(void)c;
	(void)service;
	return strcmp(key, "virtdomains") == 0 ? "userid" : NULL;
}

const struct conf_option mboxevent_options[] = {{.name = NULL}};

int64_t conf_num(const struct conf_scope *s, const char *name)
{
	(void)s;
	(void)name;
	return 0;
}

static bool text(void *ctx, struct str mailbox, uint32_t uid, size_t room, struct buf *json)
{
	(void)ctx;
	(void)mailbox;
	(void)uid;
	(void)room;
	for (int i = 0; i < 1000; i++)
		buf_adds(json, i ? "xx" : "\"");
	buf_addc(json, '"');
	return true;
}

static const char *const inputs[] = {
    "{\"event\":\"MailboxRename\",\"mailboxID\":\"u\",\"user\":\"j\\u0061ne\",\"uri\":"
    "\"imap://h/user/john/x%40example.org\",\"oldMailboxID\":\"imap://h/user/john/"
    "y%40example.org\","
    "\"vnd.cmu.mailboxACL\":\"john@example.org\\tlrs\\t\",\"flagNames\":\"\\\\seen\"}",
    /* cleaned first, names with escapes */
    "{ \"event\":\"X\",\"\\u0061\":\"\xff\",\"\\u0062\":1,\"flagNames\":\"\\\\SEEN\"}",
    "{\"event\":\"QuotaExceed\",\"oldMailboxID\":\"imap:\\/\\/h/user/john\"}",
    "{\"event\":\"Login\",\"uri\":\"\\u0021\"}",
    "no JSON",
};

static void test_each_allocation(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
		const size_t len = strlen(inputs[i]);
		struct record expected, rec;
		left = -1;
		struct native *whole = native_new(NULL, NULL);
		int code = native_convert(whole, inputs[i], len, &expected);
		int failed = 0, at = 0;
		for (bool done = false; !done; at++) {
			left = at;
			struct native *n = native_new(NULL, NULL);
			if (!n) {
				failed++;
				continue;
			}
			int got = native_convert(n, inputs[i], len, &rec);
			done = left >= 0;
			left = -1;
			if (got == NATIVE_NOMEM) {
				failed++;
				got = native_convert(n, inputs[i], len, &rec);
			}
			assert_int_equal(got, code);
			assert_int_equal(rec.json.len, expected.json.len);
			assert_memory_equal(rec.json.s, expected.json.s, rec.json.len);
			assert_int_equal(rec.user.len, expected.user.len);
			assert_int_equal(rec.mailbox.len, expected.mailbox.len);
			native_free(&n);
		}
		assert_true(failed > 3 && failed <= at);
		native_free(&whole);
	}
}

/* Without memory for the text of a message the event goes without it, and is lost only where it
 * would be lost in any case. */
static void test_content(void **state)
{
	(void)state;
	static const char in[] = "{\"event\":\"MessageNew\",\"mailboxID\":\"u\",\"uri\":"
				 "\"imap://h/user/john;UIDVALIDITY=1/;UID=7\"}";
	struct record rec;
	struct native *n = native_new(NULL, NULL);
	int code = native_convert(n, in, strlen(in), &rec), needed = 0, without = 0;
	assert_int_equal(code, NATIVE_OK);
	char expected[512];
	size_t len = rec.json.len;
	memcpy(expected, rec.json.s, len);
	native_free(&n);
	for (bool done = false; !done; needed++) {
		left = -1;
		n = native_new(NULL, NULL);
		native_content(n, text, NULL);
		left = needed;
		code = native_convert(n, in, strlen(in), &rec);
		done = left >= 0;
		left = -1;
		if (code == NATIVE_OK && rec.json.len == len) {
			assert_memory_equal(rec.json.s, expected, len);
			without++;
		} else if (code == NATIVE_OK) {
			assert_non_null(
			    memmem(rec.json.s, rec.json.len, "\"messageContent\":{\"7\":\"xx", 25));
			assert_non_null(memmem(rec.json.s, rec.json.len, "\"uidset\":\"7\"", 12));
		}
		assert_int_equal(native_convert(n, in, strlen(in), &rec), NATIVE_OK);
		assert_true(rec.json.len > len + 1000);
		native_trim(n);
		native_free(&n);
	}
	/* the steps in which its scratch grows, and those of the output alone */
	assert_true(without >= 4);
}

/* Once an event of each kind has passed, no call allocates. */
static void test_warm(void **state)
{
	(void)state;
	struct native *n = native_new(NULL, NULL);
	struct record rec;
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
			left = round ? 0 : -1;
			assert_true(native_convert(n, inputs[i], strlen(inputs[i]), &rec) >= 0);
			assert_int_equal(left, round ? 0 : -1);
		}
	native_free(&n);
}

int main(void)
{
	left = -1;
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_allocation),
	    cmocka_unit_test(test_content),
	    cmocka_unit_test(test_warm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
