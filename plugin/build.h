/* SPDX-License-Identifier: BSD-3-Clause */
/* What stands behind mbev.h: a handle (mbev.c), an event being built (build.c, facts.c) and its
 * way to the journal (emit.c). */
#ifndef MBEV_BUILD_H
#define MBEV_BUILD_H

#include "mbev.h"

#include "../lib/event.h"
#include "../lib/extras.h"
#include "../lib/journal.h"
#include "../lib/midset.h"
#include "../lib/uidset.h"

#include <pthread.h>
#include <string.h>

/* Without it libmboxevent exports nothing. */
#define MBEV_EXPORT __attribute__((visibility("default")))

/* Only the journal and the counts change after mbev_open(): they are the lock's. */
struct mbev {
	struct extras extras;
	char *service; /* or NULL */
	char *server;
	pthread_mutex_t lock;
	struct journal *journal;
	uint64_t counts[MBEV_COUNT_LOST + 1];
};

struct build_mailbox {
	char *owner; /* "": nobody */
	char *path;  /* NULL: not set */
	uint32_t uidvalidity;
};

/* Fields of one name, of messageHeaders. */
struct build_header {
	struct build_header *next;
	struct buf values; /* "a","b" */
	unsigned n;
	bool addresses;
	size_t len;
	char name[];
};

#define BUILD_HEADERS 1000 /* fields that are taken */

/* A name of the host's own: the event borrows it. */
struct build_name {
	struct build_name *next;
	char s[];
};

struct mbev_event {
	struct mbev *handle;
	const struct catalog_event *type;
	struct event *params;
	bool failed; /* memory was short at some time */
	int64_t ms;  /* when it happened, since 1970 UTC */
	int offset;  /* minutes east of UTC */
	struct build_mailbox mailbox, old_mailbox;
	char *specialuse; /* NULL: none */
	uint32_t uid;     /* of the first message */
	struct uidset uids, old_uids;
	struct midset mids;
	bool flagged; /* flags were given, though they may all be excluded */
	struct buf flags;
	struct buf content; /* a JSON string; empty: none */
	struct build_header *headers;
	unsigned n_headers;
	struct build_name *names;
};

static inline struct str build_str(const char *s)
{
	return (struct str){s ? s : "", s ? strlen(s) : 0};
}

static inline bool build_knows(const struct mbev_event *e, enum catalog_param p)
{
	return catalog_has(&e->type->required, p) || catalog_has(&e->type->optional, p);
}

/* A sequence set instead of the UIDs so far; flags beside those so far, or `anew`. */
int build_uids(struct mbev_event *e, enum catalog_param p, struct str set);
int build_flags(struct mbev_event *e, struct str flags, bool anew);

/* Whether a value has a parameter's form; the API refuses what a validator would. */
bool build_fits(enum catalog_form form, struct str value);
bool build_fits_int(enum catalog_form form, int64_t value);

/* Counts under the handle's lock; lost ones in the journal too. */
void build_count(struct mbev *h, enum mbev_counter counter);

#endif
