/* SPDX-License-Identifier: BSD-3-Clause */
#include "topology.h"

static int declare_queue(const struct topology *t, struct connection *c, int64_t deadline)
{
	amqp_bytes_t queue = amqp_cstring_bytes(t->queue);
	amqp_table_entry_t type = {
	    .key = amqp_cstring_bytes("x-queue-type"),
	    .value = {.kind = AMQP_FIELD_KIND_UTF8,
	              .value = {.bytes = amqp_cstring_bytes(t->queue_type)}},
	};
	amqp_queue_declare(connection_request(c, deadline), CONNECTION_CHANNEL, queue,
	                   /* passive, durable, exclusive, auto-delete */ 0, 1, 0, 0,
	                   (amqp_table_t){1, &type});
	if (connection_answer(c))
		return -1;
	/* # is every key of a topic exchange; fanout ignores it, and a headers exchange matches
	 * everything when a binding asks for no header. */
	amqp_queue_bind(connection_request(c, deadline), CONNECTION_CHANNEL, queue,
	                amqp_cstring_bytes(t->exchange), amqp_cstring_bytes("#"), amqp_empty_table);
	return connection_answer(c);
}

int topology_declare(const struct topology *t, struct connection *c, int64_t deadline)
{
	amqp_exchange_declare(connection_request(c, deadline), CONNECTION_CHANNEL,
	                      amqp_cstring_bytes(t->exchange), amqp_cstring_bytes(t->exchange_type),
	                      /* passive, durable, auto-delete, internal */ 0, 1, 0, 0,
	                      amqp_empty_table);
	if (connection_answer(c))
		return -1;
	if (t->queue && declare_queue(t, c, deadline))
		return -1;
	amqp_confirm_select(connection_request(c, deadline), CONNECTION_CHANNEL);
	return connection_answer(c);
}
