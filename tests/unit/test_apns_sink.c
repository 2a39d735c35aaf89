/* SPDX-License-Identifier: BSD-3-Clause */
/* The apns sink as a worker drives it, with a client that answers by script: who gets which pushes,
 * and what is left of them after an end without notice.
 * usage: test_apns_sink                              the test
 *        test_apns_sink --measure DEVICES EVENTS     what so many cost */
#include "../../notifyd/settings.h"
#include "../../notifyd/sinks/apns/apns.h"
#include "fake_apns.h"
#include "journal_fixture.h"

#include <jansson.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <time.h>

#define JOHN  "john@example.org"
#define JANE  "jane@example.org"
#define TOKEN "2918390218931890821908309283098109381029309829018310983092892829"
#define OTHER "00000000000000000000000000000000000000000000000000000000000000ab"
#define MAIL  "com.apple.mail.XServer.0d1e2f3a"
#define CAL   "com.apple.calendar.XServer.0d1e2f3a"

static struct settings *settings;
static struct sink *sink;
static uint64_t position, confirmed;
static size_t inflight;
static int64_t shift; /* of the records' times, in milliseconds */

static void on_error(void *ctx, const char *line)
{
	snprintf(ctx, 512, "%s", line);
}

static const char *load(const char *more)
{
	static char error[512];
	char path[128];
	error[0] = '\0';
	snprintf(path, sizeof path, "%s/imapd.conf", fixture_dir);
	FILE *f = fopen(path, "w");
	fprintf(f,
	        "mboxevent_journal: %s\nmboxevent_min_free: 0\nvirtdomains: userid\n"
	        "notifyd_sinks: phones\nnotifyd_phones_type: apns\n%s",
	        fixture_dir, more);
	fclose(f);
	settings_free(&settings);
	settings_load(&settings, path, on_error, error);
	sink = settings ? settings_sink(settings, "phones") : NULL;
	return error;
}

static void open_sink(void)
{
	if (sink->driver->open(sink) != SINK_OK)
		fail_msg("%s", sink->why);
}

#define PUSH "notifyd_phones_certificate: /c.pem\naps_topic: " MAIL "\naps_topic_caldav: " CAL "\n"

static void start(const char *more)
{
	char text[2048];
	snprintf(text, sizeof text, "%s%s", PUSH, more);
	const char *error = load(text);
	if (*error)
		fail_msg("%s", error);
	open_sink();
}

static int setup(void **state)
{
	memset(&fake_apns, 0, sizeof fake_apns);
	position = confirmed = 0;
	inflight = 0;
	shift = 0;
	return fixture_setup(state);
}

static int teardown(void **state)
{
	if (sink && sink->state)
		sink->driver->close(sink);
	sink = NULL;
	settings_free(&settings);
	return fixture_teardown(state);
}

/* As after kill -9: nothing is written any more. */
static void lose(void)
{
	struct apns *a = sink->state;
	a->broken = true;
	sink->driver->close(sink);
}

static int flush(void)
{
	int r = sink->driver->flush(sink, 5, &confirmed, &inflight);
	if (r == SINK_RETRY)
		fail_msg("%s", sink->why);
	return r;
}

/* Until so many pushes were taken. */
static void wait_pushes(size_t n)
{
	for (int64_t end = apns_now_ms() + 60000; fake_apns.n < n && apns_now_ms() < end;)
		flush();
	assert_int_equal(fake_apns.n, n);
}

static void wait_settled(void)
{
	for (int64_t end = apns_now_ms() + 60000; confirmed < position && apns_now_ms() < end;)
		flush();
	assert_int_equal(confirmed, position);
}

static int try_send(const char *event, const char *user, const char *owner, const char *mailbox,
                    const char *json)
{
	struct record rec = {.event = {event, strlen(event)},
	                     .user = {user, strlen(user)},
	                     .owner = {owner, strlen(owner)},
	                     .mailbox = {mailbox, strlen(mailbox)},
	                     .json = {json, strlen(json)},
	                     .time = (apns_wall_ms() + shift) * 1000,
	                     .pos = position,
	                     .next = position + 100};
	char *why = NULL;
	struct filter *f = settings_filter(sink, &why);
	assert_non_null(f);
	bool wanted = filter_match(f, &rec);
	filter_free(&f);
	int r = wanted ? sink->driver->send(sink, &rec) : SINK_OK;
	if (r == SINK_OK && wanted)
		position = rec.next;
	return r;
}

static void send(const char *event, const char *user, const char *owner, const char *mailbox)
{
	if (try_send(event, user, owner, mailbox, "{}") != SINK_OK)
		fail_msg("%s", sink->why);
}

static void mail(const char *owner, const char *mailbox)
{
	send("MessageNew", owner, owner, mailbox);
}

