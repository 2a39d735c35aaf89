/* SPDX-License-Identifier: BSD-3-Clause */
#include "catalog.h"

#include <string.h>

/* Sets of parameters are lists X(A) X(B), made into two words of bits. */
#define LOW(id)  | (PARAM_##id < 64 ? UINT64_C(1) << (PARAM_##id % 64) : 0)
#define HIGH(id) | (PARAM_##id < 64 ? 0 : UINT64_C(1) << (PARAM_##id % 64))
#define SET(list)                                                                                  \
	{                                                                                          \
		{                                                                                  \
			UINT64_C(0) list(LOW), UINT64_C(0) list(HIGH)                              \
		}                                                                                  \
	}

/* clang-format off */
#define NONE(X)

/* What most events have. */
#define PLACE(X) X(EVENT) X(PID) X(URI)
#define ABOUT_SWITCHED(X) X(SERVICE) X(TIMESTAMP) X(VND_CMU_SESSION_ID) \
	X(VND_FASTMAIL_CLIENT_ID) X(VND_FASTMAIL_SESSION_ID) X(VND_FASTMAIL_CONV_EXISTS) \
	X(VND_FASTMAIL_CONV_UNSEEN) X(VND_FASTMAIL_COUNTERS) X(VND_FASTMAIL_JMAP_STATES)
#define ABOUT(X) ABOUT_SWITCHED(X) X(SERVER_FQDN)
#define IDS(X) X(MAILBOX_UNIQUE_ID) X(VND_MBOXEVENT_JMAP_ID)
#define MAILBOX_SWITCHED(X) ABOUT_SWITCHED(X) X(VND_CMU_VISIBLE_USERS)
#define MAILBOX(X) ABOUT(X) IDS(X) X(VND_CMU_MBTYPE) X(VND_CMU_MAILBOX_ACL) \
	X(VND_CMU_VISIBLE_USERS)
#define COUNTS(X) X(MESSAGES) X(MODSEQ) X(UIDNEXT) X(VND_CMU_MIDSET) X(VND_CMU_UNSEEN_MESSAGES)
#define BRINGS_SWITCHED(X) MAILBOX_SWITCHED(X) COUNTS(X) X(BODY_STRUCTURE) X(FLAG_NAMES) \
	X(MESSAGE_CONTENT) X(MESSAGE_SIZE) X(VND_CMU_ENVELOPE) X(VND_CMU_EMAILID) \
	X(VND_CMU_THREADID) X(VND_FASTMAIL_CID) X(VND_FASTMAIL_JMAP_EMAIL)

#define APPEND(X) MAILBOX(X) BRINGS_SWITCHED(X) X(MESSAGE_HEADERS) X(USER) \
	X(VND_MBOXEVENT_HEADERS_CUT)
#define NEW(X) APPEND(X) X(UIDSET) X(VND_CMU_DAV_FILENAME) X(VND_CMU_DAV_UID)
#define NEW_SWITCHED(X) BRINGS_SWITCHED(X) X(VND_CMU_DAV_FILENAME) X(VND_CMU_DAV_UID)
#define SOME(X) PLACE(X) X(UIDSET)
#define SOME_SWITCHED(X) MAILBOX_SWITCHED(X) COUNTS(X)
#define SOME_OPTIONAL(X) MAILBOX(X) COUNTS(X)
#define EXPUNGE(X) SOME_OPTIONAL(X) X(USER)
#define COPY(X) SOME(X) X(OLD_MAILBOX_ID) X(VND_CMU_OLD_UIDSET)
#define READ(X) SOME(X) X(USER)
#define FLAGS(X) READ(X) X(FLAG_NAMES)
#define CREATE(X) PLACE(X) X(MAILBOX_ID)
#define CREATE_OPTIONAL(X) MAILBOX(X) X(USER)
#define RENAME(X) CREATE(X) X(OLD_MAILBOX_ID)
#define ACL(X) CREATE(X) X(ACL_SUBJECT) X(ACL_RIGHTS)
#define SUBSCRIBE(X) PLACE(X) X(USER)
#define SUBSCRIBE_OPTIONAL(X) ABOUT(X) IDS(X)
#define QUOTA(X) PLACE(X) X(DISK_QUOTA) X(MAX_MESSAGES)
#define QUOTA_OPTIONAL(X) ABOUT(X) X(DISK_USED) X(MESSAGES) X(USER)
#define CHANGE_SWITCHED(X) ABOUT_SWITCHED(X) X(DISK_USED)
#define LOGIN(X) PLACE(X) X(USER) X(SERVER_DOMAIN) X(SERVER_PORT)
#define CLIENT(X) X(CLIENT_IP) X(CLIENT_PORT)
#define LOGIN_OPTIONAL(X) ABOUT(X) CLIENT(X)
#define LOGIN_SWITCHED(X) ABOUT_SWITCHED(X) CLIENT(X)
#define ALARM(X) X(EVENT) X(PID) X(SERVER_FQDN) X(ALARM_TIME) X(ALARM_RECIPIENTS) X(USER_ID) \
	X(CALENDAR_NAME) X(UID) X(ACTION) X(SUMMARY) X(DESCRIPTION) X(LOCATION) X(TIMEZONE) \
	X(START) X(END) X(ALL_DAY) X(ATTENDEE_NAMES) X(ATTENDEE_EMAILS) X(ATTENDEE_STATUS) \
	X(ORGANIZER)
