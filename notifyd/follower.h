/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads the journal once, along with its head, for the metrics: counts events by group, and knows
 * of each position how many events lie behind it without reading them again. Memory is bounded: it
 * keeps a mark every so many events, 64 K of them at most, and reads from the nearest one on. */
#ifndef NOTIFYD_FOLLOWER_H
#define NOTIFYD_FOLLOWER_H

#include "lag.h"
#include "tally.h"

struct follower;

/* dir is borrowed. Events below tally->counted are read, where that is needed for lags, but not
 * counted again. NULL with *why_r malloc'd. */
struct follower *follower_new(const char *dir, struct tally *tally, char **why_r);
void follower_free(struct follower **f);

/* All that is asked for lies at or behind pos: begins anew there where it had begun later, and
 * forgets what lies before. */
void follower_cover(struct follower *f, uint64_t pos);

/* Reads for at most about so long. True: it came to the journal's end. */
bool follower_run(struct follower *f, int ms);
/* Nothing will be read for a while. */
void follower_rest(struct follower *f);

/* Fills all but pos. Exact unless the head is still far away: then the rest is by its size. */
void follower_lag(struct follower *f, struct lag *lag);

#endif
