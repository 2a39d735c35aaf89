/* SPDX-License-Identifier: BSD-3-Clause */
/* fdatasync that fails, once and for ever (ld --wrap): in writers with mboxevent_sync: always, and
 * in notifyd's interval sync beside writers that do not sync. Like the kernel, a failed one makes
 * the next on the same file succeed although nothing came to the disk; so a segment in which one
 * failed must never be trusted again, only a copy of it. The oracle: each event that an append
 * accepted is read exactly once, from files none of which is in doubt. The writers are stopped and
 * killed anywhere meanwhile, in the rescue of a segment too.
 * usage: torture_sync [EVENTS a writer]; TAP; the seed is printed, $MBOXEVENT_SEED repeats it. */
#include "../../lib/identity.h"
#include "../../lib/journal.h"
#include "../../lib/lost.h"
#include "../../lib/reader.h"
#include "../../lib/segment.h"
#include "../../notifyd/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 6, EACH = 200000, FILES = 1 << 20 };

static struct {
	int kind[WRITERS][EACH]; /* what append returned, + 2; 0: it was killed */
	int tried[WRITERS];
	uint64_t pos[WRITERS][EACH];
	uint64_t doubt[FILES];  /* by inode: when it was born, of one whose sync failed */
	uint64_t spared[FILES]; /* the same, where the last who was told so was killed: what is in
	                           it was said to be on the disk by nobody since */
	unsigned one_in;        /* fails one time in so many; 0: never */
	unsigned long broken;   /* after so many syncs the disk takes nothing; 0: never */
	unsigned long datasyncs, syncs, failures, kills, stops;
} * shared;

static uint64_t seed;
static bool in_writer;
static uint64_t told; /* inode + 1 of the file whose failure this process was told of last */
static uint64_t sick; /* the same of a segment, until a later sync of one succeeds */
static int each = 4000;

static unsigned chance(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(seed >> 33);
}

static uint64_t born(int dirfd, const char *name, uint64_t *inode_r)
{
	struct statx x;
	if (statx(dirfd, name, AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &x) < 0)
		return 0;
	*inode_r = x.stx_ino % FILES;
	return (uint64_t)x.stx_btime.tv_sec * 1000000000 + x.stx_btime.tv_nsec + 1;
}

void chaos(void)
{
	if (!in_writer)
		return;
	unsigned c = chance();
	if (c % 300 == 0) {
		__atomic_add_fetch(&shared->stops, 1, __ATOMIC_RELAXED);
		usleep(200 + chance() % (chance() % 20 == 0 ? 100000 : 4000));
	} else if (c % 3000 == 7) {
		__atomic_add_fetch(&shared->kills, 1, __ATOMIC_RELAXED);
		if (sick)
			shared->spared[sick - 1] = shared->doubt[sick - 1];
		kill(getpid(), SIGKILL);
	}
}

static int disk(int fd, unsigned long *count)
{
	uint64_t inode = 0, birth = born(fd, "", &inode);
	__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
	/* The kernel tells each that had the file open, once. */
	bool fails = (shared->broken && shared->datasyncs >= shared->broken) ||
	             (shared->one_in && chance() % shared->one_in == 0) ||
	             (birth && shared->doubt[inode] == birth && told != inode + 1);
	if (!fails) {
		told = 0;
		return 0;
	}
	__atomic_add_fetch(&shared->failures, 1, __ATOMIC_RELAXED);
	shared->doubt[inode] = birth;
	shared->spared[inode] = 0;
	told = inode + 1;
	errno = EIO;
	return -1;
}

int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);

int __wrap_fdatasync(int fd)
{
	int r = disk(fd, &shared->datasyncs);
	sick = r < 0 ? told : 0;
	return r;
}

int __wrap_fsync(int fd)
{
	struct stat st;
	bool made = shared->one_in && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	return disk(fd, &shared->syncs) < 0 && !made ? -1 : 0;
}

static void write_events(const char *dir, int who, bool sync)
{
	struct journal_options opt = {
	    .segment_size = 64 << 10, .max_size = UINT64_C(1) << 40, .sync = sync};
	struct journal *j;
	const char *why;
	char json[400], user[8];
	in_writer = true;
	seed += (uint64_t)who * 7919 + (uint64_t)getpid();
	if (journal_open(&j, dir, &opt, &why) < 0)
		_exit(1);
	while (shared->tried[who] < each) {
		int n = ++shared->tried[who];
		int len = snprintf(json, sizeof json, "{\"n\":%d,\"p\":\"%0*d\"}", n,
		                   (int)(chance() % 300 + 1), 0);
		snprintf(user, sizeof user, "%d", who);
		struct record rec = {
		    .event = STR("E"), .user = {user, strlen(user)}, .json = {json, (size_t)len}};
		uint64_t pos = 0;
		int r = journal_append(j, &rec, &pos, &why);
		shared->pos[who][n] = pos;
		shared->kind[who][n] = r + 2;
		/* It is asked again after 100 ms only: not all of the events meanwhile. */
		if (r < 0)
			usleep(2000);
		else if (!sync && n % 16 == 0)
			usleep(200);
	}
	journal_close(&j);
	_exit(0);
}

static pid_t start(const char *dir, int who, bool sync)
{
	pid_t pid = fork();
	if (pid == 0)
		write_events(dir, who, sync);
	return pid;
}

struct outcome {
	unsigned long read, twice, order, accepted, doubtful, refused, missing, elsewhere, ghosts,
	    rescued, untrue;
};

