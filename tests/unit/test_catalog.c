/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../lib/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct str str(const char *s)
{
	return (struct str){s, strlen(s)};
}

/* The table of the documentation, by hand. */
static const struct {
	const char *event, *group;
	unsigned groups;
} documented[] = {
    {"MessageAppend", "message", GROUP_MESSAGE},
    {"MessageNew", "message", GROUP_MESSAGE},
    {"MessageExpire", "message", GROUP_MESSAGE},
    {"MessageExpunge", "message", GROUP_MESSAGE},
    {"vnd.cmu.MessageCopy", "message", GROUP_MESSAGE},
    {"vnd.cmu.MessageMove", "message", GROUP_MESSAGE},
    {"MessageRead", "flags", GROUP_FLAGS},
    {"MessageTrash", "flags", GROUP_FLAGS},
    {"FlagsSet", "flags", GROUP_FLAGS},
    {"FlagsClear", "flags", GROUP_FLAGS},
    {"MailboxCreate", "mailbox", GROUP_MAILBOX},
    {"MailboxDelete", "mailbox", GROUP_MAILBOX},
    {"MailboxRename", "mailbox", GROUP_MAILBOX},
    {"AclChange", "mailbox", GROUP_MAILBOX | GROUP_ACCESS},
    {"MailboxSubscribe", "subscription", GROUP_SUBSCRIPTION},
    {"MailboxUnSubscribe", "subscription", GROUP_SUBSCRIPTION},
    {"QuotaChange", "quota", GROUP_QUOTA},
    {"QuotaExceed", "quota", GROUP_QUOTA},
    {"QuotaWithin", "quota", GROUP_QUOTA},
    {"Login", "access", GROUP_ACCESS},
    {"Logout", "access", GROUP_ACCESS},
    {"CalendarAlarm", "calendar", GROUP_CALENDAR},
    {"ApplePushService", "applepushservice", GROUP_APPLEPUSHSERVICE},
    {"ApplePushServiceDAV", "applepushservice", GROUP_APPLEPUSHSERVICE},
    {"MailboxModseq", "mailbox", GROUP_MAILBOX},
    {"MessagesUnscheduled", "jmap", GROUP_JMAP},
    {"MailboxReset", "mailbox", GROUP_MAILBOX},
    {"PushDue", "push", GROUP_PUSH},
};

static void test_documented(void **state)
{
	(void)state;
	const size_t n = sizeof documented / sizeof *documented;
	const struct catalog_event *all;
	assert_int_equal(catalog_events(&all), n);
	for (size_t i = 0; i < n; i++) {
		struct str name = str(documented[i].event);
		const struct catalog_event *e = catalog_event(name.s, name.len);
		assert_non_null(e);
		assert_string_equal(e->name, documented[i].event);
		assert_int_equal(e->groups, documented[i].groups);
		assert_true(e->source[0]);
		assert_int_equal(catalog_groups(name), documented[i].groups);
		assert_int_equal(catalog_is_device(name),
		                 (documented[i].groups & GROUP_APPLEPUSHSERVICE) != 0);
		assert_string_equal(catalog_group(name), documented[i].group);
	}
}

/* Every row: a name that no other has, and a routing group that is one of its groups. */
static void test_rows(void **state)
{
	(void)state;
	const struct catalog_event *all;
	size_t n = catalog_events(&all);
	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(catalog_event(all[i].name, strlen(all[i].name)), &all[i]);
		assert_int_equal(all[i].primary & all[i].groups, all[i].primary);
		const char *group = catalog_group(str(all[i].name));
		assert_int_equal(catalog_group_bit(group, strlen(group)), all[i].primary);
	}
}

static void test_unknown(void **state)
{
	(void)state;
	static const struct str unknown[] = {{"", 0},        {NULL, 0},          {"login", 5},
	                                     {"Logi", 4},    {"Login ", 6},      {"Login\0x", 7},
	                                     {"Message", 7}, {"MessageNews", 11}};
	for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
		assert_null(catalog_event(unknown[i].s, unknown[i].len));
		assert_int_equal(catalog_groups(unknown[i]), GROUP_OTHER);
		assert_string_equal(catalog_group(unknown[i]), "other");
	}
	assert_int_equal(catalog_group_bit("Message", 7), 0);
	assert_int_equal(catalog_group_bit("messages", 8), 0);
	assert_int_equal(catalog_group_bit("", 0), 0);
	assert_int_equal(catalog_group_bit("other", 5), GROUP_OTHER);
}

/* Sorted as the documented JSON is, found by name, and each in some event. */
static void test_parameters(void **state)
{
	(void)state;
	const struct catalog_event *all;
	size_t n = catalog_events(&all);
	for (int p = 0; p < CATALOG_N_PARAMS; p++) {
		const struct catalog_parameter *row = &catalog_parameters[p];
		bool used = strncmp(row->name, "vnd.mboxevent.", 14) == 0;
		assert_int_equal(catalog_param(row->name, strlen(row->name)), p);
		if (p)
			assert_true(strcmp(row[-1].name, row->name) < 0);
		assert_true(row->source[0] && row->help[0]);
		for (size_t i = 0; i < n; i++)
			used |=
			    catalog_has(&all[i].required, p) || catalog_has(&all[i].optional, p);
		if (!used)
			fail_msg("no event has %s", row->name);
	}
	assert_int_equal(catalog_param("", 0), -1);
	assert_int_equal(catalog_param(NULL, 0), -1);
	assert_int_equal(catalog_param("eventx", 6), -1);
	assert_int_equal(catalog_param("even", 4), -1);
	assert_int_equal(catalog_param("vnd.z", 5), -1);
}

