/* SPDX-License-Identifier: BSD-3-Clause */
#include "tally.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

const double tally_bounds[TALLY_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01,
                                            0.025,  0.05,  0.1,    0.5,   2.5};

struct tally *tally_map(int fd)
{
	/* cppcheck-suppress memleak ; it is for as long as the process lives */
	void *page = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* cppcheck-suppress memleak */
	return page == MAP_FAILED ? NULL : page;
}

struct tally *tally_make(int *fd_r)
{
	struct timespec t;
	struct tally *tally = NULL;
	*fd_r = memfd_create("tally", MFD_CLOEXEC);
	if (*fd_r >= 0 && ftruncate(*fd_r, sizeof *tally) == 0)
		tally = tally_map(*fd_r);
	if (!tally)
		return NULL;
	clock_gettime(CLOCK_REALTIME, &t);
	tally->began = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
	tally_tick(tally);
	return tally;
}

int64_t tally_clock(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct tally_process *tally_process(struct tally *t, enum tally_kind kind, const char *name)
{
	for (size_t i = 0; t && i < TALLY_PROCESSES; i++) {
		struct tally_process *p = &t->processes[i];
		if (p->kind == TALLY_NONE) {
			snprintf(p->name, sizeof p->name, "%s", name);
			p->kind = kind;
			return p;
		}
		if (p->kind == kind && !strcmp(p->name, name))
			return p;
	}
	return NULL;
}

const struct tally_process *tally_find(const struct tally *t, enum tally_kind kind,
                                       const char *name)
{
	for (size_t i = 0; t && i < TALLY_PROCESSES && t->processes[i].kind != TALLY_NONE; i++)
		if (t->processes[i].kind == kind && !strcmp(t->processes[i].name, name))
			return &t->processes[i];
	return NULL;
}

void tally_tick(struct tally *t)
{
	if (t)
		t->ticked = tally_clock();
}

void tally_sync(struct tally *t, int64_t us)
{
	size_t i = 0;
	if (!t)
		return;
	while (i < TALLY_BUCKETS && (double)us / 1e6 > tally_bounds[i])
		i++;
	t->syncs[i]++;
	t->sync_us += (uint64_t)us;
}

void tally_sync_error(struct tally *t, int error)
{
	if (!t)
		return;
	t->sync_failures += error != 0;
	t->sync_error = error;
}

void tally_started(struct tally_process *p, int pid)
{
	if (!p)
		return;
	p->wanted = true;
	p->pid = pid;
}

void tally_ended(struct tally_process *p, unsigned row)
{
	if (!p)
		return;
	p->pid = 0;
	p->restarts += row != 0;
	p->row = row;
}

void tally_steady(struct tally_process *p)
{
	if (p)
		p->row = 0;
}

void tally_retired(struct tally_process *p)
{
	tally_ended(p, 0);
	if (p)
		p->wanted = false;
}
