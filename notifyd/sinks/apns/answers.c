/* SPDX-License-Identifier: BSD-3-Clause */
#include "answers.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define RETRY_AFTER_MAX ((int64_t)3600 * 1000)

#define CHECK_KEY "check token_key, key_id and team_id"

struct row {
	int status;         /* 0: any */
	const char *reason; /* NULL: any other */
	enum apns_outcome outcome;
	enum answers_verdict verdict;
	const char *hint;
};

/* The first row that fits. */
static const struct row rows[] = {
    {200, NULL, APNS_DELIVERED, ANSWERS_FINE, NULL},
    {400, "BadDeviceToken", APNS_BAD_TOKEN, ANSWERS_FINE, NULL},
    {400, "DeviceTokenNotForTopic", APNS_NOT_FOR_TOPIC, ANSWERS_FINE, NULL},
    {400, "TopicDisallowed", APNS_TOPIC_REFUSED, ANSWERS_FINE,
     "the certificate or key is not for this topic"},
    {400, "BadTopic", APNS_TOPIC_REFUSED, ANSWERS_FINE, "check the topic"},
    {400, "MissingTopic", APNS_TOPIC_REFUSED, ANSWERS_FINE, "set the topic"},
    {400, "IdleTimeout", APNS_AGAIN, ANSWERS_SERVER, NULL},
    {400, NULL, APNS_DROP, ANSWERS_FINE, NULL},
    {403, "ExpiredProviderToken", APNS_AGAIN, ANSWERS_RENEW, "check this machine's clock"},
    {403, "InvalidProviderToken", APNS_AGAIN, ANSWERS_REFUSED, CHECK_KEY},
    {403, "MissingProviderToken", APNS_AGAIN, ANSWERS_REFUSED,
     "set certificate and key, or token_key"},
    {403, "UnrelatedKeyIdInToken", APNS_AGAIN, ANSWERS_REFUSED, CHECK_KEY},
    {403, "BadEnvironmentKeyIdInToken", APNS_AGAIN, ANSWERS_REFUSED,
     "the key is not for this one of production and sandbox: check url"},
    {403, "BadCertificate", APNS_AGAIN, ANSWERS_REFUSED, "check or renew the certificate"},
    {403, "BadCertificateEnvironment", APNS_AGAIN, ANSWERS_REFUSED,
     "the certificate is not for this one of production and sandbox: check url"},
    {403, NULL, APNS_AGAIN, ANSWERS_REFUSED, "check certificate or key with Apple"},
    {401, NULL, APNS_AGAIN, ANSWERS_REFUSED, "check certificate or key with Apple"},
    {410, NULL, APNS_GONE, ANSWERS_FINE, NULL},
    {429, "TooManyProviderTokenUpdates", APNS_AGAIN, ANSWERS_REFUSED,
     "other programs renew tokens of this key, or notifyd is restarted too often"},
    {429, NULL, APNS_BACK_OFF, ANSWERS_FINE, NULL},
    {408, NULL, APNS_AGAIN, ANSWERS_SERVER, NULL},
};

static const struct row *find(int status, const char *reason)
{
	static const struct row delivered = {0, NULL, APNS_DELIVERED, ANSWERS_FINE, NULL},
				drop = {0, NULL, APNS_DROP, ANSWERS_FINE, NULL},
				again = {0, NULL, APNS_AGAIN, ANSWERS_SERVER, NULL};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].status == status &&
		    (!rows[i].reason || !strcmp(rows[i].reason, reason)))
			return &rows[i];
	/* No status of Apple's: a later version's, or something else that answers there. */
	return status / 100 == 2 ? &delivered : status / 100 == 4 ? &drop : &again;
}

/* It goes to logs: nothing but what a reason is made of. */
static void copy_reason(const char *s, char reason_r[ANSWERS_REASON_MAX])
{
	size_t n = 0;

	for (; s && *s && n < ANSWERS_REASON_MAX - 1; s++)
		if (isalnum((unsigned char)*s) || strchr(" ._-", *s))
			reason_r[n++] = *s;
	reason_r[n] = '\0';
}

static json_t *parse(const char *body, size_t len, char reason_r[ANSWERS_REASON_MAX])
{
	json_t *j = len ? json_loadb(body, len, 0, NULL) : NULL;

	copy_reason(json_string_value(json_object_get(j, "reason")), reason_r);
	return j;
}

void answers_read(int status, const char *body, size_t len, struct answers *a_r)
{
	json_t *j = parse(body, len, a_r->reason);
	json_int_t ms = json_integer_value(json_object_get(j, "timestamp"));
	const struct row *row = find(status, a_r->reason);

	a_r->outcome = row->outcome;
	a_r->verdict = row->verdict;
	a_r->hint = row->hint;
	a_r->timestamp_ms = ms > 0 ? ms : 0;
	json_decref(j);
}

int64_t answers_retry_after(const char *value, size_t len, int64_t now)
{
	char text[64];
	struct tm tm = {0};
	int64_t ms = 0;

	if (!len || len >= sizeof(text))
		return 0;
	memcpy(text, value, len);
	text[len] = '\0';
	if (strspn(text, "0123456789") == len) {
		for (const char *p = text; *p && ms < RETRY_AFTER_MAX; p++)
			ms = ms * 10 + (*p - '0') * 1000;
	} else {
		const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		if (end && !*end)
			ms = ((int64_t)timegm(&tm) - now) * 1000;
	}
	return ms < 0 ? 0 : ms < RETRY_AFTER_MAX ? ms : RETRY_AFTER_MAX;
}

const char *answers_goaway(const char *data, size_t len, char reason_r[ANSWERS_REASON_MAX])
{
	json_decref(parse(data, len, reason_r));
	for (size_t i = 0; *reason_r && i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].verdict == ANSWERS_REFUSED && rows[i].reason &&
		    !strcmp(rows[i].reason, reason_r))
			return rows[i].hint;
	return NULL;
}