static bool has(const struct catalog_params *set, const char *name)
{
	return catalog_has(set, (enum catalog_param)catalog_param(name, strlen(name)));
}

/* What one row says must not contradict what another says. */
static void test_sets(void **state)
{
	(void)state;
	const struct catalog_event *all;
	size_t n = catalog_events(&all);
	for (size_t i = 0; i < n; i++) {
		const struct catalog_event *e = &all[i];
		for (int p = 0; p < CATALOG_N_PARAMS; p++) {
			bool optional = catalog_has(&e->optional, p);
			if (catalog_has(&e->required, p) && optional)
				fail_msg("%s: %s", e->name, catalog_parameters[p].name);
			if (catalog_has(&e->switched, p) &&
			    (!optional || !catalog_parameters[p].extra))
				fail_msg("%s: switched %s", e->name, catalog_parameters[p].name);
		}
		for (int p = CATALOG_N_PARAMS; p < 128; p++)
			assert_false(catalog_has(&e->required, p) || catalog_has(&e->optional, p));
		assert_true(has(&e->required, "event"));
		assert_int_equal(e->uri != FORM_ANY,
		                 has(&e->required, "uri") || has(&e->optional, "uri"));
		assert_int_equal((e->groups & GROUP_MAILBOX) != 0, has(&e->required, "mailboxID"));
	}
}

/* The words of event_extra_params in Cyrus 3.6.1, and one of 3.12. */
static void test_extra(void **state)
{
	(void)state;
	static const char *const words[] = {"bodyStructure",
	                                    "clientAddress",
	                                    "diskUsed",
	                                    "flagNames",
	                                    "messageContent",
	                                    "messageSize",
	                                    "messages",
	                                    "modseq",
	                                    "service",
	                                    "timestamp",
	                                    "uidnext",
	                                    "vnd.cmu.midset",
	                                    "vnd.cmu.unseenMessages",
	                                    "vnd.cmu.envelope",
	                                    "vnd.cmu.sessionId",
	                                    "vnd.cmu.mailboxACL",
	                                    "vnd.cmu.mbtype",
	                                    "vnd.cmu.davFilename",
	                                    "vnd.cmu.davUid",
	                                    "vnd.fastmail.clientId",
	                                    "vnd.fastmail.sessionId",
	                                    "vnd.fastmail.convExists",
	                                    "vnd.fastmail.convUnseen",
	                                    "vnd.fastmail.cid",
	                                    "vnd.fastmail.counters",
	                                    "vnd.fastmail.jmapEmail",
	                                    "vnd.fastmail.jmapStates",
	                                    "vnd.cmu.emailid",
	                                    "vnd.cmu.threadid",
	                                    "vnd.cmu.visibleUsers"};
	struct catalog_params set, all = {{0, 0}};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (!catalog_extra(words[i], strlen(words[i]), &set))
			fail_msg("%s is no word", words[i]);
		all.bits[0] |= set.bits[0];
		all.bits[1] |= set.bits[1];
	}
	for (int p = 0; p < CATALOG_N_PARAMS; p++)
		assert_int_equal(catalog_has(&all, p), catalog_parameters[p].extra != NULL);
	assert_true(catalog_extra("clientAddress", 13, &set));
	assert_true(has(&set, "clientIP") && has(&set, "clientPort") && !has(&set, "serverPort"));
	assert_false(catalog_extra("clientaddress", 13, &set));
	assert_false(catalog_extra("uri", 3, &set));
	assert_false(catalog_extra("", 0, &set));
	assert_true(catalog_extra(CATALOG_EXTRA_DEFAULT, strlen(CATALOG_EXTRA_DEFAULT), &set));

	/* where Cyrus does not ask */
	assert_false(has(&catalog_event("QuotaExceed", 11)->switched, "diskUsed"));
	assert_true(has(&catalog_event("QuotaChange", 11)->switched, "diskUsed"));
	assert_false(has(&catalog_event("QuotaChange", 11)->switched, "messages"));
	assert_true(has(&catalog_event("MessageRead", 11)->switched, "messages"));
	assert_false(has(&catalog_event("MessageRead", 11)->switched, "vnd.cmu.mbtype"));
	assert_false(has(&catalog_event("FlagsSet", 8)->switched, "flagNames"));
	assert_true(has(&catalog_event("MessageNew", 10)->switched, "flagNames"));
	assert_false(has(&catalog_event("CalendarAlarm", 13)->optional, "timestamp"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_documented), cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_unknown),    cmocka_unit_test(test_parameters),
	    cmocka_unit_test(test_sets),       cmocka_unit_test(test_extra),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
