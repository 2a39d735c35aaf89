/* SPDX-License-Identifier: BSD-3-Clause */
/* What real Cyrus versions emit -> the documented JSON, with its routing facts.
 * Runs in the mail process: one pass over the bytes, no tree, no abort, bounded
 * by the input's length. Input already in the documented form comes out in its
 * canonical form (keys sorted), unchanged otherwise. */
#ifndef MBEV_NATIVE_H
#define MBEV_NATIVE_H

#include "conf.h"
#include "record.h"

struct native; /* settings and scratch memory, one a process */

/* Reads virtdomains, defaultdomain, mboxevent_format and mboxevent_modseq from conf (borrowed
 * for the call) for service (NULL: none). NULL when memory is short. */
struct native *native_new(const struct conf *conf, const char *service);
void native_free(struct native **n);

enum {
	NATIVE_OK = 0,
	NATIVE_DROP = 1, /* not to be emitted (MailboxModseq without mboxevent_modseq) */
	NATIVE_ASIS = 2, /* not understood; count it. rec_r has RECORD_NATIVE and holds the object
	                    as it came, marked "vnd.mboxevent.format":"native", or, of text that is
	                    no JSON object, the first NATIVE_RAW bytes as the string
	                    vnd.mboxevent.raw of an event NATIVE_UNKNOWN */
	NATIVE_NOMEM = -1,
};

/* The event of what has no name of its own. */
#define NATIVE_UNKNOWN "vnd.mboxevent.Unknown"
#define NATIVE_RAW     65536
#define NATIVE_KEYS    1024 /* an object of more members is not understood */

/* Converts one event. *rec_r borrows from n (until the next call) and from json; its pos, next,
 * time and lost are untouched. */
int native_convert(struct native *n, const char *json, size_t len, struct record *rec_r);

/* Appends the text of a message as a JSON string of at most `room` bytes, for the parameter
 * messageContent; false when there is none, what was appended is then of no use. mailbox: the
 * server's unique id of it. */
typedef bool native_content_fn(void *ctx, struct str mailbox, uint32_t uid, size_t room,
                               struct buf *json);

/* From now on asks fn (NULL: nobody) for the text of each MessageNew and MessageAppend that names
 * its mailbox and one message. Without memory for the text the event goes without it. Events in
 * the form of the server never have it. */
void native_content(struct native *n, native_content_fn *fn, void *ctx);

/* Gives back the memory that an unusually large event took. What native_convert() lent is then
 * gone. */
void native_trim(struct native *n);

#endif
