/* SPDX-License-Identifier: BSD-3-Clause */
/* Room: what is deleted behind all sinks, what gives way when room is short and what never does,
 * how much is left, and the account of what readers did not get. */
#include "journal_fixture.h"

#include "../../lib/cursor.h"
#include "../../lib/room.h"
#include "../../notifyd/gone.h"
#include "../../notifyd/keeper.h"
#include "../../notifyd/log.h"
#include "../../notifyd/relief.h"

#include <sys/stat.h>

enum { MAX = 1 << 20, SEGMENT = 64 << 10 };

static const struct journal_options small = {.segment_size = SEGMENT, .max_size = MAX};

static struct settings *settings;

static void wrong(void *ctx, const char *line)
{
	(void)ctx;
	print_message("%s\n", line);
}

/* a is required, b is not; kept for an hour with retain. */
static void configure(const char *more)
{
	char path[128];
	snprintf(path, sizeof path, "%s/imapd.conf", fixture_dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
	        "mboxevent_journal: %s\nmboxevent_max_size: 1M\nmboxevent_segment_size: 64K\n"
	        "mboxevent_min_free: 0\nnotifyd_sinks: a b\nnotifyd_a_type: null\n"
	        "notifyd_b_type: null\nnotifyd_b_required: no\n%s",
	        fixture_dir, more);
	fclose(f);
	settings_free(&settings);
	assert_int_equal(settings_load(&settings, path, wrong, NULL), 0);
}

static int setup(void **state)
{
	return fixture_setup(state);
}

static int teardown(void **state)
{
	settings_free(&settings);
	return fixture_teardown(state);
}

/* Events of 1 KB until the journal has at least that many segments. */
static void fill(struct journal *j, ssize_t segments)
{
	char json[1000];
	memset(json, ' ', sizeof json);
	struct record rec = {.event = STR("MessageNew"), .json = {json, sizeof json}};
	for (ssize_t n = 0; n < segments;) {
		uint64_t *bases;
		const char *why = "";
		assert_int_equal(journal_append(j, &rec, NULL, &why), 0);
		n = segment_list(fixture_fd, &bases);
		free(bases);
	}
}

static struct journal *writer(void)
{
	struct journal *j;
	const char *why;
	assert_int_equal(journal_open(&j, fixture_dir, &small, &why), 0);
	return j;
}

static ssize_t list(uint64_t **bases_r)
{
	ssize_t n = segment_list(fixture_fd, bases_r);
	assert_true(n > 0);
	return n;
}

static uint64_t oldest(void)
{
	uint64_t *bases, base;
	list(&bases);
	base = bases[0];
	free(bases);
	return base;
}

static void put_cursor(const char *name, uint64_t pos)
{
	struct cursor *c;
	bool made;
	char *why;
	assert_int_equal(cursor_open(&c, fixture_fd, name, 0, &made, &why), 0);
	assert_int_equal(cursor_set(c, pos, 0), 0);
	cursor_close(&c);
}

/* What f prints to stderr. */
static char *printed(struct relief *r)
{
	static char text[4096];
	char path[128];
	snprintf(path, sizeof path, "%s/stderr", fixture_dir);
	fflush(stderr);
	int was = dup(2), fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 2);
	relief_look(r, settings, fixture_fd);
	dup2(was, 2);
	close(was);
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void test_trim(void **state)
{
	(void)state;
	uint64_t *bases;
	struct journal *j = writer();
	configure("");
	fill(j, 6);
	list(&bases);
	keeper_trim(settings, fixture_fd);
	assert_int_equal(oldest(), bases[0]);
	/* b has none yet: where it will begin is not known */
	put_cursor("a", bases[3] + 500);
	keeper_trim(settings, fixture_fd);
	assert_int_equal(oldest(), bases[0]);
	/* nor is one asked that is not configured, nor one that is no subscription's */
	put_cursor("former", bases[0]);
	put_cursor("a@indexer", bases[0]);
	put_cursor("b", bases[2] + 500);
	keeper_trim(settings, fixture_fd);
	assert_int_equal(oldest(), bases[2]);
	/* the very end of a segment is behind it, the newest stays */
	put_cursor("b", bases[3]);
	keeper_trim(settings, fixture_fd);
	assert_int_equal(oldest(), bases[3]);
	put_cursor("a", UINT64_MAX / 2);
	put_cursor("b", UINT64_MAX / 2);
	keeper_trim(settings, fixture_fd);
	assert_int_equal(oldest(), bases[5]);
	free(bases);
	journal_close(&j);
}