static int try_register(const char *user, const char *token, const char *account,
                        const char *mailboxes)
{
	char json[5120];
	snprintf(json, sizeof json,
	         "{\"apsAccountId\":\"%s\",\"apsDeviceToken\":\"%s\",\"apsSubtopic\":"
	         "\"com.apple.mobilemail\",\"apsVersion\":2,\"event\":\"ApplePushService\","
	         "\"mailboxes\":[%s],\"pid\":1,\"user\":\"%s\"}",
	         account, token, mailboxes, user);
	return try_send("ApplePushService", user, user, "", json);
}

static void enrol(const char *user, const char *token, const char *account, const char *mailboxes)
{
	if (try_register(user, token, account, mailboxes) != SINK_OK)
		fail_msg("%s", sink->why);
}

static void enrol_calendar(const char *id, const char *expiry)
{
	char json[1024];
	snprintf(json, sizeof json,
	         "{\"apsDeviceToken\":\"" TOKEN "\",\"apsTopic\":\"" CAL "\",\"event\":"
	         "\"ApplePushServiceDAV\",\"expiry\":%s,\"mailboxUniqueId\":\"%s\",\"mailboxUser\":"
	         "\"" JOHN "\",\"user\":\"" JOHN "\",\"vnd.cmu.mbtype\":\"c\"}",
	         expiry, id);
	assert_int_equal(try_send("ApplePushServiceDAV", JOHN, JOHN, "", json), SINK_OK);
}

static long long number(const char *sql)
{
	char path[256];
	sqlite3 *db;
	sqlite3_stmt *s;
	snprintf(path, sizeof path, "%s/" REGISTRY_FILE, fixture_dir, "phones");
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 10000);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	long long n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return n;
}

static void wait_none_due(void)
{
	for (int64_t end = apns_now_ms() + 60000;
	     number("SELECT count(*) FROM due") && apns_now_ms() < end;)
		flush();
	assert_int_equal(number("SELECT count(*) FROM due"), 0);
}

/* After an end without notice, and after all that was gathered for. */
static void reopen_later(void)
{
	char path[256];
	sqlite3 *db;
	lose();
	snprintf(path, sizeof path, "%s/" REGISTRY_FILE, fixture_dir, "phones");
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE due SET at = 0", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	open_sink();
}

static const struct fake_push *last(void)
{
	return &fake_apns.pushes[fake_apns.n - 1];
}

/* --- who is pushed to --- */

static void test_mail(void **state)
{
	int64_t day = apns_wall_ms() / 1000 + 86400;
	(void)state;
	start("");
	enrol(JOHN, "ABCDEF" TOKEN, "ACC-1", "\"INBOX\",\"Work\",\"D&AOk-j&AOA-\"");
	mail(JOHN, "INBOX");
	wait_pushes(1);
	assert_string_equal(last()->token, "abcdef" TOKEN);
	assert_string_equal(last()->topic, MAIL);
	assert_string_equal(last()->push_type, "background");
	assert_string_equal(last()->collapse, "ACC-1");
	assert_string_equal(last()->payload, "{\"aps\":{\"account-id\":\"ACC-1\"}}");
	assert_int_equal(last()->priority, 0);
	assert_in_range(last()->expiration, day, day + 600);
	mail(JOHN, "D\u00e9j\u00e0");
	wait_pushes(2);
	send("MessageAppend", JANE, JOHN, "Work"); /* Jane's doing, John's mailbox */
	wait_pushes(3);
	mail(JOHN, "Archive"); /* not asked for */
	mail(JANE, "INBOX");   /* another's */
	send("MessageAppend", JOHN, JANE, "INBOX");
	send("MailboxCreate", JOHN, JOHN, "INBOX");
	send("PushDue", JOHN, JOHN, "INBOX");
	wait_settled();
	assert_int_equal(fake_apns.n, 3);
}

static void test_inbox_by_default(void **state)
{
	(void)state;
	start("");
	enrol(JOHN, TOKEN, "ACC-1", "");
	mail(JOHN, "Work");
	mail(JOHN, "INBOX");
	wait_pushes(1);
	wait_settled();
	assert_int_equal(fake_apns.n, 1);
}

/* A phone may watch what belongs to others, and does so by owner too. */
static void test_others(void **state)
{
	(void)state;
	start("");
	enrol(JOHN, TOKEN, "ACC-1", "\"Other Users/jane/Work\",\"Shared Folders/team\"");
	mail(JANE, "Work");
	wait_pushes(1);
	wait_settled();
	mail("", "team@example.org");
	wait_pushes(2);
	mail(JOHN, "Work");
	wait_settled();
	assert_int_equal(fake_apns.n, 2);
}

