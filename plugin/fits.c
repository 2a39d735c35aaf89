/* SPDX-License-Identifier: BSD-3-Clause */
/* The forms of values: what the patterns of lib/catalog.h say, without the cost of an
 * expression. tests/api/test_facts.c compares. */
#include "build.h"

#include <string.h>

static bool digits(struct str s, size_t n)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.s[i] < '0' || s.s[i] > '9')
			return false;
	return n ? s.len == n : s.len > 0;
}

static struct str cut(struct str s, size_t from, size_t to)
{
	return (struct str){s.s + from, to - from};
}

/* 20151119, 20151119T063000, 20151119T063000Z */
static bool is_icaltime(struct str s)
{
	if (s.len == 16 && s.s[15] == 'Z')
		s.len--;
	else if (s.len != 8 && s.len != 15)
		return false;
	return digits(cut(s, 0, 8), 8) &&
	       (s.len == 8 || (s.s[8] == 'T' && digits(cut(s, 9, 15), 6)));
}

/* An IPv6 address may name its scope (fe80::1%eth0). */
static bool is_address(struct str s)
{
	static const char six[] = "0123456789ABCDEFabcdef:.";
	size_t i = 0, groups = 0, colons = 0;
	for (; i < s.len && s.s[i] && strchr(six, s.s[i]); i++)
		colons += s.s[i] == ':';
	if (colons) {
		size_t scope = i < s.len && s.s[i] == '%' ? i + 1 : s.len;
		for (size_t n = scope; n < s.len; n++)
			if (s.s[n] <= ' ' || s.s[n] >= 0x7f)
				return false;
		return i == s.len || scope < s.len;
	}
	for (i = 0; groups < 4; groups++, i++) {
		size_t start = i;
		while (i < s.len && i - start < 3 && s.s[i] >= '0' && s.s[i] <= '9')
			i++;
		if (i == start || (groups < 3 && (i == s.len || s.s[i] != '.')))
			return false;
		if (groups == 3)
			return i == s.len;
	}
	return false;
}

bool build_fits(enum catalog_form form, struct str value)
{
	switch (form) {
	case FORM_TEXT:
		return value.len > 0;
	case FORM_ICALTIME:
		return is_icaltime(value);
	case FORM_ADDRESS:
		return is_address(value);
	case FORM_UIDVALIDITY:
		return value.len <= 10 && digits(value, 0) && value.s[0] != '0';
	default:
		return true;
	}
}

bool build_fits_int(enum catalog_form form, int64_t value)
{
	return value >= catalog_forms[form].least && value <= catalog_forms[form].most;
}
