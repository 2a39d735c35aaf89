/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../notifyd/dlist.h"

static void check(struct str got, const char *want)
{
	if (!want) {
		assert_null(got.s);
		return;
	}
	assert_non_null(got.s);
	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.s, want, got.len);
}

/* Feeds s in pieces of `step` bytes, each a copy of its own. The last code; stops at a request
 * or at what is bad. */
static int feed(struct dlist *d, const char *s, size_t len, size_t step)
{
	int r = DLIST_MORE;
	for (size_t at = 0; at < len && (r == DLIST_MORE || r == DLIST_GOAHEAD);) {
		size_t n = len - at < step ? len - at : step, used = 0;
		const char *why = NULL;
		char *piece = malloc(n);
		memcpy(piece, s + at, n);
		r = dlist_feed(d, piece, n, &used, &why);
		free(piece);
		if (r == DLIST_BAD) {
			assert_non_null(why);
			break;
		}
		assert_true(used > 0 && used <= n);
		at += used;
		if (r == DLIST_REQUEST)
			assert_int_equal(at, len);
	}
	return r;
}

/* As Cyrus 3.6.1 sends it. */
static const char cyrus[] = "NOTIFY %(METHOD EVENT CLASS EVENT PRIORITY NIL USER NIL MAILBOX NIL "
			    "OPTIONS () MESSAGE {17+}\r\n{\"event\":\"Login\"} FILEPATH NIL)\r\n";

static void as_cyrus_sends_it(void **state)
{
	(void)state;
	for (size_t step = 1; step < sizeof cyrus; step++) {
		struct dlist *d = dlist_new();
		assert_int_equal(feed(d, cyrus, sizeof cyrus - 1, step), DLIST_REQUEST);
		const struct datagram *r = dlist_request(d);
		check(r->method, "EVENT");
		check(r->class, "EVENT");
		check(r->priority, NULL);
		check(r->user, NULL);
		check(r->mailbox, NULL);
		check(r->message, "{\"event\":\"Login\"}");
		check(r->fname, NULL);
		assert_int_equal(r->nopt, 0);
		assert_false(dlist_partial(d));
		dlist_free(&d);
	}
}

static void any_form_of_string(void **state)
{
	static const char s[] = "NOTIFY %({6+}\r\nMETHOD \"m \\\"\\\\\" CLASS {4}\r\nM\r\nL USER "
				"\"\" MAILBOX {0+}\r\n OTHER (x (y \"z\") %(K V)) OPTIONS "
				"(\"\" b {3+}\r\nc d (no) NIL) \"MESSAGE\" \"NIL\" FILEPATH a{b})"
				"\r\n";
	(void)state;
	for (size_t step = 1; step < sizeof s; step++) {
		struct dlist *d = dlist_new();
		assert_int_equal(feed(d, s, sizeof s - 1, step), DLIST_REQUEST);
		const struct datagram *r = dlist_request(d);
		check(r->method, "m \"\\");
		check(r->class, "M\r\nL");
		check(r->priority, NULL);
		check(r->user, "");
		check(r->mailbox, "");
		check(r->message, "NIL"); /* quoted: a string of three letters */
		check(r->fname, "a{b}");
		assert_int_equal(r->nopt, 4);
		assert_int_equal(r->options.len, 8);
		assert_memory_equal(r->options.s, "\0b\0c d\0\0", 8);
		dlist_free(&d);
	}
}

static void one_after_the_other(void **state)
{
	static const char two[] = "NOTIFY %(CLASS A)\r\nNOTIFY %(CLASS B)\r\n";
	struct dlist *d = dlist_new();
	size_t used, first = (sizeof two - 1) / 2;
	const char *why;
	(void)state;
	assert_int_equal(dlist_feed(d, two, sizeof two - 1, &used, &why), DLIST_REQUEST);
	assert_int_equal(used, first);
	check(dlist_request(d)->class, "A");
	assert_int_equal(dlist_feed(d, two + first, first, &used, &why), DLIST_REQUEST);
	assert_int_equal(used, first);
	check(dlist_request(d)->class, "B");
	check(dlist_request(d)->message, NULL);
	dlist_free(&d);
}

static void client_that_waits(void **state)
{
	static const char head[] = "NOTIFY %(MESSAGE {2}\r\n";
	struct dlist *d = dlist_new();
	size_t used;
	const char *why;
	(void)state;
	/* told only where nothing of the literal is there yet */
	assert_int_equal(dlist_feed(d, head, sizeof head - 1, &used, &why), DLIST_GOAHEAD);
	assert_int_equal(used, sizeof head - 1);
	assert_true(dlist_partial(d));
	assert_int_equal(dlist_feed(d, "{}", 2, &used, &why), DLIST_MORE);
	assert_int_equal(dlist_feed(d, ")\r\n", 3, &used, &why), DLIST_REQUEST);
	check(dlist_request(d)->message, "{}");
	dlist_free(&d);
}

