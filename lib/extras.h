/* SPDX-License-Identifier: BSD-3-Clause */
/* Which events are emitted, and with what: Cyrus's options event_notifier, event_groups,
 * event_extra_params, event_exclude_flags, event_exclude_specialuse, event_content_* as
 * imapd.conf(5) tells them, and mboxevent_modseq. */
#ifndef MBEV_EXTRAS_H
#define MBEV_EXTRAS_H

#include "catalog.h"
#include "inclusion.h"

struct extras {
	bool notifies;                /* event_notifier is set */
	bool modseq;                  /* MailboxModseq events are wanted */
	bool inboxes;                 /* ALL is excluded: only users' inboxes report */
	unsigned groups;              /* enum catalog_group */
	struct catalog_params params; /* that event_extra_params names */
	struct inclusion inclusion;
	char *flags, *specialuse; /* excluded: words */
};

/* 0, or -1 when memory is short. What is not understood is ignored, and the first of it told in
 * `ignored` (appended once). */
int extras_read(struct extras *x, const struct conf *conf, const char *service,
                struct buf *ignored);
void extras_free(struct extras *x);

/* Whether events of a type are emitted at all. */
bool extras_event(const struct extras *x, const struct catalog_event *type);
/* Whether a parameter goes into such an event. */
bool extras_param(const struct extras *x, const struct catalog_event *type, enum catalog_param p);
/* Whether an event of this flag is kept silent; flags are the same whatever their case. */
bool extras_flag_excluded(const struct extras *x, struct str flag);
/* Whether a mailbox is silent: by one of its special-use attributes (words; compared exactly, as
 * Cyrus does), or because it is no inbox of a user. */
bool extras_mailbox_excluded(const struct extras *x, struct str specialuse, bool inbox);

#endif
