/* SPDX-License-Identifier: BSD-3-Clause */
/* The serialiser, the conversion of native events, the validator and the catalogue say the same
 * of every event and every parameter. */
#include "../../lib/event.h"
#include "../../lib/native.h"
#include "../../notifyd/validate.h"
#include "kept.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define URL "imap://john@example.org@imap.example.org"

static struct validate *validate;
static struct native *native;
static struct event *event;

/* A string of each form, none where the form is of numbers. */
static const char *const strings[CATALOG_N_FORMS] = {
    [FORM_ANY] = "",
    [FORM_TEXT] = "x",
    [FORM_SERVER_URL] = "imap://imap.example.org",
    [FORM_NAME_URL] = URL "/Archive/2024",
    [FORM_MAILBOX_URL] = URL "/Archive/2024;UIDVALIDITY=5",
    [FORM_MESSAGE_URL] = URL "/Archive/2024;UIDVALIDITY=5/;UID=8",
    [FORM_UIDSET] = "8",
    [FORM_FLAGS] = "\\Flagged custom",
    [FORM_TIMESTAMP] = "2015-02-23T14:57:59.736+01:00",
    [FORM_ICALTIME] = "20151119T063000Z",
    [FORM_ADDRESS] = "::1",
    [FORM_UIDVALIDITY] = "5",
    [FORM_REASON] = "new",
};

static bool belongs(const struct catalog_event *e, int p)
{
	return catalog_has(&e->required, p) || catalog_has(&e->optional, p);
}

static struct str name_of(int p)
{
	return (struct str){catalog_parameters[p].name, strlen(catalog_parameters[p].name)};
}

/* Sets a parameter of an event to a value that is right. */
static void set(const struct catalog_event *e, int p)
{
	const struct catalog_parameter *row = &catalog_parameters[p];
	enum catalog_form form = row->form == FORM_URI ? e->uri : row->form;
	const char *s = row->form == FORM_NAME ? e->name : strings[form];

	switch (row->type) {
	case CATALOG_STRING:
	case CATALOG_STRING_OR_NULL:
	case CATALOG_STRING_OR_FALSE:
		if (!s)
			fail_msg("%s has no sample", row->name);
		event_set_string(event, name_of(p), (struct str){s, strlen(s)});
		break;
	case CATALOG_INT:
		event_set_int(event, name_of(p), 1);
		break;
	case CATALOG_STRINGS:
		event_set_raw(event, name_of(p),
		              form == FORM_UIDVALIDITY ? STR("[\"5\",\"8\"]")
		                                       : STR("[\"<1@example.org>\",\"NIL\"]"));
		break;
	case CATALOG_UID_STRINGS:
		event_set_raw(event, name_of(p), STR("{\"8\":\"text\"}"));
		break;
	case CATALOG_UID_OBJECTS:
		event_set_raw(event, name_of(p), STR("{\"8\":{\"To\":[\"john\"]}}"));
		break;
	case CATALOG_OBJECT:
		event_set_raw(event, name_of(p), STR("{\"a\":{\"b\":[1,null]}}"));
		break;
	}
}

static void set_all(const struct catalog_event *e)
{
	event_reset(event);
	for (int p = CATALOG_N_PARAMS - 1; p >= 0; p--)
		if (belongs(e, p))
			set(e, p);
}

static void note(void *ctx, const char *name, const char *parameter, const char *what)
{
	buf_addf(ctx, "%s: %s: %s\n", name ? name : "-", parameter ? parameter : "-", what);
}

/* What the validator says of the event that is set. */
static const char *told(struct buf *text, struct buf *faults)
{
	buf_reset(text);
	buf_reset(faults);
	assert_int_equal(event_write(event, text), 0);
	validate_event(validate, (struct str){text->s, text->len}, true, note, faults);
	return buf_cstr(faults);
}

/* Every event with all its parameters is valid as the serialiser writes it, and passes through the
 * conversion unchanged. */
static void test_all(void **state)
{
	struct buf text = BUF_INIT, faults = BUF_INIT;
	const struct catalog_event *e;
	size_t n = catalog_events(&e);

	(void)state;
	for (; n--; e++) {
		struct record rec = {0};

		set_all(e);
		assert_string_equal(told(&text, &faults), "");
		assert_int_equal(native_convert(native, text.s, text.len, &rec), NATIVE_OK);
		if (rec.json.len != text.len || memcmp(rec.json.s, text.s, text.len) != 0)
			fail_msg("%.*s\nbecomes\n%.*s", (int)text.len, text.s, (int)rec.json.len,
			         rec.json.s);
		assert_int_equal(catalog_groups(rec.event), e->groups);
		assert_string_equal(catalog_group(rec.event),
		                    catalog_group((struct str){e->name, strlen(e->name)}));
		if (e->uri != FORM_ANY && e->uri != FORM_SERVER_URL) {
			assert_int_equal(rec.owner.len, strlen("john@example.org"));
			assert_int_equal(rec.mailbox.len, strlen("Archive/2024"));
		}
	}
	buf_free(&text);
	buf_free(&faults);
}

