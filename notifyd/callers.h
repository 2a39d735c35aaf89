/* SPDX-License-Identifier: BSD-3-Clause */
/* The connections of a dlist: socket. Cyrus makes one an event and waits for the answer without a
 * time-out, so each is answered as soon as its event is appended, and what never ends is cut. */
#ifndef NOTIFYD_CALLERS_H
#define NOTIFYD_CALLERS_H

#include "intake.h"

#include <poll.h>

#define CALLERS_MAX     256
#define CALLERS_CUT_MS  (30 * 1000)  /* for one request, from first byte to last */
#define CALLERS_ROOM_MS 1000         /* with CALLERS_MAX there, a slower one makes room */
#define CALLERS_BYTES   (256u << 20) /* of memory, all together */

struct callers;

/* listen_fd stays the caller's. NULL when memory is short. */
struct callers *callers_new(int listen_fd);
void callers_free(struct callers **c);

/* Fills what poll() is to watch: at most CALLERS_MAX + 1. Their number. With `accept` false
 * nobody new is let in. */
size_t callers_poll(struct callers *c, struct pollfd *fds, bool accept, int64_t now_ms);

/* Serves what poll() found in them, and cuts who is late. */
void callers_serve(struct callers *c, const struct pollfd *fds, size_t n, struct intake *in,
                   int64_t now_ms);

/* Whether a request is under way. */
bool callers_busy(const struct callers *c);

#endif
