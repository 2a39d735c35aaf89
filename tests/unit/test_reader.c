/* SPDX-License-Identifier: BSD-3-Clause */
/* Readers: everything outside the damage is read, and the damage is counted. */
#include "journal_fixture.h"

#include <sys/stat.h>

static char segment_path[128];

static int setup(void **state)
{
	if (fixture_setup(state) < 0)
		return -1;
	snprintf(segment_path, sizeof segment_path, "%s/%016d.seg", fixture_dir, 0);
	return 0;
}

static void poke(off_t at, const void *bytes, size_t len)
{
	int fd = open(segment_path, O_WRONLY);
	assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
	close(fd);
}

/* Not a byte of one's choice: that could be what is there, of a checksum one time in 256. */
static void flip(off_t at)
{
	char byte;
	int fd = open(segment_path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static off_t size(void)
{
	struct stat st;
	assert_int_equal(stat(segment_path, &st), 0);
	return st.st_size;
}

/* Reads on; checks that exactly these n come, ended by -1. */
static void expect(struct reader *r, const int *ns)
{
	struct record rec;
	for (; *ns >= 0; ns++) {
		assert_int_equal(reader_next(r, &rec), 1);
		assert_int_equal(fixture_n(&rec), *ns);
	}
	assert_int_equal(reader_next(r, &rec), 0);
}

#define EXPECT(r, ...) expect(r, (const int[]){__VA_ARGS__, -1})

static void test_facts(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	struct record rec = {.event = STR("vnd.cmu.MessageCopy"),
	                     .user = STR("jane@example.org"),
	                     .owner = STR("john@example.org"),
	                     .mailbox = STR("Archive/2024"),
	                     .json = STR("{\"event\":\"vnd.cmu.MessageCopy\"}"),
	                     .flags = RECORD_NATIVE};
	const char *why;
	uint64_t pos;
	assert_int_equal(journal_append(j, &rec, &pos, &why), 0);
	struct record got;
	struct reader *r = fixture_reader(0);
	assert_int_equal(reader_next(r, &got), 1);
	assert_true(got.pos == pos && got.next > pos);
	assert_int_equal(got.flags, RECORD_NATIVE);
#define SAME(f)                                                                                    \
	assert_int_equal(got.f.len, rec.f.len);                                                    \
	assert_memory_equal(got.f.s, rec.f.s, rec.f.len)
	SAME(event);
	SAME(user);
	SAME(owner);
	SAME(mailbox);
	SAME(json);
	assert_true(got.time > INT64_C(1600000000000000));
	reader_close(&r);
	journal_close(&j);
}

/* A writer killed in the middle of its write: waited for while it is last, skipped as soon as a
 * valid record follows. */
static void test_torn(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 0);
	uint64_t torn = fixture_append(j, 0, 1);
	off_t whole = size();
	struct reader *r = fixture_reader(0);
	for (off_t cut = (off_t)torn + 1; cut < whole; cut += 7) {
		assert_int_equal(truncate(segment_path, cut), 0);
		reader_seek(r, 0);
		EXPECT(r, 0);
		assert_int_equal(reader_damage(r)->torn, 0);
	}
	assert_int_equal(truncate(segment_path, whole - 3), 0);
	fixture_append(j, 0, 2);
	EXPECT(r, 2);
	assert_int_equal(reader_damage(r)->torn, 1);
	assert_int_equal(reader_damage(r)->at, torn);
	assert_int_equal(reader_damage(r)->len, whole - 3 - (off_t)torn);
	reader_close(&r);
	journal_close(&j);
}

/* The record comes whole between two looks: it is not taken for torn. */
static void test_growing(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 0);
	uint64_t at = fixture_append(j, 0, 1);
	off_t whole = size();
	char bytes[1024];
	int fd = open(segment_path, O_RDWR);
	ssize_t len = pread(fd, bytes, sizeof bytes, (off_t)at);
	assert_int_equal(ftruncate(fd, (off_t)at), 0);
	struct reader *r = fixture_reader(0);
	EXPECT(r, 0);
	struct record rec;
	for (ssize_t i = 0; i < len - 1; i++) {
		assert_int_equal(pwrite(fd, bytes + i, 1, (off_t)at + i), 1);
		assert_int_equal(reader_next(r, &rec), 0);
	}
	assert_int_equal(pwrite(fd, bytes + len - 1, 1, whole - 1), 1);
	EXPECT(r, 1);
	assert_int_equal(reader_damage(r)->torn, 0);
	close(fd);
	reader_close(&r);
	journal_close(&j);
}

