/* SPDX-License-Identifier: BSD-3-Clause */
/* Dead letters: events that a sink can never deliver, with the reason, one JSON object a
 * line in <journal>/dead/<sink>. */
#ifndef NOTIFYD_DEAD_H
#define NOTIFYD_DEAD_H

#include "sink.h"

/* Appends rec with sink->why. 0, or -1 with errno: then the event must not be passed over. */
int dead_letter(const struct sink *sink, const struct record *rec);

#endif
