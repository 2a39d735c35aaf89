/* SPDX-License-Identifier: BSD-3-Clause */
#include "mailurl.h"

#include <string.h>
#include <strings.h>

static bool begins(struct str s, const char *word, size_t len)
{
	return s.len >= len && strncasecmp(s.s, word, len) == 0;
}

static struct str cut(struct str s, size_t from, size_t to)
{
	return (struct str){s.s + from, to - from};
}

int mailurl_parse(struct str url, struct mailurl *u_r)
{
	static const char scheme[] = "imap://", uidvalidity[] = ";UIDVALIDITY=";
	*u_r = (struct mailurl){0};
	if (!begins(url, scheme, sizeof scheme - 1))
		return -1;
	const size_t start = sizeof scheme - 1;
	const char *slash = memchr(url.s + start, '/', url.len - start);
	size_t authority = slash ? (size_t)(slash - url.s) : url.len;
	size_t server = authority;
	while (server > start && url.s[server - 1] != '@')
		server--;
	if (server == authority)
		return -1;
	if (server > start)
		u_r->owner = cut(url, start, server - 1);
	u_r->server = cut(url, server, authority);
	if (!slash)
		return 0;
	size_t path = authority + 1;
	const char *semicolon = memchr(url.s + path, ';', url.len - path);
	size_t end = semicolon ? (size_t)(semicolon - url.s) : url.len;
	if (begins(cut(url, end, url.len), uidvalidity, sizeof uidvalidity - 1)) {
		size_t from = end + sizeof uidvalidity - 1, to = from;
		while (to < url.len && url.s[to] >= '0' && url.s[to] <= '9')
			to++;
		u_r->uidvalidity = cut(url, from, to);
	} else if (semicolon && end > path && url.s[end - 1] == '/') {
		end--;
	}
	u_r->mailbox = cut(url, path, end);
	u_r->tail = cut(url, end, url.len);
	return 0;
}

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	                              : -1;
}

/* Takes one byte off the front, its percent-encoding undone. A stray % stands for itself. */
static char take(struct str *s)
{
	char c = s->s[0];
	size_t used = 1;
	if (c == '%' && s->len >= 3 && hex(s->s[1]) >= 0 && hex(s->s[2]) >= 0) {
		c = (char)(hex(s->s[1]) << 4 | hex(s->s[2]));
		used = 3;
	}
	s->s += used;
	s->len -= used;
	return c;
}

void mailurl_decode(struct str s, struct buf *out)
{
	while (s.len) {
		const char *percent = memchr(s.s, '%', s.len);
		size_t run = percent ? (size_t)(percent - s.s) : s.len;
		buf_add(out, s.s, run);
		s = cut(s, run, s.len);
		if (s.len)
			buf_addc(out, take(&s));
	}
}

/* A native path taken apart: user/<local>[/<folder>][%40<domain>]. */
struct path {
	char separator;
	struct str local, folder, domain; /* percent-encoded */
};

/* Appends a part in the documented spelling: where dots separate, ^ stands for a dot in a name,
 * and the separator is always a slash. */
static void spell(const struct path *p, struct str part, struct buf *out)
{
	if (p->separator == '/') {
		buf_add(out, part.s, part.len);
		return;
	}
	while (part.len) {
		struct str rest = part;
		char c = take(&rest);
		if (c == '^')
			buf_addc(out, '.');
		else if (part.s[0] == '.')
			buf_addc(out, '/');
		else
			buf_add(out, part.s, part.len - rest.len);
		part = rest;
	}
}

/* The owner as it stands in a URL: an @ in it is literal. */
static void spell_owner(const struct path *p, struct buf *out)
{
	struct str local = p->local;
	while (local.len) {
		struct str rest = local;
		if (take(&rest) == '@')
			buf_addc(out, '@');
		else
			spell(p, cut(local, 0, local.len - rest.len), out);
		local = rest;
	}
	if (p->domain.len) {
		buf_addc(out, '@');
		buf_add(out, p->domain.s, p->domain.len);
	}
}

/* Whether the path's owner is called id. */
static bool owned_by(const struct path *p, struct str id)
{
	struct str parts[2] = {p->local, p->domain};
	size_t at = 0;
	for (int i = 0; i < 2; i++) {
		if (i && p->domain.len && (at == id.len || id.s[at++] != '@'))
			return false;
		while (parts[i].len) {
			char c = take(&parts[i]);
			if (!i && p->separator == '.' && c == '^')
				c = '.';
			if (at == id.len || id.s[at++] != c)
				return false;
		}
	}
	return at == id.len;
}

/* The user id as the server spells it: without the default domain. */
static struct str canonical(const struct mailurl_names *names, struct str id)
{
	size_t len = names->defaultdomain ? strlen(names->defaultdomain) : 0;
	if (len && id.len > len + 1 && id.s[id.len - len - 1] == '@' &&
	    memcmp(id.s + id.len - len, names->defaultdomain, len) == 0)
		id.len -= len + 1;
	return id;
}

/* Whether the domain split off is right: user.john.at%40sign is john's folder, or the folder
 * `at` of john@sign. */
