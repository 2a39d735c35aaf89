/* SPDX-License-Identifier: BSD-3-Clause */
/* The event types and parameters: the one truth about them. The validator, the JSON Schema, the
 * tables of mboxevent-events(7) and the public API come from these tables or are tested against
 * them. Sources: RFC 5423 sections 4 and 5, Cyrus IMAP's event notification documentation, what
 * Cyrus 3.6.1 emits, and for what is marked with a later version that version's source. */
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
	GROUP_PUSH = 1 << 10,
	GROUP_OTHER = 1 << 9, /* an event type that this version does not know */
};

/* The JSON type of a parameter. */
enum catalog_type {
	CATALOG_STRING,
	CATALOG_INT,
	CATALOG_STRINGS,         /* an array of strings */
	CATALOG_STRING_OR_NULL,  /* aclRights */
	CATALOG_STRING_OR_FALSE, /* prevUidValidity */
	CATALOG_UID_STRINGS,     /* an object: UID -> string */
	CATALOG_UID_OBJECTS,     /* an object: UID -> object */
	CATALOG_OBJECT,          /* an object of any members */
};

/* What the value, or each string of an array, looks like:
 * X(id, in words after "must be", pattern or NULL, least, most)
 * A pattern is for strings, and is both a POSIX extended regular expression and one of
 * ECMA-262; least and most are for integers. */
#define CATALOG_NUMBER  "[1-9][0-9]{0,9}"
#define CATALOG_CHARS   "([A-Za-z0-9!$&'()*+,.:=@_~-]|%[0-9A-Fa-f]{2})+"
#define CATALOG_SERVER  "imap://(" CATALOG_CHARS "@)?([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])"
#define CATALOG_NAME    CATALOG_SERVER "(/" CATALOG_CHARS ")+"
#define CATALOG_MAILBOX CATALOG_NAME ";UIDVALIDITY=" CATALOG_NUMBER
#define CATALOG_RANGE   CATALOG_NUMBER "(:" CATALOG_NUMBER ")?"
/* A user's mailbox without an owner before the server: the server's own form. */
#define CATALOG_UNOWNED "^imap://[^/@]*/user[./]"
#define CATALOG_CLOCK   "([01][0-9]|2[0-3]):[0-5][0-9]"
/* clang-format off */
#define CATALOG_FORMS(X) \
	X(ANY, "anything", NULL, INT64_MIN, INT64_MAX) \
	X(NAME, "the name of an event", NULL, 0, 0) \
	X(TEXT, "text that is not empty", "^.", 0, 0) \
	X(COUNT, "0 or more", NULL, 0, INT64_MAX) \
	X(LIMIT, "0 or more, or -1 for no limit", NULL, -1, INT64_MAX) \
	X(UID, "from 1 to 4294967295", NULL, 1, 4294967295) \
	X(PORT, "from 0 to 65535", NULL, 0, 65535) \
	X(BOOLEAN, "0 or 1", NULL, 0, 1) \
	X(URI, "the URL that the event calls for", NULL, 0, 0) \
	X(SERVER_URL, "a server's URL: imap://SERVER", \
	  "^imap://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])$", 0, 0) \
	X(NAME_URL, "a mailbox URL without UIDVALIDITY: imap://OWNER@SERVER/MAILBOX", \
	  "^" CATALOG_NAME "$", 0, 0) \
	X(MAILBOX_URL, "a mailbox URL: imap://OWNER@SERVER/MAILBOX;UIDVALIDITY=N", \
	  "^" CATALOG_MAILBOX "$", 0, 0) \
	X(MESSAGE_URL, "a message URL: imap://OWNER@SERVER/MAILBOX;UIDVALIDITY=N/;UID=N", \
	  "^" CATALOG_MAILBOX "/;UID=" CATALOG_NUMBER "$", 0, 0) \
	X(UIDSET, "a sequence set such as 1,4:7", \
	  "^" CATALOG_RANGE "(," CATALOG_RANGE ")*$", 0, 0) \
	X(UID_KEYS, "an object whose keys are UIDs", "^" CATALOG_NUMBER "$", 0, 0) \
	X(FLAGS, "flags separated by one space", "^[!-~]+( [!-~]+)*$", 0, 0) \
	X(TIMESTAMP, "a time such as 2015-02-23T14:57:59.736+01:00", \
	  "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T" CATALOG_CLOCK \
	  ":([0-5][0-9]|60)[.][0-9]{3}(Z|[+-]" CATALOG_CLOCK ")$", 0, 0) \
	X(ICALTIME, "a time such as 20151119T063000Z, or a day such as 20151119", \
	  "^[0-9]{8}(T[0-9]{6}Z?)?$", 0, 0) \
	X(ADDRESS, "an IPv4 or IPv6 address", \
	  "^([0-9]{1,3}([.][0-9]{1,3}){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[!-~]+)?)$", 0, 0) \
	X(UIDVALIDITY, "a number from 1 on", "^" CATALOG_NUMBER "$", 0, 0) \
	X(REASON, "new or change", "^(new|change)$", 0, 0)
