/* SPDX-License-Identifier: BSD-3-Clause */
/* What notifyd remembers of mailboxes, and which MailboxReset it makes of a row of events.
 * usage: test_reset                     the test
 *        test_reset --measure N DIR     what N mailboxes cost: a journal in DIR, which is kept
 * Over 800 lines because each rule is a short story of its own, and they share one fixture. */
#include "../../notifyd/mailboxes.h"
#include "../../notifyd/reset.h"
#include "../../notifyd/settings.h"
#include "journal_fixture.h"

#include <jansson.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define JOHN "imap://john@example.org@imap.example.org/"
#define JANE "imap://jane@example.org@imap.example.org/"

static struct conf *conf;
static struct reset *reset;
static struct reader *results;

static void write_conf(const char *more)
{
	char path[128], *why = NULL;
	snprintf(path, sizeof path, "%s/imapd.conf", fixture_dir);
	FILE *f = fopen(path, "w");
	fprintf(f, "mboxevent_journal: %s\nmboxevent_min_free: 0\nvirtdomains: userid\n%s",
	        fixture_dir, more);
	fclose(f);
	conf = conf_read(path, &why);
	if (!conf)
		fail_msg("%s", why);
}

static void open_reset(void)
{
	const char *aside, *why;
	if (reset_open(&reset, conf, fixture_dir, &aside, &why) < 0)
		fail_msg("%s", why);
	assert_null(aside);
}

static int setup(void **state)
{
	if (fixture_setup(state) < 0)
		return -1;
	write_conf("");
	open_reset();
	results = fixture_reader(0);
	return 0;
}

static int teardown(void **state)
{
	reset_close(&reset);
	reader_close(&results);
	conf_free(&conf);
	return fixture_teardown(state);
}

static void reopen(void)
{
	reset_close(&reset);
	open_reset();
}

static uint64_t at; /* the position of the next record; 0: none of the tests asks */

static void see_as(const char *event, const char *user, const char *uri, const char *old,
                   uint16_t flags)
{
	char json[1024];
	const char *why = "";
	int n =
	    snprintf(json, sizeof json, "{\"event\":\"%s\",%s%s%s\"pid\":1,\"uri\":\"%s\"}", event,
	             old ? "\"oldMailboxID\":\"" : "", old ? old : "", old ? "\"," : "", uri);
	struct record rec = {.event = {event, strlen(event)},
	                     .user = {user, strlen(user)},
	                     .json = {json, (size_t)n},
	                     .pos = at,
	                     .next = at ? at + 100 : 0,
	                     .flags = flags};
	if (at)
		at += 100;
	if (reset_see(reset, &rec, &why) < 0)
		fail_msg("%s", why);
}

static void see(const char *event, const char *uri)
{
	see_as(event, "john@example.org", uri, NULL, 0);
}

static void rename_box(const char *from, const char *to)
{
	see_as("MailboxRename", "john@example.org", to, from, 0);
}

static void settle(void)
{
	const char *why = "";
	if (reset_settle(reset, &why) < 0)
		fail_msg("%s", why);
}

static void append(void)
{
	const char *why = "", *wait = NULL;
	settle();
	if (reset_append(reset, &wait, &why) < 0)
		fail_msg("%s", why);
	if (wait)
		fail_msg("%s", wait);
	assert_false(reset_due(reset));
}

/* The next event in the journal says that this mailbox was reset; was NULL: false. */
static void expect(const char *url, const char *now, const char *was)
{
	struct record rec;
	if (reader_next(results, &rec) != 1)
		fail_msg("no MailboxReset of %s", url);
	assert_memory_equal(rec.event.s, "MailboxReset", rec.event.len);
	json_t *e = json_loadb(rec.json.s, rec.json.len, 0, NULL);
	assert_non_null(e);
	char whole[512];
	snprintf(whole, sizeof whole, "%s;UIDVALIDITY=%s", url, now);
	assert_string_equal(json_string_value(json_object_get(e, "mailboxID")), whole);
	assert_string_equal(json_string_value(json_object_get(e, "uri")), whole);
	assert_string_equal(json_string_value(json_object_get(e, "uidValidity")), now);
	if (was)
		assert_string_equal(json_string_value(json_object_get(e, "prevUidValidity")), was);
	else
		assert_true(json_is_false(json_object_get(e, "prevUidValidity")));
	assert_string_equal(json_string_value(json_object_get(e, "service")), "notifyd");
	json_decref(e);
}

