/* SPDX-License-Identifier: BSD-3-Clause */
/* Where this version of the format follows the one before, whose segments have a directory of their
 * own (segment.h). Readers go from the one to the other there. Processes with the hook of the
 * version before go on behind it as if nothing had happened, and notifyd takes over what they
 * append (notifyd/sinks/older). In version 1 nothing comes before. */
#ifndef MBEV_FOLLOWS_H
#define MBEV_FOLLOWS_H

#include <stdint.h>

/* The position: the base that the SEAL of the newest segment named, when this was settled; the
 * first of the version before when it had none. 0: not settled, or nothing comes before. */
uint64_t follows_at(int dirfd);

/* Settles it, once and for all, by sealing that segment. For notifyd alone, holding its lock. 0, or
 * -1 with errno. */
int follows_settle(int dirfd);

#endif
