/* SPDX-License-Identifier: BSD-3-Clause */
/* The process that tells how all is, over HTTP: /metrics in Prometheus's text format, /healthz and
 * /readyz. It reads what the others write and is in nobody's way. */
#ifndef NOTIFYD_METRICS_H
#define NOTIFYD_METRICS_H

#include "../lib/conf.h"

/* Whether notifyd_metrics can be taken as it is set, or is not set. 0, or -1 with *why_r malloc'd.
 */
int metrics_check(const struct conf_scope *notifyd, char **why_r);

/* Makes the socket, non-blocking and listening. A stale UNIX socket is replaced, one that somebody
 * serves never is. The descriptor, or -1 with *why_r malloc'd. */
int metrics_bind(const struct conf_scope *notifyd, char **why_r);

/* The whole life of the process: link and configuration as link.h and worker.h say, tally_fd from
 * tally_make(). Ends at LINK_STOP and with the link. A code of sysexits.h. */
int metrics_main(const char *conf_path, int link_fd, int tally_fd);

#endif
