/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl_sink.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_SINK "local"

bool ctl_sink_configured(const struct ctl *ctl, const char *sink, size_t len)
{
	const char *p = conf_str(&ctl->notifyd, "notifyd_sinks");
	if (!p || !*p)
		p = DEFAULT_SINK;
	while (*(p += strspn(p, " \t"))) {
		size_t n = strcspn(p, " \t");
		if (n == len && !memcmp(p, sink, len))
			return true;
		p += n;
	}
	return false;
}

const char *ctl_sink_type(const struct ctl *ctl, const char *sink, size_t len)
{
	char key[sizeof "notifyd__type" + 64];
	if (len > 64)
		return NULL;
	snprintf(key, sizeof key, "notifyd_%.*s_type", (int)len, sink);
	const char *type = conf_get(ctl->conf, NULL, key);
	bool local = len == strlen(DEFAULT_SINK) && !memcmp(sink, DEFAULT_SINK, len);
	return !type && local ? "unix" : type;
}
