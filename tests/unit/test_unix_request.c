/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../notifyd/sinks/unix/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID  "00112233-4455-6677-8899-aabbccddeeff-000000000001a2b0"
#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BAD(text, says)                                                                            \
	{                                                                                          \
		text, sizeof(text) - 1, says                                                       \
	}

static const struct bad {
	const char *line;
	size_t len;
	const char *says; /* a part of the error */
} bad[] = {
    BAD("x", "no valid JSON"),
    BAD(" ", "no valid JSON"),
    BAD("null", "must be a JSON object"),
    BAD("[]", "must be a JSON object"),
    BAD("{", "no valid JSON"),
    BAD("{}", "exactly one"),
    BAD("{\"v\":1}", "exactly one"),
    BAD("{\"v\":1,\"subscribe\":\"a\"}}", "no valid JSON"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"subscribe\":\"b\"}", "no valid JSON"),
    BAD("{\"v\":1,\"subscribe\":\"a\0\"}", "no valid JSON"),
    BAD("{\"v\":1,\"subscribe\":\"a\\u0000\"}", "no valid JSON"),
    BAD("{\"v\":1,\"subscribe\":\"\xc3\"}", "no valid JSON"),
    BAD("\0", "no valid JSON"),
    BAD("{\"subscribe\":\"a\"}", "v: is missing"),
    BAD("{\"v\":0,\"subscribe\":\"a\"}", "version 1"),
    BAD("{\"v\":2,\"subscribe\":\"a\"}", "version 1"),
    BAD("{\"v\":1.0,\"subscribe\":\"a\"}", "version 1"),
    BAD("{\"v\":\"1\",\"subscribe\":\"a\"}", "version 1"),
    BAD("{\"v\":99999999999999999999,\"subscribe\":\"a\"}", "no valid JSON"),
    BAD("{\"v\":1,\"subscribe\":\"\"}", "subscribe: '' is no name"),
    BAD("{\"v\":1,\"subscribe\":\"" A64 "a\"}", "subscribe: '" A64 "...' is no name"),
    BAD("{\"v\":1,\"subscribe\":\"A\"}", "is no name"),
    BAD("{\"v\":1,\"subscribe\":\"a\\nb\"}", "subscribe: 'a?b' is no name"),
    BAD("{\"v\":1,\"subscribe\":\"a.b\"}", "is no name"),
    BAD("{\"v\":1,\"subscribe\":\"a/b\"}", "is no name"),
    BAD("{\"v\":1,\"subscribe\":\"\\u00e4\"}", "is no name"),
    BAD("{\"v\":1,\"subscribe\":[\"a\"]}", "subscribe: is no name"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"from\":\"first\"}", "from: 'first' is no place"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"from\":1}", "from: is no place"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"from\":null}", "from: is no place"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"from\":\"" ID "0\"}", "is no place"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"events\":\"b\"}", "events: must be an array"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"events\":[]}", "events: the array is empty"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"groups\":[\"b\",1]}", "groups[1]: must be"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"users\":[\"\"]}", "users[0]: must be"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"users\":[\"b c\"]}", "users[0]: must be"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"users\":[\"b\\tc\"]}", "users[0]: must be"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"Events\":[\"b\"]}", "unknown key 'Events'"),
    BAD("{\"v\":1,\"subscribe\":\"a\",\"ack\":\"" ID "\"}", "exactly one"),
    BAD("{\"ack\":\"" ID "\",\"unsubscribe\":\"a\"}", "exactly one"),
    BAD("{\"ack\":\"" ID "\",\"from\":\"oldest\"}", "unknown key 'from'"),
    BAD("{\"ack\":\"\"}", "ack: '' is no id"),
    BAD("{\"ack\":\"0\"}", "ack: '0' is no id"),
    BAD("{\"ack\":1}", "ack: is no id"),
    BAD("{\"ack\":null}", "ack: is no id"),
    BAD("{\"v\":2,\"ack\":\"" ID "\"}", "version 1"),
    BAD("{\"unsubscribe\":null}", "unsubscribe: is no name"),
    BAD("{\"unsubscribe\":\"a\",\"events\":[\"b\"]}", "unknown key 'events'"),
};