#define ALARM_OPTIONAL(X) X(CALENDAR_ID) X(CALENDAR_COLOR) X(CALENDAR_OWNER) \
	X(CALENDAR_EVENT_ID) X(ALERT_ID) X(RECURRENCE_ID)
#define PHONE(X) X(EVENT) X(USER) X(APS_DEVICE_TOKEN)
#define PUSH(X) PHONE(X) X(APS_VERSION) X(APS_ACCOUNT_ID) X(APS_SUBTOPIC) X(MAILBOXES)
#define PUSH_OPTIONAL(X) X(PID)
#define PUSH_DAV(X) PHONE(X) X(APS_TOPIC) X(MAILBOX_USER) X(MAILBOX_UNIQUE_ID) X(EXPIRY)
#define PUSH_DAV_OPTIONAL(X) X(PID) X(VND_CMU_MBTYPE)
#define UNSCHEDULED(X) X(EVENT) X(PID) X(USER_ID) X(COUNT)
#define RESET(X) X(EVENT) X(MAILBOX_ID) X(UID_VALIDITY) X(PREV_UID_VALIDITY)
#define RESET_OPTIONAL(X) MAILBOX(X) X(PID) X(URI) X(USER)
#define PUSH_DUE(X) X(EVENT) X(USER) X(REASON)
#define PUSH_DUE_OPTIONAL(X) X(PID) X(SERVICE) X(TIMESTAMP) X(MAILBOXES) X(APS_ACCOUNT_ID) \
	X(APS_DEVICE_HASH) X(MAILBOX_USER) X(MAILBOX_UNIQUE_ID) X(VND_CMU_MBTYPE)
/* clang-format on */

/* name, the group that routes it, its other groups, uri, source, meaning, required, optional,
 * switched */
#define EVENT(name, group, others, uri, source, help, required, optional, switched)                \
	{                                                                                          \
		name, sizeof(name) - 1, GROUP_##group | (others), GROUP_##group, source, help,     \
		    FORM_##uri, SET(required), SET(optional), SET(switched)                        \
	}

