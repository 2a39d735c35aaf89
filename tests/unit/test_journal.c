/* SPDX-License-Identifier: BSD-3-Clause */
/* Writers: what journal_append() promises, with real processes and real files. */
#include "journal_fixture.h"

#include "../../lib/boots.h"
#include "../../lib/lost.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { WRITERS = 8, EACH = 4000 };

static void writer(int who, int from, int to)
{
	struct journal *j;
	const char *why;
	if (journal_open(&j, fixture_dir, &fixture_options, &why) < 0)
		_exit(1);
	for (int n = from; n < to; n++)
		fixture_append(j, who, n);
	journal_close(&j);
}

/* Reads all there is; every writer's records exactly once and in order. */
static void all_there(int writers, int each)
{
	int next[WRITERS] = {0};
	uint64_t last = 0;
	struct record rec;
	struct reader *r = fixture_reader(0);
	while (reader_next(r, &rec) == 1) {
		int who = rec.user.s[1] - '0';
		assert_in_range(who, 0, writers - 1);
		assert_int_equal(fixture_n(&rec), next[who]);
		next[who]++;
		assert_true(rec.pos > last || last == 0);
		assert_true(rec.next > rec.pos);
		last = rec.pos;
	}
	for (int i = 0; i < writers; i++)
		assert_int_equal(next[i], each);
	assert_int_equal(reader_damage(r)->torn, 0);
	assert_int_equal(reader_damage(r)->gap, 0);
	reader_close(&r);
}

static void test_many_writers(void **state)
{
	(void)state;
	pid_t pids[WRITERS];
	for (int i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			writer(i, 0, EACH);
			_exit(0);
		}
	}
	for (int i = 0; i < WRITERS; i++) {
		int status;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	uint64_t *bases;
	ssize_t n = segment_list(fixture_fd, &bases);
	assert_true(n > 20); /* 64 KB each: they did roll over */
	free(bases);
	all_there(WRITERS, EACH);
}

/* A writer that is stopped anywhere delays nobody, and goes on where others are by then. */
static void test_stopped_writer(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		writer(1, 0, EACH);
		_exit(0);
	}
	assert_true(pid > 0);
	struct journal *j = fixture_journal();
	for (int n = 0; n < EACH; n++) {
		if (n % 100 == 0)
			kill(pid, SIGSTOP);
		fixture_append(j, 0, n);
		if (n % 100 == 50)
			kill(pid, SIGCONT);
	}
	kill(pid, SIGCONT);
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	journal_close(&j);
	all_there(2, EACH);
}

/* A process that slept while its segment, and those after it, were filled and deleted. */
static void test_writer_behind_trim(void **state)
{
	(void)state;
	struct journal *sleeper = fixture_journal(), *j = fixture_journal();
	uint64_t first = fixture_append(sleeper, 0, 0), last = 0;
	for (int n = 1; n < 3000; n++)
		last = fixture_append(j, 0, n);
	assert_true(journal_trim(fixture_fd, last, 0) > 2);
	uint64_t pos = fixture_append(sleeper, 0, 3000);
	assert_true(pos > last);
	assert_true(first < last);
	struct record rec;
	struct reader *r = fixture_reader(last);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(fixture_n(&rec), 2999);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(fixture_n(&rec), 3000);
	assert_int_equal(rec.pos, pos);
	reader_close(&r);
	journal_close(&sleeper);
	journal_close(&j);
}

/* Cyrus daemons close every descriptor above 2 and use the numbers for files of their own. */
static void test_descriptors_reused(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 0);
	char path[128];
	snprintf(path, sizeof path, "%s/foreign", fixture_dir);
	int low = open("/dev/null", O_RDONLY);
	for (int fd = low + 1; fd < low + 32; fd++) {
		struct stat a, b;
		/* the fixture's own directory descriptor stays */
		if (fd == fixture_fd || fstat(fd, &a) < 0)
			continue;
		if (fstat(fixture_fd, &b) == 0 && a.st_ino == b.st_ino)
			continue;
		close(fd);
	}
	int foreign[32];
	for (int i = 0; i < 32; i++)
		foreign[i] = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
	for (int fd = 3; fd < low; fd++) {
		struct stat a, b;
		if (fd == fixture_fd || fstat(fd, &a) < 0)
			continue;
		snprintf(path, sizeof path, "%s/%016d.seg", fixture_dir, 0);
		if (stat(path, &b) == 0 && a.st_ino == b.st_ino) {
			snprintf(path, sizeof path, "%s/foreign", fixture_dir);
			int f = open(path, O_RDWR | O_APPEND);
			dup2(f, fd);
			close(f);
		}
	}
	fixture_append(j, 0, 1);
	struct stat st;
	assert_int_equal(fstat(foreign[0], &st), 0);
	assert_int_equal(st.st_size, 0);
	for (int i = 0; i < 32; i++)
		close(foreign[i]);
	close(low);
	journal_close(&j);
	all_there(1, 2);
}

