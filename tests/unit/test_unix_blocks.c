/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks of the unix sink: each place is read once, damage is told where it is, and wherever one
 * begins, what comes is what a reader of its own would have. */
#include "journal_fixture.h"

#include "../../notifyd/sinks/unix/selector.h"

#include <sys/stat.h>

static const unsigned char uuid[16] = {0xab};

static struct blocks *make(struct filter *filter)
{
	struct blocks *bs = blocks_new(fixture_dir, uuid, filter, NULL);
	assert_non_null(bs);
	return bs;
}

static struct filter *every(void)
{
	char *why;
	struct filter *f = filter_new(NULL, NULL, NULL, NULL, NULL, &why);
	assert_non_null(f);
	return f;
}

static int n_of(const struct block_line *line)
{
	char id[JOURNAL_ID];
	assert_memory_equal(line->s, "{\"id\":\"", 7);
	journal_id(id, uuid, line->pos);
	assert_memory_equal(line->s + 7, id, JOURNAL_ID - 1);
	assert_memory_equal(line->s + BLOCK_BEFORE - 10, "\",\"event\":{\"n\":", 15);
	assert_memory_equal(line->s + line->len - 2 - BLOCK_AFTER, "\"}}\n", 4);
	return atoi(line->s + BLOCK_BEFORE + 5);
}

/* One who reads on from pos: what comes is counted from *n on, in order. What it passed over is
 * added up. */
static struct reader_damage drain(struct blocks *bs, uint64_t *pos, int *n)
{
	struct reader_damage all = {0};
	const struct block *b;
	blocks_look(bs);
	for (;;) {
		int rc = blocks_get(bs, *pos, &b);
		assert_true(rc >= 0);
		if (rc == 0)
			return all;
		assert_true(b->to > *pos && (*pos == b->from || *pos >= b->clear));
		if (*pos == b->from) {
			all.gap += b->passed.gap;
			all.gone += b->passed.gone;
			all.torn += b->passed.torn;
			all.bytes += b->passed.bytes;
		}
		for (size_t i = block_at(b, *pos); i < b->n; i++)
			assert_int_equal(n_of(&b->lines[i]), (*n)++);
		*pos = b->to;
	}
}

static void append(struct journal *j, int from, int to)
{
	for (; from < to; from++)
		fixture_append(j, from % 3, from);
}

static void segments(void (*each)(const char *path))
{
	DIR *d = opendir(fixture_dir);
	const struct dirent *e;
	while ((e = readdir(d)) != NULL) {
		char path[512];
		snprintf(path, sizeof path, "%s/%s", fixture_dir, e->d_name);
		if (strlen(e->d_name) > 4 && strcmp(e->d_name + strlen(e->d_name) - 4, ".seg") == 0)
			each(path);
	}
	closedir(d);
}

/* In place: an open descriptor sees it too. */
static void wipe(const char *path)
{
	char zeros[4096] = {0};
	struct stat st;
	int fd = open(path, O_WRONLY);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = SEGMENT_HEADER; at < st.st_size; at += (off_t)sizeof zeros) {
		size_t left = (size_t)(st.st_size - at);
		assert_true(pwrite(fd, zeros, left < sizeof zeros ? left : sizeof zeros, at) > 0);
	}
	close(fd);
}

static void test_once(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	struct filter *f = every();
	struct blocks *bs = make(f);
	append(j, 0, 1000); /* some segments, one block */
	uint64_t pos = 0, other = 0, third;
	int n = 0, m = 0;
	drain(bs, &pos, &n);
	assert_int_equal(n, 1000);
	segments(wipe);
	/* What was read once is not read again, from wherever. */
	drain(bs, &other, &m);
	assert_int_equal(m, 1000);
	assert_true(other == pos);
	const struct block *b;
	assert_int_equal(blocks_get(bs, 0, &b), 1);
	third = b->lines[100].pos;
	m = 100;
	drain(bs, &third, &m);
	assert_int_equal(m, 1000);
	/* Rested, it is. */
	blocks_rest(bs);
	blocks_rest(bs);
	other = 0;
	m = 0;
	assert_true(drain(bs, &other, &m).torn > 0);
	assert_int_equal(m, 0);
	blocks_free(&bs);
	filter_free(&f);
	journal_close(&j);
}

