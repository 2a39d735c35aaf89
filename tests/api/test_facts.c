/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of every kind: what is taken, what is refused and how, and that the JSON is valid
 * whatever bytes come. Also the nouns in lib/ that the API is made of. */
#include "api_fixture.h"

#include "../../lib/flags.h"
#include "../../lib/mailurl.h"
#include "../../lib/midset.h"
#include "../../lib/uidset.h"
#include "../../plugin/build.h"

#include <errno.h>
#include <regex.h>

#include <jansson.h>

static struct mbev *handle;

static struct mbev_event *begin(const char *type)
{
	struct mbev_event *e;
	assert_int_equal(mbev_new(handle, type, &e), MBEV_OK);
	return e;
}

/* The next record, checked to be JSON that jansson takes. */
static json_t *next_event(void)
{
	struct record rec;
	struct reader *r = fixture_reader(api_read);
	json_error_t error;
	assert_true(api_next(r, &rec));
	assert_null(memchr(rec.json.s, '\n', rec.json.len));
	for (size_t i = 0; i < rec.json.len; i++)
		assert_true(rec.json.s[i] >= ' ');
	json_t *event =
	    json_loadb(rec.json.s, rec.json.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	if (!event)
		fail_msg("%s: %.*s", error.text, (int)(rec.json.len < 200 ? rec.json.len : 200),
		         rec.json.s);
	reader_close(&r);
	return event;
}

static const char *text_of(const json_t *event, const char *key)
{
	const char *s = json_string_value(json_object_get(event, key));
	return s ? s : "(none)";
}

static int setup(void **state)
{
	char why[256];
	if (api_setup(state) < 0)
		return -1;
	api_write_conf("servername: h\n" ALL_GROUPS ALL_EXTRAS);
	return mbev_open(api_conf, "imap", &handle, why, sizeof why);
}

static int teardown(void **state)
{
	mbev_close(&handle);
	return fixture_teardown(state);
}

static void test_codes(void **state)
{
	(void)state;
	struct mbev_event *e = begin("MessageNew"), *none;
	const char *texts[] = {"a", NULL};
	static const char *const made[] = {"event",          "uri",
	                                   "timestamp",      "messageContent",
	                                   "messageHeaders", "mailboxID",
	                                   "clientIP",       "aclRights",
	                                   "nonsense",       "vnd.",
	                                   "vnd.\xff",       "vnd.mboxevent.raw",
	                                   "Messages",       "vnd.cmu.mbtype "};
	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		assert_int_equal(mbev_set_string(e, made[i], "x"), MBEV_PARAM);
	assert_int_equal(mbev_set_string(e, "messages", "1"), MBEV_TYPE);
	assert_int_equal(mbev_set_int(e, "user", 1), MBEV_TYPE);
	assert_int_equal(mbev_set_strings(e, "user", texts, 1), MBEV_TYPE);
	assert_int_equal(mbev_set_string(e, "vnd.cmu.midset", "x"), MBEV_TYPE);
	assert_int_equal(mbev_set_json(e, "user", "\"x\"", 3), MBEV_TYPE);
	assert_int_equal(mbev_set_strings(e, "vnd.cmu.midset", texts, 2), MBEV_INVAL);
	assert_int_equal(mbev_set_strings(e, "vnd.cmu.midset", NULL, 1), MBEV_INVAL);
	assert_int_equal(mbev_set_string(e, "user", NULL), MBEV_INVAL);
	assert_int_equal(mbev_set_string(e, "user", ""), MBEV_INVAL);
	assert_int_equal(mbev_set_string(e, NULL, ""), MBEV_INVAL);
	assert_int_equal(mbev_set_bytes(e, "user", NULL, 1), MBEV_INVAL);
	assert_int_equal(mbev_set_int(e, "messages", -1), MBEV_INVAL);
	assert_int_equal(mbev_set_int(e, "uidnext", 0), MBEV_INVAL);
	assert_int_equal(mbev_set_int(e, "uidnext", INT64_C(4294967296)), MBEV_INVAL);
	assert_int_equal(mbev_set_json(e, "vnd.x", "{", 1), MBEV_INVAL);
	assert_int_equal(mbev_set_json(e, "vnd.x", "", 0), MBEV_INVAL);
	assert_int_equal(mbev_set_json(e, "vnd.x", NULL, 0), MBEV_INVAL);
	assert_int_equal(mbev_set_old_mailbox(e, "j", "a", 1), MBEV_PARAM);
	assert_int_equal(mbev_add_old_uid(e, 1), MBEV_PARAM);
	assert_int_equal(mbev_add_message(e, 0, NULL), MBEV_INVAL);
	assert_int_equal(mbev_add_message(e, 3, NULL), MBEV_OK);
	assert_int_equal(mbev_add_message(e, 4, NULL), MBEV_INVAL);
	assert_int_equal(mbev_set_string(e, "uidset", "4"), MBEV_INVAL);
	assert_int_equal(mbev_add_flags(e, "a\x01"), MBEV_INVAL);
	assert_int_equal(mbev_add_flags(e, NULL), MBEV_INVAL);
	assert_int_equal(mbev_add_header(e, "A b", "x"), MBEV_INVAL);
	assert_int_equal(mbev_add_header(e, "", "x"), MBEV_INVAL);
	assert_int_equal(mbev_set_content(e, NULL, 1), MBEV_INVAL);
	assert_int_equal(mbev_set_time(e, 0, 1440), MBEV_INVAL);
	assert_int_equal(mbev_set_time(e, INT64_MAX, 0), MBEV_INVAL);
	static const char *const paths[] = {"", "/a", "a/", "a//b", NULL};
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		assert_int_equal(mbev_set_mailbox(e, "john", paths[i], 1), MBEV_INVAL);
	assert_int_equal(mbev_set_mailbox(e, NULL, "user/john", 1), MBEV_INVAL);
	mbev_free(&e);
	assert_null(e);
	mbev_free(&e);
	mbev_free(NULL);
	assert_int_equal(mbev_new(handle, "MessageNews", &none), MBEV_EVENT);
	assert_null(none);
	assert_int_equal(mbev_new(NULL, "MessageNew", &none), MBEV_INVAL);
	/* a silent event is taken by every call */
	assert_int_equal(mbev_set_string(none, "nonsense", "x"), MBEV_SILENT);
	assert_int_equal(mbev_add_flags(none, NULL), MBEV_SILENT);
	assert_int_equal(mbev_emit(&none, NULL, 0), MBEV_SILENT);
	assert_int_equal(mbev_emit(NULL, NULL, 0), MBEV_SILENT);
	e = begin("Login");
	assert_int_equal(mbev_set_mailbox(e, "john", "a", 1), MBEV_PARAM);
	assert_int_equal(mbev_add_message(e, 1, NULL), MBEV_PARAM);
	assert_int_equal(mbev_add_flags(e, "a"), MBEV_PARAM);
	assert_int_equal(mbev_set_content(e, "a", 1), MBEV_PARAM);
	assert_int_equal(mbev_add_header(e, "a", "a"), MBEV_PARAM);
	mbev_free(&e);
	for (int code = MBEV_SILENT + 1; code >= MBEV_JOURNAL - 1; code--)
		assert_true(strlen(mbev_strerror(code)) > 3);
}

/* An event without what it must have is refused and counted, with the parameter's name. */
static void test_missing(void **state)
{
	(void)state;
	static const struct {
		const char *type, *why;
	} cases[] = {
	    {"MessageNew", "MessageNew: uri is missing"},
	    {"MailboxDelete", "MailboxDelete: mailboxID is missing"},
	    {"MailboxRename", "MailboxRename: mailboxID is missing"},
	    {"FlagsClear", "FlagsClear: flagNames is missing"},
	    {"Login", "Login: serverDomain is missing"},
	    {"QuotaChange", "QuotaChange: uri is missing"},
	};
	char why[64], small[8];
	const size_t n = sizeof cases / sizeof *cases;
	for (size_t i = 0; i < n; i++) {
		struct mbev_event *e = begin(cases[i].type);
		errno = ENOTTY;
		assert_int_equal(mbev_emit(&e, why, sizeof why), MBEV_MISSING);
		assert_int_equal(errno, ENOTTY);
		assert_string_equal(why, cases[i].why);
		assert_null(e);
	}
	struct mbev_event *e = begin("MessageNew");
	mbev_set_mailbox(e, "john", "INBOX", 0); /* without UIDVALIDITY it is no message's */
	mbev_add_message(e, 1, NULL);
	assert_int_equal(mbev_emit(&e, small, sizeof small), MBEV_MISSING);
	assert_string_equal(small, "Message");
	assert_int_equal(mbev_count(handle, MBEV_COUNT_REFUSED), n + 1);
	assert_int_equal(mbev_lost(handle), n + 1);
	assert_int_equal(mbev_count(handle, MBEV_COUNT_EMITTED), 0);
	/* the next record tells of them */
	e = begin("MessageNew");
	mbev_set_mailbox(e, "john", "INBOX", 3);
	mbev_add_message(e, 1, NULL);
	assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_OK);
	struct record rec;
	struct reader *r = fixture_reader(0);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(rec.lost, n + 1);
	reader_close(&r);
	uint64_t lost[LOST_REASONS];
	assert_int_equal(lost_read(fixture_fd, lost), 0);
	assert_int_equal(lost[LOST_INCOMPLETE], n + 1);
}

