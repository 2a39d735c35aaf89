/* SPDX-License-Identifier: BSD-3-Clause */
/* What `notifyctl status` says, and how. notifyctl(8) describes the JSON: keys are added, but never
 * change what they mean. */
#ifndef NOTIFYD_CTL_STATUS_H
#define NOTIFYD_CTL_STATUS_H

#include "ctl.h"

#include <jansson.h>

/* Everything in one object. 0, or a code of sysexits.h with *why_r malloc'd. */
int ctl_status_read(const struct ctl *ctl, json_t **status_r, char **why_r);
/* The table, to stdout. */
void ctl_status_print(const json_t *status);

/* ctl_attention.c: what somebody should look at, a string each; an empty array when all is well. */
json_t *ctl_attention(const json_t *status);

/* ctl_watch.c: shows it over and over until it is told to end. An exit code. */
int ctl_watch(struct ctl *ctl, bool json);

#endif
