/* SPDX-License-Identifier: BSD-3-Clause */
/* <journal>/lost: the number of events that could not be appended, 64 numbers of
 * 8 bytes, little-endian, whose sum it is, preallocated so that it can be counted on a full disk.
 */
#ifndef MBEV_LOST_H
#define MBEV_LOST_H

#include <stdint.h>

/* Makes the file where it is missing. -1 with errno. */
int lost_init(int dirfd);
/* Adds n. Never waits: -1 (EAGAIN) when another process is adding just now. */
int lost_add(int dirfd, unsigned n);
/* 0 when there is no file. */
uint64_t lost_total(int dirfd);

#endif
