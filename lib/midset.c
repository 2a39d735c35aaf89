/* SPDX-License-Identifier: BSD-3-Clause */
#include "midset.h"
#include "event.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Where the string at json[at..at+len) stands, or would stand. */
static struct mid *find(const struct midset *m, uint64_t hash, size_t at, size_t len)
{
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct mid *mid = &m->table[i];
		if (!mid->len || (mid->hash == hash && mid->len == len &&
		                  memcmp(m->json.s + mid->at, m->json.s + at, len) == 0))
			return mid;
	}
}

/* Keeps half of the table free. */
static bool grow(struct midset *m)
{
	if (2 * (m->n + 1) <= m->cap)
		return true;
	struct midset bigger = {.json = m->json, .n = m->n, .cap = m->cap ? 2 * m->cap : 8};
	bigger.table = calloc(bigger.cap, sizeof *bigger.table);
	if (!bigger.table)
		return false;
	for (size_t i = 0; i < m->cap; i++) {
		const struct mid *mid = &m->table[i];
		if (mid->len)
			*find(&bigger, mid->hash, mid->at, mid->len) = *mid;
	}
	free(m->table);
	*m = bigger;
	return true;
}

bool midset_add(struct midset *m, struct str id)
{
	size_t before = m->json.len;
	if (!grow(m))
		return false;
	if (m->n)
		buf_addc(&m->json, ',');
	size_t at = m->json.len;
	event_json_string(&m->json, id);
	if (m->json.failed)
		return false;
	size_t len = m->json.len - at;
	uint64_t hash = XXH3_64bits(m->json.s + at, len);
	struct mid *mid = find(m, hash, at, len);
	if (mid->len) {
		m->json.len = before;
	} else {
		*mid = (struct mid){hash, at, len};
		m->n++;
	}
	return true;
}

void midset_write(const struct midset *m, struct buf *out)
{
	buf_addc(out, '[');
	buf_add(out, m->json.s, m->json.len);
	buf_addc(out, ']');
}

void midset_reset(struct midset *m)
{
	if (m->n)
		memset(m->table, 0, m->cap * sizeof *m->table);
	buf_reset(&m->json);
	m->n = 0;
}

void midset_free(struct midset *m)
{
	free(m->table);
	buf_free(&m->json);
	*m = (struct midset){.table = NULL};
}
