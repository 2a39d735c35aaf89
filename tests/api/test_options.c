/* SPDX-License-Identifier: BSD-3-Clause */
/* Cyrus's options, one table each: what imapd.conf says, what a host does, what comes out. */
#include "api_fixture.h"

#include <errno.h>

#include <jansson.h>

static struct mbev *open_with(const char *conf, const char *service)
{
	struct mbev *h;
	char why[256], text[2048];
	snprintf(text, sizeof text, "servername: h\n%s", conf);
	api_write_conf(text);
	assert_int_equal(mbev_open(api_conf, service, &h, why, sizeof why), MBEV_OK);
	return h;
}

/* A message, flag or mailbox event with all that it must have; NULL when it is silent. */
static struct mbev_event *begin(struct mbev *h, const char *type)
{
	struct mbev_event *e;
	int code = mbev_new(h, type, &e);
	assert_true(code == MBEV_OK || code == MBEV_SILENT);
	assert_int_equal(e == NULL, code == MBEV_SILENT);
	mbev_set_mailbox(e, "john", "INBOX", 9);
	mbev_set_string(e, "user", "john");
	return e;
}

/* What came out since the last call: event names, each with a blank before it. */
static const char *names(void)
{
	static char text[512];
	struct record rec;
	struct reader *r = fixture_reader(api_read);
	*text = '\0';
	while (api_next(r, &rec))
		snprintf(text + strlen(text), sizeof text - strlen(text), " %.*s",
		         (int)rec.event.len, rec.event.s);
	reader_close(&r);
	return text;
}

/* The next record as an object, NULL when there is none. */
static json_t *next_event(void)
{
	struct record rec;
	struct reader *r = fixture_reader(api_read);
	json_t *event = NULL;
	if (api_next(r, &rec)) {
		event = json_loadb(rec.json.s, rec.json.len, JSON_ALLOW_NUL, NULL);
		assert_non_null(event);
	}
	reader_close(&r);
	return event;
}

static const char *text_of(const json_t *event, const char *key)
{
	const char *s = json_string_value(json_object_get(event, key));
	return s ? s : "(none)";
}

#define NOTIFIER "event_notifier: mboxevent\n"

/* event_notifier, event_groups: one event of each group */
static void test_groups(void **state)
{
	(void)state;
	static const struct {
		const char *conf, *service, *on;
	} cases[] = {
	    {"", NULL, ""}, /* event_notifier is not set */
	    {NOTIFIER, NULL, " vnd.cmu.MessageCopy MailboxCreate AclChange"},
	    {NOTIFIER "event_groups: flags\n", NULL, " FlagsSet"},
	    {NOTIFIER "event_groups: access\n", NULL, " Login AclChange"},
	    {NOTIFIER "event_groups: Message MAILBOX quota\n", NULL, " QuotaChange"},
	    {NOTIFIER "event_groups: subscription  calendar\tjmap\n", NULL,
	     " MailboxSubscribe CalendarAlarm MessagesUnscheduled"},
	    {NOTIFIER "event_groups: applepushservice\nlmtp_event_groups: flags\n", "imap",
	     " ApplePushService"},
	    {NOTIFIER "event_groups: applepushservice\nlmtp_event_groups: flags\n", "lmtp",
	     " FlagsSet"},
	    {NOTIFIER "event_groups: other mail\n", NULL, ""},
	    {NOTIFIER "event_groups: mailbox\nmboxevent_modseq: yes\n", NULL,
	     " MailboxCreate AclChange MailboxModseq"},
	};
	static const char *const types[] = {
	    "vnd.cmu.MessageCopy", "FlagsSet",           "Login",
	    "MailboxCreate",       "AclChange",          "QuotaChange",
	    "MailboxSubscribe",    "CalendarAlarm",      "ApplePushService",
	    "MailboxModseq",       "MessagesUnscheduled"};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct mbev *h = open_with(cases[i].conf, cases[i].service);
		char on[512] = "";
		for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
			struct mbev_event *e;
			int enabled = mbev_enabled(h, types[t]);
			assert_int_equal(mbev_new(h, types[t], &e),
			                 enabled ? MBEV_OK : MBEV_SILENT);
			if (enabled)
				snprintf(on + strlen(on), sizeof on - strlen(on), " %s", types[t]);
			mbev_free(&e);
		}
		assert_string_equal(on, cases[i].on);
		assert_int_equal(mbev_enabled(h, "messagenew"), MBEV_EVENT);
		mbev_close(&h);
	}
}

