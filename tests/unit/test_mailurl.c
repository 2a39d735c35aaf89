/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../lib/mailurl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define S "imap://imap.example.org/"

static struct str str(const char *s)
{
	return (struct str){s ? s : "", s ? strlen(s) : 0};
}

static void assert_str(struct str s, const char *expected)
{
	assert_int_equal(s.len, strlen(expected));
	if (s.len)
		assert_memory_equal(s.s, expected, s.len);
}

static void test_parse(void **state)
{
	(void)state;
	static const struct {
		const char *url, *owner, *server, *mailbox, *uidvalidity, *tail;
	} cases[] = {
	    {"imap://imap.example.org", "", "imap.example.org", "", "", ""},
	    {"IMAP://imap.example.org/", "", "imap.example.org", "", "", ""},
	    {"imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=5/;UID=8",
	     "john@example.org", "imap.example.org", "INBOX", "5", ";UIDVALIDITY=5/;UID=8"},
	    {"imap://john@h/a/b/;UID=8", "john", "h", "a/b", "", "/;UID=8"},
	    {"imap://h/a/;uidvalidity=77", "", "h", "a/", "77", ";uidvalidity=77"},
	    {"imap://h:143/x@y", "", "h:143", "x@y", "", ""},
	    {"imap://h/;UID=1", "", "h", "", "", ";UID=1"},
	};
	struct mailurl u;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(mailurl_parse(str(cases[i].url), &u), 0);
		assert_str(u.owner, cases[i].owner);
		assert_str(u.server, cases[i].server);
		assert_str(u.mailbox, cases[i].mailbox);
		assert_str(u.uidvalidity, cases[i].uidvalidity);
		assert_str(u.tail, cases[i].tail);
	}
	static const char *const bad[] = {"",         "imap:/x",   "imaps://h/x",     "imap://",
	                                  "imap:///", "imap://a@", "imap://a@/INBOX", "INBOX"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(mailurl_parse(str(bad[i]), &u), -1);
}

static const struct mailurl_names off = {false, NULL}, on = {true, "internal"},
				  home = {true, "example.org"};

