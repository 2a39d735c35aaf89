/* SPDX-License-Identifier: BSD-3-Clause */
/* What is on the disk when an append returns, by syncs that are the test's own (ld --wrap). */
#include "journal_fixture.h"

#include "../../lib/lost.h"
#include "../../lib/rescue.h"
#include "../../notifyd/keeper.h"
#include "../../notifyd/verify.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

enum { NOTES = 64 };

/* What was synced, in order. */
static struct {
	ino_t inode;
	off_t size;
	bool dir;
} notes[NOTES];
static int n_notes, failing; /* the next so many syncs of files fail; -1: all */

int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);

static int later; /* seconds that the clock is ahead */

int __wrap_clock_gettime(clockid_t clock, struct timespec *t_r);
int __real_clock_gettime(clockid_t clock, struct timespec *t_r);

int __wrap_clock_gettime(clockid_t clock, struct timespec *t_r)
{
	int r = __real_clock_gettime(clock, t_r);
	t_r->tv_sec += later;
	return r;
}

static void damaged(void *ctx, const struct damage *d)
{
	(void)ctx;
	print_message("%s at %llx\n", verify_kind(d->kind), (unsigned long long)d->pos);
}

static int note(int fd)
{
	struct stat st;
	if (fstat(fd, &st) == 0 && n_notes < NOTES) {
		notes[n_notes].inode = st.st_ino;
		notes[n_notes].size = st.st_size;
		notes[n_notes++].dir = S_ISDIR(st.st_mode);
	}
	if (!failing || S_ISDIR(st.st_mode))
		return 0;
	failing -= failing > 0;
	errno = EIO;
	return -1;
}

int __wrap_fdatasync(int fd)
{
	return note(fd);
}

int __wrap_fsync(int fd)
{
	return note(fd);
}

static int setup(void **state)
{
	failing = later = 0;
	int r = fixture_setup(state);
	n_notes = 0;
	return r;
}

static struct journal *always(void)
{
	struct journal_options opt = fixture_options;
	struct journal *j;
	const char *why;
	opt.sync = true;
	assert_int_equal(journal_open(&j, fixture_dir, &opt, &why), 0);
	return j;
}

static struct stat segment_stat(uint64_t base)
{
	char name[SEGMENT_NAME + 1];
	struct stat st;
	segment_name(name, base);
	assert_int_equal(fstatat(fixture_fd, name, &st, 0), 0);
	return st;
}

/* The last notes are of the whole segment and, when it was just entered, of the directory. */
static void on_disk(uint64_t base, bool entered)
{
	struct stat st = segment_stat(base);
	assert_true(n_notes > entered);
	assert_true(notes[n_notes - 1 - entered].inode == st.st_ino);
	assert_int_equal(notes[n_notes - 1 - entered].size, st.st_size);
	if (entered)
		assert_true(notes[n_notes - 1].dir);
}

static void test_on_disk(void **state)
{
	(void)state;
	struct journal *j = always();
	fixture_append(j, 0, 0);
	on_disk(0, true);
	n_notes = 0;
	fixture_append(j, 0, 1);
	assert_int_equal(n_notes, 1);
	on_disk(0, false);
	journal_close(&j);
}

/* The maker of the segment did not sync its name. */
static void test_name_of_another(void **state)
{
	(void)state;
	struct segment seg = {.limit = 64 << 10, .created = 1};
	segment_boot(seg.boot);
	assert_int_equal(segment_create(fixture_fd, &seg), 0);
	assert_int_equal(n_notes, 0);
	struct journal *j = always();
	fixture_append(j, 0, 0);
	on_disk(0, true);
	journal_close(&j);
}

static void test_each_segment(void **state)
{
	(void)state;
	struct journal *j = always();
	uint64_t *bases, last = 0;
	int segments = 0;
	for (int n = 0; n < 2000; n++) {
		n_notes = 0;
		fixture_append(j, 0, n);
		ssize_t there = segment_list(fixture_fd, &bases);
		assert_true(there > 0);
		if (bases[there - 1] != last)
			segments++;
		bool entered = n == 0 || bases[there - 1] != last;
		last = bases[there - 1];
		free(bases);
		/* the append that seals goes on in no other */
		if (!entered && segment_stat(last).st_size > 64 << 10)
			continue;
		on_disk(last, entered);
	}
	assert_true(segments > 2);
	journal_close(&j);
}

static int count(int who)
{
	struct record rec;
	struct reader *r = fixture_reader(0);
	int n = 0;
	while (reader_next(r, &rec) == 1)
		if (rec.user.s[1] == '0' + who)
			assert_int_equal(fixture_n(&rec), n++);
	reader_close(&r);
	return n;
}

static int append(struct journal *j, int n)
{
	char json[32];
	const char *why;
	snprintf(json, sizeof json, "{\"n\":%d}", n);
	struct record rec = {.event = STR("E"), .user = STR("w0"), .json = {json, strlen(json)}};
	return journal_append(j, &rec, NULL, &why);
}