/* One that can't be read just now might be anywhere. */
static void test_damaged_cursor(void **state)
{
	(void)state;
	uint64_t *bases;
	struct journal *j = writer();
	configure("");
	fill(j, 15);
	list(&bases);
	put_cursor("a", bases[3]);
	put_cursor("b", bases[3]);
	char path[128], noise[1024];
	memset(noise, 'x', sizeof noise);
	snprintf(path, sizeof path, "%s/cursors/a", fixture_dir);
	int fd = open(path, O_WRONLY);
	assert_int_equal(write(fd, noise, sizeof noise), sizeof noise);
	close(fd);
	keeper_trim(settings, fixture_fd);
	struct relief *r = relief_new(fixture_fd);
	assert_string_equal(printed(r), "");
	assert_int_equal(oldest(), bases[0]);
	relief_free(&r);
	free(bases);
	journal_close(&j);
}

/* Nothing goes while there is room; then b's, the oldest first, told once; never a's. */
static void test_gives_way(void **state)
{
	(void)state;
	uint64_t *bases, *later;
	struct journal *j = writer();
	struct relief *r = relief_new(fixture_fd);
	configure("");
	put_cursor("a", SEGMENT_HEADER);
	put_cursor("b", SEGMENT_HEADER + 100);
	fill(j, 10);
	assert_string_equal(printed(r), "");
	assert_int_equal(oldest(), 0);
	fill(j, 14);
	list(&bases);
	assert_string_equal(printed(r), ""); /* short, but a needs all */
	assert_int_equal(oldest(), 0);
	put_cursor("a", bases[1] + 10);
	char *line = printed(r);
	assert_non_null(strstr(line, "sink=b"));
	assert_non_null(strstr(line, "not required"));
	assert_null(strchr(strchr(line, '\n') + 1, '\n'));
	assert_int_equal(oldest(), bases[1]);
	put_cursor("a", bases[12] + 10);
	assert_string_equal(printed(r), ""); /* the same incident */
	uint64_t kept = oldest();
	assert_true(kept >= bases[1] && kept < bases[8]);
	/* however fast writers are, there is always room for two more */
	for (int i = 0; i < 100; i++) {
		ssize_t n = list(&later);
		fill(j, n + 2);
		put_cursor("a", later[n - 1]);
		free(later);
		assert_string_equal(printed(r), "");
	}
	assert_int_equal(journal_lost_pending(j), 0);
	/* it came back, and fell behind again: told within ten minutes once */
	list(&later);
	put_cursor("b", later[0]);
	free(later);
	fill(j, 15);
	list(&later);
	put_cursor("a", later[14]);
	assert_string_equal(printed(r), "");
	free(later);
	relief_free(&r);
	free(bases);
	journal_close(&j);
}

/* A sink that is not required and has no cursor yet holds nothing when room is short. */
static void test_no_cursor(void **state)
{
	(void)state;
	struct journal *j = writer();
	struct relief *r = relief_new(fixture_fd);
	configure("");
	put_cursor("a", UINT64_MAX / 2);
	fill(j, 14);
	keeper_trim(settings, fixture_fd);
	assert_int_equal(oldest(), 0);
	assert_string_equal(printed(r), "");
	assert_true(oldest() > 0);
	relief_free(&r);
	journal_close(&j);
}

