/* SPDX-License-Identifier: BSD-3-Clause */
#include "filter.h"

#include "../lib/catalog.h"
#include "../lib/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct words {
	char *text; /* theirs */
	struct str *s;
	size_t n;
};

struct filter {
	unsigned groups; /* 0: not limited */
	bool devices;
	struct words events, users, owners, mailboxes;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A backslash keeps the character behind it in its word, and stays there. */
static bool split(struct words *w, const char *text, bool escapes)
{
	size_t room = strlen(text) / 2 + 1;
	char *p;

	w->text = strdup(text);
	w->s = calloc(room, sizeof(*w->s));
	if (!w->text || !w->s)
		return false;
	for (p = w->text;;) {
		const char *word;

		while (is_space(*p))
			p++;
		if (!*p)
			return true;
		for (word = p; *p && !is_space(*p); p++)
			if (escapes && *p == '\\' && p[1])
				p++;
		w->s[w->n++] = (struct str){word, (size_t)(p - word)};
		if (*p)
			*p++ = '\0';
	}
}

/* Always false. */
static bool refuse(char **why_r, const char *kind, struct str word, const char *fault,
                   const char *nearest)
{
	char text[256];

	snprintf(text, sizeof(text), "%s: '%.*s': %s%s%s", kind,
	         (int)(word.len < 80 ? word.len : 80), word.s, fault,
	         nearest ? "; nearest is " : "", nearest ? nearest : "");
	*why_r = strdup(text);
	return false;
}

static bool parse_groups(struct filter *f, const struct words *w, char **why_r)
{
	static const char *const names[] = {"message",      "flags", "mailbox",  "access",
	                                    "subscription", "quota", "calendar", "applepushservice",
	                                    "jmap",         "push",  "other"};

	for (size_t i = 0; i < w->n; i++) {
		unsigned bit = catalog_group_bit(w->s[i].s, w->s[i].len);
		struct nearest near;

		f->groups |= bit;
		if (bit)
			continue;
		nearest_start(&near, w->s[i].s, w->s[i].len);
		for (size_t j = 0; j < sizeof(names) / sizeof(*names); j++)
			nearest_offer(&near, names[j]);
		return refuse(why_r, "groups", w->s[i], "unknown group", near.best);
	}
	return true;
}

static bool check_events(const struct words *w, char **why_r)
{
	const struct catalog_event *known;
	size_t n_known = catalog_events(&known);

	for (size_t i = 0; i < w->n; i++) {
		struct nearest near;

		if (catalog_event(w->s[i].s, w->s[i].len))
			continue;
		nearest_start(&near, w->s[i].s, w->s[i].len);
		for (size_t j = 0; j < n_known; j++) {
			const char *dot = strrchr(known[j].name, '.');

			nearest_offer(&near, known[j].name);
			/* The prefix left out: MessageCopy. */
			if (dot && strlen(dot + 1) == w->s[i].len &&
			    !strncasecmp(dot + 1, w->s[i].s, w->s[i].len)) {
				near.best = known[j].name;
				near.distance = 0;
			}
		}
		return refuse(why_r, "events", w->s[i], "unknown event type", near.best);
	}
	return true;
}

static bool any_user(struct str word)
{
	return word.len > 2 && word.s[0] == '*' && word.s[1] == '@';
}

static bool check_users(const char *kind, const struct words *w, char **why_r)
{
	for (size_t i = 0; i < w->n; i++) {
		struct str word = w->s[i];
		size_t from = any_user(word) ? 2 : 0;

		if (memchr(word.s + from, '*', word.len - from))
			return refuse(why_r, kind, word, "must be a whole userid or *@domain",
			              NULL);
	}
	return true;
}

/* IMAP's inbox has its name in any case; the record has INBOX. */
static void upper_inbox(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->s[i].len >= 5 && !strncasecmp(w->s[i].s, "inbox", 5) &&
		    (w->s[i].len == 5 || w->s[i].s[5] == '/'))
			memcpy(w->text + (w->s[i].s - w->text), "INBOX", 5);
}

static void free_words(struct words *w)
{
	free(w->text);
	free(w->s);
}

