/* SPDX-License-Identifier: BSD-3-Clause */
#include "room.h"

#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SEGMENT_MIN (64u << 10)
#define MAX_AUTO    (UINT64_C(4) << 30)

static const char full[] =
    "the journal is full (mboxevent_max_size): a sink is not draining; see notifyctl status";
static const char little[] = "the journal's file system has less room than mboxevent_min_free";

static uint64_t size_of(int dirfd, uint64_t base)
{
	char name[SEGMENT_NAME + 1];
	struct stat st;
	segment_name(name, base);
	return fstatat(dirfd, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

int room_measure(int dirfd, const struct journal_options *opt, const uint64_t *bases, ssize_t n,
                 struct room *room_r)
{
	struct statvfs fs;
	if (fstatvfs(dirfd, &fs) < 0)
		return -1;
	uint64_t total = (uint64_t)fs.f_blocks * fs.f_frsize;
	struct room r = {.max = opt->max_size, .segments = n > 0 ? (size_t)n : 0};
	if (!r.max)
		r.max = total / 10 < MAX_AUTO ? total / 10 : MAX_AUTO;
	r.segment = opt->segment_size < r.max / 4 ? opt->segment_size : r.max / 4;
	if (r.segment < SEGMENT_MIN)
		r.segment = SEGMENT_MIN;
	for (ssize_t i = 0; i < n; i++) {
		r.newest = size_of(dirfd, bases[i]);
		r.used += r.newest;
	}
	r.free = (uint64_t)fs.f_bavail * fs.f_frsize;
	r.least = total / 100 * opt->min_free;
	*room_r = r;
	return 0;
}

const char *room_refusal(const struct room *room, enum lost_reason *reason_r)
{
	/* The newest is never deleted: alone, however large, it must not bar the next. */
	if (room->segments > 1 && room->used + room->segment > room->max) {
		*reason_r = LOST_MAX_SIZE;
		return full;
	}
	/* What a segment takes must not be what is to stay free. */
	if (room->least && room->free < room->least + room->segment) {
		*reason_r = LOST_MIN_FREE;
		return little;
	}
	return NULL;
}

/* Bytes that the newest segment takes still. */
static uint64_t unfilled(int dirfd, uint64_t base, uint64_t size)
{
	struct segment seg;
	int fd = segment_open(dirfd, base, O_RDONLY, &seg);
	if (fd < 0)
		return 0;
	close(fd);
	return seg.limit > size ? seg.limit - size : 0;
}

/* The room, and what the newest segment takes still. */
static int look(int dirfd, const struct journal_options *opt, struct room *room_r,
                uint64_t *unfilled_r, uint64_t **bases_r)
{
	ssize_t n = segment_list(dirfd, bases_r);
	if (n < 0)
		return -1;
	if (room_measure(dirfd, opt, *bases_r, n, room_r) < 0) {
		int why = errno;
		free(*bases_r);
		errno = why;
		return -1;
	}
	*unfilled_r = n ? unfilled(dirfd, (*bases_r)[n - 1], room_r->newest) : 0;
	return 0;
}

int64_t room_left(int dirfd, const struct journal_options *opt, const char **why_r)
{
	struct room r;
	uint64_t *bases, now, by_size = 0, by_free = UINT64_MAX;
	if (look(dirfd, opt, &r, &now, &bases) < 0)
		return -1;
	free(bases);
	uint64_t then = r.used + now; /* at the next segment's beginning */
	if (then < r.max)
		by_size = (r.max - then) / r.segment * r.segment;
	if (r.segments <= 1 && by_size < r.segment)
		by_size = r.segment;
	if (r.least) {
		uint64_t taken = r.least + now;
		by_free = r.free > taken ? (r.free - taken) / r.segment * r.segment : 0;
	}
	*why_r = by_free < by_size ? "mboxevent_min_free" : "mboxevent_max_size";
	uint64_t left = now + (by_free < by_size ? by_free : by_size);
	if (left > r.free) { /* mboxevent_min_free: 0 */
		left = r.free;
		*why_r = "the file system";
	}
	return left < INT64_MAX ? (int64_t)left : INT64_MAX;
}

uint64_t room_relief(int dirfd, const struct journal_options *opt)
{
	struct room r;
	uint64_t *bases, now, pos = 0;
	if (look(dirfd, opt, &r, &now, &bases) < 0)
		return 0;
	uint64_t reserve = 2 * r.segment > r.max / 8 ? 2 * r.segment : r.max / 8;
	uint64_t wanted = r.used + now + reserve;
	uint64_t over = wanted > r.max ? wanted - r.max : 0;
	wanted = r.least + now + 2 * r.segment;
	if (r.least && wanted > r.free && wanted - r.free > over)
		over = wanted - r.free;
	for (size_t i = 0; i + 1 < r.segments && over > 0; i++) {
		uint64_t size = size_of(dirfd, bases[i]);
		over -= size < over ? size : over;
		pos = bases[i + 1];
	}
	free(bases);
	return pos;
}
