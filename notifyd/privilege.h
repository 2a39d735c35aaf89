/* SPDX-License-Identifier: BSD-3-Clause */
/* Started by root, notifyd goes on as the owner of the journal: the mail server's user. */
#ifndef NOTIFYD_PRIVILEGE_H
#define NOTIFYD_PRIVILEGE_H

#include "settings.h"

/* As root: makes the journal directory (for Cyrus's user, where there is one) and the directories
 * of unix sinks' sockets where they are missing, then becomes the journal directory's owner for
 * good. Nothing for any other user, or when root owns it. 0, or -1 with *why_r malloc'd. */
int privilege_drop(const struct settings *settings, char **why_r);

/* The second half alone, without making anything: where there is no journal directory yet root
 * becomes Cyrus's user. -1 with errno; EPERM for a user who is neither root nor the right one. */
int privilege_become(const struct settings *settings);

/* The same for a tool, where it is root and there is a directory. 0, or -1 with errno. */
int privilege_drop_for(const char *journal);

#endif