static void test_fork_between(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 0);
	pid_t pid = fork();
	for (int n = 0; n < EACH; n++)
		fixture_append(j, pid == 0 ? 1 : 0, pid == 0 ? n : n + 1);
	if (pid == 0)
		_exit(0);
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	fixture_append(j, 1, EACH);
	journal_close(&j);
	all_there(2, EACH + 1);
}

static void test_new_boot(void **state)
{
	(void)state;
	struct segment old = {.base = 0, .limit = 64 << 10, .created = 1};
	memset(old.boot, 0x5a, sizeof old.boot);
	assert_int_equal(segment_create(fixture_fd, &old), 0);
	struct journal *j = fixture_journal();
	uint64_t pos = fixture_append(j, 0, 0);
	assert_true(pos >= SEGMENT_BOOT_GAP);
	struct record rec;
	/* A cursor that was ahead of what the power cut left: inside the hole. */
	struct reader *r = fixture_reader(SEGMENT_BOOT_GAP / 2);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(rec.pos, pos);
	assert_int_equal(reader_damage(r)->gap, 0);
	reader_close(&r);
	journal_close(&j);
	all_there(1, 1);
}

static void drop(uint64_t base)
{
	char name[SEGMENT_NAME + 1];
	segment_name(name, base);
	assert_int_equal(unlinkat(fixture_fd, name, 0), 0);
}

/* A power cut that takes the first segment of a boot away: its positions stay given, and what comes
 * after lies above a cursor that was in it. */
static void test_boot_gone(void **state)
{
	(void)state;
	struct segment old = {.base = 0, .limit = 64 << 10, .created = 1};
	memset(old.boot, 0x5a, sizeof old.boot);
	assert_int_equal(segment_create(fixture_fd, &old), 0);
	unsigned char other[16];
	memset(other, 0x5b, sizeof other);
	uint64_t gone = SEGMENT_HEADER + SEGMENT_BOOT_GAP;
	assert_int_equal(boots_begin(fixture_fd, other, gone), 0);
	struct journal *j = fixture_journal();
	uint64_t pos = fixture_append(j, 0, 0);
	assert_true(pos > gone + SEGMENT_BOOT_GAP);
	struct reader *r = fixture_reader(gone + 5000);
	struct record rec;
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(rec.pos, pos);
	reader_close(&r);
	journal_close(&j);
}

/* The same before anything else was there: no segment and no bounds, but a boot that began. */
static void test_first_gone(void **state)
{
	(void)state;
	unsigned char other[16];
	memset(other, 0x5b, sizeof other);
	assert_int_equal(boots_begin(fixture_fd, other, 0), 0);
	struct journal *j = fixture_journal();
	assert_true(fixture_append(j, 0, 0) > SEGMENT_BOOT_GAP);
	journal_close(&j);
}

/* One process of this boot wrote down where it begins and was stopped: the others begin there. */
static void test_boot_begun(void **state)
{
	(void)state;
	unsigned char boot[16];
	segment_boot(boot);
	uint64_t first = 3 * SEGMENT_BOOT_GAP;
	assert_int_equal(boots_begin(fixture_fd, boot, first), 0);
	struct journal *j = fixture_journal();
	assert_int_equal(fixture_append(j, 0, 0), first + SEGMENT_HEADER);
	journal_close(&j);
	/* Emptied by hand, that base was used: */
	drop(first);
	j = fixture_journal();
	assert_true(fixture_append(j, 0, 0) > first + SEGMENT_BOOT_GAP);
	journal_close(&j);
}