static void expect_none(void)
{
	struct record rec;
	append();
	if (reader_next(results, &rec) != 0)
		fail_msg("unexpected: %.*s", (int)rec.json.len, rec.json.s);
}

/* --- which events make one --- */

static void test_first_sight(void **state)
{
	(void)state;
	see("MessageNew", JOHN "INBOX;UIDVALIDITY=5/;UID=1");
	see("MailboxCreate", JOHN "A;UIDVALIDITY=6");
	see("MessageNew", JOHN "INBOX;UIDVALIDITY=5/;UID=2");
	see("MessageNew", JANE "INBOX;UIDVALIDITY=7/;UID=2");
	see("Login", "imap://imap.example.org");
	see("MailboxSubscribe", JOHN "INBOX");
	see("MessageNew", JOHN "INBOX;UIDVALIDITY=99999999999/;UID=2");
	see("MessageNew", "not a url");
	expect_none();
}

static void test_change(void **state)
{
	(void)state;
	see("MessageNew", JOHN "INBOX;UIDVALIDITY=5/;UID=1");
	see("FlagsSet", JOHN "INBOX;UIDVALIDITY=9");
	append();
	expect(JOHN "INBOX", "9", "5");
	see("MessageNew", JOHN "INBOX;UIDVALIDITY=9/;UID=1");
	expect_none();
	/* back again, as after a restored backup */
	see("MessageNew", JOHN "INBOX;UIDVALIDITY=5/;UID=1");
	append();
	expect(JOHN "INBOX", "5", "9");
	expect_none();
}

static void test_facts(void **state)
{
	struct record rec;
	(void)state;
	see("MessageNew", JOHN "Caf%C3%A9/x;UIDVALIDITY=5/;UID=1");
	see_as("MailboxCreate", "jane@example.org", JOHN "Caf%C3%A9/x;UIDVALIDITY=9", NULL, 0);
	append();
	assert_int_equal(reader_next(results, &rec), 1);
	static const char *const start = "{\"event\":\"MailboxReset\",\"mailboxID\":\"" JOHN
					 "Caf%C3%A9/x;UIDVALIDITY=9\",\"pid\":",
				 *const end = "\"uidValidity\":\"9\",\"uri\":\"" JOHN
					      "Caf%C3%A9/x;UIDVALIDITY=9\","
					      "\"user\":\"jane@example.org\"}";
	char json[1024];
	snprintf(json, sizeof json, "%.*s", (int)rec.json.len, rec.json.s);
	assert_memory_equal(json, start, strlen(start));
	assert_string_equal(json + strlen(json) - strlen(end), end);
	assert_non_null(strstr(json, ",\"prevUidValidity\":\"5\",\"service\":\"notifyd\","
	                             "\"timestamp\":\""));
	int year, second, ms, hours, minutes;
	char sign;
	assert_int_equal(sscanf(strstr(json, "timestamp\":\"") + 12,
	                        "%d-%*d-%*dT%*d:%*d:%d.%3d%c%d:%d", &year, &second, &ms, &sign,
	                        &hours, &minutes),
	                 6);
	assert_true(sign == '+' || sign == '-');
	assert_memory_equal(rec.user.s, "jane@example.org", rec.user.len);
	assert_memory_equal(rec.owner.s, "john@example.org", rec.owner.len);
	assert_memory_equal(rec.mailbox.s, "Caf\xc3\xa9/x", rec.mailbox.len);
	expect_none();
}

