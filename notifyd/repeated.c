/* SPDX-License-Identifier: BSD-3-Clause */
#include "repeated.h"

#include <stdio.h>

static void tell(struct repeated *r, int64_t now_ms)
{
	if (r->untold == 1)
		log_incident(r->level, NULL, LOG_NOPOS, "%s: %s", r->what, r->why);
	else
		log_incident(r->level, NULL, LOG_NOPOS,
		             "%s: %llu since the last line; the last: %s", r->what,
		             (unsigned long long)r->untold, r->why);
	if (!r->pause)
		r->pause = REPEATED_PAUSE;
	else if (r->told && r->pause * 2 <= r->longest)
		r->pause *= 2;
	r->told = now_ms ? now_ms : 1;
	r->untold = 0;
}

void repeated_add(struct repeated *r, int64_t now_ms, const char *why)
{
	r->total++;
	r->untold++;
	snprintf(r->why, sizeof r->why, "%s", why);
	repeated_tick(r, now_ms);
}

void repeated_tick(struct repeated *r, int64_t now_ms)
{
	if (r->untold && (!r->told || now_ms - r->told >= r->pause))
		tell(r, now_ms);
}

uint64_t repeated_end(struct repeated *r, int64_t now_ms)
{
	uint64_t total = r->total;
	if (r->untold)
		tell(r, now_ms);
	r->total = 0;
	r->told = 0;
	r->pause = 0;
	return total;
}
