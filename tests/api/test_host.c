/* SPDX-License-Identifier: BSD-3-Clause */
/* A mail server that loads the library with dlopen(3), knows nothing but mbev.h, and emits every
 * event of the catalogue: with what it must have, and with all that it may have. */
#include "api_fixture.h"

#include "../../lib/catalog.h"
#include "../../notifyd/validate.h"

#include <dlfcn.h>

/* X(function) */
/* clang-format off */
#define CALLS(X) \
	X(mbev_abi) X(mbev_strerror) X(mbev_open) X(mbev_close) X(mbev_new) X(mbev_emit) \
	X(mbev_set_string) X(mbev_set_int) X(mbev_set_strings) X(mbev_set_json) \
	X(mbev_set_mailbox) X(mbev_set_old_mailbox) X(mbev_add_message) X(mbev_add_old_uid) \
	X(mbev_add_flags) X(mbev_set_content) X(mbev_add_header) X(mbev_lost) X(mbev_count)
/* clang-format on */

static struct {
#define MEMBER(name) __typeof__(&name) name;
	CALLS(MEMBER)
#undef MEMBER
} api;

static void *library;

static int load(void **state)
{
	(void)state;
	char path[512];
	snprintf(path, sizeof path, "%s/.libs/libmboxevent.so", getenv("TOP_BUILDDIR"));
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		fprintf(stderr, "# %s\n", dlerror());
		return -1;
	}
#define FIND(name) api.name = (__typeof__(api.name))dlsym(library, #name);
	CALLS(FIND)
#undef FIND
	return api.mbev_abi && api.mbev_abi() == MBEV_ABI ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	return dlclose(library);
}

static const char *sample(enum catalog_form form)
{
	switch (form) {
	case FORM_ICALTIME:
		return "20151119T063000Z";
	case FORM_ADDRESS:
		return "2001:db8::1";
	case FORM_UIDVALIDITY:
		return "1424683682";
	default:
		return "some text";
	}
}

static bool has(const struct catalog_event *type, enum catalog_param p, bool all)
{
	return catalog_has(&type->required, p) || (all && catalog_has(&type->optional, p));
}

static void facts(struct mbev_event *e, const struct catalog_event *type, bool all)
{
	int mailbox = api.mbev_set_mailbox(e, "john@example.org", "Archive/\xc3\xa9t\xc3\xa9", 7);
	bool has_one = type->uri != FORM_ANY && type->uri != FORM_SERVER_URL;
	assert_int_equal(mailbox, has_one ? MBEV_OK : MBEV_PARAM);
	if (has(type, PARAM_OLD_MAILBOX_ID, all))
		assert_int_equal(api.mbev_set_old_mailbox(e, NULL, "shared", 8), MBEV_OK);
	if (has(type, PARAM_UIDSET, all) || type->uri == FORM_MESSAGE_URL)
		assert_int_equal(api.mbev_add_message(e, 5, "<1@example.org>"), MBEV_OK);
	if (has(type, PARAM_VND_CMU_OLD_UIDSET, all))
		assert_int_equal(api.mbev_add_old_uid(e, 4), MBEV_OK);
	if (has(type, PARAM_FLAG_NAMES, all))
		assert_int_equal(api.mbev_add_flags(e, "\\flagged work"), MBEV_OK);
	if (has(type, PARAM_MESSAGE_CONTENT, all))
		assert_int_equal(api.mbev_set_content(e, "A: b\r\n\r\nc", 9), MBEV_OK);
	if (has(type, PARAM_MESSAGE_HEADERS, all))
		assert_int_equal(api.mbev_add_header(e, "To", "a@example.org"), MBEV_OK);
}

