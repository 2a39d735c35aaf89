/* SPDX-License-Identifier: BSD-3-Clause */
/* The process that takes events from a Cyrus without the hook: stock notify()'s datagrams or its
 * dlist: connections become records of the journal; what is no event goes to notifyd_forward. */
#ifndef NOTIFYD_INGEST_H
#define NOTIFYD_INGEST_H

#include "../lib/conf.h"

#include <stdbool.h>
#include <stddef.h>

#define INGEST_PATH 108 /* room of a socket's path, with its NUL */

/* Where the configuration's mail processes send: notifysocket, by default
 * <configdirectory>/socket/notify. 0, or -1 with *why_r malloc'd. */
int ingest_path(const struct conf *conf, char path_r[INGEST_PATH], bool *dlist_r, char **why_r);

/* Makes that socket. A stale one is replaced; one that somebody serves never is. The descriptor
 * that is not needed is -1; both are when nothing was bound. For the supervisor, which has one
 * thread: the umask is changed for a moment.
 * 0 bound; 1 somebody serves it (*why_r malloc'd says so); -1 error (*why_r malloc'd). */
int ingest_bind(const struct conf *conf, int *dgram_fd_r, int *dlist_fd_r, char path_r[INGEST_PATH],
                char **why_r);

/* The whole life of the process; the descriptors come from ingest_bind(), link_fd as link.h says.
 * LINK_STOP, the link's end or SIGTERM: what is queued is taken, then it returns 0. LINK_REOPEN or
 * SIGHUP: settings are read again. Else a code of sysexits.h. */
int ingest_main(const char *conf_path, int link_fd, int dgram_fd, int dlist_fd);

#endif
