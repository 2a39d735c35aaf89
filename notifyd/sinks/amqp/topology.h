/* SPDX-License-Identifier: BSD-3-Clause */
/* What must exist on the broker: the exchange, and a queue bound to it where one is named. */
#ifndef NOTIFYD_AMQP_TOPOLOGY_H
#define NOTIFYD_AMQP_TOPOLOGY_H

#include "connection.h"

struct topology {
	const char *exchange, *exchange_type;
	const char *queue; /* NULL: the consumers bring their own */
	const char *queue_type;
};

/* Declares them durable, with a binding for every message, and turns confirms on,
 * until deadline. 0, or -1: connection_code() and connection_why(). */
int topology_declare(const struct topology *t, struct connection *c, int64_t deadline);

#endif