/* clang-format on */

enum catalog_form {
#define CATALOG_ID(id, words, pattern, least, most) FORM_##id,
	CATALOG_FORMS(CATALOG_ID)
#undef CATALOG_ID
	    CATALOG_N_FORMS
};

struct catalog_form_row {
	const char *words;
	const char *pattern;
	int64_t least, most;
};

/* CATALOG_N_FORMS of them, by enum catalog_form. */
extern const struct catalog_form_row catalog_forms[];

/* Every parameter, in the byte order of the names, which is that of the documented JSON:
 * X(id, name, type, form, word of event_extra_params that switches it or NULL, source, meaning) */
/* clang-format off */
#define CATALOG_PARAMS(X) \
	X(ACL_RIGHTS, "aclRights", STRING_OR_NULL, ANY, NULL, "Cyrus", \
	  "rights of aclSubject now; null when the entry was removed") \
	X(ACL_SUBJECT, "aclSubject", STRING, TEXT, NULL, "Cyrus", \
	  "identifier whose rights were set") \
	X(ACTION, "action", STRING, TEXT, NULL, "Cyrus", \
	  "what the alarm does: display or email") \
	X(ALARM_RECIPIENTS, "alarmRecipients", STRINGS, TEXT, NULL, "Cyrus", \
	  "who is to be told of the alarm: mailto: addresses") \
	X(ALARM_TIME, "alarmTime", STRING, ICALTIME, NULL, "Cyrus", \
	  "when the alarm is due") \
	X(ALERT_ID, "alertId", STRING, ANY, NULL, "Cyrus 3.8", \
	  "id of the alarm") \
	X(ALL_DAY, "allDay", INT, BOOLEAN, NULL, "Cyrus", \
	  "1 when the calendar event lasts whole days") \
	X(APS_ACCOUNT_ID, "apsAccountId", STRING, ANY, NULL, "Cyrus", \
	  "the phone's id of the account") \
	X(APS_DEVICE_HASH, "apsDeviceHash", STRING, TEXT, NULL, "mboxevent", \
	  "SHA-256 of the phone's token in lower case, in hexadecimal") \
	X(APS_DEVICE_TOKEN, "apsDeviceToken", STRING, ANY, NULL, "Cyrus", \
	  "token of the phone") \
	X(APS_SUBTOPIC, "apsSubtopic", STRING, ANY, NULL, "Cyrus", \
	  "subtopic of the pushes") \
	X(APS_TOPIC, "apsTopic", STRING, ANY, NULL, "Cyrus", \
	  "topic of the pushes") \
	X(APS_VERSION, "apsVersion", INT, COUNT, NULL, "Cyrus", \
	  "version of the protocol, 2") \
	X(ATTENDEE_EMAILS, "attendeeEmails", STRINGS, ANY, NULL, "Cyrus", \
	  "mailto: addresses of those who attend, in the order of attendeeNames") \
	X(ATTENDEE_NAMES, "attendeeNames", STRINGS, ANY, NULL, "Cyrus", \
	  "names of those who attend the calendar event") \
	X(ATTENDEE_STATUS, "attendeeStatus", STRINGS, ANY, NULL, "Cyrus", \
	  "answers of those who attend, in the order of attendeeNames") \
	X(BODY_STRUCTURE, "bodyStructure", STRING, TEXT, "bodyStructure", "RFC 5423, 5", \
	  "IMAP BODYSTRUCTURE of the message") \
	X(CALENDAR_COLOR, "calendarColor", STRING, ANY, NULL, "Cyrus", \
	  "colour of the calendar") \
	X(CALENDAR_EVENT_ID, "calendarEventId", STRING, ANY, NULL, "Cyrus 3.8", \
	  "JMAP id of the calendar event") \
	X(CALENDAR_ID, "calendarId", STRING, ANY, NULL, "Cyrus", \
	  "id of the calendar") \
	X(CALENDAR_NAME, "calendarName", STRING, ANY, NULL, "Cyrus", \
	  "name of the calendar") \
	X(CALENDAR_OWNER, "calendarOwner", STRING, ANY, NULL, "Cyrus 3.10", \
	  "owner of the calendar") \
	X(CLIENT_IP, "clientIP", STRING, ADDRESS, "clientAddress", "RFC 5423, 5", \
	  "address of the client") \
	X(CLIENT_PORT, "clientPort", INT, PORT, "clientAddress", "RFC 5423, 5", \
	  "port of the client") \
	X(COUNT, "count", INT, COUNT, NULL, "Cyrus 3.8", \
	  "messages that are no longer scheduled") \
	X(DESCRIPTION, "description", STRING, ANY, NULL, "Cyrus", \
	  "description of the calendar event") \
	X(DISK_QUOTA, "diskQuota", INT, LIMIT, NULL, "RFC 5423, 5", \
	  "limit in kilobytes, -1 for none") \
	X(DISK_USED, "diskUsed", INT, COUNT, "diskUsed", "RFC 5423, 5", \
	  "kilobytes in use") \
	X(END, "end", STRING, ICALTIME, NULL, "Cyrus", \
	  "when the calendar event ends") \
	X(EVENT, "event", STRING, NAME, NULL, "RFC 5423, 5", \
	  "name of the event") \
	X(EXPIRY, "expiry", INT, COUNT, NULL, "Cyrus", \
	  "seconds from now until the registration ends") \
	X(FLAG_NAMES, "flagNames", STRING, FLAGS, "flagNames", "RFC 5423, 5", \
	  "flags, separated by spaces") \
	X(LOCATION, "location", STRING, ANY, NULL, "Cyrus", \
	  "location of the calendar event") \
	X(MAILBOX_ID, "mailboxID", STRING, MAILBOX_URL, NULL, "RFC 5423, 5", \
	  "the mailbox") \
	X(MAILBOX_UNIQUE_ID, "mailboxUniqueId", STRING, TEXT, NULL, "Cyrus", \
	  "unique id of the mailbox, which a rename does not change") \
	X(MAILBOX_USER, "mailboxUser", STRING, TEXT, NULL, "Cyrus", \
	  "owner of the mailbox to watch") \
	X(MAILBOXES, "mailboxes", STRINGS, TEXT, NULL, "Cyrus", \
	  "names of the mailboxes to watch; in PushDue of those that changed") \
	X(MAX_MESSAGES, "maxMessages", INT, LIMIT, NULL, "RFC 5423, 5", \
	  "limit of messages, -1 for none") \
	X(MESSAGE_CONTENT, "messageContent", UID_STRINGS, UID_KEYS, "messageContent", "RFC 5423, 5", \
	  "by UID the message, or as much of it as is asked for") \
	X(MESSAGE_HEADERS, "messageHeaders", UID_OBJECTS, UID_KEYS, NULL, "mboxevent", \
	  "by UID the decoded header fields: a string each, an array for addresses and for several") \
	X(MESSAGE_SIZE, "messageSize", INT, COUNT, "messageSize", "RFC 5423, 5", \
	  "octets of the message") \
	X(MESSAGES, "messages", INT, COUNT, "messages", "RFC 5423, 5", \
	  "messages in the mailbox, or counted by the quota") \
	X(MODSEQ, "modseq", INT, COUNT, "modseq", "RFC 5423, 5", \
	  "modification sequence of the message; there only when one message is concerned") \
	X(OLD_MAILBOX_ID, "oldMailboxID", STRING, MAILBOX_URL, NULL, "RFC 5423, 5", \
	  "the mailbox before it was renamed, or from which messages came") \
	X(ORGANIZER, "organizer", STRING, ANY, NULL, "Cyrus", \
	  "who invites to the calendar event") \
	X(PID, "pid", INT, COUNT, NULL, "Cyrus", \
	  "process that emitted it") \
	X(PREV_UID_VALIDITY, "prevUidValidity", STRING_OR_FALSE, UIDVALIDITY, NULL, "mboxevent", \
	  "UIDVALIDITY before, false when unknown") \
	X(REASON, "reason", STRING, REASON, NULL, "mboxevent", \
	  "new when there is new mail, else change") \
	X(RECURRENCE_ID, "recurrenceId", STRING, ANY, NULL, "Cyrus 3.8", \
	  "which of a recurring event's instances") \
	X(SERVER_DOMAIN, "serverDomain", STRING, TEXT, NULL, "RFC 5423, 5", \
	  "name or address that the client reached") \
	X(SERVER_FQDN, "serverFQDN", STRING, TEXT, NULL, "Cyrus 3.2", \
	  "name of the server") \
	X(SERVER_PORT, "serverPort", INT, PORT, NULL, "RFC 5423, 5", \
	  "port that the client reached") \
	X(SERVICE, "service", STRING, TEXT, "service", "RFC 5423, 5", \
	  "service that emitted it, such as imap or lmtpunix") \
	X(START, "start", STRING, ICALTIME, NULL, "Cyrus", \
	  "when the calendar event begins") \
	X(SUMMARY, "summary", STRING, ANY, NULL, "Cyrus", \
	  "summary of the calendar event") \
	X(TIMESTAMP, "timestamp", STRING, TIMESTAMP, "timestamp", "RFC 5423, 5", \
	  "when it happened") \
	X(TIMEZONE, "timezone", STRING, ANY, NULL, "Cyrus", \
	  "time zone of the calendar event") \
	X(UID, "uid", STRING, ANY, NULL, "Cyrus", \
	  "UID of the calendar event") \
	X(UID_VALIDITY, "uidValidity", STRING, UIDVALIDITY, NULL, "mboxevent", \
	  "UIDVALIDITY of the mailbox now") \
	X(UIDNEXT, "uidnext", INT, UID, "uidnext", "RFC 5423, 5", \
	  "next UID of the mailbox") \
	X(UIDSET, "uidset", STRING, UIDSET, NULL, "RFC 5423, 5", \
	  "UIDs of the messages") \
	X(URI, "uri", STRING, URI, NULL, "RFC 5423, 5", \
	  "the server, mailbox or message that it concerns") \
	X(USER, "user", STRING, TEXT, NULL, "RFC 5423, 5", \
	  "who acted; in quota events the owner of the quota") \
	X(USER_ID, "userId", STRING, TEXT, NULL, "Cyrus", \
	  "whose calendar, or whose messages") \
	X(VND_CMU_DAV_FILENAME, "vnd.cmu.davFilename", STRING, ANY, "vnd.cmu.davFilename", "Cyrus", \
	  "name of the DAV resource") \
	X(VND_CMU_DAV_UID, "vnd.cmu.davUid", STRING, ANY, "vnd.cmu.davUid", "Cyrus", \
	  "UID of the iCalendar or vCard object") \
	X(VND_CMU_EMAILID, "vnd.cmu.emailid", STRING, TEXT, "vnd.cmu.emailid", "Cyrus 3.6", \
	  "EMAILID of the message (RFC 8474)") \
	X(VND_CMU_ENVELOPE, "vnd.cmu.envelope", STRING, TEXT, "vnd.cmu.envelope", "Cyrus", \
	  "IMAP ENVELOPE of the message") \
	X(VND_CMU_MAILBOX_ACL, "vnd.cmu.mailboxACL", STRING, ANY, "vnd.cmu.mailboxACL", "Cyrus", \
	  "access list of the mailbox: identifier, tab, rights, tab, ...") \
	X(VND_CMU_MBTYPE, "vnd.cmu.mbtype", STRING, ANY, "vnd.cmu.mbtype", "Cyrus", \
	  "type of the mailbox: e for mail, c calendar, a address book") \
	X(VND_CMU_MIDSET, "vnd.cmu.midset", STRINGS, TEXT, "vnd.cmu.midset", "Cyrus", \
	  "Message-IDs, each once, NIL for none; not in the order of uidset") \
	X(VND_CMU_OLD_UIDSET, "vnd.cmu.oldUidset", STRING, UIDSET, NULL, "Cyrus", \
	  "UIDs that the messages had in oldMailboxID") \
	X(VND_CMU_SESSION_ID, "vnd.cmu.sessionId", STRING, TEXT, "vnd.cmu.sessionId", "Cyrus", \
	  "session of the mail process") \
	X(VND_CMU_THREADID, "vnd.cmu.threadid", STRING, TEXT, "vnd.cmu.threadid", "Cyrus 3.6", \
	  "THREADID of the message (RFC 8474)") \
	X(VND_CMU_UNSEEN_MESSAGES, "vnd.cmu.unseenMessages", INT, COUNT, "vnd.cmu.unseenMessages", "Cyrus", \
	  "unseen messages in the mailbox") \
	X(VND_CMU_VISIBLE_USERS, "vnd.cmu.visibleUsers", STRING, ANY, "vnd.cmu.visibleUsers", "Cyrus 3.12", \
	  "who may see the mailbox") \
	X(VND_FASTMAIL_CID, "vnd.fastmail.cid", STRING, TEXT, "vnd.fastmail.cid", "Cyrus", \
	  "conversation of the message") \
	X(VND_FASTMAIL_CLIENT_ID, "vnd.fastmail.clientId", STRING, ANY, "vnd.fastmail.clientId", "Cyrus", \
	  "what the client said with XCLIENTID") \
	X(VND_FASTMAIL_CONV_EXISTS, "vnd.fastmail.convExists", INT, COUNT, "vnd.fastmail.convExists", "Cyrus", \
	  "conversations in the mailbox") \
	X(VND_FASTMAIL_CONV_UNSEEN, "vnd.fastmail.convUnseen", INT, COUNT, "vnd.fastmail.convUnseen", "Cyrus", \
	  "conversations with unseen messages in the mailbox") \
	X(VND_FASTMAIL_COUNTERS, "vnd.fastmail.counters", STRING, ANY, "vnd.fastmail.counters", "Cyrus", \
	  "modification counters of the user, separated by spaces") \
	X(VND_FASTMAIL_JMAP_EMAIL, "vnd.fastmail.jmapEmail", OBJECT, ANY, "vnd.fastmail.jmapEmail", "Cyrus 3.6", \
	  "the message as a JMAP Email object") \
	X(VND_FASTMAIL_JMAP_STATES, "vnd.fastmail.jmapStates", OBJECT, ANY, "vnd.fastmail.jmapStates", "Cyrus 3.6", \
	  "JMAP state of each type") \
	X(VND_FASTMAIL_SESSION_ID, "vnd.fastmail.sessionId", STRING, ANY, "vnd.fastmail.sessionId", "Cyrus", \
	  "session of the mail process") \
	X(VND_MBOXEVENT_FORMAT, "vnd.mboxevent.format", STRING, TEXT, NULL, "mboxevent", \
	  "native: the event could not be understood and is as the server wrote it") \
	X(VND_MBOXEVENT_HEADERS_CUT, "vnd.mboxevent.headersCut", STRINGS, UIDVALIDITY, NULL, "mboxevent", \
	  "UIDs of the messages of which messageHeaders lacks something, since it was too much") \
	X(VND_MBOXEVENT_JMAP_ID, "vnd.mboxevent.jmapId", STRING, TEXT, NULL, "mboxevent", \
	  "JMAP id of the mailbox (Cyrus 3.8 on)") \
	X(VND_MBOXEVENT_RAW, "vnd.mboxevent.raw", STRING, ANY, NULL, "mboxevent", \
	  "what was no JSON object")
