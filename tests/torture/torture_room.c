/* SPDX-License-Identifier: BSD-3-Clause */
/* No room, no rights, no descriptors, no directory. The oracle: the writer goes on; what an append
 * accepted is read, what it refused is not lost twice nor forgotten: the counter file and the
 * counts in the records tell it exactly; writing resumes by itself; cursors advance meanwhile; the
 * journal never takes more than it may.
 * usage: torture_room [ROUNDS]   (3 times full and free again)
 * TAP. */
#include "scratch.h"

#include "../../lib/cursor.h"
#include "../../lib/lost.h"
#include "../../lib/segment.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

enum { MOST = 2000000 };

static char dir[128], ballast[128];
static unsigned char accepted[MOST], seen[MOST];
static int next_n;
static unsigned long put_ok, put_refused, full_times;
static struct journal *j;
static const char *last_why;

static struct journal_options opt = {.segment_size = 64 << 10, .max_size = 1 << 30};

static void begin(void)
{
	char *why = NULL;
	const char *w;
	memset(accepted, 0, sizeof accepted);
	memset(seen, 0, sizeof seen);
	next_n = 0;
	put_ok = put_refused = full_times = 0;
	snprintf(dir, sizeof dir, "%s/journal", scratch_mnt);
	snprintf(ballast, sizeof ballast, "%s/ballast", scratch_mnt);
	if (journal_init(dir, &why) < 0 || journal_open(&j, dir, &opt, &w) < 0) {
		printf("Bail out! %s\n", why ? why : w);
		exit(1);
	}
}

static bool put(void)
{
	uint64_t pos;
	int n = next_n++;
	if (n >= MOST)
		return false;
	accepted[n] = put_event(j, 0, n, (size_t)n % 1500, &pos, &last_why) >= 0;
	put_ok += accepted[n];
	put_refused += !accepted[n];
	return accepted[n];
}

/* Appends until `in a row` are refused, then that many again. */
static bool fill(void)
{
	int row = 0;
	for (int i = 0; i < 200000 && row < 200; i++)
		row = put() ? 0 : row + 1;
	full_times += row >= 200;
	return row >= 200;
}

/* For a second and a half at most: whether an append is accepted again. */
static bool resumes(void)
{
	for (int i = 0; i < 30; i++) {
		if (put())
			return true;
		usleep(50000);
	}
	return false;
}

/* How many were lost for this reason, which is to be the only one. */
static uint64_t lost_for(int dirfd, enum lost_reason reason)
{
	uint64_t counts[LOST_REASONS];
	return lost_read(dirfd, counts) == 0 ? counts[reason] : 0;
}

static bool advance(struct cursor *c, struct reader *r, unsigned long *lost_told)
{
	struct record rec;
	bool good = true;
	while (reader_next(r, &rec) == 1) {
		int n = event_n(&rec);
		if (n < 0 || n >= MOST || seen[n]++)
			good = false;
		*lost_told += rec.lost;
	}
	return cursor_set(c, reader_pos(r), 0) == 0 && good;
}

/* Fills, `relieve`s, goes on; all over again. Then counts. */
static void rounds(const char *what, enum lost_reason reason, int n, void (*press)(void),
                   void (*relieve)(void))
{
	bool made, good = true;
	char *why = NULL;
	struct cursor *c;
	unsigned long told = 0, missing = 0, not_accepted = 0, trims = 0;
	char reasons[200] = "";
	begin();
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	put();
	if (cursor_open(&c, dirfd, "sink", 0, &made, &why) < 0) {
		tap(false, "%s: %s", what, why);
		return;
	}
	struct reader *r = reader_open(dir, 0, &why);
	for (int i = 0; i < n && good; i++) {
		if (press)
			press();
		if (!fill())
			good = (printf("# never full\n"), false);
		snprintf(reasons, sizeof reasons, "%s", last_why);
		if (!advance(c, r, &told)) /* on the full disk */
			good = (printf("# the cursor does not advance\n"), false);
		if (relieve)
			relieve();
		int gone = journal_trim(dirfd, cursor_get(c)->pos, 0);
		trims += gone > 0 ? (unsigned)gone : 0;
		if (!resumes())
			good = (printf("# does not resume: %s\n", last_why), false);
	}
	put();
	advance(c, r, &told);
	for (int i = 0; i < next_n; i++) {
		missing += accepted[i] && !seen[i];
		not_accepted += !accepted[i] && seen[i];
	}
	uint64_t total = lost_for(dirfd, reason);
	unsigned pending = journal_lost_pending(j);
	tap(good && !missing && total == put_refused && told + pending == put_refused,
	    "%s: %lu events, %lu refused (the counter says %llu, the records %lu), %lu missing",
	    what, put_ok + put_refused, put_refused, (unsigned long long)total, told + pending,
	    missing);
	printf("# full %lu times: %s; read though refused %lu; segments deleted %lu\n", full_times,
	       reasons, not_accepted, trims);
	reader_close(&r);
	cursor_close(&c);
	journal_close(&j);
	close(dirfd);
}

