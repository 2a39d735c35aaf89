/* SPDX-License-Identifier: BSD-3-Clause */
#include "jtext.h"

#include <string.h>

#define REPLACEMENT "\\ufffd"

/* Skips what stands for itself in a JSON string: ASCII but for controls, quote and backslash.
 * Eight bytes at a time: most of an event is such text. */
static const char *plain(const char *p, const char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
	for (; end - p >= 8; p += 8) {
		uint64_t w;
		memcpy(&w, p, sizeof w);
		uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
		w = ((w - ones * 0x20) | (quote - ones) | (slash - ones) | w) & high;
		if (!w)
			continue;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		/* The lowest mark is right: a borrow can only make a false one above it. */
		return p + __builtin_ctzll(w) / 8;
#else
		break;
#endif
	}
	while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
	       *p != '\\')
		p++;
	return p;
}

unsigned jtext_utf8(const char *s, const char *end, uint32_t *c_r)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t left = (size_t)(end - s);
	if (u[0] < 0x80) {
		*c_r = u[0];
		return 1;
	}
	unsigned n = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
	if (u[0] < 0xc2 || u[0] > 0xf4 || left < n)
		return 0;
	uint32_t c = u[0] & (0x7fu >> n);
	for (unsigned i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3f);
	}
	/* overlong, surrogate, beyond Unicode */
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || (c >= 0xd800 && c <= 0xdfff) ||
	    c > 0x10ffff)
		return 0;
	*c_r = c;
	return n;
}

static void escape_unit(struct buf *out, unsigned unit)
{
	static const char hex[] = "0123456789abcdef";
	char e[6] = {
	    '\\',          'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15],
	    hex[unit & 15]};
	buf_add(out, e, sizeof e);
}

/* Appends the escape of the character at s. */
static void escape(const char *s, const char *end, struct buf *out)
{
	static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	uint32_t c;
	unsigned n = jtext_utf8(s, end, &c);
	if (!n) {
		buf_adds(out, REPLACEMENT);
		return;
	}
	for (const char *e = names; *e && c < 0x80; e += 2)
		if ((uint32_t)*e == c) {
			char named[2] = {'\\', e[1]};
			buf_add(out, named, sizeof named);
			return;
		}
	if (c >= 0x10000) {
		escape_unit(out, 0xd800 + ((c - 0x10000) >> 10));
		c = 0xdc00 + ((c - 0x10000) & 0x3ff);
	}
	escape_unit(out, c);
}

void jtext_escape(struct str value, struct buf *out)
{
	const char *p = value.s, *end = p + value.len;
	while (p < end) {
		const char *run = p;
		p = plain(p, end);
		buf_add(out, run, (size_t)(p - run));
		if (p == end)
			return;
		uint32_t c;
		unsigned n = jtext_utf8(p, end, &c);
		escape(p, end, out);
		p += n ? n : 1;
	}
}