static const struct catalog_event events[] = {
    EVENT("MessageAppend", MESSAGE, 0, MESSAGE_URL, "RFC 5423, 4.1", "a client appended a message",
          PLACE, APPEND, BRINGS_SWITCHED),
    EVENT("MessageExpire", MESSAGE, 0, MAILBOX_URL, "RFC 5423, 4.1",
          "the server removed messages for their age", SOME, EXPUNGE, SOME_SWITCHED),
    EVENT("MessageExpunge", MESSAGE, 0, MAILBOX_URL, "RFC 5423, 4.1", "messages were removed", SOME,
          EXPUNGE, SOME_SWITCHED),
    EVENT("MessageNew", MESSAGE, 0, MESSAGE_URL, "RFC 5423, 4.1", "a message was delivered", PLACE,
          NEW, NEW_SWITCHED),
    EVENT("vnd.cmu.MessageCopy", MESSAGE, 0, MAILBOX_URL, "Cyrus", "messages were copied here",
          COPY, EXPUNGE, SOME_SWITCHED),
    EVENT("vnd.cmu.MessageMove", MESSAGE, 0, MAILBOX_URL, "Cyrus", "messages were moved here", COPY,
          EXPUNGE, SOME_SWITCHED),
    EVENT("QuotaExceed", QUOTA, 0, NAME_URL, "RFC 5423, 4.1",
          "something did not fit into the quota", QUOTA, QUOTA_OPTIONAL, ABOUT_SWITCHED),
    EVENT("QuotaWithin", QUOTA, 0, NAME_URL, "RFC 5423, 4.1",
          "what is there fits into the quota again", QUOTA, QUOTA_OPTIONAL, ABOUT_SWITCHED),
    EVENT("QuotaChange", QUOTA, 0, NAME_URL, "RFC 5423, 4.1", "the limits were changed", QUOTA,
          QUOTA_OPTIONAL, CHANGE_SWITCHED),
    EVENT("MessageRead", FLAGS, 0, MAILBOX_URL, "RFC 5423, 4.2", "\\Seen was set", READ,
          SOME_OPTIONAL, SOME_SWITCHED),
    EVENT("MessageTrash", FLAGS, 0, MAILBOX_URL, "RFC 5423, 4.2", "\\Deleted was set", READ,
          SOME_OPTIONAL, SOME_SWITCHED),
    EVENT("FlagsSet", FLAGS, 0, MAILBOX_URL, "RFC 5423, 4.2", "other flags were set", FLAGS,
          SOME_OPTIONAL, SOME_SWITCHED),
    EVENT("FlagsClear", FLAGS, 0, MAILBOX_URL, "RFC 5423, 4.2", "flags were removed", FLAGS,
          SOME_OPTIONAL, SOME_SWITCHED),
    EVENT("Login", ACCESS, 0, SERVER_URL, "RFC 5423, 4.3", "a user logged in", LOGIN,
          LOGIN_OPTIONAL, LOGIN_SWITCHED),
    EVENT("Logout", ACCESS, 0, SERVER_URL, "RFC 5423, 4.3", "a user who had logged in left", LOGIN,
          LOGIN_OPTIONAL, LOGIN_SWITCHED),
    EVENT("MailboxCreate", MAILBOX, 0, MAILBOX_URL, "RFC 5423, 4.4", "a mailbox was created",
          CREATE, CREATE_OPTIONAL, MAILBOX_SWITCHED),
    EVENT("MailboxDelete", MAILBOX, 0, MAILBOX_URL, "RFC 5423, 4.4",
          "a mailbox was deleted with all below it, of which there are no events", CREATE,
          CREATE_OPTIONAL, MAILBOX_SWITCHED),
    EVENT("MailboxRename", MAILBOX, 0, MAILBOX_URL, "RFC 5423, 4.4",
          "a mailbox was renamed with all below it, of which there are no events", RENAME,
          CREATE_OPTIONAL, MAILBOX_SWITCHED),
    EVENT("MailboxSubscribe", SUBSCRIPTION, 0, NAME_URL, "RFC 5423, 4.4",
          "a user subscribed to a mailbox", SUBSCRIBE, SUBSCRIBE_OPTIONAL, ABOUT_SWITCHED),
    EVENT("MailboxUnSubscribe", SUBSCRIPTION, 0, NAME_URL, "RFC 5423, 4.4",
          "a user unsubscribed from a mailbox", SUBSCRIBE, SUBSCRIBE_OPTIONAL, ABOUT_SWITCHED),
    EVENT("AclChange", MAILBOX, GROUP_ACCESS, MAILBOX_URL, "Cyrus",
          "the rights of an identifier were changed", ACL, CREATE_OPTIONAL, MAILBOX_SWITCHED),
    EVENT("CalendarAlarm", CALENDAR, 0, ANY, "Cyrus", "an alarm of a calendar event is due", ALARM,
          ALARM_OPTIONAL, NONE),
    EVENT("ApplePushService", APPLEPUSHSERVICE, 0, ANY, "Cyrus",
          "a phone registers for pushes about mailboxes", PUSH, PUSH_OPTIONAL, NONE),
    EVENT("ApplePushServiceDAV", APPLEPUSHSERVICE, 0, ANY, "Cyrus",
          "a phone registers for pushes about a calendar or an address book", PUSH_DAV,
          PUSH_DAV_OPTIONAL, NONE),
    EVENT("MailboxModseq", MAILBOX, 0, MAILBOX_URL, "Cyrus",
          "a mailbox was committed; left out unless mboxevent_modseq is on", CREATE,
          CREATE_OPTIONAL, MAILBOX_SWITCHED),
    EVENT("MessagesUnscheduled", JMAP, 0, ANY, "Cyrus 3.8",
          "messages that were to be sent later are no longer", UNSCHEDULED, NONE, NONE),
    EVENT("MailboxReset", MAILBOX, 0, MAILBOX_URL, "mboxevent",
          "a mailbox has a new UIDVALIDITY: forget what you know of its UIDs", RESET,
          RESET_OPTIONAL, NONE),
    EVENT("PushDue", PUSH, 0, ANY, "mboxevent",
          "a user, or a device of one, is to be told that there is something new", PUSH_DUE,
          PUSH_DUE_OPTIONAL, NONE),
};

