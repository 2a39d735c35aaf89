/* SPDX-License-Identifier: BSD-3-Clause */
/* An event being built: parameters set in any order, written as the documented
 * JSON: one flat object, keys sorted, compact, ASCII. */
#ifndef MBEV_EVENT_H
#define MBEV_EVENT_H

#include "record.h"

struct event; /* reusable scratch */

struct event *event_new(void); /* NULL when memory is short */
void event_free(struct event **e);
void event_reset(struct event *e);

/* Set a parameter (the last one set of a name wins). key and raw JSON are borrowed until
 * event_write(); string values are copied. */
void event_set_raw(struct event *e, struct str key, struct str json);
void event_set_string(struct event *e, struct str key, struct str value);
void event_set_copy(struct event *e, struct str key, struct str json); /* JSON that is copied */
void event_set_int(struct event *e, struct str key, int64_t value);

/* The raw JSON of a parameter; false when it is not set. */
bool event_get(const struct event *e, struct str key, struct str *json_r);
void event_unset(struct event *e, struct str key);

/* Whether memory was short at some point since the reset. */
bool event_failed(const struct event *e);

/* Appends the object to out. -1 when memory was short at any point since the reset. */
int event_write(struct event *e, struct buf *out);

/* Appends value as a JSON string with its quotes: ASCII, \u escapes (pairs above U+FFFF); a byte
 * that is not UTF-8 becomes \ufffd. */
void event_json_string(struct buf *out, struct str value);

#endif