static void test_new_registrations(void **state)
{
	(void)state;
	start("");
	enrol(JOHN, TOKEN, "ACC-1", "\"INBOX\"");
	enrol(JOHN, TOKEN, "ACC-2", "\"Work\"");  /* the account id rotates */
	enrol(JANE, TOKEN, "ACC-3", "\"INBOX\""); /* a second account on the phone */
	mail(JOHN, "INBOX");
	mail(JANE, "INBOX");
	mail(JOHN, "Work");
	wait_pushes(2);
	wait_settled();
	assert_int_equal(fake_apns.n, 2);
	assert_int_equal(number("SELECT count(*) FROM device"), 2);
	assert_int_equal(number("SELECT count(*) FROM watch"), 2);
	/* One that is seen again after a newer one is no news. */
	shift = -60000;
	enrol(JOHN, TOKEN, "ACC-1", "\"INBOX\"");
	shift = 0;
	wait_settled();
	assert_int_equal(number("SELECT count(*) FROM device WHERE account = 'ACC-1'"), 0);
}

static void test_refused_registrations(void **state)
{
	(void)state;
	start("");
	assert_int_equal(try_register(JOHN, "xyz", "ACC-1", ""), SINK_DROP);
	assert_null(strstr(sink->why, "xyz"));
	assert_int_equal(try_register(JOHN, "", "ACC-1", ""), SINK_DROP);
	assert_int_equal(try_register(JOHN, TOKEN, "", ""), SINK_DROP);
	assert_int_equal(try_register(JOHN, TOKEN, "A B", ""), SINK_DROP);
	assert_int_equal(try_send("ApplePushService", JOHN, JOHN, "", "{}"), SINK_DROP);
	assert_int_equal(try_send("ApplePushServiceDAV", JOHN, JOHN, "",
	                          "{\"apsDeviceToken\":\"" TOKEN "\",\"user\":\"x\"}"),
	                 SINK_DROP);
	assert_null(strstr(sink->why, TOKEN));
	wait_settled();
	assert_int_equal(number("SELECT count(*) FROM device"), 0);
}

#define NEW_EVENT "{\"mailboxUniqueId\":\"juyr\",\"event\":\"MessageNew\"}"

static void test_calendars(void **state)
{
	json_error_t error;
	(void)state;
	start("");
	enrol_calendar("juyr", "86400");
	assert_int_equal(number("SELECT count(*) FROM device"), 0); /* not written yet */
	assert_int_equal(try_send("MessageNew", JOHN, JOHN, "#calendars/Default", NEW_EVENT),
	                 SINK_OK);
	wait_pushes(1);
	assert_string_equal(last()->topic, CAL);
	assert_int_equal(last()->priority, 5);
	json_t *payload = json_loads(last()->payload, 0, &error);
	assert_string_equal(json_string_value(json_object_get(payload, "key")), JOHN "/juyr");
	int64_t now = apns_wall_ms() / 1000;
	assert_in_range(json_integer_value(json_object_get(payload, "dataChangedTimestamp")),
	                now - 600, now);
	assert_in_range(
	    json_integer_value(json_object_get(payload, "pushRequestSubmittedTimestamp")),
	    now - 600, now);
	assert_int_equal(json_object_size(payload), 3);
	json_decref(payload);
	/* as the server itself writes the id; another calendar; another mailbox */
	assert_int_equal(
	    try_send("MessageNew", JOHN, JOHN, "#calendars/Default", "{\"mailboxID\":\"juyr\"}"),
	    SINK_OK);
	wait_pushes(2);
	try_send("MessageNew", JOHN, JOHN, "#calendars/work", "{\"mailboxUniqueId\":\"other\"}");
	try_send("MessageNew", JOHN, JOHN, "INBOX", NEW_EVENT);
	wait_settled();
	assert_int_equal(fake_apns.n, 2);
}

static void test_expiry(void **state)
{
	(void)state;
	start("aps_expiry: 60\n");
	shift = -61000;
	enrol(JOHN, TOKEN, "ACC-1", "");
	enrol_calendar("juyr", "30");
	shift = 0;
	enrol(JANE, OTHER, "ACC-2", "");
	mail(JOHN, "INBOX");
	try_send("MessageNew", JOHN, JOHN, "#calendars/Default", NEW_EVENT);
	mail(JANE, "INBOX");
	wait_pushes(1);
	wait_settled();
	assert_int_equal(fake_apns.n, 1);
	assert_string_equal(last()->token, OTHER);
	lose();
	open_sink();
	wait_settled();
	for (int64_t end = apns_now_ms() + 60000;
	     number("SELECT count(*) FROM device") > 1 && apns_now_ms() < end;)
		flush();
	assert_int_equal(number("SELECT count(*) FROM device"), 1);
}

/* --- filters --- */

