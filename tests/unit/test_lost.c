/* SPDX-License-Identifier: BSD-3-Clause */
/* Losses by reason: each under its own, beside a hook that knows none, in its file too. */
#include "../../notifyd/losses.h"

#include "journal_fixture.h"
#include "kept.h"

#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { NOBODY = 65534, FORMER = 64 * 8 };

static const struct record event = {.event = STR("Login"), .json = STR("{\"n\":1}")};

/* --- faults of write(2) --- */

static int fault; /* errno; 0: none */
ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
	if (fault) {
		errno = fault;
		return -1;
	}
	return __real_write(fd, data, len);
}

static char *lost_path(void)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/lost", fixture_dir);
	return path;
}

static off_t size(void)
{
	struct stat st;
	assert_int_equal(stat(lost_path(), &st), 0);
	return st.st_size;
}

/* That n were lost for this reason, and none for another. */
static void only(enum lost_reason reason, uint64_t n)
{
	uint64_t counts[LOST_REASONS];
	assert_int_equal(lost_read(fixture_fd, counts), 0);
	for (int i = 0; i < LOST_REASONS; i++)
		if (counts[i] != (i == (int)reason ? n : 0))
			fail_msg("%s: %llu", losses[i].name, (unsigned long long)counts[i]);
	assert_int_equal(lost_total(fixture_fd), n);
}