/* clang-format on */

enum catalog_param {
#define CATALOG_ID(id, name, type, form, extra, source, help) PARAM_##id,
	CATALOG_PARAMS(CATALOG_ID)
#undef CATALOG_ID
	    CATALOG_N_PARAMS
};

struct catalog_parameter {
	const char *name;
	enum catalog_type type;
	enum catalog_form form;
	const char *extra;
	const char *source; /* "RFC 5423, 5", "Cyrus", "Cyrus 3.8", "mboxevent" */
	const char *help;   /* a phrase */
};

/* What event_extra_params is when imapd.conf does not set it (Cyrus 2.5 to 3.12). */
#define CATALOG_EXTRA_DEFAULT "timestamp"

/* A set of parameters. */
struct catalog_params {
	uint64_t bits[2];
};

static inline bool catalog_has(const struct catalog_params *set, enum catalog_param p)
{
	return set->bits[p / 64] >> (p % 64) & 1;
}

struct catalog_event {
	const char *name;               /* wire name */
	size_t len;                     /* of the name */
	unsigned groups;                /* enum catalog_group */
	unsigned primary;               /* the one that routes it (AclChange: mailbox) */
	const char *source;             /* "RFC 5423, 4.1", "Cyrus", "mboxevent" */
	const char *help;               /* a phrase: what happened */
	enum catalog_form uri;          /* what its uri is; FORM_ANY: it has none */
	struct catalog_params required; /* in every event of this type */
	struct catalog_params optional; /* no other documented parameter belongs to it */
	/* Those of the optional ones that are there only when event_extra_params has their word. */
	struct catalog_params switched;
};

