/* SPDX-License-Identifier: BSD-3-Clause */
/* A phone, or another thing of Apple's, that is registered for pushes. */
#ifndef NOTIFYD_APNS_DEVICE_H
#define NOTIFYD_APNS_DEVICE_H

#include "../../../lib/record.h"

/* What a device watches. */
enum device_kind { DEVICE_MAIL, DEVICE_CALDAV, DEVICE_CARDDAV, DEVICE_KINDS };
extern const char *const device_kinds[DEVICE_KINDS]; /* "mail", "caldav", "carddav" */

/* Times are milliseconds since 1970. Strings are never NULL. */
struct device {
	int64_t id; /* never given twice */
	enum device_kind kind;
	const char *token;   /* lower case */
	const char *account; /* mail: apsAccountId; others: <mailboxUser>/<mailboxUniqueId> */
	const char *user;    /* whose device it is, as the server spells the user id */
	const char *topic;   /* mail: apsSubtopic; others: apsTopic */
	int version;         /* mail: apsVersion; others: 0 */
	int64_t registered, expires; /* expires 0: never */
};

/* Characters that a token and an account id may have; a token is hexadecimal. */
bool device_token_ok(struct str token);
bool device_account_ok(struct str account);

#endif
