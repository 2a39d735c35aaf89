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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_documented),
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_unknown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