static void test_filtered_users(void **state)
{
	(void)state;
	start("notifyd_phones_owners: " JOHN "\nnotifyd_phones_groups: message\n"
	      "notifyd_phones_mailboxes: INBOX Work\n");
	enrol(JOHN, TOKEN, "ACC-1", "\"INBOX\",\"Archive\"");
	enrol(JANE, OTHER, "ACC-2", "\"INBOX\",\"Other Users/john\"");
	mail(JOHN, "INBOX");
	mail(JANE, "INBOX");
	mail(JOHN, "Archive");
	wait_settled();
	assert_int_equal(fake_apns.n, 1);
	assert_string_equal(last()->token, TOKEN);
	assert_int_equal(number("SELECT count(*) FROM device"), 1);
	/* One that is there from before the filter, and watches John's. */
	sink->driver->close(sink);
	start("");
	enrol(JANE, OTHER, "ACC-2", "\"INBOX\",\"Other Users/john\"");
	mail(JOHN, "INBOX");
	wait_pushes(3);
	wait_settled();
	sink->driver->close(sink);
	start("notifyd_phones_owners: " JOHN "\n");
	mail(JOHN, "INBOX");
	wait_settled();
	assert_int_equal(fake_apns.n, 4);
}

/* --- gathering --- */

static void test_gathering(void **state)
{
	static const char *const changes[] = {
	    "MessageRead",         "MessageTrash",       "FlagsSet",
	    "FlagsClear",          "MessageExpunge",     "MessageExpire",
	    "vnd.cmu.MessageCopy", "vnd.cmu.MessageMove"};
	(void)state;
	start("notifyd_phones_gather: 1h\n");
	enrol(JOHN, TOKEN, "ACC-1", "");
	for (int i = 0; i < 1000; i++) {
		send(changes[i % 8], JOHN, JOHN, "INBOX");
		if (i % 100 == 0)
			flush();
	}
	wait_settled();
	assert_int_equal(fake_apns.n, 0);
	assert_int_equal(number("SELECT count(*) FROM due"), 1);
	int64_t wait = number("SELECT at FROM due") - apns_wall_ms();
	assert_in_range(wait, 3000000, 3600000);
	reopen_later();
	wait_pushes(1);
	wait_none_due();
	assert_int_equal(fake_apns.n, 1);
}

/* New mail does not wait, and what was gathered goes with it. */
static void test_new_mail_takes_the_rest(void **state)
{
	(void)state;
	start("notifyd_phones_gather: 1h\n");
	enrol(JOHN, TOKEN, "ACC-1", "");
	send("FlagsSet", JOHN, JOHN, "INBOX");
	wait_settled();
	assert_int_equal(fake_apns.n, 0);
	mail(JOHN, "INBOX");
	wait_pushes(1);
	wait_settled();
	wait_none_due();
}

/* What comes while a push is under way is pushed after it, once. */
static void test_while_under_way(void **state)
{
	(void)state;
	start("");
	enrol(JOHN, TOKEN, "ACC-1", "");
	fake_apns.hold = true;
	mail(JOHN, "INBOX");
	wait_pushes(1);
	for (int i = 0; i < 100; i++)
		mail(JOHN, "INBOX");
	flush();
	assert_int_equal(fake_apns.n, 1);
	fake_apns.hold = false;
	wait_pushes(2);
	wait_settled();
	assert_int_equal(fake_apns.n, 2);
}

static void test_after_kill(void **state)
{
	(void)state;
	start("notifyd_phones_gather: 1h\n");
	enrol(JOHN, TOKEN, "ACC-1", "");
	enrol(JANE, OTHER, "ACC-2", "");
	fake_apns.state = APNS_WAIT;
	send("FlagsSet", JOHN, JOHN, "INBOX");
	mail(JANE, "INBOX");
	wait_settled(); /* the cursor is past them */
	reopen_later();
	fake_apns.state = APNS_OK;
	wait_pushes(2);
	lose(); /* before it is written down that they are done */
	open_sink();
	wait_pushes(4);
	wait_none_due();
	lose();
	open_sink();
	flush();
	assert_int_equal(fake_apns.n, 4);
}

static void test_too_old(void **state)
{
	(void)state;
	start("notifyd_phones_expiration: 60s\n");
	enrol(JOHN, TOKEN, "ACC-1", "");
	shift = -61000;
	mail(JOHN, "INBOX");
	shift = -59000;
	fake_apns.state = APNS_WAIT;
	mail(JOHN, "INBOX");
	wait_settled();
	for (int64_t end = apns_now_ms() + 2000; apns_now_ms() < end;)
		flush(); /* it becomes too old while nothing can be sent */
	fake_apns.state = APNS_OK;
	wait_none_due();
	assert_int_equal(fake_apns.n, 0);
}