static void test_head(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	struct filter *f = every();
	struct blocks *bs = make(f);
	uint64_t a = 0, b = 0;
	int n = 0, m = 0;
	for (int i = 0; i < 20000; i++) {
		append(j, i, i + 1);
		/* the end is as it was until somebody looks */
		const struct block *block;
		if (n)
			assert_int_equal(blocks_get(bs, a, &block), 0);
		drain(bs, &a, &n);
		assert_int_equal(n, i + 1);
		if (i % 400 == 0) { /* one that is behind a little */
			drain(bs, &b, &m);
			assert_int_equal(m, i + 1);
		}
		if (i % 5000 == 0)
			blocks_rest(bs);
	}
	blocks_free(&bs);
	filter_free(&f);
	journal_close(&j);
}

/* More places than there are blocks, in turns. */
static void test_places(void **state)
{
	(void)state;
	enum { N = 30000, PLACES = 3 * BLOCKS };
	struct journal *j = fixture_journal();
	struct filter *f = every();
	struct blocks *bs = make(f);
	uint64_t pos[PLACES], at[N];
	int n[PLACES];
	for (int i = 0; i < N; i++)
		at[i] = fixture_append(j, 0, i);
	for (int k = 0; k < PLACES; k++)
		pos[k] = at[n[k] = k * (N / PLACES)];
	for (bool more = true; more;) {
		more = false;
		for (int k = 0; k < PLACES; k++) {
			const struct block *b;
			int rc = blocks_get(bs, pos[k], &b);
			assert_true(rc >= 0);
			if (rc == 0)
				continue;
			more = true;
			assert_false(b->passed.gap || b->passed.torn);
			size_t i = block_at(b, pos[k]);
			for (int steps = 0; i < b->n && steps < 300; i++, steps++)
				assert_int_equal(n_of(&b->lines[i]), n[k]++);
			pos[k] = i < b->n ? b->lines[i].pos : b->to;
		}
	}
	for (int k = 0; k < PLACES; k++)
		assert_int_equal(n[k], N);
	blocks_free(&bs);
	filter_free(&f);
	journal_close(&j);
}

static void test_large(void **state)
{
	(void)state;
	struct journal *j;
	struct journal_options opt = fixture_options;
	opt.segment_size = 8 << 20;
	const char *why;
	assert_int_equal(journal_open(&j, fixture_dir, &opt, &why), 0);
	struct filter *f = every();
	struct blocks *bs = make(f);
	size_t len = 3 << 20;
	char *json = malloc(len);
	assert_non_null(json);
	memset(json, 'x', len);
	for (int i = 0; i < 9; i++) {
		int head = snprintf(json, len, "{\"n\":%d,\"pad\":\"", i);
		json[head] = 'x';
		memcpy(json + len - 2, "\"}", 2);
		struct record rec = {.event = STR("MessageNew"), .json = {json, len}};
		if (i % 3 == 0)
			fixture_append(j, 0, i);
		else
			assert_int_equal(journal_append(j, &rec, NULL, &why), 0);
	}
	uint64_t pos = 0, other = 0;
	int n = 0, m = 0;
	drain(bs, &pos, &n);
	drain(bs, &other, &m);
	assert_int_equal(n, 9);
	assert_int_equal(m, 9);
	free(json);
	blocks_free(&bs);
	filter_free(&f);
	journal_close(&j);
}

