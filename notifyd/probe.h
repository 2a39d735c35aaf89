/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether the far sides of sinks can be reached: their drivers' probe(), side by side, each in a
 * process of its own that has the rights of notifyd and no more. */
#ifndef NOTIFYD_PROBE_H
#define NOTIFYD_PROBE_H

#include "settings.h"

#include <sys/types.h>

/* All have their answer within so long: a little longer than a driver takes, whose words are
 * better.
 */
#define PROBE_S 12

struct probe {
	struct sink *sink;
	char why[sizeof(
	    ((struct sink *)0)->why)]; /* answer: "" it can be reached, or has no far side */
	pid_t pid;                     /* its own */
	int fd;
};

/* 0, or -1 when this user is neither root nor the one that notifyd runs as, so that what it may and
 * may not says nothing. */
int probe_run(const struct settings *settings, struct probe *probes, size_t n);

#endif
