/* SPDX-License-Identifier: BSD-3-Clause */
/* A sink's process with a driver of the test's own, and a disk that fails to sync its dead
 * letters. */
#include "../../lib/cursor.h"
#include "../../notifyd/link.h"
#include "../../notifyd/worker.h"

#include "journal_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { PATIENCE_S = 60 };

/* Between the worker and the test. */
struct shared {
	volatile int failed;    /* syncs of dead letters that did */
	volatile int delivered; /* of events */
};
static struct shared *shared;

/* Instead of libc's, for libnotifyd too: the first one of a dead letter fails. */
int fdatasync(int fd)
{
	char link[64], path[512];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	path[n > 0 ? n : 0] = '\0';
	if (strstr(path, ".dead") && shared && shared->failed++ == 0) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

/* --- the driver: nobody wants the event until that sync failed --- */

static int test_open(struct sink *sink)
{
	sink->state = shared;
	return SINK_OK;
}

static int test_send(struct sink *sink, const struct record *rec)
{
	(void)rec;
	if (!shared->failed)
		return sink_why(sink, SINK_DROP, "nobody wants it yet");
	shared->delivered++;
	return SINK_OK;
}

static int test_flush(struct sink *sink, int wait_ms, uint64_t *confirmed_r, size_t *inflight_r)
{
	(void)sink;
	(void)wait_ms;
	(void)confirmed_r;
	*inflight_r = 0;
	return SINK_OK;
}

static void test_close(struct sink *sink)
{
	sink->state = NULL;
}

static const struct conf_option no_options[] = {{.name = NULL}};

/* Instead of notifyd's. */
const struct sink_driver *sink_driver(const char *type, char **why_r)
{
	static const struct sink_driver driver = {
	    .name = "test",
	    .options = no_options,
	    .open = test_open,
	    .send = test_send,
	    .flush = test_flush,
	    .close = test_close,
	};
	(void)type;
	if (why_r)
		*why_r = NULL;
	return &driver;
}

/* The position of its cursor, in the end. */
static uint64_t work_until(const char *conf, int delivered)
{
	int link[2], status;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(link[0]);
		_exit(worker_main(conf, "sink", link[1]));
	}
	close(link[1]);
	for (int i = 0; i < PATIENCE_S * 100 && shared->delivered < delivered; i++)
		usleep(10000);
	assert_int_equal(write(link[0], (char[]){LINK_STOP}, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(link[0]);
	struct cursor_state state;
	assert_int_equal(cursor_peek(fixture_fd, "sink", &state), 0);
	return state.pos;
}

/* An event that became a dead letter, but not on the disk, and is wanted the next time. */
static void test_sync_fails(void **state)
{
	(void)state;
	char conf[128];
	snprintf(conf, sizeof conf, "%s/imapd.conf", fixture_dir);
	FILE *f = fopen(conf, "we");
	assert_non_null(f);
	fprintf(f,
	        "mboxevent_journal: %s\nnotifyd_sinks: sink\nnotifyd_sink_type: null\n"
	        "notifyd_sink_from: oldest\n",
	        fixture_dir);
	fclose(f);
	struct journal *j = fixture_journal();
	for (int n = 0; n < 3; n++)
		fixture_append(j, 0, n);
	journal_close(&j);
	assert_int_equal(work_until(conf, 3), journal_end(fixture_fd));
	assert_true(shared->failed > 0);
	assert_int_equal(shared->delivered, 3);
}

int main(void)
{
	shared =
	    mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_sync_fails, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