/* A flipped bit anywhere in a record costs that record alone. */
static void test_flipped_bits(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 0);
	uint64_t at = fixture_append(j, 0, 1), end = fixture_append(j, 0, 2);
	fixture_append(j, 0, 3);
	char bytes[1024];
	int fd = open(segment_path, O_RDONLY);
	pread(fd, bytes, sizeof bytes, 0);
	close(fd);
	for (uint64_t i = at; i < end; i++) {
		for (int bit = 0; bit < 8; bit += 3) {
			char flipped = (char)(bytes[i] ^ (1 << bit));
			poke((off_t)i, &flipped, 1);
			struct reader *r = fixture_reader(0);
			EXPECT(r, 0, 2, 3);
			assert_int_equal(reader_damage(r)->torn, 1);
			assert_int_equal(reader_damage(r)->bytes, end - at);
			reader_close(&r);
		}
		poke((off_t)i, bytes + i, 1);
	}
	struct reader *r = fixture_reader(0);
	EXPECT(r, 0, 1, 2, 3);
	reader_close(&r);
	journal_close(&j);
}

/* A damaged header costs no record; that it is damaged is told. */
static void test_damaged_header(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 0);
	fixture_append(j, 0, 1);
	journal_close(&j);
	flip(20);
	struct reader *r = fixture_reader(0);
	EXPECT(r, 0, 1);
	assert_int_equal(reader_damage(r)->torn, 1);
	assert_int_equal(reader_damage(r)->len, SEGMENT_HEADER);
	reader_close(&r);
	assert_int_equal(reader_oldest(fixture_fd), SEGMENT_HEADER);
	/* whoever comes next goes on elsewhere */
	j = fixture_journal();
	fixture_append(j, 0, 2);
	r = fixture_reader(0);
	EXPECT(r, 0, 1, 2);
	reader_close(&r);
	journal_close(&j);
}

/* A late writer's record lies behind the SEAL, then again in the next segment. With the SEAL
 * damaged the first must not come at the other's position, nor hide what is there. */
static void test_damaged_seal(void **state)
{
	(void)state;
	struct journal *j = fixture_journal(), *late = fixture_journal();
	fixture_append(late, 1, 0);
	uint64_t *bases;
	int n = 1;
	for (ssize_t have = 1; have < 2; free(bases)) {
		fixture_append(j, 0, n++);
		have = segment_list(fixture_fd, &bases);
	}
	fixture_append(late, 1, n++);
	fixture_append(j, 0, n++);
	assert_int_equal(segment_list(fixture_fd, &bases), 2);
	assert_true(size() > (off_t)bases[1]);
	flip((off_t)bases[1] - RECORD_HEADER + 9);
	struct reader *r = fixture_reader(0);
	struct record rec;
	for (int i = 0; i < n; i++) {
		assert_int_equal(reader_next(r, &rec), 1);
		assert_int_equal(fixture_n(&rec), i);
	}
	assert_int_equal(reader_next(r, &rec), 0);
	assert_int_equal(reader_damage(r)->torn, 1);
	assert_int_equal(reader_damage(r)->len, RECORD_HEADER);
	free(bases);
	reader_close(&r);
	journal_close(&j);
	journal_close(&late);
}

