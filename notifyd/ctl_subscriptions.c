/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"
#include "ctl_backlog.h"
#include "gone.h"

#include "../lib/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* Removes a cursor that nobody holds. Only subscriptions: a sink's own cursor is its place in
 * the journal. */
static int remove_one(const char *journal, const char *name)
{
	const char *at = strchr(name, '@');
	struct cursor_state state;
	struct cursor *c = NULL;
	bool made;
	char *why = NULL;
	int code = EX_OK;
	if (!at || at == name || !at[1] || strchr(name, '/'))
		return ctl_fail(EX_USAGE, "--remove: '%s' is not SINK@NAME", name);
	int dir = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return ctl_fail(errno == EACCES ? EX_NOPERM : EX_NOINPUT, "the journal %s: %s",
		                journal, strerror(errno));
	if (cursor_peek(dir, name, &state) < 0 && errno == ENOENT)
		code = ctl_fail(EX_NOINPUT, "there is no subscription %s", name);
	else if (cursor_open(&c, dir, name, 0, &made, &why) < 0) /* takes its lock */
		code = ctl_fail(EX_TEMPFAIL, "%s: %s", name, why ? why : "out of memory");
	else if (cursor_remove(dir, name) < 0)
		code = ctl_fail(EX_IOERR, "%s: %s", name, strerror(errno));
	else
		gone_remove(dir, name);
	free(why);
	cursor_close(&c);
	close(dir);
	return code;
}

static void print_table(const json_t *array)
{
	size_t i;
	const json_t *o;
	printf("%-24s %-12s %12s  %-24s  %s\n", "NAME", "SINK", "DELIVERED", "LAST USED", "BEHIND");
	json_array_foreach(array, i, o)
	{
		char lag[CTL_LAG_TEXT];
		ctl_lag_text(lag, json_object_get(o, "lag"));
		printf("%-24s %-12s %12lld  %-24s  %s\n",
		       json_string_value(json_object_get(o, "name")),
		       json_string_value(json_object_get(o, "sink")),
		       (long long)json_integer_value(json_object_get(o, "delivered")),
		       json_string_value(json_object_get(o, "lastUsed")), lag);
	}
}

int ctl_subscriptions(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"json", no_argument, NULL, 'j'},
	    {"remove", required_argument, NULL, 'r'},
	    CTL_OPTIONS,
	};
	struct backlog *list;
	const char *remove = NULL;
	bool json = false;
	char *why = NULL;
	size_t n;
	int opt;
	while ((opt = getopt_long(argc, argv, "jr:hV", options, NULL)) != -1) {
		if (opt == 'j')
			json = true;
		else if (opt == 'r')
			remove = optarg;
		else
			return ctl_option(ctl, opt);
	}
	if (optind < argc)
		return ctl_fail(EX_USAGE, "subscriptions: '%s' is not understood", argv[optind]);
	if (remove)
		return remove_one(ctl->journal, remove);
	if (backlog_read(ctl->journal, &list, &n, &why) < 0) {
		int code = access(ctl->journal, R_OK | X_OK) < 0 && errno == EACCES ? EX_NOPERM
		                                                                    : EX_NOINPUT;
		ctl_fail(code, "%s", why ? why : "out of memory");
		free(why);
		return code;
	}
	json_t *array = ctl_subscription_array(list, n);
	backlog_free(&list, n);
	if (json) {
		json_dumpf(array, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
		putchar('\n');
	} else if (json_array_size(array)) {
		print_table(array);
	} else {
		puts("There are no durable subscriptions.");
	}
	json_decref(array);
	return EX_OK;
}
