/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls notify() as a mail process does, and times it: stock Cyrus's, to a listener that only
 * receives; the hook's; and write() of the very bytes that the hook wrote.
 *
 * $NOTIFYSOCKET is that of CONF.
 *
 *   caller mean CONF HOOK EVENTS CALLS RUNS         stock and hook in turn
 *   caller paced CONF HOOK EVENTS CALLS RUNS        the same, a call every 200 us
 *   caller writers CONF HOOK EVENTS CALLS RUNS      the same, 8 processes at once
 *   caller bare CONF HOOK EVENTS CALLS RUNS DIR     hook and write() in turn; DIR: the journal
 *   caller slow CONF HOOK EVENTS CALLS              the hook: calls over 1 ms
 *   caller fill CONF HOOK EVENTS CALLS              the hook: no more than that
 *   caller stamps CONF HOOK EVENTS CALLS            the hook, a call every 5 ms: when each began,
 *                                                   monotonic nanoseconds, a line each
 *
 * A line a run: nanoseconds a call, in the order above. slow: calls, those over 1 ms, the
 * longest in microseconds. EVENTS: a native event a line. */
#include "../../lib/reader.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 8, PACE_NS = 200000, WARM_UP = 2000, SLOW_NS = 1000000, REST_US = 5000 };

typedef void notify_fn(const char *method, const char *class, const char *priority,
                       const char *user, const char *mailbox, int nopt, const char **options,
                       const char *message, const char *fname);

static notify_fn *stock, *hook;
static char **events;
static size_t n_events;
static struct buf *records; /* what the hook made of the events */
static int file = -1;

/* Cyrus's libraries want these of their program. */
#pragma GCC visibility push(default)
__attribute__((noreturn)) void fatal(const char *why, int code);
void *cyrus_mutex_alloc(void);
int cyrus_mutex_lock(void *m), cyrus_mutex_unlock(void *m);
void cyrus_mutex_free(void *m);
#pragma GCC visibility pop

void *cyrus_mutex_alloc(void)
{
	return NULL;
}

int cyrus_mutex_lock(void *m)
{
	(void)m;
	return 0;
}

int cyrus_mutex_unlock(void *m)
{
	(void)m;
	return 0;
}

void cyrus_mutex_free(void *m)
{
	(void)m;
}

void fatal(const char *why, int code)
{
	fprintf(stderr, "caller: %s\n", why);
	_exit(code ? code : 1);
}

static void *need(void *p, const char *what)
{
	if (!p) {
		const char *why = dlerror();
		fprintf(stderr, "caller: %s: %s\n", what, why ? why : strerror(errno));
		exit(1);
	}
	return p;
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void load(const char *conf, const char *hook_path)
{
	void *min = need(dlopen("libcyrus_min.so.0", RTLD_LAZY | RTLD_GLOBAL), "libcyrus_min");
	need(dlopen("libcyrus_sieve.so.0", RTLD_LAZY | RTLD_GLOBAL), "libcyrus_sieve");
	void *imap = need(dlopen("libcyrus_imap.so.0", RTLD_LAZY | RTLD_GLOBAL), "libcyrus_imap");
	void (*config_read)(const char *, int) = need(dlsym(min, "config_read"), "config_read");
	const char **ident = need(dlsym(min, "config_ident"), "config_ident");
	*ident = "imap";
	config_read(conf, 0);
	stock = (notify_fn *)need(dlsym(imap, "notify"), "notify");
	hook = (notify_fn *)need(dlsym(need(dlopen(hook_path, RTLD_NOW), hook_path), "notify"),
	                         "the hook's notify");
	if (stock == hook) {
		fprintf(stderr, "caller: both are one notify()\n");
		exit(1);
	}
}

static void read_events(const char *path)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	FILE *f = need(fopen(path, "r"), path);
	while ((n = getline(&line, &cap, f)) > 0) {
		line[n - 1] = '\0';
		events = need(realloc(events, (n_events + 1) * sizeof *events), "memory");
		events[n_events++] = need(strdup(line), "memory");
	}
	fclose(f);
	free(line);
	need(n_events ? events : NULL, path);
}

/* The last records of the journal, one an event, in the order of the events. */
static void read_records(const char *dir)
{
	struct record rec;
	char *why = NULL;
	size_t n = 0;
	struct reader *r = need(reader_open(dir, 0, &why), dir);
	records = need(calloc(n_events, sizeof *records), "memory");
	while (n < n_events && reader_next(r, &rec) == 1)
		record_encode(&records[n++], RECORD_EVENT, &rec, rec.time);
	reader_close(&r);
	need(n == n_events ? records : NULL, "records of the journal");
}

static void by_stock(size_t i)
{
	stock("mboxevent", "EVENT", NULL, NULL, NULL, 0, NULL, events[i], NULL);
}

static void by_hook(size_t i)
{
	hook("mboxevent", "EVENT", NULL, NULL, NULL, 0, NULL, events[i], NULL);
}

static void by_write(size_t i)
{
	if (write(file, records[i].s, records[i].len) != (ssize_t)records[i].len) {
		perror("caller: write");
		exit(1);
	}
}

typedef void way(size_t i);

