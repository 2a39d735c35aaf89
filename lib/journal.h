/* SPDX-License-Identifier: BSD-3-Clause */
/* The writing end of a journal: appends from any number of processes, with no
 * lock and no daemon. Used inside mail processes: never aborts, never prints,
 * preserves errno in journal_append(), blocks on the local file system alone.
 * Not for use by two threads at once. */
#ifndef MBEV_JOURNAL_H
#define MBEV_JOURNAL_H

#include "identity.h"
#include "lost.h"
#include "record.h"

struct journal;

struct journal_options {
	uint64_t segment_size; /* bytes */
	uint64_t max_size; /* bytes in all; 0: the smaller of 4 GB and a tenth of the file system */
	unsigned min_free; /* per cent of the file system to leave free; 0: may be filled up */
	bool sync;         /* each append is on the disk when it returns */
};

/* dir exists; its owner, group and mode are those of every file made in it.
 * 0, or -1 with *why_r (a static or handle-independent string, never freed) saying what to do. */
int journal_open(struct journal **j_r, const char *dir, const struct journal_options *opt,
                 const char **why_r);
void journal_close(struct journal **j);

/* Appends one record (pos, next, time and lost of rec are ignored). 0 with *pos_r
 * (NULL allowed), or -1: the event is lost, counted here, carried in the next record that
 * succeeds and added to the counter file by its reason (lost.h); *why_r says why. With opt.sync
 * also 1, with *pos_r and *why_r: it is in the journal, delivered like any other and not lost, but
 * not known to be on the disk, so that a power cut may take it. */
int journal_append(struct journal *j, const struct record *rec, uint64_t *pos_r,
                   const char **why_r);

/* The same with what its caller keeps and comes again with: what fails is not lost, nor counted.
 * time and lost of rec are kept, where they are set: it was appended elsewhere before. */
int journal_offer(struct journal *j, const struct record *rec, uint64_t *pos_r, const char **why_r);

/* Counts n events that its caller could not make into records. With 0: what could not be written to
 * the counter file before is tried again. */
void journal_lost(struct journal *j, enum lost_reason reason, unsigned n);

/* Events lost by this process since the last append that succeeded. */
unsigned journal_lost_pending(const struct journal *j);

/* --- whole-journal calls, for notifyd and notifyctl; trim.c --- */

/* Where the next record would go: the end of the newest segment. 0 when there is none. */
uint64_t journal_end(int dirfd);

/* Deletes superseded segments that lie wholly below pos, never the newest; those whose
 * follower began less than keep_us microseconds ago stay, and where a clock that was set back makes
 * that doubtful, until a later one did. One of another version stays, and
 * all behind it. The number deleted, or -1 with errno. */
int journal_trim(int dirfd, uint64_t pos, int64_t keep_us);
/* The same with what processes with the hook of the version before append still. */
int journal_trim_older(int dirfd, uint64_t pos);

#endif
