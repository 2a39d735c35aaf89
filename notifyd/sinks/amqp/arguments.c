/* SPDX-License-Identifier: BSD-3-Clause */
#include "arguments.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHORTSTR 255

__attribute__((format(printf, 2, 3))) static int wrong(char **why_r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(why_r, fmt, ap) < 0)
		*why_r = NULL;
	va_end(ap);
	return -1;
}

static bool integer(const char *s, int64_t *n_r)
{
	const char *digits = s + (*s == '-');
	char *end;
	if (!*digits || strspn(digits, "0123456789") < strlen(digits))
		return false;
	errno = 0;
	*n_r = strtoll(s, &end, 10);
	return !errno;
}

static amqp_field_value_t value(char *s)
{
	size_t len = strlen(s);
	amqp_field_value_t v = {0};
	int64_t n;

	if (!strcmp(s, "true") || !strcmp(s, "false")) {
		v.kind = AMQP_FIELD_KIND_BOOLEAN;
		v.value.boolean = *s == 't';
	} else if (integer(s, &n)) {
		v.kind = AMQP_FIELD_KIND_I64;
		v.value.i64 = n;
	} else {
		if (len >= 2 && *s == '"' && s[len - 1] == '"') {
			s[len - 1] = '\0';
			s++;
		}
		v.kind = AMQP_FIELD_KIND_UTF8;
		v.value.bytes = amqp_cstring_bytes(s);
	}
	return v;
}

int arguments_parse(struct arguments *a, const char *words, char **why_r)
{
	char *save;
	*why_r = NULL;
	*a = (struct arguments){.text = strdup(words ? words : "")};
	if (!a->text)
		return wrong(why_r, "out of memory");
	for (char *w = strtok_r(a->text, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		char *equals = strchr(w, '=');
		if (!equals || equals == w || !equals[1])
			return wrong(why_r, "'%.80s': an argument is written name=value", w);
		*equals = '\0';
		if (strlen(w) > SHORTSTR)
			return wrong(why_r, "'%.80s...': a name has at most %d bytes", w, SHORTSTR);
		if (arguments_have(a, w))
			return wrong(why_r, "'%.80s' stands there twice", w);
		if (a->n == ARGUMENTS_MAX - 1)
			return wrong(why_r, "more than %d arguments", ARGUMENTS_MAX - 1);
		a->entries[a->n++] = (amqp_table_entry_t){amqp_cstring_bytes(w), value(equals + 1)};
	}
	return 0;
}

void arguments_free(struct arguments *a)
{
	free(a->text);
	*a = (struct arguments){0};
}

bool arguments_have(const struct arguments *a, const char *name)
{
	for (int i = 0; i < a->n; i++)
		if (a->entries[i].key.len == strlen(name) &&
		    !memcmp(a->entries[i].key.bytes, name, strlen(name)))
			return true;
	return false;
}

void arguments_add(struct arguments *a, const char *name, const char *text)
{
	a->entries[a->n++] = (amqp_table_entry_t){
	    .key = amqp_cstring_bytes(name),
	    .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(text)}}};
}

amqp_table_t arguments_table(struct arguments *a)
{
	return (amqp_table_t){a->n, a->entries};
}