static void test_recreate(void **state)
{
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	see("MailboxCreate", JOHN "A/b;UIDVALIDITY=6");
	see("MailboxDelete", JOHN "A;UIDVALIDITY=5");
	expect_none();
	see("MailboxCreate", JOHN "A;UIDVALIDITY=8");
	append();
	expect(JOHN "A", "8", "5");
	see("MessageNew", JOHN "A/b;UIDVALIDITY=9/;UID=1");
	append();
	expect(JOHN "A/b", "9", "6");
	/* known from its deletion alone; deleted with a value not seen before */
	see("MailboxDelete", JOHN "C;UIDVALIDITY=1");
	see("MailboxDelete", JOHN "C;UIDVALIDITY=2");
	expect_none();
	see("MailboxCreate", JOHN "C;UIDVALIDITY=3");
	append();
	expect(JOHN "C", "3", "2");
	expect_none();
}

static void test_own_events(void **state)
{
	(void)state;
	see("MessageNew", JOHN "INBOX;UIDVALIDITY=5/;UID=1");
	see("MailboxReset", JOHN "INBOX;UIDVALIDITY=7");
	see("MessageNew", JOHN "INBOX;UIDVALIDITY=5/;UID=2");
	expect_none();
}

/* --- renames --- */

static void test_rename(void **state)
{
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	see("MailboxCreate", JOHN "A/b;UIDVALIDITY=6");
	see("MailboxCreate", JOHN "A/b/c;UIDVALIDITY=7");
	see("MailboxCreate", JOHN "A.b;UIDVALIDITY=8");
	see("MailboxCreate", JOHN "A0;UIDVALIDITY=9");
	rename_box(JOHN "A;UIDVALIDITY=5", JOHN "New/A;UIDVALIDITY=5");
	expect_none();
	/* the rows went along, those of others stayed */
	see("MessageNew", JOHN "New/A/b/c;UIDVALIDITY=17/;UID=1");
	append();
	expect(JOHN "New/A/b/c", "17", "7");
	see("MessageNew", JOHN "New/A;UIDVALIDITY=5/;UID=1");
	see("MessageNew", JOHN "New/A/b;UIDVALIDITY=6/;UID=1");
	see("MessageNew", JOHN "A.b;UIDVALIDITY=8/;UID=1");
	see("MessageNew", JOHN "A0;UIDVALIDITY=9/;UID=1");
	/* nothing is known of the old names any more */
	see("MailboxCreate", JOHN "A;UIDVALIDITY=20");
	see("MailboxCreate", JOHN "A/b;UIDVALIDITY=21");
	expect_none();
}

/* Cyrus 2.5: every mailbox has a new value after a rename, and that is no reset. */
static void test_rename_new_values(void **state)
{
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	see("MailboxCreate", JOHN "A/b;UIDVALIDITY=6");
	see("MailboxCreate", JOHN "A/c;UIDVALIDITY=7");
	rename_box(JOHN "A;UIDVALIDITY=5", JOHN "B;UIDVALIDITY=15");
	see("MessageNew", JOHN "B/b;UIDVALIDITY=16/;UID=1");
	see("MessageNew", JOHN "B;UIDVALIDITY=15/;UID=1");
	expect_none();
	see("MessageNew", JOHN "B/b;UIDVALIDITY=26/;UID=1");
	append();
	expect(JOHN "B/b", "26", "16");
	/* made anew before anybody saw which value it had */
	see("MailboxCreate", JOHN "B/c;UIDVALIDITY=30");
	append();
	expect(JOHN "B/c", "30", NULL);
	expect_none();
}

/* Onto the name of a deleted mailbox: another one appears under it. */
static void test_rename_onto(void **state)
{
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	see("MailboxCreate", JOHN "A/x;UIDVALIDITY=6");
	see("MailboxCreate", JOHN "B;UIDVALIDITY=7");
	see("MailboxCreate", JOHN "B/x;UIDVALIDITY=8");
	see("MailboxDelete", JOHN "A;UIDVALIDITY=5");
	rename_box(JOHN "B;UIDVALIDITY=7", JOHN "A;UIDVALIDITY=7");
	append();
	expect(JOHN "A", "7", "5");
	see("MessageNew", JOHN "A/x;UIDVALIDITY=8/;UID=1");
	append();
	expect(JOHN "A/x", "8", "6");
	expect_none();
	see("MailboxCreate", JOHN "B/x;UIDVALIDITY=9");
	expect_none();
}

