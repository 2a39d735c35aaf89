/* SPDX-License-Identifier: BSD-3-Clause */
/* Passwords and keys, which are kept in files of their own, never in imapd.conf. */
#ifndef NOTIFYD_SECRET_H
#define NOTIFYD_SECRET_H

#include "../lib/buf.h"

/* Appends what the file holds, without the line feed at its end. Refuses a file that others may
 * read or write, that is empty or longer than 64 KiB, or that is not a regular one (never blocks).
 * 0, or -1 with *why_r malloc'd: names the file and what to do, never what it holds. */
int secret_read(const char *path, struct buf *out, char **why_r);

/* Overwrites the contents, then frees them. */
void secret_forget(struct buf *b);

#endif
