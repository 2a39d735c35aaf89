/* SPDX-License-Identifier: BSD-3-Clause */
/* What phones call mailboxes, in every namespace configuration. */
#include "../../notifyd/sinks/apns/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct names *open_names(const char *options)
{
	char path[] = "/tmp/mboxevent-names-XXXXXX", *why = NULL;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, options, strlen(options)), strlen(options));
	close(fd);
	struct conf *conf = conf_read(path, &why);
	unlink(path);
	assert_non_null(conf);
	struct names *n = names_new(conf);
	assert_non_null(n);
	conf_free(&conf);
	return n;
}

static void check(struct names *n, const char *user, const char *name, const char *owner,
                  const char *mailbox)
{
	struct names_place place;
	char *copy = strndup(name, strlen(name)); /* ends where it ends */
	bool ok = names_translate(n, (struct str){user, strlen(user)},
	                          (struct str){copy, strlen(name)}, &place);
	free(copy);
	if (!owner) {
		assert_false(ok);
		return;
	}
	if (!ok || place.owner.len != strlen(owner) ||
	    memcmp(place.owner.s, owner, place.owner.len) != 0 ||
	    place.mailbox.len != strlen(mailbox) ||
	    memcmp(place.mailbox.s, mailbox, place.mailbox.len) != 0)
		fail_msg("%s of %s: '%.*s' of '%.*s', not '%s' of '%s'", name, user,
		         (int)place.mailbox.len, place.mailbox.s, (int)place.owner.len,
		         place.owner.s, mailbox, owner);
}

#define JOHN "john@example.org"

static void test_alternative(void **state)
{
	struct names *n = open_names("virtdomains: userid\n"); /* the defaults of Cyrus 3 */
	(void)state;
	check(n, JOHN, "INBOX", JOHN, "INBOX");
	check(n, JOHN, "inbox", JOHN, "INBOX");
	check(n, JOHN, "Archive", JOHN, "Archive");
	check(n, JOHN, "Archive/2024", JOHN, "Archive/2024");
	check(n, JOHN, "v1.2", JOHN, "v1.2");
	check(n, JOHN, "a^b", JOHN, "a^b");
	check(n, JOHN, "at@sign", JOHN, "at@sign");
	check(n, JOHN, "INBOX/low", JOHN, "INBOX/INBOX/low");
	check(n, JOHN, "Inbox/low", JOHN, "INBOX/INBOX/low");
	check(n, JOHN, "Alt Folders/Inbox/low", JOHN, "INBOX/Inbox/low");
	check(n, JOHN, "Alt Folders/INBOX", JOHN, "INBOX/INBOX");
	check(n, JOHN, "user/x", JOHN, "user/x");
	check(n, JOHN, "Other Users/jane", "jane@example.org", "INBOX");
	check(n, JOHN, "Other Users/jane/Work", "jane@example.org", "Work");
	check(n, JOHN, "Other Users/mary.ann/Work", "mary.ann@example.org", "Work");
	check(n, JOHN, "Shared Folders/shared/team", "", "shared/team@example.org");
	check(n, "john", "Other Users/jane", "jane", "INBOX");
	check(n, "john", "Shared Folders/team", "", "team");
	check(n, JOHN, "Other Users", NULL, NULL);
	check(n, JOHN, "Shared Folders", NULL, NULL);
	check(n, JOHN, "", NULL, NULL);
	check(n, "", "INBOX", NULL, NULL);
	names_free(&n);
}

