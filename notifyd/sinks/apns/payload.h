/* SPDX-License-Identifier: BSD-3-Clause */
/* What a push says, and names for a device that are not its token. */
#ifndef NOTIFYD_APNS_PAYLOAD_H
#define NOTIFYD_APNS_PAYLOAD_H

#include "registry.h"

/* Appends the JSON of a push to a device. mailboxes: names as the device spells them, each ended by
 * a line feed, whose MD5s are told; empty: none. event, now: milliseconds since 1970. */
void payload_write(struct buf *out, const struct device *d, struct str mailboxes, int64_t event,
                   int64_t now);

/* SHA-256 in hexadecimal, NUL-terminated: a device by its token, to those who know that already. */
#define PAYLOAD_HASH 65
void payload_hash(char out[PAYLOAD_HASH], const char *s);

/* One push of an account replaces another: the account, or its hash where that is too long or
 * not ASCII. */
#define PAYLOAD_COLLAPSE 65
void payload_collapse(char out[PAYLOAD_COLLAPSE], const struct device *d);

#endif
