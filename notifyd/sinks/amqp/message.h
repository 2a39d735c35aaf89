/* SPDX-License-Identifier: BSD-3-Clause */
/* A record's routing key, properties, headers and body. */
#ifndef NOTIFYD_AMQP_MESSAGE_H
#define NOTIFYD_AMQP_MESSAGE_H

#include "../../../lib/identity.h"
#include "../../../lib/record.h"

#include <amqp.h>

#define MESSAGE_HEADERS 6

/* Scratch, used again for each record. Begins all zero but for the first four. */
struct message {
	const char *template; /* of the routing key, checked: see key.h */
	const char *server;   /* this one's name */
	bool bare;            /* no properties but the message-id, and no headers */
	bool with_id;         /* the body is {"id":ID,"event":{...}} */

	amqp_basic_properties_t properties;
	amqp_bytes_t key, body;

	struct buf keybuf, text, bodybuf;
	char id[JOURNAL_ID];
	amqp_table_entry_t headers[MESSAGE_HEADERS];
};

/* How long the body will be. */
size_t message_body_len(const struct message *m, const struct record *rec);

/* Fills properties, key and body, which borrow from rec and m until the next call. -1: out of
 * memory. */
int message_set(struct message *m, const unsigned char uuid[16], const struct record *rec);

/* An upper bound of what the properties take in a frame. */
size_t message_properties_max(const struct message *m);
void message_free(struct message *m);

#endif
