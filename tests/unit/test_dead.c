/* SPDX-License-Identifier: BSD-3-Clause */
/* The store of dead letters: what is kept stays, whole and in order, whatever is torn, full or
 * killed; and retry_run() with a driver of the test's own. */
#include "../../notifyd/dead.h"
#include "../../notifyd/retry.h"

#include "journal_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { MAX = 8 << 20 };

static unsigned char uuid[16] = {1, 2, 3};
static struct dead *dead;

static void reopen(uint64_t max)
{
	bool asked;
	dead_close(&dead);
	assert_int_equal(dead_open(&dead, fixture_fd, "mq", true), 0);
	assert_int_equal(dead_begin(dead, uuid, max, &asked), 0);
}

static int setup(void **state)
{
	if (fixture_setup(state) < 0)
		return -1;
	reopen(MAX);
	return 0;
}

static int teardown(void **state)
{
	dead_close(&dead);
	return fixture_teardown(state);
}

/* Event n at position 1000 * n; len bytes of JSON at least. */
static int bury(int n, size_t len, const char *why)
{
	struct buf json = BUF_INIT;
	buf_addf(&json, "{\"n\":%d,\"pad\":\"", n);
	while (json.len < len)
		buf_addc(&json, 'x');
	buf_adds(&json, "\"}");
	struct record rec = {
	    .pos = (uint64_t)n * 1000,
	    .next = (uint64_t)n * 1000 + 500,
	    .time = 1700000000000000 + n,
	    .lost = (uint32_t)n % 3,
	    .flags = RECORD_NATIVE,
	    .event = STR("MessageNew"),
	    .user = STR("jane"),
	    .owner = STR("john"),
	    .mailbox = STR("Archive/2024"),
	    .json = {json.s, json.len},
	};
	int r = dead_letter(dead, &rec, why), e = errno;
	buf_free(&json);
	errno = e;
	return r;
}

static void bury_all(int from, int to)
{
	for (int n = from; n < to; n++)
		assert_int_equal(bury(n, 300, "refused"), 0);
	assert_int_equal(dead_sync(dead), 0);
}

/* The n of all that are there, and how many bytes were passed over. */
static int numbers(int *n_r, int max, uint64_t *damage_r)
{
	struct letter l;
	int count = 0, r;
	struct letter_walk *w = letter_walk(dead_dir(dead), 0, true);
	assert_non_null(w);
	while ((r = letter_walk_next(w, &l)) > 0) {
		if (l.state == LETTER_GONE)
			continue;
		assert_true(count < max);
		n_r[count++] = l.damaged ? -1 : fixture_n(&l.rec);
	}
	assert_int_equal(r, 0);
	*damage_r = letter_walk_damage(w);
	letter_walk_close(&w);
	return count;
}

static void assert_numbers(int from, int to)
{
	static int got[20000];
	uint64_t damage;
	assert_int_equal(numbers(got, 20000, &damage), to - from);
	for (int i = from; i < to; i++)
		assert_int_equal(got[i - from], i);
}

static struct dead_summary summary(void)
{
	struct dead_summary s;
	assert_int_equal(dead_summary(fixture_fd, "mq", &s), 0);
	return s;
}

static char *path_of_file(int i)
{
	static char path[200];
	uint64_t *files;
	ssize_t n = letter_files(dead_dir(dead), &files);
	char name[LETTER_FILE + 1];
	assert_true(n > 0);
	letter_file(name, files[i < 0 ? n + i : i]);
	free(files);
	snprintf(path, sizeof path, "%s/dead/mq/%s", fixture_dir, name);
	return path;
}

static int n_files(void)
{
	uint64_t *files = NULL;
	ssize_t n = letter_files(dead_dir(dead), &files);
	free(files);
	return (int)n;
}

