/* SPDX-License-Identifier: BSD-3-Clause */
/* man/mboxevent.conf.5 says of every option what its row says: between
 *   .\" BEGIN <table>
 * and .\" END stands exactly what is made here from the rows. Sections of drivers that this build
 * has not are left alone.
 * usage: test_man                  the test (TAP or cmocka's own words)
 *        test_man --update FILE    writes those sections anew: man/update */
#include "../../notifyd/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BEGIN "\n.\\\" BEGIN "
#define END   ".\\\" END\n"
#define WIDTH 76

static const char *const kinds[] = {
    [CONF_STRING] = "text", [CONF_PATH] = "path",         [CONF_SWITCH] = "switch",
    [CONF_INT] = "number",  [CONF_DURATION] = "duration", [CONF_SIZE] = "size",
    [CONF_MODE] = "mode",   [CONF_ENUM] = "word",         [CONF_LIST] = "words",
};

/* As mdoc text: a sentence begins a line, lines are short, nothing in it is a macro. */
static void add_text(struct buf *out, const char *s)
{
	size_t column = 0;

	while (*s) {
		size_t len = strcspn(s, " ");
		bool full = len && s[len - 1] == '.' && s[len] == ' ' && s[len + 1] >= 'A' &&
		            s[len + 1] <= 'Z';

		if (column && column + 1 + len > WIDTH) {
			buf_addc(out, '\n');
			column = 0;
		} else if (column) {
			buf_addc(out, ' ');
		}
		if (!column && (*s == '.' || *s == '\''))
			buf_adds(out, "\\&");
		for (size_t i = 0; i < len; i++)
			if (s[i] == '\\')
				buf_adds(out, "\\e");
			else
				buf_addc(out, s[i]);
		column += len + 1;
		if (full) {
			buf_addc(out, '\n');
			column = 0;
		}
		s += len;
		s += strspn(s, " ");
	}
	if (column)
		buf_addc(out, '\n');
}

/* What the checker would say is allowed; nothing for a text. */
static void add_allowed(struct buf *out, const struct conf_option *row)
{
	struct buf allowed = BUF_INIT, text = BUF_INIT;
	int64_t n;

	if (conf_parse(row, "\001", &n, &allowed) == 0) {
		buf_free(&allowed);
		return;
	}
	buf_adds(&text, "It is ");
	buf_adds(&text, buf_cstr(&allowed));
	if (row->unit && row->type == CONF_INT)
		buf_addf(&text, ", in %s", row->unit);
	else if (row->unit)
		buf_addf(&text, "; a number alone counts in %s", row->unit);
	buf_addc(&text, '.');
	add_text(out, buf_cstr(&text));
	buf_free(&text);
	buf_free(&allowed);
}

/* A word as an argument of a macro. */
static void add_argument(struct buf *out, const char *s)
{
	for (; *s; s++)
		if (*s == '\\')
			buf_adds(out, "\\e");
		else if (*s == '"')
			buf_adds(out, "\\(dq");
		else
			buf_addc(out, *s);
}

static void add_rows(struct buf *out, const char *prefix, const struct conf_option *row)
{
	for (; row->name; row++) {
		if (*prefix)
			buf_addf(out, ".It Ic notifyd_ Ns Ar sink Ns Ic _%s : Ar %s\n", row->name,
			         kinds[row->type]);
		else
			buf_addf(out, ".It Ic %s : Ar %s\n", row->name, kinds[row->type]);
		add_text(out, row->help);
		add_allowed(out, row);
		if (row->def) {
			buf_adds(out, "The default is\n.Ql ");
			add_argument(out, row->def);
			buf_adds(out, " .\n");
		} else {
			buf_adds(out, "There is no default.\n");
		}
	}
}