/* A sync that fails once: the event is on the disk all the same, in a file that did not fail. */
static void test_fails_once(void **state)
{
	(void)state;
	struct journal *j = always(), *other = fixture_journal();
	fixture_append(j, 0, 0);
	fixture_append(other, 1, 0);
	struct reader *behind = fixture_reader(0);
	struct record rec;
	assert_int_equal(reader_next(behind, &rec), 1);
	ino_t before = segment_stat(0).st_ino;
	failing = 1;
	assert_int_equal(append(j, 1), 0);
	assert_true(segment_stat(0).st_ino != before);
	/* Others notice, whatever they hold open. */
	fixture_append(other, 1, 1);
	assert_int_equal(append(j, 2), 0);
	uint64_t *bases;
	assert_int_equal(segment_list(fixture_fd, &bases), 2);
	free(bases);
	assert_int_equal(count(0), 3);
	assert_int_equal(count(1), 2);
	int n = 1;
	while (reader_next(behind, &rec) == 1)
		n++;
	assert_int_equal(n, 5);
	assert_int_equal(reader_damage(behind)->torn, 0);
	reader_close(&behind);
	assert_int_equal(lost_total(fixture_fd), 0);
	journal_close(&j);
	journal_close(&other);
}

/* A disk that takes nothing: each event is delivered, so it is not lost, and it is told of each
 * that it may not last. Nothing is sealed and nothing left behind. Then the disk takes all again.
 */
static void test_fails_always(void **state)
{
	(void)state;
	struct journal *j = always();
	fixture_append(j, 0, 0);
	failing = -1;
	ino_t before = segment_stat(0).st_ino;
	for (int n = 1; n < 4; n++)
		assert_int_equal(append(j, n), 1);
	int tried = n_notes;
	assert_int_equal(append(j, 4), 1); /* not tried again at once */
	assert_int_equal(n_notes, tried);
	journal_close(&j);
	j = always();
	assert_int_equal(append(j, 5), 1);
	failing = 0;
	later += 10;
	/* Its own sync would succeed now, and mean nothing. */
	assert_true(segment_stat(0).st_ino == before);
	assert_int_equal(append(j, 6), 0);
	assert_true(segment_stat(0).st_ino != before);
	assert_int_equal(append(j, 7), 0);
	assert_int_equal(lost_total(fixture_fd), 0);
	assert_int_equal(count(0), 8);
	journal_close(&j);
}

/* notifyd's sync of what writers appended that do not sync: a failure is not trusted away. */
static void test_keeper(void **state)
{
	(void)state;
	struct keeper_synced synced = {0};
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 0);
	assert_int_equal(keeper_sync(fixture_fd, &synced), 0);
	assert_int_equal(synced.to, journal_end(fixture_fd));
	fixture_append(j, 0, 1);
	uint64_t to = synced.to;
	ino_t before = segment_stat(0).st_ino;
	failing = -1;
	assert_int_equal(keeper_sync(fixture_fd, &synced), -1);
	assert_int_equal(synced.to, to);
	fixture_append(j, 0, 2);
	/* The next would succeed. */
	failing = 0;
	assert_int_equal(keeper_sync(fixture_fd, &synced), 0);
	assert_true(segment_stat(0).st_ino != before);
	assert_int_equal(synced.rescued, 1);
	fixture_append(j, 0, 3);
	assert_int_equal(keeper_sync(fixture_fd, &synced), 0);
	assert_int_equal(synced.to, journal_end(fixture_fd));
	assert_int_equal(synced.rescued, 1);
	assert_int_equal(count(0), 4);
	journal_close(&j);
}

/* What a segment that was sealed early holds is all that there is: no damage. */
static void test_verified(void **state)
{
	(void)state;
	struct verify v = {.found = damaged};
	char *why;
	struct journal *j = always();
	fixture_append(j, 0, 0);
	failing = 1;
	fixture_append(j, 0, 1);
	fixture_append(j, 0, 2);
	assert_int_equal(verify_journal(fixture_dir, &v, &why), 0);
	assert_int_equal(v.segments, 2);
	assert_int_equal(v.events, 3);
	assert_int_equal(v.damaged, 0);
	journal_close(&j);
}

/* Deleted, because all of it is delivered, before it could be rescued: there is nothing to do. */
static void test_rescue_deleted(void **state)
{
	(void)state;
	struct segment seg;
	struct journal *j = fixture_journal();
	uint64_t pos = 0;
	for (int n = 0; pos < 128 << 10; n++)
		pos = fixture_append(j, 0, n);
	int fd = segment_open(fixture_fd, 0, O_RDWR | O_APPEND, &seg);
	assert_true(fd >= 0);
	assert_true(journal_trim(fixture_fd, pos, 0) > 0);
	assert_int_equal(segment_rescue(fixture_fd, fd, &seg), 0);
	assert_int_equal(segment_open(fixture_fd, 0, O_RDONLY, &seg), -1);
	close(fd);
	journal_close(&j);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_on_disk),    T(test_name_of_another), T(test_each_segment),
	    T(test_fails_once), T(test_fails_always),    T(test_keeper),
	    T(test_verified),   T(test_rescue_deleted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
