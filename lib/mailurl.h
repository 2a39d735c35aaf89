/* SPDX-License-Identifier: BSD-3-Clause */
/* IMAP URLs (RFC 5092) as Cyrus writes them and as the documentation shows them,
 * and the mailbox names in them. */
#ifndef MBEV_MAILURL_H
#define MBEV_MAILURL_H

#include "record.h"

/* How the server spells mailboxes in its URLs. */
struct mailurl_names {
	bool virtdomains;          /* userid or on: a trailing %40domain is the owner's */
	const char *defaultdomain; /* or NULL */
};

/* The parts of a URL; each borrows from the URL. */
struct mailurl {
	struct str owner; /* documented form: before the last @ of the authority */
	struct str server;
	struct str mailbox;     /* percent-encoded, no leading slash; empty: a server URL */
	struct str uidvalidity; /* digits, or empty */
	struct str tail;        /* from ";UIDVALIDITY=" or "/;UID=" (the first ;) to the end */
};

/* -1 when it is not an imap:// URL. */
int mailurl_parse(struct str url, struct mailurl *u_r);

/* Writes the documented form of a native URL to out, and its owner and decoded mailbox name
 * to the two bufs (appended; either may be NULL). user and acl (vnd.cmu.mailboxACL) help to
 * tell the owner (EVENTS: by user where it fits, then acl, else the last %40). A URL that is in
 * the documented form already, or that nobody owns, is copied. -1: not a URL; nothing written. */
int mailurl_document(const struct mailurl_names *names, struct str url, struct str user,
                     struct str acl, struct buf *out, struct buf *owner, struct buf *mailbox);

/* What a URL of the documented form is made of; an absent string is empty, a number 0. */
struct mailurl_place {
	struct str server;
	struct str owner;   /* as the server spells the user id; none: nobody owns it */
	struct str mailbox; /* UTF-8, separated by slashes: INBOX, Archive/2024; none: the server */
	uint32_t uidvalidity, uid;
};

/* Writes it, percent-encoded as Cyrus does. */
void mailurl_write(const struct mailurl_place *place, struct buf *out);

/* Undoes percent-encoding. */
void mailurl_decode(struct str s, struct buf *out);

#endif
