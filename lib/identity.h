/* SPDX-License-Identifier: BSD-3-Clause */
/* Which journal this is. <journal>/identity holds a uuid and the file's own inode, so
 * that a restored copy is known for one: it gets a new uuid, and ids are never issued twice. */
#ifndef MBEV_IDENTITY_H
#define MBEV_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes the journal's directory (mode 0700) and what notifyd keeps in it where they are missing,
 * and a new identity for a restored copy. Refuses network and FUSE file systems. To be called
 * by notifyd alone, holding its lock, or for a journal that nobody has used yet.
 * 0, or -1 with *why_r malloc'd. */
int journal_init(const char *dir, char **why_r);

/* The name of the directory's file system when it is one that a journal can't be on (network,
 * FUSE); NULL when it is fit. */
const char *journal_remote(int dirfd);

/* former is all zero when it was never a copy. -1 with errno (EBADMSG: not such a file;
 * EPROTONOSUPPORT: of a later version). */
int journal_identity(int dirfd, unsigned char uuid_r[16], unsigned char former_r[16]);

/* That errno in words, and what to do. */
const char *journal_identity_error(int error);

/* An id: <uuid>-<position, 16 hex digits>. */
#define JOURNAL_ID 54 /* with its NUL */
void journal_id(char id_r[JOURNAL_ID], const unsigned char uuid[16], uint64_t pos);
/* Makes an id of that journal the one of another position. */
void journal_id_move(char id[JOURNAL_ID], uint64_t pos);
/* false when it is no id at all. */
bool journal_id_parse(const char *s, size_t len, unsigned char uuid_r[16], uint64_t *pos_r);

#endif
