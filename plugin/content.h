/* SPDX-License-Identifier: BSD-3-Clause */
/* messageContent: which file holds which message, as the server tells it before its event, and
 * the text from there. Content goes to an event only when mailbox and UID are those of the message
 * that was noted: another message's would show mail to who must not read it. */
#ifndef MBEV_CONTENT_H
#define MBEV_CONTENT_H

#include "../lib/conf.h"
#include "../lib/record.h"

#define CONTENT_NOTED 256 /* messages that may await their events; the oldest is forgotten */

struct content;

/* All borrowed for the call. */
struct content_message {
	const char *mailbox; /* the server's unique id of it */
	uint32_t uid;
	uint32_t size, header; /* of the whole message, of its header with the empty line */
	const char *path;
};

/* NULL when messageContent is not in event_extra_params, or memory is short. */
struct content *content_new(const struct conf *conf, const char *service);
void content_free(struct content **c);

/* Takes note of a message. What was noted of the same one before is superseded. */
void content_note(struct content *c, const struct content_message *m);

/* Appends the part of a message that its event carries, as a JSON string of at most `room` bytes,
 * and forgets the message. false when there is none, for the reason in *why_r, or by the options
 * (*why_r NULL); what was appended is then of no use. It costs one open, fstat, read, close. */
bool content_text(struct content *c, struct str mailbox, uint32_t uid, size_t room, struct buf *out,
                  const char **why_r);

#endif
