/* SPDX-License-Identifier: BSD-3-Clause */
#include "reset.h"

#include "../lib/journalconf.h"
#include "../lib/event.h"
#include "../lib/jtext.h"
#include "../lib/mailurl.h"
#include "../lib/native.h"
#include "keeper.h"
#include "mailboxes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define APPEND_AT_ONCE 64 /* events between two syncs */

struct reset {
	struct mailboxes *boxes;
	struct journal *journal;
	struct native *native;
	struct event *event;
	int journalfd;
	struct keeper_synced synced;
	uint64_t seen; /* records before this were seen */
	bool due;      /* events may be owed */
	bool dots;
	struct mailurl_names names;
	char *defaultdomain, *deletedprefix;
	struct buf json, urls[2], texts[2];
};

/* --- the beginning and the end --- */

static bool is_off(const char *value)
{
	static const char *const off[] = {"off", "0", "no", "n", "f", "false"};
	for (size_t i = 0; value && i < sizeof off / sizeof *off; i++)
		if (strcasecmp(value, off[i]) == 0)
			return true;
	return false;
}

static bool read_conf(struct reset *r, const struct conf *conf)
{
	const char *virtdomains = conf_get(conf, NULL, "virtdomains");
	const char *domain = conf_get(conf, NULL, "defaultdomain");
	const char *deleted = conf_get(conf, NULL, "deletedprefix");
	r->dots = is_off(conf_get(conf, NULL, "unixhierarchysep"));
	r->defaultdomain = strdup(domain ? domain : "internal");
	r->deletedprefix = strdup(deleted ? deleted : "DELETED");
	r->names.virtdomains = virtdomains && !is_off(virtdomains);
	r->names.defaultdomain = r->defaultdomain;
	return r->defaultdomain && r->deletedprefix;
}

int reset_open(struct reset **r_r, const struct conf *conf, const char *dir, const char **aside_r,
               const char **why_r)
{
	struct reset *r = *r_r = calloc(1, sizeof *r);
	*aside_r = NULL;
	*why_r = "out of memory";
	if (!r)
		return -1;
	r->due = true; /* what the process before could not append */
	r->journalfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->journalfd < 0) {
		*why_r = "the journal's directory can't be opened";
		return -1;
	}
	r->native = native_new(conf, NULL);
	r->event = event_new();
	if (!r->native || !r->event || !read_conf(r, conf) ||
	    journal_open_conf(conf, NULL, &r->journal, why_r) < 0)
		return -1;
	if (mailboxes_open(&r->boxes, dir, aside_r, why_r) < 0)
		return -1;
	return mailboxes_seen(r->boxes, &r->seen, why_r);
}

void reset_close(struct reset **rp)
{
	struct reset *r = *rp;
	*rp = NULL;
	if (!r)
		return;
	mailboxes_free(&r->boxes);
	journal_close(&r->journal);
	native_free(&r->native);
	event_free(&r->event);
	if (r->journalfd >= 0)
		close(r->journalfd);
	free(r->defaultdomain);
	free(r->deletedprefix);
	buf_free(&r->json);
	for (int i = 0; i < 2; i++) {
		buf_free(&r->urls[i]);
		buf_free(&r->texts[i]);
	}
	free(r);
}

/* --- what an event says --- */

static bool equal(struct str a, struct str b)
{
	return a.len == b.len && (!a.len || !memcmp(a.s, b.s, a.len));
}

/* A mailbox with its UIDVALIDITY, 0 where the URL has none. */
struct sight {
	struct mailbox box;
	uint32_t uidvalidity;
};

static uint32_t number(struct str digits)
{
	uint64_t n = 0;
	for (size_t i = 0; i < digits.len; i++)
		if ((n = n * 10 + (uint64_t)(digits.s[i] - '0')) > UINT32_MAX)
			return 0;
	return (uint32_t)n;
}

/* Where deleted mailboxes wait for their expiry each has a name that never comes again. */
static bool is_deleted(const struct reset *r, const struct mailurl *u)
{
	size_t len = strlen(r->deletedprefix);
	return !u->owner.len && u->mailbox.len > len &&
	       !memcmp(u->mailbox.s, r->deletedprefix, len) &&
	       (u->mailbox.s[len] == '/' || u->mailbox.s[len] == '.');
}

/* Reads a URL (a JSON string) with the scratch of index i. false when it is none of a mailbox that
 * is to be remembered. */