/* Undeleting brings the same mailbox back. What is below the deleted prefix is not remembered. */
static void test_undelete(void **state)
{
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	see("MailboxDelete", JOHN "A;UIDVALIDITY=5");
	see("MailboxDelete", "imap://imap.example.org/DELETED/user/john/A/6B03350B;UIDVALIDITY=5");
	rename_box("imap://imap.example.org/DELETED/user/john/A/6B03350B;UIDVALIDITY=5",
	           JOHN "A;UIDVALIDITY=5");
	expect_none();
	rename_box("imap://imap.example.org/DELETED/user/john/A/6B03350C;UIDVALIDITY=6",
	           JOHN "A;UIDVALIDITY=6");
	append();
	expect(JOHN "A", "6", "5");
	expect_none();
}

static void test_rename_below_itself(void **state)
{
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	see("MailboxCreate", JOHN "A/x;UIDVALIDITY=6");
	rename_box(JOHN "A;UIDVALIDITY=5", JOHN "A/B;UIDVALIDITY=5");
	expect_none();
	see("MessageNew", JOHN "A/B/x;UIDVALIDITY=7/;UID=1");
	append();
	expect(JOHN "A/B/x", "7", "6");
	see("MailboxCreate", JOHN "A/x;UIDVALIDITY=9");
	expect_none();
	rename_box(JOHN "A/B;UIDVALIDITY=5", JOHN "A;UIDVALIDITY=5");
	see("MessageNew", JOHN "A;UIDVALIDITY=5/;UID=1");
	expect_none();
}

static void test_rename_user(void **state)
{
	(void)state;
	see("MailboxCreate", JOHN "INBOX;UIDVALIDITY=5");
	see("MailboxCreate", JOHN "A/b;UIDVALIDITY=6");
	rename_box(JOHN "INBOX;UIDVALIDITY=5", JANE "INBOX;UIDVALIDITY=5");
	see("MessageNew", JANE "A/b;UIDVALIDITY=7/;UID=1");
	append();
	expect(JANE "A/b", "7", "6");
	see("MailboxCreate", JOHN "A/b;UIDVALIDITY=8");
	see("MessageNew", JANE "INBOX;UIDVALIDITY=5/;UID=1");
	expect_none();
	/* a folder to another user */
	rename_box(JANE "A;UIDVALIDITY=3", JOHN "Z;UIDVALIDITY=3");
	see("MessageNew", JOHN "Z/b;UIDVALIDITY=7/;UID=1");
	see("MailboxCreate", JANE "A/b;UIDVALIDITY=9");
	expect_none();
}

static void test_shared(void **state)
{
	static const char shared[] = "imap://imap.example.org/shared";
	char a[128], b[128], c[128];
	(void)state;
	reset_close(&reset);
	conf_free(&conf);
	write_conf("unixhierarchysep: no\n");
	open_reset();
	snprintf(a, sizeof a, "%s;UIDVALIDITY=1", shared);
	snprintf(b, sizeof b, "%s.team;UIDVALIDITY=2", shared);
	snprintf(c, sizeof c, "%s2.team;UIDVALIDITY=3", shared);
	see("MailboxCreate", a);
	see("MailboxCreate", b);
	rename_box(a, "imap://imap.example.org/shared2;UIDVALIDITY=1");
	expect_none();
	see("MessageNew", c);
	append();
	expect("imap://imap.example.org/shared2.team", "3", "2");
	expect_none();
}

