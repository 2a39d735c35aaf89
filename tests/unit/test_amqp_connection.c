/* SPDX-License-Identifier: BSD-3-Clause */
/* Against a broker that logs everybody in, says nothing more, and reads only when it is told to. */
#include "../../notifyd/sinks/amqp/connection.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PROMPT  3000 /* milliseconds: far more than a call takes that does not wait */
#define LARGE   (3 << 20)
#define PATIENT 60 /* seconds, after which one that waits for ever ends the test */

/* connection.start (0-9, no properties, PLAIN, en_US), .tune (one channel, frames of 128 KB, a
 * heartbeat of 1 s), .open-ok, channel.open-ok */
static char greeting[] = "\1\0\0\0\0\0\34\0\12\0\12\0\11\0\0\0\0\0\0\0\5PLAIN\0\0\0\5en_US\316"
			 "\1\0\0\0\0\0\14\0\12\0\36\0\1\0\2\0\0\0\1\316"
			 "\1\0\0\0\0\0\5\0\12\0\51\0\316"
			 "\1\0\1\0\0\0\10\0\24\0\13\0\0\0\0\316";
#define GREETING_FRAME_MAX 49 /* where it stands: four bytes */

static int listening, broker;
static struct connection *c;

static void *greet(void *arg)
{
	broker = accept(listening, NULL, NULL);
	if (broker >= 0 && send(broker, greeting, sizeof greeting - 1, MSG_NOSIGNAL) < 0)
		perror("send");
	return arg;
}

static void connect_with(int heartbeat)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof a;
	int code, small = 4096;
	char why[224];
	pthread_t thread;

	alarm(PATIENT);
	listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(listening >= 0);
	setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	assert_int_equal(bind(listening, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, greet, NULL), 0);
	struct connection_options opt = {.host = "127.0.0.1",
	                                 .port = ntohs(a.sin_port),
	                                 .vhost = "/",
	                                 .user = "guest",
	                                 .password = "guest",
	                                 .name = "test",
	                                 .heartbeat = heartbeat,
	                                 .timeout = 10000};
	if (connection_open(&c, &opt, connection_now() + 10000, &code, why, sizeof why))
		fail_msg("%s", why);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void leave(void)
{
	connection_close(&c, false);
	close(broker);
	close(listening);
	alarm(0);
}

static char body[LARGE];

static int publish(size_t size)
{
	static const amqp_basic_properties_t none;
	int64_t begin = connection_now();
	int r = connection_midway(c)
	            ? connection_go_on(c)
	            : connection_publish(c, "mail.events", amqp_cstring_bytes("message.MessageNew"),
	                                 &none, 2, (amqp_bytes_t){size, body});
	assert_in_range(connection_now() - begin, 0, PROMPT);
	return r;
}

/* How many the socket took. */
static int publish_all(size_t size)
{
	int n = 0;
	while (publish(size) == 0)
		assert_in_range(++n, 1, 1000000);
	assert_true(connection_full(c));
	return n;
}

static void a_full_socket(void **state)
{
	static const size_t sizes[] = {0, 1, 700, 2500, 8000, 20000};
	static char waste[1 << 16];
	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		connect_with(0);
		assert_in_range(publish_all(sizes[i]), 1, 1000000);
		assert_int_equal(publish(sizes[i]), CONNECTION_FULL);

		/* There is room again. */
		while (connection_full(c)) {
			while (recv(broker, waste, sizeof waste, MSG_DONTWAIT) > 0)
				;
			connection_wait(c, 10);
		}
		int r = publish(sizes[i]);
		assert_true(r == 0 || (r == CONNECTION_FULL && connection_midway(c)));

		/* Nor would a heartbeat wait. */
		publish_all(sizes[i]);
		int fd = amqp_get_sockfd(connection_request(c, connection_now() + 1000));
		assert_int_equal(send(fd, waste, 8, MSG_DONTWAIT | MSG_NOSIGNAL), 8);
		leave();
	}
}

static uint64_t number(const unsigned char *p, int bytes)
{
	uint64_t n = 0;
	while (bytes--)
		n = n << 8 | *p++;
	return n;
}

/* One that all buffers on the way can't hold goes out as there is room, whole. */
static void a_large_message(size_t frame_max)
{
	static unsigned char got[LARGE + (64 << 10)];
	size_t len = 0, at = 8 /* the protocol's header */, full = 0, announced = 0, came = 0;
	ssize_t n;
	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (char)(i * 31 >> 3);
	for (int i = 0; i < 4; i++)
		greeting[GREETING_FRAME_MAX + i] = (char)(frame_max >> (24 - 8 * i));
	connect_with(0);
	assert_int_equal(connection_frame_max(c), frame_max);
	while (publish(sizeof body) == CONNECTION_FULL) {
		full++;
		assert_true(connection_midway(c));
		for (int i = 0; i < 4; i++)
			if ((n = recv(broker, got + len, sizeof got - len, MSG_DONTWAIT)) > 0)
				len += (size_t)n;
		connection_wait(c, 10);
	}
	assert_false(connection_midway(c));
	assert_true(full > 3);
	amqp_frame_t f;
	assert_int_equal(connection_next(c, false, &f), 0); /* takes the cork out */
	struct pollfd p = {broker, POLLIN, 0};
	while (came < sizeof body) {
		while (len < at + 7 || len < at + 8 + number(got + at + 3, 4)) {
			assert_int_equal(poll(&p, 1, PROMPT), 1);
			assert_true((n = recv(broker, got + len, sizeof got - len, 0)) > 0);
			len += (size_t)n;
		}
		size_t size = number(got + at + 3, 4);
		assert_in_range(size, 1, frame_max - 8);
		assert_int_equal(got[at + 7 + size], 0xce);
		if (got[at] == AMQP_FRAME_HEADER)
			announced = number(got + at + 11, 8);
		if (got[at] == AMQP_FRAME_BODY) {
			assert_memory_equal(got + at + 7, body + came, size);
			came += size;
		}
		at += 8 + size;
	}
	assert_int_equal(announced, sizeof body);
	assert_int_equal(came, sizeof body);
	assert_int_equal(at, len);
	leave();
}

static void large_messages(void **state)
{
	(void)state;
	a_large_message(4096); /* the least there is: AMQP 0-9-1, 1.1 */
	a_large_message(131072);
}

/* Of librabbitmq's 0.11 that could wait without end once a heartbeat is missed. */
static void a_missed_heartbeat(void **state)
{
	amqp_frame_t f;
	(void)state;
	connect_with(3);
	assert_int_equal(publish(700), 0);
	assert_int_equal(publish(700), 0);
	assert_int_equal(connection_next(c, false, &f), 0);
	poll(NULL, 0, 3100);
	assert_int_equal(publish(700), CONNECTION_FULL);
	assert_true(connection_full(c));
	leave();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_full_socket),
	    cmocka_unit_test(large_messages),
	    cmocka_unit_test(a_missed_heartbeat),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
