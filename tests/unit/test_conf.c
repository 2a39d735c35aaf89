/* SPDX-License-Identifier: BSD-3-Clause */
/* Fixtures: tests/data/conf/<case>/imapd.conf with `expected` (key: value, in file order) or
 * `error` (the exact line). tests/conf-vs-cyrus shows that Cyrus reads them the same. */
#include "../../lib/conf.h"
#include "../../lib/nearest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static char data[PATH_MAX], fixture_path[PATH_MAX], scratch[] = "/tmp/test_conf.XXXXXX";

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

static void write_file(const char *path, const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void print_entries(const struct conf *c, struct buf *out)
{
	const struct conf_entry *e;

	for (size_t n = conf_entries(c, &e); n; n--, e++)
		buf_addf(out, "%s: %s\n", e->key, e->value);
}

/* conf_dump() and conf_read() again give the same. */
static void check_dump(const struct conf *c, const char *expected)
{
	char path[PATH_MAX];
	struct buf again = BUF_INIT;
	struct conf *c2;
	char *why;
	int fd;

	snprintf(path, sizeof(path), "%s/dump", scratch);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(conf_dump(c, fd), 0);
	close(fd);
	c2 = conf_read(path, &why);
	if (!c2)
		fail_msg("dump: %s", why);
	print_entries(c2, &again);
	assert_string_equal(buf_cstr(&again), expected);
	buf_free(&again);
	conf_free(&c2);
}

static void check_case(const char *name)
{
	char path[PATH_MAX * 2];
	struct buf expected = BUF_INIT, got = BUF_INIT;
	struct conf *c;
	char *why = NULL;
	bool error;

	snprintf(path, sizeof(path), "%s/%s", data, name);
	assert_int_equal(chdir(path), 0);
	error = slurp("error", &expected);
	if (!error && !slurp("expected", &expected))
		fail_msg("%s has neither expected nor error", name);
	c = conf_read("imapd.conf", &why);
	if (c) {
		print_entries(c, &got);
		if (error)
			fail_msg("%s: was read", name);
	} else {
		buf_addf(&got, "%s\n", why);
	}
	if (strcmp(buf_cstr(&got), buf_cstr(&expected)) || got.len != expected.len)
		fail_msg("%s:\n%s\nnot\n%s", name, buf_cstr(&got), buf_cstr(&expected));
	if (c)
		check_dump(c, buf_cstr(&expected));
	free(why);
	conf_free(&c);
	buf_free(&expected);
	buf_free(&got);
	assert_int_equal(chdir(scratch), 0);
}

static void fixtures(void **state)
{
	DIR *d = opendir(data);
	struct dirent *e;
	int n = 0;

	(void)state;
	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			check_case(e->d_name);
			n++;
		}
	closedir(d);
	assert_true(n > 30);
}

static struct conf *read_text(const char *text)
{
	struct conf *c;
	char *why;

	write_file("c", text, strlen(text));
	c = conf_read("c", &why);
	if (!c)
		fail_msg("%s", why);
	return c;
}

/* Refused with exactly this; a conf_read() that waited would never return. */
static void refused(const char *path, const char *expected)
{
	char *why;

	assert_null(conf_read(path, &why));
	assert_string_equal(why, expected);
	free(why);
	assert_null(conf_read(path, NULL));
}

static void odd_files(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "sock"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	refused("fifo", "fifo: can't be read: is not a regular file");
	refused(".", ".: can't be read: is a directory");
	refused("none", "none: can't be read: No such file or directory");
	refused("sock", "sock: can't be read: No such device or address");
	write_file("c", "a: b\n@include: fifo\n", 20);
	refused("c", "c:2: can't read fifo: is not a regular file");
	close(fd);
}

static void limits(void **state)
{
	size_t len = (1u << 20) + 16;
	char *text = malloc(len), name[16];

	(void)state;
	assert_non_null(text);
	memset(text, 'x', len);
	memcpy(text, "a: 1\nb: ", 8);
	write_file("c", text, len);
	refused("c", "c:2: the line is longer than 1 MB");
	text[(1 << 20) + 3] = '\n'; /* 2 less than a MB, and the line feed */
	text[(1 << 20) + 4] = '\n';
	write_file("c", text, (1u << 20) + 4);
	struct conf *c = conf_read("c", NULL);
	assert_non_null(c);
	assert_int_equal(strlen(conf_get(c, NULL, "b")), (1 << 20) - 5);
	conf_free(&c);
	free(text);

	for (int i = 0; i < 70; i++) {
		char line[40];

		snprintf(name, sizeof(name), "deep%d", i);
		write_file(name, line,
		           (size_t)snprintf(line, sizeof(line), "@include: deep%d\n", i + 1));
	}
	refused("deep0", "deep63:1: included more than 64 files deep");
	write_file("deep63", "a: 1\n", 5);
	write_file("deep62", "@include: deep63\n@include: deep64\n", 34);
	write_file("deep64", "b: 1\n", 5);
	c = conf_read("deep0", NULL);
	assert_non_null(c);
	conf_free(&c);
}