/* A journal that can't be written: an error and a count. */
static void test_no_journal(void **state)
{
	(void)state;
	char why[256];
	struct mbev *h;
	api_write_conf(ALL_GROUPS "imap_mboxevent_journal: /nonexistent/journal\n");
	assert_int_equal(mbev_open(api_conf, "imap", &h, why, sizeof why), MBEV_OK);
	struct mbev_event *e;
	assert_int_equal(mbev_new(h, "MailboxSubscribe", &e), MBEV_OK);
	mbev_set_mailbox(e, "john", "a", 0);
	mbev_set_string(e, "user", "john");
	assert_int_equal(mbev_emit(&e, why, sizeof why), MBEV_JOURNAL);
	assert_non_null(strstr(why, "MailboxSubscribe: the journal directory is missing"));
	assert_int_equal(mbev_count(h, MBEV_COUNT_LOST), 1);
	mbev_close(&h);
}

static void test_own_parameters(void **state)
{
	(void)state;
	struct mbev_event *e = begin("MailboxSubscribe");
	const char *two[] = {"a", "b"};
	char name[] = "vnd.dovecot.name";
	mbev_set_mailbox(e, "john", "a", 0);
	mbev_set_string(e, "user", "john");
	assert_int_equal(mbev_set_string(e, name, "x"), MBEV_OK);
	memset(name, '!', sizeof name - 1); /* it was copied */
	assert_int_equal(mbev_set_string(e, "vnd.dovecot.name", "y"), MBEV_OK);
	assert_int_equal(mbev_set_int(e, "vnd.dovecot.n", -5), MBEV_OK);
	assert_int_equal(mbev_set_strings(e, "vnd.dovecot.two", two, 2), MBEV_OK);
	assert_int_equal(mbev_set_strings(e, "vnd.dovecot.none", NULL, 0), MBEV_OK);
	static const char object[] = " {\"\xc3\xa9\" :\n[1, \"\xff\"]} ";
	assert_int_equal(mbev_set_json(e, "vnd.dovecot.j", object, sizeof object - 1), MBEV_OK);
	assert_int_equal(mbev_set_string(e, "vnd.dovecot.absent", NULL), MBEV_OK);
	assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_OK);
	json_t *event = next_event();
	assert_string_equal(text_of(event, "vnd.dovecot.name"), "y");
	char *json =
	    json_dumps(json_object_get(event, "vnd.dovecot.j"), JSON_COMPACT | JSON_ENSURE_ASCII);
	assert_string_equal(json, "{\"\\u00E9\":[1,\"\\uFFFD\"]}");
	free(json);
	assert_int_equal(json_array_size(json_object_get(event, "vnd.dovecot.two")), 2);
	assert_true(json_is_null(json_object_get(event, "vnd.dovecot.absent")));
	json_decref(event);
}