static void nothing(void)
{
}

static void no_files(void)
{
	int i;
	char path[160];
	for (i = 0; i < 100000; i++) {
		snprintf(path, sizeof path, "%s.%d", ballast, i);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (fd < 0)
			break;
		close(fd);
	}
}

static void some_files(void)
{
	shell("rm -f %s.*", ballast);
}

/* Nobody may have a file open for writing when it is remounted: a new process meets it. */
static void read_only(void)
{
	char *why;
	const char *w;
	begin();
	put();
	journal_close(&j);
	bool good = shell("mount -o remount,ro %s", scratch_mnt) == 0;
	good = journal_open(&j, dir, &opt, &w) == 0 && good;
	for (int i = 0; i < 300; i++)
		put();
	good = put_refused == 300 && good;
	char reason[200];
	snprintf(reason, sizeof reason, "%s", last_why);
	good = shell("mount -o remount,rw %s", scratch_mnt) == 0 && good;
	good = resumes() && good;
	struct record rec;
	struct reader *r = reader_open(dir, 0, &why);
	unsigned long told = 0;
	while (reader_next(r, &rec) == 1)
		told += rec.lost;
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	tap(good && told == put_refused && lost_for(dirfd, LOST_IO_ERROR) == put_refused,
	    "remounted read-only: %lu refused (the counter says %llu, the records %lu)",
	    put_refused, (unsigned long long)lost_for(dirfd, LOST_IO_ERROR), told);
	printf("# %s\n", reason);
	reader_close(&r);
	close(dirfd);
	journal_close(&j);
}

