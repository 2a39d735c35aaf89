/* SPDX-License-Identifier: BSD-3-Clause */
/* A strict scanner of JSON text (RFC 8259): no tree, no recursion, bounded depth.
 * Values are spans of the text. Safe in a mail process. */
#ifndef MBEV_JTEXT_H
#define MBEV_JTEXT_H

#include "record.h"

#define JTEXT_DEPTH 256 /* deeper text is refused */

enum jtext_form {
	JTEXT_CLEAN, /* what jtext_clean() would write */
	JTEXT_LOOSE, /* white space between tokens, or characters that are not ASCII */
	JTEXT_UNFIT, /* line feeds, or what strict readers refuse */
};

struct jtext {
	const char *p, *end;
	enum jtext_form form; /* the worst so far */
	bool first;
};

/* Begins to read an object; text has no white space around it. false when it begins none. */
bool jtext_open(struct jtext *j, struct str text);

/* The next member; key_r and value_r are spans of the text, key_r with its quotes.
 * 1; 0 at the object's end, when nothing follows it; -1: not JSON. Numbers that
 * a signed 64-bit integer or a double can't hold count as not JSON, since readers refuse them. */
int jtext_next(struct jtext *j, struct str *key_r, struct str *value_r);

/* Appends text (one value) without white space between its tokens and in ASCII that every
 * strict reader takes: escapes are kept, other characters and control characters become escapes,
 * bytes that are not UTF-8, lone surrogates and a NUL in a key become \ufffd.
 * false: not JSON; what was appended is then of no use. */
bool jtext_clean(struct str text, struct buf *out);

/* Appends what a JSON string (with its quotes) says, as bytes. A value of another type, or a
 * lone surrogate in it, is not for this call: see jtext_clean(). */
void jtext_decode(struct str string, struct buf *out);

static inline bool jtext_is_string(struct str value)
{
	return value.len >= 2 && value.s[0] == '"';
}

/* One character of UTF-8 at s (s < end): its length, or 0 when it is none. */
unsigned jtext_utf8(const char *s, const char *end, uint32_t *c_r);

/* Appends the inside of a JSON string (no quotes): ASCII, escapes, \ufffd for other bytes. */
void jtext_escape(struct str value, struct buf *out);

#endif