/* NULL when the name is not known. Case-sensitive, as on the wire. */
const struct catalog_event *catalog_event(const char *name, size_t len);
/* All of them; their number. */
size_t catalog_events(const struct catalog_event **events_r);

/* CATALOG_N_PARAMS of them, by enum catalog_param. */
extern const struct catalog_parameter catalog_parameters[];
/* Its enum catalog_param by name; -1 when it is not known. */
int catalog_param(const char *name, size_t len);
/* What a word of event_extra_params switches (clientAddress: two). false when there is no such
 * word. Case-sensitive, as in Cyrus. An event obeys it for its switched parameters alone:
 * vnd.cmu.mbtype and vnd.cmu.mailboxACL are words, yet Cyrus always sends these two. */
bool catalog_extra(const char *word, size_t len, struct catalog_params *set_r);

/* The groups and the routing group of any event name, GROUP_OTHER for an unknown one. */
unsigned catalog_groups(struct str event);
/* Whether applepushservice is one of them, at less cost: readers ask that of each event. */
bool catalog_is_device(struct str event);
const char *catalog_group(struct str event);  /* "message", ..., "other" */
const char *catalog_group_name(unsigned bit); /* "other" for what is no group's */
/* A group's bit by name; 0 when there is none of that name. */
unsigned catalog_group_bit(const char *name, size_t len);

#endif
