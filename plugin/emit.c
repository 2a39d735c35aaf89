/* SPDX-License-Identifier: BSD-3-Clause */
/* The way of a built event to the journal. */
#include "build.h"

#include "../lib/fact.h"
#include "../lib/flags.h"
#include "../lib/jtext.h"
#include "../lib/mailurl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct str contents(const struct buf *b)
{
	return (struct str){b->len ? b->s : "", b->len};
}

static struct str key(enum catalog_param p)
{
	return build_str(catalog_parameters[p].name);
}

static bool is_set(const struct mbev_event *e, enum catalog_param p)
{
	struct str json;
	return event_get(e->params, key(p), &json);
}

static bool knows(const struct catalog_event *type, enum catalog_param p)
{
	return catalog_has(&type->required, p) || catalog_has(&type->optional, p);
}

/* Whether a parameter belongs into the event that the host may have left to us. */
static bool wants(const struct mbev_event *e, enum catalog_param p)
{
	return knows(e->type, p) && extras_param(&e->handle->extras, e->type, p);
}

static bool is_type(const struct mbev_event *e, const char *name)
{
	return strcmp(e->type->name, name) == 0;
}

/* --- which are kept silent --- */

static bool is_silent(const struct mbev_event *e)
{
	const struct extras *x = &e->handle->extras;
	/* nobody had logged in */
	if (is_type(e, "Logout") && !is_set(e, PARAM_USER))
		return true;
	if ((e->type->groups & (GROUP_MESSAGE | GROUP_FLAGS | GROUP_MAILBOX)) && e->mailbox.path) {
		bool inbox = *e->mailbox.owner && strcmp(e->mailbox.path, "INBOX") == 0;
		if (extras_mailbox_excluded(x, build_str(e->specialuse), inbox))
			return true;
	}
	if (is_type(e, "MessageRead"))
		return extras_flag_excluded(x, STR("\\Seen"));
	if (is_type(e, "MessageTrash"))
		return extras_flag_excluded(x, STR("\\Deleted"));
	return (e->type->groups & GROUP_FLAGS) && e->flagged && !e->flags.len;
}

/* --- what is filled in --- */

/* As Cyrus writes it: 2015-02-23T14:57:59.736+01:00, or Z. */
static void fill_timestamp(struct mbev_event *e)
{
	char s[128];
	struct tm tm;
	int64_t local = e->ms + e->offset * INT64_C(60000), ms = (local % 1000 + 1000) % 1000;
	time_t seconds = (time_t)((local - ms) / 1000);
	int off = e->offset < 0 ? -e->offset : e->offset;
	if (!gmtime_r(&seconds, &tm))
		return; /* mbev_set_time() takes no such time */
	int n = snprintf(s, sizeof s, "%04d-%02d-%02dT%02d:%02d:%02d.%03d", tm.tm_year + 1900,
	                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)ms);
	if (!off)
		snprintf(s + n, sizeof s - (size_t)n, "Z");
	else
		snprintf(s + n, sizeof s - (size_t)n, "%c%02d:%02d", e->offset < 0 ? '-' : '+',
		         off / 60, off % 60);
	event_set_string(e->params, key(PARAM_TIMESTAMP), build_str(s));
}

static void fill_url(struct mbev_event *e, enum catalog_param p, const struct build_mailbox *m,
                     bool server_alone, uint32_t uidvalidity, uint32_t uid)
{
	struct buf url = BUF_INIT;
	struct mailurl_place place = {
	    .server = build_str(e->handle->server), .uidvalidity = uidvalidity, .uid = uid};
	if (!server_alone) {
		place.owner = build_str(m->owner);
		place.mailbox = build_str(m->path);
	}
	mailurl_write(&place, &url);
	e->failed |= url.failed;
	event_set_string(e->params, key(p), contents(&url));
	buf_free(&url);
}

