/* SPDX-License-Identifier: BSD-3-Clause */
/* What a mail server's hook does with an event, whatever server it is: configure
 * itself at the first one, convert, append, count what can't be. Safe in a mail process:
 * blocks on the local file system alone, never aborts, never prints, preserves errno. */
#ifndef MBEV_HOOK_H
#define MBEV_HOOK_H

#include <stdbool.h>

/* The first call reads conf_path, as service (NULL: none) sees it; later calls ignore both.
 * True: the event is in the journal, or lost and counted. False: the hook has no configuration
 * that it can read, and the server should go its own way. json is a C string, borrowed. */
bool hook_event(const char *conf_path, const char *service, const char *json);

/* Whether the hook wants to be told of the messages of events (content.h): messageContent is
 * in event_extra_params. The first call reads the configuration as hook_event() does. */
bool hook_wants_messages(const char *conf_path, const char *service);

/* Tells of one message, before its event. Only after hook_wants_messages() said yes. */
struct content_message;
void hook_message(const struct content_message *m);

/* One line to syslog without ever waiting, at most one a minute of each kind (0 to 7). */
void hook_warn(unsigned kind, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
