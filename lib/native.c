/* SPDX-License-Identifier: BSD-3-Clause */
#include "native.h"
#include "catalog.h"
#include "event.h"
#include "fact.h"
#include "flags.h"
#include "jtext.h"
#include "mailurl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Scratch: each grows to what the largest event needs, then no call allocates. */
enum { CLEAN, KEYS, OUT, EVENT, USER, ACL, URI, URL, OWNER, MAILBOX, TEXT, CONTENT, N_BUFS };

#define KEEP (256 * 1024) /* the most that a scratch keeps from event to event */

struct native {
	struct mailurl_names names;
	char *defaultdomain;
	bool as_written, modseq;
	bool failed; /* memory was short for a scratch that has been emptied since */
	struct event *event;
	native_content_fn *content;
	void *content_ctx;
	struct buf bufs[N_BUFS];
	struct facts facts;
};

/* As Cyrus reads an option of words where a switch is accepted too. */
static bool is_off(const char *value)
{
	static const char *const off[] = {"off", "0", "no", "n", "f", "false"};
	for (size_t i = 0; i < sizeof off / sizeof *off; i++)
		if (strcasecmp(value, off[i]) == 0)
			return true;
	return false;
}

struct native *native_new(const struct conf *conf, const char *service)
{
	const char *virtdomains = conf_get(conf, service, "virtdomains");
	const char *domain = conf_get(conf, service, "defaultdomain");
	const struct conf_option *tables[] = {mboxevent_options, NULL};
	struct conf_scope own = {.conf = conf, .service = service, .prefix = "", .tables = tables};
	struct native *n = calloc(1, sizeof *n);
	if (!n)
		return NULL;
	n->event = event_new();
	n->defaultdomain = strdup(domain ? domain : "internal");
	if (!n->event || !n->defaultdomain) {
		native_free(&n);
		return NULL;
	}
	n->names.virtdomains = virtdomains && !is_off(virtdomains);
	n->names.defaultdomain = n->defaultdomain;
	n->as_written = conf_num(&own, "mboxevent_format") == FORMAT_NATIVE;
	n->modseq = conf_num(&own, "mboxevent_modseq") != 0;
	return n;
}

void native_free(struct native **n)
{
	if (!*n)
		return;
	event_free(&(*n)->event);
	for (int i = 0; i < N_BUFS; i++)
		buf_free(&(*n)->bufs[i]);
	free((*n)->defaultdomain);
	free(*n);
	*n = NULL;
}

void native_content(struct native *n, native_content_fn *fn, void *ctx)
{
	n->content = fn;
	n->content_ctx = ctx;
}

void native_trim(struct native *n)
{
	for (int i = 0; i < N_BUFS; i++)
		if (n->bufs[i].cap > KEEP)
			buf_free(&n->bufs[i]);
}

static struct buf *empty(struct native *n, int scratch)
{
	struct buf *b = &n->bufs[scratch];
	n->failed |= b->failed;
	buf_reset(b);
	return b;
}

static struct str contents(const struct buf *b)
{
	return (struct str){b->len ? b->s : "", b->len};
}

static bool equal(struct str a, struct str b)
{
	return a.len == b.len && (!a.len || memcmp(a.s, b.s, a.len) == 0);
}

/* What a string parameter says: a span of it, or the scratch `to` where escapes had to be
 * undone. false when it is not set or not a string. */
static bool get(struct native *n, struct str key, int to, struct str *value_r)
{
	struct str json;
	*value_r = STR("");
	if (!event_get(n->event, key, &json) || !jtext_is_string(json))
		return false;
	*value_r = (struct str){json.s + 1, json.len - 2};
	if (value_r->len && memchr(value_r->s, '\\', value_r->len)) {
		jtext_decode(json, empty(n, to));
		*value_r = contents(&n->bufs[to]);
	}
	return true;
}

static bool has(struct native *n, struct str key)
{
	struct str json;
	return event_get(n->event, key, &json);
}

static struct str member_name(struct native *n, struct str text, struct str key)
{
	struct buf *keys = &n->bufs[KEYS];
	struct str inside = {key.s + 1, key.len - 2};
	if (!inside.len || !memchr(inside.s, '\\', inside.len))
		return inside;
	/* Room for all of them at once, so that no name moves while the event points to it. */
	if (keys->cap < text.len) {
		buf_add(keys, text.s, text.len);
		keys->len = 0;
	}
	size_t at = keys->len;
	jtext_decode(key, keys);
	return keys->s ? (struct str){keys->s + at, keys->len - at} : STR("");
}

