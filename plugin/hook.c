/* SPDX-License-Identifier: BSD-3-Clause */
#include "hook.h"

#include "../lib/conf.h"
#include "../lib/journal.h"
#include "../lib/native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARN_CONF, WARN_OPTION, WARN_LOST, WARN_NATIVE };

#define AGAIN 10 /* seconds: what kept the configuration from being read may pass */

static struct {
	enum { UNTRIED, READY, FAILED } state;
	struct native *native;
	struct journal *journal;
	time_t failed;
} hook;

static void option_error(void *ctx, const char *error)
{
	(void)ctx;
	hook_warn(WARN_OPTION, "%s; the default is used (see notifyd -t)", error);
}

static bool configure(const char *conf_path, const char *service)
{
	char *why = NULL;
	const char *journal_why = "out of memory";
	struct conf *conf = conf_path ? conf_read(conf_path, &why) : NULL;
	if (!conf) {
		hook_warn(WARN_CONF, "not active, events go the server's own way: %s",
		          why ? why : "this server does not tell where its imapd.conf is");
		free(why);
		return false;
	}
	const struct conf_option *tables[] = {mboxevent_options, NULL};
	struct conf_scope scope = {
	    .conf = conf, .service = service, .prefix = "", .tables = tables};
	conf_check(&scope, "mboxevent_", NULL, option_error, NULL);

	int64_t max_size = conf_num(&scope, "mboxevent_max_size");
	struct journal_options opt = {
	    .segment_size = (uint64_t)conf_num(&scope, "mboxevent_segment_size"),
	    .max_size = max_size > 0 ? (uint64_t)max_size : 0,
	    .min_free = (unsigned)conf_num(&scope, "mboxevent_min_free"),
	    .sync = conf_num(&scope, "mboxevent_sync") < 0, /* always */
	};
	hook.native = native_new(conf, service);
	bool ok = hook.native && journal_open(&hook.journal, conf_str(&scope, "mboxevent_journal"),
	                                      &opt, &journal_why) == 0;
	if (!ok) {
		hook_warn(WARN_CONF, "not active, events go the server's own way: %s", journal_why);
		native_free(&hook.native);
	}
	conf_free(&conf);
	return ok;
}

bool hook_event(const char *conf_path, const char *service, const char *json)
{
	int before = errno;
	struct timespec t = {0};
	if (hook.state != READY)
		clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	if (hook.state == UNTRIED || (hook.state == FAILED && t.tv_sec - hook.failed >= AGAIN)) {
		hook.state = configure(conf_path, service) ? READY : FAILED;
		hook.failed = t.tv_sec;
	}
	errno = before;
	if (hook.state == FAILED)
		return false;

	struct record rec = {0};
	const char *why;
	switch (native_convert(hook.native, json, strlen(json), &rec)) {
	case NATIVE_DROP:
		break;
	case NATIVE_NOMEM:
		journal_lost(hook.journal, 1);
		hook_warn(WARN_LOST, "an event is lost: out of memory");
		break;
	case NATIVE_ASIS:
		hook_warn(WARN_NATIVE,
		          "an event was not understood and is passed on as it came: "
		          "%.200s",
		          json);
		/* fall through */
	default:
		if (journal_append(hook.journal, &rec, NULL, &why) < 0)
			hook_warn(WARN_LOST, "an event is lost: %s", why);
	}
	errno = before;
	return true;
}
