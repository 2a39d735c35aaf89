/* SPDX-License-Identifier: BSD-3-Clause */
#include "hook.h"

#include "../lib/conf.h"
#include "../lib/journalconf.h"
#include "../lib/native.h"
#include "content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARN_CONF, WARN_OPTION, WARN_LOST, WARN_NATIVE, WARN_CONTENT };

#define AGAIN 10 /* seconds: what kept the configuration from being read may pass */

static struct {
	enum { UNTRIED, READY, FAILED } state;
	struct native *native;
	struct journal *journal;
	struct content *content; /* NULL: events go without messageContent */
	time_t failed;
} hook;

static void option_error(void *ctx, const char *error)
{
	(void)ctx;
	hook_warn(WARN_OPTION, "%s; the default is used (see notifyd -t)", error);
}

static bool content_for(void *ctx, struct str mailbox, uint32_t uid, size_t room, struct buf *json)
{
	const char *why;
	if (content_text(ctx, mailbox, uid, room, json, &why))
		return true;
	if (why)
		hook_warn(WARN_CONTENT, "an event goes without its messageContent: %s (UID %u)",
		          why, (unsigned)uid);
	return false;
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

	hook.native = native_new(conf, service);
	bool ok = hook.native && journal_open_conf(conf, service, &hook.journal, &journal_why) == 0;
	if (!ok) {
		hook_warn(WARN_CONF, "not active, events go the server's own way: %s", journal_why);
		native_free(&hook.native);
	}
	if (ok && conf_num(&scope, "mboxevent_format") == FORMAT_DOCUMENTED)
		hook.content = content_new(conf, service);
	if (hook.content)
		native_content(hook.native, content_for, hook.content);
	conf_free(&conf);
	return ok;
}

static bool ready(const char *conf_path, const char *service)
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
	return hook.state == READY;
}

bool hook_wants_messages(const char *conf_path, const char *service)
{
	return ready(conf_path, service) && hook.content;
}

void hook_message(const struct content_message *m)
{
	content_note(hook.content, m);
}

bool hook_event(const char *conf_path, const char *service, const char *json)
{
	int before = errno;
	if (!ready(conf_path, service))
		return false;

	struct record rec = {0};
	const char *why;
	switch (native_convert(hook.native, json, strlen(json), &rec)) {
	case NATIVE_DROP:
		break;
	case NATIVE_NOMEM:
		journal_lost(hook.journal, LOST_MEMORY, 1);
		hook_warn(WARN_LOST, "an event is lost: out of memory");
		break;
	case NATIVE_ASIS:
		hook_warn(WARN_NATIVE,
		          "an event was not understood and is passed on as it came: "
		          "%.200s",
		          json);
		/* fall through */
	default:
		switch (journal_append(hook.journal, &rec, NULL, &why)) {
		case 0:
			break;
		case 1:
			hook_warn(WARN_LOST, "an event is not synced: %s", why);
			break;
		default:
			hook_warn(WARN_LOST, "an event is lost: %s", why);
		}
	}
	native_trim(hook.native);
	errno = before;
	return true;
}