/* --- answers --- */

static struct apns_answer script[16];
static size_t scripted;

static struct apns_answer by_script(const struct fake_push *p)
{
	struct apns_answer a = {.outcome = APNS_DELIVERED, .status = 200, .reason = ""};
	if (strcmp(p->token, TOKEN) != 0)
		return a;
	if (scripted && script[0].outcome != APNS_DELIVERED) {
		a = script[0];
		memmove(script, script + 1, --scripted * sizeof *script);
	}
	return a;
}

static void answer_with(enum apns_outcome outcome, int64_t timestamp, int64_t after)
{
	script[scripted++] = (struct apns_answer){.outcome = outcome,
	                                          .status = 400,
	                                          .reason = "Scripted",
	                                          .timestamp_ms = timestamp,
	                                          .retry_after_ms = after};
	fake_apns.answer = by_script;
}

static void test_gone(void **state)
{
	(void)state;
	start("");
	scripted = 0;
	enrol(JOHN, TOKEN, "ACC-1", "");
	enrol(JANE, TOKEN, "ACC-2", "");
	enrol(JOHN, OTHER, "ACC-3", "");
	/* it registered after it was gone */
	answer_with(APNS_GONE, apns_wall_ms() - 3600000, 0);
	mail(JOHN, "INBOX");
	wait_pushes(2);
	wait_settled();
	assert_int_equal(number("SELECT count(*) FROM device"), 3);
	answer_with(APNS_GONE, apns_wall_ms() + 3600000, 0);
	mail(JOHN, "INBOX");
	wait_pushes(4);
	wait_settled();
	/* all that the token has */
	assert_int_equal(number("SELECT count(*) FROM device"), 1);
	assert_int_equal(number("SELECT count(*) FROM watch"), 1);
}

static void test_bad_token(void **state)
{
	(void)state;
	start("");
	scripted = 0;
	enrol(JOHN, TOKEN, "ACC-1", "");
	answer_with(APNS_BAD_TOKEN, 0, 0);
	mail(JOHN, "INBOX");
	wait_pushes(1);
	wait_settled();
	assert_int_equal(number("SELECT count(*) FROM device"), 0);
}

static struct apns_answer all_bad(const struct fake_push *p)
{
	(void)p;
	return (struct apns_answer){.outcome = APNS_BAD_TOKEN, .status = 400, .reason = "Bad"};
}

/* The wrong one of production and sandbox must not cost every registration. */
static void test_all_bad(void **state)
{
	char token[65], account[32];
	(void)state;
	start("");
	fake_apns.answer = all_bad;
	for (int i = 0; i < 100; i++) {
		snprintf(token, sizeof token, "%064x", i);
		snprintf(account, sizeof account, "ACC-%d", i);
		enrol(JOHN, token, account, "");
	}
	mail(JOHN, "INBOX");
	wait_pushes(100);
	wait_settled();
	assert_int_equal(number("SELECT count(*) FROM device"), 80);
	assert_int_equal(number("SELECT count(*) FROM due"), 80);
}

static void test_kept(void **state)
{
	(void)state;
	start("");
	scripted = 0;
	enrol(JOHN, TOKEN, "ACC-1", "");
	answer_with(APNS_NOT_FOR_TOPIC, 0, 0);
	answer_with(APNS_DROP, 0, 0);
	mail(JOHN, "INBOX");
	wait_pushes(1);
	wait_settled();
	mail(JOHN, "INBOX");
	wait_pushes(2);
	wait_settled();
	assert_int_equal(number("SELECT count(*) FROM device"), 1);
	assert_int_equal(number("SELECT count(*) FROM due"), 0);
}

/* A device in back-off is sent nothing, comes again, and delays nobody. */
static void test_back_off(void **state)
{
	(void)state;
	start("");
	scripted = 0;
	enrol(JOHN, TOKEN, "ACC-1", "");
	enrol(JANE, OTHER, "ACC-2", "");
	answer_with(APNS_BACK_OFF, 0, 3600000);
	mail(JOHN, "INBOX");
	wait_pushes(1);
	flush(); /* its answer */
	mail(JOHN, "INBOX");
	mail(JANE, "INBOX");
	wait_pushes(2);
	assert_string_equal(last()->token, OTHER);
	wait_settled();
	assert_int_equal(fake_apns.n, 2);
	assert_int_equal(number("SELECT count(*) FROM due"), 1);
	assert_int_equal(number("SELECT tries FROM due"), 1);
	lose();
	open_sink(); /* nor after a new start */
	flush();
	mail(JOHN, "INBOX");
	wait_settled();
	assert_int_equal(fake_apns.n, 2);
}

