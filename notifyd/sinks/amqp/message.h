/* SPDX-License-Identifier: BSD-3-Clause */
/* A record's routing key, properties and headers. */
#ifndef NOTIFYD_AMQP_MESSAGE_H
#define NOTIFYD_AMQP_MESSAGE_H

#include "../../../lib/identity.h"
#include "../../../lib/record.h"

#include <amqp.h>

#define MESSAGE_HEADERS 6

/* Scratch, used again for each record. Begins all zero but for the first three. */
struct message {
	const char *template; /* of the routing key, checked: see key.h */
	const char *server;   /* this one's name */
	bool bare;            /* no properties but the message-id, and no headers */

	amqp_basic_properties_t properties;
	amqp_bytes_t key;

	struct buf keybuf, text;
	char id[JOURNAL_ID];
	amqp_table_entry_t headers[MESSAGE_HEADERS];
};

/* Fills properties and key, which borrow from rec and m until the next call. -1: out of memory. */
int message_set(struct message *m, const unsigned char uuid[16], const struct record *rec);

/* An upper bound of what the properties take in a frame. */
size_t message_properties_max(const struct message *m);
void message_free(struct message *m);

#endif