/* mboxevent_format: native */
static void test_native(void **state)
{
	static const char a[] = "imap://imap.example.org/user/john/A%40example.org;UIDVALIDITY=5",
			  b[] = "imap://imap.example.org/user/john/A/b%40example.org;UIDVALIDITY=6",
			  x[] = "imap://imap.example.org/user/john/X%40example.org;UIDVALIDITY=5",
			  c[] = "imap://imap.example.org/user/john/X/b%40example.org;UIDVALIDITY=7";
	(void)state;
	see_as("MailboxCreate", "john@example.org", a, NULL, RECORD_NATIVE);
	see_as("MailboxCreate", "john@example.org", b, NULL, RECORD_NATIVE);
	see_as("MailboxRename", "john@example.org", x, a, RECORD_NATIVE);
	expect_none();
	see_as("MessageNew", "", c, NULL, RECORD_NATIVE);
	append();
	expect(JOHN "X/b", "7", "6");
	expect_none();
}

/* The other mailbox of a copy is seen too. */
static void test_copy(void **state)
{
	(void)state;
	see_as("vnd.cmu.MessageCopy", "", JOHN "B;UIDVALIDITY=2", JOHN "A;UIDVALIDITY=1", 0);
	see("MessageNew", JOHN "A;UIDVALIDITY=3/;UID=1");
	append();
	expect(JOHN "A", "3", "1");
	expect_none();
}

/* --- crashes --- */

static void copy_file(const char *from, const char *to)
{
	char command[512];
	snprintf(command, sizeof command, "cp %s/%s %s/%s", fixture_dir, from, fixture_dir, to);
	assert_int_equal(system(command), 0);
}

static void test_unsettled(void **state)
{
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	settle();
	see("MailboxCreate", JOHN "A;UIDVALIDITY=6");
	assert_true(reset_unsettled(reset) > 0);
	reopen(); /* nothing was confirmed: the event comes again */
	see("MailboxCreate", JOHN "A;UIDVALIDITY=6");
	append();
	expect(JOHN "A", "6", "5");
	expect_none();
}

/* Settled and confirmed, and ended before the event was appended. */
static void test_before_append(void **state)
{
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	see("MailboxCreate", JOHN "A;UIDVALIDITY=6");
	settle();
	assert_int_equal(reset_unsettled(reset), 0);
	assert_true(reset_due(reset));
	reopen();
	assert_true(reset_due(reset));
	append();
	expect(JOHN "A", "6", "5");
	expect_none();
}

/* Appended, and ended before that was known: at least once. */
static void test_before_paid(void **state)
{
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	see("MailboxCreate", JOHN "A;UIDVALIDITY=6");
	settle();
	copy_file("mailboxes.sqlite3", "saved");
	copy_file("mailboxes.sqlite3-wal", "saved-wal");
	append();
	expect(JOHN "A", "6", "5");
	reset_close(&reset);
	copy_file("saved", "mailboxes.sqlite3");
	copy_file("saved-wal", "mailboxes.sqlite3-wal");
	open_reset();
	append();
	expect(JOHN "A", "6", "5");
	reopen();
	expect_none();
}

/* More than go between two syncs, in order. */
static void test_many(void **state)
{
	char url[128], now[16], was[16];
	(void)state;
	for (int i = 1; i <= 700; i++) {
		snprintf(url, sizeof url, JOHN "A;UIDVALIDITY=%d", i);
		see("MailboxCreate", url);
	}
	append();
	for (int i = 2; i <= 700; i++) {
		snprintf(now, sizeof now, "%d", i);
		snprintf(was, sizeof was, "%d", i - 1);
		expect(JOHN "A", now, was);
	}
	expect_none();
}

