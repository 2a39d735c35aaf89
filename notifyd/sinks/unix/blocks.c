/* SPDX-License-Identifier: BSD-3-Clause */
#include "blocks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is read at once: still in the processor's cache when it is sent. */
#define SHARE_BYTES   (64u << 10)
#define SHARE_RECORDS BLOCK_LINES

#define ID_KEY "{\"id\":\""

struct blocks {
	const char *journal;
	char before[BLOCK_BEFORE + 1]; /* of each line, with the id of position 0 */
	const struct filter *filter;
	struct headers *headers;
	uint64_t end; /* nothing was there at the last look; UINT64_MAX: look */
	uint64_t serial, clock, rested;
	char why[160];
	struct block block[BLOCKS];
};

struct blocks *blocks_new(const char *journal, const unsigned char uuid[16],
                          const struct filter *filter, struct headers *headers)
{
	char id[JOURNAL_ID];

	struct blocks *bs = calloc(1, sizeof *bs);
	if (!bs)
		return NULL;
	bs->journal = journal;
	journal_id(id, uuid, 0);
	snprintf(bs->before, sizeof bs->before, ID_KEY "%s\",\"event\":", id);
	bs->filter = filter;
	bs->headers = headers;
	bs->end = UINT64_MAX;
	for (unsigned i = 0; i < BLOCKS; i++)
		bs->block[i].slot = i;
	return bs;
}

static void drop(struct block *b)
{
	reader_close(&b->reader);
	free(b->bytes);
	free(b->lines);
	*b = (struct block){.slot = b->slot};
}

void blocks_free(struct blocks **bs)
{
	if (!*bs)
		return;
	for (unsigned i = 0; i < BLOCKS; i++)
		drop(&(*bs)->block[i]);
	free(*bs);
	*bs = NULL;
}

void blocks_look(struct blocks *bs)
{
	bs->end = UINT64_MAX;
}

void blocks_rest(struct blocks *bs)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		if (bs->block[i].used <= bs->rested)
			drop(&bs->block[i]);
		else if (bs->block[i].reader) /* a large event's buffer would stay */
			reader_rest(bs->block[i].reader);
	bs->rested = bs->clock;
}

const char *blocks_why(const struct blocks *bs)
{
	return bs->why;
}

