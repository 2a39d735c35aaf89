/* SPDX-License-Identifier: BSD-3-Clause */
/* What saves a segment whose fdatasync(2) failed: the kernel takes such pages for clean, so that a
 * second fdatasync would succeed and mean nothing, but what it holds in memory can be written once
 * more, to other blocks. See "Failed syncs" in mboxevent-journal(5). */
#ifndef MBEV_RESCUE_H
#define MBEV_RESCUE_H

#include "segment.h"

/* Seals it although it is below its limit, so that no process appends to it any more: it grows to
 * one byte above its limit first, and whoever appends behind that looks back. The next segment is
 * to begin so many boot gaps behind the SEAL. fd: O_RDWR | O_APPEND. Where its first SEAL ends,
 * with the base of the next segment by that SEAL, which may be another's; or -1 with errno
 * (EOPNOTSUPP: not on this file system). */
ssize_t segment_retire(int fd, const struct segment *seg, uint32_t gaps, uint64_t *next_r);

/* Retires it and puts a synced copy in its place; while the disk takes no copy it is left as it is.
 * Any number of processes may do so at once. 0: all that was appended to it before its SEAL is on
 * the disk; -1 with errno: that is not known. */
int segment_rescue(int dirfd, int fd, const struct segment *seg);

#endif
