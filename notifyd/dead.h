/* SPDX-License-Identifier: BSD-3-Clause */
/* Dead letters: events that a sink can never deliver, each kept whole with the reason in
 * <journal>/dead/<sink>/ (letter.h), up to a size. The sink's worker appends and sends again;
 * notifyctl reads without a lock, and marks under the one that each change takes for an instant.
 * Any of them may be killed at any instant. */
#ifndef NOTIFYD_DEAD_H
#define NOTIFYD_DEAD_H

#include "letter.h"

struct dead; /* one sink's store */

/* make: where there is none yet. 0, or -1 with errno; ENOENT: none was ever needed. */
int dead_open(struct dead **d_r, int journalfd, const char *sink, bool make);
void dead_close(struct dead **d);
int dead_dir(const struct dead *d); /* for letter_walk() */

/* --- for the sink's worker, the only one that appends --- */

/* Once after dead_open(): counts what is there and mends what a kill left. uuid: the journal's;
 * max: bytes of disk. True in *asked_r when some are to be sent again. -1 with errno. */
int dead_begin(struct dead *d, const unsigned char uuid[16], uint64_t max, bool *asked_r);

/* Keeps rec and why; one that is there already is not added again. 0, and then dead_sync() must
 * succeed before a cursor may pass over it. -1 with errno, and nothing was kept: EDQUOT, the size
 * is reached; EAGAIN, somebody holds the lock for long. */
int dead_letter(struct dead *d, const struct record *rec, const char *why);
/* All that dead_letter() took is on the disk. -1 with errno: none of what came since the last
 * success may be relied on, and each must be given to dead_letter() again. */
int dead_sync(struct dead *d);

/* After it was sent again: delivered; or failed, when it waits with the new reason. -1 with errno;
 * 0 also when it has been dropped meanwhile. */
int dead_gone(struct dead *d, const struct letter *l);
int dead_failed(struct dead *d, const struct letter *l, const char *why);
/* Deletes the file when none of its letters is left. */
int dead_sweep(struct dead *d, uint64_t file);

/* --- for notifyctl --- */

enum dead_verdict { DEAD_KEEP, DEAD_RETRY, DEAD_DROP };

/* Asks for each letter that is there what to do with it; those to be sent again are marked, others
 * deleted, on the disk when it returns. -1 with errno (EAGAIN: the lock). */
int dead_judge(struct dead *d, enum dead_verdict (*judge)(void *ctx, const struct letter *l),
               void *ctx);

/* A file beside the store that makes the worker look for marked letters, within a second. */
int dead_ask(int journalfd, const char *sink);
bool dead_asked(int journalfd, const char *sink);
void dead_heard(int journalfd, const char *sink); /* to be called before the look */

struct dead_summary {
	uint64_t waiting; /* letters that are there */
	uint64_t asked;   /* those of them that are to be sent again */
	int64_t since;    /* when the oldest died, microseconds since 1970 UTC; 0: there is none */
	uint64_t bytes;   /* of disk */
};
/* Without reading the letters, as long as nobody was killed while counting. 0, all zero for a sink
 * that has no store; -1 with errno. */
int dead_summary(int journalfd, const char *sink, struct dead_summary *s_r);

#endif
