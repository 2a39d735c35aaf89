/* SPDX-License-Identifier: BSD-3-Clause */
#include "follows.h"

#include "cursor.h"
#include "rescue.h"
#include "segment.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* <journal>/follows-v1: text. */
#define FILE_NAME "follows-v%u"
#define FORMAT    "mboxevent-journal-follows 1\nat %016" PRIx64 "\nchecksum %016" PRIx64 "\n"
#define SCAN      "mboxevent-journal-follows 1\nat %16" SCNx64 "\nchecksum %16" SCNx64 "\n"

enum { BEFORE = SEGMENT_VERSION - 1, NAME = 24 };

static uint64_t checksum(uint64_t at)
{
	at = htole64(at);
	return XXH3_64bits(&at, sizeof at);
}

int follows_at(int dirfd, uint64_t *at_r)
{
	char name[NAME], text[96];
	uint64_t sum;
	if (!BEFORE)
		return 0;
	snprintf(name, sizeof name, FILE_NAME, (unsigned)BEFORE);
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	ssize_t n = read(fd, text, sizeof text - 1);
	int why = errno;
	close(fd);
	errno = why;
	if (n < 0)
		return -1;
	text[n] = '\0';
	if (sscanf(text, SCAN, at_r, &sum) == 2 && sum == checksum(*at_r))
		return 1;
	errno = EBADMSG;
	return -1;
}

/* Seals the newest segment of the version before. 0 with where the next one begins; -1 with errno.
 */
static int seal(int dirfd, uint64_t *at_r)
{
	uint64_t *bases;
	ssize_t n = segment_list(dirfd, &bases);
	if (n < 0)
		return -1;
	while (n && segment_version(bases[n - 1]) != BEFORE)
		n--;
	uint64_t base = n ? bases[n - 1] : 0;
	free(bases);
	*at_r = SEGMENT_FIRST(BEFORE);
	if (!n)
		return 0;
	struct segment seg;
	int fd = segment_open(dirfd, base, O_RDWR | O_APPEND, &seg);
	if (fd < 0 && errno == EBADMSG) { /* nobody appends behind a header that is damaged */
		*at_r = base + SEGMENT_BOOT_GAP;
		return 0;
	}
	if (fd < 0)
		return -1;
	int r = segment_retire(fd, &seg, 0, at_r) < 0 ? -1 : fdatasync(fd);
	int why = errno;
	close(fd);
	errno = why;
	return r;
}

/* Somebody reads this version's part already. */
static void reads_on(void *ctx, const char *name)
{
	struct cursor_state state;
	int *dirfd = ctx;
	if (*dirfd >= 0 && cursor_peek(*dirfd, name, &state) == 0 &&
	    segment_version(state.pos) == SEGMENT_VERSION)
		*dirfd = -1;
}

static int put(int dirfd, uint64_t at)
{
	char name[NAME], tmp[NAME + 1], text[96];
	snprintf(name, sizeof name, FILE_NAME, (unsigned)BEFORE);
	snprintf(tmp, sizeof tmp, ".%s", name);
	int len = snprintf(text, sizeof text, FORMAT, at, checksum(at));
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
	uint64_t at;
	int settled = BEFORE ? follows_at(dirfd, &at) : 1, unread = dirfd;
	if (settled)
		return settled < 0 ? -1 : 0;
	/* To settle it anew, farther on, would leave out what is still to be taken over. */
	if (cursor_each(dirfd, reads_on, &unread) < 0)
		return -1;
	if (unread < 0) {
		errno = EBADMSG;
		return -1;
	}
	return seal(dirfd, &at) < 0 ? -1 : put(dirfd, at);
}