/* Any byte in any value. */
static void test_hostile(void **state)
{
	(void)state;
	static char large[1 << 20];
	struct {
		const void *s;
		size_t len;
	} values[] = {
	    {"\xff\xfe\xc3", 3},
	    {"a\0b", 3},
	    {"\xed\xa0\x80\xed\xb0\x80", 6},
	    {"\\ud800\"\\", 8},
	    {"\x01\x1f\x7f\r\n\t", 6},
	    {"\xf4\x90\x80\x80\xe2\x80\xa8", 7},
	    {large, sizeof large},
	    {"}\",\"event\":\"Login", 17},
	};
	for (size_t i = 0; i < sizeof large; i++)
		large[i] = (char)(i * 37 + i / 251);
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		struct mbev_event *e = begin("MessageNew");
		char *text = strndup(values[i].s, values[i].len); /* up to its NUL */
		mbev_set_mailbox(e, *text ? text : "x", "Archive", 9);
		int code = mbev_set_mailbox(e, text, text, 9);
		assert_true(code == MBEV_OK || code == MBEV_INVAL);
		assert_int_equal(mbev_add_message(e, 1, text), MBEV_OK);
		code = mbev_add_flags(e, text);
		assert_true(code == MBEV_OK || code == MBEV_INVAL);
		assert_int_equal(mbev_set_bytes(e, "bodyStructure", values[i].s, values[i].len),
		                 MBEV_OK);
		assert_int_equal(mbev_set_bytes(e, "user", values[i].s, values[i].len), MBEV_OK);
		assert_int_equal(mbev_set_content(e, values[i].s, values[i].len), MBEV_OK);
		assert_int_equal(mbev_add_header(e, "Subject", text), MBEV_OK);
		assert_int_equal(mbev_set_string(e, "vnd.x.y", text), MBEV_OK);
		assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_OK);
		json_t *event = next_event();
		assert_string_equal(text_of(event, "event"), "MessageNew");
		json_decref(event);
		free(text);
	}
	assert_int_equal(mbev_lost(handle), 0);
}

