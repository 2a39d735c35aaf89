/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests to move a cursor: one at a time, carried out once, by who holds the cursor. */
#include "../../notifyd/move.h"

#include "journal_fixture.h"

#include <errno.h>
#include <sys/stat.h>

static struct cursor *cursor;
static unsigned char uuid[16];

static int setup(void **state)
{
	unsigned char former[16];
	bool made;
	char *why;
	if (fixture_setup(state) < 0 || journal_identity(fixture_fd, uuid, former) < 0)
		return -1;
	return cursor_open(&cursor, fixture_fd, "mq", 1000, &made, &why);
}

static int teardown(void **state)
{
	cursor_close(&cursor);
	return fixture_teardown(state);
}

static struct move a_move(enum move_kind kind, uint64_t pos)
{
	struct move m = {.kind = kind, .pos = pos};
	memcpy(m.uuid, uuid, sizeof uuid);
	return m;
}

static int carry_out(void)
{
	char *why;
	int r = move_carry_out(fixture_fd, "mq", cursor, &why);
	assert_true((r < 0) == (why != NULL));
	free(why);
	return r;
}

static uint64_t pos(void)
{
	struct cursor_state state;
	assert_int_equal(cursor_peek(fixture_fd, "mq", &state), 0);
	assert_int_equal(state.pos, cursor_get(cursor)->pos);
	return state.pos;
}

static void count(void *ctx, const char *name)
{
	assert_string_equal(name, "mq");
	++*(int *)ctx;
}

static void test_both_ways(void **state)
{
	(void)state;
	struct move back = a_move(MOVE_REPLAY, 400), on = a_move(MOVE_SKIP, 5000);
	assert_int_equal(cursor_set(cursor, 1000, 7), 0);
	assert_int_equal(carry_out(), 0);
	assert_int_equal(move_ask(fixture_fd, "mq", &back), 0);
	assert_true(move_asked(fixture_fd, "mq"));
	assert_false(move_asked(fixture_fd, "m"));
	assert_int_equal(pos(), 1000);
	assert_int_equal(carry_out(), 1);
	assert_false(move_asked(fixture_fd, "mq"));
	assert_int_equal(pos(), 400);
	assert_int_equal(cursor_get(cursor)->delivered, 7);
	assert_int_equal(carry_out(), 0);
	assert_int_equal(move_ask(fixture_fd, "mq", &on), 0);
	assert_int_equal(carry_out(), 1);
	assert_int_equal(pos(), 5000);
	/* nothing that others would take for a cursor is left */
	int n = 0;
	assert_int_equal(cursor_each(fixture_fd, count, &n), 0);
	assert_int_equal(n, 1);
}

/* The worker went on between the request and the move: nothing is skipped by a replay, and
 * nothing delivered again by a skip. */
static void test_overtaken(void **state)
{
	(void)state;
	struct move back = a_move(MOVE_REPLAY, 2000), on = a_move(MOVE_SKIP, 500);
	assert_int_equal(move_ask(fixture_fd, "mq", &back), 0);
	assert_int_equal(carry_out(), 0);
	assert_int_equal(pos(), 1000);
	assert_int_equal(move_ask(fixture_fd, "mq", &on), 0);
	assert_int_equal(carry_out(), 0);
	assert_int_equal(pos(), 1000);
	assert_false(move_asked(fixture_fd, "mq"));
}

static void test_one_at_a_time(void **state)
{
	(void)state;
	struct move first = a_move(MOVE_REPLAY, 400), second = a_move(MOVE_REPLAY, 300);
	assert_int_equal(move_ask(fixture_fd, "mq", &first), 0);
	assert_int_equal(move_ask(fixture_fd, "mq", &second), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(carry_out(), 1);
	assert_int_equal(pos(), 400);
	assert_int_equal(move_ask(fixture_fd, "mq", &second), 0);
	assert_int_equal(move_withdraw(fixture_fd, "mq"), 0);
	assert_int_equal(carry_out(), 0);
	assert_int_equal(pos(), 400);
	assert_int_equal(move_withdraw(fixture_fd, "mq"), -1);
	assert_int_equal(errno, ENOENT);
}

/* Killed after it was begun: too late to withdraw, and finished by the next who holds it. */
static void test_begun(void **state)
{
	(void)state;
	struct move m = a_move(MOVE_REPLAY, 400);
	assert_int_equal(move_ask(fixture_fd, "mq", &m), 0);
	assert_int_equal(renameat(fixture_fd, "cursors/.mq.move", fixture_fd, "cursors/.mq.moving"),
	                 0);
	assert_true(move_asked(fixture_fd, "mq"));
	assert_int_equal(move_withdraw(fixture_fd, "mq"), -1);
	assert_int_equal(carry_out(), 1);
	assert_int_equal(pos(), 400);
	assert_false(move_asked(fixture_fd, "mq"));
}

static void test_refused(void **state)
{
	(void)state;
	struct move m = a_move(MOVE_REPLAY, 400);
	m.uuid[3] ^= 1;
	assert_int_equal(move_ask(fixture_fd, "mq", &m), 0);
	assert_int_equal(carry_out(), -1);
	static const char *const texts[] = {"", "replay", "replay x\n", "skip \n"};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		int fd = openat(fixture_fd, "cursors/.mq.move", O_WRONLY | O_CREAT, 0600);
		assert_int_equal(write(fd, texts[i], strlen(texts[i])), (ssize_t)strlen(texts[i]));
		close(fd);
		assert_int_equal(carry_out(), -1);
		assert_false(move_asked(fixture_fd, "mq"));
	}
	assert_int_equal(pos(), 1000);
	assert_int_equal(move_ask(fixture_fd, "../mq", &m), -1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_both_ways), TEST(test_overtaken), TEST(test_one_at_a_time),
	    TEST(test_begun),     TEST(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