/* URLs of which a part is not known are left out, and missed later. */
static void fill_urls(struct mbev_event *e)
{
	const struct build_mailbox *m = &e->mailbox, *old = &e->old_mailbox;
	bool whole = m->path && m->uidvalidity;
	switch (e->type->uri) {
	case FORM_SERVER_URL:
		fill_url(e, PARAM_URI, m, true, 0, 0);
		break;
	case FORM_NAME_URL:
		if (m->path)
			fill_url(e, PARAM_URI, m, false, 0, 0);
		break;
	case FORM_MAILBOX_URL:
		if (whole)
			fill_url(e, PARAM_URI, m, false, m->uidvalidity, 0);
		break;
	case FORM_MESSAGE_URL:
		if (whole && e->uid)
			fill_url(e, PARAM_URI, m, false, m->uidvalidity, e->uid);
		break;
	default: /* it has none */
		break;
	}
	if (whole && knows(e->type, PARAM_MAILBOX_ID))
		fill_url(e, PARAM_MAILBOX_ID, m, false, m->uidvalidity, 0);
	if (old->path && old->uidvalidity)
		fill_url(e, PARAM_OLD_MAILBOX_ID, old, false, old->uidvalidity, 0);
}

static void fill_set(struct mbev_event *e, enum catalog_param p, const struct uidset *set)
{
	struct buf text = BUF_INIT;
	uidset_write(set, &text);
	e->failed |= text.failed;
	if (text.len)
		event_set_string(e->params, key(p), contents(&text));
	buf_free(&text);
}

/* UID -> what `write` adds, an object. */
static void fill_by_uid(struct mbev_event *e, enum catalog_param p, const struct buf *value)
{
	struct buf json = BUF_INIT;
	buf_addf(&json, "{\"%u\":", (unsigned)e->uid);
	buf_add(&json, value->s, value->len);
	buf_addc(&json, '}');
	e->failed |= json.failed || value->failed;
	event_set_copy(e->params, key(p), contents(&json));
	buf_free(&json);
}

static void fill_headers(struct mbev_event *e)
{
	struct buf json = BUF_INIT;
	struct event *fields = event_new();
	for (struct build_header *h = e->headers; fields && h; h = h->next) {
		bool array = h->addresses || h->n > 1;
		struct buf value = BUF_INIT;
		if (array)
			buf_addc(&value, '[');
		buf_add(&value, h->values.s, h->values.len);
		if (array)
			buf_addc(&value, ']');
		e->failed |= value.failed || h->values.failed;
		event_set_copy(fields, (struct str){h->name, h->len}, contents(&value));
		buf_free(&value);
	}
	if (!fields || event_write(fields, &json) < 0)
		e->failed = true;
	fill_by_uid(e, PARAM_MESSAGE_HEADERS, &json);
	event_free(&fields);
	buf_free(&json);
}

static void fill_messages(struct mbev_event *e)
{
	bool one = uidset_is_one(&e->uids), alone = e->type->uri == FORM_MESSAGE_URL;
	if (!one)
		event_unset(e->params, key(PARAM_MODSEQ));
	if (e->content.len && e->uid)
		fill_by_uid(e, PARAM_MESSAGE_CONTENT, &e->content);
	if (e->headers && e->uid)
		fill_headers(e);
	/* The uri of a new message names it, but its content goes by uidset. */
	if (knows(e->type, PARAM_UIDSET) && (!alone || e->content.len))
		fill_set(e, PARAM_UIDSET, &e->uids);
	fill_set(e, PARAM_VND_CMU_OLD_UIDSET, &e->old_uids);
	if (e->mids.n) {
		struct buf json = BUF_INIT;
		midset_write(&e->mids, &json);
		e->failed |= json.failed;
		event_set_copy(e->params, key(PARAM_VND_CMU_MIDSET), contents(&json));
		buf_free(&json);
	}
}