/* Garbage and zeros in the middle, and a length that reaches far behind the file's end. */
static void test_garbage(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 0);
	int fd = open(segment_path, O_WRONLY | O_APPEND);
	char zeros[5000] = {0};
	assert_int_equal(write(fd, zeros, sizeof zeros), sizeof zeros);
	fixture_append(j, 0, 1);
	char magic_and_length[RECORD_HEADER] = {0};
	memcpy(magic_and_length, record_magic, 8);
	magic_and_length[18] = 0x40; /* 4 MB: never there */
	magic_and_length[20] = RECORD_EVENT;
	magic_and_length[46] = 0x3f;
	assert_int_equal(write(fd, magic_and_length, RECORD_HEADER), RECORD_HEADER);
	fixture_append(j, 0, 2);
	close(fd);
	struct reader *r = fixture_reader(0);
	EXPECT(r, 0, 1, 2);
	assert_int_equal(reader_damage(r)->torn, 2);
	assert_int_equal(reader_damage(r)->bytes, sizeof zeros + RECORD_HEADER);
	reader_close(&r);
	journal_close(&j);
}

/* A zero-filled tail, as a power cut leaves it: the next boot's segment ends the waiting. */
static void test_zero_tail(void **state)
{
	(void)state;
	struct segment old = {.base = 0, .limit = 64 << 10, .created = 1};
	memset(old.boot, 0x5a, sizeof old.boot);
	assert_int_equal(segment_create(fixture_fd, &old), 0);
	char zeros[3000] = {0};
	poke(SEGMENT_HEADER, zeros, sizeof zeros);
	struct reader *r = fixture_reader(0);
	struct record rec;
	assert_int_equal(reader_next(r, &rec), 0);
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 7);
	reader_close(&r);
	r = fixture_reader(0);
	EXPECT(r, 7);
	assert_int_equal(reader_damage(r)->bytes, sizeof zeros);
	reader_close(&r);
	journal_close(&j);
}

static void test_missing_segment(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	uint64_t last = 0;
	for (int n = 0; n < 2000; n++)
		last = fixture_append(j, 0, n);
	uint64_t *bases;
	ssize_t n = segment_list(fixture_fd, &bases);
	assert_true(n > 4);
	char name[SEGMENT_NAME + 1];
	segment_name(name, bases[1]);
	struct reader *r = fixture_reader(0);
	assert_int_equal(unlinkat(fixture_fd, name, 0), 0);
	struct record rec;
	int expected = 0, jumps = 0;
	while (reader_next(r, &rec) == 1) {
		if (fixture_n(&rec) != expected)
			jumps++;
		expected = fixture_n(&rec) + 1;
	}
	assert_int_equal(expected, 2000);
	assert_int_equal(jumps, 1);
	assert_int_equal(reader_damage(r)->gap, 1);
	assert_int_equal(reader_damage(r)->torn, 0);
	/* and from a position that is gone */
	reader_seek(r, bases[1] + 500);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_true(rec.pos > bases[2] || rec.pos > bases[1]);
	reader_close(&r);
	free(bases);
	assert_true(last > 0);
	journal_close(&j);
}

/* Reading at the head while it moves through segments, and giving the buffer back in between. */
static void test_at_the_head(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	struct reader *r = fixture_reader(0);
	struct record rec;
	assert_int_equal(reader_next(r, &rec), 0);
	for (int n = 0; n < 3000; n++) {
		uint64_t pos = fixture_append(j, 0, n);
		assert_int_equal(reader_next(r, &rec), 1);
		assert_int_equal(fixture_n(&rec), n);
		assert_int_equal(rec.pos, pos);
		if (n % 3 == 0) {
			assert_int_equal(reader_next(r, &rec), 0);
			reader_rest(r);
		}
		if (n % 100 == 0)
			journal_trim(fixture_fd, reader_pos(r), 0);
	}
	assert_int_equal(reader_damage(r)->gap, 0);
	reader_close(&r);
	journal_close(&j);
}

