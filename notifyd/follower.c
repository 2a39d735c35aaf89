/* SPDX-License-Identifier: BSD-3-Clause */
#include "follower.h"

#include "../lib/catalog.h"
#include "../lib/reader.h"

#include <stdlib.h>
#include <string.h>

enum {
	MARKS = 64 << 10,
	STRIDE = 128, /* events between two marks, doubled when they become too many */
	CLOCK = 256,  /* events between two looks at the clock */
};

struct mark {
	uint64_t pos, before; /* events between where it began and pos */
};

struct follower {
	const char *dir;
	struct tally *tally;
	struct reader *reader;
	uint64_t start;       /* where it began */
	uint64_t seen, bytes; /* events since, and their size */
	struct mark *marks;
	size_t n;
	uint64_t stride;
	bool end;
};

struct follower *follower_new(const char *dir, struct tally *tally, char **why_r)
{
	struct follower *f = calloc(1, sizeof *f);
	*why_r = NULL;
	if (f)
		f->marks = calloc(MARKS, sizeof *f->marks);
	if (f && f->marks)
		f->reader = reader_open(dir, tally->counted, why_r);
	if (!f || !f->reader) {
		follower_free(&f);
		return NULL;
	}
	f->dir = dir;
	f->tally = tally;
	f->start = tally->counted;
	f->stride = STRIDE;
	return f;
}

void follower_free(struct follower **f)
{
	if (!*f)
		return;
	reader_close(&(*f)->reader);
	free((*f)->marks);
	free(*f);
	*f = NULL;
}

/* The last mark at or below pos; SIZE_MAX when there is none. */
static size_t mark_of(const struct follower *f, uint64_t pos)
{
	size_t low = 0, high = f->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (f->marks[middle].pos <= pos)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

void follower_cover(struct follower *f, uint64_t pos)
{
	if (pos < f->start) {
		reader_seek(f->reader, pos);
		f->start = pos;
		f->seen = f->bytes = f->n = 0;
		f->stride = STRIDE;
		f->end = false;
		return;
	}
	size_t first = mark_of(f, pos);
	if (first == SIZE_MAX || first == 0)
		return;
	f->n -= first;
	memmove(f->marks, f->marks + first, f->n * sizeof *f->marks);
	f->start = f->marks[0].pos;
	if (f->n < MARKS / 4)
		f->stride = STRIDE;
}

static void add_mark(struct follower *f, uint64_t pos)
{
	if (f->n && f->seen - f->marks[f->n - 1].before < f->stride)
		return;
	if (f->n == MARKS) {
		for (size_t i = 0; i < MARKS / 2; i++)
			f->marks[i] = f->marks[2 * i];
		f->n = MARKS / 2;
		f->stride *= 2;
	}
	f->marks[f->n++] = (struct mark){pos, f->seen};
}

static void count(struct tally *t, const struct record *rec)
{
	const struct catalog_event *e = catalog_event(rec->event.s, rec->event.len);
	int bit = __builtin_ctz(e ? e->primary : GROUP_OTHER);
	t->events[bit < TALLY_GROUPS ? bit : TALLY_GROUPS - 1]++;
	t->counted = rec->next;
}

bool follower_run(struct follower *f, int ms)
{
	struct record rec;
	int64_t until = tally_clock() + ms;
	int r;
	while ((r = reader_next(f->reader, &rec)) > 0) {
		add_mark(f, rec.pos);
		f->seen++;
		f->bytes += rec.next - rec.pos;
		if (rec.pos >= f->tally->counted)
			count(f->tally, &rec);
		if (f->seen % CLOCK == 0 && tally_clock() >= until)
			break;
	}
	f->end = r <= 0;
	return f->end;
}

void follower_rest(struct follower *f)
{
	reader_rest(f->reader);
}

/* Events between pos and where we have read to, and the time of the first of them. */
static uint64_t behind(const struct follower *f, uint64_t pos, int64_t *oldest_r)
{
	size_t i = mark_of(f, pos);
	uint64_t from = i == SIZE_MAX ? f->start : f->marks[i].pos;
	uint64_t before = i == SIZE_MAX ? 0 : f->marks[i].before, skipped = 0;
	uint64_t end = reader_pos(f->reader);
	struct record rec;
	char *why = NULL;
	struct reader *r = reader_open(f->dir, from, &why);
	free(why);
	while (r && reader_next(r, &rec) > 0 && rec.pos < end) {
		if (rec.pos >= pos) {
			*oldest_r = rec.time;
			break;
		}
		skipped++;
	}
	reader_close(&r);
	uint64_t passed = before + skipped;
	return *oldest_r && passed < f->seen ? f->seen - passed : 0;
}

void follower_lag(struct follower *f, struct lag *lag)
{
	uint64_t at = reader_pos(f->reader);
	lag->oldest = 0;
	lag->events = lag->pos < at ? behind(f, lag->pos, &lag->oldest) : 0;
	lag->exact = f->end;
	lag->bytes = 0;
	if (!f->end) {
		uint64_t mean = f->seen ? f->bytes / f->seen : 0;
		lag->events +=
		    lag_bytes(f->dir, lag->pos > at ? lag->pos : at) / (mean ? mean : 700);
	}
	if (lag->events)
		lag->bytes = lag_bytes(f->dir, lag->pos);
}
