/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../lib/cursor.h"
#include "journal_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char path[128];
static char *why;
static bool made;

static int setup(void **state)
{
	if (fixture_setup(state) < 0)
		return -1;
	snprintf(path, sizeof path, "%s/cursors/mq", fixture_dir);
	return 0;
}

static struct cursor *open_at(uint64_t start)
{
	struct cursor *c = NULL;
	if (cursor_open(&c, fixture_fd, "mq", start, &made, &why) < 0)
		fail_msg("%s", why);
	return c;
}

static void test_remembers(void **state)
{
	(void)state;
	struct cursor *c = open_at(500);
	assert_true(made);
	assert_int_equal(cursor_get(c)->pos, 500);
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(cursor_set(c, 500 + i, i), 0);
	struct cursor_state peek;
	assert_int_equal(cursor_peek(fixture_fd, "mq", &peek), 0);
	assert_int_equal(peek.pos, 505);
	cursor_close(&c);
	c = open_at(1);
	assert_false(made);
	assert_null(why);
	assert_int_equal(cursor_get(c)->pos, 505);
	assert_int_equal(cursor_get(c)->delivered, 5);
	cursor_close(&c);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 1024); /* whole from the beginning: it can't grow */
	assert_true(st.st_blocks > 0);
}

/* On a full disk; what would be left behind holds the whole journal. */
static void test_failed_creation(void **state)
{
	struct rlimit was, none;
	struct cursor *c = NULL;
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	none = was;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	int r = cursor_open(&c, fixture_fd, "mq", 1, &made, &why);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(r, -1);
	free(why);
	assert_int_equal(access(path, F_OK), -1);
}

/* A torn write spoils one slot: the one before counts. */
static void test_torn_slot(void **state)
{
	(void)state;
	for (int byte = 0; byte < 72; byte++) {
		struct cursor *c = open_at(100);
		cursor_set(c, 1000, 1);
		cursor_set(c, 2000, 2);
		cursor_close(&c);
		char slots[1024];
		int fd = open(path, O_RDWR);
		assert_int_equal(pread(fd, slots, sizeof slots, 0), sizeof slots);
		/* the newer is the one whose position field is larger */
		uint64_t a, b;
		memcpy(&a, slots + 24, 8);
		memcpy(&b, slots + 512 + 24, 8);
		off_t at = (a > b ? 0 : 512) + byte;
		char flipped = (char)(slots[at] ^ 0x10);
		assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
		close(fd);
		struct cursor_state peek;
		assert_int_equal(cursor_peek(fixture_fd, "mq", &peek), 0);
		assert_int_equal(peek.pos, 1000);
		unlink(path);
	}
}

static void test_both_damaged(void **state)
{
	(void)state;
	struct cursor *c = open_at(100);
	cursor_close(&c);
	int fd = open(path, O_RDWR);
	char junk[1024];
	memset(junk, 'x', sizeof junk);
	assert_int_equal(pwrite(fd, junk, sizeof junk, 0), sizeof junk);
	close(fd);
	struct cursor_state peek;
	assert_int_equal(cursor_peek(fixture_fd, "mq", &peek), -1);
	assert_int_equal(errno, EBADMSG);
	c = open_at(300);
	assert_true(made);
	assert_non_null(strstr(why, "damaged"));
	free(why);
	assert_int_equal(cursor_get(c)->pos, 0);
	cursor_close(&c);
}

static void test_other_journal(void **state)
{
	(void)state;
	struct cursor *c = open_at(100);
	cursor_set(c, 900, 9);
	cursor_close(&c);
	/* a restored copy keeps its cursors */
	char command[256];
	snprintf(command, sizeof command, "cd %s && cp -p identity x && mv x identity",
	         fixture_dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(journal_init(fixture_dir, &why), 0);
	c = open_at(1);
	assert_int_equal(cursor_get(c)->pos, 900);
	cursor_close(&c);
	/* a journal begun anew does not */
	snprintf(command, sizeof command, "rm %s/identity", fixture_dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(journal_init(fixture_dir, &why), 0);
	c = open_at(7);
	assert_true(made);
	assert_non_null(strstr(why, "another journal"));
	free(why);
	assert_int_equal(cursor_get(c)->pos, 7);
	cursor_close(&c);
}

static void test_one_holder(void **state)
{
	(void)state;
	struct cursor *c = open_at(100);
	pid_t pid = fork();
	if (pid == 0) {
		struct cursor *second;
		int r = cursor_open(&second, fixture_fd, "mq", 0, &made, &why);
		_exit(r < 0 && errno == EAGAIN && strstr(why, "in use") ? 0 : 1);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	cursor_close(&c);
	c = open_at(1);
	assert_int_equal(cursor_get(c)->pos, 100);
	cursor_close(&c);
}

static void count(void *ctx, const char *name)
{
	(void)name;
	++*(int *)ctx;
}

static void test_names(void **state)
{
	(void)state;
	struct cursor *c;
	static const char *const bad[] = {"", ".", "..", "../x", "a/b", ".hidden"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_int_equal(cursor_open(&c, fixture_fd, bad[i], 0, &made, &why), -1);
		free(why);
		assert_int_equal(cursor_remove(fixture_fd, bad[i]), -1);
	}
	assert_int_equal(cursor_open(&c, fixture_fd, "local@indexer-1", 5, &made, &why), 0);
	cursor_close(&c);
	int n = 0;
	assert_int_equal(cursor_each(fixture_fd, count, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(cursor_remove(fixture_fd, "local@indexer-1"), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_failed_creation), T(test_remembers),  T(test_torn_slot), T(test_both_damaged),
	    T(test_other_journal),   T(test_one_holder), T(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