static void judge(const char *dir, bool sync, struct outcome *o)
{
	static uint64_t seen[WRITERS][EACH];
	int last[WRITERS] = {0};
	char *why = NULL;
	struct record rec;
	pid_t pids[WRITERS];
	struct keeper_synced synced = {0};
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), quiet = 0;
	struct reader *r = reader_open(dir, 0, &why);
	memset(seen, 0, sizeof seen);
	memset(shared->kind, 0, sizeof shared->kind);
	memset(shared->tried, 0, sizeof shared->tried);
	memset(shared->doubt, 0, sizeof shared->doubt);
	memset(shared->spared, 0, sizeof shared->spared);
	shared->datasyncs = shared->syncs = shared->failures = shared->kills = shared->stops = 0;
	for (int i = 0; i < WRITERS; i++)
		pids[i] = start(dir, i, sync);
	while (quiet < 3) {
		if (reader_next(r, &rec) == 1) {
			int who = atoi(rec.user.s), n = atoi(rec.json.s + 5);
			o->read++;
			o->twice += seen[who][n] != 0;
			o->order += n <= last[who];
			last[who] = n;
			seen[who][n] = rec.pos + 1;
			if (!sync && o->read % 500 == 0)
				keeper_sync(dirfd, &synced);
			continue;
		}
		if (!sync)
			keeper_sync(dirfd, &synced);
		bool writing = false;
		for (int i = 0; i < WRITERS; i++) {
			int status;
			if (pids[i] && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
				seed += o->read;
				pids[i] = WIFSIGNALED(status) ? start(dir, i, sync) : 0;
			}
			writing |= pids[i] != 0;
		}
		if (writing) {
			usleep(500);
			continue;
		}
		usleep(700000);
		quiet++;
	}
	shared->one_in = 0;
	shared->broken = 0;
	if (!sync && keeper_sync(dirfd, &synced) < 0)
		o->untrue++;
	o->rescued = synced.rescued;
	for (int i = 0; i < WRITERS; i++)
		for (int n = 1; n <= each; n++) {
			int kind = shared->kind[i][n] - 2;
			o->accepted += kind == 0;
			o->doubtful += kind == 1;
			o->refused += kind == -1;
			o->missing += kind >= 0 && !seen[i][n];
			o->elsewhere +=
			    kind >= 0 && seen[i][n] && seen[i][n] != shared->pos[i][n] + 1;
			o->ghosts += kind == -1 && seen[i][n];
		}
	/* Where nothing is doubtful, no file that is left may be one that failed. */
	uint64_t *bases;
	ssize_t segments = segment_list(dirfd, &bases);
	for (ssize_t i = 0; i < segments && !o->doubtful; i++) {
		char name[SEGMENT_NAME + 1];
		uint64_t inode, birth;
		segment_name(name, bases[i]);
		if ((birth = born(dirfd, name, &inode)) != 0)
			o->untrue +=
			    shared->doubt[inode] == birth && shared->spared[inode] != birth;
	}
	if (segments >= 0)
		free(bases);
	reader_close(&r);
	close(dirfd);
	printf("# accepted %lu, doubtful %lu, refused %lu, read %lu; %lu syncs, %lu of directories "
	       "and copies, %lu failed; %zd segments, %lu rescued by the keeper\n"
	       "# kills %lu, stops %lu; missing %lu, twice %lu, out of order %lu, elsewhere %lu, "
	       "refused and read %lu, "
	       "trusted after a failure %lu\n",
	       o->accepted, o->doubtful, o->refused, o->read, shared->datasyncs, shared->syncs,
	       shared->failures, segments, o->rescued, shared->kills, shared->stops, o->missing,
	       o->twice, o->order, o->elsewhere, o->ghosts, o->untrue);
}

static int failed;

static void run(int number, const char *what, bool sync, unsigned one_in, unsigned long broken)
{
	char dir[] = "/tmp/mboxevent-sync-XXXXXX", command[64], *why = NULL;
	struct outcome o = {0};
	shared->one_in = 0;
	shared->broken = 0;
	if (!mkdtemp(dir) || journal_init(dir, &why) < 0) {
		printf("Bail out! %s\n", why ? why : "cannot set up");
		exit(1);
	}
	shared->one_in = one_in;
	shared->broken = broken;
	judge(dir, sync, &o);
	bool good = !o.missing && !o.twice && !o.order && !o.elsewhere && !o.ghosts;
	if (broken)
		good = good && o.accepted && o.doubtful && !o.refused;
	else
		good = good && o.accepted && shared->failures && !o.untrue && (sync || o.rescued);
	printf("%sok %d - %s\n", good ? "" : "not ", number, what);
	failed += !good;
	snprintf(command, sizeof command, "rm -rf %s", dir);
	if (good && system(command) != 0)
		printf("# %s stays\n", dir);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		each = atoi(argv[1]);
	if (each < 1 || each >= EACH)
		each = EACH - 1;
	const char *env = getenv("MBOXEVENT_SEED");
	seed = env ? strtoull(env, NULL, 10) : (uint64_t)time(NULL);
	printf("1..3\n# MBOXEVENT_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	shared =
	    mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		puts("Bail out! no memory");
		return 1;
	}
	run(1, "writers that sync, a disk that fails now and then", true, 200, 0);
	run(2, "the keeper's sync beside writers, a disk that fails now and then", false, 20, 0);
	run(3, "writers that sync, a disk that takes nothing any more", true, 0,
	    (unsigned long)each);
	return failed != 0;
}