/* More boots than are remembered, and a file that somebody deleted. */
static void test_boots(void **state)
{
	(void)state;
	struct boots b;
	unsigned char boot[16];
	assert_int_equal(unlinkat(fixture_fd, "boots", 0), 0);
	for (unsigned char i = 1; i <= 3 * BOOTS_KEPT; i++) {
		memset(boot, i, sizeof boot);
		boots_read(fixture_fd, boot, &b);
		assert_false(b.known);
		assert_int_equal(boots_begin(fixture_fd, boot, i * 1000), 0);
		boots_read(fixture_fd, boot, &b);
		assert_true(b.known);
		assert_int_equal(b.first, i * 1000);
		assert_int_equal(b.above, i * 1000 + 1);
		if (i > BOOTS_KEPT) {
			memset(boot, i - BOOTS_KEPT, sizeof boot);
			boots_read(fixture_fd, boot, &b);
			assert_false(b.known);
		}
	}
	/* In its own place once more. */
	assert_int_equal(boots_begin(fixture_fd, boot, 200000), 0);
	assert_int_equal(boots_begin(fixture_fd, boot, 300000), 0);
	memset(boot, 3 * BOOTS_KEPT, sizeof boot);
	boots_read(fixture_fd, boot, &b);
	assert_true(b.known);
	assert_int_equal(b.above, 300001);
}

static void test_full_and_again(void **state)
{
	(void)state;
	struct journal_options small = fixture_options;
	small.max_size = 256 << 10;
	struct journal *j;
	const char *why = NULL;
	uint64_t pos = 0;
	assert_int_equal(journal_open(&j, fixture_dir, &small, &why), 0);
	char json[1001];
	memset(json, ' ', sizeof json);
	struct record rec = {.event = STR("MessageNew"), .json = {json, sizeof json}};
	int stored = 0;
	errno = ERANGE;
	while (stored < 1000 && journal_append(j, &rec, &pos, &why) == 0)
		stored++;
	assert_in_range(stored, 180, 260);
	assert_non_null(strstr(why, "mboxevent_max_size"));
	assert_int_equal(errno, ERANGE); /* preserved, as a mail server expects */
	assert_int_equal(journal_append(j, &rec, NULL, &why), -1);
	assert_int_equal(journal_lost_pending(j), 2);
	assert_int_equal(lost_total(fixture_fd), 2);
	assert_true(journal_trim(fixture_fd, pos, 0) > 0);
	usleep(150000); /* room is asked for again only every tenth of a second */
	assert_int_equal(journal_append(j, &rec, &pos, &why), 0);
	assert_int_equal(journal_lost_pending(j), 0);

	struct record got;
	struct reader *r = fixture_reader(pos);
	assert_int_equal(reader_next(r, &got), 1);
	assert_int_equal(got.lost, 2); /* a consumer can tell where */
	reader_close(&r);
	journal_close(&j);
}

static void test_file_size_limit(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		struct rlimit rl = {8192, 8192};
		struct journal *j = fixture_journal();
		char json[4000];
		const char *why = NULL;
		fixture_append(j, 0, 0);
		setrlimit(RLIMIT_FSIZE, &rl); /* with the segment open already */
		memset(json, ' ', sizeof json);
		struct record rec = {.event = STR("MessageNew"), .json = {json, sizeof json}};
		for (int i = 0; i < 6; i++)
			journal_append(j, &rec, NULL, &why);
		int code = journal_lost_pending(j) >= 3 && strstr(why, "file size limit") ? 0 : 1;
		journal_close(&j);
		_exit(code);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0); /* not killed by SIGXFSZ, and all counted */
}

/* A deleted segment's inode goes to the next file that is made: another Cyrus file, at the very
 * number that the hook's descriptor had. */
static void test_inode_reused(void **state)
{
	(void)state;
	struct journal *j = fixture_journal(), *others = fixture_journal();
	struct stat seg, st;
	char path[128];
	uint64_t last = 0;
	fixture_append(j, 0, 0);
	snprintf(path, sizeof path, "%s/%016d.seg", fixture_dir, 0);
	assert_int_equal(stat(path, &seg), 0);
	int fd = -1;
	for (int i = 3; i < 64 && fd < 0; i++)
		if (fstat(i, &st) == 0 && st.st_ino == seg.st_ino)
			fd = i;
	assert_true(fd >= 0);
	close(fd);
	for (int n = 1; n < 2000; n++)
		last = fixture_append(others, 0, n);
	assert_true(journal_trim(fixture_fd, last, 0) > 0);
	journal_close(&others);
	int foreign = -1;
	for (int n = 0; n < 500; n++) {
		snprintf(path, sizeof path, "%s/mail.%d", fixture_dir, n);
		foreign = open(path, O_RDWR | O_CREAT, 0600);
		assert_int_equal(fstat(foreign, &st), 0);
		if (st.st_ino == seg.st_ino)
			break;
		close(foreign);
		foreign = -1;
	}
	if (foreign < 0) {
		print_message("the file system did not give the inode again\n");
		journal_close(&j);
		return;
	}
	if (foreign != fd)
		dup2(foreign, fd);
	fixture_append(j, 0, 2000);
	assert_int_equal(fstat(foreign, &st), 0);
	assert_int_equal(st.st_size, 0);
	journal_close(&j);
	assert_int_equal(fcntl(fd, F_GETFD) >= 0, 1); /* nor was it closed */
	close(fd);
}

