/* SPDX-License-Identifier: BSD-3-Clause */
/* Mailbox names as a phone registers them -> owner and name as records carry them. A phone says
 * what it says over IMAP: modified UTF-7 (RFC 3501, 5.1.3), below the namespaces that altnamespace,
 * unixhierarchysep, userprefix, sharedprefix and altprefix make. */
#ifndef NOTIFYD_APNS_NAMES_H
#define NOTIFYD_APNS_NAMES_H

#include "../../../lib/conf.h"
#include "../../../lib/fact.h"

struct names;

struct names *names_new(const struct conf *conf); /* borrowed for the call; NULL: no memory */
void names_free(struct names **n);

/* All options that a translation depends on, in a line: when it differs, translate anew. */
const char *names_options(const struct names *n);

struct names_place {
	struct str owner;   /* empty: nobody's */
	struct str mailbox; /* as the owner sees it; nobody's: as the server writes it */
};

/* What `user` (as the server spells the user id) calls `name`. *place_r borrows from n, until the
 * next call. False for what names no mailbox. */
bool names_translate(struct names *n, struct str user, struct str name,
                     struct names_place *place_r);

#endif
