/* SPDX-License-Identifier: BSD-3-Clause */
/* libmboxevent: mailbox events of any mail server, into the journal that notifyd reads.
 * The whole story stands in mbev(3), the events and their parameters in mboxevent-events(7).
 *
 * Nothing here ends the process, prints, starts a thread or waits for anything but the local
 * file system (and, in mbev_emit(), for other threads that emit through the same handle);
 * errno is kept. All strings are borrowed for the call.
 *
 * Threads: a handle may be used by any number of threads at once, an event by one at a time.
 * Processes: a child of fork(2) may go on with its parent's handle when the parent had one
 * thread; otherwise it opens its own. */
#ifndef MBEV_H
#define MBEV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when something changes that a host must be compiled anew for; whoever loads the library
 * with dlopen(3) compares. New calls, events and parameters don't change it. */
#define MBEV_ABI 1
unsigned mbev_abi(void);

struct mbev;       /* a handle: an imapd.conf that was read and its journal */
struct mbev_event; /* an event that is being built */

enum {
	MBEV_OK = 0,
	MBEV_SILENT = 1,   /* not to be emitted, the configuration says; no error */
	MBEV_NOMEM = -1,   /* memory is short */
	MBEV_INVAL = -2,   /* a value that the parameter can't take, or a NULL that may not be */
	MBEV_CONF = -3,    /* imapd.conf can't be read */
	MBEV_EVENT = -4,   /* there is no event type of that name */
	MBEV_PARAM = -5,   /* the event has no such parameter, or another call sets it */
	MBEV_TYPE = -6,    /* the parameter's values are of another type */
	MBEV_MISSING = -7, /* a parameter that the event must have was not set */
	MBEV_JOURNAL = -8  /* the journal did not take the event */
};

/* One sentence, never NULL, static. */
const char *mbev_strerror(int code);

/* --- the handle --- */

/* Reads conf_path, an imapd.conf, as service ("imap", "lmtp"; NULL: none) sees it, once.
 * MBEV_OK with *handle_r, else *handle_r is NULL. Where why is not NULL it gets a line of at
 * most size bytes with its NUL: why it failed or, on MBEV_OK, the first thing in the file that
 * was not understood and is ignored; "" for neither. The journal's directory is looked for at
 * the first event. */
int mbev_open(const char *conf_path, const char *service, struct mbev **handle_r, char *why,
              size_t size);

/* Frees it; every event of it is freed before. Sets *handle to NULL; NULL there is fine. */
void mbev_close(struct mbev **handle);

/* 1: events of this type are emitted as far as the handle knows. 0: none is, event_groups or
 * event_notifier says, and its facts need not be gathered. MBEV_EVENT: no such type. */
int mbev_enabled(const struct mbev *handle, const char *event);

enum mbev_counter {
	MBEV_COUNT_EMITTED, /* records in the journal */
	MBEV_COUNT_SILENT,  /* events that the configuration left out */
	MBEV_COUNT_REFUSED, /* lost: a parameter was missing */
	MBEV_COUNT_LOST     /* lost: the journal or the memory was full */
};
uint64_t mbev_count(const struct mbev *handle, enum mbev_counter counter);

/* Events that never reached the journal through this handle: REFUSED and LOST. They are counted
 * in the journal too, for `notifyctl status`. */
uint64_t mbev_lost(const struct mbev *handle);

/* --- an event --- */

/* Begins an event of a type by its wire name ("MessageNew", "vnd.cmu.MessageCopy").
 * MBEV_OK with *event_r. On MBEV_SILENT (see mbev_enabled()) and on errors *event_r is NULL,
 * which every call below takes and answers with MBEV_SILENT, so that a host needs no branches.
 * MBEV_NOMEM is counted as a loss. */
int mbev_new(struct mbev *handle, const char *event, struct mbev_event **event_r);

/* Forgets an event that was not emitted. Sets *event to NULL; NULL there is fine. */
void mbev_free(struct mbev_event **event);