/* In a process of its own: it changes limits and rights. */
static void in_child(bool (*f)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(f() ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- the file --- */

static void test_each(void **state)
{
	(void)state;
	uint64_t counts[LOST_REASONS];
	for (int i = 0; i < LOST_REASONS; i++)
		for (int n = 0; n <= i; n++)
			assert_int_equal(lost_add(fixture_fd, (enum lost_reason)i, 10), 0);
	assert_int_equal(lost_read(fixture_fd, counts), 0);
	for (int i = 0; i < LOST_REASONS; i++)
		assert_int_equal(counts[i], 10 * (i + 1));
	assert_int_equal(lost_total(fixture_fd), 10 * LOST_REASONS * (LOST_REASONS + 1) / 2);
	assert_int_equal(size(), 4096);
	/* a later version's reasons are other ones */
	uint64_t n = htole64(5);
	int fd = open(lost_path(), O_WRONLY);
	assert_int_equal(pwrite(fd, &n, sizeof n, 4096 - 8), 8);
	close(fd);
	assert_int_equal(lost_read(fixture_fd, counts), 0);
	assert_int_equal(counts[LOST_OTHER], 10 * LOST_REASONS + 5);
}

static void test_no_file(void **state)
{
	(void)state;
	uint64_t counts[LOST_REASONS];
	assert_int_equal(unlink(lost_path()), 0);
	only(LOST_UNKNOWN, 0);
	assert_int_equal(lost_add(fixture_fd, LOST_QUOTA, 3), 0);
	only(LOST_QUOTA, 3);
	/* one that can't be read is no zero */
	assert_int_equal(unlink(lost_path()), 0);
	assert_int_equal(symlink("elsewhere", lost_path()), 0);
	assert_int_equal(lost_read(fixture_fd, counts), -1);
	assert_int_equal(errno, ELOOP);
}

/* As a version that knew no reasons left it. */
static void make_former(uint64_t first, uint64_t last)
{
	uint64_t slots[64] = {htole64(first)};
	slots[63] = htole64(last);
	unlink(lost_path());
	int fd = open(lost_path(), O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(fd, slots, sizeof slots), sizeof slots);
	close(fd);
}

static void test_former_file(void **state)
{
	(void)state;
	uint64_t counts[LOST_REASONS];
	make_former(17, 4);
	only(LOST_UNKNOWN, 21);
	/* by the hook, before a new notifyd was started */
	assert_int_equal(lost_add(fixture_fd, LOST_MEMORY, 2), 0);
	assert_int_equal(lost_total(fixture_fd), 23);
	make_former(17, 4);
	assert_int_equal(lost_init(fixture_fd), 0);
	assert_int_equal(size(), 4096);
	only(LOST_UNKNOWN, 21);
	assert_int_equal(lost_add(fixture_fd, LOST_OTHER, 2), 0);
	assert_int_equal(lost_read(fixture_fd, counts), 0);
	assert_int_equal(counts[LOST_UNKNOWN], 21);
	assert_int_equal(counts[LOST_OTHER], 2);
}

/* No room to make it longer: counted all the same, and notifyd starts. */
static bool no_longer(void)
{
	struct rlimit rl = {FORMER, FORMER};
	signal(SIGXFSZ, SIG_IGN);
	return setrlimit(RLIMIT_FSIZE, &rl) == 0 && lost_init(fixture_fd) == 0 &&
	       lost_add(fixture_fd, LOST_QUOTA, 5) == 0;
}

static void test_cannot_grow(void **state)
{
	(void)state;
	make_former(1, 1);
	in_child(no_longer);
	only(LOST_UNKNOWN, 7);
	assert_int_equal(size(), FORMER);
}

/* As the hook of that version does it. */
static int former_add(unsigned n)
{
	int fd = openat(fixture_fd, "lost", O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct flock lock = {.l_type = F_WRLCK, .l_len = 8};
	int r = -1;
	for (int i = 0; i < 64 && r < 0; i++) {
		lock.l_start = (getpid() + i) % 64 * 8;
		r = fcntl(fd, F_OFD_SETLK, &lock);
	}
	uint64_t total = 0;
	if (r == 0 && pread(fd, &total, sizeof total, lock.l_start) < 0)
		r = -1;
	total = htole64(le64toh(total) + n);
	if (r == 0 && pwrite(fd, &total, sizeof total, lock.l_start) != sizeof total)
		r = -1;
	close(fd);
	return r;
}

/* Hooks of both versions, while notifyd starts again and again. */
static void test_beside_former(void **state)
{
	(void)state;
	enum { PROCESSES = 6, LOSSES = 2000 };
	uint64_t counts[LOST_REASONS];
	pid_t pids[PROCESSES];
	make_former(100, 0);
	for (int p = 0; p < PROCESSES; p++) {
		pids[p] = fork();
		if (pids[p])
			continue;
		for (int i = 0; i < LOSSES; i++)
			while ((p % 2
			            ? former_add(1)
			            : lost_add(fixture_fd, p ? LOST_MAX_SIZE : LOST_MEMORY, 1)) < 0)
				;
		_exit(0);
	}
	uint64_t before = 0;
	for (int p = 0; p < PROCESSES;) {
		int status = 0;
		assert_int_equal(lost_init(fixture_fd), 0);
		assert_true(lost_total(fixture_fd) >= before); /* no counter goes back */
		before = lost_total(fixture_fd);
		p += waitpid(pids[p], &status, WNOHANG) > 0;
		assert_int_equal(status, 0);
	}
	assert_int_equal(lost_read(fixture_fd, counts), 0);
	assert_int_equal(counts[LOST_UNKNOWN], 100 + 3 * LOSSES);
	assert_int_equal(counts[LOST_MEMORY], LOSSES);
	assert_int_equal(counts[LOST_MAX_SIZE], 2 * LOSSES);
}

/* --- the reasons --- */

static void test_write_faults(void **state)
{
	(void)state;
	static const struct {
		int error;
		enum lost_reason reason;
	} faults[] = {{ENOSPC, LOST_NO_SPACE}, {EDQUOT, LOST_QUOTA},
	              {EIO, LOST_IO_ERROR},    {EROFS, LOST_IO_ERROR},
	              {EINVAL, LOST_OTHER},    {EPERM, LOST_PERMISSION},
	              {ENOMEM, LOST_MEMORY},   {EFBIG, LOST_FILE_SIZE_LIMIT}};
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		struct journal *j = fixture_journal();
		const char *why;
		assert_int_equal(journal_append(j, &event, NULL, &why), 0);
		fault = faults[i].error;
		errno = ENOTTY;
		assert_int_equal(journal_append(j, &event, NULL, &why), -1);
		assert_int_equal(errno, ENOTTY);
		fault = 0;
		only(faults[i].reason, 1);
		/* also where it is a segment that can't be made */
		fixture_empty(fixture_dir);
		char *init_why;
		assert_int_equal(journal_init(fixture_dir, &init_why), 0);
		fault = faults[i].error;
		assert_int_equal(journal_append(j, &event, NULL, &why), -1);
		assert_int_equal(journal_append(j, &event, NULL, &why), -1); /* not asked again */
		fault = 0;
		only(faults[i].reason, 2);
		journal_close(&j);
		assert_int_equal(unlink(lost_path()), 0);
	}
}

static void refuse(const struct journal_options *opt)
{
	struct journal *j;
	const char *why;
	assert_int_equal(journal_open(&j, fixture_dir, opt, &why), 0);
	for (int n = 0; n < 100000 && journal_append(j, &event, NULL, &why) == 0; n++)
		;
	assert_int_equal(journal_append(j, &event, NULL, &why), -1);
	journal_close(&j);
}

static void test_room(void **state)
{
	(void)state;
	const struct journal_options small = {.segment_size = 64 << 10, .max_size = 256 << 10},
				     full = {.segment_size = 64 << 10, .min_free = 100};
	refuse(&small);
	only(LOST_MAX_SIZE, 2);
	fixture_empty(fixture_dir);
	refuse(&full);
	only(LOST_MIN_FREE, 2);
}

/* For a tenth of a second it is not asked whether there is room again: why there was none is kept,
 * whatever else fails meanwhile. */
static void test_not_asked(void **state)
{
	(void)state;
	const struct journal_options full = {.segment_size = 64 << 10, .min_free = 100};
	static char json[RECORD_MAX];
	const struct record large = {.event = STR("Login"), .json = {json, sizeof json}};
	struct journal *j;
	const char *why;
	uint64_t counts[LOST_REASONS];
	assert_int_equal(journal_open(&j, fixture_dir, &full, &why), 0);
	assert_int_equal(journal_append(j, &event, NULL, &why), -1);
	assert_int_equal(journal_append(j, &large, NULL, &why), -1);
	assert_int_equal(journal_append(j, &event, NULL, &why), -1);
	assert_non_null(strstr(why, "mboxevent_min_free"));
	assert_int_equal(lost_read(fixture_fd, counts), 0);
	assert_int_equal(counts[LOST_MIN_FREE], 2);
	assert_int_equal(counts[LOST_TOO_LARGE], 1);
	journal_close(&j);
}

static void test_caller_and_size(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	const char *why;
	static char json[RECORD_MAX];
	struct record large = {.event = STR("Login"), .json = {json, sizeof json}};
	memset(json, ' ', sizeof json);
	assert_int_equal(journal_append(j, &large, NULL, &why), -1);
	only(LOST_TOO_LARGE, 1);
	unlink(lost_path());
	journal_lost(j, LOST_INCOMPLETE, 4);
	only(LOST_INCOMPLETE, 4);
	assert_int_equal(journal_lost_pending(j), 5);
	journal_close(&j);
}

static bool file_size(void)
{
	struct rlimit rl = {8192, RLIM_INFINITY};
	struct journal *j = fixture_journal();
	const char *why;
	int n = 0;
	/* a segment that is longer than what this process may write, */
	bool good = journal_append(j, &event, NULL, &why) == 0 && setrlimit(RLIMIT_FSIZE, &rl) == 0;
	while (n < 1000 && journal_append(j, &event, NULL, &why) == 0)
		n++;
	good &= n > 50 && n < 1000;
	/* and one that can't be made: there is room for the count alone */
	rl.rlim_cur = 4096;
	good &= setrlimit(RLIMIT_FSIZE, &rl) == 0;
	fixture_empty(fixture_dir);
	good &= journal_append(j, &event, NULL, &why) < 0;
	journal_close(&j);
	return good;
}

static void test_file_size(void **state)
{
	(void)state;
	in_child(file_size);
	only(LOST_FILE_SIZE_LIMIT, 1);
}

static bool not_allowed(void)
{
	struct journal *j = fixture_journal();
	const char *why;
	bool good = geteuid() != 0 || (setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
	good &= journal_append(j, &event, NULL, &why) < 0;
	journal_close(&j);
	return good;
}

/* The segments are another's, the directory and the counter are not. */
static void test_permission(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	uint64_t *bases;
	char path[128], name[SEGMENT_NAME + 1];
	fixture_append(j, 0, 0);
	journal_close(&j);
	assert_int_equal(segment_list(fixture_fd, &bases), 1);
	segment_name(name, bases[0]);
	free(bases);
	snprintf(path, sizeof path, "%s/%s", fixture_dir, name);
	assert_int_equal(chmod(path, 0400), 0);
	assert_int_equal(chmod(fixture_dir, 0777), 0);
	assert_int_equal(chmod(lost_path(), 0666), 0);
	in_child(not_allowed);
	only(LOST_PERMISSION, 1);
}

/* What can't be written down is kept, by its reason, until it can. */
static void test_pending(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	const char *why;
	char *init_why;
	uint64_t counts[LOST_REASONS];
	fixture_empty(fixture_dir);
	assert_int_equal(rmdir(fixture_dir), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(journal_append(j, &event, NULL, &why), -1);
	journal_lost(j, LOST_MEMORY, 2);
	assert_int_equal(journal_init(fixture_dir, &init_why), 0);
	close(fixture_fd);
	fixture_fd = open(fixture_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	only(LOST_UNKNOWN, 0);
	/* A child has not lost them. */
	pid_t pid = fork();
	if (pid == 0) {
		journal_lost(j, LOST_QUOTA, 1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	only(LOST_QUOTA, 1);
	usleep(150000);
	assert_int_equal(journal_append(j, &event, NULL, &why), 0);
	assert_int_equal(lost_read(fixture_fd, counts), 0);
	assert_int_equal(counts[LOST_NO_DIRECTORY], 3);
	assert_int_equal(counts[LOST_MEMORY], 2);
	assert_int_equal(lost_total(fixture_fd), 6);
	struct reader *r = fixture_reader(0);
	struct record rec;
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(rec.lost, 5);
	reader_close(&r);
	journal_close(&j);
}

/* Another version's directory takes no byte; afterwards it is told. */
static void test_version(void **state)
{
	(void)state;
	struct journal *j = fixture_journal();
	const char *why;
	char path[128], kept[128];
	snprintf(path, sizeof path, "%s/identity", fixture_dir);
	snprintf(kept, sizeof kept, "%s/kept", fixture_dir);
	assert_int_equal(rename(path, kept), 0);
	FILE *f = fopen(path, "w");
	fputs("mboxevent-journal 2\n", f);
	fclose(f);
	assert_int_equal(journal_append(j, &event, NULL, &why), -1);
	only(LOST_UNKNOWN, 0);
	assert_int_equal(rename(kept, path), 0);
	usleep(150000);
	assert_int_equal(journal_append(j, &event, NULL, &why), 0);
	only(LOST_VERSION, 1);
	journal_close(&j);
}

/* --- the words --- */

static void test_words(void **state)
{
	(void)state;
	struct buf page = BUF_INIT;
	assert_true(kept_slurp(kept_path("man/notifyd.8"), &page));
	for (int i = 0; i < LOST_REASONS; i++) {
		char item[64];
		assert_non_null(losses[i].name);
		assert_true(*losses[i].why && *losses[i].cure);
		assert_int_equal(strspn(losses[i].name, "abcdefghijklmnopqrstuvwxyz_"),
		                 strlen(losses[i].name));
		snprintf(item, sizeof item, ".It Li %s\n", losses[i].name);
		if (!strstr(buf_cstr(&page), item))
			fail_msg("notifyd(8) does not tell of %s", losses[i].name);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(losses[i].name, losses[k].name);
	}
	buf_free(&page);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_each),        T(test_no_file),       T(test_former_file),
	    T(test_cannot_grow), T(test_beside_former), T(test_write_faults),
	    T(test_room),        T(test_not_asked),     T(test_caller_and_size),
	    T(test_file_size),   T(test_permission),    T(test_pending),
	    T(test_version),     T(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
