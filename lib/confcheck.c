/* SPDX-License-Identifier: BSD-3-Clause */
/* Options as rows of a table: their values by type, and the check of what an admin wrote. */
#include "conf.h"
#include "nearest.h"

#include <stdio.h>
#include <string.h>

#define KEY_MAX 256

struct unit {
	const char *name;
	int64_t factor;
};

/* Largest first: numbers are shown in the largest unit that divides them. */
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};
static const struct unit size_units[] = {
    {"T", INT64_C(1) << 40},
    {"G", INT64_C(1) << 30},
    {"M", INT64_C(1) << 20},
    {"K", INT64_C(1) << 10},
    {NULL, 0},
};

/* Digits at *s. False when there are none or too many. */
static bool digits(const char **s, int64_t *n_r)
{
	const char *p = *s;
	int64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
			return false;
	if (p == *s)
		return false;
	*s = p;
	*n_r = n;
	return true;
}

/* The unit that the letters at *s are, whole. */
static const struct unit *unit_at(const struct unit *units, const char **s, bool any_case)
{
	size_t len = 0;

	while ((s[0][len] | 0x20) >= 'a' && (s[0][len] | 0x20) <= 'z')
		len++;
	for (; units->name; units++) {
		size_t n = strlen(units->name);

		if (n != len)
			continue;
		if (strncmp(*s, units->name, n) &&
		    !(any_case && n == 1 && (s[0][0] ^ 0x20) == units->name[0]))
			continue;
		*s += n;
		return units;
	}
	return NULL;
}

/* 90s, 1h30m; a number alone counts in `bare`. */
static bool duration(const char *s, const char *bare, int64_t *n_r)
{
	int64_t total = 0;

	do {
		const struct unit *u;
		int64_t n;

		if (!digits(&s, &n))
			return false;
		if (!*s && !n)
			continue; /* 0 is 0 in any unit */
		if (!*s && !bare)
			return false;
		u = unit_at(duration_units, *s ? &s : &bare, false);
		if (!u || __builtin_mul_overflow(n, u->factor, &n) ||
		    __builtin_add_overflow(total, n, &total))
			return false;
	} while (*s);
	*n_r = total;
	return true;
}

static bool size(const char *s, int64_t *n_r)
{
	const struct unit *u;
	int64_t n;

	if (!digits(&s, &n))
		return false;
	if (*s) {
		u = unit_at(size_units, &s, true);
		if (!u || *s || __builtin_mul_overflow(n, u->factor, &n))
			return false;
	}
	*n_r = n;
	return true;
}

static bool integer(const char *s, int64_t *n_r)
{
	bool minus = *s == '-';

	s += minus;
	if (!digits(&s, n_r) || *s)
		return false;
	if (minus)
		*n_r = -*n_r;
	return true;
}

static bool octal(const char *s, int64_t *n_r)
{
	int64_t n = 0;

	for (; *s >= '0' && *s <= '7' && n <= 07777; s++)
		n = n * 8 + (*s - '0');
	*n_r = n;
	return !*s && n <= 07777;
}

/* Which of "a|b|c" it is, or -1. */
static int word(const char *words, const char *value)
{
	size_t len = strlen(value);

	for (int i = 0; words; i++) {
		size_t n = strcspn(words, "|");

		if (n == len && !memcmp(words, value, n))
			return i;
		words = words[n] ? words + n + 1 : NULL;
	}
	return -1;
}

static void add_words(struct buf *out, const char *words)
{
	for (;;) {
		size_t n = strcspn(words, "|");

		buf_add(out, words, n);
		words += n;
		if (!*words++)
			return;
		buf_adds(out, strchr(words, '|') ? ", " : " or ");
	}
}

static void add_number(struct buf *out, const struct conf_option *row, int64_t n)
{
	const struct unit *u = row->type == CONF_DURATION ? duration_units : size_units;

	if (row->type == CONF_MODE) {
		buf_addf(out, "%04o", (unsigned)n);
		return;
	}
	if (n && row->type != CONF_INT) {
		for (; u->name; u++) {
			if (n % u->factor)
				continue;
			buf_addf(out, "%lld%s", (long long)(n / u->factor), u->name);
			return;
		}
	}
	buf_addi(out, n);
}

static void allowed_values(const struct conf_option *row, struct buf *out)
{
	static const char *const kinds[] = {
	    [CONF_STRING] = "a text",
	    [CONF_PATH] = "an absolute path",
	    [CONF_SWITCH] = "yes or no",
	    [CONF_INT] = "a number",
	    [CONF_DURATION] = "a duration",
	    [CONF_SIZE] = "a size",
	    [CONF_MODE] = "an octal mode",
	    [CONF_ENUM] = "",
	    [CONF_LIST] = "words separated by spaces",
	};
	static const char *const samples[] = {
	    [CONF_DURATION] = "10s",
	    [CONF_SIZE] = "64M",
	    [CONF_MODE] = "0660",
	    [CONF_LIST] = NULL,
	};

	buf_adds(out, kinds[row->type]);
	if (row->type == CONF_ENUM) {
		add_words(out, row->words);
		return;
	}
	if (row->min || row->max) {
		buf_adds(out, " from ");
		add_number(out, row, row->min);
		buf_adds(out, " to ");
		add_number(out, row, row->max);
	} else if (samples[row->type]) {
		buf_addf(out, " such as %s", samples[row->type]);
	}
	if (row->words) {
		buf_adds(out, ", or ");
		add_words(out, row->words);
	}
}