static const struct {
	const struct mailurl_names *names;
	const char *native, *user, *acl, *documented, *owner, *mailbox;
} urls[] = {
    /* the rows of the documentation's table */
    {&on, S "user/john/Archive%40example.org;UIDVALIDITY=5", "john@example.org", NULL,
     "imap://john@example.org@imap.example.org/Archive;UIDVALIDITY=5", "john@example.org",
     "Archive"},
    {&on, S "user/john%40example.org;UIDVALIDITY=5/;UID=8", NULL, NULL,
     "imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=5/;UID=8", "john@example.org",
     "INBOX"},
    {&on, S "shared/team%40example.org", "john@example.org", NULL, S "shared/team%40example.org",
     "", "shared/team@example.org"},
    {&on, S "DELETED/user/john/T2/6B03350B%40example.org;UIDVALIDITY=5", "john@example.org", NULL,
     S "DELETED/user/john/T2/6B03350B%40example.org;UIDVALIDITY=5", "",
     "DELETED/user/john/T2/6B03350B@example.org"},
    {&on, S "DELETED.user.john.T2.6B03350B", NULL, NULL, S "DELETED.user.john.T2.6B03350B", "",
     "DELETED.user.john.T2.6B03350B"},

    /* virtdomains off: nothing is split off */
    {&off, S "user/john/Archive%40example.org", "john@example.org", NULL,
     "imap://john@imap.example.org/Archive%40example.org", "john", "Archive@example.org"},
    {&off, S "user/john/Archive/2024;UIDVALIDITY=9", NULL, NULL,
     "imap://john@imap.example.org/Archive/2024;UIDVALIDITY=9", "john", "Archive/2024"},
    {&off, S "user/john%40example.org/Archive", NULL, NULL,
     "imap://john@example.org@imap.example.org/Archive", "john@example.org", "Archive"},
    {&off, S "user.john%40example%5Eorg.Archive", NULL, NULL,
     "imap://john@example.org@imap.example.org/Archive", "john@example.org", "Archive"},

    /* dots separate */
    {&on, S "user.john.Archive.2024%40example.org;UIDVALIDITY=5", NULL, NULL,
     "imap://john@example.org@imap.example.org/Archive/2024;UIDVALIDITY=5", "john@example.org",
     "Archive/2024"},
    {&on, S "user.john%5Edoe%40mail.example.org", NULL, NULL,
     "imap://john.doe@mail.example.org@imap.example.org/INBOX", "john.doe@mail.example.org",
     "INBOX"},
    {&off, S "user.john%5edoe.v1^2%5E3.x", NULL, NULL, "imap://john.doe@imap.example.org/v1.2.3/x",
     "john.doe", "v1.2.3/x"},
    {&off, S "user/john.doe/v1.2.3", NULL, NULL, "imap://john.doe@imap.example.org/v1.2.3",
     "john.doe", "v1.2.3"},
    {&off, S "user.john/x", NULL, NULL, S "user.john/x", "", "user.john/x"},

    /* at%40sign: john's folder, or the folder of john@sign */
    {&on, S "user.john.at%40sign", "john", NULL, "imap://john@imap.example.org/at%40sign", "john",
     "at@sign"},
    {&on, S "user.john.at%40sign", "john@sign", NULL, "imap://john@sign@imap.example.org/at",
     "john@sign", "at"},
    {&on, S "user.john.at%40sign", "jane", "john\tlrs\t", "imap://john@imap.example.org/at%40sign",
     "john", "at@sign"},
    {&on, S "user/john/at%40sign", "", "anyone\tlrs\tjohn@sign\tlrs\tjohn\tlrs\t",
     "imap://john@sign@imap.example.org/at", "john@sign", "at"},
    {&on, S "user/john/at%40sign", "", "lrs\tjohn\tjane", "imap://john@sign@imap.example.org/at",
     "john@sign", "at"},
    {&on, S "user/john/at%40sign", "john@internal", NULL, "imap://john@imap.example.org/at%40sign",
     "john", "at@sign"},
    {&on, S "user/john/a%40b%40example.org", "john@example.org", NULL,
     "imap://john@example.org@imap.example.org/a%40b", "john@example.org", "a@b"},
    {&on, S "user/john/a%40b/c", NULL, NULL, "imap://john@imap.example.org/a%40b/c", "john",
     "a@b/c"},

    /* the default domain is never written by the server, nor by us */
    {&home, S "user/john/Archive", "john@example.org", NULL, "imap://john@imap.example.org/Archive",
     "john", "Archive"},
    {&home, S "user/john/at%40example.org", "jane", NULL,
     "imap://john@imap.example.org/at%40example.org", "john", "at@example.org"},
    {&home, S "user/john/Archive%40example.net", "jane", NULL,
     "imap://john@example.net@imap.example.org/Archive", "john@example.net", "Archive"},

    /* names */
    {&on, S "user/john/%23calendars/Default%40example.org;UIDVALIDITY=5/;UID=1", NULL, NULL,
     "imap://john@example.org@imap.example.org/%23calendars/Default;UIDVALIDITY=5/;UID=1",
     "john@example.org", "#calendars/Default"},
    {&on, S "user/jane/T%C3%A9st%20%26%20co%40example.org", NULL, NULL,
     "imap://jane@example.org@imap.example.org/T%C3%A9st%20%26%20co", "jane@example.org",
     "T\xc3\xa9st & co"},
    {&on, S "user/jane/T%26AOk-st%40example.org", NULL, NULL,
     "imap://jane@example.org@imap.example.org/T%26AOk-st", "jane@example.org", "T&AOk-st"},
    {&on, S "user/john%2Btag%40example.org", NULL, NULL,
     "imap://john%2Btag@example.org@imap.example.org/INBOX", "john+tag@example.org", "INBOX"},
    {&on, S "user/john/INBOX%40example.org", NULL, NULL,
     "imap://john@example.org@imap.example.org/INBOX/INBOX", "john@example.org", "INBOX/INBOX"},
    {&off, S "user.john.Inbox.x", NULL, NULL, "imap://john@imap.example.org/INBOX/Inbox/x", "john",
     "INBOX/Inbox/x"},
    {&off, S "user/john/INBOXES", NULL, NULL, "imap://john@imap.example.org/INBOXES", "john",
     "INBOXES"},
    {&off, S "user/john/100%", NULL, NULL, "imap://john@imap.example.org/100%", "john", "100%"},

    /* nobody's, or not a mailbox */
    {&on, "imap://imap.example.org", "john", NULL, "imap://imap.example.org", "", ""},
    {&on, S "user", NULL, NULL, S "user", "", "user"},
    {&on, S "user/", NULL, NULL, S "user/", "", "user/"},
    {&on, S "users/john", NULL, NULL, S "users/john", "", "users/john"},

    /* documented already, a folder named user below the inbox among them */
    {&on, "imap://john@example.org@imap.example.org/user/x%40y;UIDVALIDITY=5", "john", NULL,
     "imap://john@example.org@imap.example.org/user/x%40y;UIDVALIDITY=5", "john@example.org",
     "user/x@y"},
};

static void test_document(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		struct buf out = BUF_INIT, owner = BUF_INIT, mailbox = BUF_INIT, again = BUF_INIT;
		struct str user = str(urls[i].user), acl = str(urls[i].acl);
		assert_int_equal(mailurl_document(urls[i].names, str(urls[i].native), user, acl,
		                                  &out, &owner, &mailbox),
		                 0);
		assert_string_equal(buf_cstr(&out), urls[i].documented);
		assert_string_equal(buf_cstr(&owner), urls[i].owner);
		assert_string_equal(buf_cstr(&mailbox), urls[i].mailbox);
		assert_int_equal(mailurl_document(urls[i].names, (struct str){out.s, out.len}, user,
		                                  acl, &again, NULL, NULL),
		                 0);
		assert_string_equal(buf_cstr(&again), urls[i].documented);
		buf_free(&out);
		buf_free(&owner);
		buf_free(&mailbox);
		buf_free(&again);
	}
}

static void test_append(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	assert_int_equal(mailurl_document(&on, STR("INBOX"), STR(""), STR(""), &out, &out, &out),
	                 -1);
	assert_int_equal(out.len, 0);
	buf_adds(&out, "url=");
	assert_int_equal(
	    mailurl_document(&on, STR(S "user/john"), STR(""), STR(""), &out, NULL, NULL), 0);
	assert_string_equal(buf_cstr(&out), "url=imap://john@imap.example.org/INBOX");
	buf_reset(&out);
	mailurl_decode(STR("%41%e9%C3%4g%%2"), &out);
	assert_string_equal(buf_cstr(&out), "A\xe9\xc3%4g%%2");
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_document),
	    cmocka_unit_test(test_append),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
