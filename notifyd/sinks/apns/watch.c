/* SPDX-License-Identifier: BSD-3-Clause */
#include "apns.h"

#include "../../../lib/jtext.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define CATCH_UP_MS 1000 /* old events are gathered for so long still, to become few pushes */

static bool is(struct str s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.s, word, s.len) == 0;
}

/* --- registrations --- */

static int refuse(struct apns *a, const char *what)
{
	return sink_why(a->sink, SINK_DROP, "a registration with %s", what);
}

static struct str member(const json_t *event, const char *key)
{
	const json_t *value = json_object_get(event, key);
	return (struct str){json_string_value(value), json_string_length(value)};
}

static enum device_kind dav_kind(const json_t *event, const struct apns *a)
{
	struct str type = member(event, "vnd.cmu.mbtype"), topic = member(event, "apsTopic");
	const char *carddav = conf_get(a->sink->conf.conf, NULL, "aps_topic_carddav");
	if (is(type, "a") || (!type.len && carddav && is(topic, carddav)))
		return DEVICE_CARDDAV;
	return DEVICE_CALDAV;
}

/* Whether this sink pushes to that kind of device, or tells what it would push. */
static bool serves(const struct apns *a, enum device_kind kind)
{
	return !a->client || a->topics[kind];
}

static int store(struct apns *a, struct device *d, const struct str *mailboxes, size_t n)
{
	const char *why;
	d->registered = a->rec->time / 1000;
	if (registry_register(a->registry, d, mailboxes, n, &why) < 0)
		return sink_why(a->sink, SINK_RETRY, "%s", why);
	return SINK_OK;
}

static int register_mail(struct apns *a, const json_t *event, struct device *d)
{
	enum { MOST = 1024 };
	struct str account = member(event, "apsAccountId"), names[MOST];
	const json_t *list = json_object_get(event, "mailboxes"), *name;
	size_t i, n = 0;
	if (!serves(a, DEVICE_MAIL))
		return SINK_OK;
	if (!device_account_ok(account))
		return refuse(a, "no apsAccountId, or one that can't be");
	json_array_foreach(list, i, name)
	{
		names[n] = (struct str){json_string_value(name), json_string_length(name)};
		if (names[n].len && ++n == MOST)
			break;
	}
	d->account = account.s;
	d->topic = json_string_value(json_object_get(event, "apsSubtopic"));
	d->version = (int)json_integer_value(json_object_get(event, "apsVersion"));
	if (!d->topic)
		d->topic = "";
	if (a->expiry)
		d->expires = a->rec->time / 1000 + a->expiry;
	return store(a, d, names, n);
}

static int register_dav(struct apns *a, const json_t *event, struct device *d)
{
	struct str user = member(event, "mailboxUser"), id = member(event, "mailboxUniqueId");
	const json_t *expiry = json_object_get(event, "expiry");
	struct buf *key = &a->texts[0];
	d->kind = dav_kind(event, a);
	if (!serves(a, d->kind))
		return SINK_OK;
	if (!device_account_ok(user) || !device_account_ok(id) || memchr(id.s, '/', id.len))
		return refuse(a, "no mailboxUser or mailboxUniqueId, or one that can't be");
	buf_reset(key);
	buf_add(key, user.s, user.len);
	buf_addc(key, '/');
	buf_add(key, id.s, id.len);
	d->account = buf_cstr(key);
	d->topic = json_string_value(json_object_get(event, "apsTopic"));
	if (!d->topic)
		d->topic = "";
	if (json_integer_value(expiry) > 0)
		d->expires = a->rec->time / 1000 + json_integer_value(expiry) * 1000;
	return key->failed ? sink_why(a->sink, SINK_RETRY, "out of memory") : store(a, d, NULL, 0);
}

static int registration(struct apns *a, bool mail)
{
	json_t *event = json_loadb(a->rec->json.s, a->rec->json.len, 0, NULL);
	struct str token = member(event, "apsDeviceToken"), user = member(event, "user");
	struct device d = {.kind = DEVICE_MAIL};
	int ret;
	if (!device_token_ok(token))
		ret = refuse(a, "no apsDeviceToken, or one that is not hexadecimal");
	else if (!user.len || strlen(user.s) != user.len)
		ret = refuse(a, "no user");
	else {
		d.token = token.s;
		d.user = user.s;
		ret = mail ? register_mail(a, event, &d) : register_dav(a, event, &d);
	}
	json_decref(event);
	return ret;
}

/* --- changes --- */