/* A journal that takes nothing holds up neither what is settled nor, later, the events. */
static void test_full(void **state)
{
	static const struct journal_options small = {.segment_size = 64 << 10,
	                                             .max_size = 128 << 10};
	const char *wait = NULL, *why = "";
	struct record rec = {.event = STR("MessageNew"), .json = STR("{}")};
	struct journal *j;
	int n = 0;
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	see("MailboxCreate", JOHN "A;UIDVALIDITY=6");
	settle();
	reset_close(&reset);
	conf_free(&conf);
	write_conf("mboxevent_max_size: 128K\nmboxevent_segment_size: 64K\n");
	assert_int_equal(journal_open(&j, fixture_dir, &small, &why), 0);
	while (journal_append(j, &rec, NULL, &why) == 0)
		n++;
	journal_close(&j);
	open_reset();
	assert_int_equal(reset_append(reset, &wait, &why), 0);
	assert_non_null(wait);
	assert_true(reset_due(reset));
	see("MailboxCreate", JOHN "B;UIDVALIDITY=5");
	settle();
	reset_close(&reset);
	conf_free(&conf);
	write_conf("");
	open_reset();
	append();
	for (; n; n--)
		assert_int_equal(reader_next(results, &rec), 1);
	expect(JOHN "A", "6", "5");
	see("MailboxCreate", JOHN "B;UIDVALIDITY=6");
	append();
	expect(JOHN "B", "6", "5");
	expect_none();
}

/* --- the file --- */

static void test_mode(void **state)
{
	static const char *const files[] = {"", "-wal", "-shm"};
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	settle();
	for (size_t i = 0; i < 3; i++) {
		char path[256];
		struct stat st;
		snprintf(path, sizeof path, "%s/" MAILBOXES_FILE "%s", fixture_dir, files[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
}

/* i: how. */
static void damage(int i)
{
	char path[256], wal[300];
	sqlite3 *db;

	snprintf(path, sizeof path, "%s/" MAILBOXES_FILE, fixture_dir);
	snprintf(wal, sizeof wal, "%s-wal", path);
	if (i == 0) { /* something else altogether */
		FILE *f = fopen(path, "w");
		for (int n = 0; n < 1000; n++)
			fputs("no database\n", f);
		fclose(f);
		return;
	}
	if (i == 1) { /* without its tables */
		unlink(path);
		unlink(wal);
	}
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
	                              i == 1 ? "PRAGMA user_version = 1"
	                                     : "PRAGMA user_version = 2", /* of a later one */
	                              NULL, NULL, NULL),
	                 SQLITE_OK);
	sqlite3_close(db);
}

static void test_damaged(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		char path[256];
		const char *aside, *why = "";
		see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
		settle();
		reset_close(&reset);
		damage(i);
		snprintf(path, sizeof path, "%s/" MAILBOXES_FILE ".damaged", fixture_dir);
		unlink(path);
		if (reset_open(&reset, conf, fixture_dir, &aside, &why) < 0)
			fail_msg("%s", why);
		assert_non_null(aside);
		assert_int_equal(access(path, F_OK), 0);
		see("MailboxCreate", JOHN "A;UIDVALIDITY=6"); /* a first sight again */
		expect_none();
		see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
		append();
		expect(JOHN "A", "5", "6");
	}
}

/* All pages but the first, so that it opens well. */
static void damage_inside(void)
{
	char path[256], page[4096];
	struct stat st;

	snprintf(path, sizeof path, "%s/" MAILBOXES_FILE, fixture_dir);
	memset(page, 0xee, sizeof page);
	FILE *f = fopen(path, "r+");
	assert_int_equal(fstat(fileno(f), &st), 0);
	assert_true(st.st_size > (off_t)sizeof page);
	for (off_t at = sizeof page; at < st.st_size; at += (off_t)sizeof page) {
		fseek(f, at, SEEK_SET);
		fwrite(page, sizeof page, 1, f);
	}
	fclose(f);
}

/* What was committed comes again: a kill before the cursor was written, or a cursor moved back. */
static void test_again(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		at = 1000;
		see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
		see("MailboxDelete", JOHN "A;UIDVALIDITY=5");
		see("MailboxCreate", JOHN "A;UIDVALIDITY=6");
		append();
		if (round == 0)
			expect(JOHN "A", "6", "5");
		expect_none();
		reopen();
	}
	see("MailboxCreate", JOHN "A;UIDVALIDITY=7"); /* what follows is news */
	append();
	expect(JOHN "A", "7", "6");
	at = 0;
}

