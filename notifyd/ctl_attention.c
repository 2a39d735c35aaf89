/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl_status.h"
#include "losses.h"
#include "stamp.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	BEHIND_S = 600,       /* a sink may be so far behind */
	LOST_S = 24 * 60 * 60 /* a loss so long ago is history */
};

__attribute__((format(printf, 2, 3))) static void add(json_t *list, const char *fmt, ...)
{
	char line[800];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	json_t *s = json_string(line);
	/* cut in the middle of a character */
	for (size_t n = strlen(line); !s && n > 0; s = json_string(line))
		line[--n] = '\0';
	json_array_append_new(list, s);
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* " (5 max_size, 2 no_space)" */
static void list_reasons(char *text, size_t size, const json_t *reasons)
{
	size_t n = 0;
	*text = '\0';
	for (int i = 0; i < LOST_REASONS && n < size; i++) {
		json_int_t count = json_integer_value(json_object_get(reasons, losses[i].name));
		if (count)
			n += (size_t)snprintf(text + n, size - n, "%s%lld %s", n ? ", " : " (",
			                      (long long)count, losses[i].name);
	}
	if (n && n < size)
		snprintf(text + n, size - n, ")");
}

static void look_at_journal(json_t *list, const json_t *journal)
{
	const json_t *room = json_object_get(json_object_get(journal, "room"), "left");
	const json_t *ago = json_object_get(journal, "lostSecondsAgo");
	const char *sync = text(json_object_get(journal, "sync"), "error");
	if (json_is_integer(room) && json_integer_value(room) == 0)
		add(list, "the journal is full: events are lost");
	if (*sync)
		add(list, "the journal is not synced to the disk: %s", sync);
	if (json_is_number(ago) && json_number_value(ago) < LOST_S) {
		char span[STAMP_SIZE], reasons[LOST_REASONS * 32];
		stamp_span(span, (int64_t)(json_number_value(ago) * 1e6));
		list_reasons(reasons, sizeof reasons, json_object_get(journal, "lostReasons"));
		add(list, "events were lost, the last %s ago: %lld since the journal was made%s",
		    span, (long long)json_integer_value(json_object_get(journal, "lost")), reasons);
	}
}

static void look_at_sink(json_t *list, const json_t *sink)
{
	const char *name = text(sink, "name"), *link = text(sink, "connection");
	const char *error = text(sink, "error");
	json_int_t dead =
	    json_integer_value(json_object_get(json_object_get(sink, "deadLetters"), "waiting"));
	double behind = json_number_value(json_object_get(json_object_get(sink, "lag"), "seconds"));
	if (!strcmp(link, "retrying"))
		add(list, "sink %s does not deliver: %s", name, *error ? error : "retrying");
	else if (!strcmp(link, "blocked") || !strcmp(link, "down"))
		add(list, "sink %s does not deliver: %s", name, text(sink, "state"));
	if (behind >= BEHIND_S) {
		char span[STAMP_SIZE];
		stamp_span(span, (int64_t)(behind * 1e6));
		add(list, "sink %s is %s behind", name, span);
	}
	if (dead)
		add(list, "sink %s has %lld dead letters", name, (long long)dead);
}

json_t *ctl_attention(const json_t *status)
{
	json_t *list = json_array();
	const json_t *sinks = json_object_get(status, "sinks"), *sink;
	bool running = json_is_true(json_object_get(json_object_get(status, "notifyd"), "running"));
	size_t i;
	if (!running)
		add(list, "notifyd is down: nothing is delivered");
	look_at_journal(list, json_object_get(status, "journal"));
	json_array_foreach(sinks, i, sink)
	{
		if (running) /* else that is reason enough */
			look_at_sink(list, sink);
	}
	return list;
}
