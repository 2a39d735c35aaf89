/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry's file: versions, damage, other writers, and what another configuration of names
 * makes of it. */
#include "../../notifyd/sinks/apns/registry.h"
#include "journal_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#define TOKEN "2918390218931890821908309283098109381029309829018310983092892829"

static struct conf *conf;
static struct names *names;
static struct registry *registry;
static const char *why, *aside;
static char path[256];

static void configure(const char *options)
{
	char file[128], *fault = NULL;
	snprintf(file, sizeof file, "%s/imapd.conf", fixture_dir);
	FILE *f = fopen(file, "w");
	fputs(options, f);
	fclose(f);
	names_free(&names);
	conf_free(&conf);
	conf = conf_read(file, &fault);
	names = names_new(conf);
	assert_non_null(names);
}

static int try_open(void)
{
	registry_free(&registry);
	return registry_open(&registry, fixture_dir, "phones", names, REGISTRY_OWN, 1000, &aside,
	                     &why);
}

static void reopen(void)
{
	if (try_open() < 0)
		fail_msg("%s", why);
}

static int setup(void **state)
{
	int r = fixture_setup(state);
	snprintf(path, sizeof path, "%s/" REGISTRY_FILE, fixture_dir, "phones");
	configure("altnamespace: yes\n");
	return r;
}

static int teardown(void **state)
{
	registry_free(&registry);
	names_free(&names);
	conf_free(&conf);
	return fixture_teardown(state);
}

static void enrol(const char *user, const char *token, const char *name)
{
	struct device d = {.kind = DEVICE_MAIL,
	                   .token = token,
	                   .account = user,
	                   .user = user,
	                   .topic = "",
	                   .registered = 1000};
	struct str box = {name, strlen(name)};
	if (registry_register(registry, &d, &box, 1, &why) < 0 ||
	    registry_commit(registry, &why) < 0)
		fail_msg("%s", why);
}

static void count_one(void *ctx, const struct device *d, struct str asked)
{
	(void)d;
	(void)asked;
	++*(int *)ctx;
}

static int watchers(const char *owner, const char *mailbox)
{
	int n = 0;
	if (registry_watchers(registry, (struct str){owner, strlen(owner)},
	                      (struct str){mailbox, strlen(mailbox)}, 0, count_one, &n, &why) < 0)
		fail_msg("%s", why);
	registry_rest(registry);
	return n;
}

static void execute(const char *sql)
{
	sqlite3 *db;
	char *fault = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &fault) != SQLITE_OK)
		fail_msg("%s", fault);
	sqlite3_close(db);
}

static void test_mode(void **state)
{
	struct stat file;
	(void)state;
	reopen();
	assert_null(aside);
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_mode & 0777, 0600);
}