/* What is no fact goes by its name. MBEV_PARAM: another call sets it. */
static void by_name(struct mbev_event *e, enum catalog_param p)
{
	const struct catalog_parameter *row = &catalog_parameters[p];
	bool numbers = row->form == FORM_UIDVALIDITY;
	const char *two[] = {numbers ? "5" : "one", numbers ? "8" : "two"};
	int code = MBEV_PARAM;
	if (p == PARAM_UIDSET || p == PARAM_VND_CMU_OLD_UIDSET || p == PARAM_FLAG_NAMES ||
	    p == PARAM_VND_CMU_MIDSET)
		return;
	switch (row->type) {
	case CATALOG_INT:
		code = api.mbev_set_int(e, row->name, 1);
		break;
	case CATALOG_STRINGS:
		code = api.mbev_set_strings(e, row->name, two, 2);
		break;
	case CATALOG_OBJECT:
		code = api.mbev_set_json(e, row->name, " {\"a\" : 1}", 10);
		break;
	case CATALOG_STRING_OR_NULL:
	case CATALOG_STRING_OR_FALSE:
		code = api.mbev_set_string(e, row->name, NULL);
		break;
	case CATALOG_STRING:
		code = api.mbev_set_string(e, row->name, sample(row->form));
		break;
	default:
		break;
	}
	if (code != MBEV_OK && code != MBEV_PARAM)
		fail_msg("%s: %s", row->name, api.mbev_strerror(code));
}

static void report(void *ctx, const char *event, const char *parameter, const char *what)
{
	(void)ctx;
	print_error("%s: %s: %s\n", event, parameter, what);
}

/* How many of the type's parameters are not in a record. */
static int lacking(const struct catalog_event *type, struct str json, bool all)
{
	int n = 0;
	for (int p = 0; p < CATALOG_N_PARAMS; p++) {
		char key[64];
		int len = snprintf(key, sizeof key, "\"%s\":", catalog_parameters[p].name);
		if (has(type, (enum catalog_param)p, all) &&
		    !memmem(json.s, json.len, key, (size_t)len)) {
			print_error("%s lacks %s\n", type->name, key);
			n++;
		}
	}
	return n;
}

static void emit_every(struct mbev *h, bool all)
{
	const struct catalog_event *types;
	size_t n = catalog_events(&types);
	struct validate *v = validate_new();
	char why[256] = "";
	uint64_t emitted = 0;
	for (size_t i = 0; i < n; i++) {
		struct mbev_event *e;
		struct record rec;
		if (types[i].primary == GROUP_PUSH) /* notifyd's own */
			continue;
		assert_int_equal(api.mbev_new(h, types[i].name, &e), MBEV_OK);
		facts(e, &types[i], all);
		for (int p = 0; p < CATALOG_N_PARAMS; p++)
			if (has(&types[i], (enum catalog_param)p, all))
				by_name(e, (enum catalog_param)p);
		if (api.mbev_emit(&e, why, sizeof why) != MBEV_OK)
			fail_msg("%s: %s", types[i].name, why);
		struct reader *r = fixture_reader(api_read);
		assert_true(api_next(r, &rec));
		assert_int_equal(rec.event.len, strlen(types[i].name));
		assert_memory_equal(rec.event.s, types[i].name, rec.event.len);
		assert_int_equal(validate_event(v, rec.json, true, report, NULL), 0);
		assert_int_equal(lacking(&types[i], rec.json, all), 0);
		reader_close(&r);
		emitted++;
	}
	assert_int_equal(api.mbev_count(h, MBEV_COUNT_EMITTED), emitted);
	assert_int_equal(api.mbev_lost(h), 0);
	validate_free(&v);
}

static void run(bool all)
{
	struct buf conf = BUF_INIT;
	struct mbev *h;
	char why[256];
	buf_adds(&conf, ALL_GROUPS "servername: imap.example.org\n");
	buf_adds(&conf, "event_extra_params:");
	/* each word of the table */
	for (int p = 0; all && p < CATALOG_N_PARAMS; p++)
		if (catalog_parameters[p].extra)
			buf_addf(&conf, " %s", catalog_parameters[p].extra);
	buf_adds(&conf, all ? "\n" : " timestamp\n");
	api_write_conf(buf_cstr(&conf));
	assert_int_equal(api.mbev_open(api_conf, "imap", &h, why, sizeof why), MBEV_OK);
	assert_string_equal(why, "");
	emit_every(h, all);
	api.mbev_close(&h);
	buf_free(&conf);
}

static void test_required(void **state)
{
	(void)state;
	run(false);
}

static void test_all(void **state)
{
	(void)state;
	run(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_required, api_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_all, api_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
