/* SPDX-License-Identifier: BSD-3-Clause */
/* Every byte of a journal checked, by mboxevent-journal(5). Unlike a reader it waits for nothing,
 * and tells one kind of damage from another. The journal may be in use meanwhile. */
#ifndef NOTIFYD_VERIFY_H
#define NOTIFYD_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

enum damage_kind {
	DAMAGE_HEADER,   /* of a segment */
	DAMAGE_VERSION,  /* a whole segment that another version wrote */
	DAMAGE_CHECKSUM, /* a whole record, whose bytes are not what was written */
	DAMAGE_TORN,     /* bytes that are no record */
	DAMAGE_HOLE,     /* the same, and all of them zero */
	DAMAGE_CUT,      /* a segment ends before its end */
	DAMAGE_MISSING,  /* a segment is not there, or several */
};

struct damage {
	enum damage_kind kind;
	uint64_t pos, len; /* len 0: not known */
	uint64_t base;     /* the segment; where one is missing the one before */
	uint64_t offset;   /* in its file */
};

struct verify {
	void (*found)(void *ctx, const struct damage *d);
	/* Now and then; may be NULL. */
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
	int patience; /* milliseconds for a record at the end that may be being written */
	/* filled by verify_journal() */
	uint64_t segments, bytes, events, lost, damaged;
};

/* In the words of an admin: "bad checksum". */
const char *verify_kind(enum damage_kind kind);

/* 0, or -1 with *why_r malloc'd: it could not be read. */
int verify_journal(const char *dir, struct verify *v, char **why_r);

#endif
