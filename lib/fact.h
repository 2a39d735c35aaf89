/* SPDX-License-Identifier: BSD-3-Clause */
/* Facts as records carry them beside the JSON: UTF-8 without control characters. */
#ifndef MBEV_FACT_H
#define MBEV_FACT_H

#include "record.h"

/* Room for the facts of one record. */
struct facts {
	char event[255], user[1024], owner[1024], mailbox[4096];
};

/* Writes s to `to`, cut to its longest: what is not UTF-8 and control characters become U+FFFD. */
struct str fact(char *to, size_t max, struct str s);

#endif
