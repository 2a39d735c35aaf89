/* SPDX-License-Identifier: BSD-3-Clause */
/* What must exist on the broker: the exchange, and a queue bound to it where one is named. */
#ifndef NOTIFYD_AMQP_TOPOLOGY_H
#define NOTIFYD_AMQP_TOPOLOGY_H

#include "arguments.h"
#include "connection.h"

struct topology {
	bool declare; /* else they must be there, and their bindings are not looked at */
	const char *exchange, *exchange_type;
	struct arguments exchange_arguments;
	const char *queue; /* NULL: the consumers bring their own */
	struct arguments queue_arguments;
	const char *bindings; /* keys with white space between; NULL: every message */
};

/* Declares them durable, or looks whether they are there, and turns confirms on, until deadline.
 * 0, or -1: connection_code() and connection_why(). */
int topology_declare(struct topology *t, struct connection *c, int64_t deadline);

#endif