/* No descriptor is left, though the journal's own is open; it must be opened anew. */
static void descriptors(void)
{
	int taken[300], n = 0;
	struct rlimit before, few;
	begin();
	put();
	getrlimit(RLIMIT_NOFILE, &before);
	few = before;
	few.rlim_cur = 256;
	setrlimit(RLIMIT_NOFILE, &few);
	while (n < 300 && (taken[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	bool good = fill(); /* at the first segment's end it has none for the next */
	for (int i = 0; i < n; i++)
		close(taken[i]);
	setrlimit(RLIMIT_NOFILE, &before);
	char reason[200];
	snprintf(reason, sizeof reason, "%s", last_why);
	good = resumes() && good;
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	put();
	tap(good && lost_for(dirfd, LOST_DESCRIPTORS) == put_refused,
	    "no descriptor left: %lu events, %lu refused (the counter says %llu)",
	    put_ok + put_refused, put_refused,
	    (unsigned long long)lost_for(dirfd, LOST_DESCRIPTORS));
	printf("# %s\n", reason);
	close(dirfd);
	journal_close(&j);
}

static void removed(void)
{
	char *why;
	begin();
	put();
	shell("rm -rf %s", dir);
	for (int i = 0; i < 500; i++)
		put();
	bool good = put_refused == 500;
	journal_init(dir, &why);
	good = resumes() && good;
	put();
	struct record rec;
	struct reader *r = reader_open(dir, 0, &why);
	unsigned long told = 0;
	while (reader_next(r, &rec) == 1)
		told += rec.lost;
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	tap(good && told == put_refused && lost_for(dirfd, LOST_NO_DIRECTORY) == put_refused,
	    "directory removed: %lu refused (the counter says %llu, the records %lu)", put_refused,
	    (unsigned long long)lost_for(dirfd, LOST_NO_DIRECTORY), told);
	reader_close(&r);
	close(dirfd);
	journal_close(&j);
}

/* In a child, whose limit it is. */
static void limited(void)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		/* soft, below what the segment is long already: then up again */
		begin();
		for (int i = 0; i < 30; i++)
			put();
		struct rlimit low = {8192, RLIM_INFINITY}, high = {RLIM_INFINITY, RLIM_INFINITY};
		setrlimit(RLIMIT_FSIZE, &low);
		for (int i = 0; i < 400; i++)
			put();
		bool good = put_refused > 0;
		setrlimit(RLIMIT_FSIZE, &high);
		good = resumes() && good;
		put();
		int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
		printf("# %lu refused, the counter says %llu\n", put_refused,
		       (unsigned long long)lost_for(dirfd, LOST_FILE_SIZE_LIMIT));
		fflush(stdout);
		_exit(good && lost_for(dirfd, LOST_FILE_SIZE_LIMIT) == put_refused ? 0 : 1);
	}
	int status;
	waitpid(pid, &status, 0);
	tap(status == 0, "a file size limit: not killed, counted, goes on (status %d)", status);
}

static uint64_t used(int dirfd)
{
	uint64_t *bases, sum = 0;
	ssize_t n = segment_list(dirfd, &bases);
	for (ssize_t i = 0; i < n; i++) {
		char name[SEGMENT_NAME + 1];
		struct stat st;
		segment_name(name, bases[i]);
		if (fstatat(dirfd, name, &st, 0) == 0)
			sum += (uint64_t)st.st_size;
	}
	if (n >= 0)
		free(bases);
	return sum;
}

/* A reader that stands still, for `events` events. The limit may be the journal's or the file
 * system's; neither is passed, but by what the last record of a segment is longer. */
static void outage(const char *what, int events, uint64_t max_size, unsigned min_free)
{
	enum { SLACK = 2 * 1700 };
	bool made, good = true;
	char *why = NULL;
	struct cursor *c;
	struct statvfs fs = {0};
	unsigned long told = 0, missing = 0;
	uint64_t most = 0, least = UINT64_MAX;
	opt.max_size = max_size;
	opt.min_free = min_free;
	begin();
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	put();
	if (cursor_open(&c, dirfd, "sink", 0, &made, &why) < 0) {
		tap(false, "%s: %s", what, why);
		return;
	}
	for (int i = 0; i < events; i++) {
		put();
		if (i % 16)
			continue;
		uint64_t now = used(dirfd);
		most = now > most ? now : most;
		if (fstatvfs(dirfd, &fs) == 0 && fs.f_bavail * fs.f_frsize < least)
			least = fs.f_bavail * fs.f_frsize;
		if (i % 4096 == 0)
			usleep(110000); /* it asks for room again, each time */
	}
	uint64_t leave = (uint64_t)fs.f_blocks * fs.f_frsize / 100 * min_free;
	good = put_refused > 0 && most <= max_size + SLACK && least + SLACK >= leave;
	printf("# at most %llu bytes of %llu; at least %llu free, of %llu\n",
	       (unsigned long long)most, (unsigned long long)max_size, (unsigned long long)least,
	       (unsigned long long)leave);
	struct reader *r = reader_open(dir, 0, &why);
	good = advance(c, r, &told) && good;
	journal_trim(dirfd, cursor_get(c)->pos, 0);
	if (!resumes())
		good = (printf("# does not resume: %s\n", last_why), false);
	put();
	good = advance(c, r, &told) && good;
	for (int i = 0; i < next_n; i++)
		missing += accepted[i] && !seen[i];
	tap(good && !missing && lost_total(dirfd) == put_refused && told == put_refused,
	    "%s: %lu events, %lu refused (the counter says %llu, the records %lu), %lu missing",
	    what, put_ok + put_refused, put_refused, (unsigned long long)lost_total(dirfd), told,
	    missing);
	reader_close(&r);
	cursor_close(&c);
	journal_close(&j);
	close(dirfd);
	opt = (struct journal_options){.segment_size = 64 << 10, .max_size = 1 << 30};
}

/* The directory moved away, and a new one made in its place: within a second writers are there, and
 * nothing is lost. */
static void moved(int n)
{
	char *why, away[160];
	bool good = true;
	unsigned long there = 0, in_new = 0;
	begin();
	for (int i = 0; i < n; i++) {
		struct record rec;
		unsigned long last = in_new;
		put();
		snprintf(away, sizeof away, "%s.away", dir);
		good = rename(dir, away) == 0 && journal_init(dir, &why) == 0 && good;
		/* not so many that the segment is full, after which it would go there anyway */
		for (int tries = 0; tries < 30 && in_new == last; tries++) {
			put();
			usleep(100000);
			struct reader *r = reader_open(dir, 0, &why);
			while (reader_next(r, &rec) == 1)
				in_new++;
			reader_close(&r);
		}
		good = in_new > last && good;
		struct reader *r = reader_open(away, 0, &why);
		while (reader_next(r, &rec) == 1)
			there++;
		reader_close(&r);
		/* what the next round moves away has been counted */
		there -= i ? 1 : 0;
		shell("rm -rf %s", away);
	}
	tap(good && put_refused == 0 && there + in_new == put_ok,
	    "directory moved %d times: %lu events, %lu found where it went, %lu in the new one", n,
	    put_ok, there, in_new);
	journal_close(&j);
}

static uid_t poor = 65534;

/* No rights any more, in a child that is not root. */
static void forbidden(void)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (geteuid() == 0 &&
		    (chmod(scratch, 0755) < 0 || chown(scratch_mnt, poor, poor) < 0 ||
		     setgid(poor) < 0 || setuid(poor) < 0 || access(scratch_mnt, W_OK) < 0))
			_exit(77);
		begin();
		put();
		bool good = chmod(dir, 0) == 0 && fill();
		printf("# %s\n", last_why);
		good = chmod(dir, 0700) == 0 && resumes() && good;
		put();
		int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
		printf("# %lu refused, the counter says %llu\n", put_refused,
		       (unsigned long long)lost_for(dirfd, LOST_PERMISSION));
		fflush(stdout);
		_exit(good && lost_for(dirfd, LOST_PERMISSION) == put_refused ? 0 : 1);
	}
	int status;
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		tap_skip("no permission", "there is no other user, or it can't reach $TMPDIR");
	else
		tap(status == 0, "no permission: counted, goes on (status %d)", status);
}

