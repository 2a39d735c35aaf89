/* SPDX-License-Identifier: BSD-3-Clause */
/* Each documented example is built through the public API of its facts alone, and must come out
 * of the journal to the byte. */
#include "api_fixture.h"

#include "../../lib/mailurl.h"
#include "../../notifyd/validate.h"

#include <time.h>

#include <jansson.h>

#define EXAMPLES 21 /* the 22nd shows placeholders */

static void ok(int code, const char *what)
{
	if (code != MBEV_OK)
		fail_msg("%s: %s", what, mbev_strerror(code));
}

static char *decoded(struct str s)
{
	struct buf b = BUF_INIT;
	mailurl_decode(s, &b);
	char *copy = strdup(buf_cstr(&b));
	buf_free(&b);
	return copy;
}

static uint32_t number(struct str s)
{
	return s.len ? (uint32_t)strtoul(s.s, NULL, 10) : 0;
}

static struct str str_of(const json_t *v)
{
	return (struct str){json_string_value(v), json_string_length(v)};
}

/* "2015-02-23T14:57:59.736+01:00" */
static void set_time(struct mbev_event *e, const char *s)
{
	struct tm tm = {0};
	int ms, hours, minutes;
	char sign;
	assert_int_equal(sscanf(s, "%d-%d-%dT%d:%d:%d.%d%c%d:%d", &tm.tm_year, &tm.tm_mon,
	                        &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms, &sign,
	                        &hours, &minutes),
	                 10);
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	int offset = (hours * 60 + minutes) * (sign == '-' ? -1 : 1);
	ok(mbev_set_time(e, ((int64_t)timegm(&tm) - offset * 60) * 1000 + ms, offset), "time");
}

/* A mailbox from its URL. */
static void set_url(struct mbev_event *e, struct str url,
                    int (*set)(struct mbev_event *, const char *, const char *, uint32_t))
{
	struct mailurl u;
	assert_int_equal(mailurl_parse(url, &u), 0);
	if (!u.mailbox.len)
		return;
	char *owner = decoded(u.owner), *mailbox = decoded(u.mailbox);
	ok(set(e, owner, mailbox, number(u.uidvalidity)), "mailbox");
	free(owner);
	free(mailbox);
}

/* The UID of a message: of its uri, else of uidset, which names one in every example. */
static uint32_t uid_of(const json_t *event)
{
	const char *uri = json_string_value(json_object_get(event, "uri"));
	const char *uid = uri ? strstr(uri, "/;UID=") : NULL;
	return uid ? (uint32_t)atoi(uid + 6) : number(str_of(json_object_get(event, "uidset")));
}

static void set_headers(struct mbev_event *e, json_t *headers)
{
	const char *name;
	json_t *value;
	json_object_foreach(json_object_iter_value(json_object_iter(headers)), name, value)
	{
		if (json_is_string(value))
			ok(mbev_add_header(e, name, json_string_value(value)), name);
		for (size_t i = 0; i < json_array_size(value); i++)
			ok(mbev_add_header(e, name, json_string_value(json_array_get(value, i))),
			   name);
	}
}

static void set_strings(struct mbev_event *e, const char *key, const json_t *array)
{
	const char *values[8];
	size_t n = json_array_size(array);
	assert_true(n <= 8);
	for (size_t i = 0; i < n; i++)
		values[i] = json_string_value(json_array_get(array, i));
	ok(mbev_set_strings(e, key, values, n), key);
}

static void set_fact(struct mbev_event *e, json_t *event, const char *key, json_t *value)
{
	static const char *const made[] = {"event", "service", "mailboxID", "uidset"};
	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		if (strcmp(key, made[i]) == 0)
			return;
	if (strcmp(key, "uri") == 0)
		set_url(e, str_of(value), mbev_set_mailbox);
	else if (strcmp(key, "oldMailboxID") == 0)
		set_url(e, str_of(value), mbev_set_old_mailbox);
	else if (strcmp(key, "timestamp") == 0)
		set_time(e, json_string_value(value));
	else if (strcmp(key, "flagNames") == 0)
		ok(mbev_add_flags(e, json_string_value(value)), key);
	else if (strcmp(key, "vnd.cmu.oldUidset") == 0)
		ok(mbev_add_old_uid(e, number(str_of(value))), key);
	else if (strcmp(key, "vnd.cmu.midset") == 0) {
		const char *id = json_string_value(json_array_get(value, 0));
		assert_int_equal(json_array_size(value), 1);
		ok(mbev_add_message(e, uid_of(event), strcmp(id, "NIL") ? id : NULL), key);
	} else if (strcmp(key, "messageContent") == 0) {
		struct str text = str_of(json_object_iter_value(json_object_iter(value)));
		ok(mbev_set_content(e, text.s, text.len), key);
	} else if (strcmp(key, "messageHeaders") == 0)
		set_headers(e, value);
	else if (json_is_integer(value))
		ok(mbev_set_int(e, key, json_integer_value(value)), key);
	else if (json_is_array(value))
		set_strings(e, key, value);
	else
		ok(mbev_set_string(e, key, json_string_value(value)), key);
}

