/* SPDX-License-Identifier: BSD-3-Clause */
/* A journal that runs short of room: what sinks with required: no have not delivered gives way
 * before writers are refused, and with it what mboxevent_retain keeps. When they are refused all
 * the same, that is told. */
#ifndef NOTIFYD_RELIEF_H
#define NOTIFYD_RELIEF_H

#include "settings.h"

struct relief;

/* Events lost from now on are told. NULL when memory is short; relief_look() takes it, and tells
 * nothing. */
struct relief *relief_new(int journalfd);
void relief_free(struct relief **r);

/* To be called whenever a segment was begun, and about once a second. Deletes from the oldest
 * segment on as far as room_relief() says, but nothing that a required sink has still to read. */
void relief_look(struct relief *r, const struct settings *s, int journalfd);

#endif