static bool read_url(struct reset *r, const struct record *rec, struct str json, int i,
                     struct sight *sight_r)
{
	struct mailurl u;
	struct str url;
	if (!json.s || !jtext_is_string(json))
		return false;
	url = (struct str){json.s + 1, json.len - 2};
	if (url.len && memchr(url.s, '\\', url.len)) {
		buf_reset(&r->texts[i]);
		jtext_decode(json, &r->texts[i]);
		url = (struct str){r->texts[i].s, r->texts[i].len};
	}
	if (rec->flags & RECORD_NATIVE) {
		buf_reset(&r->urls[i]);
		if (mailurl_document(&r->names, url, rec->user, STR(""), &r->urls[i], NULL, NULL) <
		    0)
			return false;
		url = (struct str){r->urls[i].s, r->urls[i].len};
	}
	if (mailurl_parse(url, &u) < 0 || !u.mailbox.len || is_deleted(r, &u))
		return false;
	const char *from = u.owner.len ? u.owner.s : u.server.s;
	sight_r->box.account = (struct str){from, (size_t)(u.server.s + u.server.len - from)};
	sight_r->box.name = u.mailbox;
	/* What nobody owns keeps the server's own spelling. */
	sight_r->box.separator = !u.owner.len && r->dots ? '.' : '/';
	sight_r->uidvalidity = number(u.uidvalidity);
	return true;
}

/* The raw values of the two members that matter, s NULL where there is none. */
static void read_members(struct str json, struct str *uri_r, struct str *old_r)
{
	struct jtext j;
	struct str key, value;
	*uri_r = *old_r = (struct str){NULL, 0};
	if (!jtext_open(&j, json))
		return;
	while (jtext_next(&j, &key, &value) > 0)
		if (equal(key, STR("\"uri\"")))
			*uri_r = value;
		else if (equal(key, STR("\"oldMailboxID\"")))
			*old_r = value;
}

/* --- the event --- */

/* As the mail server writes it: local time, milliseconds, offset. */
static void write_time(char *out, size_t size)
{
	struct timespec t;
	struct tm tm;
	char date[32], zone[8];
	clock_gettime(CLOCK_REALTIME, &t);
	localtime_r(&t.tv_sec, &tm);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof zone, "%z", &tm);
	snprintf(out, size, "%s.%03d%.3s:%.2s", date, (int)(t.tv_nsec / 1000000), zone, zone + 3);
}

/* Makes a MailboxReset, to be appended once what was seen is on the disk. */
static int owe(struct reset *r, const struct record *rec, const struct sight *now, uint32_t was,
               const char **why_r)
{
	struct event *e = r->event;
	struct buf *url = &r->json;
	char text[64];

	event_reset(e);
	buf_reset(url);
	buf_adds(url, "imap://");
	buf_add(url, now->box.account.s, now->box.account.len);
	buf_addc(url, '/');
	buf_add(url, now->box.name.s, now->box.name.len);
	buf_addf(url, ";UIDVALIDITY=%u", now->uidvalidity);
	event_set_string(e, STR("event"), STR("MailboxReset"));
	event_set_string(e, STR("mailboxID"), (struct str){url->s, url->len});
	event_set_string(e, STR("uri"), (struct str){url->s, url->len});
	event_set_int(e, STR("pid"), getpid());
	event_set_string(e, STR("service"), STR("notifyd"));
	write_time(text, sizeof text);
	event_set_string(e, STR("timestamp"), (struct str){text, strlen(text)});
	snprintf(text, sizeof text, "%u", now->uidvalidity);
	event_set_string(e, STR("uidValidity"), (struct str){text, strlen(text)});
	snprintf(text, sizeof text, "%u", was);
	if (was)
		event_set_string(e, STR("prevUidValidity"), (struct str){text, strlen(text)});
	else
		event_set_raw(e, STR("prevUidValidity"), STR("false"));
	if (rec->user.len)
		event_set_string(e, STR("user"), rec->user);
	bool failed = url->failed;
	buf_reset(&r->json);
	if (event_write(e, &r->json) < 0 || failed) {
		*why_r = "out of memory";
		return -1;
	}
	r->due = true;
	return mailboxes_owe(r->boxes, (struct str){r->json.s, r->json.len}, why_r);
}

/* --- seeing --- */

static int see_mailbox(struct reset *r, const struct record *rec, const struct sight *now,
                       const char **why_r)
{
	uint32_t was = 0;
	if (!now->uidvalidity)
		return 0;
	int known = mailboxes_get(r->boxes, &now->box, &was, why_r);
	if (known < 0)
		return -1;
	if (known && was == now->uidvalidity)
		return 0;
	/* What goes away is no news; and a mailbox that moved with one above it has a value that
	 * nobody has seen, unless it was made anew since. */
	bool reset = known && !equal(rec->event, STR("MailboxDelete")) &&
	             (was || equal(rec->event, STR("MailboxCreate")));
	if (mailboxes_put(r->boxes, &now->box, now->uidvalidity, why_r) < 0)
		return -1;
	return reset ? owe(r, rec, now, was, why_r) : 0;
}

