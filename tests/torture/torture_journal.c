/* SPDX-License-Identifier: BSD-3-Clause */
/* Writers that are stopped and killed between any two system calls of their appends,
 * 64 KB segments, a trimmer at the reader's heels. The oracle: each event that an append accepted
 * is read exactly once, at the position it was told, in its writer's order.
 * usage: torture_journal [WRITERS [EVENTS]]   (8, 200000 accepted events)
 * TAP; the seed is printed, $MBOXEVENT_SEED repeats it. */
#include "../../lib/identity.h"
#include "../../lib/journal.h"
#include "../../lib/reader.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 64, EACH = 500000 };

/* What the processes share. */
static struct {
	uint64_t accepted[WRITERS][EACH]; /* position + 1; 0: not known to be accepted */
	int tried[WRITERS];
	unsigned long stops, kills, refused, done;
	int stop;
} * shared;

static int writers = 8;
static unsigned long target = 200000;
static bool in_writer;
static uint64_t seed;

static unsigned chance(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(seed >> 33);
}

void chaos(void)
{
	if (!in_writer)
		return;
	unsigned c = chance();
	if (c % 700 == 0) {
		__atomic_add_fetch(&shared->stops, 1, __ATOMIC_RELAXED);
		usleep(200 + chance() % (chance() % 20 == 0 ? 200000 : 8000));
	} else if (c % 9000 == 7) {
		__atomic_add_fetch(&shared->kills, 1, __ATOMIC_RELAXED);
		kill(getpid(), SIGKILL);
	}
}

static void write_events(const char *dir, int who)
{
	static const struct journal_options opt = {.segment_size = 64 << 10,
	                                           .max_size = UINT64_C(1) << 40};
	static char json[9000];
	struct journal *j;
	const char *why;
	in_writer = true;
	seed += (uint64_t)who * 7919 + (uint64_t)getpid();
	if (journal_open(&j, dir, &opt, &why) < 0)
		_exit(1);
	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED) && shared->tried[who] < EACH - 1) {
		char user[8];
		uint64_t pos;
		int n = ++shared->tried[who];
		size_t pad = chance() % 50 == 0 ? chance() % 8000 : chance() % 300;
		int len = snprintf(json, sizeof json, "{\"n\":%d,\"p\":\"", n);
		memset(json + len, 'x', pad);
		memcpy(json + (size_t)len + pad, "\"}", 3);
		snprintf(user, sizeof user, "%d", who);
		struct record rec = {.event = STR("E"),
		                     .user = {user, strlen(user)},
		                     .json = {json, (size_t)len + pad + 2}};
		if (journal_append(j, &rec, &pos, &why) == 0) {
			shared->accepted[who][n] = pos + 1;
			__atomic_add_fetch(&shared->done, 1, __ATOMIC_RELAXED);
		} else {
			__atomic_add_fetch(&shared->refused, 1, __ATOMIC_RELAXED);
		}
	}
	_exit(0);
}

static pid_t start(const char *dir, int who)
{
	pid_t pid = fork();
	if (pid == 0)
		write_events(dir, who);
	return pid;
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/mboxevent-torture-XXXXXX", command[64], *why = NULL;
	pid_t pids[WRITERS];
	static uint64_t seen[WRITERS][EACH];
	int last[WRITERS] = {0};
	unsigned long read = 0, twice = 0, order = 0, moved = 0, missing = 0, accepted = 0,
		      trims = 0;

	if (argc > 1)
		writers = atoi(argv[1]);
	if (argc > 2)
		target = strtoul(argv[2], NULL, 10);
	const char *env = getenv("MBOXEVENT_SEED");
	seed = env ? strtoull(env, NULL, 10) : (uint64_t)time(NULL);
	printf("1..1\n# MBOXEVENT_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	shared =
	    mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || writers < 1 || writers > WRITERS || !mkdtemp(dir) ||
	    journal_init(dir, &why) < 0) {
		printf("Bail out! %s\n", why ? why : "cannot set up");
		return 1;
	}
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct reader *r = reader_open(dir, 0, &why);
	for (int i = 0; i < writers; i++)
		pids[i] = start(dir, i);

	int rounds_at_end = 0;
	struct record rec;
	while (rounds_at_end < 3) {
		int got = reader_next(r, &rec);
		if (got == 1) {
			int who = atoi(rec.user.s), n = atoi(rec.json.s + 5);
			read++;
			twice += seen[who][n] != 0;
			order += n <= last[who];
			last[who] = n;
			seen[who][n] = rec.pos + 1;
			if (read % 997 == 0)
				trims += (unsigned long)journal_trim(dirfd, reader_pos(r), 0);
			continue;
		}
		if (shared->stop) {
			/* a reader looks for a newer segment once a second */
			usleep(700000);
			rounds_at_end++;
			continue;
		}
		if (shared->done >= target) {
			shared->stop = 1;
			for (int i = 0; i < writers; i++)
				waitpid(pids[i], NULL, 0);
			continue;
		}
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		for (int i = 0; pid > 0 && i < writers; i++)
			if (pids[i] == pid) {
				seed += read;
				pids[i] = start(dir, i);
			}
		usleep(500);
	}
	for (int i = 0; i < writers; i++)
		for (int n = 1; n <= shared->tried[i]; n++) {
			if (!shared->accepted[i][n])
				continue;
			accepted++;
			missing += !seen[i][n];
			moved += seen[i][n] && seen[i][n] != shared->accepted[i][n];
		}
	const struct reader_damage *d = reader_damage(r);
	bool good = accepted >= target && !missing && !twice && !order && !moved && !d->gap &&
	            shared->kills && shared->stops && trims;
	printf(
	    "%sok 1 - %d writers stopped and killed anywhere, and a trimmer\n"
	    "# accepted %lu, read %lu, stops %lu, kills %lu, segments deleted %lu, torn %llu\n"
	    "# missing %lu, twice %lu, out of order %lu, elsewhere %lu, gaps %llu, refused %lu\n",
	    good ? "" : "not ", writers, accepted, read, shared->stops, shared->kills, trims,
	    (unsigned long long)d->torn, missing, twice, order, moved, (unsigned long long)d->gap,
	    shared->refused);
	reader_close(&r);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	if (good && system(command) != 0)
		printf("# %s stays\n", dir);
	return good ? 0 : 1;
}
