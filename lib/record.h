/* SPDX-License-Identifier: BSD-3-Clause */
/* One event with its routing facts, and its form in a journal segment
 * (mboxevent-journal(5)). The facts stand beside the JSON so that filters and
 * routing never parse it. */
#ifndef MBEV_RECORD_H
#define MBEV_RECORD_H

#include "buf.h"

/* Borrowed bytes, not NUL-terminated. An absent fact is {NULL or "", 0}. */
struct str {
	const char *s;
	size_t len;
};

#define STR(literal) ((struct str){literal, sizeof(literal) - 1})

struct record {
	uint64_t pos;  /* where it begins, a journal position; set by the reader */
	uint64_t next; /* where the next one begins: the cursor after delivery */
	int64_t time;  /* appended at, microseconds since 1970 UTC */
	uint32_t lost; /* events its process could not append just before it; of a SEAL: boot gaps
	                  between it and the next segment */
	uint16_t flags;
	struct str event;   /* wire name, e.g. vnd.cmu.MessageCopy; 1 to 255 bytes */
	struct str user;    /* who acted; UTF-8 */
	struct str owner;   /* whose mailbox it is; empty for a shared one */
	struct str mailbox; /* decoded name as the owner sees it: INBOX, Archive/2024 */
	struct str json;    /* one object, no line feed */
};

/* flags */
#define RECORD_NATIVE 1 /* json is as the server wrote it, not the documented form */

enum record_kind { RECORD_EVENT = 1, RECORD_SEAL = 2 };

#define RECORD_HEADER 48
#define RECORD_MAX    (32u << 20) /* a longer one is corrupt, or refused when written */

/* Holds bytes that no JSON holds (NUL, 0xFF), so that mail text can't forge it. */
extern const unsigned char record_magic[8];

/* Appends the encoded record to out (a SEAL: record is NULL, or has nothing but `lost`).
 * 0, or -1 when it would be longer than RECORD_MAX, a fact is too long, or memory is short. */
int record_encode(struct buf *out, enum record_kind kind, const struct record *rec, int64_t time);

enum {
	RECORD_BAD = -1,  /* these bytes can never begin a record, or the checksum is wrong */
	RECORD_SHORT = 0, /* could be one, but more bytes are needed: *need_r in all */
};
/* Decodes what begins at s. A kind (> 0) with *rec_r borrowing from s (pos and next unset)
 * and *need_r its length; else one of the above. */
int record_decode(const char *s, size_t len, struct record *rec_r, size_t *need_r);

/* Offset of the next byte in s[from..len) where a record may begin; len when none. */
size_t record_resync(const char *s, size_t len, size_t from);

#endif
