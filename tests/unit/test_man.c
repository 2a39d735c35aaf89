/* SPDX-License-Identifier: BSD-3-Clause */
/* man/mboxevent.conf.5 says of every option what its row says: between
 *   .\" BEGIN <table>
 * and .\" END stands exactly what is made here from the rows. Sections of drivers that this build
 * has not are left alone.
 * usage: test_man                  the test (TAP or cmocka's own words)
 *        test_man --update FILE    writes those sections anew: man/update */
#include "../../notifyd/settings.h"
#include "kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE "man/mboxevent.conf.5"

static const char *const kinds[] = {
    [CONF_STRING] = "text", [CONF_PATH] = "path",         [CONF_SWITCH] = "switch",
    [CONF_INT] = "number",  [CONF_DURATION] = "duration", [CONF_SIZE] = "size",
    [CONF_MODE] = "mode",   [CONF_ENUM] = "word",         [CONF_LIST] = "words",
};

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
	kept_text(out, buf_cstr(&text));
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
		kept_text(out, row->help);
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
	const struct sink_driver *d = sink_driver(table, NULL);

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

static void page_is_current(void **state)
{
	(void)state;
	kept_compare(kept_path(PAGE), false, make_section);
}

static void all_have_sections(void **state)
{
	static const char *const tables[] = {"mboxevent", "notifyd", "sinks"};
	const char *path = kept_path(PAGE);
	struct buf page = BUF_INIT;

	(void)state;
	if (!kept_slurp(path, &page))
		fail_msg("can't read %s", path);
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		if (!kept_has(buf_cstr(&page), tables[i]))
			fail_msg("%s has no section for %s", path, tables[i]);
	for (const char *const *type = sink_types; *type; type++) {
		const struct sink_driver *d = sink_driver(*type, NULL);

		if ((!d || d->options->name) && !kept_has(buf_cstr(&page), *type))
			fail_msg("%s has no section for the driver %s", path, *type);
	}
	buf_free(&page);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_have_sections),
	    cmocka_unit_test(page_is_current),
	};

	if (argc == 3 && !strcmp(argv[1], "--update"))
		return kept_update(argv[2], false, make_section);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