static void bad(void **state)
{
	static const char *const cases[] = {
	    "\r\n",
	    "HELLO %()\r\n",
	    "notify %()\r\n",
	    "NOTIFY\r\n",
	    "NOTIFY x\r\n",
	    "NOTIFY ()\r\n",
	    "NOTIFY %(METHOD)\r\n",
	    "NOTIFY %(METHOD m\r\n",
	    "NOTIFY %(METHOD m))\r\n",
	    "NOTIFY %(METHOD m) x\r\n",
	    "NOTIFY %(METHOD m) (\r\n",
	    "NOTIFY %((A) b)\r\n",
	    "NOTIFY %x",
	    "NOTIFY % (",
	    "NOTIFY %(METHOD \"m\r\n",
	    "NOTIFY %(METHOD m)\rx",
	    "NOTIFY %(METHOD {}\r\n",
	    "NOTIFY %(METHOD {+}\r\n",
	    "NOTIFY %(METHOD {-1}\r\n",
	    "NOTIFY %(METHOD {1 }\r\n",
	    "NOTIFY %(METHOD {1++}\r\n",
	    "NOTIFY %(METHOD {1}x",
	    "NOTIFY %(METHOD {1}\rx",
	    "NOTIFY %(METHOD {33554433+}\r\n",
	    "NOTIFY %(METHOD {18446744073709551617+}\r\n",
	    "NOTIFY %(FILEPATH %{part guid 3}\r\nabc)\r\n",
	    "NOTIFY %(OPTIONS (((((((((((((((((((((((((((",
	    "NOTIFY %(METHOD \x01)\r\n",
	    "NOTIFY %(METHOD a\x7f)\r\n",
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (size_t step = 1; step <= strlen(cases[i]); step++) {
			struct dlist *d = dlist_new();
			if (feed(d, cases[i], strlen(cases[i]), step) != DLIST_BAD)
				fail_msg("case %zu was accepted", i);
			dlist_free(&d);
		}
	}
}

static void nul(void **state)
{
	static const char quoted[] = "NOTIFY %(METHOD \"a\0b\")\r\n";
	static const char option[] = "NOTIFY %(OPTIONS ({3+}\r\na\0b))\r\n";
	static const char literal[] = "NOTIFY %(MESSAGE {3+}\r\na\0b)\r\n";
	struct dlist *d = dlist_new();
	(void)state;
	assert_int_equal(feed(d, quoted, sizeof quoted - 1, 4), DLIST_BAD);
	dlist_free(&d);
	d = dlist_new();
	assert_int_equal(feed(d, option, sizeof option - 1, 4), DLIST_BAD);
	dlist_free(&d);
	d = dlist_new();
	assert_int_equal(feed(d, literal, sizeof literal - 1, 4), DLIST_REQUEST);
	assert_int_equal(dlist_request(d)->message.len, 3);
	dlist_free(&d);
}

static void half(void **state)
{
	(void)state;
	for (size_t len = 1; len < sizeof cyrus - 1; len++) {
		struct dlist *d = dlist_new();
		assert_int_equal(feed(d, cyrus, len, len), DLIST_MORE);
		assert_true(dlist_partial(d));
		dlist_free(&d);
	}
}

static void endless(void **state)
{
	static const char head[] = "NOTIFY %(METHOD ";
	struct dlist *d = dlist_new();
	size_t size = 1u << 20, used;
	char *xs = malloc(size);
	const char *why;
	int r;
	(void)state;
	memset(xs, 'x', size);
	assert_int_equal(dlist_feed(d, head, sizeof head - 1, &used, &why), DLIST_MORE);
	int i = 0;
	do {
		r = dlist_feed(d, xs, size, &used, &why);
	} while (r == DLIST_MORE && ++i < 100);
	assert_int_equal(r, DLIST_BAD);
	assert_true(dlist_size(d) < 3u * DLIST_LITERAL_MAX);
	dlist_free(&d);
	free(xs);
}

static void memory_is_given_back(void **state)
{
	static const char head[] = "NOTIFY %(MESSAGE {8388608+}\r\n";
	struct dlist *d = dlist_new();
	size_t size = 8u << 20, used;
	char *xs = malloc(size);
	const char *why;
	(void)state;
	memset(xs, 'x', size);
	assert_int_equal(dlist_feed(d, head, sizeof head - 1, &used, &why), DLIST_MORE);
	assert_int_equal(dlist_feed(d, xs, size, &used, &why), DLIST_MORE);
	assert_int_equal(dlist_feed(d, ")\r\n", 3, &used, &why), DLIST_REQUEST);
	assert_int_equal(dlist_request(d)->message.len, size);
	assert_true(dlist_size(d) > size);
	assert_int_equal(dlist_feed(d, cyrus, sizeof cyrus - 1, &used, &why), DLIST_REQUEST);
	assert_true(dlist_size(d) < size / 8);
	check(dlist_request(d)->class, "EVENT");
	dlist_free(&d);
	free(xs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(as_cyrus_sends_it),
	    cmocka_unit_test(any_form_of_string),
	    cmocka_unit_test(one_after_the_other),
	    cmocka_unit_test(client_that_waits),
	    cmocka_unit_test(bad),
	    cmocka_unit_test(nul),
	    cmocka_unit_test(half),
	    cmocka_unit_test(endless),
	    cmocka_unit_test(memory_is_given_back),
	};
	return cmocka_run_group_tests_name("dlist", tests, NULL, NULL);
}
