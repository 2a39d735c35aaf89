/* SPDX-License-Identifier: BSD-3-Clause */
/* A set of UIDs and its form as an IMAP sequence set: sorted, ranges joined ("1:3,7").
 * Safe in a mail process. */
#ifndef MBEV_UIDSET_H
#define MBEV_UIDSET_H

#include "record.h"

struct uidset {
	struct uidrange {
		uint32_t low, high;
	} * ranges; /* sorted, none touches another */
	size_t n, cap;
};

/* false: memory is short. 0 is no UID, and ignored. */
bool uidset_add(struct uidset *u, uint32_t low, uint32_t high);
/* Adds a sequence set without `*`. 0; -1: it is none; -2: memory is short. */
int uidset_parse(struct uidset *u, struct str text);
void uidset_write(const struct uidset *u, struct buf *out);
/* Whether it holds exactly one UID. */
bool uidset_is_one(const struct uidset *u);
void uidset_free(struct uidset *u);

#endif
