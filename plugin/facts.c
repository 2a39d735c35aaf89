/* SPDX-License-Identifier: BSD-3-Clause */
/* The facts of an event: mailboxes, messages, flags, time, content. */
#include "build.h"

#include "../lib/flags.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a call returns that has done its work; memory that was short makes the event fail. */
static int done(struct mbev_event *e, int code, int before)
{
	if (code == MBEV_NOMEM)
		e->failed = true;
	errno = before;
	return code;
}

/* Replaces a string. false: memory is short. */
static bool replace(char **to, const char *s)
{
	char *copy = strdup(s);
	if (!copy)
		return false;
	free(*to);
	*to = copy;
	return true;
}

/* Components are never empty; a mailbox of nobody is not called as a server calls its users'. */
static bool is_path(const char *owner, const char *path)
{
	size_t len = strlen(path);
	if (!len || path[0] == '/' || path[len - 1] == '/' || strstr(path, "//"))
		return false;
	return *owner || strncmp(path, "user", 4) != 0 || (path[4] != '/' && path[4] != '.');
}

static int set_mailbox(struct mbev_event *e, struct build_mailbox *m, const char *owner,
                       const char *path, uint32_t uidvalidity)
{
	int before = errno;
	owner = owner ? owner : "";
	if (!path || !is_path(owner, path))
		return MBEV_INVAL;
	m->uidvalidity = uidvalidity;
	bool ok = replace(&m->owner, owner) &&
	          replace(&m->path, strcasecmp(path, "INBOX") == 0 ? "INBOX" : path);
	return done(e, ok ? MBEV_OK : MBEV_NOMEM, before);
}

MBEV_EXPORT int mbev_set_mailbox(struct mbev_event *event, const char *owner, const char *mailbox,
                                 uint32_t uidvalidity)
{
	if (!event)
		return MBEV_SILENT;
	if (event->type->uri == FORM_ANY || event->type->uri == FORM_SERVER_URL)
		return MBEV_PARAM;
	return set_mailbox(event, &event->mailbox, owner, mailbox, uidvalidity);
}

MBEV_EXPORT int mbev_set_old_mailbox(struct mbev_event *event, const char *owner,
                                     const char *mailbox, uint32_t uidvalidity)
{
	if (!event)
		return MBEV_SILENT;
	if (!build_knows(event, PARAM_OLD_MAILBOX_ID))
		return MBEV_PARAM;
	return set_mailbox(event, &event->old_mailbox, owner, mailbox, uidvalidity);
}

MBEV_EXPORT int mbev_set_specialuse(struct mbev_event *event, const char *attributes)
{
	int before = errno;
	if (!event)
		return MBEV_SILENT;
	bool ok = replace(&event->specialuse, attributes ? attributes : "");
	return done(event, ok ? MBEV_OK : MBEV_NOMEM, before);
}

MBEV_EXPORT int mbev_add_message(struct mbev_event *event, uint32_t uid, const char *message_id)
{
	int before = errno;
	struct mbev_event *e = event;
	if (!e)
		return MBEV_SILENT;
	bool alone = e->type->uri == FORM_MESSAGE_URL;
	if (!alone && !build_knows(e, PARAM_UIDSET))
		return MBEV_PARAM;
	if (!uid || (alone && e->uid))
		return MBEV_INVAL;
	bool mids = build_knows(e, PARAM_VND_CMU_MIDSET) &&
	            extras_param(&e->handle->extras, e->type, PARAM_VND_CMU_MIDSET);
	struct str mid = message_id && *message_id ? build_str(message_id) : STR("NIL");
	bool ok = uidset_add(&e->uids, uid, uid) && (!mids || midset_add(&e->mids, mid));
	if (ok && !e->uid)
		e->uid = uid;
	return done(e, ok ? MBEV_OK : MBEV_NOMEM, before);
}

MBEV_EXPORT int mbev_add_old_uid(struct mbev_event *event, uint32_t uid)
{
	int before = errno;
	if (!event)
		return MBEV_SILENT;
	if (!build_knows(event, PARAM_VND_CMU_OLD_UIDSET))
		return MBEV_PARAM;
	if (!uid)
		return MBEV_INVAL;
	bool ok = uidset_add(&event->old_uids, uid, uid);
	return done(event, ok ? MBEV_OK : MBEV_NOMEM, before);
}

int build_uids(struct mbev_event *e, enum catalog_param p, struct str text)
{
	struct uidset set = {0};
	int r = uidset_parse(&set, text);
	/* A message of its own is named in the uri. */
	if (r == 0 && e->type->uri == FORM_MESSAGE_URL &&
	    (!uidset_is_one(&set) || (e->uid && e->uid != set.ranges[0].low)))
		r = -1;
	if (r < 0) {
		uidset_free(&set);
		return r == -1 ? MBEV_INVAL : MBEV_NOMEM;
	}
	struct uidset *to = p == PARAM_UIDSET ? &e->uids : &e->old_uids;
	uidset_free(to);
	*to = set;
	if (p == PARAM_UIDSET)
		e->uid = set.ranges[0].low;
	return MBEV_OK;
}