static void unlink_segments(void)
{
	uint64_t *bases;
	ssize_t n = segment_list(fixture_fd, &bases);
	for (ssize_t i = 0; i < n; i++) {
		char name[SEGMENT_NAME + 1];
		segment_name(name, bases[i]);
		assert_int_equal(unlinkat(fixture_fd, name, 0), 0);
	}
	free(bases);
}

/* An admin with a full disk deletes all segments: positions go on above, and an old cursor
 * reads what comes. */
static void test_emptied(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	uint64_t before = 0;
	for (int n = 0; n < 1000; n++)
		before = fixture_append(j, 0, n);
	struct reader *r = fixture_reader(before);
	struct record rec;
	assert_int_equal(reader_next(r, &rec), 1);
	uint64_t cursor = rec.next;
	reader_close(&r);
	for (int round = 0; round < 3; round++) {
		unlink_segments();
		usleep(1000);
		uint64_t pos = fixture_append(j, 0, 1000 + round);
		assert_true(pos > before);
		before = pos;
		r = fixture_reader(cursor);
		assert_int_equal(reader_next(r, &rec), 1);
		assert_int_equal(fixture_n(&rec), 1000 + round);
		reader_close(&r);
	}
	journal_close(&j);
}

/* One huge last record, larger than all the room: once it is read the journal goes on. */
static void test_full_by_one(void **state)
{
	(void)state;
	struct journal_options small = fixture_options;
	small.max_size = 256 << 10;
	struct journal *j;
	const char *why;
	uint64_t pos;
	size_t len = 400000;
	char *json = malloc(len);
	memset(json, ' ', len);
	struct record rec = {.event = STR("MessageNew"), .json = {json, len}};
	assert_int_equal(journal_open(&j, fixture_dir, &small, &why), 0);
	assert_int_equal(journal_append(j, &rec, &pos, &why), 0);
	fixture_append(j, 0, 1);
	free(json);
	journal_close(&j);
}

/* Segments at 1000, 2000, ..., begun so many seconds before now; how many keep_s lets go. */
static int trimmed(const int *ago, int n, int keep_s)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	for (int i = 0; i < n; i++) {
		struct segment seg = {.base = 1000u * (unsigned)(i + 1), .limit = 4096};
		seg.created = ((int64_t)t.tv_sec - ago[i]) * 1000000;
		assert_int_equal(segment_create(fixture_fd, &seg), 0);
	}
	int gone = journal_trim(fixture_fd, UINT64_MAX, (int64_t)keep_s * 1000000);
	for (int i = 0; i < n; i++) {
		char name[SEGMENT_NAME + 1];
		segment_name(name, 1000u * (unsigned)(i + 1));
		unlinkat(fixture_fd, name, 0);
	}
	return gone;
}

/* What is kept is kept for its time and not for ever, whatever became of the clock. The numbers are
 * what the headers say, in seconds before now. */