static struct mbev *open_for(const json_t *event)
{
	struct mailurl u = {.server = STR("sloti30t15")};
	const json_t *uri = json_object_get(event, "uri");
	char more[1024], why[256];
	struct mbev *h;
	if (uri)
		assert_int_equal(mailurl_parse(str_of(uri), &u), 0);
	snprintf(more, sizeof more, "servername: %.*s\n%s%s", (int)u.server.len, u.server.s,
	         ALL_GROUPS, ALL_EXTRAS);
	api_write_conf(more);
	ok(mbev_open(api_conf, json_string_value(json_object_get(event, "service")), &h, why,
	             sizeof why),
	   why);
	assert_string_equal(why, "");
	return h;
}

static void report(void *ctx, const char *event, const char *parameter, const char *what)
{
	(void)ctx;
	fail_msg("%s: %s: %s", event, parameter, what);
}

static void check_record(const char *line, json_t *event)
{
	struct record rec;
	struct reader *r = fixture_reader(api_read);
	assert_true(api_next(r, &rec));
	char *got = strndup(rec.json.s, rec.json.len);
	assert_string_equal(got, line);
	free(got);
	const char *user = json_string_value(json_object_get(event, "user"));
	assert_int_equal(rec.user.len, user ? strlen(user) : 0);
	struct mailurl u = {0};
	const json_t *uri = json_object_get(event, "uri");
	if (uri)
		assert_int_equal(mailurl_parse(str_of(uri), &u), 0);
	char *owner = decoded(u.owner), *mailbox = decoded(u.mailbox);
	assert_int_equal(rec.mailbox.len, strlen(mailbox));
	assert_memory_equal(rec.mailbox.s, mailbox, rec.mailbox.len);
	if (uri) {
		assert_int_equal(rec.owner.len, strlen(owner));
		assert_memory_equal(rec.owner.s, owner, rec.owner.len);
	}
	free(owner);
	free(mailbox);
	if (strcmp(json_string_value(json_object_get(event, "event")), "CalendarAlarm") == 0)
		assert_memory_equal(rec.owner.s, "mary@example.org", rec.owner.len);
	struct validate *v = validate_new();
	assert_int_equal(validate_event(v, rec.json, true, report, NULL), 0);
	validate_free(&v);
	struct record more;
	assert_false(api_next(r, &more));
	reader_close(&r);
}

static void check_example(const char *line)
{
	json_t *event = json_loads(line, JSON_ALLOW_NUL, NULL), *value;
	assert_non_null(event);
	struct mbev *h = open_for(event);
	struct mbev_event *e;
	char why[256];
	const char *key;
	ok(mbev_new(h, json_string_value(json_object_get(event, "event")), &e), "new");
	json_object_foreach(event, key, value) set_fact(e, event, key, value);
	ok(mbev_emit(&e, why, sizeof why), why);
	assert_null(e);
	check_record(line, event);
	assert_int_equal(mbev_lost(h), 0);
	mbev_close(&h);
	json_decref(event);
}

static void test_examples(void **state)
{
	(void)state;
	char path[512], *line = NULL;
	size_t cap = 0;
	snprintf(path, sizeof path, "%s/tests/data/documented-events.jsonl", getenv("TOP_SRCDIR"));
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	for (int n = 0; n < EXAMPLES; n++) {
		ssize_t len = getline(&line, &cap, f);
		assert_true(len > 0);
		line[len - 1] = '\0';
		check_example(line);
	}
	free(line);
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_examples, api_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