/* Damage that shows only when a page is read must not hold the journal back for ever. */
static void test_damaged_inside(void **state)
{
	char path[256], url[] = JOHN "A;UIDVALIDITY=6", json[256];
	const char *aside, *why = "";
	(void)state;
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	settle();
	reset_close(&reset);
	damage_inside();
	int n = snprintf(json, sizeof json, "{\"event\":\"MailboxCreate\",\"uri\":\"%s\"}", url);
	struct record rec = {.event = STR("MailboxCreate"), .json = {json, (size_t)n}};
	int r = reset_open(&reset, conf, fixture_dir, &aside, &why);
	if (r == 0)
		r = reset_see(reset, &rec, &why);
	assert_int_equal(r, -1);
	assert_non_null(strstr(why, ".damaged"));
	reset_close(&reset);
	snprintf(path, sizeof path, "%s/" MAILBOXES_FILE ".damaged", fixture_dir);
	assert_int_equal(access(path, F_OK), 0);
	open_reset();
	assert_int_equal(reset_see(reset, &rec, &why), 0); /* a first sight again */
	expect_none();
	see("MailboxCreate", JOHN "A;UIDVALIDITY=5");
	append();
	expect(JOHN "A", "5", "6");
}

/* --- the sink --- */

static void no_error(void *ctx, const char *line)
{
	(void)ctx;
	fail_msg("%s", line);
}

/* notifyd's own: it takes no filters, and no other sink can be like it. */
static void test_settings(void **state)
{
	char path[128];
	struct settings *s, *again;
	(void)state;
	snprintf(path, sizeof path, "%s/imapd.conf", fixture_dir);
	assert_int_equal(settings_load(&s, path, no_error, NULL), 0);
	assert_null(settings_sink(s, "reset"));
	assert_null(sink_driver("reset", NULL));
	settings_free(&s);
	conf_free(&conf);
	write_conf("notifyd_mailbox_reset: yes\n");
	assert_int_equal(settings_load(&s, path, no_error, NULL), 0);
	assert_int_equal(s->n_sinks, 2);
	struct sink *sink = settings_sink(s, "reset");
	assert_non_null(sink);
	assert_ptr_equal(sink->driver, sink_driver_reset);
	assert_string_equal(sink->journal, fixture_dir);
	assert_string_equal(conf_str(&sink->conf, "from"), "newest");
	assert_int_equal(settings_load(&again, path, no_error, NULL), 0);
	assert_true(settings_same_sink(sink, settings_sink(again, "reset")));
	settings_free(&again);
	settings_free(&s);
}

/* Through the driver: nothing is confirmed before it is settled. */
static void test_driver(void **state)
{
	static const char json[] = "{\"uri\":\"" JOHN "A;UIDVALIDITY=5\"}";
	static const char other[] = "{\"uri\":\"" JOHN "A;UIDVALIDITY=6\"}";
	struct record rec = {.event = STR("MailboxCreate"), .json = STR(json), .next = 1};
	char path[128];
	struct settings *s;
	uint64_t confirmed = 0;
	size_t inflight = 9;
	(void)state;
	reset_close(&reset);
	snprintf(path, sizeof path, "%s/imapd.conf", fixture_dir);
	conf_free(&conf);
	write_conf("notifyd_mailbox_reset: yes\n");
	assert_int_equal(settings_load(&s, path, no_error, NULL), 0);
	struct sink *sink = settings_sink(s, "reset");
	assert_int_equal(sink->driver->open(sink), SINK_OK);
	/* what a process before may have left to append */
	assert_int_equal(sink->driver->flush(sink, 0, &confirmed, &inflight), SINK_OK);
	assert_int_equal(sink->driver->send(sink, &rec), SINK_OK);
	assert_int_equal(sink->driver->flush(sink, 0, &confirmed, &inflight), SINK_OK);
	assert_int_equal(inflight, 1);
	assert_int_equal(confirmed, 0);
	/* ended here, it comes again */
	sink->driver->close(sink);
	assert_int_equal(sink->driver->open(sink), SINK_OK);
	assert_int_equal(sink->driver->send(sink, &rec), SINK_OK);
	while (inflight)
		assert_int_equal(sink->driver->flush(sink, 5, &confirmed, &inflight), SINK_OK);
	assert_int_equal(confirmed, 1);
	/* nothing new is confirmed at once, and so is a reset */
	rec.pos = 1;
	rec.next = 2;
	assert_int_equal(sink->driver->send(sink, &rec), SINK_OK);
	assert_int_equal(sink->driver->flush(sink, 0, &confirmed, &inflight), SINK_OK);
	assert_int_equal(confirmed, 2);
	rec.json = STR(other);
	rec.pos = 2;
	rec.next = 3;
	assert_int_equal(sink->driver->send(sink, &rec), SINK_OK);
	assert_int_equal(sink->driver->flush(sink, 0, &confirmed, &inflight), SINK_OK);
	assert_int_equal(confirmed, 3);
	assert_int_equal(inflight, 0);
	expect(JOHN "A", "6", "5");
	sink->driver->close(sink);
	settings_free(&s);
	open_reset();
	expect_none();
}

