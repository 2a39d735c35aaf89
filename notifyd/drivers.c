/* SPDX-License-Identifier: BSD-3-Clause */
#include <config.h>

#include "sink.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const struct sink_driver sink_fail, sink_log, sink_null, sink_unix;

static const struct sink_driver *const built_in[] = {&sink_fail, &sink_log, &sink_null, &sink_unix};

#define BUILT_IN (sizeof(built_in) / sizeof(*built_in))

const char *const sink_types[] = {"amqp", "apns", "fail", "log", "null", "unix", NULL};

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
    {"required", CONF_SWITCH, "yes", 0, 0, NULL, NULL,
     "Whether events are kept until this sink has them. With no, the oldest that it has not "
     "delivered are deleted when the journal is short of room, before mboxevent_max_size or "
     "mboxevent_min_free would have new ones refused."},
    {"dead_letters", CONF_SIZE, "256M", 1 << 20, INT64_C(1) << 40, NULL, "bytes",
     "Room on the disk for events that can never be delivered. Once it is used up the next such "
     "event stops the sink, and nothing is lost, until there is room again or the event can be "
     "delivered. Of no use to sinks of type unix, which have no dead letters."},
    {NULL, CONF_STRING, NULL, 0, 0, NULL, NULL, NULL},
};

/* dlopen() counts what is opened twice. */
static const struct sink_driver *load(const char *type, char **why_r)
{
	const struct sink_module *module;
	struct buf path = BUF_INIT, why = BUF_INIT;
	Dl_info self;
	const char *slash = NULL;
	void *so;

	if (dladdr(built_in, &self) && self.dli_fname)
		slash = strrchr(self.dli_fname, '/');
	if (slash)
		buf_add(&path, self.dli_fname, (size_t)(slash - self.dli_fname + 1));
	buf_addf(&path, "sink_%s.so", type);
	so = dlopen(buf_cstr(&path), RTLD_NOW | RTLD_LOCAL);
	module = so ? dlsym(so, "sink_module") : NULL;
	if (module && !strcmp(module->version, PACKAGE_VERSION)) {
		buf_free(&path);
		/* cppcheck-suppress resourceLeak ; it stays */
		return module->driver;
	}
	if (module)
		buf_addf(&why, "%s is of version %.40s, this is %s: install the same of both",
		         buf_cstr(&path), module->version, PACKAGE_VERSION);
	else if (access(buf_cstr(&path), F_OK))
		buf_addf(&why, "this driver is not installed (%s)", buf_cstr(&path));
	else
		buf_addf(&why, "%s", dlerror());
	if (so)
		dlclose(so);
	*why_r = strdup(buf_cstr(&why));
	buf_free(&why);
	buf_free(&path);
	return NULL;
}

const struct sink_driver *sink_driver(const char *type, char **why_r)
{
	const struct sink_driver *driver = NULL;
	char *why = NULL;

	for (size_t i = 0; i < BUILT_IN; i++)
		if (!strcmp(built_in[i]->name, type))
			driver = built_in[i];
	for (size_t i = 0; !driver && sink_types[i]; i++)
		if (!strcmp(sink_types[i], type))
			driver = load(type, &why);
	if (why_r)
		*why_r = why;
	else
		free(why);
	return driver;
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
