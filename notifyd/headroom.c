/* SPDX-License-Identifier: BSD-3-Clause */
#include "headroom.h"

#include "../lib/segment.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define AUTO_MAX    (UINT64_C(4) << 30)
#define SEGMENT_MIN (UINT64_C(64) << 10)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int headroom_measure(const struct conf_scope *mboxevent, int journalfd, struct headroom *room_r)
{
	struct statvfs fs;
	uint64_t *bases, newest = 0;
	int64_t max = conf_num(mboxevent, "mboxevent_max_size");
	*room_r = (struct headroom){.option = "mboxevent_max_size"};
	if (fstatvfs(journalfd, &fs) < 0)
		return -1;
	ssize_t n = segment_list(journalfd, &bases);
	if (n < 0)
		return -1;
	for (ssize_t i = 0; i < n; i++) {
		char name[SEGMENT_NAME + 1];
		struct stat st;
		segment_name(name, bases[i]);
		if (fstatat(journalfd, name, &st, 0) < 0)
			continue;
		newest = (uint64_t)st.st_size;
		room_r->used += newest;
		room_r->segments++;
	}
	free(bases);

	uint64_t total = (uint64_t)fs.f_blocks * fs.f_frsize;
	uint64_t avail = (uint64_t)fs.f_bavail * fs.f_frsize;
	uint64_t keep = total / 100 * (uint64_t)conf_num(mboxevent, "mboxevent_min_free");
	room_r->max = max > 0 ? (uint64_t)max : least(total / 10, AUTO_MAX);
	/* The newest segment is filled whatever the limits say; others are begun while a whole one
	 * fits. */
	uint64_t whole = (uint64_t)conf_num(mboxevent, "mboxevent_segment_size");
	whole = least(whole, room_r->max / 4);
	if (whole < SEGMENT_MIN)
		whole = SEGMENT_MIN;
	uint64_t rest = n && newest < whole ? whole - newest : 0;
	uint64_t filled = room_r->used + rest;
	uint64_t more = filled < room_r->max ? (room_r->max - filled) / whole * whole : 0;
	if (!more && n < 2) /* one segment alone never bars the next */
		more = whole;
	uint64_t spare = avail > keep ? avail - keep : 0;
	if (spare < more) {
		more = spare;
		room_r->option = "mboxevent_min_free";
	}
	room_r->left = least(rest + more, avail);
	return 0;
}
