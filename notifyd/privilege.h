/* SPDX-License-Identifier: BSD-3-Clause */
/* Started by root, notifyd goes on as the owner of the journal: the mail server's user. */
#ifndef NOTIFYD_PRIVILEGE_H
#define NOTIFYD_PRIVILEGE_H

#include "settings.h"

/* As root: makes the journal directory (for Cyrus's user, where there is one) and the directories
 * of unix sinks' sockets where they are missing, then becomes the journal directory's owner for
 * good. Nothing for any other user, or when root owns it. 0, or -1 with *why_r malloc'd. */
int privilege_drop(const struct settings *settings, char **why_r);

/* The second half alone, for a tool. 0, or -1 with errno. */
int privilege_drop_for(const char *journal);

#endif
