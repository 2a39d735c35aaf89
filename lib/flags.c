/* SPDX-License-Identifier: BSD-3-Clause */
#include "flags.h"

#include <string.h>
#include <strings.h>

static bool same(struct str a, struct str b)
{
	return a.len == b.len && strncasecmp(a.s, b.s, a.len) == 0;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

bool flags_next(struct str *list, struct str *word_r)
{
	while (list->len && is_space(list->s[0])) {
		list->s++;
		list->len--;
	}
	*word_r = (struct str){list->s, 0};
	while (list->len && !is_space(list->s[0])) {
		list->s++;
		list->len--;
		word_r->len++;
	}
	return word_r->len > 0;
}

static bool find(struct str flags, struct str flag, struct str *found_r)
{
	while (flags_next(&flags, found_r))
		if (same(*found_r, flag))
			return true;
	return false;
}

bool flags_has(struct str flags, struct str flag)
{
	struct str found;
	return find(flags, flag, &found);
}

/* RFC 3501, 2.3.2 */
struct str flags_spelled(struct str flag)
{
	static const char *const system[] = {"\\Answered", "\\Deleted", "\\Draft",
	                                     "\\Flagged",  "\\Recent",  "\\Seen"};
	for (size_t i = 0; i < sizeof system / sizeof *system; i++) {
		struct str name = {system[i], strlen(system[i])};
		if (same(name, flag))
			return name;
	}
	return flag;
}

bool flags_add(struct buf *flags, struct str flag)
{
	for (size_t i = 0; i < flag.len; i++)
		if (flag.s[i] <= ' ' || flag.s[i] >= 0x7f)
			return false;
	if (!flag.len)
		return false;
	if (flags_has((struct str){flags->s, flags->len}, flag))
		return true;
	flag = flags_spelled(flag);
	if (flags->len)
		buf_addc(flags, ' ');
	buf_add(flags, flag.s, flag.len);
	return true;
}

bool flags_take(struct buf *flags, struct str flag)
{
	struct str found;
	if (!find((struct str){flags->s, flags->len}, flag, &found))
		return false;
	size_t at = (size_t)(found.s - flags->s), end = at + found.len;
	/* with the space behind it, or before it where it is the last */
	if (end < flags->len)
		end++;
	else if (at)
		at--;
	memmove(flags->s + at, flags->s + end, flags->len - end);
	flags->len -= end - at;
	return true;
}
