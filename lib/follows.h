/* SPDX-License-Identifier: BSD-3-Clause */
/* Where this version of the format follows the one before, whose segments have a directory of their
 * own (segment.h). Readers go from the one to the other there. Processes with the hook of the
 * version before go on behind it as if nothing had happened, and notifyd takes over what they
 * append (notifyd/sinks/older). In version 1 nothing comes before. */
#ifndef MBEV_FOLLOWS_H
#define MBEV_FOLLOWS_H

#include <stdint.h>

/* 1 with the position: the base that the SEAL of the newest segment named, when this was settled;
 * the first of the version before when it had none. 0: not settled, or nothing comes before. -1
 * with errno: that can't be told just now. */
int follows_at(int dirfd, uint64_t *at_r);

/* Settles it, once and for all, by sealing that segment. For notifyd alone, holding its lock. 0, or
 * -1 with errno (EBADMSG: it was settled, and the file is damaged or gone). */
int follows_settle(int dirfd);

#endif
