/* SPDX-License-Identifier: BSD-3-Clause */
/* Golden tests of lib/native.c: tests/data/cyrus-3.6.1-native-more holds what real servers wrote, a
 * folder for each configuration of names: imapd.conf, input (an event a line), expected, and
 * facts (event, user, owner, mailbox, between tabs). tests/e2e/matrix.py --record makes them. */
#include "../../lib/native.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDERS "tests/data/cyrus-3.6.1-native-more"

static FILE *open_file(const char *folder, const char *name)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("%s cannot be read", path);
	return f;
}

/* The next line without its end; NULL behind the last. */
static char *line(FILE *f, char **buf, size_t *cap)
{
	ssize_t len = getline(buf, cap, f);
	if (len <= 0)
		return NULL;
	if ((*buf)[len - 1] == '\n')
		(*buf)[len - 1] = '\0';
	return *buf;
}

static bool is(struct str s, const char *want)
{
	return s.len == strlen(want) && (!s.len || memcmp(s.s, want, s.len) == 0);
}

static void expect(struct native *n, const char *in, const char *want, const char *facts)
{
	struct record rec;
	char text[8192];
	assert_int_equal(native_convert(n, in, strlen(in), &rec), NATIVE_OK);
	assert_int_equal(rec.flags, 0);
	if (!is(rec.json, want))
		fail_msg("%s\ncomes to %.*s\nexpected %s", in, (int)rec.json.len, rec.json.s, want);
	snprintf(text, sizeof text, "%.*s\t%.*s\t%.*s\t%.*s", (int)rec.event.len, rec.event.s,
	         (int)rec.user.len, rec.user.s ? rec.user.s : "", (int)rec.owner.len,
	         rec.owner.s ? rec.owner.s : "", (int)rec.mailbox.len,
	         rec.mailbox.s ? rec.mailbox.s : "");
	if (strcmp(text, facts) != 0)
		fail_msg("%s\nhas the facts %s\nexpected %s", in, text, facts);
}

static size_t replay(const char *folder)
{
	char path[4096], *why = NULL;
	char *buf[3] = {0};
	size_t cap[3] = {0}, count = 0;
	snprintf(path, sizeof path, "%s/imapd.conf", folder);
	struct conf *conf = conf_read(path, &why);
	assert_non_null(conf);
	struct native *n = native_new(conf, "imap");
	conf_free(&conf);
	assert_non_null(n);
	FILE *input = open_file(folder, "input");
	FILE *expected = open_file(folder, "expected");
	FILE *facts = open_file(folder, "facts");
	const char *in, *want, *fact;
	while ((in = line(input, &buf[0], &cap[0]))) {
		want = line(expected, &buf[1], &cap[1]);
		fact = line(facts, &buf[2], &cap[2]);
		assert_non_null(want);
		assert_non_null(fact);
		expect(n, in, want, fact);
		/* A documented line stays as it is, and so do its facts. */
		char *again = strdup(want);
		assert_non_null(again);
		expect(n, again, again, fact);
		free(again);
		count++;
	}
	assert_null(line(expected, &buf[1], &cap[1]));
	assert_null(line(facts, &buf[2], &cap[2]));
	fclose(input);
	fclose(expected);
	fclose(facts);
	for (int i = 0; i < 3; i++)
		free(buf[i]);
	native_free(&n);
	return count;
}

static void test_folders(void **state)
{
	(void)state;
	const char *srcdir = getenv("srcdir");
	char pattern[4096];
	glob_t found;
	snprintf(pattern, sizeof pattern, "%s/" FOLDERS "/*", srcdir ? srcdir : ".");
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_true(found.gl_pathc >= 6);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		size_t count = replay(found.gl_pathv[i]);
		print_message("# %s: %zu events\n", found.gl_pathv[i], count);
		assert_true(count >= 40);
	}
	globfree(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_folders),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
