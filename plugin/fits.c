/* SPDX-License-Identifier: BSD-3-Clause */
/* The forms of values: what the patterns of lib/catalog.h say, without the cost of an
 * expression, and what the validator asks beyond them. tests/api/test_facts.c compares. */
#include "build.h"

#include <arpa/inet.h>
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

/* One that can be parsed; an IPv6 address may name its scope (fe80::1%eth0). */
static bool is_address(struct str s)
{
	unsigned char address[sizeof(struct in6_addr)];
	char host[INET6_ADDRSTRLEN] = "";
	const char *percent = s.len ? memchr(s.s, '%', s.len) : NULL;
	size_t len = percent ? (size_t)(percent - s.s) : s.len;
	if (!len || len >= sizeof host || memchr(s.s, '\0', len))
		return false;
	memcpy(host, s.s, len);
	for (size_t n = len + 1; n < s.len; n++)
		if (s.s[n] <= ' ' || s.s[n] >= 0x7f)
			return false;
	if (percent && len + 1 == s.len)
		return false;
	return (!percent && inet_pton(AF_INET, host, address) == 1) ||
	       inet_pton(AF_INET6, host, address) == 1;
}

/* From 1 to 4294967295, as IMAP writes it. */
static bool is_uidvalidity(struct str s)
{
	uint64_t n = 0;
	if (s.len > 10 || !digits(s, 0) || s.s[0] == '0')
		return false;
	for (size_t i = 0; i < s.len; i++)
		n = n * 10 + (uint64_t)(s.s[i] - '0');
	return n <= UINT32_MAX;
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
		return is_uidvalidity(value);
	default:
		return true;
	}
}

bool build_fits_int(enum catalog_form form, int64_t value)
{
	return value >= catalog_forms[form].least && value <= catalog_forms[form].most;
}