/* What is kept for replay gives way too, without a word: all was delivered. */
static void test_retained(void **state)
{
	(void)state;
	struct journal *j = writer();
	struct relief *r = relief_new(fixture_fd);
	configure("mboxevent_retain: 1h\n");
	put_cursor("a", UINT64_MAX / 2);
	put_cursor("b", UINT64_MAX / 2);
	fill(j, 10);
	keeper_trim(settings, fixture_fd);
	assert_string_equal(printed(r), "");
	assert_int_equal(oldest(), 0);
	fill(j, 14);
	keeper_trim(settings, fixture_fd);
	assert_int_equal(oldest(), 0);
	assert_string_equal(printed(r), "");
	assert_true(oldest() > 0);
	relief_free(&r);
	journal_close(&j);
}

/* With required sinks alone events are refused, and that is told with the sink's name. */
static void test_refused(void **state)
{
	(void)state;
	char json[1000];
	memset(json, ' ', sizeof json);
	struct record rec = {.event = STR("MessageNew"), .json = {json, sizeof json}};
	const char *why = "";
	struct journal *j = writer();
	struct relief *r = relief_new(fixture_fd);
	configure("");
	put_cursor("a", SEGMENT_HEADER);
	put_cursor("b", UINT64_MAX / 2);
	assert_string_equal(printed(r), "");
	int stored = 0;
	while (stored < 5000 && journal_append(j, &rec, NULL, &why) == 0)
		stored++;
	assert_true(stored < 1000);
	char *line = printed(r);
	assert_non_null(strstr(line, "1 by now"));
	assert_non_null(strstr(line, "mboxevent_max_size"));
	assert_non_null(strstr(line, "the sink a"));
	assert_int_equal(oldest(), 0);
	journal_append(j, &rec, NULL, &why);
	assert_string_equal(printed(r), "");
	relief_free(&r);
	journal_close(&j);
}

/* What room_left() says is what a writer gets. */
static void test_left(void **state)
{
	(void)state;
	char json[1000];
	memset(json, ' ', sizeof json);
	struct record rec = {.event = STR("MessageNew"), .json = {json, sizeof json}};
	struct journal *j = writer();
	const char *why, *reason;
	int64_t at[2000];
	int stored = 0;
	uint64_t pos = 0, end[2000];
	do {
		assert_true(stored < 2000);
		at[stored] = room_left(fixture_fd, &small, &why);
		end[stored] = journal_end(fixture_fd);
		assert_string_equal(why, "mboxevent_max_size");
	} while (journal_append(j, &rec, &pos, &reason) == 0 && ++stored);
	assert_int_equal(at[stored], 0);
	for (int i = 0; i < stored; i++) {
		/* but for the records that end behind each segment's limit: they may take the
		 * room of one */
		int64_t had = (int64_t)(end[stored] - end[i]), slack = SEGMENT + 4096;
		assert_in_range(had + slack, (uint64_t)at[i],
		                (uint64_t)at[i] + 2 * (uint64_t)slack);
	}
	/* the file system's own limit: none is as large as that */
	struct journal_options greedy = {.segment_size = SEGMENT, .max_size = UINT64_C(1) << 60};
	assert_true(room_left(fixture_fd, &greedy, &why) > 0);
	assert_string_equal(why, "the file system");
	greedy.min_free = 50;
	room_left(fixture_fd, &greedy, &why);
	assert_string_equal(why, "mboxevent_min_free");
	journal_close(&j);
}