/* Whether a parameter tells where an event belongs: what goes on as it was written needs no
 * other. */
static bool routes(struct str key)
{
	static const struct str keys[] = {{"event", 5},  {"mailboxUser", 11},
	                                  {"uri", 3},    {"user", 4},
	                                  {"userId", 6}, {"vnd.cmu.mailboxACL", 18}};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (equal(key, keys[i]))
			return true;
	return false;
}

/* Sets the event from a text, all of it or what routes it. false when it is no object that we
 * take. */
static bool read_members(struct native *n, struct str text, bool all, enum jtext_form *form_r)
{
	struct jtext j;
	struct str key, value;
	event_reset(n->event);
	empty(n, KEYS);
	if (!jtext_open(&j, text))
		return false;
	int more;
	for (unsigned count = 0; (more = jtext_next(&j, &key, &value)) > 0; count++) {
		if (count == NATIVE_KEYS)
			return false;
		key = member_name(n, text, key);
		if (all || routes(key))
			event_set_raw(n->event, key, value);
	}
	*form_r = j.form;
	return more == 0;
}

static void trim(struct str *s)
{
	while (s->len && strchr(" \t\r\n", s->s[0]) && s->s[0]) {
		s->s++;
		s->len--;
	}
	while (s->len && strchr(" \t\r\n", s->s[s->len - 1]) && s->s[s->len - 1])
		s->len--;
}

static int finish(struct native *n, int code, struct record *rec)
{
	if (event_write(n->event, &n->bufs[OUT]) < 0)
		return NATIVE_NOMEM;
	rec->json = contents(&n->bufs[OUT]);
	rec->flags = code == NATIVE_OK ? 0 : RECORD_NATIVE;
	return code;
}

static int as_is(struct native *n, struct record *rec)
{
	event_set_string(n->event, STR("vnd.mboxevent.format"), STR("native"));
	return finish(n, NATIVE_ASIS, rec);
}

/* Text that is no object becomes a parameter, since a record's JSON always is one. */
static int not_json(struct native *n, struct str text, struct record *rec)
{
	if (text.len > NATIVE_RAW)
		text.len = NATIVE_RAW;
	event_reset(n->event);
	event_set_string(n->event, STR("event"), STR(NATIVE_UNKNOWN));
	event_set_string(n->event, STR("vnd.mboxevent.raw"), text);
	rec->event = STR(NATIVE_UNKNOWN);
	return as_is(n, rec);
}

/* Whether a sequence set names more than one message. */
static bool is_several(struct str set)
{
	struct str first = {NULL, 0};
	for (size_t from = 0, i = 0; i <= set.len; i++) {
		if (i < set.len && set.s[i] != ',' && set.s[i] != ':')
			continue;
		struct str number = {set.s + from, i - from};
		if (from && !equal(number, first))
			return true;
		first = number;
		from = i + 1;
	}
	return false;
}

static void fix_flags(struct native *n)
{
	struct buf *b = &n->bufs[TEXT];
	struct str flags;
	bool changed = false;
	/* with a backslash in it, it stands in the buf */
	if (!get(n, STR("flagNames"), TEXT, &flags) || flags.s != b->s)
		return;
	for (size_t at = 0, end; at < b->len; at = end + 1) {
		const char *blank = memchr(b->s + at, ' ', b->len - at);
		end = blank ? (size_t)(blank - b->s) : b->len;
		struct str as = flags_spelled((struct str){b->s + at, end - at});
		if (as.s != b->s + at && memcmp(b->s + at, as.s, as.len) != 0) {
			memcpy(b->s + at, as.s, as.len);
			changed = true;
		}
	}
	if (changed)
		event_set_string(n->event, STR("flagNames"), contents(b));
}

static bool is_url(struct str s)
{
	struct mailurl u;
	return mailurl_parse(s, &u) == 0;
}

/* Replaces a URL by its documented form; anything else stays. */
static void fix_url(struct native *n, struct str key, struct str user, struct str acl)
{
	struct buf *to = empty(n, TEXT);
	struct str url;
	if (get(n, key, URI, &url) &&
	    mailurl_document(&n->names, url, user, acl, to, NULL, NULL) == 0 &&
	    !equal(url, contents(to)))
		event_set_string(n->event, key, contents(to));
}

/* mailboxID: the mailbox's URL in mailbox events, in no other. The server's unique id gets a
 * name of its own; from Cyrus 3.8 on that name is taken and mailboxID is a JMAP id. */
