/* SPDX-License-Identifier: BSD-3-Clause */
/* An admin moves a cursor (notifyctl replay, skip) while its owner holds it: a request,
 * <journal>/cursors/.<name>.move, which whoever holds the cursor's lock carries out: a worker
 * within a second, or as it starts. One at a time: the file is linked into place, never replaced;
 * who carries it out renames it to .<name>.moving first, so that what was withdrawn is not done
 * and what was begun is finished after a kill. */
#ifndef NOTIFYD_MOVE_H
#define NOTIFYD_MOVE_H

#include "../lib/cursor.h"

enum move_kind {
	MOVE_REPLAY, /* back to pos; a cursor that is before it already stays */
	MOVE_SKIP,   /* forward to pos; likewise */
};

struct move {
	enum move_kind kind;
	uint64_t pos;           /* where a record begins */
	unsigned char uuid[16]; /* of its journal */
};

/* Leaves a request. -1 with errno; EEXIST: there is one already. */
int move_ask(int journalfd, const char *name, const struct move *m);
/* Whether there is one, begun or not. */
bool move_asked(int journalfd, const char *name);
/* Takes back one that nobody has begun. -1 with errno; ENOENT: too late. */
int move_withdraw(int journalfd, const char *name);

/* Moves a cursor, synced to the disk. 1, 0 when it was there or further already, -1 with errno. */
int move_cursor(struct cursor *c, const struct move *m);

/* Carries out what was asked, c being the cursor `name`. 1: moved, 0: nothing asked or no need
 * to, -1 with *why_r malloc'd: refused or failed, and the request is gone unless it can't be. */
int move_carry_out(int journalfd, const char *name, struct cursor *c, char **why_r);

#endif
