/* SPDX-License-Identifier: BSD-3-Clause */
#include "lost.h"

#include "segment.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* The count is the sum of these, so that processes that lose events together need not wait for one
 * another. */
enum { SLOTS = 64 };

static int open_file(int dirfd, int flags)
{
	return openat(dirfd, "lost", flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int lost_init(int dirfd)
{
	int fd = open_file(dirfd, O_RDWR | O_CREAT);
	if (fd < 0)
		return -1;
	int r = posix_fallocate(fd, 0, SLOTS * sizeof(uint64_t));
	if (r == 0 && segment_adopt(dirfd, fd) < 0)
		r = errno;
	close(fd);
	errno = r;
	return r ? -1 : 0;
}

int lost_add(int dirfd, unsigned n)
{
	int fd = open_file(dirfd, O_RDWR);
	if (fd < 0 && errno == ENOENT && lost_init(dirfd) == 0)
		fd = open_file(dirfd, O_RDWR);
	if (fd < 0)
		return -1;
	/* Belongs to this open file alone and goes with it: a stopped process holds up none but
	 * the count, and nobody waits. */
	struct flock lock = {.l_type = F_WRLCK, .l_len = sizeof(uint64_t)};
	int r = -1;
	for (int i = 0; i < SLOTS && r < 0; i++) {
		lock.l_start = (getpid() + i) % SLOTS * (off_t)sizeof(uint64_t);
		r = fcntl(fd, F_OFD_SETLK, &lock);
	}
	uint64_t total = 0;
	if (r == 0 && pread(fd, &total, sizeof total, lock.l_start) < 0)
		r = -1;
	total = htole64(le64toh(total) + n);
	if (r == 0 && pwrite(fd, &total, sizeof total, lock.l_start) != sizeof total)
		r = -1;
	close(fd);
	return r < 0 ? -1 : 0;
}

uint64_t lost_total(int dirfd)
{
	uint64_t slots[SLOTS] = {0}, total = 0;
	int fd = open_file(dirfd, O_RDONLY);
	if (fd < 0)
		return 0;
	if (pread(fd, slots, sizeof slots, 0) > 0)
		for (int i = 0; i < SLOTS; i++)
			total += le64toh(slots[i]);
	close(fd);
	return total;
}