/* Parameters by their wire names. Set again, the last value counts. One that event_extra_params
 * leaves out is checked and then left out, with MBEV_OK. A name "vnd.<something>" that
 * is not known is the host's own and takes any type; other unknown names are MBEV_PARAM. A value
 * that is refused changes nothing.
 *
 * mbev_set_string: UTF-8; other bytes become U+FFFD each. NULL: the absence that the parameter
 * has a form for (aclRights of an entry that was removed: null), else MBEV_INVAL. uidset and
 * vnd.cmu.oldUidset take a sequence set, flagNames words separated by spaces.
 * mbev_set_bytes: the same for a value that may hold NULs. */
int mbev_set_string(struct mbev_event *event, const char *name, const char *value);
int mbev_set_bytes(struct mbev_event *event, const char *name, const void *value, size_t len);
int mbev_set_int(struct mbev_event *event, const char *name, int64_t value);
int mbev_set_strings(struct mbev_event *event, const char *name, const char *const *values,
                     size_t n);
/* For the host's own parameters and those whose values are objects: JSON text of one value, made
 * compact and ASCII. MBEV_INVAL: it is no JSON. */
int mbev_set_json(struct mbev_event *event, const char *name, const char *json, size_t len);

/* Facts, of which uri, mailboxID, oldMailboxID, uidset, vnd.cmu.oldUidset, vnd.cmu.midset,
 * flagNames, timestamp, messageContent and messageHeaders are made. */

/* The mailbox. owner: the user id as the server spells it; NULL or "": nobody owns it (shared).
 * mailbox: UTF-8 and separated by slashes, INBOX or the folder's path without the inbox
 * ("Archive/2024"; a folder of the inbox that is itself called INBOX: "INBOX/INBOX").
 * uidvalidity: 0 where the event has none (quota, subscription: it is left out anyway). */
int mbev_set_mailbox(struct mbev_event *event, const char *owner, const char *mailbox,
                     uint32_t uidvalidity);
/* The mailbox it was (MailboxRename), or that messages come from (Copy, Move). */
int mbev_set_old_mailbox(struct mbev_event *event, const char *owner, const char *mailbox,
                         uint32_t uidvalidity);
/* Its special-use attributes ("\\Junk \\Archive"), for event_exclude_specialuse. */
int mbev_set_specialuse(struct mbev_event *event, const char *attributes);
/* A message, once each; MessageNew and MessageAppend have one alone. message_id: with its angle
 * brackets; NULL: it has none. */
int mbev_add_message(struct mbev_event *event, uint32_t uid, const char *message_id);
/* Its UID in the old mailbox (Copy, Move). */
int mbev_add_old_uid(struct mbev_event *event, uint32_t uid);
/* Flags that were set or cleared, or that a new message has; words separated by spaces. */
int mbev_add_flags(struct mbev_event *event, const char *flags);
/* When it happened: milliseconds since 1970 UTC, and minutes east of UTC for how it is written.
 * Not set: when mbev_new() was called, in local time. */
int mbev_set_time(struct mbev_event *event, int64_t ms, int offset);
/* The whole new message, header and body, of which event_content_inclusion_mode and
 * event_content_size tell what goes into messageContent. */
int mbev_set_content(struct mbev_event *event, const void *message, size_t len);
/* A field of its header, decoded, for messageHeaders, in the message's order. Fields that hold
 * addresses (From, To, ...): one call an address. */
int mbev_add_header(struct mbev_event *event, const char *name, const char *value);

/* Completes the event (pid, service, timestamp where not set) and appends it to the journal: a
 * FlagsSet as MessageTrash, MessageRead and FlagsSet, as many as its flags need. *event is freed
 * and set to NULL whatever happens.
 * MBEV_OK; MBEV_SILENT; or an error, then the event is lost and counted (a FlagsSet: what of it
 * is) and why, where it is not NULL, says why in at most size bytes with its NUL. */
int mbev_emit(struct mbev_event **event, char *why, size_t size);

/* Emits n events in their order, except that a FlagsClear with \Seen goes before the FlagsSet
 * it follows (both are of one command, and unseen counts come out right). NULLs among them are
 * passed over. Every one is tried; MBEV_OK when at least one was emitted and none failed, else
 * MBEV_SILENT or the first error, whose reason why gets. */
int mbev_emit_all(struct mbev_event **events, size_t n, char *why, size_t size);

#ifdef __cplusplus
}
#endif

#endif
