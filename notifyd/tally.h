/* SPDX-License-Identifier: BSD-3-Clause */
/* What is counted for the metrics and must outlive the processes that count: a page of memory that
 * the supervisor makes and shares with the metrics process. Each number has one writer; all of them
 * only grow but for those of what is so now. It is as old as the supervisor. */
#ifndef NOTIFYD_TALLY_H
#define NOTIFYD_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TALLY_NAME = 33,       /* of a sink, with its NUL */
	TALLY_PROCESSES = 200, /* sinks that were there once included */
	TALLY_GROUPS = 10,     /* as enum catalog_group, by the number of the bit */
	TALLY_BUCKETS = 10,    /* of the time that a sync takes */
};

/* A sync took at most so many seconds; the last bucket takes the others. */
extern const double tally_bounds[TALLY_BUCKETS];

enum tally_kind { TALLY_NONE, TALLY_SINK, TALLY_INGEST, TALLY_METRICS };

/* A child of the supervisor. Written by that. */
struct tally_process {
	_Atomic unsigned kind; /* set last: TALLY_NONE is no entry yet */
	char name[TALLY_NAME];
	_Atomic int pid;           /* 0: it does not run */
	_Atomic bool wanted;       /* false: its sink is gone from the configuration */
	_Atomic uint64_t restarts; /* starts after one that ended without our word */
	_Atomic unsigned row;      /* deaths with no minute of life between them */
};

struct tally {
	/* The supervisor's. */
	int64_t began;          /* microseconds since 1970 UTC */
	_Atomic int64_t ticked; /* when it last looked around; monotonic milliseconds */
	_Atomic uint64_t syncs[TALLY_BUCKETS + 1];
	_Atomic uint64_t sync_us, sync_failures;
	_Atomic int sync_error; /* errno of the last one; 0: it went well */
	struct tally_process processes[TALLY_PROCESSES];

	/* The metrics process's. */
	_Atomic uint64_t counted; /* the journal position up to which events are in `events` */
	_Atomic uint64_t events[TALLY_GROUPS];
};

/* The page and its descriptor, both for as long as the process lives. NULL with errno. */
struct tally *tally_make(int *fd_r);
/* The page behind a descriptor that was inherited. NULL with errno. */
struct tally *tally_map(int fd);

int64_t tally_clock(void); /* of `ticked` */

/* The calls below take NULL: then nothing is counted. */
/* The entry of that process, made where it is missing; NULL when there are too many. */
struct tally_process *tally_process(struct tally *t, enum tally_kind kind, const char *name);
/* For who only looks: NULL when there is none. */
const struct tally_process *tally_find(const struct tally *t, enum tally_kind kind,
                                       const char *name);
void tally_tick(struct tally *t);
void tally_sync(struct tally *t, int64_t us);
void tally_sync_error(struct tally *t, int error); /* 0: none any more */
void tally_started(struct tally_process *p, int pid);
/* row: how often in a row by now; 0: it was to end. */
void tally_ended(struct tally_process *p, unsigned row);
void tally_steady(struct tally_process *p);  /* it has lived for long enough: no row any more */
void tally_retired(struct tally_process *p); /* its sink is gone, or another takes over */

#endif
