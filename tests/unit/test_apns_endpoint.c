/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../notifyd/sinks/apns/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *url, *host, *port, *authority;
} good[] = {
    {"production", "api.push.apple.com", "443", "api.push.apple.com"},
    {"sandbox", "api.sandbox.push.apple.com", "443", "api.sandbox.push.apple.com"},
    {"https://api.push.apple.com:2197", "api.push.apple.com", "2197", "api.push.apple.com:2197"},
    {"HTTPS://relay.example.org/", "relay.example.org", "443", "relay.example.org"},
    {"https://relay.example.org:00443/", "relay.example.org", "443", "relay.example.org"},
    {"https://192.0.2.9:8443", "192.0.2.9", "8443", "192.0.2.9:8443"},
    {"https://[2001:db8::7]", "2001:db8::7", "443", "[2001:db8::7]"},
    {"https://[::1]:65535/", "::1", "65535", "[::1]:65535"},
};

static const char *const bad[] = {
    "",
    "Production",
    "api.push.apple.com",
    "http://relay.example.org",
    "https://",
    "https://:443",
    "https://relay.example.org:",
    "https://relay.example.org:0",
    "https://relay.example.org:65536",
    "https://relay.example.org:999999999999",
    "https://relay.example.org:44x",
    "https://relay.example.org/3/device",
    "https://user:password@relay.example.org",
    "https://relay example.org",
    "https://[::1",
    "https://[]:443",
    "https://[relay]",
    "https://::1",
};

static void urls(void **state)
{
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (endpoint_parse(good[i].url, &e))
			fail_msg("%s is refused", good[i].url);
		assert_string_equal(e.host, good[i].host);
		assert_string_equal(e.port, good[i].port);
		assert_string_equal(e.authority, good[i].authority);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!endpoint_parse(bad[i], &e))
			fail_msg("%s is taken", bad[i]);
}

static void a_host_as_long_as_there_is_room_and_longer(void **state)
{
	char url[300] = "https://";
	struct endpoint e;

	(void)state;
	memset(url + 8, 'a', 255);
	assert_int_equal(endpoint_parse(url, &e), 0);
	assert_int_equal(strlen(e.authority), 255);
	url[8 + 255] = 'a';
	assert_int_equal(endpoint_parse(url, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(urls),
	    cmocka_unit_test(a_host_as_long_as_there_is_room_and_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
