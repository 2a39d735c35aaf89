/* SPDX-License-Identifier: BSD-3-Clause */
#include <config.h>

#include "sink.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

extern const struct sink_driver sink_fail, sink_log, sink_null, sink_unix;
#ifdef HAVE_AMQP
extern const struct sink_driver sink_amqp;
#endif
#ifdef HAVE_APNS
extern const struct sink_driver sink_apns;
#endif

const struct sink_driver *const sink_drivers[] = {
#ifdef HAVE_AMQP
    &sink_amqp,
#endif
#ifdef HAVE_APNS
    &sink_apns,
#endif
    &sink_fail, &sink_log, &sink_null, &sink_unix, NULL,
};

const char *const sink_drivers_off[] = {
#ifndef HAVE_AMQP
    "amqp",
#endif
#ifndef HAVE_APNS
    "apns",
#endif
    NULL,
};

#ifdef HAVE_SQLITE
extern const struct sink_driver sink_reset;
const struct sink_driver *const sink_driver_reset = &sink_reset;
#else
const struct sink_driver *const sink_driver_reset = NULL;
#endif

const struct conf_option sink_options[] = {
    {"type", CONF_STRING, NULL, 0, 0, NULL, NULL, "The driver. Every sink must have one."},
    {"groups", CONF_LIST, NULL, 0, 0, NULL, NULL,
     "Deliver only events of these groups: message, flags, mailbox, access, subscription, quota, "
     "calendar, applepushservice, jmap, push, other."},
    {"events", CONF_LIST, NULL, 0, 0, NULL, NULL,
     "Deliver only events of these types, such as MessageNew or vnd.cmu.MessageCopy."},
    {"users", CONF_LIST, NULL, 0, 0, NULL, NULL,
     "Deliver only what these users did: userids as the server spells them, or *@domain."},
    {"owners", CONF_LIST, NULL, 0, 0, NULL, NULL,
     "Deliver only what happened to mailboxes of these users: userids as the server spells them, "
     "or *@domain."},
    {"mailboxes", CONF_LIST, NULL, 0, 0, NULL, NULL,
     "Deliver only what happened to mailboxes of these names as their owner sees them: * stands "
     "for anything, / included, ? for one character, a backslash takes the next character as it "
     "is, a space too."},
    {"from", CONF_STRING, "newest", 0, 0, NULL, NULL,
     "Where a sink that has no position yet starts: newest, oldest, a time such as "
     "2024-05-31T14:30:00+02:00, or how long ago, such as 2h."},
    {"headers", CONF_SWITCH, "no", 0, 0, NULL, NULL,
     "Whether events that carry the text of messages (messageContent, which event_extra_params "
     "must "
     "name) get their decoded headers too, as messageHeaders."},
    {NULL, CONF_STRING, NULL, 0, 0, NULL, NULL, NULL},
};

const struct sink_driver *sink_driver(const char *name)
{
	for (const struct sink_driver *const *d = sink_drivers; *d; d++)
		if (!strcmp((*d)->name, name))
			return *d;
	return NULL;
}

int sink_why(struct sink *sink, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sink->why, sizeof(sink->why), fmt, ap);
	va_end(ap);
	/* One line, whatever the far side said. */
	for (char *p = sink->why; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	return code;
}
