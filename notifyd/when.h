/* SPDX-License-Identifier: BSD-3-Clause */
/* A point of the journal as people write it. */
#ifndef NOTIFYD_WHEN_H
#define NOTIFYD_WHEN_H

#include <stdint.h>

enum when {
	WHEN_BAD = -1,
	WHEN_NEWEST,
	WHEN_OLDEST,
	WHEN_TIME, /* *time_r, microseconds since 1970 UTC */
};

/* What WHEN_BAD should have been. */
#define WHEN_ALLOWED                                                                               \
	"newest, oldest, a time such as 2024-05-31T14:30:00+02:00, or how long ago, such as 2h"

/* "newest", "oldest", a duration before now (microseconds), or a time of ISO 8601: a date, then
 * maybe T or a space, hours, minutes, seconds, an offset; without an offset it is local time. */
enum when when_parse(const char *s, int64_t now, int64_t *time_r);

#endif