static void fill(struct mbev_event *e)
{
	const struct mbev *h = e->handle;
	if (wants(e, PARAM_PID) && !is_set(e, PARAM_PID))
		event_set_int(e->params, key(PARAM_PID), getpid());
	if (wants(e, PARAM_SERVICE) && !is_set(e, PARAM_SERVICE) && h->service && *h->service)
		event_set_string(e->params, key(PARAM_SERVICE), build_str(h->service));
	if (wants(e, PARAM_TIMESTAMP))
		fill_timestamp(e);
	if (catalog_has(&e->type->required, PARAM_SERVER_FQDN) && !is_set(e, PARAM_SERVER_FQDN))
		event_set_string(e->params, key(PARAM_SERVER_FQDN), build_str(h->server));
	if (e->type->groups & GROUP_QUOTA) {
		if (!is_set(e, PARAM_DISK_QUOTA))
			event_set_int(e->params, key(PARAM_DISK_QUOTA), -1);
		if (!is_set(e, PARAM_MAX_MESSAGES))
			event_set_int(e->params, key(PARAM_MAX_MESSAGES), -1);
		if (!is_set(e, PARAM_USER) && e->mailbox.owner && *e->mailbox.owner)
			event_set_string(e->params, key(PARAM_USER), build_str(e->mailbox.owner));
	}
	fill_urls(e);
	if (e->type->groups & (GROUP_MESSAGE | GROUP_FLAGS))
		fill_messages(e);
}

/* --- out --- */

struct emission {
	struct mbev_event *e;
	struct buf json, user, owner;
	struct facts facts;
	char *why; /* of the first failure */
	size_t size;
	int code; /* MBEV_SILENT until something was emitted or failed */
};

static void failed(struct emission *m, const struct catalog_event *type, int code, const char *what)
{
	build_count(m->e->handle, code == MBEV_MISSING ? MBEV_COUNT_REFUSED : MBEV_COUNT_LOST);
	if (m->code < 0)
		return;
	m->code = code;
	if (m->why && m->size)
		snprintf(m->why, m->size, "%s: %s%s", type->name, what,
		         code == MBEV_MISSING ? " is missing" : "");
}

/* The string that a parameter says. */
static struct str text_of(struct emission *m, enum catalog_param p, struct buf *to)
{
	struct str json;
	buf_reset(to);
	if (event_get(m->e->params, key(p), &json) && jtext_is_string(json))
		jtext_decode(json, to);
	m->e->failed |= to->failed;
	return contents(to);
}

static void set_facts(struct emission *m, const struct catalog_event *type, struct record *rec)
{
	static const enum catalog_param owners[] = {PARAM_MAILBOX_USER, PARAM_USER_ID, PARAM_USER};
	const struct mbev_event *e = m->e;
	struct str owner = build_str(e->mailbox.path ? e->mailbox.owner : NULL);
	for (size_t i = 0; e->type->uri == FORM_ANY && !owner.len && i < 3; i++)
		owner = text_of(m, owners[i], &m->owner);
	*rec = (struct record){
	    .event = build_str(type->name),
	    .user = fact(m->facts.user, sizeof m->facts.user, text_of(m, PARAM_USER, &m->user)),
	    .owner = fact(m->facts.owner, sizeof m->facts.owner, owner),
	    .mailbox = fact(m->facts.mailbox, sizeof m->facts.mailbox, build_str(e->mailbox.path)),
	};
}

/* The name of a parameter that is missing; NULL: none is. */
static const char *missing(const struct mbev_event *e, const struct catalog_event *type)
{
	for (int p = 0; p < CATALOG_N_PARAMS; p++)
		if (catalog_has(&type->required, (enum catalog_param)p) &&
		    !is_set(e, (enum catalog_param)p))
			return catalog_parameters[p].name;
	return NULL;
}

static void append(struct emission *m, const struct record *rec, const struct catalog_event *type)
{
	struct mbev *h = m->e->handle;
	const char *why;
	pthread_mutex_lock(&h->lock);
	int r = journal_append(h->journal, rec, NULL, &why);
	h->counts[r < 0 ? MBEV_COUNT_LOST : MBEV_COUNT_EMITTED]++;
	pthread_mutex_unlock(&h->lock);
	if (r == 0) {
		if (m->code == MBEV_SILENT)
			m->code = MBEV_OK;
	} else if (m->code >= 0) {
		m->code = MBEV_JOURNAL;
		if (m->why && m->size)
			snprintf(m->why, m->size, "%s: %s", type->name, why);
	}
}

