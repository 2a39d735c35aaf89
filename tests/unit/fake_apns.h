/* SPDX-License-Identifier: BSD-3-Clause */
/* Stands for the client of Apple's provider API: keeps what is pushed and answers by script. */
#ifndef TESTS_FAKE_APNS_H
#define TESTS_FAKE_APNS_H

#include "../../notifyd/sinks/apns/client.h"

struct fake_push {
	char token[512], topic[128], push_type[32], collapse[128], payload[4200];
	int priority;
	int64_t expiration;
};

#define FAKE_PUSHES 4096

struct fake_apns {
	struct fake_push pushes[FAKE_PUSHES];
	size_t opens;      /* clients made */
	size_t n;          /* pushes taken so far */
	size_t room;       /* taken without answer at most */
	int state;         /* APNS_OK, or what submit says: APNS_WAIT, APNS_NEVER */
	bool hold;         /* no answers come */
	const char *topic; /* of the certificate; NULL: tokens */
	/* What comes of a push; NULL: all are delivered. */
	struct apns_answer (*answer)(const struct fake_push *p);
};

extern struct fake_apns fake_apns;

#endif
