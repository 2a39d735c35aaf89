/* SPDX-License-Identifier: BSD-3-Clause */
/* Power cuts: a journal on an ext4 of its own, whose EXT4_IOC_SHUTDOWN drops all that was never
 * synced, at a chosen system call of a writer, of a consumer or of the keeper, or at any moment.
 * After each the file system is mounted anew under another boot id. The oracle: what had to last
 * (sync always: all that an append accepted; else what was accepted before the last sync that
 * succeeded) is delivered, by a consumer that goes on from its cursor; no id names two events.
 * usage: torture_power [CUTS]   (20)
 * TAP; $MBOXEVENT_SEED repeats the choices. */
#include "scratch.h"

#include "../../lib/cursor.h"
#include "../../notifyd/keeper.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define SHUTDOWN    _IOR('X', 125, uint32_t) /* EXT4_IOC_SHUTDOWN */
#define NO_LOGFLUSH 2

enum { WRITERS = 4, EACH = 60000, IDS = 1000000 };

struct id {
	uint64_t pos;
	int who, n;
};

static struct {
	unsigned char must[WRITERS][EACH], delivered[WRITERS][EACH], accepted[WRITERS][EACH];
	int tried[WRITERS], last[WRITERS], began[WRITERS];
	char call[16]; /* where it happens next, */
	int after;
	long count;  /* at the how manieth; 0: it has happened, or will by the clock */
	int off;     /* the power is */
	int late;    /* the clock is */
	time_t born; /* when the machine started, monotonic */
	unsigned long ids_n, deliveries, twice, syncs, trims, failures, lates;
	struct id ids[IDS];
} * shared;

static int mnt_fd = -1;
static char boot_path[2][96], dir[128];
static int container; /* which of the two boot ids the process sees */
static uint64_t seed;
static bool armed;

const char *power_path(const char *path)
{
	return strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 ? boot_path[container] : path;
}

/* Since the last cut; in some lives since longer ago, as a clock has it that was set back: what the
 * boot before made then seems to be of this one, or of a container beside. */
int power_uptime(struct timespec *t_r)
{
	int r = (clock_gettime)(CLOCK_MONOTONIC, t_r);
	t_r->tv_sec = shared->late ? t_r->tv_sec : t_r->tv_sec - shared->born;
	return r;
}

static void cut(void)
{
	uint32_t how = NO_LOGFLUSH;
	if (!__atomic_exchange_n(&shared->off, 1, __ATOMIC_SEQ_CST) &&
	    ioctl(mnt_fd, SHUTDOWN, &how) < 0)
		shared->off = -errno;
}

void power(const char *call, int after)
{
	if (armed && after == shared->after && strcmp(call, shared->call) == 0 &&
	    __atomic_sub_fetch(&shared->count, 1, __ATOMIC_SEQ_CST) == 0)
		cut();
}

int power_fails(void)
{
	if (!armed || chance_of(&seed) % 200 != 0)
		return 0;
	__atomic_add_fetch(&shared->failures, 1, __ATOMIC_RELAXED);
	return 1;
}

static void new_boot(void)
{
	for (int i = 0; i < 2; i++) {
		FILE *f = fopen(boot_path[i], "w");
		if (!f)
			exit(1);
		fprintf(f, "%08x-%04x-4000-8000-%012x\n", chance_of(&seed),
		        chance_of(&seed) & 0xffff, chance_of(&seed));
		fclose(f);
	}
	struct timespec t;
	(clock_gettime)(CLOCK_MONOTONIC, &t);
	shared->born = t.tv_sec + 5; /* more than the slack */
	shared->late = chance_of(&seed) / 8 % 3 == 0;
	shared->lates += shared->late;
}

static void note_id(uint64_t pos, int who, int n)
{
	unsigned long i = __atomic_fetch_add(&shared->ids_n, 1, __ATOMIC_RELAXED);
	if (i < IDS)
		shared->ids[i] = (struct id){pos, who, n};
}

