/* SPDX-License-Identifier: BSD-3-Clause */
/* PushDue: what the gatherer decided, as an event in the journal, so that others can push by means
 * of their own. It never holds a device's token. */
#ifndef NOTIFYD_APNS_ANNOUNCE_H
#define NOTIFYD_APNS_ANNOUNCE_H

#include "gather.h"
#include "registry.h"

#define ANNOUNCE_EVENT "PushDue"

struct announce;

/* dir is the journal's; conf is borrowed for the call. -1 with *why_r, until the next call; *a_r is
 * made even then. */
int announce_open(struct announce **a_r, const struct conf *conf, const char *dir,
                  const char **why_r);
void announce_close(struct announce **a);

/* Appends the event of one that is due; device: NULL for a user's. 0, or -1 with *why_r when the
 * journal does not take it. */
int announce_due(struct announce *a, const struct due *due, const struct device *device,
                 const char **why_r);

/* Whether something was appended since. */
bool announce_unsynced(const struct announce *a);
/* Puts on the disk what was appended, before anybody forgets why. 0, or -1 with errno. */
int announce_sync(struct announce *a);

#endif