static void test_missing(void **state)
{
	(void)state;
	errno = 0;
	assert_int_equal(registry_open(&registry, fixture_dir, "phones", names, REGISTRY_THERE,
	                               1000, &aside, &why),
	                 -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(access(path, F_OK), -1);
}

/* A file of version 1, which knew nothing of what is due. */
static void test_migration(void **state)
{
	(void)state;
	reopen();
	enrol("john", TOKEN, "Archive");
	registry_free(&registry);
	execute("DROP TABLE due; DROP TABLE names; PRAGMA user_version = 1;");
	reopen();
	assert_null(aside);
	assert_int_equal(watchers("john", "Archive"), 1);
	struct registry_due due = {.device = 1, .user = "", .at = 5, .mailboxes = "Archive\n"};
	assert_int_equal(registry_due_put(registry, &due, &why), 0);
	assert_int_equal(registry_commit(registry, &why), 0);
}

static void test_later_version(void **state)
{
	(void)state;
	reopen();
	enrol("john", TOKEN, "Archive");
	registry_free(&registry);
	execute("PRAGMA user_version = 99;");
	assert_int_equal(try_open(), -1);
	assert_non_null(strstr(why, "later version"));
	registry_free(&registry);
	execute("PRAGMA user_version = 2;"); /* it was left alone */
	reopen();
	assert_int_equal(watchers("john", "Archive"), 1);
}

static void test_damage(void **state)
{
	char other[300];
	(void)state;
	FILE *f = fopen(path, "w");
	fputs("this is no database, and long enough to be seen as none: ....................", f);
	for (int i = 0; i < 200; i++)
		fputs("..........", f);
	fclose(f);
	reopen();
	assert_non_null(aside);
	snprintf(other, sizeof other, "%s.damaged", path);
	assert_int_equal(access(other, F_OK), 0);
	enrol("john", TOKEN, "Archive");
	assert_int_equal(watchers("john", "Archive"), 1);
}

/* What a device asked for means something else now. */
static void test_other_names(void **state)
{
	(void)state;
	reopen();
	enrol("john", TOKEN, "INBOX/Archive");
	assert_int_equal(watchers("john", "INBOX/INBOX/Archive"), 1);
	configure("altnamespace: no\n");
	reopen();
	assert_int_equal(watchers("john", "Archive"), 1);
	assert_int_equal(watchers("john", "INBOX/INBOX/Archive"), 0);
}

static void expect_others(int how)
{
	struct registry *other;
	struct device d = {.kind = DEVICE_MAIL,
	                   .token = TOKEN,
	                   .account = "x",
	                   .user = "jim",
	                   .topic = "",
	                   .registered = 1};
	struct str box = STR("INBOX/Archive");
	assert_int_equal(
	    registry_open(&other, fixture_dir, "phones", names, how, 1000, &aside, &why), 0);
	int n = 0;
	assert_int_equal(registry_watchers(other, STR("john"), STR("INBOX/INBOX/Archive"), 0,
	                                   count_one, &n, &why),
	                 0);
	assert_int_equal(n, 1);
	if (how == REGISTRY_MAKE)
		assert_int_equal(registry_register(other, &d, &box, 1, &why), 1);
	assert_int_equal(registry_commit(other, &why), 0);
	registry_free(&other);
}

/* A tool that reads a newer configuration than the sink changes nothing that the sink goes by; what
 * it adds is made fit when the sink comes to that configuration. */
static void test_other_names_of_a_tool(void **state)
{
	(void)state;
	reopen();
	enrol("john", TOKEN, "INBOX/Archive");
	registry_free(&registry);
	configure("altnamespace: no\n");
	expect_others(REGISTRY_THERE);
	configure("altnamespace: yes\n");
	reopen();
	assert_int_equal(watchers("john", "INBOX/INBOX/Archive"), 1);
	registry_free(&registry);
	configure("altnamespace: no\n");
	expect_others(REGISTRY_MAKE);
	configure("altnamespace: yes\n");
	reopen();
	assert_int_equal(watchers("jim", "INBOX/INBOX/Archive"), 1);
	assert_int_equal(watchers("john", "INBOX/INBOX/Archive"), 1);
}

static void damage_within(void)
{
	struct stat file;
	registry_free(&registry); /* with a checkpoint */
	int fd = open(path, O_WRONLY);
	assert_int_equal(fstat(fd, &file), 0);
	for (off_t at = 8192; at < file.st_size; at += 4096)
		assert_int_equal(pwrite(fd, "\377\377\377\377\377\377\377\377", 8, at), 8);
	close(fd);
}

/* The sink may have it open: its writes would go to a file that nobody finds. */
static void test_damage_seen_by_a_tool(void **state)
{
	static const int tools[] = {REGISTRY_THERE, REGISTRY_MAKE};
	char other[300];
	(void)state;
	reopen();
	enrol("john", TOKEN, "Archive");
	damage_within();
	snprintf(other, sizeof other, "%s.damaged", path);
	for (size_t i = 0; i < 2; i++) {
		int n = 0, r = registry_open(&registry, fixture_dir, "phones", names, tools[i],
		                             1000, &aside, &why);
		if (r == 0)
			r = registry_each(registry, STR(""), count_one, &n, &why);
		assert_int_equal(r, -1);
		assert_non_null(strstr(why, "damaged"));
		registry_free(&registry);
		assert_int_equal(access(other, F_OK), -1);
		assert_int_equal(access(path, F_OK), 0);
	}
}

/* What a process that was killed wrote and did not sync is synced before it is relied on. */
static void test_former(void **state)
{
	char wal[300], copy[300], text[1500];
	(void)state;
	reopen();
	enrol("john", TOKEN, "Archive");
	/* as kill -9 leaves it */
	snprintf(wal, sizeof wal, "%s-wal", path);
	snprintf(copy, sizeof copy, "%s/copy", fixture_dir);
	snprintf(text, sizeof text, "mkdir %s && cp %s %s %s", copy, path, wal, copy);
	assert_int_equal(system(text), 0);
	registry_free(&registry);
	snprintf(text, sizeof text, "cp %s/* %s", copy, fixture_dir);
	assert_int_equal(system(text), 0);
	reopen();
	/* A checkpoint, which syncs, brings it into the file proper. */
	sqlite3 *db;
	sqlite3_stmt *s;
	snprintf(text, sizeof text, "file:%s?immutable=1", path);
	assert_int_equal(sqlite3_open_v2(text, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL),
	                 SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM device", -1, &s, NULL),
	                 SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(s, 0), 1);
	sqlite3_finalize(s);
	sqlite3_close(db);
	assert_int_equal(watchers("john", "Archive"), 1);
}

/* notifyctl writes while the sink has read, and the sink writes after that. */
static void test_other_writers(void **state)
{
	struct registry *other;
	int n;
	(void)state;
	reopen();
	enrol("john", TOKEN, "Archive");
	struct device d;
	assert_int_equal(registry_get(registry, 1, &d, &why), 1); /* reads still */
	assert_int_equal(
	    registry_open(&other, fixture_dir, "phones", names, REGISTRY_THERE, 1000, &aside, &why),
	    0);
	assert_int_equal(registry_remove(other, 1, &why), 1);
	assert_int_equal(registry_commit(other, &why), 0);
	enrol("jane", TOKEN, "Archive");
	assert_int_equal(watchers("john", "Archive"), 0);
	assert_int_equal(watchers("jane", "Archive"), 1);
	/* an id is never given twice */
	assert_int_equal(registry_get(registry, 1, &d, &why), 0);
	assert_int_equal(registry_get(registry, 2, &d, &why), 1);
	/* one that does not end is waited for, then told */
	n = registry_remove(other, 2, &why);
	assert_int_equal(n, 1);
	registry_rest(registry);
	struct registry_due due = {.device = 2, .user = "", .mailboxes = ""};
	assert_int_equal(registry_due_put(registry, &due, &why), -1);
	assert_non_null(strstr(why, "locked"));
	assert_int_equal(registry_commit(registry, &why), -1); /* it may hold half a change */
	registry_free(&other);
}

static void test_void(void **state)
{
	(void)state;
	reopen();
	enrol("john", TOKEN, "INBOX");
	enrol("jane", TOKEN, "INBOX");
	enrol("jim", "ab" TOKEN, "INBOX");
	assert_int_equal(registry_void(registry, 1, 1000, &why), 0); /* it is newer */
	assert_int_equal(registry_void(registry, 1, 1001, &why), 2);
	assert_int_equal(registry_commit(registry, &why), 0);
	assert_int_equal(watchers("jane", "INBOX"), 0);
	assert_int_equal(watchers("jim", "INBOX"), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_other_names_of_a_tool),
	    T(test_damage_seen_by_a_tool),
	    T(test_former),
	    T(test_mode),
	    T(test_missing),
	    T(test_migration),
	    T(test_later_version),
	    T(test_damage),
	    T(test_void),
	    T(test_other_names),
	    T(test_other_writers),
	};
	return cmocka_run_group_tests_name("apns_registry", tests, NULL, NULL);
}