/* A content that grows beyond what a record holds costs itself alone. */
static void test_content_too_long(void **state)
{
	(void)state;
	char why[256];
	struct mbev *h;
	const size_t len = 8 << 20;
	char *content = malloc(len);
	assert_non_null(content);
	memset(content, 0xff, len);
	api_write_conf(ALL_GROUPS ALL_EXTRAS "mboxevent_max_content: 16M\n");
	assert_int_equal(mbev_open(api_conf, "imap", &h, why, sizeof why), MBEV_OK);
	struct mbev_event *e;
	mbev_new(h, "MessageNew", &e);
	mbev_set_mailbox(e, "john", "a", 1);
	mbev_add_message(e, 1, NULL);
	assert_int_equal(mbev_set_content(e, content, len), MBEV_OK);
	assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_OK);
	json_t *event = next_event();
	assert_null(json_object_get(event, "messageContent"));
	json_decref(event);
	mbev_close(&h);
	free(content);
}

static void test_headers(void **state)
{
	(void)state;
	static const struct {
		const char *name, *value;
	} fields[] = {{"Received", "b"}, {"to", "x"},   {"Subject", "\xff"},
	              {"received", "a"}, {"From", "y"}, {"To", "z"}};
	struct mbev_event *e = begin("MessageAppend");
	mbev_set_mailbox(e, "john", "a", 1);
	mbev_add_message(e, 4294967295u, NULL);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		assert_int_equal(mbev_add_header(e, fields[i].name, fields[i].value), MBEV_OK);
	for (size_t i = sizeof fields / sizeof *fields; i < BUILD_HEADERS; i++)
		assert_int_equal(mbev_add_header(e, "X", ""), MBEV_OK);
	assert_int_equal(mbev_add_header(e, "X", ""), MBEV_INVAL);
	assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_OK);
	json_t *event = next_event(), *headers;
	headers = json_object_get(json_object_get(event, "messageHeaders"), "4294967295");
	json_object_del(headers, "X");
	char *json = json_dumps(headers, JSON_COMPACT | JSON_ENSURE_ASCII);
	assert_string_equal(json, "{\"From\":[\"y\"],\"Received\":[\"b\",\"a\"],"
	                          "\"Subject\":\"\\uFFFD\",\"to\":[\"x\",\"z\"]}");
	free(json);
	json_decref(event);
}

static void test_time(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		int offset;
		const char *text;
	} cases[] = {
	    {0, 0, "1970-01-01T00:00:00.000Z"},
	    {-1, 0, "1969-12-31T23:59:59.999Z"},
	    {INT64_C(951782400000), 0, "2000-02-29T00:00:00.000Z"},
	    {INT64_C(951782399999), -60, "2000-02-28T22:59:59.999-01:00"},
	    {INT64_C(951868799999), 330, "2000-03-01T05:29:59.999+05:30"},
	    {INT64_C(4102444799999), 0, "2099-12-31T23:59:59.999Z"},
	    {INT64_C(-62135596800000), 0, "0001-01-01T00:00:00.000Z"},
	    {INT64_C(253402300799999), 0, "9999-12-31T23:59:59.999Z"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct mbev_event *e = begin("MailboxSubscribe");
		mbev_set_mailbox(e, "john", "a", 0);
		mbev_set_string(e, "user", "john");
		assert_int_equal(mbev_set_time(e, cases[i].ms, cases[i].offset), MBEV_OK);
		assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_OK);
		json_t *event = next_event();
		assert_string_equal(text_of(event, "timestamp"), cases[i].text);
		assert_string_equal(text_of(event, "service"), "imap");
		assert_int_equal(json_integer_value(json_object_get(event, "pid")), getpid());
		json_decref(event);
	}
}

