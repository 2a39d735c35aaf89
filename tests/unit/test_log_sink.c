/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../notifyd/sink.h"

static char dir[64];
static char conf_path[128], log_path[128];
static struct conf *conf;
static struct sink sink;
static const struct conf_option *tables[2];
static uint64_t next_pos;

static void configure(const char *path, const char *more)
{
	char *why = NULL;
	FILE *f = fopen(conf_path, "w");
	assert_non_null(f);
	fprintf(f, "notifyd_audit_path: %s\n%s", path, more);
	fclose(f);
	conf_free(&conf);
	conf = conf_read(conf_path, &why);
	assert_non_null(conf);
	sink = (struct sink){.driver = sink_driver("log", NULL), .name = "audit"};
	assert_non_null(sink.driver);
	tables[0] = sink.driver->options;
	sink.conf = (struct conf_scope){conf, NULL, "notifyd_audit_", tables};
}

static int make(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_log_sink.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(conf_path, sizeof conf_path, "%s/imapd.conf", dir);
	snprintf(log_path, sizeof log_path, "%s/log", dir);
	next_pos = 1000;
	configure(log_path, "");
	return 0;
}

static int clean(void **state)
{
	char path[160];
	(void)state;
	sink.driver->close(&sink);
	conf_free(&conf);
	unlink(conf_path);
	unlink(log_path);
	snprintf(path, sizeof path, "%s.1", log_path);
	unlink(path);
	snprintf(path, sizeof path, "%s/sock", dir);
	unlink(path);
	return rmdir(dir);
}

static int send_json(const char *json, size_t len)
{
	struct record rec = {.pos = next_pos, .next = next_pos + 10, .json = {json, len}};
	int r = sink.driver->send(&sink, &rec);
	if (r == SINK_OK)
		next_pos += 10;
	return r;
}

static void take(const char *json)
{
	assert_int_equal(send_json(json, strlen(json)), SINK_OK);
}

static int flush(uint64_t *confirmed_r, size_t *inflight_r)
{
	return sink.driver->flush(&sink, 0, confirmed_r, inflight_r);
}

static void write_file(const char *s)
{
	FILE *f = fopen(log_path, "w");
	assert_non_null(f);
	fputs(s, f);
	fclose(f);
}

