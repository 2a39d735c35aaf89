/* SPDX-License-Identifier: BSD-3-Clause */
/* vnd.cmu.midset: Message-IDs, each once, in the order they came, as a JSON array. A message
 * set may hold very many, so each is looked up by its hash. Safe in a mail process. */
#ifndef MBEV_MIDSET_H
#define MBEV_MIDSET_H

#include "record.h"

struct midset {
	struct buf json; /* "a","b" without the brackets */
	struct mid {
		uint64_t hash;
		size_t at, len; /* in json, with the quotes; len 0: a free place */
	} * table;
	size_t n, cap; /* cap: a power of two, or 0 */
};

/* false: memory is short. */
bool midset_add(struct midset *m, struct str id);
void midset_write(const struct midset *m, struct buf *out);
void midset_reset(struct midset *m);
void midset_free(struct midset *m);

#endif
