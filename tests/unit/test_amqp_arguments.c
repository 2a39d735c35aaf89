/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../notifyd/sinks/amqp/arguments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* As "name=kind:value ". */
static void print(struct arguments *a, char *to, size_t size)
{
	amqp_table_t t = arguments_table(a);
	*to = '\0';
	for (int i = 0; i < t.num_entries; i++) {
		const amqp_table_entry_t *e = &t.entries[i];
		size_t n = strlen(to);
		n += (size_t)snprintf(to + n, size - n, "%.*s=%c:", (int)e->key.len,
		                      (char *)e->key.bytes, e->value.kind);
		if (e->value.kind == AMQP_FIELD_KIND_I64)
			snprintf(to + n, size - n, "%lld ", (long long)e->value.value.i64);
		else if (e->value.kind == AMQP_FIELD_KIND_BOOLEAN)
			snprintf(to + n, size - n, "%d ", e->value.value.boolean);
		else
			snprintf(to + n, size - n, "%.*s ", (int)e->value.value.bytes.len,
			         (char *)e->value.value.bytes.bytes);
	}
}

static void values(void **state)
{
	static const struct {
		const char *words, *want;
	} cases[] = {
	    {NULL, ""},
	    {"", ""},
	    {" \t ", ""},
	    {"x-max-length=1000 x-overflow=reject-publish",
	     "x-max-length=l:1000 x-overflow=S:reject-publish "},
	    {"x-single-active-consumer=true b=false", "x-single-active-consumer=t:1 b=t:0 "},
	    {"n=-5 z=0", "n=l:-5 z=l:0 "},
	    {"big=9223372036854775807", "big=l:9223372036854775807 "},
	    {"huge=9223372036854775808", "huge=S:9223372036854775808 "},
	    {"x-max-age=7D", "x-max-age=S:7D "},
	    {"a=\"1000\" b=\"true\" c=\"\"", "a=S:1000 b=S:true c=S: "},
	    {"a=\" b=x=y", "a=S:\" b=S:x=y "},
	    {"m=- p=+1 t=True", "m=S:- p=S:+1 t=S:True "},
	};
	struct arguments a;
	char got[256], *why;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(arguments_parse(&a, cases[i].words, &why), 0);
		assert_null(why);
		print(&a, got, sizeof got);
		assert_string_equal(got, cases[i].want);
		arguments_free(&a);
		arguments_free(&a);
	}
}

static void more(void **state)
{
	struct arguments a;
	char got[256], *why;
	(void)state;
	assert_int_equal(arguments_parse(&a, "x-max-age=7D", &why), 0);
	assert_true(arguments_have(&a, "x-max-age"));
	assert_false(arguments_have(&a, "x-max"));
	assert_false(arguments_have(&a, "x-max-age7"));
	arguments_add(&a, "alternate-exchange", "other");
	print(&a, got, sizeof got);
	assert_string_equal(got, "x-max-age=S:7D alternate-exchange=S:other ");
	arguments_free(&a);
}

static void errors(void **state)
{
	struct arguments a;
	char words[2048] = "", *why;
	static const struct {
		const char *words, *error;
	} cases[] = {
	    {"x-max-length", "'x-max-length': an argument is written name=value"},
	    {"x-max-length=", "'x-max-length=': an argument is written name=value"},
	    {"=5", "'=5': an argument is written name=value"},
	    {"a=1 b = 2", "'b': an argument is written name=value"},
	    {"a=1 a=2", "'a' stands there twice"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(arguments_parse(&a, cases[i].words, &why), -1);
		assert_string_equal(why, cases[i].error);
		free(why);
		arguments_free(&a);
	}
	for (int n = 0; n < ARGUMENTS_MAX; n++) {
		assert_int_equal(arguments_parse(&a, words, &why), 0);
		assert_int_equal(a.n, n);
		arguments_free(&a);
		snprintf(words + strlen(words), 16, " a%d=1", n);
	}
	assert_int_equal(arguments_parse(&a, words, &why), -1);
	assert_string_equal(why, "more than 31 arguments");
	free(why);
	arguments_free(&a);
	memset(words, 'n', 256);
	strcpy(words + 256, "=1");
	assert_int_equal(arguments_parse(&a, words, &why), -1);
	assert_non_null(strstr(why, "at most 255 bytes"));
	free(why);
	arguments_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values),
	    cmocka_unit_test(more),
	    cmocka_unit_test(errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