static bool parse(const struct conf_option *row, const char *value, int64_t *n_r)
{
	int64_t n = 0;
	int i = row->words ? word(row->words, value) : -1;
	bool ok = true;

	switch (row->type) {
	case CONF_STRING:
	case CONF_LIST:
		return true;
	case CONF_PATH:
		return value[0] == '/';
	case CONF_SWITCH:
		i = word("no|yes|off|on|0|1|f|t|false|true|n|y", value);
		*n_r = i & 1;
		return i >= 0;
	case CONF_ENUM:
		*n_r = i;
		return i >= 0;
	case CONF_INT:
		ok = integer(value, &n);
		break;
	case CONF_DURATION:
		ok = i >= 0 || duration(value, row->unit, &n);
		break;
	case CONF_SIZE:
		ok = i >= 0 || size(value, &n);
		break;
	case CONF_MODE:
		ok = octal(value, &n);
		break;
	}
	if (i >= 0 && (row->type == CONF_DURATION || row->type == CONF_SIZE))
		n = -1 - i;
	else if (!ok || ((row->min || row->max) && (n < row->min || n > row->max)))
		return false;
	*n_r = n;
	return true;
}

int conf_parse(const struct conf_option *row, const char *value, int64_t *n_r, struct buf *allowed)
{
	int64_t n = 0;

	if (!parse(row, value, &n)) {
		if (allowed)
			allowed_values(row, allowed);
		return -1;
	}
	if (row->type != CONF_STRING && row->type != CONF_PATH && row->type != CONF_LIST)
		*n_r = n;
	return 0;
}

/* --- a scope --- */

static const struct conf_option *find_row(const struct conf_scope *s, const char *name)
{
	for (const struct conf_option *const *t = s->tables; *t; t++)
		for (const struct conf_option *row = *t; row->name; row++)
			if (!strcmp(row->name, name))
				return row;
	return NULL;
}

static const char *set_value(const struct conf_scope *s, const char *name)
{
	char key[KEY_MAX];

	if (snprintf(key, sizeof(key), "%s%s", s->prefix, name) >= (int)sizeof(key))
		return NULL;
	return conf_get(s->conf, s->service, key);
}

/* The value as written, or the default; *n_r its number. */
static const char *value_of(const struct conf_scope *s, const char *name, int64_t *n_r)
{
	const struct conf_option *row = find_row(s, name);
	const char *value;

	*n_r = 0;
	if (!row)
		return NULL;
	value = set_value(s, name);
	if (value && parse(row, value, n_r))
		return value;
	*n_r = 0;
	if (row->def)
		parse(row, row->def, n_r);
	return row->def;
}

const char *conf_str(const struct conf_scope *s, const char *name)
{
	int64_t n;

	return value_of(s, name, &n);
}

int64_t conf_num(const struct conf_scope *s, const char *name)
{
	int64_t n;

	value_of(s, name, &n);
	return n;
}

bool conf_isset(const struct conf_scope *s, const char *name)
{
	return find_row(s, name) && set_value(s, name);
}

/* --- the check --- */

/* A value as part of an error line: short, and no control characters. */
static void add_quoted(struct buf *out, const char *value)
{
	size_t n = 0;

	buf_addc(out, '\'');
	for (; *value && n < 60; value++, n++)
		buf_addc(out, (unsigned char)*value < ' ' || *value == 0x7f ? '?' : *value);
	buf_adds(out, *value ? "...'" : "'");
}

/* Where the family begins in a key: at once, or behind a service's name. */
static const char *in_family(const char *key, const char *family)
{
	size_t len = strlen(family);

	for (const char *p = key; (p = strstr(p, family)); p += len)
		if (p == key || p[-1] == '_')
			return p;
	return NULL;
}

/* Adds what is wrong with the entry, after "file:line: key: ". False when nothing is. The first
 * `shared` bytes of the name are the family's: they make no name near. */
static bool check_entry(const struct conf_scope *s, const char *name, size_t shared,
                        const char *value, struct buf *out)
{
	const struct conf_option *row = find_row(s, name);
	struct nearest near;
	int64_t n;

	if (row && !conf_parse(row, value, &n, NULL))
		return false;
	if (row) {
		add_quoted(out, value);
		buf_adds(out, ": must be ");
		conf_parse(row, value, &n, out);
		return true;
	}
	buf_adds(out, "unknown option");
	nearest_start(&near, name + shared, strlen(name + shared));
	for (const struct conf_option *const *t = s->tables; *t; t++)
		for (row = *t; row->name; row++)
			if (!strncmp(row->name, name, shared))
				nearest_offer(&near, row->name + shared);
	if (near.best)
		buf_addf(out, "; nearest is %s%.*s%s", s->prefix, (int)shared, name, near.best);
	return true;
}

int conf_check(const struct conf_scope *s, const char *family,
               bool (*skip)(void *ctx, const char *key), void (*fn)(void *ctx, const char *error),
               void *ctx)
{
	const struct conf_entry *e;
	size_t n = conf_entries(s->conf, &e), prefix = strlen(s->prefix);
	size_t shared = strlen(family) > prefix ? strlen(family) - prefix : 0;
	struct buf out = BUF_INIT;
	int errors = 0;

	for (; n; n--, e++) {
		const char *key = in_family(e->key, family);

		if (!key || strncmp(key, s->prefix, prefix) || (skip && skip(ctx, e->key)))
			continue;
		buf_reset(&out);
		buf_addf(&out, "%s:%d: %.80s: ", e->file, e->line, e->key);
		if (!check_entry(s, key + prefix, shared, e->value, &out))
			continue;
		errors++;
		fn(ctx, out.failed ? "memory is short" : buf_cstr(&out));
	}
	buf_free(&out);
	return errors;
}
