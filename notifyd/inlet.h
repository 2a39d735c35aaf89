/* SPDX-License-Identifier: BSD-3-Clause */
/* Cyrus's notify socket, as long as the supervisor holds it for ingest: bound by us or lent by the
 * service manager. What waits in it outlives ingest. */
#ifndef NOTIFYD_INLET_H
#define NOTIFYD_INLET_H

#include "ingest.h"

#include <sys/stat.h>

struct inlet_place {
	int fd; /* -1: none */
	bool dlist;
	char path[INGEST_PATH];
	struct statx mark; /* of the socket's file: inode and birth */
};

struct inlet {
	struct inlet_place now;
	bool lent;                 /* by the service manager, which lends it once: */
	struct inlet_place parked; /* kept while notifysocket names another */
	bool told;                 /* that somebody else serves it */
};

void inlet_init(struct inlet *in);

/* Takes the socket that notifysocket names. False: there is none for us, told once. */
bool inlet_open(struct inlet *in, const struct conf *conf);
void inlet_close(struct inlet *in);

/* Whether it is open, and that of this configuration. */
bool inlet_serves(const struct inlet *in, const struct conf *conf);

/* Whether it is open, but its path leads to another's by now: Cyrus's master takes over the sockets
 * of its cyrus.conf, whoever serves them. Told; inlet_close() then leaves the path alone. */
bool inlet_taken(struct inlet *in);

#endif