static void holds(const char *path, const char *want)
{
	char got[4096];
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	got[fread(got, 1, sizeof got - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(got, want);
}

static void confirms_what_is_written(void **state)
{
	uint64_t confirmed = 0;
	size_t inflight = 99;
	struct stat st;
	mode_t mask = umask(0077);
	(void)state;
	assert_int_equal(sink.driver->open(&sink), SINK_OK);
	umask(mask);
	assert_int_equal(stat(log_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	take("{\"a\":1}");
	take("{\"b\":2}");
	holds(log_path, "");
	assert_int_equal(flush(&confirmed, &inflight), SINK_OK);
	assert_int_equal(confirmed, 1020);
	assert_int_equal(inflight, 0);
	holds(log_path, "{\"a\":1}\n{\"b\":2}\n");
	confirmed = 7;
	assert_int_equal(flush(&confirmed, &inflight), SINK_OK);
	assert_int_equal(confirmed, 7);
}

static void full_before_it_is_flushed(void **state)
{
	uint64_t confirmed = 0;
	size_t inflight, taken = 0;
	int r;
	(void)state;
	assert_int_equal(sink.driver->open(&sink), SINK_OK);
	while ((r = send_json("{}", 2)) == SINK_OK && taken < 100000)
		taken++;
	assert_int_equal(r, SINK_FULL);
	assert_int_equal(flush(&confirmed, &inflight), SINK_OK);
	assert_int_equal(confirmed, 1000 + 10 * taken);
	assert_int_equal(send_json("{}", 2), SINK_OK);
}

static void one_record_larger_than_a_batch(void **state)
{
	size_t size = 4u << 20, inflight;
	uint64_t confirmed = 0;
	char *json = malloc(size);
	struct stat st;
	(void)state;
	memset(json, 'x', size);
	assert_int_equal(sink.driver->open(&sink), SINK_OK);
	assert_int_equal(send_json(json, size), SINK_OK);
	assert_int_equal(send_json(json, size), SINK_FULL);
	assert_int_equal(flush(&confirmed, &inflight), SINK_OK);
	assert_int_equal(confirmed, 1010);
	assert_int_equal(stat(log_path, &st), 0);
	assert_int_equal(st.st_size, size + 1);
	free(json);
}

/* A limit of the file's size cuts a write short just as a full disk does. */
static void full_disk(void **state)
{
	struct rlimit old, limit;
	uint64_t confirmed = 0;
	size_t inflight = 0;
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){18, old.rlim_max};
	assert_int_equal(sink.driver->open(&sink), SINK_OK);
	take("{\"a\":1}");
	take("{\"b\":2}");
	take("{\"c\":3}");
	setrlimit(RLIMIT_FSIZE, &limit);
	int first = flush(&confirmed, &inflight);
	uint64_t at_first = confirmed;
	int second = flush(&confirmed, &inflight);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(first, SINK_OK);
	assert_int_equal(at_first, 1020);
	assert_int_equal(second, SINK_RETRY);
	assert_int_equal(confirmed, 1020);
	assert_int_equal(inflight, 1);
	assert_true(strlen(sink.why) > 0);
	holds(log_path, "{\"a\":1}\n{\"b\":2}\n"); /* two of 18 bytes are taken back */

	/* room again: what was not confirmed is sent once more */
	sink.driver->close(&sink);
	assert_null(sink.state);
	assert_int_equal(sink.driver->open(&sink), SINK_OK);
	take("{\"c\":3}");
	assert_int_equal(flush(&confirmed, &inflight), SINK_OK);
	holds(log_path, "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
}

static void mends_what_a_kill_left(void **state)
{
	static const struct {
		const char *before, *after;
	} cases[] = {
	    {"", "{}\n"},
	    {"{\"a\":1}\n", "{\"a\":1}\n{}\n"},
	    {"{\"a\":1}\n{\"b", "{\"a\":1}\n{}\n"},
	    {"{\"b", "{}\n"},
	    {"somebody else's", "somebody else's\n{}\n"},
	    {"\n\n", "\n\n{}\n"},
	};
	uint64_t confirmed;
	size_t inflight;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		write_file(cases[i].before);
		assert_int_equal(sink.driver->open(&sink), SINK_OK);
		take("{}");
		assert_int_equal(flush(&confirmed, &inflight), SINK_OK);
		sink.driver->close(&sink);
		holds(log_path, cases[i].after);
	}
}

static void mends_a_long_line(void **state)
{
	size_t size = 100000;
	char *text = malloc(size);
	struct stat st;
	(void)state;
	memset(text, 'x', size);
	memcpy(text, "{}\n{", 4);
	text[size - 1] = '\0';
	write_file(text);
	free(text);
	assert_int_equal(sink.driver->open(&sink), SINK_OK);
	assert_int_equal(stat(log_path, &st), 0);
	assert_int_equal(st.st_size, 3);
}

static void reopens(void **state)
{
	char old[160];
	uint64_t confirmed;
	size_t inflight;
	(void)state;
	snprintf(old, sizeof old, "%s.1", log_path);
	assert_int_equal(sink.driver->open(&sink), SINK_OK);
	take("{\"a\":1}");
	assert_int_equal(flush(&confirmed, &inflight), SINK_OK);
	assert_int_equal(rename(log_path, old), 0);
	take("{\"b\":2}");
	sink.driver->reopen(&sink);
	assert_int_equal(flush(&confirmed, &inflight), SINK_OK);
	holds(old, "{\"a\":1}\n");
	holds(log_path, "{\"b\":2}\n");

	/* where that fails nothing is confirmed */
	unlink(log_path);
	assert_int_equal(mkdir(log_path, 0700), 0);
	take("{\"c\":3}");
	confirmed = 7;
	sink.driver->reopen(&sink);
	assert_int_equal(flush(&confirmed, &inflight), SINK_RETRY);
	assert_int_equal(confirmed, 7);
	assert_non_null(strstr(sink.why, log_path));
	rmdir(log_path);
}

static void refuses(void **state)
{
	static const char *const paths[] = {"relative", "syslogs", "stdout"};
	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		configure(paths[i], "");
		assert_int_equal(sink.driver->check(&sink), -1);
		assert_non_null(strstr(sink.why, paths[i]));
		assert_int_equal(sink.driver->open(&sink), SINK_RETRY);
		assert_null(sink.state);
	}
	configure(dir, "");
	assert_int_equal(sink.driver->check(&sink), -1);
	configure("/dev/null", "");
	assert_int_equal(sink.driver->check(&sink), -1);
	assert_int_equal(sink.driver->open(&sink), SINK_RETRY);
	configure("/nonexistent/log", "");
	assert_int_equal(sink.driver->check(&sink), 0); /* may be there later */
	assert_int_equal(sink.driver->open(&sink), SINK_RETRY);
	sink.driver->close(&sink); /* safe without state */
}

static void to_syslog(void **state)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char value[160], line[256];
	uint64_t confirmed = 0;
	size_t inflight;
	(void)state;
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/sock", dir);
	snprintf(value, sizeof value, "syslog:%s", sun.sun_path);
	configure(value, "");
	assert_int_equal(sink.driver->check(&sink), 0);
	assert_int_equal(sink.driver->open(&sink), SINK_RETRY); /* nobody listens */
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	assert_int_equal(sink.driver->open(&sink), SINK_OK);
	take("{\"a\":1}");
	take("{\"b\":2}");
	assert_int_equal(flush(&confirmed, &inflight), SINK_OK);
	assert_int_equal(confirmed, 1020);
	ssize_t n = recv(fd, line, sizeof line - 1, 0);
	assert_true(n > 0);
	line[n] = '\0';
	assert_int_equal(strncmp(line, "<22>", 4), 0);
	assert_non_null(strstr(line, " notifyd["));
	assert_string_equal(line + n - 7, "{\"a\":1}");

	/* a daemon that doesn't read delays, and loses nothing */
	int r = SINK_OK;
	for (int i = 0; i < 10000 && r == SINK_OK; i++) {
		r = send_json("{}", 2);
		if (r == SINK_FULL) {
			assert_int_equal(flush(&confirmed, &inflight), SINK_OK);
			r = inflight ? SINK_FULL : SINK_OK;
		}
	}
	assert_int_equal(r, SINK_FULL);
	assert_true(confirmed < next_pos);
	close(fd);
	assert_int_equal(flush(&confirmed, &inflight), SINK_RETRY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(confirms_what_is_written, make, clean),
	    cmocka_unit_test_setup_teardown(full_before_it_is_flushed, make, clean),
	    cmocka_unit_test_setup_teardown(one_record_larger_than_a_batch, make, clean),
	    cmocka_unit_test_setup_teardown(full_disk, make, clean),
	    cmocka_unit_test_setup_teardown(mends_what_a_kill_left, make, clean),
	    cmocka_unit_test_setup_teardown(mends_a_long_line, make, clean),
	    cmocka_unit_test_setup_teardown(reopens, make, clean),
	    cmocka_unit_test_setup_teardown(refuses, make, clean),
	    cmocka_unit_test_setup_teardown(to_syslog, make, clean),
	};
	return cmocka_run_group_tests_name("log sink", tests, NULL, NULL);
}
