/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../lib/jtext.h"
#include "../../notifyd/headers.h"
#include "../../notifyd/settings.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct headers *headers;

static int setup(void **state)
{
	(void)state;
	headers = headers_new();
	return headers || !headers_built ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	headers_free(&headers);
	return 0;
}

static struct record record_of(const char *json)
{
	return (struct record){.event = STR("MessageNew"), .json = {json, strlen(json)}};
}

/* The event whose only content is this mail. */
static char *event_of(const char *mail, size_t len)
{
	struct buf b = BUF_INIT;
	buf_adds(&b, "{\"event\":\"MessageNew\",\"messageContent\":{\"6\":\"");
	jtext_escape((struct str){mail, len}, &b);
	buf_adds(&b, "\"},\"messages\":1}");
	return (char *)(uintptr_t)buf_cstr(&b);
}

static char *added(const char *json)
{
	struct record rec = record_of(json);
	const struct record *out = headers_add(headers, &rec);
	char *copy = strndup(out->json.s, out->json.len);
	json_error_t error;
	json_t *tree = json_loads(copy, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!tree)
		fail_msg("%s in %.300s", error.text, copy);
	for (const char *p = copy; *p; p++)
		assert_in_range(*p, ' ', '~');
	json_decref(tree);
	return copy;
}

/* The headers of a mail, as the event has them. */
static char *headers_of(const char *mail, size_t len)
{
	char *json = event_of(mail, len), *out = added(json);
	const char start[] = ",\"messageHeaders\":{\"6\":", end[] = "},\"messages\":1";
	char *from = strstr(out, start), *to = strstr(out, end);
	if (!from || !to)
		fail_msg("no headers: %.300s", out);
	from += sizeof start - 1;
	char *copy = strndup(from, (size_t)(strstr(from, end) - from));
	free(json);
	free(out);
	return copy;
}

static void test_documented(void **state)
{
	const char *top = getenv("TOP_SRCDIR");
	char path[4096], *line = NULL;
	size_t size = 0, seen = 0;
	(void)state;
	snprintf(path, sizeof path, "%s/tests/data/documented-events.jsonl", top ? top : ".");
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	for (ssize_t n; (n = getline(&line, &size, f)) > 0;) {
		line[n - 1] = '\0';
		char *start = strstr(line, ",\"messageHeaders\":");
		if (!start)
			continue;
		const char *end = strstr(start, "}},") + 2;
		char *without = NULL;
		assert_true(asprintf(&without, "%.*s%s", (int)(start - line), line, end) > 0);
		char *out = added(without);
		assert_string_equal(out, line);
		free(out);
		/* and what has them already stays as it is */
		struct record rec = record_of(line);
		assert_ptr_equal(headers_add(headers, &rec), &rec);
		free(without);
		seen++;
	}
	fclose(f);
	free(line);
	assert_int_equal(seen, 1);
}

/* Nothing to add: the very same record. */
static void test_untouched(void **state)
{
	static const char *const events[] = {
	    "{\"event\":\"Login\"}",
	    "{\"event\":\"MessageNew\",\"messageContent\":\"From: x\"}",
	    "{\"event\":\"MessageNew\",\"messageContent\":null}",
	    "{\"event\":\"x\",\"y\":\"\\\"messageContent\\\":{\\\"1\\\":\\\"\\\"}\"}",
	    "{\"event\":\"MessageNew\",\"x\":{\"messageContent\":{\"6\":\"A: b\"}}}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
		struct record rec = record_of(events[i]);
		assert_ptr_equal(headers_add(headers, &rec), &rec);
		assert_ptr_equal(headers_add(NULL, &rec), &rec);
	}
}