static void quota(int n)
{
	char options[80];
	snprintf(options, sizeof options, "size=8m,usrquota,usrquota_block_hardlimit=600k");
	if (mount("tmpfs", scratch_mnt, "tmpfs", 0, options) < 0) {
		tap_skip("a quota", "this kernel's tmpfs has none");
		return;
	}
	fflush(stdout);
	if (chown(scratch_mnt, poor, poor) < 0)
		exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		if (setgid(poor) < 0 || setuid(poor) < 0)
			_exit(1);
		rounds("a quota (EDQUOT)", LOST_QUOTA, n, nothing, nothing);
		fflush(stdout);
		_exit(tap_failed);
	}
	int status;
	waitpid(pid, &status, 0);
	tap_n++; /* the child's */
	tap_failed += status != 0;
	scratch_umount();
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 3;
	const char *cannot = scratch_make();
	signal(SIGXFSZ, SIG_DFL);
	descriptors();
	shell("rm -rf %s", dir);
	removed();
	shell("rm -rf %s", dir);
	limited();
	shell("rm -rf %s", dir);
	forbidden();
	shell("rm -rf %s", dir);
	outage("a reader that stands still", n * 20000, 1 << 20, 0);
	shell("rm -rf %s", dir);
	moved(n < 5 ? n : 5);
	shell("rm -rf %s", dir);
	if (cannot) {
		tap_skip("full, read-only and quota'd file systems", cannot);
	} else {
		if (mount("tmpfs", scratch_mnt, "tmpfs", 0, "size=600k") == 0) {
			rounds("a full tmpfs", LOST_NO_SPACE, n, nothing, nothing);
			scratch_umount();
		}
		if (mount("tmpfs", scratch_mnt, "tmpfs", 0, "size=64m,nr_inodes=40") == 0) {
			rounds("no inode left", LOST_NO_SPACE, n, no_files, some_files);
			scratch_umount();
		}
		if (mount("tmpfs", scratch_mnt, "tmpfs", 0, "size=2m") == 0) {
			outage("the same, with mboxevent_min_free", n * 20000, 1 << 30, 20);
			scratch_umount();
		}
		quota(n);
		if (scratch_ext4(4, "-O ^has_journal -m 0", "")) {
			rounds("a full ext4", LOST_NO_SPACE, n, nothing, nothing);
			shell("rm -rf %s", dir);
			read_only();
			scratch_umount();
		} else {
			tap_skip("a full ext4", "none can be mounted here");
		}
	}
	scratch_remove();
	return tap_end();
}