static void lookup(void **state)
{
	struct conf *c = read_text("a: all\nimap_a: imap\nimap_b: b\nlmtp_unix_a: lu\n");
	const struct conf_entry *e;

	(void)state;
	assert_string_equal(conf_get(c, NULL, "a"), "all");
	assert_string_equal(conf_get(c, "imap", "a"), "imap");
	assert_string_equal(conf_get(c, "IMAP", "A"), "imap");
	assert_string_equal(conf_get(c, "lmtp", "a"), "all");
	assert_string_equal(conf_get(c, "lmtp_unix", "a"), "lu");
	assert_string_equal(conf_get(c, "imap", "b"), "b");
	assert_null(conf_get(c, "lmtp", "b"));
	assert_null(conf_get(c, NULL, "b"));
	assert_null(conf_get(c, NULL, "im"));
	assert_null(conf_get(c, NULL, ""));
	assert_int_equal(conf_entries(c, &e), 4);
	assert_int_equal(e[3].line, 4);
	assert_string_equal(e[3].file, "c");
	conf_free(&c);
	assert_null(c);
	conf_free(&c);
}

static void many_keys(void **state)
{
	struct buf b = BUF_INIT;
	char key[16], value[16];

	(void)state;
	for (int i = 0; i < 5000; i++)
		buf_addf(&b, "key%d: %d\n", i, i);
	struct conf *c = read_text(buf_cstr(&b));
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "key%d", i);
		snprintf(value, sizeof(value), "%d", i);
		assert_string_equal(conf_get(c, NULL, key), value);
	}
	conf_free(&c);
	buf_free(&b);
}

/* The file below CYRUS_PREFIX comes first where it is there. */
static void cyrus_prefix(void **state)
{
	char *cwd = getcwd(NULL, 0), path[PATH_MAX];

	(void)state;
	assert_int_equal(mkdir("root", 0700), 0);
	write_file("root/x", "a: inside\n@include: /y\n", 23);
	write_file("root/y", "b: too\n", 7);
	snprintf(path, sizeof(path), "%s/root", cwd);
	setenv("CYRUS_PREFIX", path, 1);
	struct conf *c = conf_read("/x", NULL);
	assert_non_null(c);
	assert_string_equal(conf_get(c, NULL, "a"), "inside");
	assert_string_equal(conf_get(c, NULL, "b"), "too");
	conf_free(&c);
	unsetenv("CYRUS_PREFIX");
	free(cwd);
}

/* --- values --- */

static void parses(const struct conf_option *row, const char *value, int64_t expected)
{
	int64_t n = -77;

	if (conf_parse(row, value, &n, NULL) || n != expected)
		fail_msg("'%s' gave %lld, not %lld", value, (long long)n, (long long)expected);
}

static void wrong(const struct conf_option *row, const char *value, const char *expected)
{
	struct buf allowed = BUF_INIT;
	int64_t n = -77;

	if (!conf_parse(row, value, &n, &allowed))
		fail_msg("'%s' gave %lld", value, (long long)n);
	assert_int_equal(n, -77);
	assert_string_equal(buf_cstr(&allowed), expected);
	buf_free(&allowed);
}

static void durations(void **state)
{
	struct conf_option any = {.type = CONF_DURATION, .unit = "s"};
	struct conf_option sync = {.type = CONF_DURATION,
	                           .unit = "ms",
	                           .min = 10,
	                           .max = 3600000,
	                           .words = "always|never"};
	const char *a = "a duration such as 10s";
	const char *b = "a duration from 10ms to 1h, or always or never";

	(void)state;
	parses(&any, "200ms", 200);
	parses(&any, "10s", 10000);
	parses(&any, "5m", 300000);
	parses(&any, "2h", 7200000);
	parses(&any, "7d", 604800000);
	parses(&any, "1h30m", 5400000);
	parses(&any, "90", 90000);
	parses(&any, "0", 0);
	parses(&sync, "90", 90);
	parses(&sync, "always", -1);
	parses(&sync, "never", -2);
	parses(&sync, "10ms", 10);
	parses(&sync, "1h", 3600000);
	wrong(&sync, "9ms", b);
	wrong(&sync, "3601s", b);
	wrong(&sync, "alway", b);
	wrong(&sync, "always|never", b);
	wrong(&sync, "", b);
	wrong(&any, "5x", a);
	wrong(&any, "s", a);
	wrong(&any, "5 s", a);
	wrong(&any, "-5s", a);
	wrong(&any, "1.5s", a);
	wrong(&any, "5S", a);
	wrong(&any, "99999999999999999999", a);
	wrong(&any, "9223372036854775807d", a);
	any.unit = NULL;
	wrong(&any, "90", a);
	parses(&any, "0", 0);
}