static double back_to_back(way *call, size_t calls)
{
	int64_t begin = now();
	for (size_t i = 0, e = 0; i < calls; i++, e = e + 1 < n_events ? e + 1 : 0)
		call(e);
	return (double)(now() - begin) / (double)calls;
}

static double paced(way *call, size_t calls)
{
	int64_t inside = 0, due = now();
	for (size_t i = 0; i < calls; i++) {
		due += PACE_NS;
		struct timespec t = {due / 1000000000, due % 1000000000};
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
			;
		int64_t begin = now();
		call(i % n_events);
		inside += now() - begin;
	}
	return (double)inside / (double)calls;
}

/* Each does all its calls; nanoseconds by the wall clock, for one of all the calls. */
static double writers(way *call, size_t calls)
{
	int gate[2], ready[2];
	char byte = 0;
	pid_t pids[WRITERS];
	if (pipe(gate) < 0 || pipe(ready) < 0)
		fatal("pipe", 1);
	for (int i = 0; i < WRITERS; i++) {
		if ((pids[i] = fork()) == 0) {
			close(gate[1]);
			back_to_back(call, 10);
			if (write(ready[1], &byte, 1) != 1 || read(gate[0], &byte, 1) != 0)
				_exit(1);
			back_to_back(call, calls);
			_exit(0);
		}
	}
	for (int i = 0; i < WRITERS; i++)
		if (read(ready[0], &byte, 1) != 1)
			fatal("a writer ended", 1);
	int64_t begin = now();
	close(gate[1]);
	for (int i = 0, status; i < WRITERS; i++)
		if (waitpid(pids[i], &status, 0) < 0 || status)
			fatal("a writer failed", 1);
	int64_t all = now() - begin;
	close(gate[0]);
	close(ready[0]);
	close(ready[1]);
	return (double)all / (double)calls / WRITERS;
}

static void slow(size_t calls)
{
	size_t over = 0;
	int64_t longest = 0, last = now();
	for (size_t i = 0, e = 0; i < calls; i++, e = e + 1 < n_events ? e + 1 : 0) {
		by_hook(e);
		int64_t t = now();
		if (t - last > SLOW_NS)
			over++;
		if (t - last > longest)
			longest = t - last;
		last = t;
	}
	printf("%zu %zu %.0f\n", calls, over, (double)longest / 1000);
}

static void stamps(size_t calls)
{
	for (size_t i = 0; i < calls; i++) {
		printf("%lld\n", (long long)now());
		by_hook(i % n_events);
		usleep(REST_US);
	}
}

/* Stands where Cyrus's notifyd stands; its end comes with ours. */
static pid_t listener(const char *path)
{
	static char datagram[1 << 16];
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_DGRAM, 0);
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	unlink(path);
	if (s < 0 || bind(s, (struct sockaddr *)&sun, sizeof sun) < 0)
		need(NULL, path);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (recv(s, datagram, sizeof datagram, 0) >= 0)
			;
		_exit(1);
	}
	close(s);
	return pid;
}

/* Two ways in turn, a line each time. */
static void compare(double (*how)(way *, size_t), way *a, way *b, size_t calls, int runs,
                    const char *path)
{
	for (int i = 0; i < runs; i++) {
		/* What notifyd does for the other's events must not fall into this one's time. */
		if (how == paced)
			sleep(2);
		double x = how(a, calls);
		if (how == paced)
			sleep(1);
		if (path && ftruncate(file, 0) < 0)
			fatal("ftruncate", 1);
		double y = how(b, calls);
		printf("%.1f %.1f\n", x, y);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	if (argc < 6)
		fatal("see its source for its arguments", 64);
	const char *mode = argv[1];
	size_t calls = strtoul(argv[5], NULL, 10);
	int runs = argc > 6 ? atoi(argv[6]) : 1;
	load(argv[2], argv[3]);
	read_events(argv[4]);

	if (strcmp(mode, "stamps") == 0) {
		stamps(calls);
		return 0;
	}
	if (strcmp(mode, "slow") == 0 || strcmp(mode, "fill") == 0) {
		back_to_back(by_hook, n_events);
		if (*mode == 's')
			slow(calls);
		else
			printf("%.1f\n", back_to_back(by_hook, calls));
		return 0;
	}
	if (strcmp(mode, "bare") == 0 && argc > 7) {
		char path[4096];
		back_to_back(by_hook, n_events);
		read_records(argv[7]);
		snprintf(path, sizeof path, "%s/bare", argv[7]);
		file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		need(file < 0 ? NULL : &file, path);
		back_to_back(by_hook, WARM_UP);
		back_to_back(by_write, WARM_UP);
		compare(back_to_back, by_hook, by_write, calls, runs, path);
		unlink(path);
		return 0;
	}

	const char *notifysocket = getenv("NOTIFYSOCKET");
	pid_t pid = listener(need((void *)(uintptr_t)notifysocket, "NOTIFYSOCKET"));
	back_to_back(by_stock, WARM_UP);
	back_to_back(by_hook, WARM_UP);
	compare(strcmp(mode, "paced") == 0     ? paced
	        : strcmp(mode, "writers") == 0 ? writers
	                                       : back_to_back,
	        by_stock, by_hook, calls, runs, NULL);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(notifysocket);
	return 0;
}
