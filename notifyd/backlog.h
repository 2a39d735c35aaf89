/* SPDX-License-Identifier: BSD-3-Clause */
/* All cursors of a journal and how far each is behind. */
#ifndef NOTIFYD_BACKLOG_H
#define NOTIFYD_BACKLOG_H

#include "lag.h"

struct backlog {
	char *name;         /* <sink> or <sink>@<subscription> */
	const char *sub;    /* in name: <subscription>, or NULL */
	size_t sink_len;    /* of <sink> in name */
	uint64_t delivered; /* events in all */
	int64_t used;       /* last written, microseconds */
	struct lag lag;
};

/* By name, malloc'd; the number. Damaged cursors are left out. -1 with *why_r malloc'd. */
int backlog_read(const char *journal, struct backlog **list_r, size_t *n_r, char **why_r);
void backlog_free(struct backlog **list, size_t n);

#endif