/* event_extra_params: what is switched, and what is not */
static void test_extra_params(void **state)
{
	(void)state;
	static const struct {
		const char *type, *extras, *keys;
	} cases[] = {
	    {"vnd.cmu.MessageCopy", NULL,
	     "event oldMailboxID pid timestamp uidset uri user "
	     "vnd.cmu.mbtype vnd.cmu.oldUidset"},
	    {"vnd.cmu.MessageCopy", "modseq",
	     "event modseq oldMailboxID pid uidset uri user vnd.cmu.mbtype vnd.cmu.oldUidset"},
	    {"vnd.cmu.MessageCopy", "messages uidnext vnd.cmu.midset vnd.cmu.unseenMessages",
	     "event messages oldMailboxID pid uidnext uidset uri user vnd.cmu.mbtype "
	     "vnd.cmu.midset vnd.cmu.oldUidset vnd.cmu.unseenMessages"},
	    {"MessageNew", "service vnd.cmu.sessionId bogus",
	     "event pid service uri user "
	     "vnd.cmu.mbtype vnd.cmu.sessionId"},
	    {"MessageNew", "flagNames messageSize",
	     "event flagNames messageSize pid uri user "
	     "vnd.cmu.mbtype"},
	    {"MessageNew", "messageContent",
	     "event messageContent pid uidset uri user "
	     "vnd.cmu.mbtype"},
	    {"MessageAppend", "messageContent bodyStructure vnd.cmu.envelope",
	     "bodyStructure event messageContent pid uri user vnd.cmu.envelope vnd.cmu.mbtype"},
	    {"Login", "Timestamp", "event pid serverDomain serverPort uri user"},
	    {"Login", "clientAddress",
	     "clientIP clientPort event pid serverDomain serverPort uri "
	     "user"},
	    {"QuotaChange", "timestamp",
	     "diskQuota event maxMessages messages pid timestamp uri "
	     "user"},
	    {"QuotaChange", "diskUsed",
	     "diskQuota diskUsed event maxMessages messages pid uri "
	     "user"},
	    {"QuotaExceed", "messages",
	     "diskQuota diskUsed event maxMessages messages pid uri "
	     "user"},
	    {"FlagsSet", "messages", "event flagNames messages pid uidset uri user vnd.cmu.mbtype"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char conf[512], keys[512] = "";
		snprintf(conf, sizeof conf, ALL_GROUPS "%s%s\n",
		         cases[i].extras ? "event_extra_params: " : "",
		         cases[i].extras ? cases[i].extras : "");
		struct mbev *h = open_with(conf, "imap");
		struct mbev_event *e = begin(h, cases[i].type);
		mbev_set_old_mailbox(e, "john", "Sent", 3);
		mbev_add_message(e, 4, "<4@x>");
		mbev_add_old_uid(e, 2);
		mbev_add_flags(e, "work");
		mbev_set_content(e, "a", 1);
		static const char *const ints[] = {
		    "modseq",      "messages",   "uidnext",    "vnd.cmu.unseenMessages",
		    "messageSize", "clientPort", "serverPort", "diskUsed",
		    "diskQuota"};
		static const char *const strings[] = {"vnd.cmu.sessionId", "bodyStructure",
		                                      "vnd.cmu.envelope", "serverDomain",
		                                      "vnd.cmu.mbtype"};
		for (size_t n = 0; n < sizeof ints / sizeof *ints; n++)
			mbev_set_int(e, ints[n], 1);
		for (size_t n = 0; n < sizeof strings / sizeof *strings; n++)
			mbev_set_string(e, strings[n], "x");
		mbev_set_string(e, "clientIP", "::1");
		assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_OK);
		json_t *event = next_event(), *value;
		const char *key;
		json_object_foreach(event, key, value) snprintf(
		    keys + strlen(keys), sizeof keys - strlen(keys), "%s%s", *keys ? " " : "", key);
		assert_string_equal(keys, cases[i].keys);
		json_decref(event);
		mbev_close(&h);
	}
}

