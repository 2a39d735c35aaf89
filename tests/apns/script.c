/* SPDX-License-Identifier: BSD-3-Clause */
#include "script.h"

#include <stdio.h>

void script_forget(struct script *s)
{
	json_decref(s->devices);
	*s = (struct script){.devices = json_object(), .goaway_after = -1, .close_after = -1};
}

int script_command(struct script *s, json_t *command)
{
	const char *device, *reason = "Shutdown";
	json_t *answers;
	int repeat = 0;

	if (json_object_get(command, "forget")) {
		script_forget(s);
		return 0;
	}
	if (json_object_get(command, "device")) {
		if (json_unpack(command, "{s:s, s:o, s?b}", "device", &device, "answers", &answers,
		                "repeat", &repeat) ||
		    !json_is_array(answers) || !json_array_size(answers))
			return -1;
		json_object_set(s->devices, device, command);
		return 0;
	}
	if (!json_unpack(command, "{s:I, s?s}", "goaway_after", &s->goaway_after, "reason",
	                 &reason)) {
		snprintf(s->reason, sizeof(s->reason), "%s", reason);
		return 0;
	}
	if (!json_unpack(command, "{s:I}", "close_after", &s->close_after))
		return 0;
	return 1;
}

const json_t *script_next(struct script *s, const char *device)
{
	static json_t *given;

	if (!json_object_size(s->devices))
		return NULL;
	json_t *one = json_object_get(s->devices, device);
	if (!one) {
		device = "*";
		one = json_object_get(s->devices, device);
	}
	json_t *answers = json_object_get(one, "answers");
	json_decref(given);
	given = json_incref(json_array_get(answers, 0));
	if (json_array_size(answers) > 1)
		json_array_remove(answers, 0);
	else if (one && !json_is_true(json_object_get(one, "repeat")))
		json_object_del(s->devices, device);
	return given;
}