static void write_events(int who, bool always)
{
	const struct journal_options opt = {
	    .segment_size = 64 << 10, .max_size = 1 << 30, .sync = always};
	struct journal *j;
	const char *why;
	uint64_t pos;
	if (journal_open(&j, dir, &opt, &why) < 0)
		_exit(1);
	while (shared->tried[who] < EACH - 1) {
		int n = ++shared->tried[who];
		int put = put_event(j, who, n, chance_of(&seed) % 3000, &pos, &why);
		if (put < 0) {
			if (shared->off)
				_exit(0);
			continue;
		}
		shared->accepted[who][n] = 1;
		note_id(pos, who, n);
		/* 1: it says that it may not last. A sync that is under way while the file system
		 * is shut down may return 0, but with the power off nothing returns. */
		if (always && put == 0 && !shared->off)
			shared->must[who][n] = 1;
		__atomic_store_n(&shared->last[who], n, __ATOMIC_SEQ_CST);
		if (!always && chance_of(&seed) % 20 == 0)
			usleep(chance_of(&seed) % 2000);
	}
	_exit(0);
}

/* As a worker does: from the cursor on. Ends with the power, or (drain) with the journal. */
static int consume(bool drain)
{
	struct cursor *c;
	bool made;
	char *why = NULL;
	struct record rec;
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY), ends = 0;
	if (dirfd < 0 || cursor_open(&c, dirfd, "sink", 0, &made, &why) < 0) {
		printf("# %s\n", why ? why : strerror(errno));
		free(why);
		close(dirfd);
		return -1;
	}
	free(why);
	struct reader *r = reader_open(dir, cursor_get(c)->pos, &why);
	while (ends < (drain ? 1 : 1000000) && (drain || !shared->off)) {
		int got = reader_next(r, &rec);
		if (got < 0) {
			if (drain)
				printf("# cannot read: %s\n", strerror(errno));
			break;
		}
		if (got == 0) {
			ends++;
			if (!drain)
				usleep(500);
			continue;
		}
		int who = event_who(&rec), n = event_n(&rec);
		note_id(rec.pos, who, n);
		shared->twice += shared->delivered[who][n];
		shared->delivered[who][n] = 1;
		shared->deliveries++;
		if (chance_of(&seed) % 8 == 0)
			cursor_set(c, rec.next, cursor_get(c)->delivered + 8);
		if (chance_of(&seed) % 200 == 0)
			cursor_sync(c);
	}
	if (drain)
		cursor_set(c, reader_pos(r), cursor_get(c)->delivered);
	reader_close(&r);
	cursor_close(&c);
	close(dirfd);
	return 0;
}

static void keep(bool always)
{
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	struct keeper_synced synced = {0};
	while (!shared->off) {
		int upto[WRITERS];
		struct cursor_state at;
		for (int w = 0; w < WRITERS; w++)
			upto[w] = __atomic_load_n(&shared->last[w], __ATOMIC_SEQ_CST);
		if (!always && keeper_sync(dirfd, &synced) == 0 && !shared->off) {
			shared->syncs++;
			for (int w = 0; w < WRITERS; w++)
				for (int n = shared->began[w]; n <= upto[w]; n++)
					shared->must[w][n] |= shared->accepted[w][n];
		}
		if (cursor_peek(dirfd, "sink", &at) == 0) {
			int gone = journal_trim(dirfd, at.pos, 0);
			shared->trims += gone > 0 ? (unsigned)gone : 0;
		}
		usleep(2000);
	}
	_exit(0);
}

