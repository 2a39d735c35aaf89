/* SPDX-License-Identifier: BSD-3-Clause */
#include "when.h"

#include "../lib/conf.h"

#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000)

static const struct conf_option ago = {NULL, CONF_DURATION, NULL, 0, 0, NULL, NULL, NULL};

/* n digits at *s. */
static bool digits(const char **s, int n, int *value_r)
{
	int value = 0;

	for (; n; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		value = value * 10 + (**s - '0');
	}
	*value_r = value;
	return true;
}

static bool skip(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

/* Digits behind a point as microseconds; more than six are cut. */
static bool fraction(const char **s, int64_t *us_r)
{
	int64_t unit = SECOND / 10;
	int digit;

	if (!digits(s, 1, &digit))
		return false;
	do {
		*us_r += unit * digit;
		unit /= 10;
	} while (digits(s, 1, &digit));
	return true;
}

/* Z, +02:00, +0200, +02. */
static bool offset(const char **s, int *seconds_r)
{
	int sign = **s == '-' ? -1 : 1, hours, minutes = 0;

	*seconds_r = 0;
	if (skip(s, 'Z'))
		return true;
	if ((!skip(s, '+') && !skip(s, '-')) || !digits(s, 2, &hours))
		return false;
	if (skip(s, ':') || **s)
		if (!digits(s, 2, &minutes))
			return false;
	*seconds_r = sign * (hours * 3600 + minutes * 60);
	return hours < 24 && minutes < 60;
}

static bool iso_time(const char *s, int64_t *time_r)
{
	struct tm tm = {.tm_isdst = -1}, given;
	bool local = true;
	int64_t us = 0;
	int shift = 0;
	time_t t;

	if (!digits(&s, 4, &tm.tm_year) || !skip(&s, '-') || !digits(&s, 2, &tm.tm_mon) ||
	    !skip(&s, '-') || !digits(&s, 2, &tm.tm_mday))
		return false;
	if (skip(&s, 'T') || skip(&s, ' ')) {
		if (!digits(&s, 2, &tm.tm_hour) || !skip(&s, ':') || !digits(&s, 2, &tm.tm_min))
			return false;
		if (skip(&s, ':') && !digits(&s, 2, &tm.tm_sec))
			return false;
		if ((skip(&s, '.') || skip(&s, ',')) && !fraction(&s, &us))
			return false;
		if (*s) {
			local = false;
			if (!offset(&s, &shift))
				return false;
		}
	}
	tm.tm_year -= 1900;
	tm.tm_mon--;
	if (*s || tm.tm_year < 70 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	given = tm;
	t = local ? mktime(&tm) : timegm(&tm);
	/* The 31st of April would have become the 1st of May; a second of 60 may. */
	if (given.tm_sec < 60 && (tm.tm_mon != given.tm_mon || tm.tm_mday != given.tm_mday))
		return false;
	*time_r = ((int64_t)t - shift) * SECOND + us;
	return true;
}

enum when when_parse(const char *s, int64_t now, int64_t *time_r)
{
	int64_t ms;

	if (!strcmp(s, "newest"))
		return WHEN_NEWEST;
	if (!strcmp(s, "oldest"))
		return WHEN_OLDEST;
	if (!conf_parse(&ago, s, &ms, NULL) && ms <= now / 1000) {
		*time_r = now - ms * 1000;
		return WHEN_TIME;
	}
	return iso_time(s, time_r) ? WHEN_TIME : WHEN_BAD;
}