static void fix_mailbox_id(struct native *n, bool wanted, struct str user, struct str acl)
{
	const struct str key = STR("mailboxID"), unique = STR("mailboxUniqueId");
	struct str json, id, url = contents(&n->bufs[URL]);
	bool present = event_get(n->event, key, &json);
	if (get(n, key, TEXT, &id) && is_url(id)) {
		fix_url(n, key, user, acl);
		return;
	}
	event_unset(n->event, key);
	if (present && !equal(json, STR("\"\"")) && !equal(json, STR("null")))
		event_set_raw(n->event, has(n, unique) ? STR("vnd.mboxevent.jmapId") : unique,
		              json);
	if (wanted)
		event_set_string(n->event, key, url);
}

static void set_if_missing(struct native *n, struct str key, struct str json)
{
	if (!has(n, key))
		event_set_raw(n->event, key, json);
}

/* Native parameters to documented ones. */
static void document(struct native *n, struct str name, unsigned groups, struct str user,
                     struct str acl)
{
	struct str uri, value, url = contents(&n->bufs[URL]);
	if (url.len && get(n, STR("uri"), URI, &uri) && !equal(uri, url))
		event_set_string(n->event, STR("uri"), url);
	fix_url(n, STR("oldMailboxID"), user, acl);
	fix_mailbox_id(n, groups & GROUP_MAILBOX, user, acl);
	fix_flags(n);
	if (has(n, STR("modseq")) && get(n, STR("uidset"), TEXT, &value) && is_several(value))
		event_unset(n->event, STR("modseq"));
	if (!user.len && get(n, STR("user"), TEXT, &value))
		event_unset(n->event, STR("user"));
	if (equal(name, STR("AclChange")))
		set_if_missing(n, STR("aclRights"), STR("null"));
	if (groups & GROUP_QUOTA) {
		set_if_missing(n, STR("diskQuota"), STR("-1"));
		set_if_missing(n, STR("maxMessages"), STR("-1"));
	}
}

/* The UID at the end of a message's URL; empty when there is none. */
static struct str uid_of(struct str url, uint32_t *uid_r)
{
	const struct str key = STR("/;UID=");
	struct mailurl u;
	struct str none = STR("");
	if (mailurl_parse(url, &u) < 0)
		return none;
	const char *at = u.tail.len ? memmem(u.tail.s, u.tail.len, key.s, key.len) : NULL;
	if (!at)
		return none;
	const char *from = at + key.len, *end = u.tail.s + u.tail.len, *p = from;
	uint64_t uid = 0;
	while (p < end && *p >= '0' && *p <= '9' && uid <= UINT32_MAX)
		uid = uid * 10 + (uint64_t)(*p++ - '0');
	if (p != end || p == from || *from == '0' || uid > UINT32_MAX)
		return none;
	*uid_r = (uint32_t)uid;
	return (struct str){from, (size_t)(end - from)};
}

/* messageContent: UID -> text, from the one who knows, else from the server (nntpd), which
 * writes the bare text. false: the event has none that was not there before. */
static bool add_content(struct native *n, struct str name, size_t len, bool *uidset_r)
{
	const struct str key = STR("messageContent");
	bool new = equal(name, STR("MessageNew"));
	struct str servers, mailbox, set, uid = contents(&n->bufs[URL]);
	uint32_t number;
	if (!new && !equal(name, STR("MessageAppend")))
		return false;
	bool bare = event_get(n->event, key, &servers) && jtext_is_string(servers);
	if (!bare && !n->content)
		return false;
	uid = uid_of(uid, &number);
	if (!uid.len)
		return false;

	struct buf *b = empty(n, CONTENT);
	buf_adds(b, "{\"");
	buf_add(b, uid.s, uid.len);
	buf_adds(b, "\":");
	size_t head = b->len, others = len + 65536; /* and what is added, the facts */
	bool found = n->content && get(n, STR("mailboxUniqueId"), TEXT, &mailbox) && mailbox.len &&
	             others < RECORD_MAX &&
	             n->content(n->content_ctx, mailbox, number, RECORD_MAX - others, b);
	if (!found) {
		if (!bare)
			return false;
		b->len = head;
		buf_add(b, servers.s, servers.len);
	}
	buf_addc(b, '}');
	if (b->failed)
		return false;
	event_set_raw(n->event, key, contents(b));
	*uidset_r = new && !event_get(n->event, STR("uidset"), &set);
	if (*uidset_r)
		event_set_string(n->event, STR("uidset"), uid);
	return true;
}