static void test_trim_clock(void **state)
{
	(void)state;
	const int year = 365 * 86400;
	/* none was set: the follower's age counts */
	const int good[] = {5000, 4000, 3000, 2000, 0};
	assert_int_equal(trimmed(good, 5, 3600), 1);
	assert_int_equal(trimmed(good, 5, 2500), 2);
	assert_int_equal(trimmed(good, 5, 10000), 0);
	/* set back by a year for good: those before go when those after are old enough */
	const int back[] = {5000 - year, 4000 - year, 3000 - year, 2000, 1000, 0};
	assert_int_equal(trimmed(back, 6, 3600), 0);
	assert_int_equal(trimmed(back, 6, 1500), 3);
	assert_int_equal(trimmed(back, 6, 900), 4);
	/* set back, and nothing begun since: nothing is known */
	const int since[] = {5000 - year, 4000 - year, 3000 - year};
	assert_int_equal(trimmed(since, 3, 60), 0);
	/* back for a while and right again: none goes early for a time that was wrong */
	const int between[] = {5000, 4000 + year, 3500 + year, 3000, 2000, 0};
	assert_int_equal(trimmed(between, 6, 3600), 0);
	assert_int_equal(trimmed(between, 6, 2500), 3);
	/* ahead for a while */
	const int ahead[] = {5000, 4000 - year, 3000, 2000, 0};
	assert_int_equal(trimmed(ahead, 5, 3600), 0);
	assert_int_equal(trimmed(ahead, 5, 2500), 2);
}

static bool has_segment(const char *dir)
{
	uint64_t *bases;
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	ssize_t n = segment_list(fd, &bases);
	if (n >= 0)
		free(bases);
	close(fd);
	return n > 0;
}

/* The directory moved away under a writer: its path is what counts, within a second. */
static void test_moved(void **state)
{
	(void)state;
	char away[80], *why;
	uint64_t pos;
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 1);
	snprintf(away, sizeof away, "%s.away", fixture_dir);
	assert_int_equal(rename(fixture_dir, away), 0);
	/* nothing there yet: what is appended comes back with the directory */
	struct record rec = {.event = STR("MessageNew"), .json = STR("{}")};
	const char *reason;
	usleep(1100000);
	assert_int_equal(journal_append(j, &rec, &pos, &reason), 0);
	/* nor in a file */
	int fd = open(fixture_dir, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	close(fd);
	usleep(1100000);
	assert_int_equal(journal_append(j, &rec, &pos, &reason), 0);
	assert_int_equal(unlink(fixture_dir), 0);

	assert_int_equal(journal_init(fixture_dir, &why), 0);
	/* not so many that the segment is full, after which it would go there anyway */
	for (int tries = 0; tries < 300 && !has_segment(fixture_dir); tries++) {
		assert_int_equal(journal_append(j, &rec, &pos, &reason), 0);
		usleep(50000);
	}
	assert_true(has_segment(fixture_dir));
	assert_int_equal(journal_lost_pending(j), 0);
	/* and back again */
	char other[80];
	snprintf(other, sizeof other, "%s.other", fixture_dir);
	assert_int_equal(rename(fixture_dir, other), 0);
	assert_int_equal(rename(away, fixture_dir), 0);
	uint64_t end = journal_end(fixture_fd);
	for (int tries = 0; tries < 300 && journal_end(fixture_fd) == end; tries++) {
		assert_int_equal(journal_append(j, &rec, &pos, &reason), 0);
		usleep(50000);
	}
	assert_int_not_equal(journal_end(fixture_fd), end);
	journal_close(&j);
	fixture_empty(other);
	rmdir(other);
}

/* A segment whose header a power cut left damaged does not stop the deleting. */
static void test_trim_damaged(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	uint64_t last = 0, *bases;
	for (int n = 0; n < 2000; n++)
		last = fixture_append(j, 0, n);
	ssize_t n = segment_list(fixture_fd, &bases);
	assert_true(n > 3);
	char name[SEGMENT_NAME + 1];
	segment_name(name, bases[1]);
	int fd = openat(fixture_fd, name, O_WRONLY);
	assert_int_equal(pwrite(fd, "x", 1, 20), 1);
	close(fd);
	assert_int_equal(journal_trim(fixture_fd, last, INT64_C(3600) * 1000000), 0); /* young */
	assert_int_equal(journal_trim(fixture_fd, last, 0), n - 1);
	free(bases);
	journal_close(&j);
}

