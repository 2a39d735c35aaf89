/* SPDX-License-Identifier: BSD-3-Clause */
/* What was deleted before a reader had it: <journal>/gone/<cursor>, a line of GONE_SIZE bytes,
 * preallocated and overwritten in place (on a full disk too), kept over restarts. */
#ifndef NOTIFYD_GONE_H
#define NOTIFYD_GONE_H

#include <stdint.h>

#define GONE_SIZE 256

struct gone {
	uint64_t times, bytes;   /* in all */
	uint64_t from, to, last; /* positions of the last, [from, to), and its bytes */
	int64_t time;            /* and when that was noticed, microseconds since 1970 UTC */
};

/* Makes the file, so that there is one when the disk is full. 0, or -1 with errno. */
int gone_init(int journalfd, const char *cursor);

/* Adds a span of that many bytes, for the reader that holds the cursor. One that holds the last one
 * is that, met again, and has grown. 0, or -1 with errno. */
int gone_add(int journalfd, const char *cursor, uint64_t from, uint64_t to, uint64_t bytes);

/* All zero where there is none. */
void gone_read(int journalfd, const char *cursor, struct gone *gone_r);

/* With its cursor. */
void gone_remove(int journalfd, const char *cursor);

#endif
