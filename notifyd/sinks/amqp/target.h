/* SPDX-License-Identifier: BSD-3-Clause */
/* What a sink's options say: where to publish, and how. */
#ifndef NOTIFYD_AMQP_TARGET_H
#define NOTIFYD_AMQP_TARGET_H

#include "address.h"
#include "topology.h"

#include "../../sink.h"

enum unroutable { UNROUTABLE_RETRY, UNROUTABLE_DEAD_LETTER, UNROUTABLE_DROP };

struct target {
	struct address *address;
	struct buf password;
	bool external; /* SASL: the certificate says who we are */
	const char *cafile, *certificate, *key;
	struct topology topology;
	const char *routing_key;
	char server[256]; /* %s of it */
	bool bare;        /* messages: no headers, and no property but the message-id */
	bool with_id;     /* of the event, in the body too */
	enum unroutable unroutable;
	int64_t timeout; /* milliseconds */
	int heartbeat;   /* seconds */
};

extern const struct conf_option target_options[];

/* Reads them and the files they name, and checks all of it. 0, or code with sink->why, which begins
 * with the option that is wrong: "notifyd_mq_url: ...". Borrows from the sink's configuration. */
int target_read(struct target **t_r, struct sink *sink, int code);

/* Wipes the password. */
void target_free(struct target **t);

#endif
