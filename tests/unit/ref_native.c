/* SPDX-License-Identifier: BSD-3-Clause */
#include "ref_native.h"
#include "../../lib/catalog.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct str text(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);
	return json_is_string(v) ? (struct str){json_string_value(v), json_string_length(v)}
	                         : (struct str){"", 0};
}

static bool is_url(const json_t *object, const char *key)
{
	struct mailurl u;
	return mailurl_parse(text(object, key), &u) == 0;
}

static void set_url(json_t *object, const char *key, const struct mailurl_names *names,
                    struct str user, struct str acl)
{
	struct buf url = BUF_INIT;
	if (mailurl_document(names, text(object, key), user, acl, &url, NULL, NULL) == 0)
		json_object_set_new(object, key, json_stringn(url.s, url.len));
	buf_free(&url);
}

static json_t *flags(struct str names)
{
	static const char *const system[] = {"\\Answered", "\\Deleted", "\\Draft",
	                                     "\\Flagged",  "\\Recent",  "\\Seen"};
	struct buf fixed = BUF_INIT;
	buf_add(&fixed, names.s, names.len);
	for (size_t at = 0; at < fixed.len; at++)
		for (size_t i = 0; i < sizeof system / sizeof *system; i++) {
			size_t len = strlen(system[i]);
			if ((at == 0 || fixed.s[at - 1] == ' ') && fixed.len - at >= len &&
			    (fixed.len - at == len || fixed.s[at + len] == ' ') &&
			    strncasecmp(fixed.s + at, system[i], len) == 0)
				memcpy(fixed.s + at, system[i], len);
		}
	json_t *v = json_stringn(fixed.len ? fixed.s : "", fixed.len);
	buf_free(&fixed);
	return v;
}

static bool several(struct str set)
{
	const char *end = set.s + set.len, *p = set.s;
	size_t first = 0;
	while (p + first < end && !strchr(",:", p[first]))
		first++;
	while ((p += first) < end) {
		p++;
		size_t len = 0;
		while (p + len < end && (!p[len] || !strchr(",:", p[len])))
			len++;
		if (len != first || memcmp(p, set.s, len) != 0)
			return true;
	}
	return false;
}

/* The server's bare text becomes an object of it under its UID, the end of the URL. */
static void set_content(json_t *out, struct str name)
{
	const struct str uri = text(out, "uri");
	bool new = strcmp(name.s, "MessageNew") == 0;
	json_t *content = json_object_get(out, "messageContent");
	struct mailurl u;
	if ((!new &&strcmp(name.s, "MessageAppend") != 0) || !json_is_string(content) ||
	    mailurl_parse(uri, &u) < 0 || !u.tail.len || strlen(uri.s) != uri.len)
		return;
	const char *uid = strstr(u.tail.s, "/;UID=");
	uid = uid ? uid + strlen("/;UID=") : "";
	if (*uid < '1' || *uid > '9' || uid[strspn(uid, "0123456789")] || strlen(uid) > 10 ||
	    strtoull(uid, NULL, 10) > UINT32_MAX)
		return;
	json_object_set_new(out, "messageContent", json_pack("{sO}", uid, content));
	if (new && !json_object_get(out, "uidset"))
		json_object_set_new(out, "uidset", json_string(uid));
}

json_t *ref_native(const struct mailurl_names *names, const json_t *event)
{
	struct str name = text(event, "event"), user = text(event, "user");
	struct str acl = text(event, "vnd.cmu.mailboxACL");
	bool mailbox = catalog_groups(name) & GROUP_MAILBOX;
	if (!name.len || (json_object_get(event, "uri") && !is_url(event, "uri")) ||
	    (mailbox && !is_url(event, "uri") && !is_url(event, "mailboxID")))
		return NULL;

	json_t *out = json_deep_copy(event);
	json_t *id = json_object_get(out, "mailboxID");
	set_url(out, "uri", names, user, acl);
	set_url(out, "oldMailboxID", names, user, acl);
	if (is_url(event, "mailboxID")) {
		set_url(out, "mailboxID", names, user, acl);
	} else {
		bool empty = json_is_null(id) || (json_is_string(id) && !json_string_length(id));
		if (id && !empty)
			json_object_set(out,
			                json_object_get(out, "mailboxUniqueId")
			                    ? "vnd.mboxevent.jmapId"
			                    : "mailboxUniqueId",
			                id);
		json_object_del(out, "mailboxID");
		if (mailbox)
			json_object_set(out, "mailboxID", json_object_get(out, "uri"));
	}
	set_content(out, name);
	if (json_is_string(json_object_get(out, "flagNames")))
		json_object_set_new(out, "flagNames", flags(text(event, "flagNames")));
	if (several(text(event, "uidset")))
		json_object_del(out, "modseq");
	if (json_is_string(json_object_get(event, "user")) && !user.len)
		json_object_del(out, "user");
	if (strcmp(name.s, "AclChange") == 0 && !json_object_get(out, "aclRights"))
		json_object_set_new(out, "aclRights", json_null());
	if (catalog_groups(name) & GROUP_QUOTA) {
		if (!json_object_get(out, "diskQuota"))
			json_object_set_new(out, "diskQuota", json_integer(-1));
		if (!json_object_get(out, "maxMessages"))
			json_object_set_new(out, "maxMessages", json_integer(-1));
	}
	return out;
}
