/* SPDX-License-Identifier: BSD-3-Clause */
/* man/mboxevent-events.7 lists the events and parameters that the catalogue has.
 * usage: test_events_page                  the test
 *        test_events_page --update FILE    writes its lists anew: man/update */
#include "../../lib/catalog.h"
#include "kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PAGE  "man/mboxevent-events.7"
#define WIDTH 76

/* What every event with a uri may have is told once, before the list. */
static struct catalog_params common(void)
{
	const struct catalog_event *events;
	size_t n = catalog_events(&events);
	struct catalog_params set = {{UINT64_MAX, UINT64_MAX}};

	for (size_t i = 0; i < n; i++)
		for (int w = 0; w < 2 && events[i].uri != FORM_ANY; w++)
			set.bits[w] &= events[i].required.bits[w] | events[i].optional.bits[w];
	return set;
}

/* A list of names with commas, short lines, ended by a full stop. */
static void add_names(struct buf *out, const struct catalog_params *set,
                      const struct catalog_params *but)
{
	size_t column = 0;
	bool first = true;

	for (int p = 0; p < CATALOG_N_PARAMS; p++) {
		size_t len = strlen(catalog_parameters[p].name);

		if (!catalog_has(set, p) || (but && catalog_has(but, p)))
			continue;
		if (!first)
			buf_adds(out, " ,");
		if (first || column + len + 3 > WIDTH) {
			buf_adds(out, first ? ".Li" : "\n.Li");
			column = 3;
		}
		buf_addf(out, " %s", catalog_parameters[p].name);
		column += len + 3;
		first = false;
	}
	if (!first)
		buf_adds(out, " .\n");
}

static bool any(const struct catalog_params *set, const struct catalog_params *but)
{
	return (set->bits[0] & ~(but ? but->bits[0] : 0)) ||
	       (set->bits[1] & ~(but ? but->bits[1] : 0));
}

static void add_groups(struct buf *out, const struct catalog_event *e)
{
	static const char *const all[] = {"message",      "flags", "mailbox",  "access",
	                                  "subscription", "quota", "calendar", "applepushservice",
	                                  "jmap",         "push"};
	bool first = true;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (!(e->groups & catalog_group_bit(all[i], strlen(all[i]))))
			continue;
		buf_addf(out, "%s%s", first ? "" : ", ", all[i]);
		first = false;
	}
}

static void add_sentence(struct buf *out, const char *phrase)
{
	struct buf text = BUF_INIT;

	buf_adds(&text, phrase);
	buf_addc(&text, '.');
	if (buf_cstr(&text)[0] >= 'a' && text.s[0] <= 'z')
		text.s[0] = (char)(text.s[0] - 'a' + 'A');
	kept_text(out, buf_cstr(&text));
	buf_free(&text);
}

static void add_events(struct buf *out)
{
	const struct catalog_event *events;
	size_t n = catalog_events(&events);
	struct catalog_params shared = common();

	for (size_t i = 0; i < n; i++) {
		const struct catalog_event *e = &events[i];
		const struct catalog_params *but = e->uri == FORM_ANY ? NULL : &shared;

		buf_addf(out, ".It Sy %s No (", e->name);
		add_groups(out, e);
		buf_addf(out, "; %s)\n", e->source);
		add_sentence(out, e->help);
		buf_adds(out, "Always has\n");
		add_names(out, &e->required, NULL);
		if (any(&e->optional, but)) {
			buf_adds(out, "May have\n");
			add_names(out, &e->optional, but);
		}
	}
}

static const char *const types[] = {
    [CATALOG_STRING] = "string",
    [CATALOG_INT] = "number",
    [CATALOG_STRINGS] = "array of strings",
    [CATALOG_STRING_OR_NULL] = "string or null",
    [CATALOG_STRING_OR_FALSE] = "string or false",
    [CATALOG_UID_STRINGS] = "object: UID to string",
    [CATALOG_UID_OBJECTS] = "object: UID to object",
    [CATALOG_OBJECT] = "object",
};

/* Whether event_extra_params decides on it in some event. */
static bool is_switched(int p)
{
	const struct catalog_event *events;
	size_t n = catalog_events(&events);

	for (size_t i = 0; i < n; i++)
		if (catalog_has(&events[i].switched, p))
			return true;
	return false;
}

/* Whether a form says more than the type and the phrase. */
static bool tells(enum catalog_form form)
{
	return form == FORM_UID || form == FORM_PORT || form == FORM_MAILBOX_URL ||
	       form == FORM_UIDSET || form == FORM_TIMESTAMP || form == FORM_ICALTIME ||
	       form == FORM_ADDRESS;
}

static void add_parameters(struct buf *out)
{
	for (int p = 0; p < CATALOG_N_PARAMS; p++) {
		const struct catalog_parameter *row = &catalog_parameters[p];

		buf_addf(out, ".It Sy %s No (%s; %s)\n", row->name, types[row->type], row->source);
		add_sentence(out, row->help);
		if (tells(row->form)) {
			struct buf text = BUF_INIT;

			buf_addf(&text, "It is %s.", catalog_forms[row->form].words);
			kept_text(out, buf_cstr(&text));
			buf_free(&text);
		}
		if (is_switched(p))
			buf_addf(out, "Switched by\n.Cm %s .\n", row->extra);
	}
}

static bool make(const char *section, struct buf *out)
{
	struct catalog_params shared = common();

	if (!strcmp(section, "common"))
		add_names(out, &shared, NULL);
	else if (!strcmp(section, "events"))
		add_events(out);
	else if (!strcmp(section, "parameters"))
		add_parameters(out);
	else
		return false;
	return true;
}

static void page_is_current(void **state)
{
	(void)state;
	kept_compare(kept_path(PAGE), false, make);
}

static void all_have_sections(void **state)
{
	static const char *const sections[] = {"common", "events", "parameters"};
	struct buf page = BUF_INIT;

	(void)state;
	if (!kept_slurp(kept_path(PAGE), &page))
		fail_msg("can't read %s", PAGE);
	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++)
		if (!kept_has(buf_cstr(&page), sections[i]))
			fail_msg("%s has no section %s", PAGE, sections[i]);
	buf_free(&page);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_have_sections),
	    cmocka_unit_test(page_is_current),
	};

	if (argc == 3 && !strcmp(argv[1], "--update"))
		return kept_update(argv[2], false, make);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
