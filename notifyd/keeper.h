/* SPDX-License-Identifier: BSD-3-Clause */
/* What the supervisor does for the journal as a whole: syncs it, deletes what every
 * configured sink has behind it. */
#ifndef NOTIFYD_KEEPER_H
#define NOTIFYD_KEEPER_H

#include "settings.h"

/* Deletes segments behind all cursors of the configured sinks and their subscriptions, and older
 * than mboxevent_retain. Nothing while a sink has no cursor yet. */
void keeper_trim(const struct settings *s, int journalfd);

/* The lowest position that a configured sink, or a required one, or a subscription of it, has still
 * to read; UINT64_MAX: none does. *sink_r (NULL allowed): whose that is. False: that is not known,
 * because a sink has no cursor yet. */
bool keeper_lowest(const struct settings *s, int journalfd, bool required, uint64_t *pos_r,
                   const struct sink **sink_r);
bool keeper_required(const struct sink *sink);

/* What keeper_sync() knows; all zero before the first call. */
struct keeper_synced {
	uint64_t to;      /* all below is on the disk */
	uint64_t doubt;   /* base + 1 of a segment whose sync failed, to be rescued; 0: none */
	uint64_t rescued; /* how many were */
	uint64_t older;   /* as `to`, of what is still to be taken over */
};

/* fdatasync of the newest segment and of the directory when they grew since the call before. A
 * segment for which it fails is written anew (rescue.h); no sync of it is trusted again. 0, or -1
 * with errno: to be called again, after a while, since that may copy a whole segment. Blocks on the
 * disk. */
int keeper_sync(int journalfd, struct keeper_synced *synced);

#endif
