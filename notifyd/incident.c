/* SPDX-License-Identifier: BSD-3-Clause */
#include "incident.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WAIT_MIN = 100,
	AGAIN = 1000, /* it worked for a moment */
	SLOW_MIN = 1000,
	SLOW_MAX = 60000,
};

bool incident_failed(struct incident *i, const char *why, int64_t now)
{
	size_t place = 0;
	if (!i->failing)
		i->failing = now;
	for (size_t n = 0; n < INCIDENT_REASONS; n++) {
		if (strcmp(i->reasons[n].why, why) == 0) {
			place = n;
			break;
		}
		if (i->reasons[n].told < i->reasons[place].told)
			place = n;
	}
	if (strcmp(i->reasons[place].why, why) == 0 &&
	    now - i->reasons[place].told <= INCIDENT_REMIND_MS)
		return false;
	snprintf(i->reasons[place].why, sizeof i->reasons[place].why, "%s", why);
	i->reasons[place].told = now;
	return true;
}

int incident_wait(struct incident *i, bool slow)
{
	int most = slow ? SLOW_MAX : INCIDENT_WAIT_MAX;
	i->wait = i->well ? AGAIN : i->wait * 2 < most ? i->wait * 2 : most;
	i->well = 0;
	if (i->wait < WAIT_MIN)
		i->wait = WAIT_MIN;
	if (slow && i->wait < SLOW_MIN)
		i->wait = SLOW_MIN;
	/* Jitter, so that a broker that comes back is not hit by all at one instant. */
	return i->wait / 2 + (int)(random() % (i->wait / 2 + 1));
}

void incident_well(struct incident *i, int64_t now)
{
	if (i->failing && !i->well)
		i->well = now;
}

bool incident_over(struct incident *i, int64_t now, int64_t *seconds_r)
{
	if (!i->well || now - i->well < INCIDENT_STEADY_MS)
		return false;
	*seconds_r = (i->well - i->failing) / 1000;
	*i = (struct incident){0};
	return true;
}
