/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../notifyd/sinks/amqp/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *url, *parts; /* scheme|user|password|vhost|host:port ... */
} good[] = {
    {"amqp://localhost", "amqp|guest|-|/|localhost:5672"},
    {"amqp://localhost/", "amqp|guest|-|/|localhost:5672"},
    {"AMQP://localhost/", "amqp|guest|-|/|localhost:5672"},
    {"amqps://mail@mq1,mq2,mq3/events", "amqps|mail|-|events|mq1:5671 mq2:5671 mq3:5671"},
    {"amqp://mail:secret@mq1:5673,mq2/%2Fmail", "amqp|mail|secret|/mail|mq1:5673 mq2:5672"},
    {"amqp://a%40b:p%3Aq%2F%25%c3%bc@h/v%20w", "amqp|a@b|p:q/%\xc3\xbc|v w|h:5672"},
    {"amqp://u:p:q@h", "amqp|u|p:q|/|h:5672"},
    {"amqp://u:@h", "amqp|u||/|h:5672"},
    {"amqp://[::1]:25672/v", "amqp|guest|-|v|::1:25672"},
    {"amqps://u@h1:1,[2001:db8::7],192.0.2.9:65535/",
     "amqps|u|-|/|h1:1 2001:db8::7:5671 192.0.2.9:65535"},
    {"amqp://my_host.example.org", "amqp|guest|-|/|my_host.example.org:5672"},
};

/* hush: what must not be in the error, a password. */
static const struct {
	const char *url, *error, *hush;
} bad[] = {
    {"", "begins with amqp:// or amqps://", NULL},
    {"http://h/", "begins with amqp:// or amqps://", NULL},
    {"amqp:h", "begins with amqp:// or amqps://", NULL},
    {"amqp://", "a host is missing", NULL},
    {"amqp:///v", "a host is missing", NULL},
    {"amqp://u@/v", "a host is missing", NULL},
    {"amqp://h1,,h2", "a host is missing", NULL},
    {"amqp://h1,", "a host is missing", NULL},
    {"amqp://:5672", "a host is missing", NULL},
    {"amqp://@h", "the user name before the @ is empty", NULL},
    {"amqp://:s3cret@h", "the user name before the @ is empty", "s3cret"},
    {"amqp://h:0", "a port is a number from 1 to 65535", NULL},
    {"amqp://h:65536", "a port is a number from 1 to 65535", NULL},
    {"amqp://h:", "a port is a number from 1 to 65535", NULL},
    {"amqp://h:5x", "a port is a number from 1 to 65535", NULL},
    {"amqp://h:4294967297", "a port is a number from 1 to 65535", NULL},
    {"amqp://h:-1", "a port is a number from 1 to 65535", NULL},
    {"amqp://[::1]5672", "a port is a number from 1 to 65535", NULL},
    {"amqp://[::1", "has no closing ]", NULL},
    {"amqp://[h]", "is not an IPv6 address", NULL},
    {"amqp://[]", "is not an IPv6 address", NULL},
    {"amqp://::1", "an IPv6 address stands in brackets", NULL},
    {"amqp://h1 h2", "a host name has no ' '", NULL},
    {"amqp://h1;h2", "a host name has no ';'", NULL},
    {"amqp://h/a/b", "a / in the vhost is written %2F", NULL},
    {"amqp://h/v?heartbeat=5", "options after ? or #", NULL},
    {"amqp://h?x", "options after ? or #", NULL},
    {"amqp://h/%", "two hex digits", NULL},
    {"amqp://h/%4", "two hex digits", NULL},
    {"amqp://h/%zz", "two hex digits", NULL},
    {"amqp://h/a%00b", "must not hold a NUL", NULL},
    {"amqp://h/a b", "is written %20", NULL},
    {"amqp://u:s3cret%x@h", "two hex digits", "s3cret"},
    {"amqp://u:s3cret%4@h", "two hex digits", "s3cret"},
    {"amqp://u:s3@cret@h", "an @ in the user name or password is written %40", "s3"},
    {"amqp://u:s3 cret@h", "a space or control character in the password is written %20", "s3"},
    {"amqp://u:s3[cret@h", "a [ in the password is written %5B", "s3"},
    {"amqp://u:s3/cret@h", "a / in the user name or password is written %2F", "s3"},
    {"amqp://u:12?cret@h", "a ? in the user name or password is written %3F", "12"},
    {"amqp://u:s3cret@h:x", "a port is a number", "s3cret"},
    {"amqp://u:s3cret", "behind user:password stands an @", "s3cret"},
    {"amqp://u:s3cret/vhost", "behind user:password stands an @", "s3cret"},
    {"amqp://u:s3c:ret/vhost", "behind user:password stands an @", "s3c"},
    {"amqp://u_!:s3cret", "a host name has no '!'", "s3cret"},
    {"amqp://[u:s3cret", "has no closing ]", "s3cret"},
};

static void good_urls(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct address *a;
		char *why, parts[512];
		if (address_parse(&a, good[i].url, &why))
			fail_msg("%s: %s", good[i].url, why);
		int n = snprintf(parts, sizeof parts, "%s|%s|%s|%s|", a->tls ? "amqps" : "amqp",
		                 a->user, a->password ? a->password : "-", a->vhost);
		for (size_t h = 0; h < a->nhosts; h++)
			n += snprintf(parts + n, sizeof parts - (size_t)n, "%s%s:%u", h ? " " : "",
			              a->hosts[h].name, a->hosts[h].port);
		assert_string_equal(parts, good[i].parts);
		assert_null(why);
		address_free(&a);
		assert_null(a);
		address_free(&a);
	}
}

static void bad_urls(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct address *a;
		char *why;
		if (!address_parse(&a, bad[i].url, &why))
			fail_msg("%s is taken", bad[i].url);
		assert_null(a);
		assert_non_null(why);
		if (!strstr(why, bad[i].error))
			fail_msg("%s: \"%s\" should say \"%s\"", bad[i].url, why, bad[i].error);
		if (bad[i].hush && strstr(why, bad[i].hush))
			fail_msg("\"%s\" gives the password away", why);
		free(why);
	}
}

static void long_names(void **state)
{
	char url[1024], *why;
	struct address *a;
	(void)state;
	for (int extra = 0; extra < 2; extra++) {
		memset(url, 'v', sizeof url);
		memcpy(url, "amqp://h/", 9);
		url[9 + 255 + extra] = '\0';
		assert_int_equal(address_parse(&a, url, &why), -extra);
		if (extra)
			assert_non_null(strstr(why, "longer than 255 bytes"));
		free(why);
		address_free(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_urls),
	    cmocka_unit_test(bad_urls),
	    cmocka_unit_test(long_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