static void test_again(void **state)
{
	(void)state;
	start("");
	scripted = 0;
	enrol(JOHN, TOKEN, "ACC-1", "");
	answer_with(APNS_AGAIN, 0, 0);
	answer_with(APNS_AGAIN, 0, 0);
	answer_with(APNS_BACK_OFF, 0, 0);
	mail(JOHN, "INBOX");
	wait_pushes(4);
	wait_none_due();
}

static void test_topic_refused(void **state)
{
	(void)state;
	start("");
	scripted = 0;
	enrol(JOHN, TOKEN, "ACC-1", "");
	enrol(JANE, OTHER, "ACC-2", "");
	enrol_calendar("juyr", "86400");
	answer_with(APNS_TOPIC_REFUSED, 0, 0);
	mail(JOHN, "INBOX");
	wait_pushes(1);
	flush();
	mail(JANE, "INBOX"); /* the same topic */
	wait_settled();
	assert_int_equal(fake_apns.n, 1);
	assert_int_equal(number("SELECT count(*) FROM due"), 2);
	try_send("MessageNew", JOHN, JOHN, "#calendars/Default", NEW_EVENT);
	wait_pushes(2);
	assert_string_equal(last()->topic, CAL);
}

static void test_full(void **state)
{
	char token[65], account[32];
	(void)state;
	start("");
	fake_apns.room = 3;
	for (int i = 0; i < 100; i++) {
		snprintf(token, sizeof token, "%064x", i);
		snprintf(account, sizeof account, "ACC-%d", i);
		enrol(JOHN, token, account, "");
	}
	mail(JOHN, "INBOX");
	wait_pushes(100);
	wait_settled();
	assert_int_equal(fake_apns.n, 100);
}

/* After SIGHUP the certificate is read again; what is under way is waited for. */
static void test_reopen(void **state)
{
	(void)state;
	start("");
	enrol(JOHN, TOKEN, "ACC-1", "");
	fake_apns.hold = true;
	mail(JOHN, "INBOX");
	wait_pushes(1);
	size_t opens = fake_apns.opens;
	sink->driver->reopen(sink);
	mail(JOHN, "INBOX");
	flush();
	assert_int_equal(fake_apns.opens, opens);
	fake_apns.hold = false;
	wait_pushes(2);
	assert_int_equal(fake_apns.opens, opens + 1);
	fake_apns.topic = "com.example.other"; /* a wrong one is not taken */
	sink->driver->reopen(sink);
	mail(JOHN, "INBOX");
	wait_pushes(3);
	assert_string_equal(last()->topic, MAIL);
	wait_settled();
}

static void test_hashes(void **state)
{
	(void)state;
	start("notifyd_phones_mailbox_hashes: yes\naltnamespace: no\n");
	enrol(JOHN, TOKEN, "ACC-1", "\"INBOX/Work\",\"INBOX\"");
	mail(JOHN, "Work");
	wait_pushes(1);
	/* of INBOX/Work */
	assert_string_equal(last()->payload, "{\"aps\":{\"account-id\":\"ACC-1\",\"m\":["
	                                     "\"8bc9f55c56623f7e8bdbbdb69e361653\"]}}");
}

/* Pushes that come again with as many mailboxes as came meanwhile stay small enough to be sent. */
static struct apns_answer busy(const struct fake_push *p)
{
	(void)p;
	return (struct apns_answer){.outcome = APNS_AGAIN, .reason = "busy"};
}

static void test_many_mailboxes_again(void **state)
{
	char list[4096] = "", name[16];
	(void)state;
	start("notifyd_phones_mailbox_hashes: yes\naltnamespace: yes\n");
	for (int i = 0; i < 128; i++)
		snprintf(list + strlen(list), sizeof list - strlen(list), "%s\"Box%d\"",
		         i ? "," : "", i);
	enrol(JOHN, TOKEN, "ACC-1", list);
	fake_apns.state = APNS_WAIT;
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof name, "Box%d", i);
		mail(JOHN, name);
	}
	fake_apns.answer = busy;
	fake_apns.hold = true;
	fake_apns.state = APNS_OK;
	wait_pushes(1);
	assert_true(strlen(last()->payload) > 64 * 35);
	for (int i = 64; i < 128; i++) {
		snprintf(name, sizeof name, "Box%d", i);
		mail(JOHN, name);
	}
	fake_apns.hold = false;
	wait_pushes(2);
	assert_true(strlen(last()->payload) <= APNS_PAYLOAD_MAX);
	fake_apns.answer = NULL;
	wait_settled();
	wait_none_due();
}

