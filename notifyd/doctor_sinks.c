/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"
#include "doctor.h"
#include "probe.h"
#include "status.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *said_by_worker(const struct sink *sink)
{
	char contents[STATUS_SIZE + 1];

	return status_read(sink->journal, sink->name, contents) < 0 ? NULL
	                                                            : json_loads(contents, 0, NULL);
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* Whether its worker is connected, so that there is nothing to ask. */
static bool is_connected(const struct sink *sink, const json_t *status)
{
	const char *link = text(status, "connection");

	if (strcmp(link, "connected") != 0 && strcmp(link, "blocked") != 0)
		return false;
	/* Such a one connects when there is something to push, and says so in words alone. */
	return !sink->driver->devices || strstr(text(status, "state"), "; connected to ");
}

static void tell_worker(const struct doctor *d, const struct sink *sink, const json_t *status,
                        struct probe *p)
{
	const char *state = text(status, "state"), *error = text(status, "error");
	json_int_t dropped = json_integer_value(json_object_get(status, "dropped"));

	if (!*state) {
		doctor_error(d, "sink %s has not started; see notifyd's log", sink->name);
	} else if (!strncmp(state, "retrying", 8) || !strncmp(state, "blocked", 7)) {
		/* That it is so still need not be told twice; what to do may be told besides. */
		bool same = *error && !strncmp(p->why, error, strlen(error));

		doctor_error(d, "sink %s does not deliver: %s%s%s", sink->name, state,
		             *error ? ": " : "", same ? p->why : error);
		if (same)
			p->why[0] = '\0';
	}
	if (dropped)
		doctor_warning(
		    d,
		    "sink %s could never deliver %lld events: %s; see notifyctl dead-letters "
		    "list %s",
		    sink->name, (long long)dropped, error, sink->name);
}

void doctor_sinks(const struct doctor *d)
{
	size_t n = d->settings->n_sinks, asked = 0;
	bool running = d->journal >= 0 && ctl_lock_holder(d->journal);
	json_t **status = calloc(n ? n : 1, sizeof(json_t *));
	struct probe *probes = calloc(n ? n : 1, sizeof(*probes));
	size_t *place = calloc(n ? n : 1, sizeof(*place)); /* of its probe, from 1 on */
	struct probe none = {0};

	if (d->journal >= 0 && !running)
		doctor_error(
		    d, "notifyd does not run: events are kept, nothing is delivered; start it "
		       "(systemctl start notifyd)");
	for (size_t i = 0; status && probes && place && i < n; i++) {
		struct sink *sink = &d->settings->sinks[i];

		status[i] = running ? said_by_worker(sink) : NULL;
		if (running && is_connected(sink, status[i]))
			continue;
		probes[asked].sink = sink;
		place[i] = ++asked;
	}
	if (asked && probe_run(d->settings, probes, asked) < 0)
		doctor_warning(d, "whether sinks can reach their far sides can't be seen: run this "
		                  "as root");
	for (size_t i = 0; status && probes && place && i < n; i++) {
		struct probe *p = place[i] ? &probes[place[i] - 1] : &none;

		if (running)
			tell_worker(d, &d->settings->sinks[i], status[i], p);
		if (p->why[0])
			doctor_error(d, "sink %s can't be reached: %s", d->settings->sinks[i].name,
			             p->why);
		json_decref(status[i]);
	}
	free(status);
	free(probes);
	free(place);
}
