/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../notifyd/status.h"

static char journal[] = "/tmp/test_status.XXXXXX";

static const char *in_journal(const char *name)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s", journal, name);
	return path;
}

static int make(void **state)
{
	(void)state;
	return mkdtemp(journal) ? chmod(journal, 0750) : -1;
}

static int clean(void **state)
{
	(void)state;
	unlink(in_journal("status/mq"));
	rmdir(in_journal("status"));
	return rmdir(journal);
}

static json_t *load(void)
{
	char contents[STATUS_SIZE + 1];
	assert_int_equal(status_read(journal, "mq", contents), 0);
	assert_int_equal(strlen(contents), STATUS_SIZE);
	json_t *o = json_loads(contents, 0, NULL);
	assert_non_null(o);
	return o;
}

static void says(const char *key, const char *want)
{
	json_t *o = load();
	assert_string_equal(json_string_value(json_object_get(o, key)), want);
	json_decref(o);
}

static void counts(const char *key, json_int_t want)
{
	json_t *o = load();
	assert_int_equal(json_integer_value(json_object_get(o, key)), want);
	json_decref(o);
}

static void life(void **state)
{
	struct status *s = status_open(journal, "mq");
	struct stat st;
	(void)state;
	assert_non_null(s);
	says("state", "starting");
	counts("pid", getpid());
	status_state(s, "retrying in %d s", 8);
	says("state", "retrying in 8 s");
	status_error(s, "connection refused\n\"mq1\"");
	says("error", "connection refused\n\"mq1\"");
	status_count(s, 17, 3, 0x1a2b0);
	status_flush(s);
	counts("delivered", 17);
	counts("dropped", 3);
	says("position", "000000000001a2b0");
	assert_int_equal(stat(in_journal("status/mq"), &st), 0);
	assert_int_equal(st.st_size, STATUS_SIZE);
	assert_int_equal(st.st_mode & 07777, 0640); /* the journal's, without search */
	assert_int_equal(stat(in_journal("status"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	status_close(&s);
	assert_null(s);
	says("state", "retrying in 8 s");
}

/* The new object is shorter: nothing of the one before may follow it. */
static void hostile_text(void **state)
{
	struct status *s = status_open(journal, "mq");
	char text[4000];
	(void)state;
	assert_non_null(s);
	memset(text, '\x01', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	status_state(s, "%s", text);
	status_error(s, text);
	json_decref(load());
	memset(text, '\xff', sizeof text - 1);
	status_state(s, "%s", text);
	status_error(s, text);
	status_count(s, INT64_MAX - 100, INT64_MAX - 100, UINT64_MAX);
	status_flush(s);
	json_decref(load());
	status_state(s, "ok");
	status_error(s, "");
	says("state", "ok");
	status_close(&s);
}

/* A worker goes on counting where the one before stopped, or was killed; it is its own state that
 * it tells. */
static void counts_go_on(void **state)
{
	(void)state;
	unlink(in_journal("status/mq"));
	struct status *s = status_open(journal, "mq");
	says("connection", "starting");
	status_link(s, STATUS_RETRYING);
	status_state(s, "retrying");
	says("connection", "retrying");
	status_error(s, "\",\"delivered\":99,\"failures\":99,");
	status_count(s, 17, 3, 1);
	status_resent(s, 5);
	status_discarded(s, 7);
	status_inflight(s, 4);
	status_flush(s);
	counts("inFlight", 4);
	status_close(&s);
	s = status_open(journal, "mq");
	says("connection", "starting");
	counts("delivered", 17);
	counts("dropped", 3);
	counts("resent", 5);
	counts("discarded", 7);
	counts("failures", 1);
	counts("inFlight", 0);
	status_count(s, 2, 1, 2);
	status_resent(s, 1);
	status_discarded(s, 2);
	status_error(s, "again");
	status_flush(s);
	counts("discarded", 9);
	counts("delivered", 19);
	counts("dropped", 4);
	counts("resent", 6);
	counts("failures", 2);
	status_base(s, 40); /* the cursor's word counts more */
	status_flush(s);
	counts("delivered", 42);
	status_close(&s);
}

static void no_file(void **state)
{
	char contents[STATUS_SIZE + 1];
	struct status *s = status_open("/nonexistent", "mq");
	(void)state;
	assert_null(s);
	status_state(s, "x");
	status_error(s, "x");
	status_count(s, 1, 1, 1);
	status_flush(s);
	status_close(&s);
	assert_int_equal(status_read(journal, "none", contents), -1);
	assert_int_equal(errno, ENOENT);
}

static void not_whole(void **state)
{
	char contents[STATUS_SIZE + 1];
	(void)state;
	int fd = open(in_journal("status/mq"), O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(status_read(journal, "mq", contents), -1);
	assert_int_equal(errno, EBADMSG);
	assert_int_equal(ftruncate(fd, STATUS_SIZE), 0);
	assert_int_equal(status_read(journal, "mq", contents), -1);
	assert_int_equal(errno, EBADMSG);
	close(fd);
}

/* The end of one object behind the beginning of another, and any other byte. */
static void torn(void **state)
{
	(void)state;
	char contents[STATUS_SIZE + 1], first[STATUS_SIZE], second[STATUS_SIZE];
	struct status *s = status_open(journal, "mq");
	assert_non_null(s);
	int fd = open(in_journal("status/mq"), O_RDWR);
	status_state(s, "one");
	assert_int_equal(pread(fd, first, sizeof first, 0), sizeof first);
	status_state(s, "another");
	assert_int_equal(pread(fd, second, sizeof second, 0), sizeof second);
	size_t differ = 0;
	while (first[STATUS_SIZE - 1 - differ] == second[STATUS_SIZE - 1 - differ])
		differ++;
	for (size_t cut = 1; cut < STATUS_SIZE - differ; cut += 7) {
		assert_int_equal(pwrite(fd, first, cut, 0), (ssize_t)cut);
		if (memcmp(first, second, cut) == 0)
			continue;
		assert_int_equal(status_read(journal, "mq", contents), -1);
		assert_int_equal(errno, EBADMSG);
	}
	assert_int_equal(pwrite(fd, second, sizeof second, 0), sizeof second);
	assert_int_equal(status_read(journal, "mq", contents), 0);
	close(fd);
	status_close(&s);
}

/* A reader at any time sees a whole object. */
static void while_written(void **state)
{
	(void)state;
	struct status *s = status_open(journal, "mq");
	assert_non_null(s);
	pid_t writer = fork();
	if (writer == 0)
		for (unsigned i = 0;; i++)
			status_state(s, "%0*u", (int)(i % 100) + 1, i);
	assert_true(writer > 0);
	unsigned looks = 0;
	for (int i = 0; i < 2000; i++) {
		char contents[STATUS_SIZE + 1];
		if (status_read(journal, "mq", contents) < 0)
			continue; /* the writer outran it: says so, shows nothing wrong */
		json_t *o = json_loads(contents, 0, NULL);
		if (!o)
			kill(writer, SIGKILL);
		assert_non_null(o);
		json_decref(o);
		looks++;
	}
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	assert_true(looks > 0);
	status_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(life),         cmocka_unit_test(hostile_text),
	    cmocka_unit_test(no_file),      cmocka_unit_test(not_whole),
	    cmocka_unit_test(torn),         cmocka_unit_test(while_written),
	    cmocka_unit_test(counts_go_on),
	};
	return cmocka_run_group_tests_name("status", tests, make, clean);
}
