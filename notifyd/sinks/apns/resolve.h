/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses of a name, without waiting for name servers. */
#ifndef NOTIFYD_APNS_RESOLVE_H
#define NOTIFYD_APNS_RESOLVE_H

#include <netdb.h>

struct resolve;

/* NULL: out of memory or descriptors. */
struct resolve *resolve_open(void);

/* A look-up that is still under way cannot be ended: its thread keeps what it needs. */
void resolve_close(struct resolve **r);

/* Begins, unless one is under way: this one is as good, as a resolver is for one name. 0, or -1
 * with *why_r, static. */
int resolve_start(struct resolve *r, const char *host, const char *port, const char **why_r);

/* 1 with *list_r, borrowed until the next resolve_start(); 0 not yet; -1 with *why_r, static. */
int resolve_look(struct resolve *r, const struct addrinfo **list_r, const char **why_r);

/* Becomes readable when there is something to look for. */
int resolve_fd(const struct resolve *r);

#endif