static void test_whole(void **state)
{
	(void)state;
	struct letter l;
	assert_int_equal(bury(7, 300, "refused"), 0);
	assert_int_equal(dead_sync(dead), 0);
	struct letter_walk *w = letter_walk(dead_dir(dead), 0, true);
	assert_int_equal(letter_walk_next(w, &l), 1);
	assert_memory_equal(l.uuid, uuid, 16);
	assert_string_equal(l.why, "refused");
	assert_int_equal(l.attempts, 1);
	assert_int_equal(l.state, LETTER_WAITING);
	assert_true(l.died > 1700000000000000 && l.tried == l.died && !l.damaged);
	assert_int_equal(l.rec.pos, 7000);
	assert_int_equal(l.rec.next, 7500);
	assert_int_equal(l.rec.time, 1700000000000007);
	assert_int_equal(l.rec.lost, 1);
	assert_int_equal(l.rec.flags, RECORD_NATIVE);
	assert_memory_equal(l.rec.event.s, "MessageNew", l.rec.event.len);
	assert_memory_equal(l.rec.user.s, "jane", l.rec.user.len);
	assert_memory_equal(l.rec.owner.s, "john", l.rec.owner.len);
	assert_memory_equal(l.rec.mailbox.s, "Archive/2024", l.rec.mailbox.len);
	assert_int_equal(fixture_n(&l.rec), 7);
	assert_int_equal(letter_walk_next(w, &l), 0);
	letter_walk_close(&w);
	struct dead_summary s = summary();
	assert_true(s.waiting == 1 && s.asked == 0 && s.since > 0 && s.bytes > 600);
	struct stat st;
	assert_int_equal(stat(path_of_file(0), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_none(void **state)
{
	(void)state;
	struct dead_summary s;
	struct dead *d;
	assert_int_equal(dead_summary(fixture_fd, "other", &s), 0);
	assert_int_equal(s.waiting, 0);
	assert_int_equal(dead_open(&d, fixture_fd, "other", false), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(dead_open(&d, fixture_fd, "../mq", false), -1);
	assert_int_equal(dead_open(&d, fixture_fd, "", true), -1);
}

/* A worker that was killed before its cursor moved, and one that was moved back. */
static void test_not_twice(void **state)
{
	(void)state;
	bury_all(0, 500);
	bury_all(300, 600);
	assert_numbers(0, 600);
	reopen(MAX);
	bury_all(100, 700);
	bury_all(0, 700);
	assert_numbers(0, 700);
	assert_int_equal(summary().waiting, 700);
}

/* Moved back, a worker comes to events that lie behind later ones in the store. */
static void test_not_twice_out_of_order(void **state)
{
	(void)state;
	bury_all(5, 8);
	bury_all(1, 3);
	for (int life = 0; life < 2; life++) {
		for (int n = 1; n < 8; n++)
			assert_int_equal(bury(n, 300, "refused"), 0);
		int n[16];
		uint64_t damage;
		assert_int_equal(numbers(n, 16, &damage), 7);
		reopen(MAX);
	}
}

static enum dead_verdict every_second(void *ctx, const struct letter *l)
{
	(void)ctx;
	return l->serial % 2 ? DEAD_DROP : DEAD_KEEP;
}

static enum dead_verdict drop_all(void *ctx, const struct letter *l)
{
	(void)l;
	++*(int *)ctx;
	return DEAD_DROP;
}

static enum dead_verdict ask_all(void *ctx, const struct letter *l)
{
	(void)ctx;
	(void)l;
	return DEAD_RETRY;
}

static enum dead_verdict drop_some_and_die(void *ctx, const struct letter *l)
{
	(void)l;
	if (++*(int *)ctx == 300)
		kill(getpid(), SIGKILL);
	return DEAD_DROP;
}

/* notifyctl is killed while it deletes: what is told is what is there. */
static void test_drop_killed(void **state)
{
	(void)state;
	int count = 0, status;
	bury_all(0, 1000);
	pid_t pid = fork();
	if (pid == 0) {
		dead_judge(dead, drop_some_and_die, &count);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	assert_numbers(299, 1000);
	assert_int_equal(summary().waiting, 701);
	bury_all(1000, 1001);
	assert_int_equal(summary().waiting, 702);
}

/* By another process, while the worker has it open: what it writes after must not be lost. */
static void test_dropped(void **state)
{
	(void)state;
	struct dead *d;
	int count = 0;
	assert_int_equal(dead_open(&d, fixture_fd, "mq", false), 0);
	bury_all(0, 1000);
	int64_t since = summary().since;
	assert_int_equal(dead_judge(d, every_second, NULL), 0);
	assert_int_equal(summary().waiting, 500);
	assert_true(summary().since >= since);
	assert_int_equal(dead_judge(d, drop_all, &count), 0);
	assert_int_equal(count, 500);
	assert_int_equal(n_files(), 0);
	assert_int_equal(summary().waiting, 0);
	assert_int_equal(summary().since, 0);
	bury_all(1000, 1010);
	assert_numbers(1000, 1010);
	assert_int_equal(summary().waiting, 10);
	dead_close(&d);
}

static enum dead_verdict every_third(void *ctx, const struct letter *l)
{
	(void)ctx;
	return l->serial % 3 ? DEAD_KEEP : DEAD_DROP;
}

/* What was dropped is room, though it is less than half of every file. */
static void test_room_here_and_there(void **state)
{
	(void)state;
	reopen(1 << 20);
	int n = 0, more = 0;
	while (bury(n, 3000, "refused") == 0)
		n++;
	assert_int_equal(errno, EDQUOT);
	assert_int_equal(dead_judge(dead, every_third, NULL), 0);
	while (bury(n + more, 3000, "refused") == 0)
		more++;
	assert_int_equal(errno, EDQUOT);
	assert_true(more > n / 4); /* but for the file that is appended to */
	assert_int_equal(summary().waiting, n - n / 3 + more);
	assert_true(summary().bytes <= 1 << 20);
}

/* At the bound nothing is kept and nothing lost; what was deleted here and there makes room. */
static void test_bounded(void **state)
{
	(void)state;
	struct dead *d;
	int n = 0;
	reopen(1 << 20);
	while (bury(n, 3000, "refused") == 0)
		n++;
	assert_int_equal(errno, EDQUOT);
	assert_true(n > 250 && n < 350);
	assert_int_equal(dead_sync(dead), 0);
	assert_true(summary().bytes <= 1 << 20);
	assert_numbers(0, n);
	assert_int_equal(bury(n, 3000, "refused"), -1);
	assert_int_equal(dead_open(&d, fixture_fd, "mq", false), 0);
	assert_int_equal(dead_judge(d, every_second, NULL), 0);
	dead_close(&d);
	int more = n;
	while (bury(more, 3000, "refused") == 0)
		more++;
	assert_int_equal(errno, EDQUOT);
	assert_true(more - n > n / 3);
	assert_true(summary().bytes <= 1 << 20);
	assert_int_equal(summary().waiting, (n + 1) / 2 - (n % 2) + more - n);
	reopen(1 << 20);
	assert_int_equal(summary().waiting, (n + 1) / 2 - (n % 2) + more - n);
}

/* A letter is found by its serial after its file was written anew. */
static void test_compacted(void **state)
{
	(void)state;
	struct letter l, now;
	int n = 0;
	reopen(1 << 20);
	while (bury(n, 3000, "refused") == 0)
		n++;
	struct letter_walk *w = letter_walk(dead_dir(dead), 0, false);
	for (int i = 0; i < 4; i++)
		assert_int_equal(letter_walk_next(w, &l), 1);
	letter_walk_close(&w);
	assert_int_equal(l.rec.pos, 3000);
	assert_int_equal(dead_judge(dead, every_second, NULL), 0);
	assert_int_equal(bury(n, 3000, "refused"), 0);
	assert_int_equal(dead_failed(dead, &l, "once more"), 0);
	w = letter_walk(dead_dir(dead), 0, false);
	assert_int_equal(letter_walk_next(w, &now), 1);
	assert_int_equal(letter_walk_next(w, &now), 1);
	assert_true(now.serial == l.serial && now.at != l.at && now.attempts == 2);
	letter_walk_close(&w);
}

/* One larger than all the room there is, is kept where it is alone. */
static void test_large(void **state)
{
	(void)state;
	reopen(1 << 20);
	assert_int_equal(bury(1, 2 << 20, "too large"), 0);
	assert_int_equal(dead_sync(dead), 0);
	assert_int_equal(bury(2, 10, "refused"), -1);
	assert_int_equal(errno, EDQUOT);
	assert_numbers(1, 2);
}

/* Whatever is at the end of a file, letters before and after it are there. */
static void test_torn(void **state)
{
	(void)state;
	bury_all(0, 3);
	struct stat st;
	static int got[20];
	uint64_t damage;
	assert_int_equal(stat(path_of_file(0), &st), 0);
	off_t len = st.st_size / 3;
	for (off_t cut = 2 * len; cut < st.st_size; cut += 37) {
		assert_int_equal(truncate(path_of_file(0), cut), 0);
		reopen(MAX);
		assert_int_equal(numbers(got, 20, &damage), 2);
		assert_int_equal(summary().waiting, 2);
		assert_int_equal(bury(3, 300, "refused"), 0);
		assert_int_equal(numbers(got, 20, &damage), 3);
		assert_int_equal(got[2], 3);
		dead_close(&dead);
		/* as it was */
		fixture_empty(fixture_dir);
		char *why;
		assert_int_equal(journal_init(fixture_dir, &why), 0);
		reopen(MAX);
		bury_all(0, 3);
	}
}

static void overwrite(off_t at, const void *s, size_t len)
{
	int fd = open(path_of_file(0), O_WRONLY);
	assert_int_equal(pwrite(fd, s, len, at), (ssize_t)len);
	close(fd);
}

/* Each byte of the middle one of three, in turn. */
static void test_damaged(void **state)
{
	(void)state;
	struct stat st;
	int got[20];
	uint64_t damage;
	bury_all(0, 3);
	assert_int_equal(stat(path_of_file(0), &st), 0);
	size_t len = (size_t)st.st_size / 3;
	char *whole = malloc(len);
	int fd = open(path_of_file(0), O_RDONLY);
	assert_int_equal(pread(fd, whole, len, (off_t)len), (ssize_t)len);
	close(fd);
	for (size_t i = 0; i < len; i++) {
		char byte = (char)(whole[i] ^ 0x55);
		overwrite((off_t)(len + i), &byte, 1);
		int n = numbers(got, 20, &damage);
		assert_int_equal(got[0], 0);
		assert_int_equal(got[n - 1], 2);
		if (n == 3) /* a fact that can be overwritten, or the record: told */
			assert_true((i >= 72 && i < LETTER_HEAD) ? got[1] == 1 : got[1] == -1);
		else
			assert_true(n == 2 && i < 72 && damage == len);
		overwrite((off_t)len, whole, len);
	}
	free(whole);
}

/* A full disk, as a limit of the file size. */
static void test_full(void **state)
{
	(void)state;
	struct rlimit was, limit;
	signal(SIGXFSZ, SIG_IGN);
	bury_all(0, 10);
	struct stat st;
	assert_int_equal(stat(path_of_file(0), &st), 0);
	getrlimit(RLIMIT_FSIZE, &was);
	limit = was;
	limit.rlim_cur = (rlim_t)st.st_size + 200; /* half a letter more */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(bury(10, 300, "refused"), -1);
	assert_int_equal(bury(10, 300, "refused"), -1);
	int count = 0;
	setrlimit(RLIMIT_FSIZE, &was);
	assert_numbers(0, 10);
	assert_int_equal(summary().waiting, 10);
	bury_all(10, 20);
	assert_numbers(0, 20);
	assert_int_equal(stat(path_of_file(0), &st), 0);
	limit.rlim_cur = (rlim_t)st.st_size;
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_int_equal(dead_judge(dead, drop_all, &count), 0); /* deleting needs no room */
	setrlimit(RLIMIT_FSIZE, &was);
	assert_int_equal(count, 20);
}

/* kill -9 again and again: whoever was told that letters are kept finds each of them once. */
static void test_killed(void **state)
{
	(void)state;
	enum { KILLS = 40 };
	int told[2], last = 0;
	dead_close(&dead);
	for (int i = 0; i < KILLS; i++) {
		assert_int_equal(pipe(told), 0);
		pid_t pid = fork();
		if (pid == 0) {
			dead = NULL;
			reopen(MAX);
			/* a cursor that is a little behind; no more than there is room for */
			for (int n = last > 5 ? last - 5 : 0; n < last + 250; n++) {
				if (bury(n, 300, "refused") < 0 || dead_sync(dead) < 0 ||
				    write(told[1], &n, sizeof n) != sizeof n)
					_exit(1);
			}
			for (;;)
				pause();
		}
		assert_true(pid > 0);
		close(told[1]);
		int n, want = 1 + rand() % 40;
		for (int k = 0; k < want && read(told[0], &n, sizeof n) == sizeof n; k++)
			last = n > last ? n : last;
		kill(pid, SIGKILL);
		while (read(told[0], &n, sizeof n) == sizeof n)
			last = n > last ? n : last;
		close(told[0]);
		int status;
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
	}
	reopen(MAX);
	static int got[20000];
	uint64_t damage;
	int n = numbers(got, 20000, &damage);
	assert_true(n == last + 1 || n == last + 2);
	for (int i = 0; i < n; i++)
		assert_int_equal(got[i], i);
	assert_int_equal(summary().waiting, n);
}

/* The count is only a help. */
static void test_count(void **state)
{
	(void)state;
	char path[200];
	bury_all(0, 30);
	snprintf(path, sizeof path, "%s/dead/mq/count", fixture_dir);
	struct dead_summary was = summary();
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "zzz", 3, 9), 3);
	close(fd);
	struct dead_summary s = summary();
	assert_int_equal(s.waiting, 30);
	assert_true(s.since == was.since);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(summary().waiting, 30);
	bury_all(30, 31);
	assert_int_equal(summary().waiting, 31);
}

/* --- retry --- */

/* A driver that confirms late and in pieces, and checks what drivers may rely on. */
static struct {
	bool open;
	uint64_t sent[5000], last;
	int n, confirmed, drop_flush, opens, fail_open;
	int drop_every; /* refused for ever by send(), those of this multiple */
	unsigned char uuids[5000][16];
} far;

static int far_open(struct sink *sink)
{
	assert_false(far.open);
	if (far.fail_open && far.fail_open--)
		return sink_why(sink, SINK_RETRY, "down");
	far.open = true;
	far.last = 0;
	far.opens++;
	far.n = far.confirmed;
	return SINK_OK;
}

static int far_send(struct sink *sink, const struct record *rec)
{
	assert_true(far.open);
	assert_true(rec->pos > far.last);
	assert_int_equal(fixture_n(rec), rec->pos / 1000);
	if (far.n - far.confirmed == 16)
		return SINK_FULL;
	if (far.drop_every && fixture_n(rec) % far.drop_every == 0)
		return sink_why(sink, SINK_DROP, "still refused");
	memcpy(far.uuids[far.n], sink->uuid, 16);
	far.last = far.sent[far.n++] = rec->pos;
	return SINK_OK;
}

static int far_flush(struct sink *sink, int wait_ms, uint64_t *confirmed_r, size_t *inflight_r)
{
	(void)wait_ms;
	for (int i = 0; i < 5 && far.confirmed < far.n; i++) {
		if (far.drop_flush && far.sent[far.confirmed] == (uint64_t)far.drop_flush * 1000) {
			if (i)
				break; /* what lies before it is told first */
			far.drop_flush = 0;
			*confirmed_r = far.sent[far.confirmed];
			far.n--;
			memmove(far.sent + far.confirmed, far.sent + far.confirmed + 1,
			        (size_t)(far.n - far.confirmed) * sizeof *far.sent);
			*inflight_r = (size_t)(far.n - far.confirmed);
			return sink_why(sink, SINK_DROP, "refused at last");
		}
		*confirmed_r = far.sent[far.confirmed++] + 500;
	}
	*inflight_r = (size_t)(far.n - far.confirmed);
	return SINK_OK;
}

static void far_close(struct sink *sink)
{
	(void)sink;
	far.open = false;
}

static const struct sink_driver far_driver = {
    .name = "far", .open = far_open, .send = far_send, .flush = far_flush, .close = far_close};

static bool go_on(void *ctx, const struct retry *r)
{
	(void)r;
	return !ctx || --*(int *)ctx > 0;
}

static int retry(struct retry *r_r, int *steps)
{
	static struct sink sink;
	sink = (struct sink){.driver = &far_driver, .name = "mq"};
	memset(sink.uuid, 9, sizeof sink.uuid);
	*r_r = (struct retry){
	    .sink = &sink, .dead = dead, .serve = go_on, .ctx = steps, .from = r_r->from};
	int r = retry_run(r_r);
	for (int i = 0; i < 16; i++)
		assert_int_equal(sink.uuid[i], 9);
	assert_false(far.open);
	return r;
}

static void test_retry(void **state)
{
	(void)state;
	struct retry r = {.from = 0};
	memset(&far, 0, sizeof far);
	bury_all(1, 1001);
	/* none was asked for */
	assert_int_equal(retry(&r, NULL), SINK_OK);
	assert_int_equal(far.n, 0);
	assert_int_equal(dead_judge(dead, ask_all, NULL), 0);
	assert_int_equal(summary().asked, 1000);
	far.drop_every = 100;
	far.drop_flush = 555;
	r.from = 0;
	assert_int_equal(retry(&r, NULL), SINK_OK);
	assert_int_equal(r.delivered, 989);
	assert_int_equal(r.failed, 11);
	assert_int_equal(far.confirmed, 989);
	uint64_t last = 0;
	for (int i = 0; i < far.confirmed; i++) {
		assert_true(far.sent[i] > last);
		assert_memory_equal(far.uuids[i], uuid, 16);
		last = far.sent[i];
	}
	assert_int_equal(summary().waiting, 11);
	assert_int_equal(summary().asked, 0);
	struct letter l;
	struct letter_walk *w = letter_walk(dead_dir(dead), 0, true);
	for (int i = 0; letter_walk_next(w, &l) > 0;) {
		if (l.state == LETTER_GONE)
			continue;
		assert_int_equal(l.attempts, 2);
		assert_string_equal(l.why,
		                    fixture_n(&l.rec) == 555 ? "refused at last" : "still refused");
		assert_true(l.tried > l.died && ++i <= 11);
	}
	letter_walk_close(&w);
	assert_int_equal(far.opens, 1);
}

/* Positions that do not rise, and letters of the journal's former uuid, get a connection each. */
static void test_retry_order(void **state)
{
	(void)state;
	struct retry r = {.from = 0};
	memset(&far, 0, sizeof far);
	bury_all(100, 110);
	uuid[0]++;
	reopen(MAX);
	bury_all(100, 110);
	bury_all(50, 60);
	uuid[0]--;
	reopen(MAX);
	assert_int_equal(dead_judge(dead, ask_all, NULL), 0);
	assert_int_equal(retry(&r, NULL), SINK_OK);
	assert_int_equal(r.delivered, 30);
	assert_int_equal(far.opens, 3);
	assert_int_equal(far.uuids[9][0], uuid[0]);
	assert_int_equal(far.uuids[10][0], uuid[0] + 1);
	assert_int_equal(n_files(), 0);
}

/* Stopped, killed or refused on the way: the rest goes out later. */
static void test_retry_again(void **state)
{
	(void)state;
	struct retry r = {.from = 0};
	bool asked;
	int steps = 300;
	memset(&far, 0, sizeof far);
	bury_all(1, 1001);
	assert_int_equal(dead_judge(dead, ask_all, NULL), 0);
	far.fail_open = 1;
	assert_int_equal(retry(&r, NULL), SINK_RETRY);
	assert_string_equal(r.sink->why, "down");
	assert_int_equal(r.delivered, 0);
	assert_int_equal(retry(&r, &steps), SINK_OK);
	int first = (int)r.delivered;
	assert_true(first > 0 && first < 1000);
	dead_close(&dead);
	assert_int_equal(dead_open(&dead, fixture_fd, "mq", false), 0);
	assert_int_equal(dead_begin(dead, uuid, MAX, &asked), 0);
	assert_true(asked);
	r.from = 0;
	assert_int_equal(retry(&r, NULL), SINK_OK);
	assert_int_equal(r.delivered, 1000 - first);
	assert_int_equal(far.confirmed, 1000);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(far.sent[i], (i + 1) * 1000);
	assert_int_equal(summary().waiting, 0);
}

static void test_asked(void **state)
{
	(void)state;
	assert_false(dead_asked(fixture_fd, "mq"));
	assert_int_equal(dead_ask(fixture_fd, "mq"), 0);
	assert_int_equal(dead_ask(fixture_fd, "mq"), 0);
	assert_true(dead_asked(fixture_fd, "mq"));
	assert_false(dead_asked(fixture_fd, "m"));
	dead_heard(fixture_fd, "mq");
	assert_false(dead_asked(fixture_fd, "mq"));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_whole),       TEST(test_none),
	    TEST(test_not_twice),   TEST(test_not_twice_out_of_order),
	    TEST(test_dropped),     TEST(test_drop_killed),
	    TEST(test_bounded),     TEST(test_room_here_and_there),
	    TEST(test_compacted),   TEST(test_large),
	    TEST(test_torn),        TEST(test_damaged),
	    TEST(test_full),        TEST(test_killed),
	    TEST(test_count),       TEST(test_retry),
	    TEST(test_retry_order), TEST(test_retry_again),
	    TEST(test_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
