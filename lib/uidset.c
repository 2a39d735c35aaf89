/* SPDX-License-Identifier: BSD-3-Clause */
#include "uidset.h"

#include <stdlib.h>
#include <string.h>

static bool room(struct uidset *u)
{
	if (u->n < u->cap)
		return true;
	size_t cap = u->cap ? 2 * u->cap : 4;
	struct uidrange *ranges = realloc(u->ranges, cap * sizeof *ranges);
	if (!ranges)
		return false;
	u->ranges = ranges;
	u->cap = cap;
	return true;
}

bool uidset_add(struct uidset *u, uint32_t low, uint32_t high)
{
	if (high < low) {
		uint32_t swap = low;
		low = high;
		high = swap;
	}
	if (!high)
		return true;
	if (!low)
		low = 1;
	/* The first range that ends at low - 1 or later; mostly UIDs come in order. */
	size_t at = 0, end = u->n;
	if (end && u->ranges[end - 1].high < low - 1)
		at = end;
	while (at < end) {
		size_t mid = (at + end) / 2;
		if (u->ranges[mid].high < low - 1)
			at = mid + 1;
		else
			end = mid;
	}
	/* Those up to `last` touch it and become part of it. */
	size_t last = at;
	for (; last < u->n && u->ranges[last].low - 1 <= high; last++) {
		if (u->ranges[last].low < low)
			low = u->ranges[last].low;
		if (u->ranges[last].high > high)
			high = u->ranges[last].high;
	}
	if (last == at && !room(u))
		return false;
	memmove(u->ranges + at + 1, u->ranges + last, (u->n - last) * sizeof *u->ranges);
	u->ranges[at] = (struct uidrange){low, high};
	u->n = u->n - (last - at) + 1;
	return true;
}

static bool number(const char **p, const char *end, uint32_t *n_r)
{
	uint64_t n = 0;
	const char *start = *p;
	for (; *p < end && **p >= '0' && **p <= '9'; (*p)++)
		if ((n = n * 10 + (uint64_t)(**p - '0')) > UINT32_MAX)
			return false;
	*n_r = (uint32_t)n;
	return *p > start && *start != '0';
}

int uidset_parse(struct uidset *u, struct str text)
{
	const char *p = text.s, *end = p + text.len;
	for (;; p++) {
		uint32_t low, high;
		if (!number(&p, end, &low))
			return -1;
		high = low;
		if (p < end && *p == ':' && (p++, !number(&p, end, &high)))
			return -1;
		if (p < end && *p != ',')
			return -1;
		if (!uidset_add(u, low, high))
			return -2;
		if (p == end)
			return 0;
	}
}

void uidset_write(const struct uidset *u, struct buf *out)
{
	for (size_t i = 0; i < u->n; i++) {
		if (i)
			buf_addc(out, ',');
		buf_addi(out, u->ranges[i].low);
		if (u->ranges[i].high > u->ranges[i].low) {
			buf_addc(out, ':');
			buf_addi(out, u->ranges[i].high);
		}
	}
}

bool uidset_is_one(const struct uidset *u)
{
	return u->n == 1 && u->ranges[0].low == u->ranges[0].high;
}

void uidset_free(struct uidset *u)
{
	free(u->ranges);
	*u = (struct uidset){0};
}
