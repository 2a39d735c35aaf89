/* SPDX-License-Identifier: BSD-3-Clause */
/* A sink's process: reads from the cursor, delivers in order through the driver,
 * advances to what is confirmed. Its link to the supervisor is one socket:
 *   worker -> supervisor  'h' alive (at least every 5 s)   'i' idle: wake me
 *                         'r' begun
 *   supervisor -> worker  'w' look at the journal          't' finish and exit
 *                         'u' reopen files (SIGHUP)        end of file: exit
 * After 'i' the supervisor arms its watch and answers 'w', so that an event appended in
 * between is seen by the look that follows. */
#ifndef NOTIFYD_WORKER_H
#define NOTIFYD_WORKER_H

#include "sink.h"

/* The whole life of the worker of sink `name`, configuration at conf_path, link on
 * descriptor link_fd. Returns the exit code (sysexits.h). */
int worker_main(const char *conf_path, const char *name, int link_fd);

/* --- for drivers with run() --- */
int worker_link(const struct worker *w); /* descriptor to poll for reading */
/* Reads what the supervisor said and sends 'h' when due; call when the link is readable and
 * at least every 5 s. True when it said 'w'. */
bool worker_serve(struct worker *w);
void worker_ready(struct worker *w);          /* sends 'r', the first time */
void worker_idle(struct worker *w);           /* sends 'i' */
bool worker_stopping(const struct worker *w); /* 't' came or the supervisor is gone */
bool worker_hup(struct worker *w);            /* 'u' came since the last call */

#endif
