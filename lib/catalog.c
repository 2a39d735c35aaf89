/* SPDX-License-Identifier: BSD-3-Clause */
#include "catalog.h"

#include <string.h>

/* name, the group that routes it, its other groups, source */
#define EVENT(name, group, others, source)                                                         \
	{                                                                                          \
		name, GROUP_##group | (others), GROUP_##group, source                              \
	}

static const struct catalog_event events[] = {
    EVENT("MessageAppend", MESSAGE, 0, "RFC 5423, 4.1"),
    EVENT("MessageExpire", MESSAGE, 0, "RFC 5423, 4.1"),
    EVENT("MessageExpunge", MESSAGE, 0, "RFC 5423, 4.1"),
    EVENT("MessageNew", MESSAGE, 0, "RFC 5423, 4.1"),
    EVENT("vnd.cmu.MessageCopy", MESSAGE, 0, "Cyrus"),
    EVENT("vnd.cmu.MessageMove", MESSAGE, 0, "Cyrus"),
    EVENT("QuotaExceed", QUOTA, 0, "RFC 5423, 4.1"),
    EVENT("QuotaWithin", QUOTA, 0, "RFC 5423, 4.1"),
    EVENT("QuotaChange", QUOTA, 0, "RFC 5423, 4.1"),
    EVENT("MessageRead", FLAGS, 0, "RFC 5423, 4.2"),
    EVENT("MessageTrash", FLAGS, 0, "RFC 5423, 4.2"),
    EVENT("FlagsSet", FLAGS, 0, "RFC 5423, 4.2"),
    EVENT("FlagsClear", FLAGS, 0, "RFC 5423, 4.2"),
    EVENT("Login", ACCESS, 0, "RFC 5423, 4.3"),
    EVENT("Logout", ACCESS, 0, "RFC 5423, 4.3"),
    EVENT("MailboxCreate", MAILBOX, 0, "RFC 5423, 4.4"),
    EVENT("MailboxDelete", MAILBOX, 0, "RFC 5423, 4.4"),
    EVENT("MailboxRename", MAILBOX, 0, "RFC 5423, 4.4"),
    EVENT("MailboxSubscribe", SUBSCRIPTION, 0, "RFC 5423, 4.4"),
    EVENT("MailboxUnSubscribe", SUBSCRIPTION, 0, "RFC 5423, 4.4"),
    EVENT("AclChange", MAILBOX, GROUP_ACCESS, "Cyrus"),
    EVENT("CalendarAlarm", CALENDAR, 0, "Cyrus"),
    EVENT("ApplePushService", APPLEPUSHSERVICE, 0, "Cyrus"),
    EVENT("ApplePushServiceDAV", APPLEPUSHSERVICE, 0, "Cyrus"),
    EVENT("MailboxModseq", MAILBOX, 0, "Cyrus"),
    EVENT("MessagesUnscheduled", JMAP, 0, "Cyrus 3.8"),
    EVENT("MailboxReset", MAILBOX, 0, "mboxevent"),
};

static const struct {
	const char *name;
	unsigned bit;
} groups[] = {
    {"message", GROUP_MESSAGE},
    {"flags", GROUP_FLAGS},
    {"mailbox", GROUP_MAILBOX},
    {"access", GROUP_ACCESS},
    {"subscription", GROUP_SUBSCRIPTION},
    {"quota", GROUP_QUOTA},
    {"calendar", GROUP_CALENDAR},
    {"applepushservice", GROUP_APPLEPUSHSERVICE},
    {"jmap", GROUP_JMAP},
    {"other", GROUP_OTHER},
};

static bool is(const char *name, const char *s, size_t len)
{
	return len && name[0] == s[0] && strncmp(name, s, len) == 0 && strlen(name) == len;
}

const struct catalog_event *catalog_event(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		if (is(events[i].name, name, len))
			return &events[i];
	return NULL;
}

size_t catalog_events(const struct catalog_event **events_r)
{
	*events_r = events;
	return sizeof events / sizeof *events;
}

unsigned catalog_groups(struct str event)
{
	const struct catalog_event *e = catalog_event(event.s, event.len);
	return e ? e->groups : GROUP_OTHER;
}

const char *catalog_group(struct str event)
{
	const struct catalog_event *e = catalog_event(event.s, event.len);
	unsigned bit = e ? e->primary : GROUP_OTHER;
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
		if (groups[i].bit == bit)
			return groups[i].name;
	return "other";
}

unsigned catalog_group_bit(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
		if (is(groups[i].name, name, len))
			return groups[i].bit;
	return 0;
}
