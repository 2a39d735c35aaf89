/* SPDX-License-Identifier: BSD-3-Clause */
#include "topology.h"

#include <string.h>

#define SPACE " \t"

static int bind_one(const struct topology *t, struct connection *c, int64_t deadline,
                    amqp_bytes_t key)
{
	amqp_queue_bind(connection_request(c, deadline), CONNECTION_CHANNEL,
	                amqp_cstring_bytes(t->queue), amqp_cstring_bytes(t->exchange), key,
	                amqp_empty_table);
	return connection_answer(c);
}

static int bind_all(const struct topology *t, struct connection *c, int64_t deadline)
{
	/* # is every key of a topic exchange; fanout ignores it, and a headers exchange matches
	 * everything when a binding asks for no header. */
	const char *keys = t->bindings ? t->bindings : "#";

	for (size_t n; *(keys += strspn(keys, SPACE)); keys += n) {
		n = strcspn(keys, SPACE);
		if (bind_one(t, c, deadline, (amqp_bytes_t){n, (void *)(uintptr_t)keys}))
			return -1;
	}
	return 0;
}

int topology_declare(struct topology *t, struct connection *c, int64_t deadline)
{
	int passive = !t->declare;

	amqp_exchange_declare(connection_request(c, deadline), CONNECTION_CHANNEL,
	                      amqp_cstring_bytes(t->exchange), amqp_cstring_bytes(t->exchange_type),
	                      passive, /* durable, auto-delete, internal */ 1, 0, 0,
	                      arguments_table(&t->exchange_arguments));
	if (connection_answer(c))
		return -1;
	if (t->queue) {
		amqp_queue_declare(connection_request(c, deadline), CONNECTION_CHANNEL,
		                   amqp_cstring_bytes(t->queue), passive,
		                   /* durable, exclusive, auto-delete */ 1, 0, 0,
		                   arguments_table(&t->queue_arguments));
		if (connection_answer(c) || (t->declare && bind_all(t, c, deadline)))
			return -1;
	}
	amqp_confirm_select(connection_request(c, deadline), CONNECTION_CHANNEL);
	return connection_answer(c);
}
