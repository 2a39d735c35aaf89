/* SPDX-License-Identifier: BSD-3-Clause */
#include "names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct names {
	char separator;
	bool alternative, virtdomains, crossdomains, only_other;
	char *domain; /* the default one */
	char *users, *shared, *others;
	struct buf options, owner, mailbox;
	struct facts facts;
};

static bool is_off(const char *value)
{
	static const char *const off[] = {"off", "0", "no", "n", "f", "false"};
	for (size_t i = 0; value && i < sizeof off / sizeof *off; i++)
		if (strcasecmp(value, off[i]) == 0)
			return true;
	return false;
}

static bool is_on(const struct conf *conf, const char *option, bool otherwise)
{
	const char *value = conf_get(conf, NULL, option);
	return value ? !is_off(value) : otherwise;
}

static char *text(const struct conf *conf, const char *option, const char *otherwise)
{
	const char *value = conf_get(conf, NULL, option);
	return strdup(value ? value : otherwise);
}

struct names *names_new(const struct conf *conf)
{
	struct names *n = calloc(1, sizeof *n);
	if (!n)
		return NULL;
	n->separator = is_on(conf, "unixhierarchysep", true) ? '/' : '.';
	n->alternative = is_on(conf, "altnamespace", true);
	n->virtdomains = is_on(conf, "virtdomains", false);
	n->crossdomains = is_on(conf, "crossdomains", false);
	n->only_other = is_on(conf, "crossdomains_onlyother", false);
	n->domain = text(conf, "defaultdomain", "internal");
	n->users = text(conf, "userprefix", "Other Users");
	n->shared = text(conf, "sharedprefix", "Shared Folders");
	n->others = text(conf, "altprefix", "Alt Folders");
	if (n->domain && n->users && n->shared && n->others)
		buf_addf(&n->options, "%c%d%d%d%d|%s|%s|%s|%s", n->separator, n->alternative,
		         n->virtdomains, n->crossdomains, n->only_other, n->domain, n->users,
		         n->shared, n->others);
	if (!n->options.len || n->options.failed)
		names_free(&n);
	return n;
}

void names_free(struct names **np)
{
	struct names *n = *np;
	*np = NULL;
	if (!n)
		return;
	free(n->domain);
	free(n->users);
	free(n->shared);
	free(n->others);
	buf_free(&n->options);
	buf_free(&n->owner);
	buf_free(&n->mailbox);
	free(n);
}

const char *names_options(const struct names *n)
{
	return buf_cstr((struct buf *)&n->options);
}

/* --- modified UTF-7 --- */

static int digit(char c)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

static void add_character(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_addc(out, (char)c);
	} else if (c < 0x800) {
		buf_addc(out, (char)(0xc0 | c >> 6));
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_addc(out, (char)(0xe0 | c >> 12));
		buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_addc(out, (char)(0xf0 | c >> 18));
		buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	}
}

/* The characters between & and -. Half of a pair is none. */
static void decode_run(struct str run, struct buf *out)
{
	uint32_t bits = 0, high = 0;
	int have = 0;
	for (size_t i = 0; i < run.len; i++) {
		bits = bits << 6 | (uint32_t)digit(run.s[i]);
		have += 6;
		if (have < 16)
			continue;
		have -= 16;
		uint32_t unit = bits >> have & 0xffff;
		if (unit >= 0xd800 && unit < 0xdc00) {
			high = unit;
		} else if (high && unit >= 0xdc00 && unit < 0xe000) {
			add_character(out, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
			high = 0;
		} else {
			add_character(out, unit);
		}
	}
}

/* What is no modified UTF-7 stays: a server may take UTF-8 too (RFC 6855). */
static void decode(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		size_t end = i + 1;
		if (s.s[i] == '&')
			while (end < s.len && digit(s.s[end]) >= 0)
				end++;
		if (s.s[i] != '&' || end == s.len || s.s[end] != '-') {
			buf_addc(out, s.s[i]);
			continue;
		}
		if (end == i + 1)
			buf_addc(out, '&');
		else
			decode_run((struct str){s.s + i + 1, end - i - 1}, out);
		i = end;
	}
}

/* --- names --- */

static bool is(struct str s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.s, word, s.len) == 0;
}

static bool is_inbox(struct str s)
{
	return s.len == 5 && strncasecmp(s.s, "INBOX", 5) == 0;
}

/* The first component, cut off the path. */
static struct str shift(const struct names *n, struct str *path)
{
	const char *end = path->len ? memchr(path->s, n->separator, path->len) : NULL;
	struct str first = {path->s, end ? (size_t)(end - path->s) : path->len};
	size_t used = end ? first.len + 1 : path->len;
	path->s += used;
	path->len -= used;
	return first;
}

