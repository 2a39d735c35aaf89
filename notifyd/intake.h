/* SPDX-License-Identifier: BSD-3-Clause */
/* What becomes of one notify() request, however it came: an event is converted and appended to the
 * journal, anything else is handed to notifyd_forward. */
#ifndef NOTIFYD_INTAKE_H
#define NOTIFYD_INTAKE_H

#include "datagram.h"

#include "../lib/conf.h"

struct intake;

/* NULL with *why_r malloc'd. */
struct intake *intake_new(const struct conf *conf, char **why_r);
void intake_free(struct intake **in);

enum {
	INTAKE_OK = 0,
	INTAKE_LOST = -1,      /* neither appended nor forwarded; counted and told */
	INTAKE_MALFORMED = -2, /* no message; counted and told */
};

/* Never waits for a peer. */
int intake_take(struct intake *in, const struct datagram *d);

/* Counts what could not even be parsed, or came to no end. */
void intake_malformed(struct intake *in, const char *why);

/* Tells what is due to be told; to be called every few seconds. */
void intake_tick(struct intake *in);

#endif
