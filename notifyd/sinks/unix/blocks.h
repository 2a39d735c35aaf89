/* SPDX-License-Identifier: BSD-3-Clause */
/* The journal as lines for clients: read, checked and written out once for all that are at about
 * the same place. A few blocks of bounded size are kept; wherever a client is, it finds its place
 * in one of them, or the block is read for it and for those that come after. */
#ifndef UNIX_BLOCKS_H
#define UNIX_BLOCKS_H

#include "../../../lib/identity.h"
#include "../../../lib/reader.h"
#include "../../filter.h"
#include "../../headers.h"

/* Places where clients may be at once without reading anew. A megabyte of them stays in a
 * processor's cache; four are slower. */
#define BLOCKS       16
#define BLOCK_BYTES  (64u << 10) /* more only for one event that is longer */
#define BLOCK_LINES  256
#define BLOCK_BEFORE (JOURNAL_ID + 16) /* bytes of a line before the JSON */
#define BLOCK_AFTER  2                 /* and behind it */

struct block_line {
	uint64_t pos;
	const char *s; /* {"id":"...","event":JSON}\n; those of a block follow each other */
	size_t len;
	const char *facts; /* event, user, owner, mailbox, one after the other */
	uint8_t event;     /* their lengths */
	uint16_t user, owner;
	uint32_t mailbox;
};

struct block {
	uint64_t serial;             /* no other block ever has it; 0: empty */
	unsigned slot;               /* 0 to BLOCKS - 1 */
	uint64_t from, to;           /* the positions it covers, [from, to) */
	uint64_t clear;              /* up to here there was nothing but what `passed` tells */
	struct reader_damage passed; /* what was passed over between from and clear */
	struct block_line *lines;    /* of the records that pass the sink's own filter */
	size_t n;
	/* the rest is blocks.c's */
	char *bytes; /* lines from the front on, facts from the back on: neither ever moves */
	size_t cap, front, back;
	struct reader *reader;
	uint64_t used;
	bool closed; /* nothing is added any more */
};

struct blocks;

/* What is passed in is borrowed for as long as it lives; headers: NULL for none. NULL when memory
 * is short. */
struct blocks *blocks_new(const char *journal, const unsigned char uuid[16],
                          const struct filter *filter, struct headers *headers);
void blocks_free(struct blocks **bs);

/* The block in which reading goes on from pos, borrowed until the next call, with to > pos: 1.
 * 0: pos is the journal's end, as far as was known at the last blocks_look(). -1: the journal can't
 * be read just now, blocks_why() right after. Never reads more than a share. */
int blocks_get(struct blocks *bs, uint64_t pos, const struct block **block_r);
const char *blocks_why(const struct blocks *bs);
/* The journal may have grown: whoever comes to its end next looks. */
void blocks_look(struct blocks *bs);
/* Once a second: gives back what nobody came by since the last time. */
void blocks_rest(struct blocks *bs);

/* The first line at or behind pos; n when there is none. */
size_t block_at(const struct block *b, uint64_t pos);

#endif
