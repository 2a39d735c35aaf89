/* SPDX-License-Identifier: BSD-3-Clause */
/* The event types and parameters, one table each. Sources: RFC 5423 sections 4
 * and 5, Cyrus IMAP's event notification documentation and imap/mboxevent.h. */
#ifndef MBEV_CATALOG_H
#define MBEV_CATALOG_H

#include "record.h"

/* Groups as event_groups and routing keys name them. A bit each: AclChange is in two. */
enum catalog_group {
	GROUP_MESSAGE = 1 << 0,
	GROUP_FLAGS = 1 << 1,
	GROUP_MAILBOX = 1 << 2,
	GROUP_ACCESS = 1 << 3,
	GROUP_SUBSCRIPTION = 1 << 4,
	GROUP_QUOTA = 1 << 5,
	GROUP_CALENDAR = 1 << 6,
	GROUP_APPLEPUSHSERVICE = 1 << 7,
	GROUP_JMAP = 1 << 8,
	GROUP_OTHER = 1 << 9, /* an event type that this version does not know */
};

struct catalog_event {
	const char *name;   /* wire name */
	unsigned groups;    /* enum catalog_group */
	unsigned primary;   /* the one that routes it (AclChange: mailbox) */
	const char *source; /* "RFC 5423, 4.1", "Cyrus", "mboxevent" */
};

/* NULL when the name is not known. Case-sensitive, as on the wire. */
const struct catalog_event *catalog_event(const char *name, size_t len);
/* All of them; their number. */
size_t catalog_events(const struct catalog_event **events_r);

/* The groups and the routing group of any event name, GROUP_OTHER for an unknown one. */
unsigned catalog_groups(struct str event);
const char *catalog_group(struct str event); /* "message", ..., "other" */
/* A group's bit by name; 0 when there is none of that name. */
unsigned catalog_group_bit(const char *name, size_t len);

#endif