static int by_pos(const void *a, const void *b)
{
	const struct id *x = a, *y = b;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

static const struct {
	const char *call;
	long most;
} places[] = {{"append", 200}, {"seal", 3},   {"header", 3},      {"link", 3},
              {"boots", 1},    {"rename", 1}, {"fdatasync", 100}, {"cursor", 60},
              {"delete", 4},   {"bounds", 4}, {"fsync", 5},       {"", 0}};

/* One life between two cuts. */
static bool live(int round, bool always)
{
	size_t k = (size_t)round % (2 * sizeof places / sizeof *places);
	snprintf(shared->call, sizeof shared->call, "%s", places[k / 2].call);
	shared->after = k % 2;
	shared->count = places[k / 2].most ? 1 + chance_of(&seed) % places[k / 2].most : 0;
	shared->off = 0;
	mnt_fd = open(scratch_mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t pids[WRITERS + 2];
	for (int i = 0; i < WRITERS + 2; i++) {
		seed += 977;
		pids[i] = fork();
		if (pids[i] == 0) {
			armed = true;
			container = shared->late && i % 2;
			if (i < WRITERS)
				write_events(i, always);
			else if (i == WRITERS)
				_exit(consume(false) < 0);
			keep(always);
		}
	}
	/* by the clock, at once or when the call does not come */
	int ms = places[k / 2].most ? 300 : (int)(1 + chance_of(&seed) % 100);
	for (int t = 0; t < ms && !shared->off; t++)
		usleep(1000);
	cut();
	for (int i = 0; i < WRITERS + 2; i++) {
		if (pids[i] < 0)
			continue; /* kill(-1) is for all processes there are */
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	close(mnt_fd);
	return shared->off == 1;
}

static void cuts(int n, bool always)
{
	unsigned long missing = 0, spared = 0, accepted = 0, issued_twice = 0, no_cursor = 0;
	char *why = NULL;
	const char *mode = always ? "sync always" : "sync in intervals";
	memset(shared, 0, sizeof *shared);
	if (!scratch_ext4(48, "", "")) {
		tap_skip(mode, "no ext4 in a file can be mounted here (loop devices, mkfs.ext4)");
		return;
	}
	new_boot();
	/* The first segment of all is made and synced before its power fails. */
	const struct journal_options opt = {.segment_size = 64 << 10, .max_size = 1 << 30};
	struct journal *j;
	const char *refused = "";
	uint64_t pos;
	if (journal_init(dir, &why) < 0 || journal_open(&j, dir, &opt, &refused) < 0 ||
	    put_event(j, 0, 0, 0, &pos, &refused) < 0) {
		tap(false, "%s: %s", mode, why ? why : refused);
		return;
	}
	journal_close(&j);
	sync();
	int done = 0;
	for (; done < n; done++) {
		if (!live(done, always)) {
			tap_skip(mode, "this kernel does not shut an ext4 down");
			scratch_umount();
			return;
		}
		if (!scratch_umount() || !scratch_again()) {
			tap(false, "%s: cannot be mounted again", mode);
			return;
		}
		new_boot();
		/* Half of the lives begin with a consumer that has seen all, half with one that
		 * is where its cursor came to be. */
		if (chance_of(&seed) % 2 == 0 || done == n - 1) {
			no_cursor += consume(true) < 0;
			for (int w = 0; w < WRITERS; w++)
				for (int i = 1; i <= shared->tried[w]; i++)
					if (shared->must[w][i] && !shared->delivered[w][i]) {
						shared->must[w][i] = 0; /* told once */
						if (missing++ < 5)
							printf("# cut %d (%s %d): event %d of "
							       "writer %d\n",
							       done, shared->call, shared->after, i,
							       w);
					}
		}
		for (int w = 0; w < WRITERS; w++)
			shared->began[w] = shared->tried[w] + 1;
	}
	for (int w = 0; w < WRITERS; w++)
		for (int i = 1; i <= shared->tried[w]; i++) {
			accepted += shared->accepted[w][i];
			spared += shared->accepted[w][i] && !shared->delivered[w][i];
		}
	size_t ids = shared->ids_n < IDS ? shared->ids_n : IDS;
	qsort(shared->ids, ids, sizeof *shared->ids, by_pos);
	for (size_t i = 1; i < ids; i++) {
		const struct id *a = &shared->ids[i - 1], *b = a + 1;
		if (a->pos == b->pos && (a->who != b->who || a->n != b->n) && issued_twice++ < 5)
			printf("# id %llx: event %d of writer %d, event %d of writer %d\n",
			       (unsigned long long)a->pos, a->n, a->who, b->n, b->who);
	}
	tap(!missing && !issued_twice && !no_cursor && accepted,
	    "%s: %d cuts, %lu events accepted, %lu lost that had to last, %lu others lost, "
	    "%lu ids given twice",
	    mode, done, accepted, missing, spared - missing, issued_twice);
	printf("# %lu lives with containers and a clock that was set back\n", shared->lates);
	printf("# deliveries %lu, of these again %lu; syncs %lu, failed %lu, segments deleted %lu, "
	       "cursors refused %lu\n",
	       shared->deliveries, shared->twice, shared->syncs, shared->failures, shared->trims,
	       no_cursor);
	scratch_umount();
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 20;
	if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1); /* the cuts, not the disk, are what is tried */
	const char *cannot = scratch_make();
	seed = seed_make();
	for (int i = 0; i < 2; i++)
		snprintf(boot_path[i], sizeof boot_path[i], "%s/boot_id.%d", scratch, i);
	snprintf(dir, sizeof dir, "%s/journal", scratch_mnt);
	shared =
	    mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	if (cannot) {
		tap_skip("power cuts", cannot);
	} else {
		cuts(n, true);
		cuts(n, false);
	}
	scratch_remove();
	return tap_end();
}
