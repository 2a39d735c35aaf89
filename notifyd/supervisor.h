/* SPDX-License-Identifier: BSD-3-Clause */
/* The process that an admin starts: one worker a sink, one ingest, each restarted when it dies
 * and killed when it stalls; the one watch on the journal. */
#ifndef NOTIFYD_SUPERVISOR_H
#define NOTIFYD_SUPERVISOR_H

#include "settings.h"

/* Runs until SIGTERM or SIGINT; takes the settings over. conf_path is read again on SIGHUP. Returns
 * an exit code of sysexits.h: EX_TEMPFAIL when another notifyd serves the journal. */
int supervisor_main(const char *conf_path, struct settings *settings);

#endif
