/* SPDX-License-Identifier: BSD-3-Clause */
/* messageHeaders: the headers of the messages whose text an event carries in messageContent,
 * decoded (mboxevent-events(7)). Mail is hostile: what lies beyond the limits below is left out,
 * and the event's vnd.mboxevent.headersCut then names the UIDs of messages it was left out of. */
#ifndef NOTIFYD_HEADERS_H
#define NOTIFYD_HEADERS_H

#include "../lib/record.h"

#include <stdbool.h>

#define HEADERS_FIELDS 1000         /* of a message; those beyond are left out */
#define HEADERS_FIELD  (64u << 10)  /* bytes of one value; the rest is left out */
#define HEADERS_EVENT  (512u << 10) /* bytes of all values of all messages of an event */

/* false in a build without GMime: headers_new() then always returns NULL. */
extern const bool headers_built;

struct headers; /* the decoder and its scratch memory */

/* Starts GMime at the first call of the process. NULL when memory is short. */
struct headers *headers_new(void);
void headers_free(struct headers **h);

/* rec with messageHeaders added, valid until the next call, its facts borrowed from rec; or rec
 * itself where there is nothing to add: no messageContent, or messageHeaders are there already.
 * h may be NULL: nothing is ever added. */
const struct record *headers_add(struct headers *h, const struct record *rec);

#endif
