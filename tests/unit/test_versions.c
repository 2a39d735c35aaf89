/* SPDX-License-Identifier: BSD-3-Clause */
/* What a later version wrote is refused with words, never overwritten, never passed over. The
 * version's place and the checksum's are those that mboxevent-journal(5) promises of all. */
#include "../../lib/cursor.h"
#include "../../lib/lost.h"
#include "../../notifyd/dead.h"
#include "../../notifyd/verify.h"

#include "journal_fixture.h"

#include <endian.h>
#include <errno.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static char *path_in(const char *name)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/%s", fixture_dir, name);
	return path;
}

/* The file's contents, for comparison; at most 64 KB. */
static uint64_t sum_of(const char *name)
{
	static char bytes[64 << 10];
	FILE *f = fopen(path_in(name), "r");
	assert_non_null(f);
	size_t n = fread(bytes, 1, sizeof bytes, f);
	fclose(f);
	return XXH3_64bits(bytes, n);
}

/* Makes what begins at `at` version 2, `length` bytes long with its checksum at the end. */
static void make_foreign(const char *name, off_t at, uint32_t length, bool told)
{
	char head[512] = "";
	int fd = open(path_in(name), O_RDWR);
	assert_true(fd >= 0);
	assert_true(pread(fd, head, length, at) > 0);
	uint32_t version = htole32(2), size = htole32(length);
	memcpy(head + 8, &version, sizeof version);
	if (told)
		memcpy(head + 12, &size, sizeof size);
	uint64_t sum = htole64(XXH3_64bits(head, length - 8));
	memcpy(head + length - 8, &sum, sizeof sum);
	assert_int_equal(pwrite(fd, head, length, at), length);
	close(fd);
}

static const char *segment_at(ssize_t i)
{
	static char name[SEGMENT_NAME + 1];
	uint64_t *bases = NULL;
	ssize_t n = segment_list(fixture_fd, &bases);
	assert_true(n > 0);
	segment_name(name, bases[i < 0 ? n + i : i]);
	free(bases);
	return name;
}

static void append(int from, int to)
{
	struct journal *j = fixture_journal();
	for (int n = from; n < to; n++)
		fixture_append(j, 0, n);
	journal_close(&j);
}

/* Reads n records from `from` on, and then meets the segment, again and again. */
static void refused_after(struct reader *r, int from, int to, const char *segment)
{
	struct record rec;
	for (int n = from; n < to; n++) {
		assert_int_equal(reader_next(r, &rec), 1);
		assert_int_equal(fixture_n(&rec), n);
	}
	for (int again = 0; again < 3; again++) {
		assert_int_equal(reader_next(r, &rec), -1);
		assert_int_equal(errno, EPROTONOSUPPORT);
		assert_non_null(strstr(reader_why(r), segment));
		assert_non_null(strstr(reader_why(r), "version"));
	}
	assert_int_equal(reader_damage(r)->torn, 0);
}

static void test_newest_segment(void **state)
{
	(void)state;
	append(0, 3);
	char segment[SEGMENT_NAME + 1];
	strcpy(segment, segment_at(-1));
	make_foreign(segment, 0, SEGMENT_HEADER, true);
	uint64_t before = sum_of(segment);
	/* The writer begins one behind, and loses nothing. */
	append(3, 5);
	assert_int_equal(sum_of(segment), before);
	assert_string_not_equal(segment_at(-1), segment);
	assert_int_equal(lost_total(fixture_fd), 0);
	/* Nobody reads past it, from wherever it is met. */
	struct reader *r = fixture_reader(0);
	refused_after(r, 0, 0, segment);
	reader_seek(r, reader_oldest(fixture_fd));
	refused_after(r, 0, 0, segment);
	/* Taken away by hand, what follows comes. */
	struct record rec;
	assert_int_equal(unlink(path_in(segment)), 0);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(fixture_n(&rec), 3);
	reader_close(&r);
}

