/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../notifyd/datagram.h"

#define BYTES(literal) (literal), sizeof(literal) - 1

static void check(struct str got, const char *want)
{
	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.s, want, got.len);
}

/* A copy of exactly len bytes, so that a sanitizer sees a read beyond its end. */
static int parse(const char *s, size_t len, struct datagram *d_r)
{
	const char *why = NULL;
	char *copy = malloc(len ? len : 1);
	memcpy(copy, s, len);
	int r = datagram_parse(copy, len, d_r, &why);
	if (r < 0)
		assert_non_null(why);
	free(copy);
	return r;
}

static void whole(void **state)
{
	static const char event[] = "EVENT\0EVENT\0\0john\0INBOX\0"
				    "2\0"
				    "a\0b c\0{}\0/x/y";
	struct datagram d;
	const char *why;
	(void)state;
	assert_int_equal(datagram_parse(event, sizeof event, &d, &why), 0);
	check(d.method, "EVENT");
	check(d.class, "EVENT");
	check(d.priority, "");
	check(d.user, "john");
	check(d.mailbox, "INBOX");
	assert_int_equal(d.nopt, 2);
	assert_int_equal(d.options.len, 6);
	assert_memory_equal(d.options.s, "a\0b c\0", 6);
	check(d.message, "{}");
	check(d.fname, "/x/y");
}

static void without_file(void **state)
{
	static const char event[] = "m\0c\0\0\0\0"
				    "0\0{}";
	struct datagram d;
	const char *why;
	(void)state;
	assert_int_equal(datagram_parse(event, sizeof event, &d, &why), 0);
	check(d.message, "{}");
	assert_null(d.fname.s);
	assert_int_equal(d.options.len, 0);
}

static void malformed(void **state)
{
	static const struct {
		const char *s;
		size_t len;
	} cases[] = {
	    {BYTES("")},
	    {BYTES("x")},
	    {BYTES("\0")},
	    {BYTES("\0\0\0\0\0\0\0\0")}, /* no number of options */
	    {BYTES("m\0c\0p\0u\0b\0"
	           "0\0")}, /* no message */
	    {BYTES("m\0c\0p\0u\0b\0"
	           "0\0msg")}, /* its NUL is missing */
	    {BYTES("m\0c\0p\0u\0b\0"
	           "0\0msg\0f")}, /* the file's too */
	    {BYTES("m\0c\0p\0u\0b\0"
	           "0\0msg\0f\0x\0")}, /* one string too many */
	    {BYTES("m\0c\0p\0u\0b\0"
	           "2\0o\0msg\0")}, /* options swallow the message */
	    {BYTES("m\0c\0p\0u\0b\0"
	           "-1\0msg\0")},
	    {BYTES("m\0c\0p\0u\0b\0"
	           "1x\0o\0msg\0")},
	    {BYTES("m\0c\0p\0u\0b\0"
	           "\0msg\0")},
	    {BYTES("m\0c\0p\0u\0b\0"
	           "99999\0o\0msg\0")},
	    {BYTES("m\0c\0p\0u\0b\0"
	           "4294967296\0msg\0")},
	    {BYTES("m\0c\0p\0u\0b\0"
	           "18446744073709551616\0msg\0")},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct datagram d;
		if (parse(cases[i].s, cases[i].len, &d) == 0)
			fail_msg("case %zu was accepted", i);
	}
}

static void every_cut(void **state)
{
	static const char event[] = "m\0c\0p\0u\0b\0"
				    "1\0o\0{}";
	struct datagram d;
	(void)state;
	for (size_t len = 0; len < sizeof event; len++)
		assert_int_equal(parse(event, len, &d), -1);
	assert_int_equal(parse(event, sizeof event, &d), 0);
}

static void huge(void **state)
{
	struct datagram d;
	size_t len = 10u << 20;
	char *s = malloc(len);
	(void)state;
	memset(s, 'x', len); /* not one NUL */
	assert_int_equal(parse(s, len, &d), -1);
	assert_int_equal(parse(s, DATAGRAM_MAX, &d), -1);
	memcpy(s,
	       "m\0c\0p\0u\0b\0"
	       "0",
	       12);
	s[DATAGRAM_MAX - 1] = '\0';
	assert_int_equal(parse(s, DATAGRAM_MAX, &d), 0);
	s[DATAGRAM_MAX] = '\0';
	assert_int_equal(parse(s, DATAGRAM_MAX + 1, &d), -1);
	memset(s, '\0', len);
	assert_int_equal(parse(s, DATAGRAM_MAX, &d), -1);
	free(s);
}

static void written_as_it_came(void **state)
{
	static const char event[] = "m\0MAIL\0\0john\0INBOX\0"
				    "2\0"
				    "a\0\0text\0/file";
	struct datagram d;
	struct buf out = BUF_INIT;
	const char *why;
	(void)state;
	assert_int_equal(datagram_parse(event, sizeof event, &d, &why), 0);
	buf_adds(&out, "before");
	assert_int_equal(datagram_write(&out, &d), 0);
	assert_int_equal(out.len, 6 + sizeof event);
	assert_memory_equal(out.s + 6, event, sizeof event);
	buf_free(&out);
}

static void not_writable(void **state)
{
	struct buf out = BUF_INIT;
	char *large = calloc(1, DATAGRAM_MAX + 1);
	struct datagram d = {.message = STR("a\0b")};
	(void)state;
	buf_adds(&out, "before");
	assert_int_equal(datagram_write(&out, &d), -1); /* a NUL would forge a string */
	assert_int_equal(out.len, 6);
	memset(large, 'x', DATAGRAM_MAX);
	d.message = (struct str){large, DATAGRAM_MAX};
	assert_int_equal(datagram_write(&out, &d), -1);
	assert_int_equal(out.len, 6);
	d.message.len = DATAGRAM_MAX - 8; /* six NULs, the number and its NUL */
	assert_int_equal(datagram_write(&out, &d), 0);
	assert_int_equal(out.len, 6 + DATAGRAM_MAX);
	free(large);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole),        cmocka_unit_test(without_file),
	    cmocka_unit_test(malformed),    cmocka_unit_test(every_cut),
	    cmocka_unit_test(huge),         cmocka_unit_test(written_as_it_came),
	    cmocka_unit_test(not_writable),
	};
	return cmocka_run_group_tests_name("datagram", tests, NULL, NULL);
}
