/* SPDX-License-Identifier: BSD-3-Clause */
#include "follows.h"

#include "rescue.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* <journal>/follows-v1: text. */
#define FILE_NAME "follows-v%u"
#define FORMAT    "mboxevent-journal-follows 1\nat %016" PRIx64 "\n"
#define SCAN      "mboxevent-journal-follows 1\nat %16" SCNx64 "\n"

enum { BEFORE = SEGMENT_VERSION - 1, NAME = 24 };

uint64_t follows_at(int dirfd)
{
	char name[NAME], text[64];
	uint64_t at;
	if (!BEFORE)
		return 0;
	snprintf(name, sizeof name, FILE_NAME, (unsigned)BEFORE);
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return sscanf(text, SCAN, &at) == 1 ? at : 0;
}

/* Seals the newest segment of the version before. Where the next one begins; 0 with errno. */
static uint64_t seal(int dirfd)
{
	uint64_t *bases, at = 0;
	ssize_t n = segment_list(dirfd, &bases);
	if (n < 0)
		return 0;
	while (n && segment_version(bases[n - 1]) != BEFORE)
		n--;
	if (!n) {
		free(bases);
		return SEGMENT_FIRST(BEFORE) + 1;
	}
	uint64_t base = bases[n - 1];
	struct segment seg;
	free(bases);
	int fd = segment_open(dirfd, base, O_RDWR | O_APPEND, &seg);
	if (fd < 0 && errno == EBADMSG) /* nobody appends behind a header that is damaged */
		return base + SEGMENT_BOOT_GAP;
	if (fd < 0)
		return 0;
	if (segment_retire(fd, &seg, 0, &at) < 0 || fdatasync(fd) < 0)
		at = 0;
	int why = errno;
	close(fd);
	errno = why;
	return at;
}

static int put(int dirfd, uint64_t at)
{
	char name[NAME], tmp[NAME + 1], text[64];
	snprintf(name, sizeof name, FILE_NAME, (unsigned)BEFORE);
	snprintf(tmp, sizeof tmp, ".%s", name);
	int len = snprintf(text, sizeof text, FORMAT, at);
	unlinkat(dirfd, tmp, 0);
	int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	errno = ENOSPC;
	int r = write(fd, text, (size_t)len) == len ? segment_adopt(dirfd, fd) : -1;
	if (r == 0)
		r = fsync(fd);
	if (r == 0)
		r = renameat(dirfd, tmp, dirfd, name);
	if (r == 0)
		r = fsync(dirfd);
	int why = errno;
	close(fd);
	errno = why;
	return r;
}

int follows_settle(int dirfd)
{
	if (!BEFORE || follows_at(dirfd))
		return 0;
	uint64_t at = seal(dirfd);
	return at ? put(dirfd, at) : -1;
}