/* Another header length than ours. */
static void test_longer_header(void **state)
{
	(void)state;
	append(0, 5);
	make_foreign(segment_at(-1), 0, 200, true);
	struct reader *r = fixture_reader(0);
	refused_after(r, 0, 0, segment_at(0));
	reader_close(&r);
}

static void test_middle_segment(void **state)
{
	(void)state;
	append(0, 1000); /* three segments at least */
	char segment[SEGMENT_NAME + 1];
	strcpy(segment, segment_at(1));
	make_foreign(segment, 0, SEGMENT_HEADER, true);
	uint64_t before = sum_of(segment), base = strtoull(segment, NULL, 16);
	struct reader *r = fixture_reader(0);
	struct record rec;
	int n = 0;
	while (reader_next(r, &rec) == 1)
		assert_int_equal(fixture_n(&rec), n++);
	assert_true(n > 0 && n < 1000 && reader_pos(r) <= base);
	refused_after(r, n, n, segment);
	reader_close(&r);
	/* Not deleted either, though all have passed it. */
	assert_int_equal(journal_trim(fixture_fd, UINT64_MAX, 0), 1);
	assert_string_equal(segment_at(0), segment);
	assert_int_equal(sum_of(segment), before);
}

/* A flipped bit in the number is damage, as anywhere: the records are read. */
static void test_flipped_bit(void **state)
{
	(void)state;
	append(0, 3);
	int fd = open(path_in(segment_at(0)), O_RDWR);
	assert_int_equal(pwrite(fd, "\x03", 1, 8), 1);
	close(fd);
	struct reader *r = fixture_reader(0);
	struct record rec;
	for (int n = 0; n < 3; n++)
		assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(reader_damage(r)->torn, 1);
	reader_close(&r);
}

static struct damage last;

static void found(void *ctx, const struct damage *d)
{
	(void)ctx;
	last = *d;
}

static void test_verify(void **state)
{
	(void)state;
	append(0, 1000);
	struct verify v = {.found = found};
	struct stat st;
	char *why;
	make_foreign(segment_at(1), 0, SEGMENT_HEADER, true);
	assert_int_equal(stat(path_in(segment_at(1)), &st), 0);
	assert_int_equal(verify_journal(fixture_dir, &v, &why), 0);
	assert_int_equal(v.damaged, 1);
	assert_int_equal(last.kind, DAMAGE_VERSION);
	assert_int_equal(last.len, st.st_size);
	assert_int_equal(last.pos, last.base);
	assert_string_equal(verify_kind(last.kind), "unknown version");
	assert_true(v.segments >= 3 && v.events > 0 && v.events < 1000);
}