/* What belongs behind ".\" BEGIN <table>". False for a table that this build has not. */
static bool make_section(const char *table, struct buf *out)
{
	const struct sink_driver *d = sink_driver(table);

	if (!strcmp(table, "mboxevent"))
		add_rows(out, "", mboxevent_options);
	else if (!strcmp(table, "notifyd"))
		add_rows(out, "", notifyd_options);
	else if (!strcmp(table, "sinks"))
		add_rows(out, "notifyd_", sink_options);
	else if (d)
		add_rows(out, "notifyd_", d->options);
	else
		return false;
	return true;
}

static bool slurp(const char *path, struct buf *b)
{
	char block[4096];
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		return false;
	while ((n = fread(block, 1, sizeof(block), f)))
		buf_add(b, block, n);
	fclose(f);
	return true;
}

/* The page with its sections made anew. */
static void renew(const char *page, struct buf *out)
{
	const char *begin, *end;

	while ((begin = strstr(page, BEGIN))) {
		const char *name = begin + strlen(BEGIN), *rows = strchr(name, '\n');
		char table[64];

		end = rows ? strstr(rows, END) : NULL;
		if (!end)
			break;
		rows++;
		snprintf(table, sizeof(table), "%.*s", (int)(rows - 1 - name), name);
		buf_add(out, page, (size_t)(rows - page));
		if (!make_section(table, out))
			buf_add(out, rows, (size_t)(end - rows));
		page = end;
	}
	buf_adds(out, page);
}

static bool has_section(const char *page, const char *table)
{
	char line[128];

	snprintf(line, sizeof(line), BEGIN "%s\n", table);
	return strstr(page, line);
}

static char path[4096];

/* Names the first line that differs. */
static void page_is_current(void **state)
{
	struct buf page = BUF_INIT, made = BUF_INIT;
	const char *a, *b;
	int line = 1;

	(void)state;
	if (!slurp(path, &page))
		fail_msg("can't read %s", path);
	renew(buf_cstr(&page), &made);
	a = buf_cstr(&page);
	b = buf_cstr(&made);
	for (; *a && *a == *b; a++, b++)
		line += *a == '\n';
	if (*a != *b)
		fail_msg("%s:%d: the rows of the options say otherwise; run man/update", path,
		         line);
	buf_free(&page);
	buf_free(&made);
}

static void all_have_sections(void **state)
{
	static const char *const tables[] = {"mboxevent", "notifyd", "sinks"};
	struct buf page = BUF_INIT;

	(void)state;
	if (!slurp(path, &page))
		fail_msg("can't read %s", path);
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		if (!has_section(buf_cstr(&page), tables[i]))
			fail_msg("%s has no section for %s", path, tables[i]);
	for (const struct sink_driver *const *d = sink_drivers; *d; d++)
		if ((*d)->options->name && !has_section(buf_cstr(&page), (*d)->name))
			fail_msg("%s has no section for the driver %s", path, (*d)->name);
	for (const char *const *off = sink_drivers_off; *off; off++)
		if (!has_section(buf_cstr(&page), *off))
			fail_msg("%s has no section for the driver %s", path, *off);
	buf_free(&page);
}

static int update(const char *file)
{
	struct buf page = BUF_INIT, made = BUF_INIT;
	FILE *f;
	int r = 1;

	if (!slurp(file, &page)) {
		perror(file);
		return 1;
	}
	renew(buf_cstr(&page), &made);
	f = fopen(file, "w");
	if (!f || fwrite(made.s, 1, made.len, f) != made.len)
		perror(file);
	else
		r = 0;
	if (f && fclose(f)) {
		perror(file);
		r = 1;
	}
	buf_free(&page);
	buf_free(&made);
	return r;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_have_sections),
	    cmocka_unit_test(page_is_current),
	};
	const char *top = getenv("srcdir");

	if (argc == 3 && !strcmp(argv[1], "--update"))
		return update(argv[2]);
	snprintf(path, sizeof(path), "%s/man/mboxevent.conf.5", top ? top : ".");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