/* The split of FlagsSet, and event_exclude_flags */
static void test_flags(void **state)
{
	(void)state;
	static const struct {
		const char *excluded, *type, *flags, *names, *flag_names;
		int code;
	} cases[] = {
	    {"", "FlagsSet", "\\Flagged", " FlagsSet", "\\Flagged", 0},
	    {"", "FlagsSet", "\\Seen", " MessageRead", NULL, 0},
	    {"", "FlagsSet", "\\deleted", " MessageTrash", NULL, 0},
	    {"", "FlagsSet", "\\seen work \\DELETED \\flagged Work",
	     " MessageTrash MessageRead FlagsSet", "work \\Flagged", 0},
	    {"", "FlagsSet", "", "", NULL, MBEV_MISSING},
	    {"", "FlagsClear", "\\Seen \\Deleted \\flagged", " FlagsClear",
	     "\\Seen \\Deleted \\Flagged", 0},
	    {"", "MessageRead", NULL, " MessageRead", NULL, 0},
	    {"\\seen junk", "FlagsSet", "\\Seen", "", NULL, MBEV_SILENT},
	    {"\\seen junk", "FlagsSet", "Junk \\Seen \\Answered", " FlagsSet", "\\Answered", 0},
	    {"\\seen junk", "FlagsSet", "Junk \\Seen \\Deleted", " MessageTrash", NULL, 0},
	    {"\\seen junk", "FlagsClear", "\\Seen Junk", "", NULL, MBEV_SILENT},
	    {"\\seen junk", "FlagsClear", "\\Seen Junk a", " FlagsClear", "a", 0},
	    {"\\seen junk", "MessageRead", NULL, "", NULL, MBEV_SILENT},
	    {"\\seen junk", "MessageTrash", NULL, " MessageTrash", NULL, 0},
	    {"\\Deleted", "MessageTrash", NULL, "", NULL, MBEV_SILENT},
	    {"\\seen junk", "MessageNew", "Junk \\Draft", " MessageNew", "\\Draft", 0},
	    {"\\seen junk", "MessageNew", "Junk", " MessageNew", NULL, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char conf[512], why[128];
		snprintf(conf, sizeof conf, ALL_GROUPS "event_extra_params: flagNames\n%s%s\n",
		         *cases[i].excluded ? "event_exclude_flags: " : "", cases[i].excluded);
		struct mbev *h = open_with(conf, "imap");
		struct mbev_event *e = begin(h, cases[i].type);
		uint64_t before = api_read;
		mbev_add_message(e, 4, NULL);
		if (cases[i].flags)
			assert_int_equal(mbev_add_flags(e, cases[i].flags), MBEV_OK);
		assert_int_equal(mbev_emit(&e, why, sizeof why), cases[i].code);
		if (cases[i].code == MBEV_MISSING)
			assert_string_equal(why, "FlagsSet: flagNames is missing");
		assert_string_equal(names(), cases[i].names);
		/* of the last one; MessageTrash and MessageRead never have it */
		api_read = before;
		json_t *event, *last = NULL;
		while ((event = next_event()) != NULL) {
			const char *name = text_of(event, "event");
			if (strcmp(name, "MessageTrash") == 0 || strcmp(name, "MessageRead") == 0)
				assert_null(json_object_get(event, "flagNames"));
			json_decref(last);
			last = event;
		}
		if (last)
			assert_string_equal(text_of(last, "flagNames"),
			                    cases[i].flag_names ? cases[i].flag_names : "(none)");
		json_decref(last);
		mbev_close(&h);
	}
}

/* FlagsClear with \Seen goes before the FlagsSet of the same command. */
static void test_swap(void **state)
{
	(void)state;
	static const struct {
		const char *excluded, *types[4], *flags[4], *names;
	} cases[] = {
	    {"", {"FlagsSet", "FlagsClear"}, {"a", "\\Seen"}, " FlagsClear FlagsSet"},
	    {"", {"FlagsSet", "FlagsClear"}, {"a", "b"}, " FlagsSet FlagsClear"},
	    {"", {"FlagsSet", NULL, "FlagsClear"}, {"a", NULL, "\\seen b"}, " FlagsClear FlagsSet"},
	    {"", {"FlagsClear", "FlagsSet"}, {"\\Seen", "a"}, " FlagsClear FlagsSet"},
	    {"",
	     {"FlagsSet", "FlagsSet", "FlagsClear"},
	     {"a", "\\Deleted", "\\Seen"},
	     " FlagsSet FlagsClear MessageTrash"},
	    {"",
	     {"FlagsSet", "FlagsClear", "FlagsClear"},
	     {"a", "\\Seen", "\\Seen"},
	     " FlagsClear FlagsSet FlagsClear"},
	    {"event_exclude_flags: \\Seen\n",
	     {"FlagsSet", "FlagsClear"},
	     {"a", "\\Seen b"},
	     " FlagsSet FlagsClear"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char conf[512];
		struct mbev_event *events[4] = {0};
		snprintf(conf, sizeof conf, ALL_GROUPS "%s", cases[i].excluded);
		struct mbev *h = open_with(conf, NULL);
		for (int n = 0; n < 4; n++) {
			if (!cases[i].types[n])
				continue;
			events[n] = begin(h, cases[i].types[n]);
			mbev_add_message(events[n], 1, NULL);
			mbev_add_flags(events[n], cases[i].flags[n]);
		}
		assert_int_equal(mbev_emit_all(events, 4, NULL, 0), MBEV_OK);
		for (int n = 0; n < 4; n++)
			assert_null(events[n]);
		assert_string_equal(names(), cases[i].names);
		mbev_close(&h);
	}
}

/* event_exclude_specialuse and ALL */
static void test_specialuse(void **state)
{
	(void)state;
	static const struct {
		const char *conf, *type, *owner, *mailbox, *use;
		int code;
	} cases[] = {
	    {"", "MessageNew", "john", "Spam", "\\Junk", MBEV_SILENT}, /* the default */
	    {"", "MessageNew", "john", "Spam", "\\Sent \\Junk", MBEV_SILENT},
	    {"", "MessageNew", "john", "Spam", "\\junk", MBEV_OK}, /* as in Cyrus */
	    {"", "MessageNew", "john", "Spam", NULL, MBEV_OK},
	    {"", "MailboxCreate", "john", "Spam", "\\Junk", MBEV_SILENT},
	    {"", "MailboxSubscribe", "john", "Spam", "\\Junk", MBEV_OK},
	    {"\\Sent \\Trash", "MessageNew", "john", "Spam", "\\Junk", MBEV_OK},
	    {"\\Sent \\Trash", "FlagsSet", "john", "Trash", "\\Trash", MBEV_SILENT},
	    {"ALL", "MessageNew", "john", "Archive", NULL, MBEV_SILENT},
	    {"all", "MessageNew", "john", "Archive", NULL, MBEV_SILENT},
	    {"ALL", "MessageNew", "john", "inbox", NULL, MBEV_OK},
	    {"ALL", "MessageNew", "john", "INBOX/INBOX", NULL, MBEV_SILENT},
	    {"ALL", "MessageNew", NULL, "INBOX", NULL, MBEV_SILENT}, /* a shared folder */
	    {"ALL", "MessageNew", NULL, "team", NULL, MBEV_SILENT},
	    {"ALL", "QuotaChange", NULL, "team", NULL, MBEV_OK},
	    {"ALL \\Junk", "MessageNew", "john", "INBOX", "\\Junk", MBEV_SILENT},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char conf[512];
		snprintf(conf, sizeof conf, ALL_GROUPS "%s%s\n",
		         *cases[i].conf ? "event_exclude_specialuse: " : "", cases[i].conf);
		struct mbev *h = open_with(conf, NULL);
		struct mbev_event *e = begin(h, cases[i].type);
		mbev_set_mailbox(e, cases[i].owner, cases[i].mailbox, 5);
		mbev_add_message(e, 1, NULL);
		mbev_add_flags(e, "a");
		if (cases[i].use)
			assert_int_equal(mbev_set_specialuse(e, cases[i].use), MBEV_OK);
		if (mbev_emit(&e, NULL, 0) != cases[i].code)
			fail_msg("case %zu", i);
		assert_int_equal(mbev_count(h, MBEV_COUNT_SILENT), cases[i].code == MBEV_SILENT);
		assert_int_equal(mbev_lost(h), 0);
		mbev_close(&h);
		names();
	}
}

/* event_content_inclusion_mode and event_content_size */
static void test_content(void **state)
{
	(void)state;
#define HEADER "A: b\r\nC: d\r\n\r\n" /* 14 */
#define BODY   "0123456789"
	static const struct {
		const char *mode, *size, *content;
	} cases[] = {
	    {NULL, NULL, HEADER BODY},
	    {"standard", "0", HEADER BODY},
	    {"standard", "24", HEADER BODY},
	    {"standard", "23", NULL},
	    {"message", "0", HEADER BODY},
	    {"message", "16", HEADER "01"},
	    {"header", NULL, HEADER},
	    {"header", "4", "A: b"},
	    {"body", NULL, BODY},
	    {"body", "3", "012"},
	    {"headerbody", NULL, HEADER BODY},
	    {"headerbody", "3", HEADER "012"},
	    {"headerbody", "100", HEADER BODY},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char conf[512];
		snprintf(conf, sizeof conf, "%sevent_extra_params: messageContent\n%s%s\n%s%s\n",
		         ALL_GROUPS, cases[i].mode ? "event_content_inclusion_mode: " : "",
		         cases[i].mode ? cases[i].mode : "",
		         cases[i].size ? "event_content_size: " : "",
		         cases[i].size ? cases[i].size : "");
		struct mbev *h = open_with(conf, NULL);
		struct mbev_event *e = begin(h, "MessageNew");
		mbev_add_message(e, 7, NULL);
		assert_int_equal(mbev_set_content(e, HEADER BODY, 24), MBEV_OK);
		assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_OK);
		json_t *event = next_event();
		const json_t *content = json_object_get(event, "messageContent");
		if (cases[i].content)
			assert_string_equal(text_of(content, "7"), cases[i].content);
		else
			assert_null(content);
		/* uidset only beside content */
		assert_string_equal(text_of(event, "uidset"), cases[i].content ? "7" : "(none)");
		json_decref(event);
		mbev_close(&h);
	}
}

/* Content is cut between characters, the header may end in bare line feeds or never. */
static void test_content_cut(void **state)
{
	(void)state;
	static const struct {
		const char *mode, *size, *message, *content;
	} cases[] = {
	    {"message", "4", "abc\xc3\xa9z", "abc"},
	    {"message", "5", "abc\xc3\xa9z", "abc\xc3\xa9"},
	    {"message", "5", "ab\xf0\x9f\x98\x80z", "ab"},
	    {"message", "2", "a\xff\xfe z", "a\xef\xbf\xbd"},
	    {"body", "0", "A: b\n\nbody", "body"},
	    {"body", "0", "\r\nbody", "body"},
	    {"header", "0", "A: b\nno end", "A: b\nno end"},
	    {"body", "0", "A: b\nno end", ""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char conf[512];
		snprintf(conf, sizeof conf,
		         "%sevent_extra_params: messageContent\nevent_content_inclusion_mode: %s\n"
		         "event_content_size: %s\n",
		         ALL_GROUPS, cases[i].mode, cases[i].size);
		struct mbev *h = open_with(conf, NULL);
		struct mbev_event *e = begin(h, "MessageAppend");
		mbev_add_message(e, 7, NULL);
		mbev_set_content(e, cases[i].message, strlen(cases[i].message));
		assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_OK);
		json_t *event = next_event();
		const json_t *content = json_object_get(event, "messageContent");
		assert_string_equal(text_of(content, "7"), cases[i].content);
		json_decref(event);
		mbev_close(&h);
	}
}

/* modseq for one message alone, Logout after Login alone, -1 for no limit, the quota's owner */
static void test_rules(void **state)
{
	(void)state;
	struct mbev *h = open_with(ALL_GROUPS ALL_EXTRAS, "imap");
	for (int several = 0; several < 2; several++) {
		struct mbev_event *e = begin(h, "MessageExpunge");
		mbev_set_int(e, "modseq", 5);
		mbev_add_message(e, 3, "<a@x>");
		mbev_add_message(e, 3, "<a@x>");
		if (several) {
			mbev_add_message(e, 1, NULL);
			mbev_add_message(e, 2, "<a@x>");
			mbev_add_message(e, 9, NULL);
		}
		assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_OK);
		json_t *event = next_event();
		assert_int_equal(json_object_get(event, "modseq") != NULL, !several);
		assert_string_equal(text_of(event, "uidset"), several ? "1:3,9" : "3");
		char *mids = json_dumps(json_object_get(event, "vnd.cmu.midset"), JSON_COMPACT);
		assert_string_equal(mids, several ? "[\"<a@x>\",\"NIL\"]" : "[\"<a@x>\"]");
		free(mids);
		json_decref(event);
	}

	struct mbev_event *e;
	assert_int_equal(mbev_new(h, "Logout", &e), MBEV_OK);
	mbev_set_string(e, "serverDomain", "h");
	mbev_set_int(e, "serverPort", 143);
	assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_SILENT);
	assert_string_equal(names(), "");

	for (int shared = 0; shared < 2; shared++) {
		mbev_new(h, "QuotaExceed", &e);
		mbev_set_mailbox(e, shared ? NULL : "john@example.org", shared ? "team" : "INBOX",
		                 77);
		mbev_set_int(e, shared ? "maxMessages" : "diskQuota", 10);
		assert_int_equal(mbev_emit(&e, NULL, 0), MBEV_OK);
		json_t *event = next_event();
		assert_int_equal(json_integer_value(json_object_get(event, "diskQuota")),
		                 shared ? -1 : 10);
		assert_int_equal(json_integer_value(json_object_get(event, "maxMessages")),
		                 shared ? 10 : -1);
		assert_string_equal(text_of(event, "user"), shared ? "(none)" : "john@example.org");
		assert_string_equal(text_of(event, "uri"),
		                    shared ? "imap://h/team" : "imap://john@example.org@h/INBOX");
		json_decref(event);
	}
	mbev_close(&h);
}

