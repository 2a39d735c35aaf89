/* SPDX-License-Identifier: BSD-3-Clause */
/* All that notifyd needs of imapd.conf, read and checked as a whole. */
#ifndef NOTIFYD_SETTINGS_H
#define NOTIFYD_SETTINGS_H

#include "filter.h"
#include "sink.h"

struct settings {
	struct conf *conf;
	struct conf_scope mboxevent; /* mboxevent_options */
	struct conf_scope notifyd;   /* notifyd_options */
	/* driver, name, conf and journal are set, the rest is zero. Without notifyd_sinks there is
	 * one, "local" of type unix. The last are notifyd's own: "reset" with
	 * notifyd_mailbox_reset, "-older" where the journal's version is not the first. */
	struct sink *sinks;
	size_t n_sinks;
	struct settings_place *places; /* where the sinks' strings are */
};

/* What a notifyd_log value reads as. */
enum settings_log { SETTINGS_LOG_STDERR, SETTINGS_LOG_SYSLOG };

/* Global options of notifyd: notifyd_sinks, ... A sink's name can't be the first word of one that
 * has more than one, so that notifyd_<sink>_<option> says what it means. */
extern const struct conf_option notifyd_options[];

/* Reads path. Calls error once for each thing that is wrong: "file:line: ..."; nothing that
 * connects anywhere is done. 0, or -1 after at least one call of error, *s_r NULL. */
int settings_load(struct settings **s_r, const char *path,
                  void (*error)(void *ctx, const char *line), void *ctx);
/* The same for the process of one sink: what is wrong in the options of others, or in the files
 * that they name, is not its business. */
int settings_load_sink(struct settings **s_r, const char *path, const char *name,
                       void (*error)(void *ctx, const char *line), void *ctx);
void settings_free(struct settings **s);

/* NULL when there is none of that name. */
struct sink *settings_sink(const struct settings *s, const char *name);

/* The filter that the sink's options make; never fails for one that was loaded, but for
 * memory. NULL with *why_r malloc'd. */
struct filter *settings_filter(const struct sink *sink, char **why_r);

/* Whether a sink of two loads has the very same driver, options and journal, so that its worker
 * may go on through a SIGHUP. */
bool settings_same_sink(const struct sink *a, const struct sink *b);

#endif
