/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker says of itself for `notifyctl status`: one JSON object in
 * <journal>/status/<sink>, preallocated and overwritten in place (on a full disk too).
 * The file is STATUS_SIZE bytes at all times: the object, spaces, a line feed. Keys:
 *   version 1, state, since (of that state), pid, started, delivered, dropped, position
 *   (16 hex digits or null), updated, error (or null), errorTime (or null)
 * with times as seconds since 1970 UTC with milliseconds. */
#ifndef NOTIFYD_STATUS_H
#define NOTIFYD_STATUS_H

#include <stdint.h>

#define STATUS_SIZE 4096

/* The supervisor's own, in the place of a sink: its position is where the journal is on the disk up
 * to. No sink can have that name. */
#define STATUS_SYNC "-sync"

struct status;

/* NULL when the file can't be made; every call below takes NULL. */
struct status *status_open(const char *journal, const char *sink);
void status_close(struct status **s);

/* In words an operator knows: "connected", "retrying in 8 s", "stopped". Written at once when it
 * changed. */
void status_state(struct status *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void status_error(struct status *s, const char *why); /* the last error and its time */
/* Counters since the worker began; written at most once a second. */
void status_count(struct status *s, uint64_t delivered, uint64_t dropped, uint64_t pos);
void status_flush(struct status *s);

/* For readers: the contents as a C string. 0, or -1 with errno (ENOENT; EBADMSG: not whole). */
int status_read(const char *journal, const char *sink, char contents_r[STATUS_SIZE + 1]);

#endif