static bool has_domain(const struct mailurl_names *names, const struct path *whole,
                       const struct path *split, struct str user, struct str acl)
{
	struct str domain = split->domain;
	size_t len = names->defaultdomain ? strlen(names->defaultdomain) : 0;
	/* The server never writes the default domain, and no local part holds an @. */
	struct str local = whole->local;
	while (local.len)
		if (take(&local) == '@')
			return true;
	if (len == domain.len && memcmp(domain.s, names->defaultdomain, len) == 0)
		return false;
	if (owned_by(split, user))
		return true;
	if (owned_by(whole, canonical(names, user)))
		return false;
	/* identifier TAB rights TAB ...; the owner's entry is made first */
	while (acl.len) {
		const char *tab = memchr(acl.s, '\t', acl.len);
		struct str id = cut(acl, 0, tab ? (size_t)(tab - acl.s) : acl.len);
		if (owned_by(split, id))
			return true;
		if (owned_by(whole, canonical(names, id)))
			return false;
		const char *next = tab ? memchr(tab + 1, '\t', acl.len - id.len - 1) : NULL;
		acl = next ? cut(acl, (size_t)(next - acl.s) + 1, acl.len) : (struct str){"", 0};
	}
	return true;
}

static void split_folder(struct path *p)
{
	const char *sep = memchr(p->local.s, p->separator, p->local.len);
	size_t len = sep ? (size_t)(sep - p->local.s) : p->local.len;
	p->folder = cut(p->local, len, p->local.len);
	p->local.len = len;
	if (sep)
		p->folder = cut(p->folder, 1, p->folder.len);
}

/* false when nobody owns it. */
static bool owned(const struct mailurl_names *names, struct str mailbox, struct str user,
                  struct str acl, struct path *path_r)
{
	if (mailbox.len < 6 || memcmp(mailbox.s, "user", 4) != 0 ||
	    (mailbox.s[4] != '/' && mailbox.s[4] != '.'))
		return false;
	struct path whole = {.separator = mailbox.s[4], .local = cut(mailbox, 5, mailbox.len)};
	/* Where dots separate no name holds a slash: this is a shared folder called user.something.
	 */
	if (whole.separator == '.' && memchr(whole.local.s, '/', whole.local.len))
		return false;
	struct path split = whole;
	size_t at = names->virtdomains ? whole.local.len : 0;
	while (at && !(whole.local.len - at >= 3 && memcmp(whole.local.s + at, "%40", 3) == 0))
		at--;
	split_folder(&whole);
	*path_r = whole;
	if (at) {
		split.domain = cut(split.local, at + 3, split.local.len);
		split.local.len = at;
		split_folder(&split);
		/* a%40b/c below john is his: no domain holds a slash */
		if (split.domain.len && !memchr(split.domain.s, '/', split.domain.len) &&
		    has_domain(names, &whole, &split, user, acl))
			*path_r = split;
	}
	return path_r->local.len > 0;
}

/* A folder's own path, or INBOX; one that begins with INBOX must not pass for the inbox. */
static void spell_mailbox(const struct path *p, struct buf *out)
{
	const char *sep = memchr(p->folder.s, p->separator, p->folder.len);
	size_t first = sep ? (size_t)(sep - p->folder.s) : p->folder.len;
	if (!p->folder.len)
		buf_adds(out, "INBOX");
	else if (first == 5 && begins(p->folder, "INBOX", 5))
		buf_adds(out, "INBOX/");
	spell(p, p->folder, out);
}

int mailurl_document(const struct mailurl_names *names, struct str url, struct str user,
                     struct str acl, struct buf *out, struct buf *owner, struct buf *mailbox)
{
	struct mailurl u;
	struct path path;
	if (mailurl_parse(url, &u) < 0)
		return -1;
	if (u.owner.len || !owned(names, u.mailbox, user, acl, &path)) {
		buf_add(out, url.s, url.len);
	} else {
		size_t start = out->len;
		buf_add(out, url.s, (size_t)(u.server.s - url.s));
		spell_owner(&path, out);
		buf_addc(out, '@');
		buf_add(out, u.server.s, u.server.len);
		buf_addc(out, '/');
		spell_mailbox(&path, out);
		buf_add(out, u.tail.s, u.tail.len);
		if (out->failed)
			return 0;
		mailurl_parse((struct str){out->s + start, out->len - start}, &u);
	}
	if (owner)
		mailurl_decode(u.owner, owner);
	if (mailbox)
		mailurl_decode(u.mailbox, mailbox);
	return 0;
}

/* Cyrus's lib/imapurl.c escapes these, and what is not printable ASCII. */
static void encode(struct str s, const char *unsafe, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.s[i];
		if (c < ' ' || c > '~' || strchr(unsafe, c)) {
			const char hexed[3] = {'%', digits[c >> 4], digits[c & 15]};
			buf_add(out, hexed, 3);
		} else {
			buf_addc(out, (char)c);
		}
	}
}

void mailurl_write(const struct mailurl_place *place, struct buf *out)
{
	buf_adds(out, "imap://");
	if (place->mailbox.len && place->owner.len) {
		encode(place->owner, " \"#%&+/:;<=>?[\\]^`{|}", out);
		buf_addc(out, '@');
	}
	buf_add(out, place->server.s, place->server.len);
	if (!place->mailbox.len)
		return;
	buf_addc(out, '/');
	encode(place->mailbox, " \"#%&+:;<=>?@[\\]^`{|}", out);
	if (place->uidvalidity)
		buf_addf(out, ";UIDVALIDITY=%u", (unsigned)place->uidvalidity);
	if (place->uid)
		buf_addf(out, "/;UID=%u", (unsigned)place->uid);
}
