/* SPDX-License-Identifier: BSD-3-Clause */
/* The journal that imapd.conf names, opened for appending with what it says of sizes and sync. */
#ifndef NOTIFYD_APPENDER_H
#define NOTIFYD_APPENDER_H

#include "../lib/conf.h"
#include "../lib/journal.h"

/* 0, or -1 with *why_r (never freed). */
int appender_open(const struct conf *conf, struct journal **j_r, const char **why_r);

#endif
