/* SPDX-License-Identifier: BSD-3-Clause */
/* The journal that an imapd.conf names, opened for appending with what it says of sizes and
 * sync. Safe in a mail process. */
#ifndef MBEV_JOURNALCONF_H
#define MBEV_JOURNALCONF_H

#include "conf.h"
#include "journal.h"

/* What a scope with mboxevent_options says. */
void journal_options_conf(struct journal_options *opt_r, const struct conf_scope *scope);

/* As service (NULL: none) sees the options. 0, or -1 with *why_r (never freed). */
int journal_open_conf(const struct conf *conf, const char *service, struct journal **j_r,
                      const char **why_r);

#endif
