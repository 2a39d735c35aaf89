/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/data/invalid-events has a line for each fault: who can tell (schema: the JSON Schema too;
 * exact: only the exact spelling is wrong), what is told, the event; tabs between. */
#include "../../notifyd/validate.h"
#include "kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct validate *validate;

static void note(void *ctx, const char *event, const char *parameter, const char *what)
{
	struct buf *told = ctx;

	if (told->len)
		buf_addc(told, '|');
	buf_addf(told, "%s%s%s%s%s", event ? event : "", event ? ": " : "",
	         parameter ? parameter : "", parameter ? ": " : "", what);
}

static void expect(const char *text, size_t len, bool exact, const char *expected)
{
	struct buf told = BUF_INIT;
	unsigned n = validate_event(validate, (struct str){text, len}, exact, note, &told);

	if (!strcmp(expected, "column")) /* the rest is the JSON library's */
		assert_memory_equal(buf_cstr(&told), "column ", 7);
	else
		assert_string_equal(buf_cstr(&told), expected);
	assert_int_equal(n > 0, *expected != '\0');
	buf_free(&told);
}

/* Calls fn for each line, without its end; their number. */
static unsigned each_line(const char *name, void (*fn)(unsigned n, char *line))
{
	struct buf file = BUF_INIT;
	unsigned n = 0;

	if (!kept_slurp(kept_path(name), &file))
		fail_msg("can't read %s", name);
	buf_cstr(&file);
	for (char *s = file.s, *end; (end = strchr(s, '\n')); s = end + 1) {
		*end = '\0';
		fn(++n, s);
	}
	buf_free(&file);
	return n;
}

static void valid_line(unsigned n, char *line)
{
	if (n == 22) /* placeholders */
		expect(line, strlen(line), true,
		       "ApplePushService: apsVersion: must be a whole number, not a string|"
		       "ApplePushService: mailboxes: must be an array of strings, not a string");
	else
		expect(line, strlen(line), true, "");
}

static void converted_line(unsigned n, char *line)
{
	(void)n;
	if (strcmp(line, "DROP") != 0)
		expect(line, strlen(line), true, "");
}

static void test_documented(void **state)
{
	(void)state;
	assert_int_equal(each_line("tests/data/documented-events.jsonl", valid_line), 22);
	assert_int_equal(each_line("tests/data/cyrus-3.6.1-documented.jsonl", converted_line), 55);
}

static void broken_line(unsigned n, char *line)
{
	char *expected = strchr(line, '\t') + 1, *text = strchr(expected, '\t') + 1;

	text[-1] = '\0';
	print_message("%u: %s\n", n, expected);
	expect(text, strlen(text), true, expected);
	expect(text, strlen(text), false, strncmp(line, "exact", 5) == 0 ? "" : expected);
}

static void test_broken(void **state)
{
	(void)state;
	assert_true(each_line("tests/data/invalid-events", broken_line) > 60);
}

/* Whatever is wrong with a line, and wherever it was cut, it is told and nothing worse. */
static void cut_line(unsigned n, char *line)
{
	size_t len = strlen(line);

	(void)n;
	for (size_t i = 0; i < len; i += 7) {
		struct buf told = BUF_INIT;
		char *cut = malloc(i + 1); /* its end is the heap's */

		memcpy(cut, line, i);
		assert_true(validate_event(validate, (struct str){cut, i}, true, note, &told) > 0);
		free(cut);
		buf_free(&told);
	}
}

static void test_cut(void **state)
{
	(void)state;
	each_line("tests/data/documented-events.jsonl", cut_line);
}

/* Text from the event is shown cut and escaped. */
static void test_shown(void **state)
{
	static const char head[] = "{\"event\":\"Login\\n\\u0000", tail[] = "\"}";
	struct buf text = BUF_INIT, told = BUF_INIT;

	(void)state;
	buf_adds(&text, head);
	for (int i = 0; i < 100000; i++)
		buf_adds(&text, "\\u00fc");
	buf_adds(&text, tail);
	validate_event(validate, (struct str){text.s, text.len}, true, note, &told);
	assert_memory_equal(buf_cstr(&told), "Login\\n\\u0000\\u00fc\\u00fc", 25);
	assert_true(told.len < 700);
	buf_reset(&told);
	buf_reset(&text);
	buf_adds(&text, "{\"event\":\"x");
	for (int i = 0; i < 1000; i++)
		buf_adds(&text, "\\u00fc");
	buf_adds(&text, tail);
	validate_event(validate, (struct str){text.s, text.len}, true, note, &told);
	assert_true(told.len < 700);
	assert_non_null(strstr(buf_cstr(&told), "\\u00fc...: event: is not"));
	for (size_t i = 0; i < told.len; i++)
		assert_in_range(told.s[i], 0x20, 0x7e);
	buf_free(&text);
	buf_free(&told);
}

static int set_up(void **state)
{
	(void)state;
	return (validate = validate_new()) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	validate_free(&validate);
	validate_free(&validate);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_documented),
	    cmocka_unit_test(test_broken),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_shown),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