int build_flags(struct mbev_event *e, struct str flags, bool anew)
{
	struct str rest = flags, word;
	struct buf trial = BUF_INIT;
	if (!build_knows(e, PARAM_FLAG_NAMES))
		return MBEV_PARAM;
	if (!anew)
		buf_add(&trial, e->flags.s, e->flags.len);
	bool ok = true, any = false;
	while (ok && flags_next(&rest, &word)) {
		any = true;
		if (extras_flag_excluded(&e->handle->extras, word))
			continue;
		ok = flags_add(&trial, word);
	}
	if (!ok || trial.failed) {
		bool failed = trial.failed;
		buf_free(&trial);
		return failed ? MBEV_NOMEM : MBEV_INVAL;
	}
	e->flagged = any || (!anew && e->flagged);
	buf_free(&e->flags);
	e->flags = trial;
	return MBEV_OK;
}

MBEV_EXPORT int mbev_add_flags(struct mbev_event *event, const char *flags)
{
	int before = errno;
	if (!event)
		return MBEV_SILENT;
	if (!flags)
		return MBEV_INVAL;
	return done(event, build_flags(event, build_str(flags), false), before);
}

/* The years 1 to 9999. */
#define MS_MIN INT64_C(-62135596800000)
#define MS_MAX INT64_C(253402300799999)

MBEV_EXPORT int mbev_set_time(struct mbev_event *event, int64_t ms, int offset)
{
	if (!event)
		return MBEV_SILENT;
	if (!build_knows(event, PARAM_TIMESTAMP))
		return MBEV_PARAM;
	if (offset <= -24 * 60 || offset >= 24 * 60 || ms < MS_MIN - offset * INT64_C(60000) ||
	    ms > MS_MAX - offset * INT64_C(60000))
		return MBEV_INVAL;
	event->ms = ms;
	event->offset = offset;
	return MBEV_OK;
}

/* The length of a message's header, with the empty line that ends it. */
static size_t header_of(struct str m)
{
	for (size_t at = 0; at < m.len;) {
		const char *lf = memchr(m.s + at, '\n', m.len - at);
		if (!lf)
			break;
		size_t next = (size_t)(lf - m.s) + 1;
		if (next - at == 1 || (next - at == 2 && m.s[at] == '\r'))
			return next;
		at = next;
	}
	return m.len;
}

MBEV_EXPORT int mbev_set_content(struct mbev_event *event, const void *message, size_t len)
{
	int before = errno;
	struct mbev_event *e = event;
	uint64_t from, part;
	if (!e)
		return MBEV_SILENT;
	if (!build_knows(e, PARAM_MESSAGE_CONTENT))
		return MBEV_PARAM;
	if (!message && len)
		return MBEV_INVAL;
	struct str m = {len ? message : "", len};
	buf_free(&e->content);
	if (inclusion_part(&e->handle->extras.inclusion, len, header_of(m), &from, &part)) {
		if (from + part < len)
			part = inclusion_whole(m.s + from, (size_t)part);
		event_json_string(&e->content, (struct str){m.s + from, (size_t)part});
	}
	return done(e, e->content.failed ? MBEV_NOMEM : MBEV_OK, before);
}

static bool holds_addresses(const char *name)
{
	static const char *const fields[] = {"Bcc", "Cc", "From", "Reply-To", "Sender", "To"};
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (strcasecmp(fields[i], name) == 0)
			return true;
	return false;
}

/* The fields of a name, in whatever case; the first one's spelling stays. */
static struct build_header *header(struct mbev_event *e, const char *name)
{
	struct build_header **at = &e->headers;
	for (; *at; at = &(*at)->next)
		if (strcasecmp((*at)->name, name) == 0)
			return *at;
	size_t len = strlen(name);
	*at = calloc(1, sizeof **at + len + 1);
	if (*at) {
		(*at)->len = len;
		(*at)->addresses = holds_addresses(name);
		memcpy((*at)->name, name, len + 1);
	}
	return *at;
}

/* RFC 5322: printable ASCII without a colon. */
static bool is_field_name(const char *name)
{
	const char *p = name;
	while (*p > ' ' && *p < 0x7f && *p != ':')
		p++;
	return p > name && !*p;
}

MBEV_EXPORT int mbev_add_header(struct mbev_event *event, const char *name, const char *value)
{
	int before = errno;
	struct mbev_event *e = event;
	if (!e)
		return MBEV_SILENT;
	if (!build_knows(e, PARAM_MESSAGE_HEADERS))
		return MBEV_PARAM;
	if (!name || !value || !is_field_name(name) || e->n_headers == BUILD_HEADERS)
		return MBEV_INVAL;
	struct build_header *h = header(e, name);
	if (!h)
		return done(e, MBEV_NOMEM, before);
	e->n_headers++;
	if (h->n++)
		buf_addc(&h->values, ',');
	event_json_string(&h->values, build_str(value));
	return done(e, h->values.failed ? MBEV_NOMEM : MBEV_OK, before);
}