static int entries(void)
{
	int n = 0;
	DIR *d = opendir(fixture_dir);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_identity(void **state)
{
	(void)state;
	static const char later[] = "mboxevent-journal 2\nanything may follow\n";
	char *init_why;
	const char *why = "";
	unsigned char uuid[16], former[16];
	FILE *f = fopen(path_in("identity"), "w");
	fputs(later, f);
	fclose(f);
	unlink(path_in("bounds"));
	uint64_t before = sum_of("identity"), lost = sum_of("lost");
	int there = entries();
	assert_int_equal(journal_identity(fixture_fd, uuid, former), -1);
	assert_int_equal(errno, EPROTONOSUPPORT);
	assert_int_equal(journal_init(fixture_dir, &init_why), -1);
	assert_non_null(strstr(init_why, "version"));
	assert_non_null(strstr(init_why, fixture_dir));
	free(init_why);
	struct journal *j = fixture_journal();
	struct record rec = {.event = STR("Login"), .json = STR("{\"n\":1}")};
	assert_int_equal(journal_append(j, &rec, NULL, &why), -1);
	assert_non_null(strstr(why, "version"));
	assert_int_equal(entries(), there);
	assert_int_equal(sum_of("identity"), before);
	assert_int_equal(sum_of("lost"), lost);
	assert_int_equal(journal_lost_pending(j), 1);
	/* Mended, it is told. */
	unlink(path_in("identity"));
	assert_int_equal(journal_init(fixture_dir, &init_why), 0);
	for (int tries = 0; tries < 600 && journal_append(j, &rec, NULL, &why) < 0; tries++)
		usleep(50000);
	struct reader *r = fixture_reader(0);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_true(rec.lost >= 1);
	assert_int_equal(lost_total(fixture_fd), rec.lost);
	reader_close(&r);
	journal_close(&j);
}

static void test_cursor(void **state)
{
	(void)state;
	static const struct {
		uint32_t length;
		bool told;
	} forms[] = {{72, false}, {72, true}, {120, true}, {500, true}};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		for (off_t slot = 0; slot < 1024; slot += 512) {
			struct cursor *c;
			struct cursor_state s;
			char *why;
			bool made;
			unlink(path_in("cursors/mq"));
			assert_int_equal(cursor_open(&c, fixture_fd, "mq", 4711, &made, &why), 0);
			cursor_close(&c);
			make_foreign("cursors/mq", slot, forms[i].length, forms[i].told);
			uint64_t before = sum_of("cursors/mq");
			assert_int_equal(cursor_open(&c, fixture_fd, "mq", 0, &made, &why), -1);
			assert_non_null(strstr(why, "cursors/mq is of a version"));
			free(why);
			assert_int_equal(cursor_peek(fixture_fd, "mq", &s), -1);
			assert_int_equal(errno, EPROTONOSUPPORT);
			assert_int_equal(sum_of("cursors/mq"), before);
		}
}

static void test_dead_letters(void **state)
{
	(void)state;
	static const unsigned char uuid[16] = {1};
	char name[64], head[LETTER_HEAD];
	struct dead *d;
	bool asked;
	assert_int_equal(dead_open(&d, fixture_fd, "mq", true), 0);
	assert_int_equal(dead_begin(d, uuid, 1 << 20, &asked), 0);
	for (unsigned n = 1; n <= 3; n++) {
		struct record rec = {.pos = n * 1000, .next = n * 1000 + 500};
		rec.event = STR("Login");
		rec.json = STR("{\"n\":1}");
		assert_int_equal(dead_letter(d, &rec, "refused"), 0);
	}
	assert_int_equal(dead_sync(d), 0);
	dead_close(&d);
	/* The second becomes a later version's. */
	snprintf(name, sizeof name, "dead/mq/%016x.dead", 1);
	int fd = open(path_in(name), O_RDWR);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	off_t at = st.st_size / 3;
	assert_int_equal(pread(fd, head, sizeof head, at), sizeof head);
	head[6] = 2;
	uint64_t sum = htole64(XXH3_64bits_withSeed(head + 16, 56, 2));
	memcpy(head + 8, &sum, sizeof sum);
	assert_int_equal(pwrite(fd, head, sizeof head, at), sizeof head);
	close(fd);
	assert_int_equal(unlink(path_in("dead/mq/count")), 0);
	uint64_t before = sum_of(name);

	struct dead_summary s;
	struct letter l;
	assert_int_equal(dead_summary(fixture_fd, "mq", &s), -1);
	assert_int_equal(errno, EPROTONOSUPPORT);
	assert_non_null(strstr(letter_error(errno), "version"));
	assert_int_equal(dead_open(&d, fixture_fd, "mq", false), 0);
	struct letter_walk *w = letter_walk(dead_dir(d), 0, true);
	assert_int_equal(letter_walk_next(w, &l), 1);
	assert_int_equal(letter_walk_next(w, &l), -1);
	assert_int_equal(errno, EPROTONOSUPPORT);
	letter_walk_close(&w);
	assert_int_equal(dead_begin(d, uuid, 1 << 20, &asked), -1);
	assert_int_equal(errno, EPROTONOSUPPORT);
	assert_int_equal(dead_sweep(d, 1), -1);
	dead_close(&d);
	assert_int_equal(sum_of(name), before);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_newest_segment), T(test_longer_header), T(test_middle_segment),
	    T(test_flipped_bit),    T(test_verify),        T(test_identity),
	    T(test_cursor),         T(test_dead_letters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
