/* SPDX-License-Identifier: BSD-3-Clause */
/* The reading end of a journal: records in order from a position. Any number of
 * readers; none disturbs a writer. */
#ifndef MBEV_READER_H
#define MBEV_READER_H

#include "record.h"

struct reader;

/* dir is copied. A position in a hole moves to the hole's end when read. NULL with *why_r
 * malloc'd. */
struct reader *reader_open(const char *dir, uint64_t pos, char **why_r);
/* The same of what processes with the hook of the version before append still. */
struct reader *reader_open_older(const char *dir, uint64_t pos, char **why_r);
void reader_close(struct reader **r);

/* The next record: 1, borrowed until the next call on this reader; 0: none yet;
 * -1: the directory can't be read (errno), or the next segment is of another version
 * (EPROTONOSUPPORT): the reader stays before it. Damage is skipped and counted. Never waits. */
int reader_next(struct reader *r, struct record *rec_r);
/* Why it was -1, in words, right after. */
const char *reader_why(const struct reader *r);

/* Goes to a position: the next call reads from there. */
void reader_seek(struct reader *r, uint64_t pos);
uint64_t reader_pos(const struct reader *r);

/* Gives the buffer back to the system; reading goes on as before. For idle readers. */
void reader_rest(struct reader *r);

/* What was passed over so far, and the last place of it (for one log line an incident). */
struct reader_damage {
	uint64_t torn;    /* places where bytes were skipped inside a segment */
	uint64_t bytes;   /* bytes skipped there */
	uint64_t gap;     /* segments that were gone before they were read: positions jumped */
	uint64_t gone;    /* bytes of these; boots in between are not counted */
	uint64_t gap_at;  /* the last of these */
	uint64_t at, len; /* the last one of both */
};
const struct reader_damage *reader_damage(const struct reader *r);

/* Bytes of segments that lay between pos and the segment at base; of two versions of the format
 * (segment.h) those of the newer one alone. */
uint64_t reader_missing(uint64_t pos, uint64_t base);

/* First position of the journal still there, and the one at or before which nothing newer
 * than time (microseconds) was appended: where --since starts. 0 with none. */
uint64_t reader_oldest(int dirfd);
uint64_t reader_since(int dirfd, int64_t time);

/* Where the first event of a journal is going to be that never had one, so that a cursor made there
 * can lose it; 0: it had some. */
uint64_t reader_beginning(int dirfd);

#endif
