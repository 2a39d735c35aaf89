/* SPDX-License-Identifier: BSD-3-Clause */
/* System calls that fail now and then: write(2) with EINTR, EIO, ENOSPC, EDQUOT, EROFS or a part
 * only, the others with EINTR (where they may), EIO, EMFILE or ENOSPC; of writers, of a reader and
 * of a cursor. The oracle: nothing ends; what was accepted is read, once, in order; what was
 * refused is counted exactly. usage: torture_faults [EVENTS]   (60000) TAP; $MBOXEVENT_SEED repeats
 * it. */
#include "scratch.h"

#include "../../lib/cursor.h"
#include "../../lib/lost.h"

enum { MOST = 4000000 };

static uint64_t seed;
static bool faulty;
static unsigned long faults;

static bool fails(unsigned one_in)
{
	if (!faulty || chance_of(&seed) % one_in)
		return false;
	faults++;
	return true;
}

ssize_t __real_write(int fd, const void *s, size_t n);
ssize_t __wrap_write(int fd, const void *s, size_t n);
ssize_t __wrap_write(int fd, const void *s, size_t n)
{
	static const int errors[] = {EINTR, EINTR, EIO, ENOSPC, EDQUOT, EROFS};
	if (fails(30)) {
		errno = errors[chance_of(&seed) % (sizeof errors / sizeof errors[0])];
		return -1;
	}
	if (n > 1 && fails(30))
		n = 1 + chance_of(&seed) % (n - 1);
	return __real_write(fd, s, n);
}

ssize_t __real_pwrite(int fd, const void *s, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *s, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *s, size_t n, off_t at)
{
	if (fails(20)) {
		errno = EIO;
		return -1;
	}
	return __real_pwrite(fd, s, n, at);
}

ssize_t __real_pread(int fd, void *s, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *s, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *s, size_t n, off_t at)
{
	if (fails(60)) {
		errno = chance_of(&seed) % 2 ? EINTR : EIO;
		return -1;
	}
	return __real_pread(fd, s, n, at);
}

int __real_openat(int dirfd, const char *path, int flags, mode_t mode);
int __wrap_openat(int dirfd, const char *path, int flags, mode_t mode);
int __wrap_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	if (fails(20)) {
		errno = chance_of(&seed) % 2 ? EMFILE : EIO;
		return -1;
	}
	return __real_openat(dirfd, path, flags, mode);
}

int __real_linkat(int a, const char *from, int b, const char *to, int flags);
int __wrap_linkat(int a, const char *from, int b, const char *to, int flags);
int __wrap_linkat(int a, const char *from, int b, const char *to, int flags)
{
	if (fails(10)) {
		errno = ENOSPC;
		return -1;
	}
	return __real_linkat(a, from, b, to, flags);
}

int __real_unlinkat(int dirfd, const char *path, int flags);
int __wrap_unlinkat(int dirfd, const char *path, int flags);
int __wrap_unlinkat(int dirfd, const char *path, int flags)
{
	if (fails(10)) {
		errno = EIO;
		return -1;
	}
	return __real_unlinkat(dirfd, path, flags);
}

/* Time goes faster where one waits for nothing else: a refused writer asks again after a while. */
static long skew_ms;

int __real_clock_gettime(clockid_t which, struct timespec *t);
int __wrap_clock_gettime(clockid_t which, struct timespec *t);
int __wrap_clock_gettime(clockid_t which, struct timespec *t)
{
	int r = __real_clock_gettime(which, t);
	t->tv_sec += skew_ms / 1000;
	t->tv_nsec += skew_ms % 1000 * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
	return r;
}

int main(int argc, char **argv)
{
	static unsigned char accepted[MOST], seen[MOST];
	static const struct journal_options opt = {.segment_size = 64 << 10, .max_size = 1 << 30};
	enum { WRITERS = 3 };
	int target = argc > 1 ? atoi(argv[1]) : 60000, last[WRITERS] = {0}, n = 0;
	unsigned long refused = 0, told = 0, missing = 0, twice = 0, order = 0, trims = 0, kept = 0,
		      stuck = 0, ghosts = 0;
	struct journal *j[WRITERS];
	struct record rec;
	char dir[96], *why = NULL;
	const char *w;
	bool made;
	if (target >= MOST)
		target = MOST - 1;
	scratch_make();
	seed = seed_make();
	snprintf(dir, sizeof dir, "%s/journal", scratch);
	if (journal_init(dir, &why) < 0)
		return 1;
	for (int i = 0; i < WRITERS; i++)
		if (journal_open(&j[i], dir, &opt, &w) < 0)
			return 1;
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	struct cursor *c;
	if (cursor_open(&c, dirfd, "sink", 0, &made, &why) < 0)
		return 1;
	struct reader *r = reader_open(dir, 0, &why);
	int ends = 0;
	while (n < target || ends < 30) {
		faulty = n < target;
		int who = (int)(chance_of(&seed) % WRITERS), many = (int)(chance_of(&seed) % 60);
		for (int i = 0; i < many && n < target; i++) {
			uint64_t pos;
			accepted[n] =
			    put_event(j[who], who, n, chance_of(&seed) % 900, &pos, &w) >= 0;
			if (!accepted[n++]) {
				refused++;
				skew_ms += 40;
			}
		}
		skew_ms += 10;
		int got;
		while ((got = reader_next(r, &rec)) == 1) {
			int k = event_n(&rec), by = event_who(&rec);
			twice += seen[k];
			seen[k] = 1;
			order += k < last[by];
			last[by] = k;
			/* Written whole, but then the segment could not be read back for a SEAL
			 * before it: it told its losses, and so will the next. */
			if (accepted[k])
				told += rec.lost;
			else
				ghosts++;
			if (cursor_set(c, rec.next, 0) < 0)
				kept++;
		}
		stuck = got < 0 ? stuck + 1 : 0;
		if (stuck > 10000)
			break;
		int gone = journal_trim(dirfd, cursor_get(c)->pos, 0);
		trims += gone > 0 ? (unsigned)gone : 0;
		if (n >= target) {
			ends++;
			skew_ms += 1000;
		}
	}
	faulty = false;
	for (int i = 0; i < WRITERS; i++) {
		told += journal_lost_pending(j[i]);
		journal_lost(j[i], LOST_UNKNOWN, 0);
	}
	for (int i = 0; i < n; i++)
		missing += accepted[i] && !seen[i];
	uint64_t total = lost_total(dirfd);
	tap(!missing && !twice && !order && !stuck && told == refused && total == refused,
	    "%lu faults in %d events: %lu refused (the counter says %llu, the records %lu), "
	    "%lu missing, %lu twice, %lu out of order",
	    faults, n, refused, (unsigned long long)total, told, missing, twice, order);
	printf("# read though refused %lu, cursor writes failed %lu, torn %llu, segments deleted "
	       "%lu\n",
	       ghosts, kept, (unsigned long long)reader_damage(r)->torn, trims);
	reader_close(&r);
	cursor_close(&c);
	for (int i = 0; i < WRITERS; i++)
		journal_close(&j[i]);
	close(dirfd);
	scratch_remove();
	return tap_end();
}
