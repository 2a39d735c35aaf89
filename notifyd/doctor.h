/* SPDX-License-Identifier: BSD-3-Clause */
/* What notifyctl doctor looks at: the running system, beside the configuration that check looks at.
 * Each finding is one line that says what is wrong, where, and what to do. */
#ifndef NOTIFYD_DOCTOR_H
#define NOTIFYD_DOCTOR_H

#include "settings.h"

#include <stdarg.h>

struct doctor {
	const char *conf_path;
	const struct settings *settings;
	int journal; /* directory; -1: there is none, or it can't be opened */
	void (*found)(void *ctx, bool error, const char *line);
	void *ctx;
};

__attribute__((format(printf, 2, 3))) void doctor_error(const struct doctor *d, const char *fmt,
                                                        ...);
__attribute__((format(printf, 2, 3))) void doctor_warning(const struct doctor *d, const char *fmt,
                                                          ...);

/* ctl_check.c: calls found for each thing that is wrong in the configuration or where it points. */
void check_configuration(const char *conf_path,
                         void (*found)(void *ctx, bool error, const char *line), void *ctx);

/* doctor_hook.c: is the hook in every mail process, does it work there, and if not, what does
 * Cyrus do that it keeps Cyrus from. */
void doctor_hook(const struct doctor *d);
/* doctor_socket.c: who serves Cyrus's notify socket. */
void doctor_socket(const struct doctor *d);
/* doctor_journal.c: losses, room, time, cursors that nobody moves. */
void doctor_journal(const struct doctor *d);
/* doctor_sinks.c: does notifyd run, do its sinks deliver, or else can they reach their far sides.
 */
void doctor_sinks(const struct doctor *d);

#endif