/* What the configuration does not say right is told, and does not stop anything. */
static void test_why(void **state)
{
	(void)state;
	static const struct {
		const char *conf, *why;
	} cases[] = {
	    {NOTIFIER, ""},
	    {"", "event_notifier is not set: nothing is emitted"},
	    {NOTIFIER "event_groups: message Flags\n",
	     "event_groups: Flags is not one of its values, and is ignored"},
	    {NOTIFIER "event_extra_params: uidNext\n",
	     "event_extra_params: uidNext is not one of its values, and is ignored"},
	};
	struct mbev *h;
	char why[256], small[8];
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		api_write_conf(cases[i].conf);
		errno = ENOTTY;
		assert_int_equal(mbev_open(api_conf, NULL, &h, why, sizeof why), MBEV_OK);
		assert_int_equal(errno, ENOTTY);
		assert_string_equal(why, cases[i].why);
		mbev_close(&h);
		assert_null(h);
	}
	api_write_conf(NOTIFIER "mboxevent_sync: soon\n");
	assert_int_equal(mbev_open(api_conf, NULL, &h, why, sizeof why), MBEV_OK);
	assert_non_null(strstr(why, "mboxevent_sync"));
	mbev_close(&h);
	assert_int_equal(mbev_open("/nonexistent", NULL, &h, small, sizeof small), MBEV_CONF);
	assert_null(h);
	assert_string_equal(small, "/nonexi");
	assert_int_equal(mbev_open(NULL, NULL, &h, NULL, 0), MBEV_INVAL);
	assert_int_equal(mbev_open(api_conf, NULL, NULL, NULL, 0), MBEV_INVAL);
	mbev_close(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_groups),      TEST(test_extra_params), TEST(test_flags),
	    TEST(test_swap),        TEST(test_specialuse),   TEST(test_content),
	    TEST(test_content_cut), TEST(test_rules),        TEST(test_why),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
