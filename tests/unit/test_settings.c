/* SPDX-License-Identifier: BSD-3-Clause */
/* Fixtures: tests/data/settings/<case>/imapd.conf with `expected` (what was read, options at their
 * default left out of sinks) or `error` (the exact lines; @DRIVERS@ stands for the list of all). */
#include <config.h>

#include "../../lib/nearest.h"
#include "../../notifyd/secret.h"
#include "../../notifyd/settings.h"
#include "../../notifyd/when.h"

#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char fixture_path[PATH_MAX], data[PATH_MAX], scratch[] = "/tmp/test_settings.XXXXXX";

static void print_rows(const struct conf_scope *s, const char *indent, bool defaults,
                       struct buf *out)
{
	for (const struct conf_option *const *t = s->tables; *t; t++)
		for (const struct conf_option *row = *t; row->name; row++)
			if (strcmp(row->name, "type") &&
			    (conf_isset(s, row->name) || (defaults && row->def)))
				buf_addf(out, "%s%s: %s\n", indent, row->name,
				         conf_str(s, row->name));
}

static void print_settings(const struct settings *s, struct buf *out)
{
	for (size_t i = 0; i < s->n_sinks; i++) {
		buf_addf(out, "sink %s %s\n", s->sinks[i].name, s->sinks[i].driver->name);
		print_rows(&s->sinks[i].conf, "  ", false, out);
		assert_ptr_equal(settings_sink(s, s->sinks[i].name), &s->sinks[i]);
		assert_string_equal(s->sinks[i].journal, "/var/spool/mboxevent");
	}
	print_rows(&s->notifyd, "", true, out);
}

static void collect(void *ctx, const char *line)
{
	buf_addf(ctx, "%s\n", line);
}

/* The file, with the list of drivers put in. */
static bool slurp(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "r");
	char line[1024], *at;

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		at = strstr(line, "@DRIVERS@");
		if (!at) {
			buf_adds(b, line);
			continue;
		}
		buf_add(b, line, (size_t)(at - line));
		for (const char *const *t = sink_types; *t; t++)
			buf_addf(b, "%s%s", t == sink_types ? "" : t[1] ? ", " : " or ", *t);
		buf_adds(b, at + strlen("@DRIVERS@"));
	}
	fclose(f);
	return true;
}

static void check_case(const char *name)
{
	char path[PATH_MAX * 2];
	struct buf expected = BUF_INIT, got = BUF_INIT;
	struct settings *s;
	bool error;
	int r;

	snprintf(path, sizeof(path), "%s/%s", data, name);
	assert_int_equal(chdir(path), 0);
	error = slurp("error", &expected);
	if (!error && !slurp("expected", &expected))
		fail_msg("%s has neither expected nor error", name);
	r = settings_load(&s, "imapd.conf", collect, &got);
	assert_int_equal(r, s ? 0 : -1);
	if (s)
		print_settings(s, &got);
	if (strcmp(buf_cstr(&got), buf_cstr(&expected)))
		fail_msg("%s:\n%s\nnot\n%s", name, buf_cstr(&got), buf_cstr(&expected));
	assert_int_equal(!s, error);
	settings_free(&s);
	buf_free(&expected);
	buf_free(&got);
	assert_int_equal(chdir(scratch), 0);
}

static void fixtures(void **state)
{
#ifdef HAVE_MICROHTTPD
	const bool with_metrics = true;
#else
	const bool with_metrics = false;
#endif
	DIR *d = opendir(data);
	struct dirent *e;
	int n = 0;

	(void)state;
	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && (with_metrics || strncmp(e->d_name, "metrics", 7))) {
			check_case(e->d_name);
			n++;
		}
	closedir(d);
	assert_true(n > 10);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static struct settings *load(const char *text)
{
	struct buf errors = BUF_INIT;
	struct settings *s;

	write_file("c", text);
	if (settings_load(&s, "c", collect, &errors))
		fail_msg("%s", buf_cstr(&errors));
	buf_free(&errors);
	return s;
}

/* Without notifyd_sinks: local, of type unix, whose options may stand there. */
static void default_sink(void **state)
{
	char text[PATH_MAX];
	struct settings *s;

	(void)state;
	snprintf(text, sizeof(text), "notifyd_local_path: %s/events\n", scratch);
	s = load(text);
	assert_int_equal(s->n_sinks, 1);
	assert_string_equal(s->sinks[0].name, "local");
	assert_ptr_equal(s->sinks[0].driver, sink_driver("unix", NULL));
	assert_null(settings_sink(s, "other"));
	settings_free(&s);
}

/* A driver that is not installed is told from one that does not exist. */
static void driver_off(void **state)
{
	(void)state;
	for (const char *const *type = sink_types; *type; type++) {
		struct buf errors = BUF_INIT;
		struct settings *s;
		char text[256];

		if (sink_driver(*type, NULL))
			continue;
		snprintf(text, sizeof(text), "notifyd_sinks: a\nnotifyd_a_type: %s\n", *type);
		write_file("c", text);
		assert_int_equal(settings_load(&s, "c", collect, &errors), -1);
		snprintf(text, sizeof(text),
		         "c:2: notifyd_a_type: '%s': this driver is not installed (", *type);
		assert_memory_equal(buf_cstr(&errors), text, strlen(text));
		buf_free(&errors);
	}
}

