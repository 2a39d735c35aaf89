/* SPDX-License-Identifier: BSD-3-Clause */
/* One line that a client sent, parsed strictly: a key, a type or a name that is
 * not known is refused, so that a typing mistake never passes for a wish. */
#ifndef UNIX_REQUEST_H
#define UNIX_REQUEST_H

#include "../../../lib/buf.h"

#define REQUEST_LINE 65536 /* bytes in a line, its line feed left out */
#define REQUEST_NAME 64    /* bytes in a subscription's name: [a-z0-9_-] */

enum request_kind {
	REQUEST_LIVE,        /* an empty line */
	REQUEST_SUBSCRIBE,   /* {"v":1,"subscribe":NAME,...} */
	REQUEST_ACK,         /* {"ack":ID} */
	REQUEST_UNSUBSCRIBE, /* {"unsubscribe":NAME} */
};

enum request_from { FROM_UNSET, FROM_OLDEST, FROM_NEWEST, FROM_ID };

struct request {
	enum request_kind kind;
	char name[REQUEST_NAME + 1];
	enum request_from from;
	unsigned char uuid[16]; /* of the id in "from" or "ack" */
	uint64_t pos;
	struct buf groups, events, users; /* words as filter_new() takes them */
};

/* Parses a line without its line feed (a CR before it is allowed). 0, or -1 with the reason
 * appended to error: one line of text that says what, where and what to do; it may quote the
 * client's bytes. request_free() in both cases. */
int request_parse(const char *line, size_t len, struct request *req_r, struct buf *error);
void request_free(struct request *req);

#endif