static void test_gone(void **state)
{
	(void)state;
	struct gone g;
	gone_read(fixture_fd, "a", &g);
	assert_int_equal(g.times, 0);
	assert_int_equal(gone_init(fixture_fd, "a"), 0);
	gone_read(fixture_fd, "a", &g);
	assert_int_equal(g.times, 0);
	assert_int_equal(gone_add(fixture_fd, "a", 1000, 3000, 2000), 0);
	assert_int_equal(gone_add(fixture_fd, "a", 1000, 3000, 2000), 0); /* met again */
	assert_int_equal(gone_add(fixture_fd, "a", 900, 3000, 2100), 0);  /* from further back */
	assert_int_equal(gone_add(fixture_fd, "a", 900, 4000, 3100), 0);  /* it grew */
	gone_read(fixture_fd, "a", &g);
	assert_int_equal(g.times, 1);
	assert_int_equal(g.bytes, 3100);
	assert_int_equal(gone_init(fixture_fd, "a"), 0); /* nothing is forgotten */
	assert_int_equal(gone_add(fixture_fd, "a", 5000, 5010, 10), 0);
	gone_read(fixture_fd, "a", &g);
	assert_int_equal(g.times, 2);
	assert_int_equal(g.bytes, 3110);
	assert_int_equal(g.from, 5000);
	assert_int_equal(g.to, 5010);
	gone_remove(fixture_fd, "a");
	gone_read(fixture_fd, "a", &g);
	assert_int_equal(g.times, 0);
	assert_int_equal(gone_add(fixture_fd, "../a", 1, 2, 1), -1);
}

/* Boots lie between positions, not bytes. */
static void test_missing(void **state)
{
	(void)state;
	assert_int_equal(reader_missing(1000, 3000), 2000);
	assert_int_equal(reader_missing(1000, 1000), 0);
	assert_int_equal(reader_missing(3000, 1000), 0);
	assert_int_equal(reader_missing(1000, 1000 + SEGMENT_BOOT_GAP), 0);
	assert_int_equal(reader_missing(1000, 3000 + 5 * SEGMENT_BOOT_GAP), 2000);
	/* a power cut took the end, with the position in it */
	assert_int_equal(reader_missing(1000, 900 + SEGMENT_BOOT_GAP), 0);
}

/* A reader whose segments were deleted over a boot is told what it did not get. */
static void test_gap_over_boot(void **state)
{
	(void)state;
	struct record rec;
	char *why;
	struct segment seg = {.base = 5000 + 3 * SEGMENT_BOOT_GAP, .limit = SEGMENT};
	segment_boot(seg.boot);
	assert_int_equal(segment_create(fixture_fd, &seg), 0);
	struct journal *j = writer();
	fixture_append(j, 0, 7);
	struct reader *r = reader_open(fixture_dir, 1000, &why);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(reader_damage(r)->gap, 1);
	assert_int_equal(reader_damage(r)->at, 1000);
	assert_int_equal(reader_damage(r)->len, 4000);
	assert_int_equal(reader_damage(r)->gone, 4000);
	assert_int_equal(rec.pos, seg.base + SEGMENT_HEADER);
	reader_close(&r);
	r = reader_open(fixture_dir, 5000, &why); /* it had all of the boot before */
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(reader_damage(r)->gap, 0);
	reader_close(&r);
	/* the header behind the hole damaged too: the hole is told all the same */
	char name[SEGMENT_NAME + 1];
	segment_name(name, seg.base);
	int fd = openat(fixture_fd, name, O_WRONLY);
	assert_int_equal(pwrite(fd, "x", 1, 20), 1);
	close(fd);
	r = reader_open(fixture_dir, 1000, &why);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(reader_damage(r)->torn, 1);
	assert_int_equal(reader_damage(r)->gap_at, 1000);
	assert_int_equal(reader_damage(r)->gone, 4000);
	reader_close(&r);
	journal_close(&j);
}

int main(void)
{
	log_open("notifyd", false);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_trim),     T(test_damaged_cursor), T(test_gives_way), T(test_no_cursor),
	    T(test_retained), T(test_refused),        T(test_left),      T(test_gone),
	    T(test_missing),  T(test_gap_over_boot),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