/* Each parameter left out, of each wrong type, and where it does not belong. */
static void test_each(void **state)
{
	static const struct str values[] = {
	    {"true", 4}, {"{}", 2}, {"[]", 2}, {"null", 4}, {"1.5", 3}, {"1", 1}, {"[[]]", 4},
	};
	struct buf text = BUF_INIT, faults = BUF_INIT;
	const struct catalog_event *e;
	size_t n = catalog_events(&e);

	(void)state;
	for (; n--; e++)
		for (int p = 0; p < CATALOG_N_PARAMS; p++) {
			const char *name = catalog_parameters[p].name;
			char expected[128];

			set_all(e);
			snprintf(expected, sizeof expected, "%s: %s: ", e->name, name);
			if (!belongs(e, p)) {
				set(e, p);
				assert_non_null(strstr(told(&text, &faults), expected));
				continue;
			}
			event_unset(event, name_of(p));
			if (p == PARAM_EVENT)
				assert_string_equal(told(&text, &faults), "-: event: is missing\n");
			else if (catalog_has(&e->required, p))
				assert_non_null(strstr(told(&text, &faults), expected));
			else if (p != PARAM_UIDSET) /* MessageNew has it with content */
				assert_string_equal(told(&text, &faults), "");
			for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
				enum catalog_type type = catalog_parameters[p].type;
				bool object = type == CATALOG_UID_STRINGS ||
				              type == CATALOG_UID_OBJECTS || type == CATALOG_OBJECT;
				bool right = (object && v == 1) ||
				             (type == CATALOG_STRINGS && v == 2) ||
				             (type == CATALOG_STRING_OR_NULL && v == 3) ||
				             (type == CATALOG_INT && v == 5);
				set_all(e);
				event_set_raw(event, name_of(p), values[v]);
				if (p == PARAM_EVENT)
					snprintf(expected, sizeof expected, "-: event: must be");
				told(&text, &faults);
				if (right != !faults.len ||
				    (!right && !strstr(buf_cstr(&faults), expected)))
					fail_msg("%s %s: %s: %s", e->name, name, values[v].s,
					         buf_cstr(&faults));
			}
		}
	buf_free(&text);
	buf_free(&faults);
}

/* Each line of what a real server emitted: its parameters are known, and what it becomes is valid.
 */
static void test_native(void **state)
{
	struct buf file = BUF_INIT, faults = BUF_INIT;
	unsigned n = 0;

	(void)state;
	assert_true(kept_slurp(kept_path("tests/data/cyrus-3.6.1-native.jsonl"), &file));
	buf_cstr(&file);
	for (char *s = file.s, *end; (end = strchr(s, '\n')); s = end + 1, n++) {
		struct record rec = {0};
		json_t *json = json_loadb(s, (size_t)(end - s), 0, NULL), *value;
		const char *key;

		assert_non_null(json);
		json_object_foreach(json, key, value) if (catalog_param(key, strlen(key)) < 0)
		    fail_msg("%s is not in the catalogue", key);
		json_decref(json);
		assert_int_equal(native_convert(native, s, (size_t)(end - s), &rec), NATIVE_OK);
		assert_int_not_equal(catalog_groups(rec.event), GROUP_OTHER);
		validate_event(validate, rec.json, true, note, &faults);
	}
	assert_string_equal(buf_cstr(&faults), "");
	assert_int_equal(n, 55);
	buf_free(&file);
	buf_free(&faults);
}

static int set_up(void **state)
{
	static const char options[] = "virtdomains: userid\nmboxevent_modseq: yes\n";
	char path[] = "/tmp/test_agreement.XXXXXX", *why = NULL;
	int fd = mkstemp(path);
	struct conf *conf = NULL;

	(void)state;
	if (fd < 0)
		return -1;
	if (write(fd, options, sizeof options - 1) == sizeof options - 1)
		conf = conf_read(path, &why);
	close(fd);
	unlink(path);
	if (!conf)
		return -1;
	native = native_new(conf, "imap");
	conf_free(&conf);
	validate = validate_new();
	event = event_new();
	return native && validate && event ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	native_free(&native);
	validate_free(&validate);
	event_free(&event);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all),
	    cmocka_unit_test(test_each),
	    cmocka_unit_test(test_native),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
