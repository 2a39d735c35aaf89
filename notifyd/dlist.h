/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests as Cyrus sends them to a notifysocket of "dlist:", one connection each:
 *   NOTIFY %(METHOD m CLASS c PRIORITY NIL USER u MAILBOX b OPTIONS (o ...) MESSAGE {n+}CRLF...
 *   FILEPATH NIL)CRLF
 * Any string may be an atom, a quoted string or a literal; keys come in any order, unknown ones
 * are passed over. Fed in pieces of any size. */
#ifndef NOTIFYD_DLIST_H
#define NOTIFYD_DLIST_H

#include "datagram.h"

struct dlist;

#define DLIST_LITERAL_MAX (32u << 20)

/* NULL when memory is short. */
struct dlist *dlist_new(void);
void dlist_free(struct dlist **d);

enum {
	DLIST_MORE = 0,
	DLIST_REQUEST = 1, /* one is whole: dlist_request() */
	DLIST_GOAHEAD = 2, /* the client may wait for "+ go ahead" before it sends a literal */
	DLIST_BAD = -1,    /* no such syntax, or too large: cut the connection */
};

/* Takes from s up to the end of a request; *used_r says how much. After DLIST_REQUEST the next call
 * begins a new one. *why_r (static) for DLIST_BAD. */
int dlist_feed(struct dlist *d, const char *s, size_t len, size_t *used_r, const char **why_r);

/* What DLIST_REQUEST brought, borrowed until the next dlist_feed(). A NIL has s NULL. */
const struct datagram *dlist_request(const struct dlist *d);

/* Whether a request has begun and not ended; the bytes of memory in use. */
bool dlist_partial(const struct dlist *d);
size_t dlist_size(const struct dlist *d);

#endif
