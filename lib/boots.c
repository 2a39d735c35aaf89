/* SPDX-License-Identifier: BSD-3-Clause */
#include "boots.h"

#include "segment.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLACK 2000000 /* between clocks, microseconds */

/* Little-endian numbers; the checksum covers all before it. All of them in one disk sector. */
struct entry {
	unsigned char boot[16];
	uint64_t first, time;
	uint64_t checksum;
} __attribute__((packed));

_Static_assert(BOOTS_KEPT * sizeof(struct entry) <= 512, "boots");

static const unsigned char unknown[16];

static int boots_open(int dirfd, int flags)
{
	char path[SEGMENT_TMP];
	segment_place(path, SEGMENT_VERSION, "boots");
	return openat(dirfd, path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

int boots_init(int dirfd)
{
	int fd = boots_open(dirfd, O_RDWR | O_CREAT);
	if (fd < 0)
		return -1;
	int r = posix_fallocate(fd, 0, BOOTS_KEPT * sizeof(struct entry));
	if (r == 0 &&
	    (segment_adopt(dirfd, fd) < 0 || fsync(fd) < 0 || segment_sync_names(dirfd) < 0))
		r = errno;
	close(fd);
	errno = r;
	return r ? -1 : 0;
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

bool boots_since_start(int64_t time)
{
	struct timespec t;
	if (clock_gettime(CLOCK_BOOTTIME, &t) < 0)
		return true;
	int64_t up = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
	return time >= now() - up - SLACK;
}

static uint64_t checksum(const struct entry *e)
{
	return XXH3_64bits(e, offsetof(struct entry, checksum));
}

/* Zeros and what is damaged count for nothing. */
static bool valid(const struct entry *e)
{
	return e->checksum == htole64(checksum(e));
}

static void entries_read(int fd, struct entry entries_r[BOOTS_KEPT])
{
	memset(entries_r, 0, BOOTS_KEPT * sizeof *entries_r);
	if (pread(fd, entries_r, BOOTS_KEPT * sizeof *entries_r, 0) < 0)
		memset(entries_r, 0, BOOTS_KEPT * sizeof *entries_r);
}

void boots_read(int dirfd, const unsigned char boot[16], struct boots *boots_r)
{
	struct entry entries[BOOTS_KEPT];
	*boots_r = (struct boots){0};
	int fd = boots_open(dirfd, O_RDONLY);
	if (fd < 0)
		return;
	entries_read(fd, entries);
	close(fd);
	for (int i = 0; i < BOOTS_KEPT; i++) {
		const struct entry *e = &entries[i];
		if (!valid(e))
			continue;
		uint64_t first = le64toh(e->first);
		if (first >= boots_r->above)
			boots_r->above = first + 1;
		bool ours = memcmp(e->boot, boot, 16) == 0;
		bool since = boots_since_start((int64_t)le64toh(e->time));
		if (ours && (since || memcmp(boot, unknown, 16) != 0)) {
			boots_r->known = true;
			boots_r->first = first;
		} else if (!ours && since && (!boots_r->beside || first > boots_r->beside_first)) {
			boots_r->beside = true;
			boots_r->beside_first = first;
			memcpy(boots_r->beside_boot, e->boot, 16);
		}
	}
}

int boots_begin(int dirfd, const unsigned char boot[16], uint64_t first)
{
	struct entry entries[BOOTS_KEPT];
	int fd = boots_open(dirfd, O_RDWR);
	if (fd < 0 && errno == ENOENT && boots_init(dirfd) == 0)
		fd = boots_open(dirfd, O_RDWR);
	if (fd < 0)
		return -1;
	entries_read(fd, entries);
	/* In its own place, else in that of the oldest: the new one lies above them all. */
	int at = 0;
	for (int i = 0; i < BOOTS_KEPT; i++) {
		if (valid(&entries[i]) && memcmp(entries[i].boot, boot, 16) == 0) {
			at = i;
			break;
		}
		if (valid(&entries[at]) &&
		    (!valid(&entries[i]) || le64toh(entries[i].first) < le64toh(entries[at].first)))
			at = i;
	}
	struct entry e = {.first = htole64(first), .time = htole64((uint64_t)now())};
	memcpy(e.boot, boot, sizeof e.boot);
	e.checksum = htole64(checksum(&e));
	ssize_t n = pwrite(fd, &e, sizeof e, (off_t)((size_t)at * sizeof e));
	if (n >= 0 && n != sizeof e)
		errno = ENOSPC;
	int r = n == sizeof e ? fdatasync(fd) : -1;
	int why = errno;
	close(fd);
	errno = why;
	return r;
}