static void sizes(void **state)
{
	struct conf_option row = {.type = CONF_SIZE,
	                          .unit = "bytes",
	                          .min = 4096,
	                          .max = INT64_C(1) << 40,
	                          .words = "auto"};
	const char *allowed = "a size from 4K to 1T, or auto";

	(void)state;
	parses(&row, "64M", 64 << 20);
	parses(&row, "64m", 64 << 20);
	parses(&row, "4096", 4096);
	parses(&row, "4K", 4096);
	parses(&row, "1G", 1 << 30);
	parses(&row, "1T", INT64_C(1) << 40);
	parses(&row, "auto", -1);
	wrong(&row, "4095", allowed);
	wrong(&row, "2T", allowed);
	wrong(&row, "64MB", allowed);
	wrong(&row, "64 M", allowed);
	wrong(&row, "M", allowed);
	wrong(&row, "9223372036854775807T", allowed);
}

static void other_types(void **state)
{
	struct conf_option sw = {.type = CONF_SWITCH};
	struct conf_option in = {.type = CONF_INT, .min = -5, .max = 50};
	struct conf_option mode = {.type = CONF_MODE, .max = 0777};
	struct conf_option choice = {.type = CONF_ENUM, .words = "classic|quorum|stream"};
	struct conf_option path = {.type = CONF_PATH};
	struct conf_option text = {.type = CONF_STRING}, list = {.type = CONF_LIST};
	static const char *const yes[] = {"yes", "on", "1", "t", "true", "y"};
	static const char *const no[] = {"no", "off", "0", "f", "false", "n"};
	int64_t n = -77;

	(void)state;
	for (int i = 0; i < 6; i++) {
		parses(&sw, yes[i], 1);
		parses(&sw, no[i], 0);
	}
	wrong(&sw, "maybe", "yes or no");
	wrong(&sw, "Yes", "yes or no");
	parses(&in, "-5", -5);
	parses(&in, "50", 50);
	wrong(&in, "51", "a number from -5 to 50");
	wrong(&in, "0x10", "a number from -5 to 50");
	wrong(&in, "--1", "a number from -5 to 50");
	wrong(&in, "-", "a number from -5 to 50");
	parses(&mode, "0660", 0660);
	parses(&mode, "777", 0777);
	wrong(&mode, "1777", "an octal mode from 0000 to 0777");
	wrong(&mode, "0689", "an octal mode from 0000 to 0777");
	wrong(&mode, "77777777777777777777777", "an octal mode from 0000 to 0777");
	parses(&choice, "classic", 0);
	parses(&choice, "stream", 2);
	wrong(&choice, "stre", "classic, quorum or stream");
	wrong(&choice, "quorum|stream", "classic, quorum or stream");
	wrong(&path, "run/x", "an absolute path");
	assert_int_equal(conf_parse(&path, "/x", &n, NULL), 0);
	assert_int_equal(conf_parse(&text, "x", &n, NULL), 0);
	assert_int_equal(conf_parse(&list, "x y", &n, NULL), 0);
	assert_int_equal(n, -77);
}

/* Each default is a value that the row itself accepts. */
static void own_rows(void **state)
{
	(void)state;
	for (const struct conf_option *row = mboxevent_options; row->name; row++) {
		int64_t n;

		if (row->def && conf_parse(row, row->def, &n, NULL))
			fail_msg("%s: default %s", row->name, row->def);
		assert_non_null(row->help);
		assert_true(strncmp(row->name, "mboxevent_", 10) == 0);
	}
}

/* --- scopes --- */

static const struct conf_option first_rows[] = {
    {"x_port", CONF_INT, "5672", 1, 65535, NULL, NULL, ""},
    {"x_wait", CONF_DURATION, "5s", 1000, 60000, NULL, "s", ""},
    {NULL, CONF_STRING, NULL, 0, 0, NULL, NULL, NULL},
};
static const struct conf_option second_rows[] = {
    {"x_name", CONF_STRING, NULL, 0, 0, NULL, NULL, ""},
    {"x_kind", CONF_ENUM, "b", 0, 0, "a|b", NULL, ""},
    {NULL, CONF_STRING, NULL, 0, 0, NULL, NULL, NULL},
};
static const struct conf_option *const tables[] = {first_rows, second_rows, NULL};