/* What is wrong with one sink stops no other. */
static void one_sink(void **state)
{
	struct buf errors = BUF_INIT;
	struct settings *s;

	(void)state;
	write_file("c", "notifyd_sinks: a b\nnotifyd_a_type: null\nnotifyd_b_type: log\n"
	                "notifyd_b_mode: rw\n");
	assert_int_equal(settings_load_sink(&s, "c", "b", collect, &errors), -1);
	assert_int_equal(settings_load_sink(&s, "c", "a", collect, &errors), 0);
	assert_ptr_equal(settings_sink(s, "a")->driver, sink_driver("null", NULL));
	settings_free(&s);
	buf_free(&errors);
}

/* A worker that waits as long as its option allows must not be taken for one that hangs. */
static void patience(void **state)
{
#define MQ "notifyd_sinks: a\nnotifyd_a_type: amqp\n"
	struct buf errors = BUF_INIT;
	struct settings *s;

	(void)state;
	if (!sink_driver("amqp", NULL))
		skip();
	write_file("c", MQ "notifyd_a_timeout: 10s\nnotifyd_stall: 14s\n");
	assert_int_equal(settings_load(&s, "c", collect, &errors), -1);
	assert_non_null(strstr(buf_cstr(&errors), "notifyd_a_timeout"));
	buf_free(&errors);
	s = load(MQ "notifyd_a_timeout: 10s\nnotifyd_stall: 15s\n");
	settings_free(&s);
}

static bool same(const char *first, const char *second)
{
	struct settings *a = load(first), *b = load(second);
	bool r = settings_same_sink(&a->sinks[0], &b->sinks[0]);

	settings_free(&a);
	settings_free(&b);
	return r;
}

static void same_sink(void **state)
{
#define BASE "notifyd_sinks: a\nnotifyd_a_type: null\n"
	(void)state;
	assert_true(same(BASE, BASE));
	assert_true(same(BASE, "# moved\n" BASE "mboxevent_retain: 20s\n"));
	/* The worker's own alarm; what a phone calls its mailboxes; topics of apns sinks. */
	assert_false(same(BASE, BASE "notifyd_stall: 20s\n"));
	assert_false(same(BASE, BASE "altnamespace: no\n"));
	assert_false(same(BASE, BASE "aps_topic: com.example.mail\n"));
	assert_true(same(BASE, BASE "notifyd_a_from: newest\n")); /* the default, spelt out */
	assert_false(same(BASE, BASE "notifyd_a_from: oldest\n"));
	assert_false(same(BASE, BASE "notifyd_a_groups: message\n"));
	assert_false(same(BASE, BASE "mboxevent_journal: /elsewhere\n"));
	assert_false(same(BASE, "notifyd_sinks: a\nnotifyd_a_type: fail\n"));
	assert_false(same(BASE, "notifyd_sinks: b\nnotifyd_b_type: null\n"));
}

/* --- rows of all tables --- */

static void check_rows(const struct conf_option *rows, const char *whose)
{
	for (const struct conf_option *row = rows; row->name; row++) {
		int64_t n;

		if (!row->help || !*row->help || row->help[strlen(row->help) - 1] != '.')
			fail_msg("%s: %s: help is no sentence", whose, row->name);
		if (row->def && conf_parse(row, row->def, &n, NULL))
			fail_msg("%s: %s: default %s", whose, row->name, row->def);
		if (row->type == CONF_ENUM && !row->words)
			fail_msg("%s: %s: no choices", whose, row->name);
		if (strlen(row->name) > NEAREST_MAX - 20)
			fail_msg("%s: %s: too long", whose, row->name);
	}
}

static void rows(void **state)
{
	(void)state;
	check_rows(mboxevent_options, "mboxevent");
	check_rows(notifyd_options, "notifyd");
	check_rows(sink_options, "sinks");
	for (const char *const *type = sink_types; *type; type++) {
		const struct sink_driver *d = sink_driver(*type, NULL);

		if (!d)
			continue;
		assert_string_equal(d->name, *type);
		check_rows(d->options, *type);
		for (const struct conf_option *row = d->options; row->name; row++)
			for (const struct conf_option *all = sink_options; all->name; all++)
				if (!strcmp(row->name, all->name))
					fail_msg("%s: %s is an option of every sink", *type,
					         row->name);
	}
}

/* An option of notifyd with two words keeps sinks from having its first as their name. */
static void reserved(void **state)
{
	(void)state;
	for (const struct conf_option *row = notifyd_options; row->name; row++) {
		const char *word = row->name + strlen("notifyd_"), *end = strchr(word, '_');
		struct buf errors = BUF_INIT;
		struct settings *s;
		char text[128];

		if (!end)
			continue;
		snprintf(text, sizeof(text), "notifyd_sinks: %.*s\n", (int)(end - word), word);
		write_file("c", text);
		assert_int_equal(settings_load(&s, "c", collect, &errors), -1);
		buf_free(&errors);
	}
}