/* The same mailbox again is told once. */
static void test_same_mailbox_again(void **state)
{
	(void)state;
	start("notifyd_phones_mailbox_hashes: yes\n");
	enrol(JOHN, TOKEN, "ACC-1", "");
	fake_apns.answer = busy;
	fake_apns.hold = true;
	mail(JOHN, "INBOX");
	wait_pushes(1);
	mail(JOHN, "INBOX");
	flush();
	size_t len = strlen(last()->payload);
	fake_apns.hold = false;
	wait_pushes(2);
	assert_int_equal(strlen(last()->payload), len);
	fake_apns.answer = NULL;
	wait_none_due();
}

/* --- PushDue --- */

static json_t *next_event(struct reader *r)
{
	struct record rec;
	for (int64_t end = apns_now_ms() + 60000; apns_now_ms() < end; flush())
		if (reader_next(r, &rec) == 1) {
			assert_memory_equal(rec.event.s, ANNOUNCE_EVENT, rec.event.len);
			assert_int_equal(rec.owner.len, strlen(JOHN));
			assert_memory_equal(rec.owner.s, JOHN, rec.owner.len);
			return json_loadb(rec.json.s, rec.json.len, 0, NULL);
		}
	fail_msg("no event");
	return NULL;
}

static void has(const json_t *event, const char *key, const char *value)
{
	const char *is = json_string_value(json_object_get(event, key));
	if ((is == NULL) != (value == NULL) || (is && strcmp(is, value) != 0))
		fail_msg("%s is %s, not %s", key, is ? is : "missing", value ? value : "missing");
}

static void test_push_due(void **state)
{
	(void)state;
	const char *error = load("notifyd_phones_push: no\nnotifyd_phones_push_due: yes\n"
	                         "notifyd_phones_gather: 1s\n");
	assert_string_equal(error, "");
	open_sink();
	struct reader *r = fixture_reader(0);
	enrol(JOHN, TOKEN, "ACC-1", "\"INBOX\",\"Work\"");
	enrol_calendar("juyr", "86400");
	for (int i = 0; i < 1000; i++)
		send("FlagsSet", JOHN, JOHN, i % 2 ? "INBOX" : "Work");
	json_t *e = next_event(r);
	has(e, "user", JOHN);
	has(e, "reason", "change");
	has(e, "apsAccountId", "ACC-1");
	has(e, "apsDeviceHash", "62e85af9e0dd658a22767889676d98aa6401274c4964e4ea13769c572512db69");
	has(e, "apsDeviceToken", NULL);
	json_t *boxes = json_object_get(e, "mailboxes");
	assert_int_equal(json_array_size(boxes), 2);
	assert_string_equal(json_string_value(json_array_get(boxes, 0)), "Work");
	assert_string_equal(json_string_value(json_array_get(boxes, 1)), "INBOX");
	json_decref(e);
	try_send("MessageNew", JOHN, JOHN, "#calendars/Default", NEW_EVENT);
	e = next_event(r);
	has(e, "reason", "new");
	has(e, "mailboxUser", JOHN);
	has(e, "mailboxUniqueId", "juyr");
	json_decref(e);
	wait_settled();
	struct record rec;
	assert_int_equal(reader_next(r, &rec), 0);
	reader_close(&r);
	assert_int_equal(fake_apns.n, 0);
}

/* For a gateway that knows the devices itself. */
static void test_push_due_users(void **state)
{
	(void)state;
	assert_string_equal(load("notifyd_phones_push: no\nnotifyd_phones_push_due: users\n"
	                         "notifyd_phones_gather: 1h\nnotifyd_phones_owners: " JOHN "\n"),
	                    "");
	open_sink();
	struct reader *r = fixture_reader(0);
	send("FlagsSet", JANE, JOHN, "INBOX");
	mail(JANE, "INBOX");
	wait_settled(); /* the cursor is past it, the event is not there yet */
	reopen_later();
	json_t *e = next_event(r);
	has(e, "user", JOHN);
	has(e, "reason", "change");
	has(e, "apsAccountId", NULL);
	assert_int_equal(json_array_size(json_object_get(e, "mailboxes")), 1);
	json_decref(e);
	wait_none_due();
	for (int i = 0; i < GATHER_MAILBOXES + 1; i++) {
		char name[32];
		snprintf(name, sizeof name, "Folder %d", i);
		send("FlagsSet", JOHN, JOHN, name);
	}
	wait_settled();
	reopen_later();
	e = next_event(r); /* too many to be told */
	assert_null(json_object_get(e, "mailboxes"));
	json_decref(e);
	reader_close(&r);
}

/* Both, and each in its own time. */
static void test_push_and_due(void **state)
{
	(void)state;
	start("notifyd_phones_push_due: yes\n");
	struct reader *r = fixture_reader(0);
	enrol(JOHN, TOKEN, "ACC-1", "");
	fake_apns.state = APNS_WAIT;
	mail(JOHN, "INBOX");
	json_decref(next_event(r)); /* although Apple can't be reached */
	fake_apns.state = APNS_OK;
	wait_pushes(1);
	wait_settled();
	reader_close(&r);
}

