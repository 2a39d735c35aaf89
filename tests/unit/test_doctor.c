/* SPDX-License-Identifier: BSD-3-Clause */
/* What doctor finds where a test of the whole can't easily bring it about: relocations of damaged
 * objects, a clock that was set back, a journal without room. */
#include "../../lib/cursor.h"
#include "../../lib/lost.h"
#include "../../notifyd/doctor.h"
#include "../../notifyd/plt.h"
#include "journal_fixture.h"

#include <sys/stat.h>

#include <errno.h>
#include <time.h>

static struct buf lines = BUF_INIT;

static void found(void *ctx, bool error, const char *line)
{
	(void)ctx;
	buf_addf(&lines, "%s: %s\n", error ? "error" : "warning", line);
}

static void none(void *ctx, const char *line)
{
	(void)ctx;
	fail_msg("%s", line);
}

void doctor_error(const struct doctor *d, const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	d->found(d->ctx, true, line);
}

void doctor_warning(const struct doctor *d, const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	d->found(d->ctx, false, line);
}

/* What doctor_journal() says of the fixture's journal with these lines of imapd.conf more. */
static const char *look(const char *more)
{
	char path[128];
	struct settings *settings;

	snprintf(path, sizeof(path), "%s/imapd.conf", fixture_dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
	        "configdirectory: /tmp\nmboxevent_journal: %s\nnotifyd_sinks: a\n"
	        "notifyd_a_type: null\n%s",
	        fixture_dir, more);
	fclose(f);
	assert_int_equal(settings_load(&settings, path, none, NULL), 0);
	struct doctor d = {
	    .conf_path = path, .settings = settings, .journal = fixture_fd, .found = found};
	lines.len = 0;
	doctor_journal(&d);
	settings_free(&settings);
	return buf_cstr(&lines);
}

static void append(unsigned n, size_t len)
{
	struct journal *j = fixture_journal();
	char *json = malloc(len);

	assert_non_null(json);
	memset(json, 'x', len);
	while (n--) {
		const char *why;
		struct record rec = {.event = STR("MessageRead"), .json = {json, len}};

		assert_int_equal(journal_append(j, &rec, NULL, &why), 0);
	}
	free(json);
	journal_close(&j);
}

static void well(void **state)
{
	(void)state;
	append(3, 100);
	assert_string_equal(
	    look("mboxevent_min_free: 0\nmboxevent_max_size: 64M\n" /* not the disk's */
	         "mboxevent_segment_size: 256K\n"),
	    "");
}

static void losses(void **state)
{
	(void)state;
	append(1, 100);
	assert_int_equal(lost_add(fixture_fd, LOST_UNKNOWN, 7), 0);
	assert_int_equal(lost_add(fixture_fd, LOST_QUOTA, 2), 0);
	const char *said = look("mboxevent_min_free: 0\n");
	assert_non_null(strstr(said, "warning: 7 events were lost"));
	assert_non_null(strstr(said, "(unknown)"));
	assert_non_null(strstr(said, "warning: 2 events were lost since the journal was made "
	                             "(quota): the disk quota of the journal's owner was used up; "
	                             "raise it"));
}

static void no_room(void **state)
{
	(void)state;
	append(40, 8000); /* some 320 KB */
	assert_non_null(strstr(look("mboxevent_min_free: 0\nmboxevent_max_size: 1M\n"
	                            "mboxevent_segment_size: 256K\n"),
	                       "is left before they are refused"));
	const struct journal_options small = {.segment_size = 64 << 10, .max_size = 384 << 10};
	const struct record rec = {.event = STR("MessageRead"), .json = STR("{}")};
	const char *why;
	struct journal *j;
	unsigned n = 0;

	assert_int_equal(journal_open(&j, fixture_dir, &small, &why), 0);
	while (n < 100000 && journal_append(j, &rec, NULL, &why) == 0)
		n++;
	assert_in_range(n, 1, 99999);
	journal_close(&j);
	assert_non_null(strstr(look("mboxevent_min_free: 0\nmboxevent_max_size: 384K\n"
	                            "mboxevent_segment_size: 64K\n"),
	                       "error: there is no room"));
}

static void clock_set_back(void **state)
{
	struct segment seg = {.base = UINT64_C(1) << 41, .limit = 65536};

	(void)state;
	append(1, 100);
	seg.created = ((int64_t)time(NULL) + 3600) * 1000000;
	segment_boot(seg.boot);
	assert_int_equal(segment_create(fixture_fd, &seg), 0);
	assert_non_null(strstr(look("mboxevent_min_free: 0\n"), "the clock was set back"));
}

static void orphan(void **state)
{
	struct cursor *c;
	char *why;
	bool made;

	(void)state;
	assert_int_equal(cursor_open(&c, fixture_fd, "b", 0, &made, &why), 0);
	cursor_close(&c);
	assert_non_null(
	    strstr(look("mboxevent_min_free: 0\n"),
	           "cursors/b is the place of a sink that notifyd_sinks does not name"));
}

/* A file of these bytes. */
static int calls(const char *bytes, size_t len, const char *symbol)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/object", fixture_dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	fclose(f);
	return plt_calls(path, symbol);
}

static void relocations(void **state)
{
	struct buf whole = BUF_INIT;
	char chunk[4096];
	size_t n;

	(void)state;
	assert_int_equal(plt_calls("/proc/self/exe", "plt_calls_never"), 0);
	assert_int_equal(plt_calls("/proc/self/exe", "_cmocka_run_group_tests"), 1);
	assert_int_equal(plt_calls("/nowhere", "fopen"), -1);
	assert_int_equal(errno, ENOENT);
	/* It does not wait for a writer that never comes. */
	char fifo[128];
	snprintf(fifo, sizeof(fifo), "%s/fifo", fixture_dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(plt_calls(fifo, "fopen"), -1);
	unlink(fifo);
	assert_int_equal(calls("text", 4, "fopen"), -1);
	assert_int_equal(errno, ENOEXEC);

	/* Cut short or spoilt anywhere, it is answered, whatever the answer. */
	FILE *f = fopen("/proc/self/exe", "r");
	assert_non_null(f);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(&whole, chunk, n);
	fclose(f);
	for (size_t len = 0; len < whole.len; len += len < 1024 ? 16 : whole.len / 64)
		calls(whole.s, len, "fopen");
	for (size_t at = 0; at < 4096 && at < whole.len; at += 4) {
		char kept[4];

		memcpy(kept, whole.s + at, 4);
		memset(whole.s + at, 0xf7, 4);
		if (at % 64 < 8 || at < 1024)
			calls(whole.s, whole.len < 65536 ? whole.len : 65536, "fopen");
		memcpy(whole.s + at, kept, 4);
	}
	buf_free(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(well, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(losses, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(no_room, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(clock_set_back, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(orphan, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(relocations, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