/* --- what many mailboxes cost --- */

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long file_kb(const char *suffix)
{
	char path[256];
	struct stat st;
	snprintf(path, sizeof path, "%s/" MAILBOXES_FILE "%s", fixture_dir, suffix);
	return stat(path, &st) == 0 ? (long)(st.st_size / 1024) : 0;
}

/* Events of n mailboxes, ten a user, in an order without any; step is prime. */
static void measure_pass(const char *what, unsigned n, unsigned events, uint32_t uidvalidity)
{
	static const char *const names[] = {
	    "INBOX", "Archive", "Archive/2024",           "Drafts", "Sent",
	    "Spam",  "Trash",   "Projects/Mail%20events", "Notes",  "Lists/cyrus-devel"};
	double start = seconds();
	for (unsigned i = 0; i < events; i++) {
		unsigned box = (unsigned)((uint64_t)i * 1500450271u % n);
		char url[256];
		snprintf(url, sizeof url,
		         "imap://user%06u@example.org@imap.example.org/%s;UIDVALIDITY=%u/;UID=1",
		         box / 10, names[box % 10], uidvalidity + box);
		see("MessageNew", url);
		if (i % 512 == 511 && (reset_unsettled(reset) >= 8192 || reset_due(reset)))
			append();
		else if (i % 512 == 511 && !reset_unsettled(reset))
			settle();
	}
	append();
	double took = seconds() - start;
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	printf("%-24s %8u events in %6.2f s: %7.0f/s; file %ld MB, wal %ld MB, memory at most %ld "
	       "MB\n",
	       what, events, took, events / took, file_kb("") / 1024, file_kb("-wal") / 1024,
	       u.ru_maxrss / 1024);
}

static int measure(unsigned n, const char *dir)
{
	char *why;
	snprintf(fixture_dir, sizeof fixture_dir, "%s", dir);
	mkdir(dir, 0700);
	if (journal_init(dir, &why) < 0)
		return 1;
	write_conf("mboxevent_max_size: 8G\n");
	open_reset();
	measure_pass("first sight", n, n, 1000);
	measure_pass("seen before, at random", n, n, 1000);
	measure_pass("reset", n, n / 100, 5000);
	reset_close(&reset);
	conf_free(&conf);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--measure") == 0)
		return measure((unsigned)atoi(argv[2]), argv[3]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_first_sight),
	    TEST(test_change),
	    TEST(test_facts),
	    TEST(test_recreate),
	    TEST(test_own_events),
	    TEST(test_rename),
	    TEST(test_rename_new_values),
	    TEST(test_rename_onto),
	    TEST(test_undelete),
	    TEST(test_rename_below_itself),
	    TEST(test_rename_user),
	    TEST(test_shared),
	    TEST(test_native),
	    TEST(test_copy),
	    TEST(test_unsettled),
	    TEST(test_before_append),
	    TEST(test_before_paid),
	    TEST(test_many),
	    TEST(test_full),
	    TEST(test_mode),
	    TEST(test_damaged),
	    TEST(test_damaged_inside),
	    TEST(test_again),
	    TEST(test_settings),
	    TEST(test_driver),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
