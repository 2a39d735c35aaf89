/* SPDX-License-Identifier: BSD-3-Clause */
/* What was done to a journal is what verify_journal() tells, each place once. */
#include "../../notifyd/verify.h"

#include "journal_fixture.h"

#include <sys/stat.h>

#define RECORDS 2500 /* some segments of 64 KB */
#define FOUND   64

static uint64_t at[RECORDS + 1], *bases;
static ssize_t n_bases;
static struct damage got[FOUND];
static size_t n_got;

static void note(void *ctx, const struct damage *d)
{
	(void)ctx;
	assert_true(n_got < FOUND);
	got[n_got++] = *d;
}

static struct verify verify(void)
{
	struct verify v = {.found = note};
	char *why;
	n_got = 0;
	assert_int_equal(verify_journal(fixture_dir, &v, &why), 0);
	assert_int_equal(v.damaged, n_got);
	return v;
}

static void expect(size_t i, enum damage_kind kind, uint64_t pos, uint64_t len)
{
	assert_true(i < n_got);
	if (got[i].kind != kind || got[i].pos != pos || got[i].len != len)
		fail_msg("%s at %llx, %llu bytes; expected %s at %llx, %llu bytes",
		         verify_kind(got[i].kind), (unsigned long long)got[i].pos,
		         (unsigned long long)got[i].len, verify_kind(kind), (unsigned long long)pos,
		         (unsigned long long)len);
	assert_true(got[i].base + got[i].offset == pos);
}

/* The base of the segment that holds a position. */
static uint64_t segment_of(uint64_t pos)
{
	ssize_t i = n_bases - 1;
	while (bases[i] > pos)
		i--;
	return bases[i];
}

static void path_of(char path_r[128], uint64_t base)
{
	snprintf(path_r, 128, "%s/%016llx.seg", fixture_dir, (unsigned long long)base);
}

static void change(uint64_t pos, void (*fn)(char *bytes, size_t len), size_t len)
{
	char path[128], bytes[4096];
	assert_true(len <= sizeof bytes);
	path_of(path, segment_of(pos));
	off_t offset = (off_t)(pos - segment_of(pos));
	int fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, bytes, len, offset), (ssize_t)len);
	fn(bytes, len);
	assert_int_equal(pwrite(fd, bytes, len, offset), (ssize_t)len);
	close(fd);
}

static void flip(char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] ^= 1;
}

static void zero(char *bytes, size_t len)
{
	memset(bytes, 0, len);
}

static void cut(uint64_t pos)
{
	char path[128];
	path_of(path, segment_of(pos));
	assert_int_equal(truncate(path, (off_t)(pos - segment_of(pos))), 0);
}

static void drop(ssize_t i)
{
	char path[128];
	path_of(path, bases[i]);
	assert_int_equal(unlink(path), 0);
}

static int setup(void **state)
{
	if (fixture_setup(state) < 0)
		return -1;
	struct journal *j = fixture_journal();
	for (int n = 0; n < RECORDS; n++)
		at[n] = fixture_append(j, 0, n);
	at[RECORDS] = journal_end(fixture_fd);
	journal_close(&j);
	n_bases = segment_list(fixture_fd, &bases);
	return n_bases < 5 ? -1 : 0;
}

static int teardown(void **state)
{
	free(bases);
	return fixture_teardown(state);
}

static void test_whole(void **state)
{
	(void)state;
	struct verify v = verify();
	assert_int_equal(n_got, 0);
	assert_int_equal(v.events, RECORDS);
	assert_int_equal(v.segments, n_bases);
	assert_int_equal(v.lost, 0);
}

/* A bit anywhere in a record costs that record, and is told with its bounds. */
static void test_bits(void **state)
{
	(void)state;
	for (uint64_t p = at[5]; p < at[6]; p++) {
		change(p, flip, 1);
		struct verify v = verify();
		assert_int_equal(n_got, 1);
		bool length = p >= at[5] + 16 && p < at[5] + 20;
		expect(0, length ? DAMAGE_TORN : DAMAGE_CHECKSUM, at[5], at[6] - at[5]);
		assert_int_equal(v.events, RECORDS - 1);
		change(p, flip, 1);
	}
	verify();
	assert_int_equal(n_got, 0);
}

static void test_neighbours(void **state)
{
	(void)state;
	change(at[5] + 50, flip, 1);
	change(at[6] + 50, flip, 1);
	verify();
	assert_int_equal(n_got, 2);
	expect(0, DAMAGE_CHECKSUM, at[5], at[6] - at[5]);
	expect(1, DAMAGE_CHECKSUM, at[6], at[7] - at[6]);
}

static void test_hole(void **state)
{
	(void)state;
	change(at[5], zero, at[9] - at[5]);
	change(at[20] + 7, zero, at[22] - at[20]); /* from inside one record to inside another */
	struct verify v = verify();
	assert_int_equal(n_got, 2);
	expect(0, DAMAGE_HOLE, at[5], at[9] - at[5]);
	expect(1, DAMAGE_TORN, at[20], at[23] - at[20]);
	assert_int_equal(v.events, RECORDS - 4 - 3);
}

static void test_header(void **state)
{
	(void)state;
	change(bases[2] + 20, flip, 1);
	struct verify v = verify();
	assert_int_equal(n_got, 1);
	expect(0, DAMAGE_HEADER, bases[2], SEGMENT_HEADER);
	assert_int_equal(v.events, RECORDS);
}

