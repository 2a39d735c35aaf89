/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"
#include "doctor.h"
#include "status.h"

#include <jansson.h>
#include <string.h>

static void look_at(const struct doctor *d, const struct sink *sink)
{
	char contents[STATUS_SIZE + 1];
	json_t *o = status_read(sink->journal, sink->name, contents) < 0
	                ? NULL
	                : json_loads(contents, 0, NULL);
	const char *state = json_string_value(json_object_get(o, "state"));
	const char *error = json_string_value(json_object_get(o, "error"));
	json_int_t dropped = json_integer_value(json_object_get(o, "dropped"));

	if (!state)
		doctor_error(d, "sink %s has not started; see notifyd's log", sink->name);
	else if (!strncmp(state, "retrying", 8) || !strncmp(state, "blocked", 7))
		doctor_error(d, "sink %s does not deliver: %s%s%s", sink->name, state,
		             error ? ": " : "", error ? error : "");
	if (dropped)
		doctor_warning(
		    d,
		    "sink %s could never deliver %lld events: %s; see notifyctl dead-letters "
		    "list %s",
		    sink->name, (long long)dropped, error ? error : "", sink->name);
	json_decref(o);
}

void doctor_sinks(const struct doctor *d)
{
	if (!ctl_lock_holder(d->journal)) {
		doctor_error(
		    d, "notifyd does not run: events are kept, nothing is delivered; start it "
		       "(systemctl start notifyd)");
		return;
	}
	for (size_t i = 0; i < d->settings->n_sinks; i++)
		look_at(d, &d->settings->sinks[i]);
}
