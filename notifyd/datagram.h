/* SPDX-License-Identifier: BSD-3-Clause */
/* One request of Cyrus's notify(), and its form as a datagram:
 *   method NUL class NUL priority NUL user NUL mailbox NUL nopt NUL (option NUL)* message NUL
 *   [fname NUL] */
#ifndef NOTIFYD_DATAGRAM_H
#define NOTIFYD_DATAGRAM_H

#include "../lib/record.h"

/* The largest that Cyrus sends (NOTIFY_MAXSIZE). */
#define DATAGRAM_MAX 65536

/* Every str is borrowed from what was parsed. */
struct datagram {
	struct str method, class, priority, user, mailbox, message;
	struct str fname;   /* s is NULL when there is none */
	unsigned nopt;      /* options: that many strings, */
	struct str options; /* each with its NUL */
};

/* 0, or -1 with *why_r (static). Anything left over or missing is an error. */
int datagram_parse(const char *s, size_t len, struct datagram *d_r, const char **why_r);

/* Appends it to out. -1 when it would be longer than DATAGRAM_MAX, a string holds a NUL, or memory
 * is short; out then holds what it held. */
int datagram_write(struct buf *out, const struct datagram *d);

#endif