static void test_place(void **state)
{
	static const char *const events[][2] = {
	    {"{\"messageContent\":{\"6\":\"A: b\"}}",
	     "{\"messageContent\":{\"6\":\"A: b\"},\"messageHeaders\":{\"6\":{\"A\":\"b\"}}}"},
	    {"{\"messageContent\":{\"6\":\"A: b\",\"7\":\"A: "
	     "c\",\"8\":1},\"messageFoo\":1,\"z\":2}",
	     "{\"messageContent\":{\"6\":\"A: b\",\"7\":\"A: c\",\"8\":1},\"messageFoo\":1,"
	     "\"messageHeaders\":{\"6\":{\"A\":\"b\"},\"7\":{\"A\":\"c\"}},\"z\":2}"},
	    {"{\"messageContent\":{}}", "{\"messageContent\":{},\"messageHeaders\":{}}"},
	    /* the server's own order */
	    {"{\"z\":1,\"messageContent\":{\"6\":\"A: b\"},\"a\":2}",
	     "{\"messageHeaders\":{\"6\":{\"A\":\"b\"}},\"z\":1,\"messageContent\":{\"6\":\"A: "
	     "b\"},"
	     "\"a\":2}"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
		char *out = added(events[i][0]);
		assert_string_equal(out, events[i][1]);
		free(out);
	}
}

static void test_facts(void **state)
{
	const char json[] = "{\"messageContent\":{\"6\":\"A: b\"}}";
	struct record rec = {.pos = 1,
	                     .next = 2,
	                     .time = 3,
	                     .event = STR("MessageNew"),
	                     .user = STR("john"),
	                     .json = {json, sizeof json - 1}};
	(void)state;
	const struct record *out = headers_add(headers, &rec);
	assert_ptr_not_equal(out, &rec);
	assert_int_equal(out->pos, 1);
	assert_int_equal(out->next, 2);
	assert_int_equal(out->time, 3);
	assert_ptr_equal(out->user.s, rec.user.s);
	assert_int_equal(rec.json.len, sizeof json - 1);
}

#define MAIL(text, expected)                                                                       \
	{                                                                                          \
		text, sizeof text - 1, expected                                                    \
	}

static const struct {
	const char *mail;
	size_t len;
	const char *expected;
} mails[] = {
    /* where the headers end */
    MAIL("", "{}"),
    MAIL("\r\nA: b\r\n", "{}"),
    MAIL("no header at all\r\nA: b\r\n", "{}"),
    MAIL("A: b\r\nnot a field\r\nC: d\r\n", "{\"A\":\"b\"}"),
    MAIL("A: b\r\n\r\nC: d\r\n", "{\"A\":\"b\"}"),
    MAIL("A: b\n\nC: d\n", "{\"A\":\"b\"}"),
    MAIL("From john Mon Feb 23 2015\r\nA: b\r\n", "{\"A\":\"b\"}"),
    MAIL(" leading: fold\r\nA: b", "{}"),
    MAIL("A", "{}"),
    MAIL("A:", "{\"A\":\"\"}"),
    MAIL(": b\r\nA: b", "{}"),
    MAIL("A \t: b", "{\"A\":\"b\"}"),
    MAIL("A: b\r\n\t\r\n c\r\n", "{\"A\":\"b\\r\\n\\t\\r\\n c\"}"),
    /* names */
    MAIL("b: 2\r\nB: 1\r\nA: 3\r\nC: 4", "{\"A\":\"3\",\"C\":\"4\",\"b\":[\"2\",\"1\"]}"),
    MAIL("\xc3\xbc: 1\r\nA: b", "{}"),
    MAIL("X\"Y\\: 1", "{\"X\\\"Y\\\\\":\"1\"}"),
    /* folds */
    MAIL("Received: a\r\n\tb;\r\n c\r\nReceived: =?utf-8?Q?d?=",
         "{\"Received\":[\"a\\r\\n\\tb;\\r\\n c\",\"=?utf-8?Q?d?=\"]}"),
    MAIL("Subject: a\r\n b\r\n\tc", "{\"Subject\":\"a b\\tc\"}"),
    MAIL("X-Text: a\r\n b", "{\"X-Text\":\"a\\r\\n b\"}"),
    MAIL("X-Text:\r\n a", "{\"X-Text\":\"a\"}"),
    /* RFC 2047 */
    MAIL("Subject: =?utf-8?Q?caf=C3=A9?=\r\n =?iso-8859-1?B?6Q==?= au lait",
         "{\"Subject\":\"caf\\u00e9\\u00e9 au lait\"}"),
    MAIL("X-Text: =?koi8-r?Q?=F0?=\r\n y", "{\"X-Text\":\"\\u041f y\"}"),
    MAIL("Subject: =?no-such-charset?Q?abc?=", "{\"Subject\":\"abc\"}"),
    MAIL("Subject: =?utf-8?Q?", "{\"Subject\":\"=?utf-8?Q?\"}"),
    MAIL("Subject: =?utf-8?B?AAAA?=x", NULL),
    MAIL("Subject: =?utf-8?Q?=FF=FE?=", NULL),
    /* bytes */
    MAIL("Subject: \xc3\xa9 \xf0\x9f\x98\x80", "{\"Subject\":\"\\u00e9 \\ud83d\\ude00\"}"),
    MAIL("X: \xff\xfe", "{\"X\":\"\\ufffd\\ufffd\"}"),
    MAIL("X: a\0b\r\nSubject: a\0b", "{\"Subject\":\"a\\ufffdb\",\"X\":\"a\\ufffdb\"}"),
    MAIL("X: a\rb", "{\"X\":\"a\\rb\"}"),
    /* addresses */
    MAIL("To: a@example.org, \"Doe, Jane\" <j@example.org>\r\nTo: x <y@example.org>",
         "{\"To\":[\"a@example.org\",\"Doe, Jane <j@example.org>\",\"x <y@example.org>\"]}"),
    MAIL("Reply-To: <a@example.org>\r\nsender: A (comment) <b@example.org>",
         "{\"Reply-To\":[\"a@example.org\"],\"sender\":[\"A <b@example.org>\"]}"),
    MAIL("To: undisclosed-recipients:;", "{\"To\":[]}"),
    MAIL("Cc: Team: a@example.org, B <b@example.org>;, c@example.org",
         "{\"Cc\":[\"a@example.org\",\"B <b@example.org>\",\"c@example.org\"]}"),
    MAIL("Bcc:", "{\"Bcc\":[]}"),
    MAIL("From: =?utf-8?Q?a=0D=0Ab?= <c@example.org>", "{\"From\":[\"a  b <c@example.org>\"]}"),
    MAIL("From: ;;;", NULL),
    /* dates */
    MAIL("Date: Mon, 20 Oct 2014 13:32:41 +0200 (CEST)", "{\"Date\":\"2014-10-20T11:32:41Z\"}"),
    MAIL("Date: 1 Jan 2000 00:30 +0100", "{\"Date\":\"1999-12-31T23:30:00Z\"}"),
    MAIL("Date: yesterday", "{\"Date\":\"yesterday\"}"),
    MAIL("Date:", "{\"Date\":\"\"}"),
    MAIL("date: a\r\nDate: b", "{\"date\":[\"a\",\"b\"]}"),
    /* types */
    MAIL("Content-Type: text/plain; charset=utf-8", "{\"Content-Type\":\"text/plain\"}"),
    MAIL("Content-type: TEXT/html ;\r\n x=y", "{\"Content-type\":\"TEXT/html\"}"),
    MAIL("Content-Type: text/plain (;) ; x", "{\"Content-Type\":\"text/plain\"}"),
    MAIL("Content-Type: ;", "{\"Content-Type\":\"\"}"),
};

static void test_mails(void **state)
{
	int wrong = 0;
	(void)state;
	for (size_t i = 0; i < sizeof mails / sizeof *mails; i++) {
		char *got = headers_of(mails[i].mail, mails[i].len);
		if (mails[i].expected && strcmp(got, mails[i].expected) != 0) {
			print_error("%zu: got      %s\n   expected %s\n", i, got,
			            mails[i].expected);
			wrong++;
		}
		free(got);
	}
	assert_int_equal(wrong, 0);
}

/* What of a mail is left out is told; what is not stays whole. */
static json_t *big(const char *piece, size_t times, const char *before, const char *after)
{
	struct buf b = BUF_INIT;
	buf_adds(&b, before);
	for (size_t i = 0; i < times; i++)
		buf_adds(&b, piece);
	buf_adds(&b, after);
	char *json = event_of(b.s, b.len), *out = added(json);
	json_t *tree = json_loads(out, JSON_ALLOW_NUL, NULL);
	free(json);
	free(out);
	buf_free(&b);
	return tree;
}

static json_t *header(json_t *event, const char *name)
{
	return json_object_get(json_object_get(json_object_get(event, "messageHeaders"), "6"),
	                       name);
}

static bool is_cut(json_t *event)
{
	json_t *cut = json_object_get(event, "vnd.mboxevent.headersCut");
	if (cut)
		assert_string_equal(json_string_value(json_array_get(cut, 0)), "6");
	return cut != NULL;
}

static void test_limits(void **state)
{
	json_t *e;
	(void)state;

	e = big("X: y\r\n", HEADERS_FIELDS, "", "");
	assert_int_equal(json_array_size(header(e, "X")), HEADERS_FIELDS);
	assert_false(is_cut(e));
	json_decref(e);
	e = big("X: y\r\n", 10 * HEADERS_FIELDS, "", "\r\nbody");
	assert_int_equal(json_array_size(header(e, "X")), HEADERS_FIELDS);
	assert_true(is_cut(e));
	json_decref(e);

	/* a header of 1 MB, and what is behind it */
	e = big("0123456789abcdef", 65536, "X: ", "\r\nY: z\r\n\r\n");
	assert_int_equal(json_string_length(header(e, "X")), HEADERS_FIELD);
	assert_string_equal(json_string_value(header(e, "Y")), "z");
	assert_true(is_cut(e));
	json_decref(e);

	/* not within a character, not within an address */
	e = big("\xe2\x82\xac", 65536, "X: ", "\r\n");
	assert_int_equal(json_string_length(header(e, "X")), HEADERS_FIELD / 3 * 3);
	assert_true(is_cut(e));
	json_decref(e);
	e = big(",\r\n someone@example.org", 10000, "To: a@example.org", "\r\n");
	json_t *last = json_array_get(header(e, "To"), json_array_size(header(e, "To")) - 1);
	assert_string_equal(json_string_value(last), "someone@example.org");
	assert_in_range(json_array_size(header(e, "To")), 2500, 3000);
	assert_true(is_cut(e));
	json_decref(e);

	/* all values of an event */
	e = big("0123456789abcdef\r\n ", 65536, "X: y\r\nX: y\r\nX: y\r\nX: ", "\r\n");
	json_decref(e);
	struct buf b = BUF_INIT;
	for (int i = 0; i < 20; i++)
		buf_addf(&b, "X%d: %060000d\r\n", i, 0);
	char *json = event_of(b.s, b.len), *out = added(json);
	e = json_loads(out, JSON_ALLOW_NUL, NULL);
	assert_true(is_cut(e));
	assert_int_equal(json_string_length(header(e, "X7")), 60000);
	assert_null(header(e, "X9"));
	json_decref(e);
	free(json);
	free(out);
	buf_free(&b);
}

/* Shapes that are known to be hard on parsers. Nothing is timed: quadratic ones would not end. */
static void test_hostile(void **state)
{
	static const char *const pieces[] = {" =?utf-8?Q?x?=",
	                                     "=?utf-8?B?QUJD?=",
	                                     "=?",
	                                     "?=",
	                                     "=?x?Q?",
	                                     "(",
	                                     ")",
	                                     "<",
	                                     ">",
	                                     "\"",
	                                     "\\",
	                                     "\"\\",
	                                     ",",
	                                     ";",
	                                     ":",
	                                     "a:",
	                                     "a:b@c,",
	                                     "<a@b",
	                                     "@",
	                                     "@a,@b:",
	                                     ".",
	                                     "[",
	                                     "]",
	                                     "a b ",
	                                     "\r\n ",
	                                     "\r\n\t\r\n ",
	                                     "\xff",
	                                     "\x80",
	                                     "\xc3\xa9",
	                                     "=?utf-8?Q?=FF?= ",
	                                     "((\\",
	                                     "<@a:",
	                                     "=?utf-7?Q?+AAA?= ",
	                                     "=?iso-2022-jp?B?GyRCGyRC?= ",
	                                     "=?nonsense?Q?a?= ",
	                                     "a\0",
	                                     "0 ",
	                                     "-",
	                                     "+0000 ",
	                                     "Mon, "};
	static const char *const names[] = {
	    "From: ", "Subject: ", "X: ", "Date: ", "Content-Type: ", "To: \"a\" <b@c>,", "Cc: g:"};
	(void)state;
	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
		for (size_t k = 0; k < sizeof names / sizeof *names; k++)
			json_decref(
			    big(pieces[i], 60000 / (strlen(pieces[i]) + 1), names[k], "\r\n\r\n"));
}

/* Memory is given back: the same event a thousand times. */
static void test_again(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++)
		json_decref(big("To: a@example.org, B <b@example.org>\r\n", 3,
		                "Date: Mon, 20 Oct 2014 13:32:41 +0200\r\n", "\r\n"));
}

