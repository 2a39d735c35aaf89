/* SPDX-License-Identifier: BSD-3-Clause */
#include "topology.h"

static int declare_queue(const struct topology *t, struct connection *c, int64_t deadline)
{
	amqp_table_entry_t type = {
	    .key = amqp_cstring_bytes("x-queue-type"),
	    .value = {.kind = AMQP_FIELD_KIND_UTF8,
	              .value = {.bytes = amqp_cstring_bytes(t->queue_type)}},
	};
	amqp_queue_declare_t declare = {
	    .queue = amqp_cstring_bytes(t->queue),
	    .durable = 1,
	    .arguments = {1, &type},
	};
	/* # is every key of a topic exchange; fanout ignores it, and a headers exchange matches
	 * everything when a binding asks for no header. */
	amqp_queue_bind_t bind = {
	    .queue = amqp_cstring_bytes(t->queue),
	    .exchange = amqp_cstring_bytes(t->exchange),
	    .routing_key = amqp_cstring_bytes("#"),
	};
	if (connection_call(c, AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD,
	                    deadline))
		return -1;
	return connection_call(c, AMQP_QUEUE_BIND_METHOD, &bind, AMQP_QUEUE_BIND_OK_METHOD,
	                       deadline);
}

int topology_declare(const struct topology *t, struct connection *c, int64_t deadline)
{
	amqp_exchange_declare_t declare = {
	    .exchange = amqp_cstring_bytes(t->exchange),
	    .type = amqp_cstring_bytes(t->exchange_type),
	    .durable = 1,
	};
	amqp_confirm_select_t select = {0};

	if (connection_call(c, AMQP_EXCHANGE_DECLARE_METHOD, &declare,
	                    AMQP_EXCHANGE_DECLARE_OK_METHOD, deadline))
		return -1;
	if (t->queue && declare_queue(t, c, deadline))
		return -1;
	return connection_call(c, AMQP_CONFIRM_SELECT_METHOD, &select,
	                       AMQP_CONFIRM_SELECT_OK_METHOD, deadline);
}
