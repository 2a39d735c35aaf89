/* SPDX-License-Identifier: BSD-3-Clause */
/* A dead letter's form in the files of a store: a head of LETTER_HEAD bytes, of which the last part
 * is overwritten in place, and the event as a record of the journal (lib/record.h), so that it goes
 * out again byte for byte. A file <serial of its first letter, 16 hex digits>.dead is letters
 * without a gap; damage is passed over as in the journal. Little-endian:
 *   FF 00 "mbdl" 01 FF, checksum (XXH3-64 of the following up to the state), length of head and
 *   record, 0, serial, time of death, pos, next, uuid | state, 0 (3), attempts, time of the last
 *   attempt, why (NUL-padded) | record, with a checksum of its own */
#ifndef NOTIFYD_LETTER_H
#define NOTIFYD_LETTER_H

#include "../lib/record.h"

#include <sys/types.h>

#define LETTER_WHY  256
#define LETTER_HEAD 344

/* One byte each, so that it is never half written. */
enum letter_state {
	LETTER_WAITING = 'W',
	LETTER_ASKED = 'R', /* is to be sent again */
	LETTER_GONE = 'G',
};

struct letter {
	uint64_t file; /* where it is: the file's serial, */
	off_t at;      /* the offset in it, */
	size_t len;    /* and how long */

	uint64_t serial;        /* grows */
	int64_t died;           /* when the sink first gave it up, microseconds since 1970 UTC */
	unsigned char uuid[16]; /* of the journal, then: its id is journal_id(uuid, rec.pos) */
	enum letter_state state;
	uint32_t attempts;
	int64_t tried; /* the last attempt */
	char why[LETTER_WHY];
	struct record rec; /* borrowed; pos and next alone where only heads are read */
	bool damaged;      /* its record is */
};

/* Appends l (serial, died, uuid, rec with pos and next, why) as a first attempt, waiting. -1:
 * memory is short or the record too long. */
int letter_encode(struct buf *out, const struct letter *l);

/* errno EPROTONOSUPPORT of all calls that read: the file holds letters of another version; nobody
 * may change it then. In words: */
const char *letter_error(int error);

/* The letter at or behind *at_r in a file; *at_r moves behind it. whole: with its record, which
 * borrows from scratch. 1, 0 at the end, -1 with errno. *damage_r counts bytes passed over, what is
 * behind the last letter not among them: it may be in the making. l_r->file is left alone. */
int letter_read(int fd, off_t *at_r, bool whole, struct buf *scratch, struct letter *l_r,
                uint64_t *damage_r);

/* In place, at l->at. -1 with errno. */
int letter_mark(int fd, const struct letter *l, enum letter_state state);
/* Another attempt that failed: it waits again. */
int letter_failed(int fd, const struct letter *l, int64_t time, const char *why);

#define LETTER_FILE 21 /* length of a file's name */
void letter_file(char name_r[LETTER_FILE + 1], uint64_t serial);
/* Serials of a store's files, ascending, malloc'd. Their number, or -1 with errno. */
ssize_t letter_files(int dirfd, uint64_t **serials_r);

/* --- all letters of a store, in order; those that are gone too --- */

struct letter_walk;

/* Of the files that are there now, beginning with the one that holds letter `from`. dirfd is
 * borrowed. NULL with errno. */
struct letter_walk *letter_walk(int dirfd, uint64_t from, bool whole);
void letter_walk_close(struct letter_walk **w);
/* 1, l_r borrowed until the next call; 0 at the end; -1 with errno. */
int letter_walk_next(struct letter_walk *w, struct letter *l_r);
/* Bytes passed over so far. */
uint64_t letter_walk_damage(const struct letter_walk *w);

#endif
