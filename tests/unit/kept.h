/* SPDX-License-Identifier: BSD-3-Clause */
/* Files that are kept although a table says what stands in them: in whole, or between
 *   .\" BEGIN <section>
 * and .\" END. A test compares them, man/update writes them anew. */
#ifndef TESTS_KEPT_H
#define TESTS_KEPT_H

#include "../../lib/buf.h"

/* Appends what belongs in a section ("" is the whole file); false for one that this build can't
 * make: it is left alone. */
typedef bool kept_make(const char *section, struct buf *out);

/* The file of that name below the source directory: a static buffer. */
const char *kept_path(const char *name);
bool kept_slurp(const char *path, struct buf *b);
bool kept_has(const char *page, const char *section);
/* Fails the test at the first line that is not what the tables say. */
void kept_compare(const char *path, bool whole, kept_make *make);
/* An exit code. */
int kept_update(const char *path, bool whole, kept_make *make);

/* As mdoc text: a sentence begins a line, lines are short, nothing in it is a macro. */
void kept_text(struct buf *out, const char *s);

#endif
