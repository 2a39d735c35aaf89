/* SPDX-License-Identifier: BSD-3-Clause */
#include "rescue.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A process whose file size limit is lower than the segment's must not be ended by it. */
struct guard {
	sigset_t xfsz, before;
};

static void guard_begin(struct guard *g)
{
	sigemptyset(&g->xfsz);
	sigaddset(&g->xfsz, SIGXFSZ);
	pthread_sigmask(SIG_BLOCK, &g->xfsz, &g->before);
}

static void guard_end(const struct guard *g, bool raised)
{
	int why = errno;
	if (raised && !sigismember(&g->before, SIGXFSZ))
		sigtimedwait(&g->xfsz, NULL, &(struct timespec){0, 0});
	pthread_sigmask(SIG_SETMASK, &g->before, NULL);
	errno = why;
}

static ssize_t retire(int fd, const struct segment *seg, uint32_t gaps, uint64_t *next_r)
{
	const struct record sealing = {.lost = gaps};
	struct stat st;
	struct buf record = BUF_INIT;
	struct timespec t;
	/* fallocate() never shrinks it, whatever others append meanwhile. */
	if (fstat(fd, &st) < 0 ||
	    ((uint64_t)st.st_size <= seg->limit && fallocate(fd, 0, (off_t)seg->limit, 1) < 0) ||
	    fstat(fd, &st) < 0)
		return -1;
	ssize_t end = segment_seal(fd, seg, st.st_size, next_r);
	if (end)
		return end;
	clock_gettime(CLOCK_REALTIME, &t);
	if (record_encode(&record, RECORD_SEAL, &sealing,
	                  (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000) < 0) {
		errno = ENOMEM;
		return -1;
	}
	end = -1;
	for (int tries = 0; tries < 3 && end < 0; tries++) {
		ssize_t n = write(fd, record.s, record.len);
		if (n < 0 && errno != EINTR)
			break;
		if (n == (ssize_t)record.len && fstat(fd, &st) == 0) {
			/* Another's may be the first. */
			end = segment_seal(fd, seg, st.st_size, next_r);
			break;
		}
		errno = ENOSPC; /* a short write is never continued */
	}
	int why = errno;
	buf_free(&record);
	errno = why;
	return end > 0 ? end : -1;
}

ssize_t segment_retire(int fd, const struct segment *seg, uint32_t gaps, uint64_t *next_r)
{
	struct guard g;
	guard_begin(&g);
	ssize_t end = retire(fd, seg, gaps, next_r);
	guard_end(&g, end < 0 && errno == EFBIG);
	return end;
}

static int write_at(int fd, const char *s, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, s, len, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n < 0 ? errno : ENOSPC;
			return -1;
		}
		s += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* What lies from `at` to `end`. Holes stay holes: the one before an early SEAL may be as long as a
 * segment. */
static int copy(int from, int to, off_t at, off_t end)
{
	static const char zeros[4096];
	char chunk[16 * sizeof zeros];
	while (at < end) {
		size_t want = end - at < (off_t)sizeof chunk ? (size_t)(end - at) : sizeof chunk;
		ssize_t n = pread(from, chunk, want, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n < 0 ? errno : EIO;
			return -1;
		}
		for (ssize_t i = 0; i < n; i += (ssize_t)sizeof zeros) {
			size_t len = n - i < (ssize_t)sizeof zeros ? (size_t)(n - i) : sizeof zeros;
			if (memcmp(chunk + i, zeros, len) != 0 &&
			    write_at(to, chunk + i, len, at + i) < 0)
				return -1;
		}
		at += n;
	}
	return ftruncate(to, end);
}

/* Whether the directory is the one that the file is in: 1; 0: the file has no name any more, and
 * need not be saved: a copy has taken it, or all of it is delivered and it is deleted; -1. */
static int place(int dirfd, int fd, const struct segment *seg)
{
	char name[SEGMENT_NAME + 1];
	struct stat st, there;
	struct segment_bounds bounds;
	segment_name(name, seg->base);
	/* In this order: what loses its name in between is seen to have none. */
	bool named = fstatat(dirfd, name, &there, AT_SYMLINK_NOFOLLOW) == 0;
	segment_bounds(dirfd, &bounds);
	if (fstat(fd, &st) < 0)
		return -1;
	if (named && st.st_ino == there.st_ino && st.st_dev == there.st_dev)
		return 1;
	if (!st.st_nlink && seg->base < bounds.floor)
		return 0;
	struct segment copied;
	int copyfd = st.st_nlink || !named ? -1 : segment_open(dirfd, seg->base, O_RDONLY, &copied);
	if (copyfd >= 0)
		close(copyfd);
	if (copyfd >= 0 && memcmp(copied.uuid, seg->uuid, sizeof seg->uuid) == 0 &&
	    memcmp(copied.boot, seg->boot, sizeof seg->boot) == 0 && copied.created == seg->created)
		return 0;
	errno = ESTALE;
	return -1;
}

/* The copy in the place of what it is a copy of, unless that is delivered and deleted. */
static int replace(int dirfd, const char *tmp, const struct segment *seg)
{
	char name[SEGMENT_NAME + 1];
	struct segment_bounds bounds;
	segment_name(name, seg->base);
	if (renameat(dirfd, tmp, dirfd, name) < 0)
		return -1;
	segment_bounds(dirfd, &bounds);
	if (seg->base < bounds.floor)
		unlinkat(dirfd, name, 0);
	return segment_sync_names(dirfd);
}

/* Copies what is there first: where the disk takes nothing, a segment more would be no help, and
 * each process would leave one after the other. */
static int fill(int to, int dirfd, int fd, const struct segment *seg)
{
	struct stat st;
	if (segment_adopt(dirfd, to) < 0 || fstat(fd, &st) < 0 || copy(fd, to, 0, st.st_size) < 0 ||
	    fsync(to) < 0)
		return -1;
	ssize_t end = retire(fd, seg, 0, NULL);
	return end < 0 || copy(fd, to, st.st_size < end ? st.st_size : end, end) < 0 ? -1
	                                                                             : fsync(to);
}

static int rescue(int dirfd, int fd, const struct segment *seg)
{
	char tmp[SEGMENT_TMP];
	int placed = place(dirfd, fd, seg);
	/* The copy is synced; that it has the name may not be on the disk yet. */
	if (placed <= 0)
		return placed < 0 ? -1 : segment_sync_names(dirfd);
	segment_tmp(tmp, seg->base);
	int to = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return -1;
	int r = fill(to, dirfd, fd, seg) < 0 || replace(dirfd, tmp, seg) < 0 ? -1 : 0;
	int why = errno;
	close(to);
	if (r < 0)
		unlinkat(dirfd, tmp, 0);
	errno = why;
	return r;
}

int segment_rescue(int dirfd, int fd, const struct segment *seg)
{
	enum { TRIES = 3 }; /* other blocks each time */
	struct guard g;
	int r = -1;
	guard_begin(&g);
	bool raised = false;
	for (int tries = 0; tries < TRIES && r < 0; tries++) {
		r = rescue(dirfd, fd, seg);
		raised |= r < 0 && errno == EFBIG;
	}
	guard_end(&g, raised);
	return r;
}