/* Any record's end is a place to start from: what a cursor holds. */
static void test_from_everywhere(void **state)
{
	(void)state;
	enum { N = 1500 };
	struct journal *j = fixture_journal();
	static uint64_t next[N];
	struct record rec;
	for (int n = 0; n < N; n++)
		fixture_append(j, 0, n);
	struct reader *r = fixture_reader(0);
	for (int n = 0; n < N; n++) {
		assert_int_equal(reader_next(r, &rec), 1);
		next[n] = rec.next;
	}
	reader_close(&r);
	for (int n = 0; n + 1 < N; n++) {
		r = fixture_reader(next[n]);
		assert_int_equal(reader_next(r, &rec), 1);
		assert_int_equal(fixture_n(&rec), n + 1);
		assert_int_equal(reader_damage(r)->gap + reader_damage(r)->torn, 0);
		reader_close(&r);
	}
	assert_int_equal(journal_end(fixture_fd), next[N - 1]);
	journal_close(&j);
}

static void test_large(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	size_t len = 5 << 20;
	char *json = malloc(len);
	memset(json, 'x', len);
	struct record rec = {.event = STR("MessageNew"), .json = {json, len}}, got;
	const char *why;
	assert_int_equal(journal_append(j, &rec, NULL, &why), 0);
	fixture_append(j, 0, 1);
	struct reader *r = fixture_reader(0);
	assert_int_equal(reader_next(r, &got), 1);
	assert_int_equal(got.json.len, len);
	assert_memory_equal(got.json.s, json, len);
	EXPECT(r, 1);
	rec.json.len = RECORD_MAX;
	assert_int_equal(journal_append(j, &rec, NULL, &why), -1);
	assert_non_null(strstr(why, "32 MB"));
	free(json);
	reader_close(&r);
	journal_close(&j);
}

/* More than one buffer's worth in one segment: records lie across its edges. */
static void test_large_segment(void **state)
{
	(void)state;
	struct journal_options large = fixture_options;
	large.segment_size = 8 << 20;
	struct journal *j;
	const char *why;
	struct record rec;
	assert_int_equal(journal_open(&j, fixture_dir, &large, &why), 0);
	for (int n = 0; n < 20000; n++)
		fixture_append(j, 0, n);
	struct reader *r = fixture_reader(0);
	for (int n = 0; n < 20000; n++) {
		assert_int_equal(reader_next(r, &rec), 1);
		assert_int_equal(fixture_n(&rec), n);
	}
	assert_int_equal(reader_next(r, &rec), 0);
	assert_int_equal(reader_damage(r)->torn, 0);
	reader_close(&r);
	journal_close(&j);
}

static void test_since(void **state)
{
	(void)state;
	for (int i = 1; i <= 3; i++) {
		struct segment seg = {
		    .base = (uint64_t)i << 20, .limit = 64 << 10, .created = i * 1000};
		assert_int_equal(segment_create(fixture_fd, &seg), 0);
	}
	assert_int_equal(reader_oldest(fixture_fd), (1 << 20) + SEGMENT_HEADER);
	assert_int_equal(reader_since(fixture_fd, 500), (1 << 20) + SEGMENT_HEADER);
	assert_int_equal(reader_since(fixture_fd, 2500), (2 << 20) + SEGMENT_HEADER);
	assert_int_equal(reader_since(fixture_fd, 9999), (3 << 20) + SEGMENT_HEADER);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_facts),           T(test_torn),          T(test_growing),
	    T(test_flipped_bits),    T(test_garbage),       T(test_zero_tail),
	    T(test_damaged_header),  T(test_damaged_seal),  T(test_missing_segment),
	    T(test_large),           T(test_large_segment), T(test_at_the_head),
	    T(test_from_everywhere), T(test_since),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