static void test_seal(void **state)
{
	(void)state;
	change(bases[2] - 10, flip, 1);
	verify();
	assert_int_equal(n_got, 1);
	expect(0, DAMAGE_CHECKSUM, bases[2] - RECORD_HEADER, RECORD_HEADER);
	/* What a late writer put behind it has the positions of the next segment, and is not told.
	 */
	char path[128], bytes[1024];
	path_of(path, bases[1]);
	int fd = open(path, O_RDWR | O_APPEND);
	ssize_t len = pread(fd, bytes, sizeof bytes, SEGMENT_HEADER);
	assert_int_equal(write(fd, bytes, (size_t)len), len);
	close(fd);
	struct verify v = verify();
	assert_int_equal(n_got, 1);
	expect(0, DAMAGE_CHECKSUM, bases[2] - RECORD_HEADER, RECORD_HEADER);
	assert_int_equal(v.events, RECORDS);
}

static void test_cut(void **state)
{
	(void)state;
	uint64_t p = 0;
	for (int n = 0; n < RECORDS && !p; n++)
		if (at[n] > bases[1] + 10000)
			p = at[n];
	cut(p + 30);
	verify();
	assert_int_equal(n_got, 1);
	expect(0, DAMAGE_CUT, p, bases[2] - p);
	cut(p);
	verify();
	assert_int_equal(n_got, 1);
	expect(0, DAMAGE_CUT, p, bases[2] - p);
	cut(bases[1] + 60);
	verify();
	assert_int_equal(n_got, 2);
	expect(0, DAMAGE_HEADER, bases[1], 60);
	expect(1, DAMAGE_CUT, bases[1] + SEGMENT_HEADER, bases[2] - bases[1] - SEGMENT_HEADER);
}

static void test_missing(void **state)
{
	(void)state;
	drop(2);
	verify();
	assert_int_equal(n_got, 1);
	expect(0, DAMAGE_MISSING, bases[2], bases[3] - bases[2]);
	drop(0);
	verify();
	assert_int_equal(n_got, 2);
	expect(0, DAMAGE_MISSING, 0, bases[1]);
	drop(n_bases - 1);
	verify();
	assert_int_equal(n_got, 3);
	expect(2, DAMAGE_MISSING, bases[n_bases - 1], 0);
}

/* Deleted as notifyd does it: nothing is missing. */
static void test_trimmed(void **state)
{
	(void)state;
	assert_int_equal(journal_trim(fixture_fd, bases[3], 0), 3);
	verify();
	assert_int_equal(n_got, 0);
	drop(3);
	verify();
	assert_int_equal(n_got, 1);
	expect(0, DAMAGE_MISSING, bases[3], bases[4] - bases[3]);
}

static void test_tail(void **state)
{
	(void)state;
	uint64_t last = at[RECORDS - 1];
	for (uint64_t p = at[RECORDS] - 1; p > last; p -= 3) {
		cut(p);
		struct verify v = verify();
		assert_int_equal(n_got, 1);
		expect(0, DAMAGE_TORN, last, p - last);
		assert_int_equal(v.events, RECORDS - 1);
		if (p < last + 4)
			break;
	}
	cut(last);
	verify();
	assert_int_equal(n_got, 0);
	char path[128];
	path_of(path, segment_of(last));
	assert_int_equal(truncate(path, (off_t)(last - segment_of(last)) + 5000), 0);
	verify();
	assert_int_equal(n_got, 1);
	expect(0, DAMAGE_HOLE, last, 5000);
}

/* A segment as the first process after a boot makes it. */
static void next_boot(uint64_t base)
{
	struct segment seg = {.base = base, .limit = 64 << 10, .boot = {1}};
	assert_int_equal(segment_create(fixture_fd, &seg), 0);
}

static void test_boot(void **state)
{
	(void)state;
	uint64_t next = at[RECORDS] + SEGMENT_BOOT_GAP;
	next_boot(next);
	verify();
	assert_int_equal(n_got, 0);
	cut(at[RECORDS - 1]);
	verify();
	assert_int_equal(n_got, 1);
	expect(0, DAMAGE_CUT, at[RECORDS - 1], at[RECORDS] - at[RECORDS - 1]);
	drop(n_bases - 1);
	verify();
	assert_int_equal(n_got, 1);
	expect(0, DAMAGE_MISSING, bases[n_bases - 1], at[RECORDS] - bases[n_bases - 1]);
}

/* A power cut took the one segment of the boot between. */
static void test_boot_gone(void **state)
{
	(void)state;
	next_boot(at[RECORDS] + 1 + 2 * SEGMENT_BOOT_GAP);
	verify();
	assert_int_equal(n_got, 1);
	expect(0, DAMAGE_MISSING, at[RECORDS], 0);
}

static void test_no_journal(void **state)
{
	(void)state;
	struct verify v = {.found = note};
	char *why = NULL;
	assert_int_equal(verify_journal("/nonexistent/journal", &v, &why), -1);
	assert_non_null(why);
	free(why);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_whole),     TEST(test_bits), TEST(test_neighbours), TEST(test_hole),
	    TEST(test_header),    TEST(test_seal), TEST(test_cut),        TEST(test_missing),
	    TEST(test_trimmed),   TEST(test_tail), TEST(test_boot),       TEST(test_no_journal),
	    TEST(test_boot_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
