/* SPDX-License-Identifier: BSD-3-Clause */
/* The whole-journal calls of journal.h. */
#include "follows.h"
#include "journal.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

uint64_t journal_end(int dirfd)
{
	uint64_t *bases, end = 0;
	struct segment seg;
	struct stat st;
	ssize_t n = segment_list(dirfd, &bases);
	if (n <= 0)
		return 0;
	int fd = segment_open(dirfd, bases[n - 1], O_RDONLY, &seg);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		end = seg.base + (uint64_t)st.st_size;
		if ((uint64_t)st.st_size > seg.limit)
			segment_seal(fd, &seg, st.st_size, &end);
	} else {
		end = segment_beyond(dirfd, bases[n - 1]);
	}
	if (fd >= 0)
		close(fd);
	free(bases);
	return end;
}

static bool another_version(int dirfd, uint64_t base)
{
	struct segment seg;
	int fd = segment_open(dirfd, base, O_RDONLY, &seg);
	bool is = fd < 0 && errno == EPROTONOSUPPORT;
	if (fd >= 0)
		close(fd);
	return is;
}

/* When a segment was begun, as its header has it; INT64_MIN when that is not known. */
static int64_t began(int dirfd, uint64_t base)
{
	struct segment seg;
	struct stat st;
	bool damaged; /* it must not hold up for ever those before it */
	int64_t time = INT64_MIN;
	int fd = segment_open_records(dirfd, base, &seg, &damaged);
	if (fd < 0)
		return INT64_MIN;
	if (!damaged)
		time = seg.created;
	else if (fstat(fd, &st) == 0) /* no earlier than its last append */
		time = (int64_t)st.st_mtim.tv_sec * 1000000;
	close(fd);
	return time;
}

/* The same for bases[i], by a clock that may have been set meanwhile: a time that is still to come,
 * or earlier than that of a segment before, was no time; that of the next one with a good one,
 * which is later, stands for it. INT64_MAX: there is none. */
static int64_t surely_began(const int64_t *times, ssize_t n, ssize_t i, int64_t at)
{
	int64_t latest = INT64_MIN;
	for (ssize_t k = 0; k < n; k++) {
		if (times[k] > at || times[k] < latest)
			continue;
		latest = times[k];
		if (k >= i && latest != INT64_MIN)
			return latest;
	}
	return INT64_MAX;
}

/* Whether processes with the hook of the version before made segments since. */
static bool older_goes_on(int dirfd)
{
	uint64_t *bases;
	ssize_t n = segment_list_older(dirfd, &bases);
	if (n >= 0)
		free(bases);
	return n > 0;
}

/* As journal_trim(), of these segments. */
static int trim(int dirfd, const uint64_t *bases, ssize_t n, uint64_t pos, int64_t keep_us)
{
	int gone = 0;
	uint64_t floor = 0;
	int64_t at = now(), *times = keep_us && n ? calloc((size_t)n, sizeof *times) : NULL;
	for (ssize_t i = 0; times && i < n; i++)
		times[i] = began(dirfd, bases[i]);
	for (ssize_t i = 0; i + 1 < n && bases[i + 1] <= pos; i++) {
		/* The newest of the version before stays, as any newest does, until its processes
		 * have made another. */
		uint64_t below = bases[i + 1];
		if (segment_version(bases[i]) != segment_version(below)) {
			if (!older_goes_on(dirfd))
				continue;
			if (follows_at(dirfd, &below) != 1)
				break;
		}
		int64_t follower = times ? surely_began(times, n, i + 1, at) : INT64_MAX;
		if (keep_us && (follower == INT64_MAX || at - follower < keep_us))
			break;
		if (another_version(dirfd, bases[i]))
			break;
		char name[SEGMENT_NAME + 1];
		segment_name(name, bases[i]);
		/* First the floor: whoever makes this segment again must see it. */
		if (segment_floor(dirfd, below) < 0 || unlinkat(dirfd, name, 0) < 0)
			break;
		floor = below;
		gone++;
	}
	if (gone)
		segment_sweep(dirfd, floor);
	free(times);
	return gone;
}

int journal_trim(int dirfd, uint64_t pos, int64_t keep_us)
{
	uint64_t *bases;
	ssize_t n = segment_list(dirfd, &bases);
	if (n < 0)
		return -1;
	int gone = trim(dirfd, bases, n, pos, keep_us);
	free(bases);
	return gone;
}

int journal_trim_older(int dirfd, uint64_t pos)
{
	uint64_t *bases;
	ssize_t n = segment_list_older(dirfd, &bases);
	if (n < 0)
		return -1;
	int gone = trim(dirfd, bases, n, pos, 0);
	free(bases);
	return gone;
}
