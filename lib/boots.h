/* SPDX-License-Identifier: BSD-3-Clause */
/* <journal>/boots: where each of the last boots began, on the disk before that segment has its
 * name. So a power cut that takes a boot's first segment away leaves the knowledge that its
 * positions were given, and a process knows which segments are no older than its kernel, whatever
 * boot id their makers saw. Layout: mboxevent-journal(5). */
#ifndef MBEV_BOOTS_H
#define MBEV_BOOTS_H

#include <stdbool.h>
#include <stdint.h>

/* Boots that are remembered: also how many containers, each with a boot id of its own, may share a
 * journal before they begin segments by turns. */
#define BOOTS_KEPT 12

struct boots {
	bool known;     /* this boot has begun: */
	uint64_t first; /* the base of its first segment, which need not be there */
	/* Another, which by the clock is of this kernel: a container's. */
	bool beside;
	unsigned char beside_boot[16];
	uint64_t beside_first; /* the highest */
	uint64_t above;        /* one more than the highest base of all; 0: no boot is known */
};

/* Makes the file, preallocated. -1 with errno. */
int boots_init(int dirfd);

/* What is known of the boot with this id. All zeros: a process that is not told it; the clock then
 * says whether the one that wrote so was of this boot. */
void boots_read(int dirfd, const unsigned char boot[16], struct boots *boots_r);

/* Writes down, synced, where the boot begins. By any number of processes at once, if they mean the
 * same base. -1 with errno. */
int boots_begin(int dirfd, const unsigned char boot[16], uint64_t first);

/* Whether that time (microseconds since 1970 UTC) is later than the start of this kernel, as far
 * as the clock is right. */
bool boots_since_start(int64_t time);

#endif
