/* SPDX-License-Identifier: BSD-3-Clause */
#include "announce.h"

#include "../../../lib/event.h"
#include "../../../lib/journalconf.h"
#include "../../../lib/native.h"
#include "../../keeper.h"
#include "payload.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct announce {
	struct journal *journal;
	struct native *native;
	struct event *event;
	int journalfd;
	struct keeper_synced synced;
	bool unsynced;
	struct buf json, list;
};

int announce_open(struct announce **a_r, const struct conf *conf, const char *dir,
                  const char **why_r)
{
	struct announce *a = *a_r = calloc(1, sizeof *a);
	*why_r = "out of memory";
	if (!a)
		return -1;
	a->journalfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->journalfd < 0) {
		*why_r = "the journal's directory can't be opened";
		return -1;
	}
	a->native = native_new(conf, NULL);
	a->event = event_new();
	if (!a->native || !a->event)
		return -1;
	return journal_open_conf(conf, NULL, &a->journal, why_r);
}

void announce_close(struct announce **ap)
{
	struct announce *a = *ap;
	*ap = NULL;
	if (!a)
		return;
	journal_close(&a->journal);
	native_free(&a->native);
	event_free(&a->event);
	if (a->journalfd >= 0)
		close(a->journalfd);
	buf_free(&a->json);
	buf_free(&a->list);
	free(a);
}

/* As the mail server writes it: local time, milliseconds, offset. */
static void set_time(struct event *e)
{
	struct timespec t;
	struct tm tm;
	char date[32], zone[8], text[64];
	clock_gettime(CLOCK_REALTIME, &t);
	localtime_r(&t.tv_sec, &tm);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof zone, "%z", &tm);
	snprintf(text, sizeof text, "%s.%03d%.3s:%.2s", date, (int)(t.tv_nsec / 1000000), zone,
	         zone + 3);
	event_set_string(e, STR("timestamp"), (struct str){text, strlen(text)});
}

static void set(struct event *e, struct str key, const char *value)
{
	event_set_string(e, key, (struct str){value, strlen(value)});
}

static void set_mailboxes(struct announce *a, const struct due *due)
{
	if (!due->mailboxes.len || (due->reason & REASON_MANY))
		return;
	const char *p = due->mailboxes.s, *end = p + due->mailboxes.len;
	buf_reset(&a->list);
	for (const char *stop; p < end && (stop = memchr(p, '\n', (size_t)(end - p)));
	     p = stop + 1) {
		buf_addc(&a->list, a->list.len ? ',' : '[');
		event_json_string(&a->list, (struct str){p, (size_t)(stop - p)});
	}
	buf_addc(&a->list, ']');
	event_set_raw(a->event, STR("mailboxes"), (struct str){a->list.s, a->list.len});
}

static void set_device(struct event *e, const struct device *d)
{
	char hash[PAYLOAD_HASH];
	payload_hash(hash, d->token);
	set(e, STR("apsDeviceHash"), hash);
	const char *slash = strrchr(d->account, '/');
	if (d->kind == DEVICE_MAIL || !slash) {
		set(e, STR("apsAccountId"), d->account);
		return;
	}
	event_set_string(e, STR("mailboxUser"),
	                 (struct str){d->account, (size_t)(slash - d->account)});
	set(e, STR("mailboxUniqueId"), slash + 1);
	set(e, STR("vnd.cmu.mbtype"), d->kind == DEVICE_CALDAV ? "c" : "a");
}

int announce_due(struct announce *a, const struct due *due, const struct device *device,
                 const char **why_r)
{
	struct event *e = a->event;
	struct record rec = {0};
	event_reset(e);
	buf_reset(&a->json);
	set(e, STR("event"), ANNOUNCE_EVENT);
	event_set_int(e, STR("pid"), getpid());
	set(e, STR("service"), "notifyd");
	set_time(e);
	set(e, STR("user"), device ? device->user : due->user);
	set(e, STR("reason"), due->reason & REASON_NEW ? "new" : "change");
	set_mailboxes(a, due);
	if (device)
		set_device(e, device);
	*why_r = "out of memory";
	if (event_write(e, &a->json) < 0 || a->list.failed ||
	    native_convert(a->native, a->json.s, a->json.len, &rec) == NATIVE_NOMEM ||
	    journal_append(a->journal, &rec, NULL, why_r) < 0)
		return -1;
	a->unsynced = true;
	return 0;
}

bool announce_unsynced(const struct announce *a)
{
	return a->unsynced;
}

int announce_sync(struct announce *a)
{
	if (!a->unsynced)
		return 0;
	if (keeper_sync(a->journalfd, &a->synced) < 0)
		return -1;
	a->unsynced = false;
	return 0;
}
