/* SPDX-License-Identifier: BSD-3-Clause */
#include "nearest.h"

#include <string.h>

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: three rows of the matrix are enough. */
static unsigned distance(const char *a, size_t alen, const char *b, size_t blen)
{
	unsigned rows[3][NEAREST_MAX + 1];
	unsigned *above2 = rows[0], *above = rows[1], *row = rows[2];

	memset(rows, 0, sizeof(rows));
	for (size_t j = 0; j <= blen; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= alen; i++) {
		unsigned *spare = above2;

		above2 = above;
		above = row;
		row = spare;
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= blen; j++) {
			char ca = lower(a[i - 1]), cb = lower(b[j - 1]);
			unsigned d = above[j - 1] + (ca != cb);

			d = least(d, least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && ca == lower(b[j - 2]) && lower(a[i - 2]) == cb)
				d = least(d, above2[j - 2] + 1);
			row[j] = d;
		}
	}
	return row[blen];
}

void nearest_start(struct nearest *n, const char *name, size_t len)
{
	n->name = name;
	n->len = len;
	n->best = NULL;
	/* Two letters may be swapped in a name of two ("qm" for "mq"). */
	n->distance = len < 3 ? 2 : (unsigned)(len / 3) + 1;
}

void nearest_offer(struct nearest *n, const char *known)
{
	size_t len = strlen(known);
	unsigned d;

	if (n->len > NEAREST_MAX || len > NEAREST_MAX)
		return;
	d = distance(n->name, n->len, known, len);
	/* Nothing in common is not near, however short both are. */
	if (d < n->distance && d < (len > n->len ? len : n->len)) {
		n->distance = d;
		n->best = known;
	}
}