static void flip(uint64_t pos)
{
	char path[512];
	uint64_t *bases, base = 0;
	ssize_t n = segment_list(fixture_fd, &bases);
	for (ssize_t i = 0; i < n && bases[i] <= pos; i++)
		base = bases[i];
	free(bases);
	snprintf(path, sizeof path, "%s/%016llx.seg", fixture_dir, (unsigned long long)base);
	int fd = open(path, O_RDWR);
	char c;
	off_t at = (off_t)(pos - base) + 20;
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 1;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

/* Each who passes damage is told of it, once; who is behind it is not. */
static void test_damage(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	struct filter *f = every();
	struct blocks *bs = make(f);
	append(j, 0, 10);
	uint64_t bad = fixture_append(j, 0, 77), behind = fixture_append(j, 0, 10);
	append(j, 11, 20);
	flip(bad);
	for (int round = 0; round < 3; round++) {
		uint64_t pos = 0, late = behind;
		int n = 0, m = 10;
		struct reader_damage d = drain(bs, &pos, &n);
		assert_int_equal(d.torn, 1);
		assert_int_equal(d.bytes, behind - bad);
		assert_int_equal(n, 20);
		assert_int_equal(drain(bs, &late, &m).torn, 0);
		assert_int_equal(m, 20);
		/* who begins where the damage does, or inside */
		for (int k = 0; k < 2; k++) {
			late = bad + (uint64_t)k * 5;
			m = 10;
			d = drain(bs, &late, &m);
			assert_int_equal(d.torn, 1);
			assert_int_equal(d.bytes, behind - bad - (uint64_t)k * 5);
			assert_int_equal(m, 20);
		}
	}
	blocks_free(&bs);
	filter_free(&f);
	journal_close(&j);
}

static void test_gap(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	struct filter *f = every();
	struct blocks *bs = make(f);
	append(j, 0, 2000);
	uint64_t *bases;
	ssize_t count = segment_list(fixture_fd, &bases);
	assert_true(count > 3);
	uint64_t begin = bases[0] + SEGMENT_HEADER;
	/* two that are gone in the middle, from the beginning on and from inside */
	for (int i = 1; i <= 2; i++) {
		char name[SEGMENT_NAME + 1];
		segment_name(name, bases[i]);
		assert_int_equal(unlinkat(fixture_fd, name, 0), 0);
	}
	for (int round = 0; round < 2; round++) {
		uint64_t pos = begin, gone = 0;
		const struct block *b;
		blocks_look(bs);
		int gaps = 0, rc;
		while ((rc = blocks_get(bs, pos, &b)) == 1) {
			if (pos == b->from && b->passed.gap) {
				gaps++;
				gone += b->passed.gone;
				assert_true(b->clear == bases[3] + SEGMENT_HEADER);
			}
			pos = b->to;
		}
		assert_int_equal(rc, 0);
		assert_int_equal(gaps, 1);
		assert_int_equal(gone, bases[3] - bases[1]);
		pos = bases[2] + SEGMENT_HEADER;
		assert_int_equal(blocks_get(bs, pos, &b), 1);
		assert_true(b->from == pos && b->passed.gap == 1);
	}
	free(bases);
	blocks_free(&bs);
	filter_free(&f);
	journal_close(&j);
}

static void test_sink_filter(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	char *why;
	struct filter *f = filter_new(NULL, NULL, "w9", NULL, NULL, &why);
	assert_non_null(f);
	struct blocks *bs = make(f);
	append(j, 0, 3000);
	fixture_append(j, 9, 0);
	append(j, 0, 3000);
	uint64_t pos = 0;
	int n = 0;
	drain(bs, &pos, &n);
	assert_int_equal(n, 1);
	assert_true(pos == journal_end(fixture_fd));
	blocks_free(&bs);
	filter_free(&f);
	journal_close(&j);
}

static void test_missing(void **state)
{
	(void)state;
	struct filter *f = every();
	struct blocks *bs = blocks_new("/nonexistent", uuid, f, NULL);
	const struct block *b;
	assert_int_equal(blocks_get(bs, 0, &b), -1);
	assert_non_null(strstr(blocks_why(bs), "No such file"));
	blocks_free(&bs);
	filter_free(&f);
}

static struct selector *selector(struct selector_list *all, const char *users)
{
	struct request req = {.kind = REQUEST_SUBSCRIBE};
	struct buf error = BUF_INIT;
	buf_adds(&req.users, users);
	struct selector *sel = selector_get(all, &req, &error);
	assert_non_null(sel);
	request_free(&req);
	buf_free(&error);
	return sel;
}

/* What each of several selects, as the block grows and is replaced by others. */
static void test_selectors(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	struct filter *f = every();
	struct blocks *bs = make(f);
	struct selector_list all;
	TAILQ_INIT(&all);
	struct selector *sel[] = {selector(&all, "w0"), selector(&all, "w1 w2"), NULL,
	                          selector(&all, "nobody"), selector(&all, "w0")};
	enum { N = sizeof sel / sizeof *sel };
	assert_ptr_equal(sel[0], sel[4]);
	uint64_t pos[N] = {0};
	int n[N] = {0};
	const int want[N] = {3000, 6000, 9000, 0, 3000};
	for (int i = 0; i < 9000; i += 50) {
		append(j, i, i + 50);
		blocks_look(bs);
		for (int k = 0; k < N; k++) {
			const struct block *b;
			if (i % 1000 < k * 100) /* not all at the same time */
				continue;
			while (blocks_get(bs, pos[k], &b) == 1) {
				size_t at = selector_next(sel[k], b, block_at(b, pos[k]));
				for (; at < b->n; at = selector_next(sel[k], b, at + 1)) {
					int who = n_of(&b->lines[at]) % 3;
					assert_true(k == 2 || (k == 1 ? who != 0 : who == 0));
					n[k]++;
				}
				pos[k] = b->to;
			}
		}
	}
	for (int k = 0; k < N; k++) {
		assert_int_equal(n[k], want[k]);
		selector_put(&all, &sel[k]);
	}
	assert_true(TAILQ_EMPTY(&all));

	struct request req = {.kind = REQUEST_SUBSCRIBE};
	struct buf error = BUF_INIT;
	buf_adds(&req.groups, "mesage");
	assert_null(selector_get(&all, &req, &error));
	assert_non_null(strstr(buf_cstr(&error), "nearest is message"));
	assert_true(TAILQ_EMPTY(&all));
	request_free(&req);
	buf_free(&error);
	blocks_free(&bs);
	filter_free(&f);
	journal_close(&j);
}

/* Who begins behind the end that others wait at shows that it is the end no more: they are woken,
 * and must see what came. */
static void test_end(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	struct filter *f = every();
	struct blocks *bs = make(f);
	const struct block *b;
	uint64_t waiting = 0;
	int n = 0;
	append(j, 0, 10);
	drain(bs, &waiting, &n);
	append(j, 10, 11);
	uint64_t live = journal_end(fixture_fd);
	append(j, 11, 12);
	assert_int_equal(blocks_get(bs, live, &b), 1);
	assert_int_equal(blocks_get(bs, waiting, &b), 1);
	blocks_free(&bs);
	filter_free(&f);
	journal_close(&j);
}

static int deleted_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	int n = 0;
	while ((e = readdir(d)) != NULL) {
		char link[512];
		ssize_t len = readlinkat(dirfd(d), e->d_name, link, sizeof link - 1);
		link[len > 0 ? len : 0] = '\0';
		/* valgrind has some of its own. */
		n += strstr(link, fixture_dir) && strstr(link, "(deleted)");
	}
	closedir(d);
	return n;
}

