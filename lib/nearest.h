/* SPDX-License-Identifier: BSD-3-Clause */
/* The known name that a mistyped one most likely stands for: fewest letters
 * wrong, missing, too many or swapped, whatever their case. */
#ifndef MBEV_NEAREST_H
#define MBEV_NEAREST_H

#include <stddef.h>

#define NEAREST_MAX 64 /* longer names are never near */

struct nearest {
	const char *name; /* borrowed */
	size_t len;
	const char *best; /* the nearest one offered so far, borrowed; NULL while none is near */
	unsigned distance;
};

void nearest_start(struct nearest *n, const char *name, size_t len);
/* Offers a known name. One further away than a third of the name's length is not near. */
void nearest_offer(struct nearest *n, const char *known);

#endif