static void scopes(void **state)
{
	struct conf *c = read_text("fam_x_port: 25\nimap_fam_x_port: 143\nfam_x_wait: 5x\n");
	struct conf_scope s = {c, NULL, "fam_", tables}, imap = {c, "imap", "fam_", tables};

	(void)state;
	assert_int_equal(conf_num(&s, "x_port"), 25);
	assert_int_equal(conf_num(&imap, "x_port"), 143);
	assert_string_equal(conf_str(&imap, "x_port"), "143");
	assert_true(conf_isset(&s, "x_port"));
	assert_int_equal(conf_num(&s, "x_wait"), 5000); /* not valid: the default */
	assert_string_equal(conf_str(&s, "x_wait"), "5s");
	assert_int_equal(conf_num(&s, "x_kind"), 1);
	assert_string_equal(conf_str(&s, "x_kind"), "b");
	assert_false(conf_isset(&s, "x_kind"));
	assert_null(conf_str(&s, "x_name"));
	assert_int_equal(conf_num(&s, "x_name"), 0);
	assert_null(conf_str(&s, "port"));
	assert_false(conf_isset(&s, "port"));
	conf_free(&c);
}

static void collect(void *ctx, const char *error)
{
	buf_addf(ctx, "%s\n", error);
}

static bool skip_beta(void *ctx, const char *key)
{
	(void)ctx;
	return strstr(key, "beta") != NULL;
}

static void check(void **state)
{
	struct conf *c = read_text("other: 1\n"
	                           "fam_x_prot: 25\n"
	                           "fam_x_port: 65536\n"
	                           "imap_fam_x_wait: 5x\n"
	                           "lmtp_unix_fam_x_nmae: n\n"
	                           "fam_beta: 1\n"
	                           "fam_quite_another_thing: 1\n"
	                           "fam_x_kind: c\001c\n"
	                           "fam_x_name: fine\n"
	                           "myfam_x_port: not ours\n"
	                           "fam_: x\n"
	                           "fam: x\n");
	struct conf_scope s = {c, NULL, "fam_", tables};
	struct buf out = BUF_INIT;

	(void)state;
	assert_int_equal(conf_check(&s, "fam_", skip_beta, collect, &out), 7);
	assert_string_equal(buf_cstr(&out),
	                    "c:2: fam_x_prot: unknown option; nearest is fam_x_port\n"
	                    "c:3: fam_x_port: '65536': must be a number from 1 to 65535\n"
	                    "c:4: imap_fam_x_wait: '5x': must be a duration from 1s to 1m\n"
	                    "c:5: lmtp_unix_fam_x_nmae: unknown option; nearest is fam_x_name\n"
	                    "c:7: fam_quite_another_thing: unknown option\n"
	                    "c:8: fam_x_kind: 'c?c': must be a or b\n"
	                    "c:11: fam_: unknown option\n");
	buf_free(&out);
	conf_free(&c);
}

static void near(const char *name, const char *expected)
{
	static const char *const known[] = {
	    "mq", "phones", "mboxevent_journal", "mboxevent_sync", "MessageNew", NULL};
	struct nearest n;

	nearest_start(&n, name, strlen(name));
	for (const char *const *k = known; *k; k++)
		nearest_offer(&n, *k);
	if (!expected)
		assert_null(n.best);
	else
		assert_string_equal(n.best ? n.best : "none", expected);
}

static void nearest(void **state)
{
	char longer[200] = "";

	(void)state;
	near("qm", "mq");
	near("mqq", "mq");
	near("q", "mq");
	near("ab", NULL);
	near("phone", "phones");
	near("phnoes", "phones");
	near("mboxevent_jurnal", "mboxevent_journal");
	near("mboxevent_snyc", "mboxevent_sync");
	near("messagenew", "MessageNew");
	near("something_else", NULL);
	near("", NULL);
	memset(longer, 'm', sizeof(longer) - 1);
	near(longer, NULL);
}

static int setup(void **state)
{
	const char *top = getenv("srcdir");

	(void)state;
	snprintf(fixture_path, sizeof(fixture_path), "%s/tests/data/conf", top ? top : ".");
	unsetenv("CYRUS_PREFIX");
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
	    cmocka_unit_test(fixtures),    cmocka_unit_test(odd_files),
	    cmocka_unit_test(limits),      cmocka_unit_test(lookup),
	    cmocka_unit_test(many_keys),   cmocka_unit_test(cyrus_prefix),
	    cmocka_unit_test(durations),   cmocka_unit_test(sizes),
	    cmocka_unit_test(other_types), cmocka_unit_test(own_rows),
	    cmocka_unit_test(scopes),      cmocka_unit_test(check),
	    cmocka_unit_test(nearest),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