static void test_urls(void **state)
{
	(void)state;
	static const struct {
		struct mailurl_place place;
		const char *url;
	} cases[] = {
	    {{.server = STR("h")}, "imap://h"},
	    {{STR("h"), STR("john@x"), STR("INBOX"), 5, 6},
	     "imap://john@x@h/INBOX;UIDVALIDITY=5/;UID=6"},
	    {{STR("h"), STR(""), STR("T\xc3\xa9st & co/a@b"), 0, 0},
	     "imap://h/T%C3%A9st%20%26%20co/a%40b"},
	    {{STR("h"), STR("a/b c;d"), STR("#calendars/x~y"), 4294967295u, 0},
	     "imap://a%2Fb%20c%3Bd@h/%23calendars/x~y;UIDVALIDITY=4294967295"},
	    {{STR("h"), STR("j"), STR("!\"#$%&'()*+,-.:;<=>?@[\\]^_`{|}~"), 0, 0},
	     "imap://j@h/!%22%23$%25%26'()*%2B,-.%3A%3B%3C%3D%3E%3F%40%5B%5C%5D%5E_%60%7B%7C%7D~"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf url = BUF_INIT, back = BUF_INIT;
		struct mailurl u;
		mailurl_write(&cases[i].place, &url);
		assert_string_equal(buf_cstr(&url), cases[i].url);
		assert_int_equal(mailurl_parse((struct str){url.s, url.len}, &u), 0);
		mailurl_decode(u.mailbox, &back);
		assert_int_equal(back.len, cases[i].place.mailbox.len);
		assert_memory_equal(buf_cstr(&back), cases[i].place.mailbox.s, back.len);
		buf_free(&url);
		buf_free(&back);
	}
}

static void test_uidset(void **state)
{
	(void)state;
	static const struct {
		const char *text, *set;
	} cases[] = {
	    {"1", "1"},
	    {"3,1,2", "1:3"},
	    {"5:3,9", "3:5,9"},
	    {"1,3,5,2", "1:3,5"},
	    {"1:4294967295", "1:4294967295"},
	    {"7,7,7:8", "7:8"},
	    {"", NULL},
	    {"0", NULL},
	    {"1,", NULL},
	    {"*", NULL},
	    {"1:", NULL},
	    {"4294967296", NULL},
	    {"1 2", NULL},
	    {"01", NULL},
	    {"10:20,1:5,6:9", "1:20"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct uidset set = {0};
		struct buf text = BUF_INIT;
		int r = uidset_parse(&set, (struct str){cases[i].text, strlen(cases[i].text)});
		assert_int_equal(r, cases[i].set ? 0 : -1);
		uidset_write(&set, &text);
		if (cases[i].set)
			assert_string_equal(buf_cstr(&text), cases[i].set);
		buf_free(&text);
		uidset_free(&set);
	}
	/* against a plain array, UIDs in any order */
	bool in[200] = {false};
	struct uidset set = {0};
	for (unsigned n = 0, x = 1; n < 150; n++) {
		x = (x * 1103515245u + 12345u) & 0x7fffffff;
		uint32_t low = x / 7 % 190 + 1, high = low + x / 3 % 5;
		assert_true(uidset_add(&set, low, high));
		memset(in + low, true, high - low + 1);
		uint32_t expected = 0, got = 0;
		for (uint32_t i = 1; i < 200; i++)
			expected += in[i] && !in[i - 1];
		for (size_t i = 0; i < set.n; i++, got++)
			for (uint32_t u = set.ranges[i].low; u <= set.ranges[i].high; u++)
				assert_true(in[u]);
		assert_int_equal(got, expected);
	}
	uidset_free(&set);
}

static void test_midset(void **state)
{
	(void)state;
	struct midset m = {0};
	char id[32];
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 1000; i++) {
			int len = snprintf(id, sizeof id, "<%d@x>", i);
			assert_true(midset_add(&m, (struct str){id, (size_t)len}));
		}
	assert_int_equal(m.n, 1000);
	struct buf json = BUF_INIT;
	midset_write(&m, &json);
	assert_memory_equal(json.s, "[\"<0@x>\",\"<1@x>\",", 17);
	midset_reset(&m);
	buf_reset(&json);
	midset_write(&m, &json);
	assert_string_equal(buf_cstr(&json), "[]");
	buf_free(&json);
	midset_free(&m);
}

static void test_flag_sets(void **state)
{
	(void)state;
	struct buf flags = BUF_INIT;
	assert_true(flags_add(&flags, STR("\\SEEN")));
	assert_true(flags_add(&flags, STR("b")));
	assert_true(flags_add(&flags, STR("B")));
	assert_true(flags_add(&flags, STR("\\x")));
	assert_false(flags_add(&flags, STR("a b")));
	assert_false(flags_add(&flags, STR("\xc3\xa9")));
	assert_string_equal(buf_cstr(&flags), "\\Seen b \\x");
	assert_false(flags_take(&flags, STR("c")));
	assert_true(flags_take(&flags, STR("B")));
	assert_string_equal(buf_cstr(&flags), "\\Seen \\x");
	assert_true(flags_take(&flags, STR("\\x")));
	assert_true(flags_take(&flags, STR("\\seen")));
	assert_int_equal(flags.len, 0);
	buf_free(&flags);
}

/* The forms that setters check are those of the catalogue. */
static void test_fits(void **state)
{
	(void)state;
	static const char *const texts[] = {"",
	                                    "a",
	                                    " ",
	                                    "0",
	                                    "1",
	                                    "0123",
	                                    "1234567890",
	                                    "12345678901",
	                                    "20151119",
	                                    "20151119T063000",
	                                    "20151119T063000Z",
	                                    "20151119T",
	                                    "20151119Z",
	                                    "2015111",
	                                    "127.0.0.1",
	                                    "127.0.0",
	                                    "1.2.3.4.5",
	                                    "1.2.3.",
	                                    "1111.1.1.1",
	                                    "::",
	                                    "::1",
	                                    "fe80::1%eth0",
	                                    "fe80::1%",
	                                    "::g",
	                                    "::ffff:1.2.3.4",
	                                    "1.2.3.4 ",
	                                    "1..2.3",
	                                    "%a",
	                                    "abc",
	                                    "1.2.3.4%x"};
	static const enum catalog_form forms[] = {FORM_ANY, FORM_TEXT, FORM_ICALTIME, FORM_ADDRESS,
	                                          FORM_UIDVALIDITY};
	for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
		const char *pattern = catalog_forms[forms[f]].pattern;
		regex_t re;
		if (pattern)
			assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
		for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
			struct str text = {texts[i], strlen(texts[i])};
			bool fits = !pattern || regexec(&re, texts[i], 0, NULL, 0) == 0;
			if (build_fits(forms[f], text) != fits)
				fail_msg("%s: %s", catalog_forms[forms[f]].words, texts[i]);
		}
		if (pattern)
			regfree(&re);
	}
}

/* What fits a pattern and is none all the same; the validator refuses it too. */
static void test_fits_no_pattern(void **state)
{
	(void)state;
	static const char *const addresses[] = {"300.1.1.1", "::::", "1::2::3",
	                                        "12345::", "1:2:3:4:5:6:7:8:9"};
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
		if (build_fits(FORM_ADDRESS, (struct str){addresses[i], strlen(addresses[i])}))
			fail_msg("%s is taken", addresses[i]);
	assert_false(build_fits(FORM_ADDRESS, STR("1.2.3.4\0")));
	assert_true(build_fits(FORM_UIDVALIDITY, STR("4294967295")));
	assert_false(build_fits(FORM_UIDVALIDITY, STR("4294967296")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_codes),
	    TEST(test_missing),
	    TEST(test_no_journal),
	    TEST(test_own_parameters),
	    TEST(test_hostile),
	    TEST(test_content_too_long),
	    TEST(test_headers),
	    TEST(test_time),
	    cmocka_unit_test(test_urls),
	    cmocka_unit_test(test_uidset),
	    cmocka_unit_test(test_midset),
	    cmocka_unit_test(test_flag_sets),
	    cmocka_unit_test(test_fits),
	    cmocka_unit_test(test_fits_no_pattern),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
