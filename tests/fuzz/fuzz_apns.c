/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server answers, its GOAWAY, its Retry-After; and a URL.
 *   clang -g -O1 -D_GNU_SOURCE -DLIBFUZZER -fsanitize=fuzzer,address,undefined \
 *     tests/fuzz/fuzz_apns.c notifyd/sinks/apns/{answers,endpoint}.c -ljansson -o fuzz_apns &&
 *   ./fuzz_apns tests/fuzz/apns */
#include "../../notifyd/sinks/apns/answers.h"
#include "../../notifyd/sinks/apns/endpoint.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* It goes to logs and to status. */
static void check_reason(const char *reason)
{
	if (strlen(reason) >= ANSWERS_REASON_MAX)
		abort();
	for (; *reason; reason++)
		if (*reason < ' ' || *reason > '~' || *reason == '"')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char reason[ANSWERS_REASON_MAX], *text;
	const char *body = (const char *)data;
	struct endpoint e;
	struct answers a;

	static const int statuses[] = {200, 400, 403, 410, 429, 500, 999};
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		answers_read(statuses[i], body, size, &a);
		check_reason(a.reason);
		if (a.timestamp_ms < 0 || a.outcome > APNS_TOPIC_REFUSED ||
		    (statuses[i] == 200) != (a.outcome == APNS_DELIVERED))
			abort();
	}
	answers_goaway(body, size, reason);
	check_reason(reason);
	int64_t ms = answers_retry_after(body, size, 784111777);
	if (ms < 0 || ms > 3600000)
		abort();
	text = strndup(body, size);
	if (text && !endpoint_parse(text, &e) &&
	    (!*e.host || !atoi(e.port) || !strstr(e.authority, e.host) || strchr(e.host, '/')))
		abort();
	free(text);
	return 0;
}
