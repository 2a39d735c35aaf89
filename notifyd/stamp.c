/* SPDX-License-Identifier: BSD-3-Clause */
#include "stamp.h"

#include <stddef.h>
#include <stdio.h>
#include <time.h>

int64_t stamp_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void stamp_iso(char out_r[STAMP_SIZE], int64_t time)
{
	time_t seconds = (time_t)(time / 1000000);
	int milliseconds = (int)(time % 1000000 / 1000);
	struct tm tm = {0};
	gmtime_r(&seconds, &tm);
	size_t n = strftime(out_r, STAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out_r + n, STAMP_SIZE - n, ".%03uZ", (unsigned)milliseconds % 1000);
}

void stamp_span(char out_r[STAMP_SIZE], int64_t span)
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
	int64_t s = span < 0 ? 0 : span / 1000000;
	size_t i = 0;
	while (i < 3 && s < 2 * units[i].seconds)
		i++;
	snprintf(out_r, STAMP_SIZE, "%lld %s", (long long)(s / units[i].seconds), units[i].name);
}
