/* SPDX-License-Identifier: BSD-3-Clause */
/* What an answer of the provider API means: HTTP's status and a JSON text such as
 * {"reason":"Unregistered","timestamp":1454402113452}. */
#ifndef NOTIFYD_APNS_ANSWERS_H
#define NOTIFYD_APNS_ANSWERS_H

#include "client.h"

/* Beyond the push itself: what the connection is to do. */
enum answers_verdict {
	ANSWERS_FINE,    /* nothing: our credentials are good, the server works */
	ANSWERS_SERVER,  /* the server has trouble: a new connection, later */
	ANSWERS_RENEW,   /* the provider token has expired */
	ANSWERS_REFUSED, /* certificate or provider token refused */
};

#define ANSWERS_REASON_MAX 64

struct answers {
	enum apns_outcome outcome;
	enum answers_verdict verdict;
	char reason[ANSWERS_REASON_MAX]; /* printable, without quotes; "" when none was told */
	int64_t timestamp_ms;            /* 0: none, or no sensible one */
	const char *hint;                /* what an admin can do; NULL: nothing to be said */
};

/* body: as it came, whatever it is. */
void answers_read(int status, const char *body, size_t len, struct answers *a_r);

/* Retry-After, in seconds or as a date; in milliseconds from now. 0: not told or not to be
 * understood; an hour at most. */
int64_t answers_retry_after(const char *value, size_t len, int64_t now);

/* A reason of Apple's in the text of a GOAWAY; the hint when it tells of our credentials. */
const char *answers_goaway(const char *data, size_t len, char reason_r[ANSWERS_REASON_MAX]);

#endif
