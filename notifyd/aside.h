/* SPDX-License-Identifier: BSD-3-Clause */
/* A SQLite file that can't be used any more must not hold up what reads it. */
#ifndef NOTIFYD_ASIDE_H
#define NOTIFYD_ASIDE_H

/* Renames it to <path>.damaged, in the place of an older one, and deletes what SQLite keeps beside
 * it. For the one process that has it open. 0, or -1 with errno. */
int move_aside(const char *path);

#endif
