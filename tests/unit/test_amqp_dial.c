/* SPDX-License-Identifier: BSD-3-Clause */
/* The resolver is the test's own, so that it can hang. */
#include "../../notifyd/sinks/amqp/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **list_r);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **list_r);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool hangs;
static int calls, answered;

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **list_r)
{
	if (hints->ai_flags & AI_NUMERICHOST)
		return __real_getaddrinfo(host, port, hints, list_r);
	pthread_mutex_lock(&lock);
	calls++;
	pthread_cond_broadcast(&changed);
	while (hangs)
		pthread_cond_wait(&changed, &lock);
	answered++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	if (!strcmp(host, "nowhere.example.org"))
		return EAI_NONAME;
	return __real_getaddrinfo("127.0.0.1", port, hints, list_r);
}

static int64_t in(int64_t ms)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + ms;
}

static void set_hangs(bool to)
{
	pthread_mutex_lock(&lock);
	hangs = to;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static int listener(uint16_t *port_r)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port_r = ntohs(a.sin_port);
	return fd;
}

static void connects(void **state)
{
	struct addrinfo *list;
	char why[160], digits[DIAL_NUMERIC];
	uint16_t port;
	int l = listener(&port);
	(void)state;
	assert_int_equal(dial_lookup("mq1.example.org", port, in(60000), &list, why, sizeof why),
	                 0);
	assert_int_equal(dial_numeric(list, digits), 0);
	assert_string_equal(digits, "127.0.0.1");
	/* bound, but nobody listens */
	errno = 0;
	assert_int_equal(dial_connect(list, in(60000)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(listen(l, 1), 0);
	int fd = dial_connect(list, in(60000));
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	close(l);
	freeaddrinfo(list);
}

static void addresses_need_no_resolver(void **state)
{
	struct addrinfo *list;
	char why[160], digits[DIAL_NUMERIC];
	int before = calls;
	(void)state;
	assert_int_equal(dial_lookup("::1", 5672, in(60000), &list, why, sizeof why), 0);
	assert_int_equal(dial_numeric(list, digits), 0);
	assert_string_equal(digits, "::1");
	freeaddrinfo(list);
	assert_int_equal(calls, before);
}

static void unknown_names(void **state)
{
	struct addrinfo *list;
	char why[160];
	(void)state;
	assert_int_equal(
	    dial_lookup("nowhere.example.org", 5672, in(60000), &list, why, sizeof why), -1);
	assert_null(list);
	assert_string_equal(why, "its name can't be looked up: Name or service not known");
}

/* It returns though the resolver does not; one thread a host waits, not one a try; others are not
 * kept from theirs. */
static void resolver_hangs(void **state)
{
	struct addrinfo *list;
	char why[160];
	int before = calls;
	(void)state;
	set_hangs(true);
	for (int i = 0; i < 5; i++) {
		why[0] = '\0';
		assert_int_equal(
		    dial_lookup("mq1.example.org", 5672, in(20), &list, why, sizeof why), -1);
		assert_null(list);
		assert_non_null(strstr(why, "looking its name up takes too long"));
	}
	assert_int_equal(dial_lookup("mq2.example.org", 5672, in(20), &list, why, sizeof why), -1);
	pthread_mutex_lock(&lock);
	while (calls < before + 2)
		pthread_cond_wait(&changed, &lock);
	int seen = calls;
	pthread_mutex_unlock(&lock);
	assert_int_equal(seen, before + 2);
	set_hangs(false);
	assert_int_equal(dial_lookup("mq1.example.org", 5672, in(60000), &list, why, sizeof why),
	                 0);
	freeaddrinfo(list);
	assert_int_equal(dial_lookup("mq2.example.org", 5672, in(60000), &list, why, sizeof why),
	                 0);
	freeaddrinfo(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(connects),
	    cmocka_unit_test(addresses_need_no_resolver),
	    cmocka_unit_test(unknown_names),
	    cmocka_unit_test(resolver_hangs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
