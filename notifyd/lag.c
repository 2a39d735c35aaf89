/* SPDX-License-Identifier: BSD-3-Clause */
#include "lag.h"

#include "stamp.h"

#include "../lib/journal.h"
#include "../lib/reader.h"
#include "../lib/segment.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT_US (3 * 1000 * 1000) /* counting stops after this long */
#define RATE_US  (10 * 1000 * 1000)

struct piece {
	uint64_t base, size;
};

/* The segments with their sizes, malloc'd; their number. */
static size_t pieces(const char *journal, struct piece **pieces_r)
{
	uint64_t *bases = NULL;
	size_t count = 0;
	*pieces_r = NULL;
	int dir = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ssize_t n = dir < 0 ? -1 : segment_list(dir, &bases);
	if (n > 0)
		*pieces_r = calloc((size_t)n, sizeof **pieces_r);
	for (ssize_t i = 0; *pieces_r && i < n; i++) {
		char name[SEGMENT_NAME + 1];
		struct stat st;
		segment_name(name, bases[i]);
		if (fstatat(dir, name, &st, 0) == 0)
			(*pieces_r)[count++] = (struct piece){bases[i], (uint64_t)st.st_size};
	}
	free(bases);
	if (dir >= 0)
		close(dir);
	return count;
}

/* Bytes from pos on. Positions have wide holes, so a subtraction would not do. */
static uint64_t bytes_after(const struct piece *p, size_t n, uint64_t pos)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t start = p[i].base + SEGMENT_HEADER, end = p[i].base + p[i].size;
		if (pos > start)
			start = pos;
		if (end > start)
			sum += end - start;
	}
	return sum;
}

uint64_t lag_journal_size(const char *journal, size_t *segments_r)
{
	struct piece *p;
	uint64_t sum = 0;
	*segments_r = pieces(journal, &p);
	for (size_t i = 0; i < *segments_r; i++)
		sum += p[i].size;
	free(p);
	return sum;
}

uint64_t lag_bytes(const char *journal, uint64_t pos)
{
	struct piece *p;
	size_t n = pieces(journal, &p);
	uint64_t bytes = bytes_after(p, n, pos);
	free(p);
	return bytes;
}

/* Records from `from` on are counted into those lags that they are behind of. */
static void count(struct reader *r, struct lag *lags, size_t n, const struct piece *p, size_t np,
                  uint64_t from)
{
	int64_t deadline = stamp_now() + COUNT_US;
	struct record rec;
	uint64_t seen = 0;
	while (reader_next(r, &rec) > 0) {
		for (size_t i = 0; i < n; i++) {
			if (rec.pos < lags[i].pos)
				continue;
			if (!lags[i].events++)
				lags[i].oldest = rec.time;
		}
		if (++seen % 4096 || stamp_now() < deadline)
			continue;
		/* the rest by its size */
		uint64_t rest = bytes_after(p, np, rec.next);
		uint64_t done = bytes_after(p, np, from) - rest;
		uint64_t mean = done / seen ? done / seen : 1;
		for (size_t i = 0; i < n; i++) {
			uint64_t beyond = bytes_after(p, np, lags[i].pos);
			lags[i].events += (beyond < rest ? beyond : rest) / mean;
			lags[i].exact = false;
		}
		return;
	}
}

int lag_measure(const char *journal, struct lag *lags, size_t n, char **why_r)
{
	uint64_t from = UINT64_MAX;
	struct piece *p;
	for (size_t i = 0; i < n; i++) {
		lags[i] = (struct lag){.pos = lags[i].pos, .exact = true};
		if (lags[i].pos < from)
			from = lags[i].pos;
	}
	if (!n)
		return 0;
	struct reader *r = reader_open(journal, from, why_r);
	if (!r)
		return -1;
	size_t np = pieces(journal, &p);
	count(r, lags, n, p, np, from);
	for (size_t i = 0; i < n; i++)
		lags[i].bytes = lags[i].events ? bytes_after(p, np, lags[i].pos) : 0;
	reader_close(&r);
	free(p);
	return 0;
}

double lag_rate(const char *journal)
{
	int64_t now = stamp_now(), deadline = now + COUNT_US / 3;
	int dir = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	uint64_t from = reader_since(dir, now - RATE_US), seen = 0, events = 0;
	close(dir);
	char *why = NULL;
	struct reader *r = reader_open(journal, from, &why);
	free(why);
	if (!r)
		return -1;
	struct record rec;
	double rate = -1;
	int got;
	while ((got = reader_next(r, &rec)) > 0) {
		if (rec.time >= now - RATE_US && rec.time <= now)
			events++;
		if (++seen % 4096 == 0 && stamp_now() > deadline)
			break;
	}
	if (got == 0)
		rate = (double)events / (RATE_US / 1e6);
	reader_close(&r);
	return rate;
}