/* What a record says of messages. */
static unsigned reason_of(struct str event)
{
	static const char *const changes[] = {
	    "MessageRead",         "MessageTrash",        "FlagsSet",
	    "FlagsClear",          "MessageExpunge",      "MessageExpire",
	    "vnd.cmu.MessageCopy", "vnd.cmu.MessageMove",
	};
	if (is(event, "MessageNew") || is(event, "MessageAppend"))
		return REASON_NEW;
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
		if (is(event, changes[i]))
			return REASON_CHANGE;
	return 0;
}

static void add(struct apns *a, enum gather_want want, int64_t device, const char *user,
                struct str mailbox)
{
	if (!gather_add(a->gather, want, device, user, a->at, a->rec->time / 1000, a->reason,
	                mailbox))
		a->failed = true;
}

/* The sink's filter says whose mail it is about; a phone that looks into another's mailbox belongs
 * to somebody that it may leave out. */
static bool wants_user(const struct apns *a, const char *user)
{
	struct str id = {user, strlen(user)};
	struct record rec = {.event = STR("ApplePushService"), .user = id, .owner = id};
	return !a->filter || filter_match(a->filter, &rec);
}

/* A mailbox of one's own by its name, another's as the device spells it. */
static void on_device(void *ctx, const struct device *d, struct str asked)
{
	struct apns *a = ctx;
	struct str user = {d->user, strlen(d->user)}, owner = a->rec->owner;
	bool own = user.len == owner.len && !memcmp(user.s, owner.s, user.len);
	if (!wants_user(a, d->user) || !serves(a, d->kind))
		return;
	if (d->kind == DEVICE_MAIL && own)
		asked = a->rec->mailbox;
	if (a->client)
		add(a, WANT_PUSH, d->id, "", asked);
	if (a->push_due == PUSH_DUE_YES)
		add(a, WANT_EVENT, d->id, "", asked);
}

static bool begins(struct str name, const char *prefix)
{
	size_t len = strlen(prefix);
	return name.len >= len && !memcmp(name.s, prefix, len) &&
	       (name.len == len || name.s[len] == '/' || name.s[len] == '.');
}

/* The server's unique id of the mailbox: mailboxUniqueId, or, as some versions write it themselves,
 * mailboxID. */
static struct str unique_id(struct apns *a)
{
	struct str key, value, id = {NULL, 0}, other = {NULL, 0};
	struct jtext j;
	if (!jtext_open(&j, a->rec->json))
		return other;
	while (jtext_next(&j, &key, &value) > 0)
		if (is(key, "\"mailboxUniqueId\""))
			id = value;
		else if (is(key, "\"mailboxID\""))
			other = value;
	if (!id.s)
		id = other;
	if (!id.s || !jtext_is_string(id))
		return (struct str){NULL, 0};
	buf_reset(&a->texts[0]);
	jtext_decode(id, &a->texts[0]);
	return (struct str){a->texts[0].s, a->texts[0].len};
}

static int change(struct apns *a)
{
	const struct record *rec = a->rec;
	const char *why;
	int64_t time = rec->time / 1000;
	if (time + a->expiration <= a->wall)
		return SINK_OK;
	a->at = a->now;
	if (a->reason == REASON_CHANGE) {
		int64_t least = a->window < CATCH_UP_MS ? a->window : CATCH_UP_MS;
		int64_t wait = time + a->window - a->wall;
		a->at += wait > a->window ? a->window : wait < least ? least : wait;
	}
	if (a->push_due == PUSH_DUE_USERS && rec->owner.len) {
		buf_reset(&a->texts[1]);
		buf_add(&a->texts[1], rec->owner.s, rec->owner.len);
		add(a, WANT_EVENT, 0, buf_cstr(&a->texts[1]), rec->mailbox);
	}
	if (registry_watchers(a->registry, rec->owner, rec->mailbox, a->wall, on_device, a, &why) <
	    0)
		return sink_why(a->sink, SINK_RETRY, "%s", why);
	if (begins(rec->mailbox, a->calendars) || begins(rec->mailbox, a->addressbooks)) {
		struct str id = unique_id(a);
		if (id.len && registry_collection(a->registry, id, a->wall, on_device, a, &why) < 0)
			return sink_why(a->sink, SINK_RETRY, "%s", why);
	}
	return a->failed ? sink_why(a->sink, SINK_RETRY, "out of memory") : SINK_OK;
}

int watch_record(struct apns *a, const struct record *rec)
{
	a->rec = rec;
	a->failed = false;
	a->wall = apns_wall_ms();
	a->now = apns_now_ms();
	if (is(rec->event, "ApplePushService"))
		return registration(a, true);
	if (is(rec->event, "ApplePushServiceDAV"))
		return registration(a, false);
	a->reason = reason_of(rec->event);
	return a->reason ? change(a) : SINK_OK;
}
