/* SPDX-License-Identifier: BSD-3-Clause */
/* A reader's durable position: a preallocated file of two checksummed slots,
 * overwritten in turn, so that it advances on a full disk and a torn write
 * leaves the slot before. <journal>/cursors/<sink> or <sink>@<subscription>. */
#ifndef MBEV_CURSOR_H
#define MBEV_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor;

struct cursor_state {
	uint64_t pos;           /* everything below is delivered */
	uint64_t delivered;     /* events delivered in all */
	int64_t time;           /* last written, microseconds since 1970 UTC */
	unsigned char uuid[16]; /* of the journal it belongs to */
};

/* Opens, locks (no second holder: EAGAIN, "in use") and reads it; makes it at `start` when it
 * is missing or both slots are damaged (*made_r true; damage is told in *why_r even so).
 * One of another version is left alone and refused. 0, or -1 with *why_r malloc'd. */
int cursor_open(struct cursor **c_r, int journalfd, const char *name, uint64_t start, bool *made_r,
                char **why_r);
void cursor_close(struct cursor **c);

const struct cursor_state *cursor_get(const struct cursor *c);

/* Overwrites the older slot. Not synced (kill safety; cursor_sync() for more).
 * 0, or -1 with errno; the value in memory moves all the same. */
int cursor_set(struct cursor *c, uint64_t pos, uint64_t delivered);
int cursor_sync(struct cursor *c);

/* Reads one without locking it. 0, or -1 with errno (ENOENT, EBADMSG; EPROTONOSUPPORT: of another
 * version). */
int cursor_peek(int journalfd, const char *name, struct cursor_state *state_r);

/* Calls fn for each cursor file. 0, or -1 with errno. */
int cursor_each(int journalfd, void (*fn)(void *ctx, const char *name), void *ctx);

/* Deletes it. */
int cursor_remove(int journalfd, const char *name);

#endif
