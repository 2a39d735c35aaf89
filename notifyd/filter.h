/* SPDX-License-Identifier: BSD-3-Clause */
/* Which records a sink or a subscription wants: groups, events, users, owners
 * (exact, or *@domain), mailboxes (glob, * crosses /). Several kinds set: all must
 * match. Several words of a kind: one must. */
#ifndef NOTIFYD_FILTER_H
#define NOTIFYD_FILTER_H

#include "../lib/record.h"

struct filter;

/* Words separated by white space; NULL or "" where a kind is not limited. An unknown group
 * or event name is an error, told in *why_r (malloc'd) with the nearest known one: NULL. The group
 * applepushservice (device tokens) passes only where groups or events names it. */
struct filter *filter_new(const char *groups, const char *events, const char *users,
                          const char *owners, const char *mailboxes, char **why_r);
void filter_free(struct filter **f);

/* From now on that group passes whatever groups, events and mailboxes say, by users and owners
 * alone: for those who push to the devices. */
void filter_devices(struct filter *f);

bool filter_match(const struct filter *f, const struct record *rec);

#endif