static void keep_error(void *ctx, const char *line)
{
	buf_adds(ctx, line);
}

static void test_option(void **state)
{
	static const struct {
		const char *more;
		int on; /* -1: refused */
	} cases[] = {
	    {"", 0},
	    {"notifyd_a_headers: no\n", 0},
	    {"notifyd_a_headers: yes\n", 1},
	    {"notifyd_a_headers: maybe\n", -1},
	    {"notifyd_a_headers: yes\nevent_content_inclusion_mode: headerbody\n", 1},
	    {"notifyd_a_headers: yes\nevent_content_inclusion_mode: body\n", -1},
	};
	char path[] = "/tmp/mboxevent-test-XXXXXX";
	int fd = mkstemp(path);
	(void)state;
	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf error = BUF_INIT;
		struct settings *s;
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		dprintf(fd, "notifyd_sinks: a\nnotifyd_a_type: null\n%s", cases[i].more);
		int r = settings_load(&s, path, keep_error, &error);
		assert_int_equal(r, cases[i].on < 0 ? -1 : 0);
		if (s)
			assert_int_equal(conf_num(&s->sinks[0].conf, "headers"), cases[i].on);
		else
			assert_non_null(strstr(buf_cstr(&error), ":3: notifyd_a_headers: "));
		settings_free(&s);
		buf_free(&error);
	}
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_documented), cmocka_unit_test(test_untouched),
	    cmocka_unit_test(test_place),      cmocka_unit_test(test_facts),
	    cmocka_unit_test(test_mails),      cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_hostile),    cmocka_unit_test(test_again),
	    cmocka_unit_test(test_option),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
