/* SPDX-License-Identifier: BSD-3-Clause */
/* What a service manager and notifyd say to each other: sd_notify(3) and sd_listen_fds(3), whose
 * protocols are stable (systemd.io/PORTABILITY_AND_STABILITY) and small enough to be spoken without
 * libsystemd. Nothing happens where no manager asks. */
#ifndef NOTIFYD_SYSTEMD_H
#define NOTIFYD_SYSTEMD_H

#include <stdbool.h>

/* Takes what the manager said out of the environment, so that no child answers in our place. Once,
 * before anything else here. */
void systemd_open(void);

/* Lines such as "READY=1\nSTATUS=..."; never waits. */
void systemd_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "RELOADING=1" with the time that goes with it. */
void systemd_reloading(void);

/* Whether it wants to hear "WATCHDOG=1". */
bool systemd_watchdog(void);

/* A socket of this type, bound to this path, that the manager made for us: taken once, and
 * close-on-exec; else -1. */
int systemd_socket(const char *path, int type);

#endif
