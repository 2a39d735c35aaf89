/* SPDX-License-Identifier: BSD-3-Clause */
/* A set of IMAP flags as flagNames spells it: names separated by one space, each once, system
 * flags in their RFC 3501 case. Flags are the same whatever their case. */
#ifndef MBEV_FLAGS_H
#define MBEV_FLAGS_H

#include "record.h"

/* A system flag in its RFC 3501 case, of the same length; any other flag as it is. */
struct str flags_spelled(struct str flag);

/* Adds a flag at the end where it is missing. false: no flag (empty, or it holds what is not
 * printable ASCII, or a space). */
bool flags_add(struct buf *flags, struct str flag);
bool flags_has(struct str flags, struct str flag);
/* Takes a flag out. false: it was not there. */
bool flags_take(struct buf *flags, struct str flag);

/* The next word of a list separated by white space, cut off its front. false: no more. */
bool flags_next(struct str *list, struct str *word_r);

#endif
