/* SPDX-License-Identifier: BSD-3-Clause */
/* <journal>/lost: the number of events that could not be appended, by reason, preallocated so that
 * it can be counted on a full disk. Layout: mboxevent-journal(5).
 */
#ifndef MBEV_LOST_H
#define MBEV_LOST_H

#include <stdint.h>

/* Each is a place in the file: none is ever taken out or moved. */
enum lost_reason {
	LOST_UNKNOWN, /* not told: by hooks that count without */
	LOST_NO_SPACE,
	LOST_QUOTA,
	LOST_MAX_SIZE, /* mboxevent_max_size */
	LOST_MIN_FREE, /* mboxevent_min_free */
	LOST_PERMISSION,
	LOST_NO_DIRECTORY,
	LOST_FILE_SIZE_LIMIT,
	LOST_DESCRIPTORS,
	LOST_IO_ERROR, /* or a file system that is read-only */
	LOST_TOO_LARGE,
	LOST_MEMORY,
	LOST_VERSION,    /* the directory is another version's */
	LOST_INCOMPLETE, /* a parameter was missing */
	LOST_OTHER,
	LOST_REASONS
};

/* What an errno of the journal's files comes to. */
enum lost_reason lost_reason(int error);

/* Makes the file where it is missing, and longer where an earlier version made it. -1 with errno.
 */
int lost_init(int dirfd);

/* Adds n. Never waits: -1 (EAGAIN) when other processes are adding just now. One that can't be
 * counted by its reason, since an earlier version's file can't be made longer, is counted without.
 */
int lost_add(int dirfd, enum lost_reason reason, unsigned n);

/* All zero when there is no file. -1 with errno when it can't be read. */
int lost_read(int dirfd, uint64_t counts_r[LOST_REASONS]);

/* Their sum; 0 too when it can't be read. */
uint64_t lost_total(int dirfd);

#endif
