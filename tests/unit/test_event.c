/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../lib/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_written(struct event *e, const char *expected)
{
	struct buf out = BUF_INIT;
	assert_int_equal(event_write(e, &out), 0);
	assert_string_equal(buf_cstr(&out), expected);
	buf_free(&out);
}

static void test_order(void **state)
{
	(void)state;
	struct event *e = event_new();
	assert_written(e, "{}");
	event_set_string(e, STR("vnd.cmu.unseenMessages"), STR("u"));
	event_set_int(e, STR("pid"), -7);
	event_set_raw(e, STR("vnd.cmu.midset"), STR("[\"<1@x>\"]"));
	event_set_int(e, STR("b"), 2);
	event_set_int(e, STR("B"), 1);
	event_set_int(e, STR(""), 0);
	event_set_int(e, STR("ab\0"), 5);
	event_set_int(e, STR("ab"), 4);
	event_set_int(e, STR("\xc3\xa9"), 8);
	assert_written(e, "{\"\":0,\"B\":1,\"ab\":4,\"ab\\u0000\":5,\"b\":2,\"pid\":-7,"
	                  "\"vnd.cmu.midset\":[\"<1@x>\"],\"vnd.cmu.unseenMessages\":\"u\","
	                  "\"\\u00e9\":8}");
	event_free(&e);
	assert_null(e);
	event_free(&e);
}

static void test_set_get_unset(void **state)
{
	(void)state;
	struct event *e = event_new();
	struct str json;
	assert_false(event_get(e, STR("user"), &json));
	event_unset(e, STR("user"));
	event_set_string(e, STR("user"), STR("john"));
	event_set_string(e, STR("user"), STR("jane"));
	event_set_raw(e, STR("event"), STR("\"Login\""));
	assert_true(event_get(e, STR("user"), &json));
	assert_int_equal(json.len, 6);
	assert_memory_equal(json.s, "\"jane\"", 6);
	event_set_int(e, STR("user"), INT64_MIN);
	assert_written(e, "{\"event\":\"Login\",\"user\":-9223372036854775808}");
	event_unset(e, STR("event"));
	assert_false(event_get(e, STR("event"), &json));
	assert_written(e, "{\"user\":-9223372036854775808}");
	event_reset(e);
	assert_written(e, "{}");
	event_free(&e);
}

/* More parameters than the first allocation holds, set backwards, half of them twice. */
static void test_many(void **state)
{
	(void)state;
	enum { N = 500 };
	static char keys[N][16];
	struct buf expected = BUF_INIT;
	struct event *e = event_new();
	for (int i = N - 1; i >= 0; i--) {
		snprintf(keys[i], sizeof keys[i], "k%05d", i);
		event_set_string(e, (struct str){keys[i], strlen(keys[i])}, STR("x"));
	}
	for (int i = 0; i < N; i += 2)
		event_set_int(e, (struct str){keys[i], strlen(keys[i])}, i);
	for (int i = 0; i < N; i++)
		buf_addf(&expected, i % 2 ? "%c\"k%05d\":\"x\"" : "%c\"k%05d\":%d", i ? ',' : '{',
		         i, i);
	buf_addc(&expected, '}');
	assert_written(e, buf_cstr(&expected));
	buf_free(&expected);
	event_free(&e);
}

static void test_strings(void **state)
{
	(void)state;
	static const struct {
		struct str value;
		const char *json;
	} cases[] = {
	    {{"", 0}, "\"\""},
	    {{"plain text, long enough for words", 33}, "\"plain text, long enough for words\""},
	    {{"\"\\/\b\f\n\r\t", 8}, "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
	    {{"\0\x01\x1f\x7f", 4}, "\"\\u0000\\u0001\\u001f\x7f\""},
	    {{"12345678\x1f", 9}, "\"12345678\\u001f\""},
	    {{"Br\xc3\xbc"
	      "ederli",
	      10},
	     "\"Br\\u00fcederli\""},
	    {{"\xef\xbf\xbf\xf0\x9f\x98\x80", 7}, "\"\\uffff\\ud83d\\ude00\""},
	    {{"\xff\xc3", 2}, "\"\\ufffd\\ufffd\""},
	    /* cut, overlong, surrogate, beyond Unicode: each byte is one that is not UTF-8 */
	    {{"\xe2\x82x", 3}, "\"\\ufffd\\ufffdx\""},
	    {{"\xc0\xaf\xe0\x80\xaf", 5}, "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\""},
	    {{"\xed\xa0\x80", 3}, "\"\\ufffd\\ufffd\\ufffd\""},
	    {{"\xf4\x90\x80\x80", 4}, "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf out = BUF_INIT;
		event_json_string(&out, cases[i].value);
		assert_string_equal(buf_cstr(&out), cases[i].json);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_set_get_unset),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_strings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