/* Places that clients have left hold no segment open, however much is read at the head. */
static void test_left(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	struct filter *f = every();
	struct blocks *bs = make(f);
	const struct block *b;
	uint64_t *bases;
	append(j, 0, 6000);
	ssize_t n = segment_list(fixture_fd, &bases);
	assert_true(n > 7);
	for (int i = 0; i < 7; i++)
		assert_int_equal(blocks_get(bs, bases[i] + SEGMENT_HEADER, &b), 1);
	uint64_t head = bases[n - 1] + SEGMENT_HEADER;
	assert_true(journal_trim(fixture_fd, bases[n - 1], 0) > 0);
	free(bases);
	assert_true(deleted_files() > 0);
	for (int seconds = 0; seconds < 3; seconds++) {
		for (int i = 0; i < 9000; i += 100) {
			append(j, i, i + 100);
			blocks_look(bs);
			while (blocks_get(bs, head, &b) == 1)
				head = b->to;
		}
		blocks_rest(bs);
	}
	assert_int_equal(deleted_files(), 0);
	blocks_free(&bs);
	filter_free(&f);
	journal_close(&j);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_once),      T(test_head), T(test_places),      T(test_large),
	    T(test_damage),    T(test_gap),  T(test_sink_filter), T(test_missing),
	    T(test_selectors), T(test_end),  T(test_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