/* Writes the event, without the content where there is no memory for it. */
static int finish_with_content(struct native *n, struct str name, size_t len, struct record *rec)
{
	bool uidset = false, added = add_content(n, name, len, &uidset);
	if (n->bufs[CONTENT].failed)
		buf_free(&n->bufs[CONTENT]);
	int code = finish(n, NATIVE_OK, rec);
	if (code != NATIVE_NOMEM || !added)
		return code;
	event_unset(n->event, STR("messageContent"));
	if (uidset)
		event_unset(n->event, STR("uidset"));
	buf_free(&n->bufs[CONTENT]);
	buf_free(&n->bufs[OUT]);
	return finish(n, NATIVE_OK, rec);
}

/* Whose event it is that has no mailbox. */
static struct str owner_without_url(struct native *n)
{
	static const struct str keys[] = {{"mailboxUser", 11}, {"userId", 6}, {"user", 4}};
	struct str owner = STR("");
	for (size_t i = 0; !owner.len && i < sizeof keys / sizeof *keys; i++)
		get(n, keys[i], OWNER, &owner);
	return owner;
}

static int convert(struct native *n, struct str text, struct record *rec)
{
	struct str name, user, acl = STR(""), uri, owner, mailbox, id;
	enum jtext_form form, clean;
	struct buf *b = n->bufs;
	const bool all = !n->as_written;

	if (!read_members(n, text, all, &form))
		return not_json(n, text, rec);
	if (form != JTEXT_CLEAN) {
		if (!jtext_clean(text, &b[CLEAN]) ||
		    !read_members(n, contents(&b[CLEAN]), all, &clean))
			return not_json(n, text, rec);
		if (form == JTEXT_UNFIT)
			text = contents(&b[CLEAN]);
	}

	get(n, STR("event"), EVENT, &name);
	get(n, STR("user"), USER, &user);
	rec->event = fact(n->facts.event, sizeof n->facts.event, name);
	rec->user = fact(n->facts.user, sizeof n->facts.user, user);
	if (!name.len) {
		rec->event = STR(NATIVE_UNKNOWN);
		if (!all)
			read_members(n, form == JTEXT_CLEAN ? text : contents(&b[CLEAN]), true,
			             &clean);
		return as_is(n, rec);
	}
	if (!n->modseq && equal(name, STR("MailboxModseq")))
		return NATIVE_DROP;

	bool understood = true;
	if (n->names.virtdomains)
		get(n, STR("vnd.cmu.mailboxACL"), ACL, &acl);
	if (!has(n, STR("uri"))) {
		owner = owner_without_url(n);
		mailbox = STR("");
	} else {
		understood = get(n, STR("uri"), URI, &uri) &&
		             mailurl_document(&n->names, uri, user, acl, &b[URL], &b[OWNER],
		                              &b[MAILBOX]) == 0;
		owner = contents(&b[OWNER]);
		mailbox = contents(&b[MAILBOX]);
	}
	rec->owner = fact(n->facts.owner, sizeof n->facts.owner, owner);
	rec->mailbox = fact(n->facts.mailbox, sizeof n->facts.mailbox, mailbox);
	if (n->as_written) {
		rec->json = text;
		rec->flags = RECORD_NATIVE;
		return NATIVE_OK;
	}

	/* catalog_groups() by the whole name: a fact may be cut */
	unsigned groups = catalog_groups(name);
	if (groups & GROUP_MAILBOX && !b[URL].len)
		understood = understood && get(n, STR("mailboxID"), TEXT, &id) && is_url(id);
	if (!understood)
		return as_is(n, rec);
	document(n, name, groups, user, acl);
	if (groups & GROUP_MESSAGE)
		return finish_with_content(n, name,
		                           text.len > b[CLEAN].len ? text.len : b[CLEAN].len, rec);
	return finish(n, NATIVE_OK, rec);
}

int native_convert(struct native *n, const char *json, size_t len, struct record *rec)
{
	struct str text = {json, len};
	for (int i = 0; i < N_BUFS; i++)
		empty(n, i);
	n->failed = false;
	rec->event = rec->user = rec->owner = rec->mailbox = STR("");
	if (!len)
		text = STR("");
	trim(&text);
	int code = convert(n, text, rec);
	for (int i = 0; i < N_BUFS; i++)
		n->failed |= n->bufs[i].failed;
	return n->failed ? NATIVE_NOMEM : code;
}