/* --- settings --- */

static void test_settings(void **state)
{
	(void)state;
	assert_non_null(strstr(load("aps_topic: x\n"), "no certificate"));
	assert_non_null(strstr(load("notifyd_phones_push: no\n"), "push_due"));
	assert_non_null(strstr(load("notifyd_phones_certificate: /c.pem\n"), "set aps_topic"));
	assert_non_null(strstr(load(PUSH "aps_expiry: soon\n"), "aps_expiry"));
	fake_apns.topic = "com.example.other";
	assert_non_null(strstr(load(PUSH), "com.example.other"));
	assert_string_equal(load("notifyd_phones_certificate: /c.pem\n"), "");
	assert_string_equal(load("notifyd_phones_push: no\nnotifyd_phones_push_due: yes\n"), "");
	fake_apns.topic = CAL; /* for calendars alone */
	assert_string_equal(load(PUSH), "");
	open_sink();
	enrol(JOHN, TOKEN, "ACC-1", "");
	enrol_calendar("juyr", "86400");
	mail(JOHN, "INBOX");
	try_send("MessageNew", JOHN, JOHN, "#calendars/Default", NEW_EVENT);
	wait_pushes(1);
	wait_settled();
	assert_int_equal(number("SELECT count(*) FROM device"), 1);
}

/* --- what it costs --- */

static double cpu(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int measure(int devices, int events)
{
	char user[64], token[65], account[32];
	struct rusage u;
	setup(NULL);
	start("notifyd_phones_push_due: no\n");
	int64_t t = apns_now_ms();
	for (int i = 0; i < devices; i++) {
		snprintf(user, sizeof user, "user%d@example.org", i);
		snprintf(token, sizeof token, "%064x", i);
		snprintf(account, sizeof account, "ACC-%d", i);
		enrol(user, token, account, "\"INBOX\",\"Work\"");
		if (i % 512 == 0)
			flush();
	}
	wait_settled();
	getrusage(RUSAGE_SELF, &u);
	printf("%d registrations: %.0f/s, %ld MB\n", devices,
	       devices * 1000.0 / (double)(apns_now_ms() - t), u.ru_maxrss / 1024);
	for (int kind = 0; kind < 3; kind++) {
		static const char *const what[] = {"new mail, pushed", "flags, gathered",
		                                   "new mail, nobody's device"};
		size_t pushed = fake_apns.n;
		double used = cpu();
		t = apns_now_ms();
		for (int i = 0; i < events; i++) {
			snprintf(user, sizeof user, "user%ld@example.org",
			         kind == 2 ? devices + random() : random() % devices);
			struct record rec = {.event =
			                         kind == 1 ? STR("FlagsSet") : STR("MessageNew"),
			                     .owner = {user, strlen(user)},
			                     .mailbox = STR("INBOX"),
			                     .json = STR("{}"),
			                     .time = apns_wall_ms() * 1000,
			                     .next = position + 100};
			position = rec.next;
			sink->driver->send(sink, &rec);
			if (i % 512 == 511)
				flush();
		}
		wait_settled();
		getrusage(RUSAGE_SELF, &u);
		printf("%d events (%s): %.0f/s, %.1f us of CPU each, %zu pushes, %ld MB\n", events,
		       what[kind], events * 1000.0 / (double)(apns_now_ms() - t),
		       (cpu() - used) * 1e6 / events, fake_apns.n - pushed, u.ru_maxrss / 1024);
	}
	return teardown(NULL);
}

/* The driver is here and in the module, which takes what is here. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_odr_violation=0";
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--measure") == 0)
		return measure(atoi(argv[2]), atoi(argv[3]));
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_mail),
	    T(test_inbox_by_default),
	    T(test_others),
	    T(test_new_registrations),
	    T(test_refused_registrations),
	    T(test_calendars),
	    T(test_expiry),
	    T(test_filtered_users),
	    T(test_gathering),
	    T(test_new_mail_takes_the_rest),
	    T(test_while_under_way),
	    T(test_after_kill),
	    T(test_too_old),
	    T(test_gone),
	    T(test_bad_token),
	    T(test_all_bad),
	    T(test_kept),
	    T(test_back_off),
	    T(test_again),
	    T(test_topic_refused),
	    T(test_full),
	    T(test_reopen),
	    T(test_hashes),
	    T(test_many_mailboxes_again),
	    T(test_same_mailbox_again),
	    T(test_push_due),
	    T(test_push_due_users),
	    T(test_push_and_due),
	    T(test_settings),
	};
	return cmocka_run_group_tests_name("apns_sink", tests, NULL, NULL);
}