/* One record of this type, which may be another than the event's own. */
static void emit_as(struct emission *m, const struct catalog_event *type)
{
	struct mbev_event *e = m->e;
	struct record rec;
	event_set_string(e->params, key(PARAM_EVENT), build_str(type->name));
	if (e->flags.len && knows(type, PARAM_FLAG_NAMES) &&
	    extras_param(&e->handle->extras, type, PARAM_FLAG_NAMES))
		event_set_string(e->params, key(PARAM_FLAG_NAMES), contents(&e->flags));
	set_facts(m, type, &rec);
	const char *what = e->failed || event_failed(e->params) ? NULL : missing(e, type);
	if (what) {
		failed(m, type, MBEV_MISSING, what);
		return;
	}
	buf_reset(&m->json);
	int r = event_write(e->params, &m->json);
	/* A content that is all escapes costs itself, not the event. */
	if (r == 0 && m->json.len > RECORD_MAX - sizeof m->facts - RECORD_HEADER &&
	    is_set(e, PARAM_MESSAGE_CONTENT)) {
		event_unset(e->params, key(PARAM_MESSAGE_CONTENT));
		buf_reset(&m->json);
		r = event_write(e->params, &m->json);
	}
	if (r < 0 || e->failed) {
		failed(m, type, MBEV_NOMEM, mbev_strerror(MBEV_NOMEM));
		return;
	}
	rec.json = contents(&m->json);
	append(m, &rec, type);
}

static void emit_one(struct emission *m)
{
	struct mbev_event *e = m->e;
	if (!e->failed && is_silent(e)) {
		build_count(e->handle, MBEV_COUNT_SILENT);
		return;
	}
	fill(e);
	/* RFC 5423, 4.2: MessageTrash and MessageRead rather than FlagsSet */
	if (is_type(e, "FlagsSet") && e->flags.len) {
		if (flags_take(&e->flags, STR("\\Deleted")))
			emit_as(m, catalog_event("MessageTrash", 12));
		if (flags_take(&e->flags, STR("\\Seen")))
			emit_as(m, catalog_event("MessageRead", 11));
		if (!e->flags.len)
			return;
	}
	emit_as(m, e->type);
}

/* Whether a FlagsClear stands behind its FlagsSet, though it changed what is unseen. */
static bool goes_before(const struct mbev_event *set, const struct mbev_event *clear)
{
	return is_type(set, "FlagsSet") && is_type(clear, "FlagsClear") &&
	       flags_has(contents(&clear->flags), STR("\\Seen"));
}

MBEV_EXPORT int mbev_emit_all(struct mbev_event **events, size_t n, char *why, size_t size)
{
	int before = errno;
	struct emission m = {.why = why, .size = size, .code = MBEV_SILENT};
	if (why && size)
		*why = '\0';
	if (!events && n)
		return MBEV_INVAL;
	size_t at = 0;
	while (at < n) {
		/* this one, and the next one that is none of the NULLs */
		size_t next = at + 1;
		while (next < n && !events[next])
			next++;
		if (events[at] && next < n && goes_before(events[at], events[next])) {
			m.e = events[next];
			emit_one(&m);
			mbev_free(&events[next]);
		}
		if (events[at]) {
			m.e = events[at];
			emit_one(&m);
			mbev_free(&events[at]);
		}
		at = next;
	}
	buf_free(&m.json);
	buf_free(&m.user);
	buf_free(&m.owner);
	errno = before;
	return m.code;
}

MBEV_EXPORT int mbev_emit(struct mbev_event **event, char *why, size_t size)
{
	return mbev_emit_all(event, event ? 1 : 0, why, size);
}
