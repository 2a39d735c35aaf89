/* SPDX-License-Identifier: BSD-3-Clause */
/* lib/mboxevent-events.schema.json says in JSON Schema (2020-12) what the catalogue says.
 * usage: test_schema                  the test
 *        test_schema --update FILE    writes it anew: man/update */
#include "../../lib/catalog.h"
#include "../../lib/event.h"
#include "kept.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SCHEMA "lib/mboxevent-events.schema.json"
#define WIDTH  98

static void add_string(struct buf *out, const char *s)
{
	event_json_string(out, (struct str){s, strlen(s)});
}

static void add_pattern(struct buf *out, enum catalog_form form)
{
	const char *pattern = catalog_forms[form].pattern;

	if (form == FORM_TEXT) {
		buf_adds(out, ",\"minLength\":1");
	} else if (pattern) {
		buf_adds(out, ",\"pattern\":");
		add_string(out, pattern);
	}
	if (form == FORM_NAME_URL || form == FORM_MAILBOX_URL || form == FORM_MESSAGE_URL) {
		buf_adds(out, ",\"not\":{\"pattern\":");
		add_string(out, CATALOG_UNOWNED);
		buf_addc(out, '}');
	}
}

static void add_type(struct buf *out, const struct catalog_parameter *p)
{
	const struct catalog_form_row *form = &catalog_forms[p->form];

	switch (p->type) {
	case CATALOG_STRING:
		buf_adds(out, "\"type\":\"string\"");
		if (p->form != FORM_URI && p->form != FORM_NAME)
			add_pattern(out, p->form);
		break;
	case CATALOG_INT:
		buf_addf(out, "\"type\":\"integer\",\"minimum\":%lld", (long long)form->least);
		if (form->most != INT64_MAX)
			buf_addf(out, ",\"maximum\":%lld", (long long)form->most);
		break;
	case CATALOG_STRINGS:
		buf_adds(out, "\"type\":\"array\",\"items\":{\"type\":\"string\"");
		add_pattern(out, p->form);
		buf_addc(out, '}');
		break;
	case CATALOG_STRING_OR_NULL:
		buf_adds(out, "\"type\":[\"string\",\"null\"]");
		add_pattern(out, p->form);
		break;
	case CATALOG_STRING_OR_FALSE:
		buf_adds(out, "\"anyOf\":[{\"type\":\"string\"");
		add_pattern(out, p->form);
		buf_adds(out, "},{\"const\":false}]");
		break;
	case CATALOG_UID_STRINGS:
	case CATALOG_UID_OBJECTS:
		buf_adds(out, "\"type\":\"object\",\"propertyNames\":{\"type\":\"string\"");
		add_pattern(out, p->form);
		buf_addf(out, "},\"additionalProperties\":{\"type\":\"%s\"}",
		         p->type == CATALOG_UID_STRINGS ? "string" : "object");
		break;
	case CATALOG_OBJECT:
		buf_adds(out, "\"type\":\"object\"");
		break;
	}
}

/* The names of a set as an array, over as many lines as it takes. */
static void add_names(struct buf *out, const struct catalog_params *set, const char *indent)
{
	size_t column = WIDTH;
	bool first = true;

	buf_addc(out, '[');
	for (int p = 0; p < CATALOG_N_PARAMS; p++) {
		size_t len = strlen(catalog_parameters[p].name) + 3;

		if (!catalog_has(set, p))
			continue;
		if (!first)
			buf_addc(out, ',');
		if (column + len > WIDTH) {
			buf_addf(out, "\n%s", indent);
			column = strlen(indent);
		}
		add_string(out, catalog_parameters[p].name);
		column += len;
		first = false;
	}
	buf_addc(out, ']');
}

/* All that do not belong to the event. */
static struct catalog_params others(const struct catalog_event *e)
{
	struct catalog_params set = {{0, 0}};

	for (int p = 0; p < CATALOG_N_PARAMS; p++)
		if (!catalog_has(&e->required, p) && !catalog_has(&e->optional, p))
			set.bits[p / 64] |= UINT64_C(1) << (p % 64);
	return set;
}