/* The row of a name that was there before, of a mailbox that is deleted, stays: under that name
 * another one appears now. */
static int see_rename(struct reset *r, const struct record *rec, const struct sight *from,
                      const struct sight *to, const char **why_r)
{
	uint32_t was = 0;
	if (equal(from->box.account, to->box.account) && equal(from->box.name, to->box.name))
		return see_mailbox(r, rec, to, why_r); /* to another partition */
	int known = mailboxes_get(r->boxes, &to->box, &was, why_r);
	if (known < 0)
		return -1;
	/* Cyrus 2.5 gave renamed mailboxes new values, 3.x lets them keep theirs. */
	bool forget = from->uidvalidity && from->uidvalidity != to->uidvalidity;
	if (mailboxes_rename(r->boxes, &from->box, &to->box, forget, why_r) < 0)
		return -1;
	if (!to->uidvalidity || (known && was == to->uidvalidity))
		return 0;
	if (mailboxes_put(r->boxes, &to->box, to->uidvalidity, why_r) < 0)
		return -1;
	return known ? owe(r, rec, to, was, why_r) : 0;
}

int reset_see(struct reset *r, const struct record *rec, const char **why_r)
{
	struct str uri, old;
	struct sight now, from;

	if (rec->pos < r->seen || equal(rec->event, STR("MailboxReset"))) /* the latter is ours */
		return 0;
	r->seen = rec->next;
	read_members(rec->json, &uri, &old);
	bool there = read_url(r, rec, uri, 0, &now), was = read_url(r, rec, old, 1, &from);
	if (there && was && equal(rec->event, STR("MailboxRename")))
		return see_rename(r, rec, &from, &now, why_r);
	if (was && !equal(rec->event, STR("MailboxRename")) &&
	    see_mailbox(r, rec, &from, why_r) < 0)
		return -1;
	return there ? see_mailbox(r, rec, &now, why_r) : 0;
}

/* --- settling --- */

uint64_t reset_unsettled(const struct reset *r)
{
	return mailboxes_changes(r->boxes);
}

int reset_settle(struct reset *r, const char **why_r)
{
	if (mailboxes_changes(r->boxes) && mailboxes_saw(r->boxes, r->seen, why_r) < 0)
		return -1;
	return mailboxes_commit(r->boxes, why_r);
}

bool reset_due(const struct reset *r)
{
	return r->due;
}

/* 0, 1: the journal does not take it (*wait_r), or -1. */
static int append(struct reset *r, struct str json, const char **wait_r, const char **why_r)
{
	struct record rec = {0};
	if (native_convert(r->native, json.s, json.len, &rec) == NATIVE_NOMEM) {
		*why_r = "out of memory";
		return -1;
	}
	const char *why;
	if (journal_offer(r->journal, &rec, NULL, &why) >= 0)
		return 0;
	*wait_r = why;
	return 1;
}

/* Appends events behind id *after. How many, with *after at the last; fewer than are there when the
 * journal does not take more. -1: close and open again. */
static int append_some(struct reset *r, int64_t *after, const char **wait_r, const char **why_r)
{
	int64_t id;
	struct str json;
	int n = 0, got;
	while (n < APPEND_AT_ONCE &&
	       (got = mailboxes_owed(r->boxes, *after, &id, &json, why_r)) != 0) {
		int a = got < 0 ? -1 : append(r, json, wait_r, why_r);
		if (a < 0)
			return -1;
		if (a > 0)
			break;
		*after = id;
		n++;
	}
	return n;
}

int reset_append(struct reset *r, const char **wait_r, const char **why_r)
{
	int64_t after = 0;
	int n = APPEND_AT_ONCE;

	*wait_r = NULL;
	while (r->due && n == APPEND_AT_ONCE && !*wait_r) {
		n = append_some(r, &after, wait_r, why_r);
		if (n < 0)
			return -1;
		/* A power cut must not take what is no longer owed. */
		if (n && keeper_sync(r->journalfd, &r->synced) < 0)
			*wait_r = "the journal can't be synced to the disk";
		else if (n && mailboxes_paid(r->boxes, after, why_r) < 0)
			return -1;
		if (mailboxes_commit(r->boxes, why_r) < 0)
			return -1;
	}
	r->due = *wait_r != NULL;
	return 0;
}
