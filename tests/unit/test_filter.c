/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../notifyd/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct str str(const char *s)
{
	return (struct str){s, strlen(s)};
}

static struct record record(const char *event, const char *user, const char *owner,
                            const char *mailbox)
{
	return (struct record){
	    .event = str(event), .user = str(user), .owner = str(owner), .mailbox = str(mailbox)};
}

static struct filter *make(const char *groups, const char *events, const char *users,
                           const char *owners, const char *mailboxes)
{
	char *why;
	struct filter *f = filter_new(groups, events, users, owners, mailboxes, &why);

	if (!f)
		fail_msg("%s", why);
	assert_null(why);
	return f;
}

static void kinds(void **state)
{
	struct record new = record("MessageNew", "john@example.org", "jane@example.org", "INBOX");
	struct record acl = record("AclChange", "john@example.org", "jane@example.org", "INBOX");
	struct record odd = record("vnd.example.Odd", "john", "", "");
	struct {
		const char *groups, *events, *users, *owners, *mailboxes;
		bool new, acl, odd;
	} rows[] = {
	    {NULL, NULL, NULL, NULL, NULL, true, true, true},
	    {"", " ", "", "\t", "", true, true, true},
	    {"message", NULL, NULL, NULL, NULL, true, false, false},
	    {"access", NULL, NULL, NULL, NULL, false, true, false},
	    {"mailbox", NULL, NULL, NULL, NULL, false, true, false},
	    {"other\tmessage", NULL, NULL, NULL, NULL, true, false, true},
	    {NULL, "MessageNew AclChange", NULL, NULL, NULL, true, true, false},
	    {"message", "AclChange", NULL, NULL, NULL, false, false, false},
	    {"message access", "AclChange", NULL, NULL, NULL, false, true, false},
	    {NULL, NULL, "john", NULL, NULL, false, false, true},
	    {NULL, NULL, "john@example.org", NULL, NULL, true, true, false},
	    {NULL, NULL, NULL, "john@example.org", NULL, false, false, false},
	    {NULL, NULL, NULL, "x jane@example.org", NULL, true, true, false},
	    {NULL, NULL, NULL, NULL, "INBOX", true, true, false},
	    {NULL, "MessageNew", "john@example.org", "*@example.org", "I*", true, false, false},
	    {NULL, "MessageNew", "john@example.org", "*@example.org", "X*", false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct filter *f = make(rows[i].groups, rows[i].events, rows[i].users,
		                        rows[i].owners, rows[i].mailboxes);

		if (filter_match(f, &new) != rows[i].new || filter_match(f, &acl) != rows[i].acl ||
		    filter_match(f, &odd) != rows[i].odd)
			fail_msg("row %zu", i);
		filter_free(&f);
		assert_null(f);
		filter_free(&f);
	}
}

static void users(void **state)
{
	static const struct {
		const char *word, *user;
		bool match;
	} rows[] = {
	    {"john@example.org", "john@example.org", true},
	    {"john@example.org", "John@example.org", false},
	    {"john@example.org", "john@Example.org", false},
	    {"john", "john@example.org", false},
	    {"*@example.org", "john@example.org", true},
	    {"*@Example.ORG", "john@eXample.org", true},
	    {"*@example.org", "john", false},
	    {"*@example.org", "", false},
	    {"*@example.org", "example.org", false},
	    {"*@example.org", "@example.org", true},
	    {"*@example.org", "john@sub.example.org", false},
	    {"*@example.org", "john@example.or", false},
	    {"*@example.org", "a@b@example.org", true},
	    {"*@b@example.org", "a@b@example.org", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct record rec = record("Login", rows[i].user, "", "");
		struct filter *f = make(NULL, NULL, rows[i].word, NULL, NULL);

		if (filter_match(f, &rec) != rows[i].match)
			fail_msg("%s %s", rows[i].word, rows[i].user);
		filter_free(&f);
	}
}

static void mailboxes(void **state)
{
	static const struct {
		const char *glob, *name;
		bool match;
	} rows[] = {
	    {"INBOX", "INBOX", true},
	    {"inbox", "INBOX", true},
	    {"Inbox/a", "INBOX/a", true},
	    {"inboxes", "INBOXes", false},
	    {"archive", "Archive", false},
	    {"Archive", "Archive/2024", false},
	    {"Archive*", "Archive/2024", true},
	    {"Archive/*", "Archive/2024/05", true},
	    {"*/05", "Archive/2024/05", true},
	    {"A*/*5", "Archive/2024/05", true},
	    {"A*/*6", "Archive/2024/05", false},
	    {"*", "", true},
	    {"?", "", false},
	    {"*", "x/y", true},
	    {"**a**", "bab", true},
	    {"*ab*abc", "xababxababc", true},
	    {"Sent\\ Items", "Sent Items", true},
	    {"Sent?Items", "Sent Items", true},
	    {"Sent Items", "Sent Items", false},
	    {"Caf?", "Caf\xc3\xa9", true},
	    {"Caf?", "Caf\xe9", true},
	    {"Caf??", "Caf\xc3\xa9", false},
	    {"*?", "\xc3\xa9", true},
	    {"?\xa9", "\xc3\xa9", false},
	    {"*\xa9", "\xc3\xa9", false},
	    {"a\\*", "a*", true},
	    {"a\\*", "ab", false},
	    {"a\\?", "ab", false},
	    {"a\\\\", "a\\", true},
	    {"a\\", "a\\", true},
	    {"a\\b", "a\\b", false},
	    {"x y INBOX", "INBOX", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct record rec = record("MailboxCreate", "", "", rows[i].name);
		struct filter *f = make(NULL, NULL, NULL, NULL, rows[i].glob);

		if (filter_match(f, &rec) != rows[i].match)
			fail_msg("%s %s", rows[i].glob, rows[i].name);
		filter_free(&f);
	}
}

/* Stars that all nearly match must not take for ever (the test's time-out is the judge). */
static void hostile_glob(void **state)
{
	char glob[600], name[20000];
	struct record rec = {.event = STR("MailboxCreate"), .mailbox = {name, sizeof(name)}};
	struct filter *f;

	(void)state;
	for (int i = 0; i < 299; i++)
		memcpy(glob + 2 * i, "*a", 2);
	memcpy(glob + 598, "b", 2);
	memset(name, 'a', sizeof(name));
	f = make(NULL, NULL, NULL, NULL, glob);
	assert_false(filter_match(f, &rec));
	name[sizeof(name) - 1] = 'b';
	assert_true(filter_match(f, &rec));
	filter_free(&f);
}

/* Device tokens go only where they are asked for. */
static void apple_push(void **state)
{
	struct record push = record("ApplePushService", "john", "john", "");
	struct {
		const char *groups, *events;
		bool match;
	} rows[] = {
	    {NULL, NULL, false},
	    {"message", NULL, false},
	    {"message applepushservice", NULL, true},
	    {NULL, "ApplePushService", true},
	    {NULL, "ApplePushServiceDAV", false},
	    {"message", "ApplePushService", false},
	    {"applepushservice", "MessageNew", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct filter *f = make(rows[i].groups, rows[i].events, NULL, NULL, NULL);

		if (filter_match(f, &push) != rows[i].match)
			fail_msg("row %zu", i);
		filter_free(&f);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *groups, *events, *users, *owners, *why;
	} rows[] = {
	    {"mesage", NULL, NULL, NULL, "groups: 'mesage': unknown group; nearest is message"},
	    {"message Flags", NULL, NULL, NULL, "groups: 'Flags': unknown group; nearest is flags"},
	    {"everything", NULL, NULL, NULL, "groups: 'everything': unknown group"},
	    {NULL, "MesageNew", NULL, NULL,
	     "events: 'MesageNew': unknown event type; nearest is MessageNew"},
	    {NULL, "messagenew", NULL, NULL,
	     "events: 'messagenew': unknown event type; nearest is MessageNew"},
	    {NULL, "MessageCopy", NULL, NULL,
	     "events: 'MessageCopy': unknown event type; nearest is vnd.cmu.MessageCopy"},
	    {NULL, "Quux", NULL, NULL, "events: 'Quux': unknown event type"},
	    {NULL, NULL, "jo*", NULL, "users: 'jo*': must be a whole userid or *@domain"},
	    {NULL, NULL, NULL, "a *", "owners: '*': must be a whole userid or *@domain"},
	    {NULL, NULL, "*@", NULL, "users: '*@': must be a whole userid or *@domain"},
	    {NULL, NULL, "*@*.org", NULL, "users: '*@*.org': must be a whole userid or *@domain"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *why;

		assert_null(filter_new(rows[i].groups, rows[i].events, rows[i].users,
		                       rows[i].owners, NULL, &why));
		assert_string_equal(why, rows[i].why);
		free(why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(kinds),      cmocka_unit_test(users),
	    cmocka_unit_test(mailboxes),  cmocka_unit_test(hostile_glob),
	    cmocka_unit_test(apple_push), cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