const struct catalog_form_row catalog_forms[] = {
#define ROW(id, words, pattern, least, most) {words, pattern, least, most},
    CATALOG_FORMS(ROW)
#undef ROW
};

const struct catalog_parameter catalog_parameters[] = {
#define ROW(id, name, type, form, extra, source, help)                                             \
	{name, CATALOG_##type, FORM_##form, extra, source, help},
    CATALOG_PARAMS(ROW)
#undef ROW
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
    {"push", GROUP_PUSH},
    {"other", GROUP_OTHER},
};

static bool is(const char *name, const char *s, size_t len)
{
	return len && name[0] == s[0] && strncmp(name, s, len) == 0 && strlen(name) == len;
}

const struct catalog_event *catalog_event(const char *name, size_t len)
{
	/* for every record and filter; names of one length differ at their ends as a rule */
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		if (events[i].len == len && events[i].name[len - 1] == name[len - 1] &&
		    memcmp(events[i].name, name, len) == 0)
			return &events[i];
	return NULL;
}

size_t catalog_events(const struct catalog_event **events_r)
{
	*events_r = events;
	return sizeof events / sizeof *events;
}

int catalog_param(const char *name, size_t len)
{
	int low = 0, high = CATALOG_N_PARAMS;
	while (low < high) {
		int mid = (low + high) / 2;
		const char *other = catalog_parameters[mid].name;
		size_t other_len = strlen(other), min = len < other_len ? len : other_len;
		int c = min ? memcmp(name, other, min) : 0;
		if (!c && len == other_len)
			return mid;
		if (c < 0 || (!c && len < other_len))
			high = mid;
		else
			low = mid + 1;
	}
	return -1;
}

bool catalog_extra(const char *word, size_t len, struct catalog_params *set_r)
{
	bool found = false;
	*set_r = (struct catalog_params){{0, 0}};
	for (int p = 0; p < CATALOG_N_PARAMS; p++) {
		if (!catalog_parameters[p].extra || !is(catalog_parameters[p].extra, word, len))
			continue;
		set_r->bits[p / 64] |= UINT64_C(1) << (p % 64);
		found = true;
	}
	return found;
}

unsigned catalog_groups(struct str event)
{
	const struct catalog_event *e = catalog_event(event.s, event.len);
	return e ? e->groups : GROUP_OTHER;
}

bool catalog_is_device(struct str event)
{
	static const char begins[] = "ApplePushService";
	return event.len >= sizeof begins - 1 && memcmp(event.s, begins, sizeof begins - 1) == 0 &&
	       catalog_groups(event) & GROUP_APPLEPUSHSERVICE;
}

const char *catalog_group(struct str event)
{
	const struct catalog_event *e = catalog_event(event.s, event.len);
	return catalog_group_name(e ? e->primary : GROUP_OTHER);
}

const char *catalog_group_name(unsigned bit)
{
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
