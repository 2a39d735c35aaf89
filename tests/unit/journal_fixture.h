/* SPDX-License-Identifier: BSD-3-Clause */
/* A journal in a temporary directory of its own, for the tests of journal, reader
 * and cursor. */
#ifndef TESTS_JOURNAL_FIXTURE_H
#define TESTS_JOURNAL_FIXTURE_H

#include "../../lib/identity.h"
#include "../../lib/journal.h"
#include "../../lib/reader.h"
#include "../../lib/segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char fixture_dir[64];
static int fixture_fd = -1;

static const struct journal_options fixture_options = {
    .segment_size = 64 << 10, .max_size = 64 << 20, .min_free = 0};

static int fixture_setup(void **state)
{
	(void)state;
	char *why;
	snprintf(fixture_dir, sizeof fixture_dir, "/tmp/mboxevent-test-XXXXXX");
	if (!mkdtemp(fixture_dir) || journal_init(fixture_dir, &why) < 0)
		return -1;
	fixture_fd = open(fixture_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fixture_fd < 0 ? -1 : 0;
}

static void fixture_empty(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	while (d && (e = readdir(d)) != NULL) {
		char path[512];
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (unlink(path) < 0) {
			fixture_empty(path);
			rmdir(path);
		}
	}
	if (d)
		closedir(d);
}

static int fixture_teardown(void **state)
{
	(void)state;
	fixture_empty(fixture_dir);
	rmdir(fixture_dir);
	close(fixture_fd);
	return 0;
}

static inline struct journal *fixture_journal(void)
{
	struct journal *j;
	const char *why;
	assert_int_equal(journal_open(&j, fixture_dir, &fixture_options, &why), 0);
	return j;
}

/* Appends {"n":n} of writer `who`; its position. */
static inline uint64_t fixture_append(struct journal *j, int who, int n)
{
	char json[300], user[16];
	const char *why = "no reason";
	uint64_t pos = 0;
	snprintf(user, sizeof user, "w%d", who);
	snprintf(json, sizeof json, "{\"n\":%d,\"pad\":\"%0*d\"}", n, n % 200 + 1, 0);
	struct record rec = {.event = STR("MessageNew"), .mailbox = STR("INBOX")};
	rec.user = rec.owner = (struct str){user, strlen(user)};
	rec.json = (struct str){json, strlen(json)};
	if (journal_append(j, &rec, &pos, &why) < 0)
		fail_msg("append: %s", why);
	return pos;
}

static inline struct reader *fixture_reader(uint64_t pos)
{
	char *why;
	struct reader *r = reader_open(fixture_dir, pos, &why);
	assert_non_null(r);
	return r;
}

/* The n of a fixture record. */
static inline int fixture_n(const struct record *rec)
{
	assert_true(rec->json.len > 5 && memcmp(rec->json.s, "{\"n\":", 5) == 0);
	return atoi(rec->json.s + 5);
}

#endif