/* The unit of a \u escape whose backslash is at s, or -1. */
static int unit(const char *s, const char *end)
{
	if (end - s < 6 || s[0] != '\\' || s[1] != 'u')
		return -1;
	int n = 0;
	for (int i = 2; i < 6; i++) {
		char c = s[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
		            : c >= 'a' && c <= 'f' ? c - 'a' + 10
		            : c >= 'A' && c <= 'F' ? c - 'A' + 10
		                                   : -1;
		if (digit < 0)
			return -1;
		n = n * 16 + digit;
	}
	return n;
}

static bool is_high(int u)
{
	return u >= 0xd800 && u <= 0xdbff;
}

static bool is_low(int u)
{
	return u >= 0xdc00 && u <= 0xdfff;
}

static void worse(struct jtext *j, enum jtext_form form)
{
	if (form > j->form)
		j->form = form;
}

/* The scanning functions below go over what is at j->p and leave j->p behind it. With out they
 * also append its clean form. */

static bool string(struct jtext *j, struct buf *out, bool key)
{
	const char *run = j->p, *p = run + 1, *end = j->end;
	for (;;) {
		p = plain(p, end);
		if (p == end)
			return false;
		if (*p == '"')
			break;
		size_t bad = 0; /* bytes to replace */
		uint32_t c;
		if (*p == '\\') {
			if (end - p < 2)
				return false;
			if (p[1] != 'u') {
				if (!p[1] || !strchr("\"\\/bfnrt", p[1]))
					return false;
				p += 2;
				continue;
			}
			int u = unit(p, end);
			if (u < 0)
				return false;
			if (is_high(u) && is_low(unit(p + 6, end))) {
				p += 12;
				continue;
			}
			if (!is_high(u) && !is_low(u) && (u || !key)) {
				p += 6;
				continue;
			}
			bad = 6;
		} else if (!*p && key) {
			bad = 1;
		}
		unsigned n = bad ? 0 : jtext_utf8(p, end, &c);
		worse(j, n > 1 ? JTEXT_LOOSE : JTEXT_UNFIT);
		if (out)
			buf_add(out, run, (size_t)(p - run));
		if (out && bad)
			buf_adds(out, REPLACEMENT);
		else if (out)
			escape(p, end, out);
		p += bad ? bad : n ? n : 1;
		run = p;
	}
	j->p = p + 1;
	if (out)
		buf_add(out, run, (size_t)(j->p - run));
	return true;
}

static const char *digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

static bool number(struct jtext *j)
{
	const char *p = j->p, *end = j->end;
	if (*p == '-')
		p++;
	const char *whole = p, *e = NULL;
	p = digits(p, end);
	if (p == whole || (*whole == '0' && p - whole > 1))
		return false;
	size_t len = (size_t)(p - whole);
	bool real = false;
	if (p < end && *p == '.') {
		const char *fraction = ++p;
		real = true;
		p = digits(p, end);
		if (p == fraction)
			return false;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		real = true;
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		e = p;
		p = digits(p, end);
		if (p == e || p - e > 3)
			return false;
	}
	/* below 10^308: up to 100 digits, and an exponent of up to 200 */
	if (e && p - e == 3 && memcmp(e, "200", 3) > 0)
		return false;
	if (real ? len > 100
	         : len > 19 || (len == 19 && memcmp(whole, "9223372036854775807", 19) > 0))
		return false;
	j->p = p;
	return true;
}

static bool literal(struct jtext *j, const char *word, size_t len)
{
	if ((size_t)(j->end - j->p) < len || memcmp(j->p, word, len) != 0)
		return false;
	j->p += len;
	return true;
}

static void spaces(struct jtext *j)
{
	for (; j->p < j->end; j->p++) {
		if (*j->p == ' ' || *j->p == '\t')
			worse(j, JTEXT_LOOSE);
		else if (*j->p == '\n' || *j->p == '\r')
			worse(j, JTEXT_UNFIT);
		else
			return;
	}
}

/* There is none as a rule. */
static inline void space(struct jtext *j)
{
	if (j->p < j->end && (unsigned char)*j->p <= ' ')
		spaces(j);
}

static bool scalar(struct jtext *j, struct buf *out)
{
	const char *from = j->p;
	bool ok;
	switch (*from) {
	case '"':
		return string(j, out, false);
	case 't':
		ok = literal(j, "true", 4);
		break;
	case 'f':
		ok = literal(j, "false", 5);
		break;
	case 'n':
		ok = literal(j, "null", 4);
		break;
	default:
		ok = number(j);
	}
	if (ok && out)
		buf_add(out, from, (size_t)(j->p - from));
	return ok;
}

static void copy(struct jtext *j, struct buf *out)
{
	if (out)
		buf_addc(out, *j->p);
	j->p++;
}

/* Scans a key and its colon. */
static bool name(struct jtext *j, struct buf *out)
{
	space(j);
	if (j->p == j->end || *j->p != '"' || !string(j, out, true))
		return false;
	space(j);
	if (j->p == j->end || *j->p != ':')
		return false;
	copy(j, out);
	return true;
}

static bool value(struct jtext *j, struct buf *out)
{
	unsigned char kinds[JTEXT_DEPTH]; /* of the containers open: '{' or '[' */
	unsigned depth = 0;
	for (;;) {
		space(j);
		if (j->p == j->end)
			return false;
		if (*j->p == '{' || *j->p == '[') {
			char kind = *j->p;
			if (depth == JTEXT_DEPTH)
				return false;
			copy(j, out);
			space(j);
			if (j->p == j->end)
				return false;
			kinds[depth++] = (unsigned char)kind;
			if (*j->p != (kind == '{' ? '}' : ']')) {
				if (kind == '{' && !name(j, out))
					return false;
				continue;
			}
		} else if (!scalar(j, out)) {
			return false;
		}
		/* behind a value, or at the end of an empty container */
		for (;;) {
			if (!depth)
				return true;
			space(j);
			if (j->p == j->end)
				return false;
			if (*j->p == ',') {
				copy(j, out);
				if (kinds[depth - 1] == '{' && !name(j, out))
					return false;
				break;
			}
			if (*j->p != (kinds[depth - 1] == '{' ? '}' : ']'))
				return false;
			copy(j, out);
			depth--;
		}
	}
}

bool jtext_open(struct jtext *j, struct str text)
{
	*j = (struct jtext){text.s, text.s + text.len, JTEXT_CLEAN, true};
	if (j->p == j->end || *j->p != '{')
		return false;
	j->p++;
	return true;
}

int jtext_next(struct jtext *j, struct str *key_r, struct str *value_r)
{
	space(j);
	if (j->p == j->end)
		return -1;
	if (*j->p == '}') {
		j->p++;
		return j->p == j->end ? 0 : -1;
	}
	if (!j->first) {
		if (*j->p != ',')
			return -1;
		j->p++;
		space(j);
	}
	j->first = false;
	key_r->s = j->p;
	if (j->p == j->end || *j->p != '"' || !string(j, NULL, true))
		return -1;
	key_r->len = (size_t)(j->p - key_r->s);
	space(j);
	if (j->p == j->end || *j->p != ':')
		return -1;
	j->p++;
	space(j);
	value_r->s = j->p;
	if (!value(j, NULL))
		return -1;
	value_r->len = (size_t)(j->p - value_r->s);
	return 1;
}

bool jtext_clean(struct str text, struct buf *out)
{
	struct jtext j = {text.s, text.s + text.len, JTEXT_CLEAN, false};
	return value(&j, out) && j.p == j.end;
}

void jtext_decode(struct str s, struct buf *out)
{
	const char *p = s.s + 1, *end = s.s + s.len - 1;
	while (p < end) {
		const char *run = p;
		p = memchr(p, '\\', (size_t)(end - p));
		if (!p)
			p = end;
		buf_add(out, run, (size_t)(p - run));
		if (end - p < 2)
			break;
		int u = unit(p, end);
		if (u < 0) {
			static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
			const char *at = strchr(from, p[1]);
			buf_addc(out, at && *at ? to[at - from] : p[1]);
			p += 2;
			continue;
		}
		p += 6;
		uint32_t c = (uint32_t)u;
		int low = is_high(u) ? unit(p, end) : -1;
		if (is_low(low)) {
			c = 0x10000 + ((c - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
			p += 6;
		}
		char utf8[4];
		size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
		for (size_t i = n - 1; i; i--, c >>= 6)
			utf8[i] = (char)(0x80 | (c & 0x3f));
		utf8[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xff) | c);
		buf_add(out, utf8, n);
	}
}