struct filter *filter_new(const char *groups, const char *events, const char *users,
                          const char *owners, const char *mailboxes, char **why_r)
{
	struct filter *f = calloc(1, sizeof(*f));
	struct words g = {NULL, NULL, 0};
	bool ok;

	*why_r = NULL;
	if (!f || !split(&g, groups ? groups : "", false) ||
	    !split(&f->events, events ? events : "", false) ||
	    !split(&f->users, users ? users : "", false) ||
	    !split(&f->owners, owners ? owners : "", false) ||
	    !split(&f->mailboxes, mailboxes ? mailboxes : "", true)) {
		*why_r = strdup("memory is short");
		ok = false;
	} else {
		ok = parse_groups(f, &g, why_r) && check_events(&f->events, why_r) &&
		     check_users("users", &f->users, why_r) &&
		     check_users("owners", &f->owners, why_r);
		upper_inbox(&f->mailboxes);
	}
	free_words(&g);
	if (!ok)
		filter_free(&f);
	return f;
}

void filter_free(struct filter **fp)
{
	struct filter *f = *fp;

	*fp = NULL;
	if (!f)
		return;
	free_words(&f->events);
	free_words(&f->users);
	free_words(&f->owners);
	free_words(&f->mailboxes);
	free(f);
}

static bool match_event(const struct words *w, struct str event)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->s[i].len == event.len && !memcmp(w->s[i].s, event.s, event.len))
			return true;
	return false;
}

static bool match_user(const struct words *w, struct str user)
{
	size_t from = user.len; /* the domain's */

	while (from && user.s[from - 1] != '@')
		from--;

	for (size_t i = 0; i < w->n; i++) {
		struct str word = w->s[i];

		if (any_user(word)) {
			if (from && word.len - 2 == user.len - from &&
			    !strncasecmp(word.s + 2, user.s + from, word.len - 2))
				return true;
		} else if (user.len && word.len == user.len && !memcmp(word.s, user.s, user.len)) {
			return true;
		}
	}
	return false;
}

/* Bytes of the UTF-8 character at s; 1 for what is none. */
static size_t character(struct str s, size_t at)
{
	size_t n = 1;

	if ((unsigned char)s.s[at] >= 0xc0)
		while (at + n < s.len && n < 4 && ((unsigned char)s.s[at + n] & 0xc0) == 0x80)
			n++;
	return n;
}

/* Goes back to the last star alone: no more than pattern times name steps. */
static bool match_glob(struct str glob, struct str name)
{
	size_t g = 0, n = 0, star = SIZE_MAX, tried = 0;

	while (n < name.len) {
		if (g < glob.len && glob.s[g] == '*') {
			star = ++g;
			tried = n;
		} else if (g < glob.len && glob.s[g] == '?') {
			g++;
			n += character(name, n);
		} else if (g + 1 < glob.len && glob.s[g] == '\\' && glob.s[g + 1] == name.s[n]) {
			g += 2;
			n++;
		} else if (g < glob.len && glob.s[g] == name.s[n] &&
		           !(glob.s[g] == '\\' && g + 1 < glob.len)) {
			g++;
			n++;
		} else if (star != SIZE_MAX) {
			g = star;
			n = tried += character(name, tried);
		} else {
			return false;
		}
	}
	while (g < glob.len && glob.s[g] == '*')
		g++;
	return g == glob.len;
}

void filter_devices(struct filter *f)
{
	f->devices = true;
}

bool filter_match(const struct filter *f, const struct record *rec)
{
	/* what is cheap and refuses most comes first */
	if (f->users.n && !match_user(&f->users, rec->user))
		return false;
	if (f->owners.n && !match_user(&f->owners, rec->owner))
		return false;
	bool device = catalog_is_device(rec->event);
	if (device && f->devices)
		return true;
	bool named = f->events.n && match_event(&f->events, rec->event);
	if (f->events.n && !named)
		return false;
	if (device && !named && !(f->groups & GROUP_APPLEPUSHSERVICE))
		return false;
	if (f->groups && !(f->groups & catalog_groups(rec->event)))
		return false;
	if (!f->mailboxes.n)
		return true;
	for (size_t i = 0; i < f->mailboxes.n; i++)
		if (match_glob(f->mailboxes.s[i], rec->mailbox))
			return true;
	return false;
}
