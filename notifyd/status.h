/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker says of itself for `notifyctl status`: one JSON object in
 * <journal>/status/<sink>, preallocated and overwritten in place (on a full disk too).
 * The file is STATUS_SIZE bytes at all times: the object, spaces, a line feed. Keys:
 *   checksum (16 hex digits: XXH3-64 of all that follows them),
 *   version 1, state, connection (a word of status_links), since (of that state), pid, started,
 *   delivered, dropped, discarded, resent, failures, inFlight,
 *   position (16 hex digits or null), updated, error (or null), errorTime (or null)
 *
 * Times are seconds since 1970 UTC with milliseconds. What is counted goes on where the worker
 * before left it, but for what that counted in its last second if it was killed. */
#ifndef NOTIFYD_STATUS_H
#define NOTIFYD_STATUS_H

#include <stdint.h>

#define STATUS_SIZE 4096

/* The supervisor's own, in the place of a sink: its position is where the journal is on the disk up
 * to. No sink can have that name. */
#define STATUS_SYNC "-sync"

struct status;

/* What `state` says in a word that programs know. */
enum status_link {
	STATUS_STARTING,
	STATUS_CONNECTING,
	STATUS_CONNECTED,
	STATUS_BLOCKED, /* connected, but the far side takes nothing for now */
	STATUS_RETRYING,
	STATUS_STOPPED,
	STATUS_LINKS,
};
extern const char *const status_links[STATUS_LINKS];

/* NULL when the file can't be made; every call below takes NULL. */
struct status *status_open(const char *journal, const char *sink);
void status_close(struct status **s);

/* In words an operator knows: "connected", "retrying in 8 s", "stopped". Written at once when it
 * changed. */
void status_state(struct status *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Comes with the next call that writes: status_state() as a rule. */
void status_link(struct status *s, enum status_link link);
/* The last error and its time; one more failure. */
void status_error(struct status *s, const char *why);
/* Events delivered before this worker began, where its cursor knows better than the file. */
void status_base(struct status *s, uint64_t delivered);
/* Counters since the worker began; written at most once a second. */
void status_count(struct status *s, uint64_t delivered, uint64_t dropped, uint64_t pos);
/* Sent and not confirmed. Likewise. */
void status_inflight(struct status *s, uint64_t n);
/* So many more were not confirmed, and are sent again. */
void status_resent(struct status *s, uint64_t n);
/* So many more were neither delivered nor kept, as an option of the sink's says. */
void status_discarded(struct status *s, uint64_t n);
void status_flush(struct status *s);

/* For readers: the contents as a C string. 0, or -1 with errno (ENOENT; EBADMSG: not whole, or
 * written to each time it was looked at, for some 16 ms). */
int status_read(const char *journal, const char *sink, char contents_r[STATUS_SIZE + 1]);

#endif