/* One component as records have it: where dots separate, ^ stands for a dot in a name. */
static void add_component(const struct names *n, struct str s, struct buf *out)
{
	size_t from = out->len;
	decode(s, out);
	for (size_t i = from; n->separator == '.' && i < out->len; i++)
		if (out->s[i] == '^')
			out->s[i] = '.';
}

/* The domain of the user id; empty when it has none, or domains mean nothing. */
static struct str domain_of(const struct names *n, struct str user)
{
	const char *at = n->virtdomains && user.len ? memrchr(user.s, '@', user.len) : NULL;
	return at ? (struct str){at + 1, (size_t)(user.s + user.len - at - 1)} : STR("");
}

static void add_domain(const struct names *n, struct str domain, struct buf *out)
{
	if (!domain.len || is(domain, n->domain))
		return;
	buf_addc(out, '@');
	buf_add(out, domain.s, domain.len);
}

/* With crossdomains a component may end in a domain: cut off. Else it is the user's. */
static struct str take_domain(const struct names *n, struct str user, struct str *component)
{
	const char *at =
	    n->crossdomains && component->len ? memrchr(component->s, '@', component->len) : NULL;
	if (at) {
		struct str domain = {at + 1, (size_t)(component->s + component->len - at - 1)};
		component->len = (size_t)(at - component->s);
		return domain;
	}
	return n->crossdomains && !n->only_other ? STR("") : domain_of(n, user);
}

/* A folder's own path, or INBOX; one that begins with INBOX must not pass for the inbox. */
static void spell(struct names *n, struct str path)
{
	struct str rest = path, first = shift(n, &rest);
	if (!path.len) {
		buf_adds(&n->mailbox, "INBOX");
		return;
	}
	if (is_inbox(first))
		buf_adds(&n->mailbox, "INBOX/");
	for (;;) {
		add_component(n, first, &n->mailbox);
		if (!rest.len)
			return;
		buf_addc(&n->mailbox, '/');
		first = shift(n, &rest);
	}
}

static bool others(struct names *n, struct str user, struct str path)
{
	struct str local = shift(n, &path);
	struct str domain = take_domain(n, user, &local);
	if (!local.len)
		return false;
	add_component(n, local, &n->owner);
	add_domain(n, domain, &n->owner);
	spell(n, path);
	return true;
}

static bool nobodys(struct names *n, struct str user, struct str path)
{
	struct str rest = path, first = shift(n, &rest);
	struct str domain = take_domain(n, user, &first);
	if (!first.len)
		return false;
	decode(first, &n->mailbox);
	if (rest.len) {
		buf_addc(&n->mailbox, n->separator);
		decode(rest, &n->mailbox);
	}
	add_domain(n, domain, &n->mailbox);
	return true;
}

static void own(struct names *n, struct str user, struct str path)
{
	buf_add(&n->owner, user.s, user.len);
	spell(n, path);
}

static bool alternative(struct names *n, struct str user, struct str name)
{
	struct str rest = name, first = shift(n, &rest);
	if (is(first, n->others))
		own(n, user, rest);
	else if (is(first, n->users))
		return others(n, user, rest);
	else if (is(first, n->shared))
		return nobodys(n, user, rest);
	else if (is_inbox(first) && !rest.len)
		own(n, user, rest);
	else
		own(n, user, name);
	/* There the server writes a first INBOX in capitals. */
	if (is_inbox(first) && rest.len && n->mailbox.len > 11)
		memcpy(n->mailbox.s + 6, "INBOX", 5);
	return true;
}

static bool standard(struct names *n, struct str user, struct str name)
{
	struct str rest = name, first = shift(n, &rest);
	if (is_inbox(first))
		own(n, user, rest);
	else if (is(first, "user"))
		return others(n, user, rest);
	else
		return nobodys(n, user, name);
	return true;
}

bool names_translate(struct names *n, struct str user, struct str name, struct names_place *place_r)
{
	buf_reset(&n->owner);
	buf_reset(&n->mailbox);
	if (!name.len || !user.len ||
	    !(n->alternative ? alternative(n, user, name) : standard(n, user, name)) ||
	    n->owner.failed || n->mailbox.failed || !n->mailbox.len)
		return false;
	place_r->owner =
	    fact(n->facts.owner, sizeof n->facts.owner, (struct str){n->owner.s, n->owner.len});
	place_r->mailbox = fact(n->facts.mailbox, sizeof n->facts.mailbox,
	                        (struct str){n->mailbox.s, n->mailbox.len});
	return true;
}
