/* SPDX-License-Identifier: BSD-3-Clause */
#include "lost.h"

#include "segment.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each count is the sum of several numbers, so that processes that lose events together need not
 * wait for one another. The first of them are all that there is in the file of a version that knew
 * no reasons, and such a hook may still write there. */
enum { FIRST = 64, EACH = 28, ROWS = 16, NUMBERS = FIRST + ROWS * EACH };

/* One block of most file systems, so that on a full disk an earlier version's file can be made
 * longer; and no more than a process may write whose limit journal_lost() found large enough. */
_Static_assert(NUMBERS * sizeof(uint64_t) == 4096, "size of the file");
_Static_assert(LOST_REASONS - 1 <= ROWS, "a row for each reason");

/* Where a reason's numbers begin, and how many they are. */
static int place(enum lost_reason reason, int *n_r)
{
	*n_r = reason == LOST_UNKNOWN ? FIRST : EACH;
	return reason == LOST_UNKNOWN ? 0 : FIRST + ((int)reason - 1) * EACH;
}

enum lost_reason lost_reason(int error)
{
	switch (error) {
	case ENOSPC:
		return LOST_NO_SPACE;
	case EDQUOT:
		return LOST_QUOTA;
	case EACCES:
	case EPERM:
		return LOST_PERMISSION;
	case ENOENT:
	case ENOTDIR:
		return LOST_NO_DIRECTORY;
	case EFBIG:
		return LOST_FILE_SIZE_LIMIT;
	case EMFILE:
	case ENFILE:
		return LOST_DESCRIPTORS;
	case EIO:
	case EROFS:
		return LOST_IO_ERROR;
	case ENOMEM:
		return LOST_MEMORY;
	case EPROTONOSUPPORT:
		return LOST_VERSION;
	default:
		return LOST_OTHER;
	}
}

static int open_file(int dirfd, int flags)
{
	return openat(dirfd, "lost", flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int lost_init(int dirfd)
{
	int fd = open_file(dirfd, O_RDWR | O_CREAT);
	if (fd < 0)
		return -1;
	struct stat st;
	int r = posix_fallocate(fd, 0, NUMBERS * sizeof(uint64_t));
	/* An earlier version's that can't be made longer counts on without reasons. */
	if ((r == ENOSPC || r == EDQUOT || r == EFBIG) && fstat(fd, &st) == 0 &&
	    st.st_size >= (off_t)(FIRST * sizeof(uint64_t)))
		r = 0;
	if (r == 0 && segment_adopt(dirfd, fd) < 0)
		r = errno;
	close(fd);
	errno = r;
	return r ? -1 : 0;
}

static int add(int fd, enum lost_reason reason, unsigned n)
{
	/* Belongs to this open file alone and goes with it: a stopped process holds up none but
	 * the count, and nobody waits. */
	struct flock lock = {.l_type = F_WRLCK, .l_len = sizeof(uint64_t)};
	int many, first = place(reason, &many), r = -1;
	for (int i = 0; i < many && r < 0; i++) {
		lock.l_start = (first + (getpid() + i) % many) * (off_t)sizeof(uint64_t);
		r = fcntl(fd, F_OFD_SETLK, &lock);
	}
	uint64_t total = 0;
	if (r == 0 && pread(fd, &total, sizeof total, lock.l_start) < 0)
		r = -1;
	total = htole64(le64toh(total) + n);
	if (r == 0 && pwrite(fd, &total, sizeof total, lock.l_start) != sizeof total)
		r = -1;
	return r < 0 ? -1 : 0;
}

int lost_add(int dirfd, enum lost_reason reason, unsigned n)
{
	int fd = open_file(dirfd, O_RDWR);
	if (fd < 0 && errno == ENOENT && lost_init(dirfd) == 0)
		fd = open_file(dirfd, O_RDWR);
	if (fd < 0)
		return -1;
	int r = add(fd, reason, n);
	if (r < 0 && errno != EAGAIN && reason != LOST_UNKNOWN)
		r = add(fd, LOST_UNKNOWN, n);
	close(fd);
	return r;
}

int lost_read(int dirfd, uint64_t counts_r[LOST_REASONS])
{
	uint64_t numbers[NUMBERS] = {0};
	int fd = open_file(dirfd, O_RDONLY);
	ssize_t got = fd < 0 ? -1 : pread(fd, numbers, sizeof numbers, 0);
	int why = errno;
	if (fd >= 0)
		close(fd);
	for (int r = 0; r < LOST_REASONS; r++) {
		int many, first = place((enum lost_reason)r, &many);
		counts_r[r] = 0;
		for (int i = first; i < first + many; i++)
			counts_r[r] += le64toh(numbers[i]);
	}
	/* What a later version has reasons for. */
	for (int i = FIRST + (LOST_REASONS - 1) * EACH; i < NUMBERS; i++)
		counts_r[LOST_OTHER] += le64toh(numbers[i]);
	errno = why;
	return got < 0 && (fd >= 0 || why != ENOENT) ? -1 : 0;
}

uint64_t lost_total(int dirfd)
{
	uint64_t counts[LOST_REASONS], total = 0;
	lost_read(dirfd, counts);
	for (int r = 0; r < LOST_REASONS; r++)
		total += counts[r];
	return total;
}
