/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../notifyd/sinks/apns/answers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FINE    ANSWERS_FINE
#define SERVER  ANSWERS_SERVER
#define RENEW   ANSWERS_RENEW
#define REFUSED ANSWERS_REFUSED

static const struct {
	int status;
	const char *body, *reason;
	enum apns_outcome outcome;
	enum answers_verdict verdict;
	int64_t timestamp;
	bool hint;
} cases[] = {
    {200, "", "", APNS_DELIVERED, FINE, 0, false},
    {200, "{\"reason\":\"BadDeviceToken\"}", "BadDeviceToken", APNS_DELIVERED, FINE, 0, false},
    /* Apple's table, row by row. */
    {400, "{\"reason\":\"BadCollapseId\"}", "BadCollapseId", APNS_DROP, FINE, 0, false},
    {400, "{\"reason\":\"BadDeviceToken\"}", "BadDeviceToken", APNS_BAD_TOKEN, FINE, 0, false},
    {400, "{\"reason\":\"BadExpirationDate\"}", "BadExpirationDate", APNS_DROP, FINE, 0, false},
    {400, "{\"reason\":\"BadMessageId\"}", "BadMessageId", APNS_DROP, FINE, 0, false},
    {400, "{\"reason\":\"BadPriority\"}", "BadPriority", APNS_DROP, FINE, 0, false},
    {400, "{\"reason\":\"BadTopic\"}", "BadTopic", APNS_TOPIC_REFUSED, FINE, 0, true},
    {400, "{\"reason\":\"DeviceTokenNotForTopic\"}", "DeviceTokenNotForTopic", APNS_NOT_FOR_TOPIC,
     FINE, 0, false},
    {400, "{\"reason\":\"DuplicateHeaders\"}", "DuplicateHeaders", APNS_DROP, FINE, 0, false},
    {400, "{\"reason\":\"IdleTimeout\"}", "IdleTimeout", APNS_AGAIN, SERVER, 0, false},
    {400, "{\"reason\":\"InvalidPushType\"}", "InvalidPushType", APNS_DROP, FINE, 0, false},
    {400, "{\"reason\":\"MissingDeviceToken\"}", "MissingDeviceToken", APNS_DROP, FINE, 0, false},
    {400, "{\"reason\":\"MissingTopic\"}", "MissingTopic", APNS_TOPIC_REFUSED, FINE, 0, true},
    {400, "{\"reason\":\"PayloadEmpty\"}", "PayloadEmpty", APNS_DROP, FINE, 0, false},
    {400, "{\"reason\":\"TopicDisallowed\"}", "TopicDisallowed", APNS_TOPIC_REFUSED, FINE, 0, true},
    {403, "{\"reason\":\"BadCertificate\"}", "BadCertificate", APNS_AGAIN, REFUSED, 0, true},
    {403, "{\"reason\":\"BadCertificateEnvironment\"}", "BadCertificateEnvironment", APNS_AGAIN,
     REFUSED, 0, true},
    {403, "{\"reason\":\"ExpiredProviderToken\"}", "ExpiredProviderToken", APNS_AGAIN, RENEW, 0,
     true},
    {403, "{\"reason\":\"Forbidden\"}", "Forbidden", APNS_AGAIN, REFUSED, 0, true},
    {403, "{\"reason\":\"InvalidProviderToken\"}", "InvalidProviderToken", APNS_AGAIN, REFUSED, 0,
     true},
    {403, "{\"reason\":\"MissingProviderToken\"}", "MissingProviderToken", APNS_AGAIN, REFUSED, 0,
     true},
    {403, "{\"reason\":\"UnrelatedKeyIdInToken\"}", "UnrelatedKeyIdInToken", APNS_AGAIN, REFUSED, 0,
     true},
    {403, "{\"reason\":\"BadEnvironmentKeyIdInToken\"}", "BadEnvironmentKeyIdInToken", APNS_AGAIN,
     REFUSED, 0, true},
    {404, "{\"reason\":\"BadPath\"}", "BadPath", APNS_DROP, FINE, 0, false},
    {405, "{\"reason\":\"MethodNotAllowed\"}", "MethodNotAllowed", APNS_DROP, FINE, 0, false},
    {410, "{\"reason\":\"ExpiredToken\",\"timestamp\":1454402113452}", "ExpiredToken", APNS_GONE,
     FINE, 1454402113452, false},
    {410, "{\"reason\":\"Unregistered\",\"timestamp\":1454402113452}", "Unregistered", APNS_GONE,
     FINE, 1454402113452, false},
    {413, "{\"reason\":\"PayloadTooLarge\"}", "PayloadTooLarge", APNS_DROP, FINE, 0, false},
    {429, "{\"reason\":\"TooManyProviderTokenUpdates\"}", "TooManyProviderTokenUpdates", APNS_AGAIN,
     REFUSED, 0, true},
    {429, "{\"reason\":\"TooManyRequests\"}", "TooManyRequests", APNS_BACK_OFF, FINE, 0, false},
    {500, "{\"reason\":\"InternalServerError\"}", "InternalServerError", APNS_AGAIN, SERVER, 0,
     false},
    {503, "{\"reason\":\"ServiceUnavailable\"}", "ServiceUnavailable", APNS_AGAIN, SERVER, 0,
     false},
    {503, "{\"reason\":\"Shutdown\"}", "Shutdown", APNS_AGAIN, SERVER, 0, false},
    /* What Apple's table does not have. */
    {400, "{\"reason\":\"SomethingNew\"}", "SomethingNew", APNS_DROP, FINE, 0, false},
    {400, "", "", APNS_DROP, FINE, 0, false},
    {403, "", "", APNS_AGAIN, REFUSED, 0, true},
    {401, "{}", "", APNS_AGAIN, REFUSED, 0, true},
    {408, "", "", APNS_AGAIN, SERVER, 0, false},
    {418, "", "", APNS_DROP, FINE, 0, false},
    {429, "", "", APNS_BACK_OFF, FINE, 0, false},
    {204, "", "", APNS_DELIVERED, FINE, 0, false},
    {301, "", "", APNS_AGAIN, SERVER, 0, false},
    {502, "<html>Bad gateway</html>", "", APNS_AGAIN, SERVER, 0, false},
    {599, "", "", APNS_AGAIN, SERVER, 0, false},
    {101, "", "", APNS_AGAIN, SERVER, 0, false},
    {999, "", "", APNS_AGAIN, SERVER, 0, false},
    /* Garbage. */
    {410, "", "", APNS_GONE, FINE, 0, false},
    {410, "{\"reason\":\"Unregis", "", APNS_GONE, FINE, 0, false},
    {410, "{\"timestamp\":\"soon\"}", "", APNS_GONE, FINE, 0, false},
    {410, "{\"timestamp\":-5}", "", APNS_GONE, FINE, 0, false},
    {410, "{\"timestamp\":1e300}", "", APNS_GONE, FINE, 0, false},
    {400, "[1]", "", APNS_DROP, FINE, 0, false},
    {400, "null", "", APNS_DROP, FINE, 0, false},
    {400, "{\"reason\":7}", "", APNS_DROP, FINE, 0, false},
    {400, "{\"reason\":\"\\u0000\"}", "", APNS_DROP, FINE, 0, false},
    {400, "\xff\xfe", "", APNS_DROP, FINE, 0, false},
    {400, "{\"reason\":\"a\\nb\\\"c\\u001b[31m d\"}", "abc31m d", APNS_DROP, FINE, 0, false},
};

