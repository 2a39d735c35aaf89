/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl_backlog.h"

#include <stdio.h>

json_t *ctl_lag_object(const struct lag *lag)
{
	int64_t behind = lag->events ? stamp_now() - lag->oldest : 0;
	return json_pack("{s:I, s:b, s:I, s:f}", "events", (json_int_t)lag->events, "exact",
	                 lag->exact, "bytes", (json_int_t)lag->bytes, "seconds",
	                 behind > 0 ? (double)(behind / 1000) / 1e3 : 0.0);
}

json_t *ctl_subscription_array(const struct backlog *list, size_t n)
{
	json_t *array = json_array();
	for (size_t i = 0; i < n; i++) {
		char used[STAMP_SIZE];
		if (!list[i].sub)
			continue;
		stamp_iso(used, list[i].used);
		json_array_append_new(array,
		                      json_pack("{s:s, s:s%, s:o, s:I, s:s}", "name", list[i].sub,
		                                "sink", list[i].name, list[i].sink_len, "lag",
		                                ctl_lag_object(&list[i].lag), "delivered",
		                                (json_int_t)list[i].delivered, "lastUsed", used));
	}
	return array;
}

void ctl_size_text(char out_r[STAMP_SIZE], int64_t bytes)
{
	static const char *const units[] = {"bytes", "KB", "MB", "GB", "TB"};
	double size = (double)bytes;
	size_t u = 0;
	for (; size >= 1024 && u < 4; u++)
		size /= 1024;
	snprintf(out_r, STAMP_SIZE, u ? "%.1f %s" : "%.0f %s", size, units[u]);
}

void ctl_lag_text(char out_r[CTL_LAG_TEXT], const json_t *lag)
{
	char size[STAMP_SIZE], span[STAMP_SIZE];
	json_int_t events = json_integer_value(json_object_get(lag, "events"));
	if (!json_is_object(lag)) {
		snprintf(out_r, CTL_LAG_TEXT, "-");
		return;
	}
	if (!events) {
		snprintf(out_r, CTL_LAG_TEXT, "nothing");
		return;
	}
	ctl_size_text(size, json_integer_value(json_object_get(lag, "bytes")));
	stamp_span(span, (int64_t)(json_number_value(json_object_get(lag, "seconds")) * 1e6));
	snprintf(out_r, CTL_LAG_TEXT, "%s%lld events, %s, %s",
	         json_is_true(json_object_get(lag, "exact")) ? "" : "about ", (long long)events,
	         size, span);
}