static void bad_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct request req;
		struct buf error = BUF_INIT;
		/* memory that ends where the line ends, so that valgrind sees a read beyond */
		char *line = malloc(bad[i].len);
		memcpy(line, bad[i].line, bad[i].len);
		int rc = request_parse(line, bad[i].len, &req, &error);
		if (rc != -1 || !strstr(buf_cstr(&error), bad[i].says)) {
			fail_msg("%s: %d, %s; not: %s", bad[i].line, rc, buf_cstr(&error),
			         bad[i].says);
		}
		assert_null(memchr(error.s ? error.s : "", '\n', error.len));
		request_free(&req);
		buf_free(&error);
		free(line);
	}
}

static struct request parse(const char *line)
{
	struct request req;
	struct buf error = BUF_INIT;
	if (request_parse(line, strlen(line), &req, &error) < 0)
		fail_msg("%s: %s", line, buf_cstr(&error));
	assert_int_equal(error.len, 0);
	buf_free(&error);
	return req;
}

static void live(void **state)
{
	(void)state;
	assert_int_equal(parse("").kind, REQUEST_LIVE);
	assert_int_equal(parse("\r").kind, REQUEST_LIVE);
}

static void subscribe(void **state)
{
	(void)state;
	struct request req = parse("{\"v\":1,\"subscribe\":\"a\"}");
	assert_int_equal(req.kind, REQUEST_SUBSCRIBE);
	assert_string_equal(req.name, "a");
	assert_int_equal(req.from, FROM_UNSET);
	assert_int_equal(req.groups.len + req.events.len + req.users.len, 0);
	request_free(&req);

	req = parse(" { \"users\" : [ \"*@example.org\" , \"jane\" ] , \"events\":[\"MessageNew\"],"
	            "\"groups\":[\"flags\",\"quota\"],\"from\":\"oldest\",\"subscribe\":\"" A64
	            "\",\"v\":1}\r");
	assert_string_equal(req.name, A64);
	assert_int_equal(req.from, FROM_OLDEST);
	assert_string_equal(buf_cstr(&req.users), "*@example.org jane");
	assert_string_equal(buf_cstr(&req.events), "MessageNew");
	assert_string_equal(buf_cstr(&req.groups), "flags quota");
	request_free(&req);

	req = parse("{\"v\":1,\"subscribe\":\"z_0-9\",\"from\":\"newest\"}");
	assert_int_equal(req.from, FROM_NEWEST);
	request_free(&req);

	req = parse("{\"v\":1,\"subscribe\":\"z\",\"from\":\"" ID "\"}");
	assert_int_equal(req.from, FROM_ID);
	assert_int_equal(req.pos, 0x1a2b0);
	assert_int_equal(req.uuid[0], 0x00);
	assert_int_equal(req.uuid[15], 0xff);
	request_free(&req);
}

static void others(void **state)
{
	(void)state;
	struct request req = parse("{\"ack\":\"" ID "\"}");
	assert_int_equal(req.kind, REQUEST_ACK);
	assert_int_equal(req.pos, 0x1a2b0);
	request_free(&req);

	req = parse("{\"v\":1,\"unsubscribe\":\"a-b\"}");
	assert_int_equal(req.kind, REQUEST_UNSUBSCRIBE);
	assert_string_equal(req.name, "a-b");
	request_free(&req);
}

static void long_lines(void **state)
{
	(void)state;
	struct request req;
	struct buf error = BUF_INIT, line = BUF_INIT;
	buf_adds(&line, "{\"v\":1,\"subscribe\":\"a\"");
	while (line.len < REQUEST_LINE - 1)
		buf_addc(&line, ' ');
	buf_addc(&line, '}');
	assert_int_equal(request_parse(line.s, line.len, &req, &error), 0);
	request_free(&req);
	buf_addc(&line, ' ');
	assert_int_equal(request_parse(line.s, line.len, &req, &error), -1);
	assert_non_null(strstr(buf_cstr(&error), "longer than 65536"));
	request_free(&req);
	buf_free(&error);

	/* what an error repeats of it is short */
	buf_reset(&line);
	buf_adds(&line, "{\"ack\":\"");
	while (line.len < 60000)
		buf_addc(&line, 'x');
	buf_adds(&line, "\"}");
	assert_int_equal(request_parse(line.s, line.len, &req, &error), -1);
	assert_true(error.len < 200);
	request_free(&req);
	buf_free(&error);
	buf_free(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bad_lines), cmocka_unit_test(live),       cmocka_unit_test(subscribe),
	    cmocka_unit_test(others),    cmocka_unit_test(long_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