static void every_answer(void **state)
{
	struct answers a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&a, 0xaa, sizeof(a));
		answers_read(cases[i].status, cases[i].body, strlen(cases[i].body), &a);
		if (strcmp(a.reason, cases[i].reason) != 0 || a.outcome != cases[i].outcome ||
		    a.verdict != cases[i].verdict || a.timestamp_ms != cases[i].timestamp ||
		    !a.hint == cases[i].hint)
			fail_msg(
			    "%d %s: reason %s, outcome %d, verdict %d, timestamp %lld, hint %s",
			    cases[i].status, cases[i].body, a.reason, a.outcome, a.verdict,
			    (long long)a.timestamp_ms, a.hint ? a.hint : "-");
	}
}

static void a_long_reason_is_cut(void **state)
{
	char body[400] = "{\"reason\":\"";
	struct answers a;

	(void)state;
	memset(body + 11, 'x', 300);
	strcpy(body + 311, "\"}");
	answers_read(400, body, strlen(body), &a);
	assert_int_equal(strlen(a.reason), ANSWERS_REASON_MAX - 1);
}

static void retry_after(void **state)
{
	static const struct {
		const char *value;
		int64_t ms;
	} cases[] = {
	    {"0", 0},
	    {"1", 1000},
	    {"120", 120000},
	    {"3600", 3600000},
	    {"3601", 3600000},
	    {"99999999999999999999999999999999", 3600000},
	    {"-5", 0},
	    {"", 0},
	    {"soon", 0},
	    {"1.5", 0},
	    {"Sun, 06 Nov 1994 08:50:37 GMT", 60000},
	    {"Sun, 06 Nov 1994 08:48:37 GMT", 0},
	    {"Sun, 06 Nov 2094 08:48:37 GMT", 3600000},
	    {"Sun, 06 Nov 1994 08:50:37 GMT and so on, longer than any date could ever be at all",
	     0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *value = cases[i].value;
		/* 784111777 is Sun, 06 Nov 1994 08:49:37 GMT. */
		int64_t ms = answers_retry_after(value, strlen(value), 784111777);
		if (ms != cases[i].ms)
			fail_msg("%s: %lld", value, (long long)ms);
	}
}

static void goaway(void **state)
{
	char reason[ANSWERS_REASON_MAX];

	(void)state;
	assert_null(answers_goaway("", 0, reason));
	assert_string_equal(reason, "");
	assert_null(answers_goaway("{\"reason\":\"Shutdown\"}", 21, reason));
	assert_string_equal(reason, "Shutdown");
	assert_non_null(answers_goaway("{\"reason\":\"BadCertificate\"}", 27, reason));
	assert_string_equal(reason, "BadCertificate");
	assert_null(answers_goaway("{\"reason\"", 9, reason));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_answer),
	    cmocka_unit_test(a_long_reason_is_cut),
	    cmocka_unit_test(retry_after),
	    cmocka_unit_test(goaway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
