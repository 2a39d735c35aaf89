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

/* fdatasync of the newest segment and of the directory when they grew since the call before
 * (*synced holds where that was). 0, or -1 with errno. Blocks on the disk. */
int keeper_sync(int journalfd, uint64_t *synced);

#endif