static void add_event(struct buf *out, const struct catalog_event *e)
{
	struct catalog_params not = others(e);

	buf_addf(out, "{\"if\":{\"properties\":{\"event\":{\"const\":\"%s\"}}},\"then\":{\n",
	         e->name);
	buf_adds(out, "   \"description\":");
	add_string(out, e->help);
	buf_adds(out, ",\n   \"required\":");
	add_names(out, &e->required, "    ");
	buf_adds(out, ",\n   \"propertyNames\":{\"not\":{\"enum\":");
	add_names(out, &not, "    ");
	buf_adds(out, "}}");
	if (e->uri != FORM_ANY) {
		buf_adds(out, ",\n   \"properties\":{\"uri\":{\"type\":\"string\"");
		add_pattern(out, e->uri);
		buf_addc(out, '}');
		if (!strcmp(e->name, "FlagsSet"))
			buf_adds(out, ",\n    \"flagNames\":{\"not\":{\"pattern\":\"(^| )"
			              "\\\\\\\\(Deleted|Seen)( |$)\"}}");
		buf_addc(out, '}');
	}
	if (!strcmp(e->name, "MessageNew"))
		buf_adds(out, ",\n   \"dependentRequired\":{\"messageContent\":[\"uidset\"]}");
	buf_adds(out, "}}");
}

static bool make(const char *section, struct buf *out)
{
	const struct catalog_event *events;
	size_t n = catalog_events(&events);

	(void)section;
	buf_adds(out, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\n"
	              " \"title\":\"mboxevent events\",\n"
	              " \"description\":\"Mail events in their documented form: "
	              "mboxevent-events(7). Members that are not listed are allowed.\",\n"
	              " \"type\":\"object\",\n"
	              " \"required\":[\"event\"],\n"
	              " \"properties\":{");
	for (int p = 0; p < CATALOG_N_PARAMS; p++) {
		const struct catalog_parameter *row = &catalog_parameters[p];

		buf_adds(out, p ? ",\n  " : "\n  ");
		add_string(out, row->name);
		buf_adds(out, ":{\"description\":");
		add_string(out, row->help);
		buf_adds(out, ",\n   ");
		add_type(out, row);
		if (row->form == FORM_NAME) {
			buf_adds(out, ",\"enum\":[");
			for (size_t i = 0; i < n; i++) {
				buf_adds(out, i ? ",\n    " : "\n    ");
				add_string(out, events[i].name);
			}
			buf_addc(out, ']');
		}
		buf_addc(out, '}');
	}
	buf_adds(out, "},\n \"allOf\":[\n"
	              "  {\"if\":{\"required\":[\"uidset\"],\"properties\":{\"uidset\":"
	              "{\"pattern\":\"[,:]\"}}},\n"
	              "   \"then\":{\"properties\":{\"modseq\":false}}}");
	for (size_t i = 0; i < n; i++) {
		buf_adds(out, ",\n  ");
		add_event(out, &events[i]);
	}
	buf_adds(out, "]}\n");
	return true;
}

static void schema_is_current(void **state)
{
	(void)state;
	kept_compare(kept_path(SCHEMA), true, make);
}

/* What it means is tests/e2e/test_schema.py's; here, that it is there for every event. */
static void schema_has_all(void **state)
{
	const struct catalog_event *events;
	json_error_t error;
	json_t *schema = json_load_file(kept_path(SCHEMA), JSON_REJECT_DUPLICATES, &error);

	(void)state;
	if (!schema)
		fail_msg("%s:%d: %s", SCHEMA, error.line, error.text);
	assert_int_equal(json_object_size(json_object_get(schema, "properties")), CATALOG_N_PARAMS);
	assert_int_equal(json_array_size(json_object_get(schema, "allOf")),
	                 catalog_events(&events) + 1);
	json_decref(schema);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(schema_is_current),
	    cmocka_unit_test(schema_has_all),
	};

	if (argc == 3 && !strcmp(argv[1], "--update"))
		return kept_update(argv[2], true, make);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