/* Several processes on a full journal: every loss is in the counter. */
static void test_lost_exactly(void **state)
{
	(void)state;
	enum { LOSERS = 6, LOSSES = 500 };
	struct journal_options small = fixture_options;
	small.max_size = 1;
	struct journal *j;
	const char *why;
	assert_int_equal(journal_open(&j, fixture_dir, &small, &why), 0);
	struct record rec = {.event = STR("MessageNew"), .json = STR("{}")};
	while (journal_append(j, &rec, NULL, &why) == 0)
		;
	uint64_t before = lost_total(fixture_fd);
	pid_t pids[LOSERS];
	for (int i = 0; i < LOSERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			for (int n = 0; n < LOSSES; n++)
				if (journal_append(j, &rec, NULL, &why) == 0)
					_exit(1);
			_exit(journal_lost_pending(j) == LOSSES ? 0 : 2);
		}
	}
	for (int i = 0; i < LOSERS; i++) {
		int status;
		waitpid(pids[i], &status, 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(lost_total(fixture_fd) - before, LOSERS * LOSSES);
	uint64_t lost[LOST_REASONS];
	assert_int_equal(lost_read(fixture_fd, lost), 0);
	assert_int_equal(lost[LOST_MAX_SIZE], lost_total(fixture_fd));
	journal_close(&j);
}

static void test_no_room_in_files(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		struct rlimit none = {0, 0};
		struct journal *j = fixture_journal();
		const char *why = NULL;
		struct record rec = {.event = STR("MessageNew"), .json = STR("{}")};
		setrlimit(RLIMIT_FSIZE, &none);
		int r = journal_append(j, &rec, NULL, &why);
		journal_close(&j);
		_exit(r < 0 && strstr(why, "file size limit") ? 0 : 1);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void test_removed_directory(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 0);
	fixture_empty(fixture_dir);
	struct record rec = {.event = STR("MessageNew"), .json = STR("{}")};
	const char *why;
	rmdir(fixture_dir);
	assert_int_equal(journal_append(j, &rec, NULL, &why), -1);
	assert_non_null(strstr(why, "missing"));
	char *init_why;
	assert_int_equal(journal_init(fixture_dir, &init_why), 0);
	usleep(150000);
	assert_int_equal(journal_append(j, &rec, NULL, &why), 0);
	journal_close(&j);
}

static void test_modes(void **state)
{
	(void)state;
	mode_t before = umask(0);
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 0);
	umask(before);
	journal_close(&j);
	char path[128];
	struct stat st;
	snprintf(path, sizeof path, "%s/%016d.seg", fixture_dir, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	snprintf(path, sizeof path, "%s/lost", fixture_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_restored_copy(void **state)
{
	(void)state;
	unsigned char uuid[16], former[16], again[16];
	char command[256], *why;
	assert_int_equal(journal_identity(fixture_fd, uuid, former), 0);
	assert_int_equal(journal_init(fixture_dir, &why), 0);
	assert_int_equal(journal_identity(fixture_fd, again, former), 0);
	assert_memory_equal(uuid, again, 16);
	snprintf(command, sizeof command, "cd %s && cp -p identity x && mv x identity",
	         fixture_dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(journal_init(fixture_dir, &why), 0);
	assert_int_equal(journal_identity(fixture_fd, again, former), 0);
	assert_memory_not_equal(uuid, again, 16);
	assert_memory_equal(uuid, former, 16);
}

static void test_id(void **state)
{
	(void)state;
	unsigned char uuid[16], back[16];
	char id[JOURNAL_ID];
	uint64_t pos;
	for (int i = 0; i < 16; i++)
		uuid[i] = (unsigned char)(i * 17);
	journal_id(id, uuid, 0x123456789abcdef0);
	assert_string_equal(id, "00112233-4455-6677-8899-aabbccddeeff-123456789abcdef0");
	assert_true(journal_id_parse(id, strlen(id), back, &pos));
	assert_memory_equal(uuid, back, 16);
	assert_true(pos == 0x123456789abcdef0);
	assert_false(journal_id_parse(id, strlen(id) - 1, back, &pos));
	id[36] = '_';
	assert_false(journal_id_parse(id, strlen(id), back, &pos));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_many_writers),
	    T(test_stopped_writer),
	    T(test_writer_behind_trim),
	    T(test_descriptors_reused),
	    T(test_fork_between),
	    T(test_new_boot),
	    T(test_boot_gone),
	    T(test_first_gone),
	    T(test_boot_begun),
	    T(test_boots),
	    T(test_full_and_again),
	    T(test_inode_reused),
	    T(test_emptied),
	    T(test_full_by_one),
	    T(test_lost_exactly),
	    T(test_trim_damaged),
	    T(test_trim_clock),
	    T(test_moved),
	    T(test_no_room_in_files),
	    T(test_file_size_limit),
	    T(test_removed_directory),
	    T(test_modes),
	    T(test_restored_copy),
	    T(test_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