static void test_standard(void **state)
{
	struct names *n = open_names("altnamespace: no\nunixhierarchysep: no\n");
	(void)state;
	check(n, "john", "INBOX", "john", "INBOX");
	check(n, "john", "Inbox.Archive", "john", "Archive");
	check(n, "john", "INBOX.Archive.2024", "john", "Archive/2024");
	check(n, "john", "INBOX.v1^2", "john", "v1.2");
	check(n, "john", "INBOX.INBOX.low", "john", "INBOX/INBOX/low");
	check(n, "john", "INBOX.a/b", "john", "a/b");
	check(n, "john", "user.jane.Work", "jane", "Work");
	check(n, "john", "user.mary^ann", "mary.ann", "INBOX");
	check(n, "john", "user.john.Work", "john", "Work");
	check(n, "john", "shared.team^x", "", "shared.team^x");
	check(n, "john", "Archive", "", "Archive");
	names_free(&n);
	n = open_names("altnamespace: no\nunixhierarchysep: yes\nvirtdomains: on\n");
	check(n, JOHN, "INBOX/Archive", JOHN, "Archive");
	check(n, JOHN, "INBOX/v1.2", JOHN, "v1.2");
	check(n, JOHN, "user/jane/v1.2", "jane@example.org", "v1.2");
	check(n, JOHN, "shared/team", "", "shared/team@example.org");
	names_free(&n);
}

static void test_dots_alternative(void **state)
{
	struct names *n = open_names("unixhierarchysep: off\nvirtdomains: userid\n"
	                             "defaultdomain: example.org\nuserprefix: Users\n"
	                             "sharedprefix: Public\naltprefix: Others\n");
	(void)state;
	check(n, "john", "Archive.2024", "john", "Archive/2024");
	check(n, "john", "v1^2", "john", "v1.2");
	check(n, "john", "Users.mary^ann.Work", "mary.ann", "Work");
	check(n, "john@example.net", "Users.jane", "jane@example.net", "INBOX");
	check(n, "john@example.net", "Public.team.x", "", "team.x@example.net");
	check(n, "john", "Others.INBOX", "john", "INBOX/INBOX");
	check(n, "john", "Other Users.jane", "john", "Other Users/jane");
	names_free(&n);
}

static void test_crossdomains(void **state)
{
	struct names *n = open_names("crossdomains: yes\nvirtdomains: userid\n"
	                             "defaultdomain: example.com\n");
	(void)state;
	check(n, JOHN, "Other Users/jane@example.net/Work", "jane@example.net", "Work");
	check(n, JOHN, "Other Users/jane@example.com/Work", "jane", "Work");
	check(n, JOHN, "Other Users/jane", "jane", "INBOX");
	check(n, JOHN, "Work", JOHN, "Work");
	names_free(&n);
	n = open_names("crossdomains: yes\ncrossdomains_onlyother: yes\nvirtdomains: userid\n");
	check(n, JOHN, "Other Users/jane", "jane@example.org", "INBOX");
	names_free(&n);
}

static void test_utf7(void **state)
{
	struct names *n = open_names("altnamespace: yes\n");
	(void)state;
	check(n, "john", "D&AOk-j&AOA- &ZeVnLA-", "john", "D\u00e9j\u00e0 \u65e5\u672c");
	check(n, "john", "R&-D", "john", "R&D");
	check(n, "john", "&2D3eAA-", "john", "\U0001f600");
	check(n, "john", "&2D0-", NULL, NULL); /* half of one */
	check(n, "john", "a&", "john", "a&");
	check(n, "john", "a&AOk", "john", "a&AOk");
	check(n, "john", "a&!-b", "john", "a&!-b");
	check(n, "john", "D\u00e9j\u00e0", "john", "D\u00e9j\u00e0");
	check(n, "john", "x\xff", "john", "x\xef\xbf\xbd");
	names_free(&n);
}

static void test_options(void **state)
{
	struct names *a = open_names("altnamespace: yes\n"), *b = open_names("altnamespace: no\n");
	(void)state;
	assert_string_not_equal(names_options(a), names_options(b));
	names_free(&a);
	names_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_alternative),
	    cmocka_unit_test(test_standard),
	    cmocka_unit_test(test_dots_alternative),
	    cmocka_unit_test(test_crossdomains),
	    cmocka_unit_test(test_utf7),
	    cmocka_unit_test(test_options),
	};
	return cmocka_run_group_tests_name("apns_names", tests, NULL, NULL);
}