/* --- times --- */

static void when(const char *s, enum when expected, int64_t time)
{
	int64_t got = -7;
	enum when w = when_parse(s, INT64_C(1700000000123456), &got);

	if (w != expected || (w == WHEN_TIME && got != time))
		fail_msg("'%s' gave %d, %lld", s, w, (long long)got);
}

static void times(void **state)
{
	static const char *const bad[] = {"",
	                                  "Newest",
	                                  "soon",
	                                  "5x",
	                                  "120",
	                                  "2024",
	                                  "2024-13-01",
	                                  "2024-02-30",
	                                  "2023-02-29T00:00Z",
	                                  "2024-01-01T",
	                                  "2024-01-01T24:00Z",
	                                  "2024-01-01T00:00Zx",
	                                  "2024-01-01 1",
	                                  "2024-01-01T00:00:00.",
	                                  "2024-01-01T00:00+24:00",
	                                  "1969-01-01",
	                                  "2024-01-01T00:00+2",
	                                  "99999d"};
	const int64_t day = INT64_C(1709164800000000); /* 2024-02-29T00:00:00Z */

	(void)state;
	setenv("TZ", "XXX-3", 1); /* local time is three hours ahead of UTC */
	tzset();
	when("newest", WHEN_NEWEST, 0);
	when("oldest", WHEN_OLDEST, 0);
	when("2h", WHEN_TIME, INT64_C(1699992800123456));
	when("1h30m", WHEN_TIME, INT64_C(1699994600123456));
	when("0", WHEN_TIME, INT64_C(1700000000123456));
	when("2024-02-29T00:00:00Z", WHEN_TIME, day);
	when("2024-02-29T02:00:00+02:00", WHEN_TIME, day);
	when("2024-02-28T22:30-0130", WHEN_TIME, day);
	when("2024-02-29 05:00:00.25+05", WHEN_TIME, day + 250000);
	when("2024-02-29T00:00:00.1234567Z", WHEN_TIME, day + 123456);
	when("2024-02-29T03:00:00", WHEN_TIME, day);
	when("2024-02-29", WHEN_TIME, day - INT64_C(3 * 3600000000));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		when(bad[i], WHEN_BAD, 0);
	unsetenv("TZ");
	tzset();
}

/* --- secrets --- */

static void no_secret(const char *path, const char *expected)
{
	struct buf b = BUF_INIT;
	char *why;

	assert_int_equal(secret_read(path, &b, &why), -1);
	assert_string_equal(why, expected);
	assert_int_equal(b.len, 0);
	free(why);
}

static void secrets(void **state)
{
	struct buf b = BUF_INIT;
	char *why, *longer = malloc((64 << 10) + 2);

	(void)state;
	assert_non_null(longer);
	write_file("s", "hunter two\r\n");
	assert_int_equal(chmod("s", 0640), 0);
	assert_int_equal(secret_read("s", &b, &why), 0);
	assert_null(why);
	assert_string_equal(buf_cstr(&b), "hunter two");
	secret_forget(&b);
	assert_null(b.s);
	assert_int_equal(chmod("s", 0644), 0);
	no_secret("s", "s holds a secret that others can read: chmod o= it");
	assert_int_equal(chmod("s", 0602), 0);
	no_secret("s", "s holds a secret that others can read: chmod o= it");
	assert_int_equal(chmod("s", 0600), 0);
	write_file("s", "\n");
	no_secret("s", "s is empty");
	memset(longer, 'x', (64 << 10) + 1);
	longer[(64 << 10) + 1] = '\0';
	write_file("s", longer);
	no_secret("s", "s is longer than 64 KiB");
	longer[64 << 10] = '\0';
	write_file("s", longer);
	assert_int_equal(secret_read("s", &b, &why), 0);
	assert_int_equal(b.len, 64 << 10);
	secret_forget(&b);
	free(longer);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	no_secret("fifo", "fifo is not a regular file");
	no_secret("none", "none can't be read: No such file or directory");
}

static int setup(void **state)
{
	const char *top = getenv("srcdir");

	(void)state;
	umask(022);
	unsetenv("CYRUS_PREFIX");
	snprintf(fixture_path, sizeof(fixture_path), "%s/tests/data/settings", top ? top : ".");
	return realpath(fixture_path, data) && mkdtemp(scratch) && !chdir(scratch) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", scratch);
	return chdir("/") || system(command) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fixtures),   cmocka_unit_test(default_sink),
	    cmocka_unit_test(driver_off), cmocka_unit_test(same_sink),
	    cmocka_unit_test(one_sink),   cmocka_unit_test(patience),
	    cmocka_unit_test(rows),       cmocka_unit_test(reserved),
	    cmocka_unit_test(times),      cmocka_unit_test(secrets),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