size_t block_at(const struct block *b, uint64_t pos)
{
	size_t low = 0, high = b->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (b->lines[mid].pos < pos)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int failed(struct blocks *bs, const char *why)
{
	snprintf(bs->why, sizeof bs->why, "%s", why ? why : "memory is short");
	return -1;
}

/* The block least recently used becomes one that begins there. It keeps its memory, but no reader
 * elsewhere, which may hold a segment open that has been deleted. */
static struct block *begin(struct blocks *bs, uint64_t from)
{
	struct block *b = &bs->block[0];

	for (unsigned i = 1; i < BLOCKS; i++)
		if (bs->block[i].used < b->used)
			b = &bs->block[i];
	if (b->reader && reader_pos(b->reader) != from)
		reader_close(&b->reader);
	b->serial = ++bs->serial;
	b->used = ++bs->clock;
	b->from = b->to = b->clear = from;
	b->passed = (struct reader_damage){0};
	b->n = b->front = 0;
	b->back = b->cap;
	b->closed = false;
	return b;
}

/* Another one goes on where this one ends, with its reader. */
static struct block *follow(struct blocks *bs, struct block *b)
{
	struct block *next = begin(bs, b->to);

	b->closed = true;
	reader_close(&next->reader);
	next->reader = b->reader;
	b->reader = NULL;
	return next;
}

/* Memory of an empty block, for lines and facts of that many bytes or more. */
static bool reserve(struct blocks *bs, struct block *b, size_t bytes)
{
	if (!b->lines)
		b->lines = malloc(BLOCK_LINES * sizeof *b->lines);
	size_t cap = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
	if (b->cap != cap) {
		/* no more than one of more than the usual size */
		for (unsigned i = 0; cap > BLOCK_BYTES && i < BLOCKS; i++)
			if (bs->block[i].cap > BLOCK_BYTES && &bs->block[i] != b)
				drop(&bs->block[i]);
		free(b->bytes);
		b->bytes = malloc(cap);
		b->cap = b->bytes ? cap : 0;
		b->back = b->cap;
	}
	return b->lines && b->bytes;
}

static size_t facts_length(const struct record *rec)
{
	return rec->event.len + rec->user.len + rec->owner.len + rec->mailbox.len;
}

static char *put(char *to, struct str s)
{
	if (s.len)
		memcpy(to, s.s, s.len);
	return to + s.len;
}

static void add(const struct blocks *bs, struct block *b, const struct record *rec)
{
	char *s = b->bytes + b->front;
	struct block_line *line = &b->lines[b->n++];

	line->pos = rec->pos;
	line->s = s;
	line->len = BLOCK_BEFORE + rec->json.len + BLOCK_AFTER;
	s = put(s, (struct str){bs->before, BLOCK_BEFORE});
	journal_id_move(b->bytes + b->front + strlen(ID_KEY), rec->pos);
	s = put(s, rec->json);
	put(s, STR("}\n"));
	b->front += line->len;

	b->back -= facts_length(rec);
	line->facts = s = b->bytes + b->back;
	s = put(s, rec->event);
	s = put(s, rec->user);
	s = put(s, rec->owner);
	put(s, rec->mailbox);
	line->event = (uint8_t)rec->event.len;
	line->user = (uint16_t)rec->user.len;
	line->owner = (uint16_t)rec->owner.len;
	line->mailbox = (uint32_t)rec->mailbox.len;
}

/* Adds a record to b, or to a new one behind it. The block it is in, or NULL: memory is short. */
static struct block *keep(struct blocks *bs, struct block *b, const struct record *rec)
{
	size_t bytes = BLOCK_BEFORE + rec->json.len + BLOCK_AFTER + facts_length(rec);

	if (b->n == BLOCK_LINES || (b->n && b->back - b->front < bytes))
		b = follow(bs, b);
	if (!b->n && !reserve(bs, b, bytes))
		return NULL;
	add(bs, b, rec);
	b->closed |= b->cap > BLOCK_BYTES; /* it is to age, although clients wait behind it */
	return b;
}

/* Where the reader passed something over since *was, that is told at the beginning of a block: the
 * one to go on with. */
static struct block *pass(struct blocks *bs, struct block *b, struct reader_damage *was,
                          uint64_t to)
{
	const struct reader_damage *is = reader_damage(b->reader);

	if (is->gap == was->gap && is->torn == was->torn)
		return b;
	if (b->to > b->from)
		b = follow(bs, b);
	b->clear = to;
	b->passed = *is;
	b->passed.gap -= was->gap;
	b->passed.gone -= was->gone;
	b->passed.torn -= was->torn;
	b->passed.bytes -= was->bytes;
	*was = *is;
	return b;
}

/* Reads a share from pos on, into the block that ends there or a new one. 1: read; 0: to the
 * journal's end; -1 with bs->why. What was read before that is kept all the same. */
static int read_at(struct blocks *bs, uint64_t pos)
{
	struct block *b = NULL;
	char *why = NULL;

	for (unsigned i = 0; i < BLOCKS && !b; i++)
		if (bs->block[i].serial && !bs->block[i].closed && bs->block[i].to == pos)
			b = &bs->block[i];
	if (!b)
		b = begin(bs, pos);
	b->used = ++bs->clock;
	if (!b->reader)
		b->reader = reader_open(bs->journal, pos, &why);
	if (!b->reader) {
		failed(bs, why);
		free(why);
		return -1;
	}
	if (reader_pos(b->reader) != pos)
		reader_seek(b->reader, pos);

	const struct block *first = b;
	size_t front = b->front;
	struct reader_damage was = *reader_damage(b->reader);
	for (unsigned n = 0; n < SHARE_RECORDS && b->front - front < SHARE_BYTES && b == first;
	     n++) {
		struct record rec;
		int rc = reader_next(b->reader, &rec);
		if (rc < 0)
			failed(bs, reader_why(b->reader));
		b = pass(bs, b, &was, rc > 0 ? rec.pos : reader_pos(b->reader));
		if (rc > 0 && filter_match(bs->filter, &rec)) {
			b = keep(bs, b, headers_add(bs->headers, &rec));
			if (!b)
				return failed(bs, NULL); /* its reader goes back to `to` */
		}
		b->to = reader_pos(b->reader);
		if (rc <= 0)
			return rc;
	}
	return 1;
}

static struct block *find(struct blocks *bs, uint64_t pos)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		struct block *b = &bs->block[i];
		if (b->to > pos && (b->clear <= pos || b->from == pos))
			return b;
	}
	return NULL;
}

/* As read_at(); where something came of it, the journal has grown: what others took for its end is
 * the end no more. */
static int read_on(struct blocks *bs, uint64_t pos)
{
	int rc = read_at(bs, pos);
	if (find(bs, pos))
		bs->end = UINT64_MAX;
	else if (rc == 0)
		bs->end = pos;
	return rc;
}

int blocks_get(struct blocks *bs, uint64_t pos, const struct block **block_r)
{
	struct block *b = find(bs, pos);

	if (!b) {
		int rc = pos == bs->end ? 0 : read_on(bs, pos);
		b = find(bs, pos);
		if (!b)
			return rc;
	} else if (!b->closed && b->front < SHARE_BYTES / 2 && b->to != bs->end) {
		/* Begun by the last line of a share: it would be sent alone. */
		b->used = ++bs->clock;
		read_on(bs, b->to);
	}
	b->used = ++bs->clock;
	*block_r = b;
	return 1;
}
