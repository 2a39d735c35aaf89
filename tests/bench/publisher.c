/* SPDX-License-Identifier: BSD-3-Clause */
/* A bare pipelined publisher: what librabbitmq does when it does nothing else. Persistent messages
 * with a message-id and confirms, at most WINDOW of them unconfirmed. Their routing keys are those
 * of the amqp sink: RabbitMQ looks a user's permission up for each key that is not among the last
 * twelve of a channel.
 *
 *   publisher PORT EXCHANGE QUEUE TYPE BODIES COUNT WINDOW FILE id|all
 *                     declares both and the binding; bodies: a line each, used in turn, which are
 *                     read before the first is sent; all: with properties and headers such as
 *                     the amqp sink's, not with the message-id alone. FILE: where it counts the
 *                     confirmed ones, an unsigned long.
 *   publisher PORT EXCHANGE QUEUE TYPE BODIES COUNT stamps
 *                     one every 5 ms; when each was published, monotonic nanoseconds, a line each.
 *   publisher PORT EXCHANGE QUEUE TYPE - COUNT arrivals
 *                     consumes so many; when each arrived, likewise. Tells on standard error
 *                     when it is ready. */
#include "clock.h"

#include "../../lib/catalog.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHANNEL = 1, FRAME_MAX = 131072, BATCH = 512, REST_US = 5000 };

struct message {
	amqp_bytes_t body, key;
};

static struct message *messages;
static size_t n_messages;
static amqp_bytes_t exchange;
static bool all;

static void fail(const char *what)
{
	fprintf(stderr, "publisher: %s\n", what);
	exit(1);
}

/* Of an event's JSON: <group>.<event>. */
static amqp_bytes_t key(const char *json)
{
	static const char member[] = "\"event\":\"", vendor[] = "vnd.cmu.";
	char *text;
	const char *name = strstr(json, member);
	if (!name)
		fail("a body is no event");
	name += sizeof member - 1;
	struct str event = {name, strcspn(name, "\"")};
	const char *group = catalog_group(event);
	if (!strncmp(name, vendor, sizeof vendor - 1)) {
		event.s += sizeof vendor - 1;
		event.len -= sizeof vendor - 1;
	}
	if (asprintf(&text, "%s.%.*s", group, (int)event.len, event.s) < 0)
		fail("out of memory");
	return amqp_cstring_bytes(text);
}

static void read_bodies(const char *path)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	FILE *f = fopen(path, "r");
	if (!f)
		fail(path);
	while ((n = getline(&line, &cap, f)) > 1) {
		struct message *more = realloc(messages, (n_messages + 1) * sizeof *messages);
		char *copy = strndup(line, (size_t)n - 1);
		if (!more || !copy)
			fail("out of memory");
		messages = more;
		messages[n_messages].body = amqp_cstring_bytes(copy);
		messages[n_messages++].key = key(copy);
	}
	fclose(f);
	free(line);
	if (!n_messages)
		fail("no bodies");
}

static void well(amqp_connection_state_t c, const char *what)
{
	if (amqp_get_rpc_reply(c).reply_type != AMQP_RESPONSE_NORMAL)
		fail(what);
}

static amqp_connection_state_t dial(int port, const char *queue, const char *type)
{
	amqp_connection_state_t c = amqp_new_connection();
	amqp_socket_t *s = c ? amqp_tcp_socket_new(c) : NULL;
	amqp_table_entry_t argument = {
	    .key = amqp_cstring_bytes("x-queue-type"),
	    .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(type)}}};
	if (!s || amqp_socket_open(s, "127.0.0.1", port))
		fail("can't connect");
	if (amqp_login(c, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest")
	        .reply_type != AMQP_RESPONSE_NORMAL)
		fail("can't log in");
	amqp_channel_open(c, CHANNEL);
	well(c, "channel");
	amqp_exchange_declare(c, CHANNEL, exchange, amqp_cstring_bytes("topic"), 0, 1, 0, 0,
	                      amqp_empty_table);
	well(c, "exchange");
	amqp_queue_declare(c, CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0,
	                   (amqp_table_t){1, &argument});
	well(c, "queue");
	amqp_queue_bind(c, CHANNEL, amqp_cstring_bytes(queue), exchange, amqp_cstring_bytes("#"),
	                amqp_empty_table);
	well(c, "binding");
	amqp_confirm_select(c, CHANNEL);
	well(c, "confirms");
	return c;
}

/* What broker and wire have to do with these is the same for all events. */
static void add_all(amqp_basic_properties_t *p)
{
	static const char *const headers[][2] = {
	    {"group", "message"},          {"event", "MessageNew"},   {"user", "john@example.org"},
	    {"owner", "john@example.org"}, {"domain", "example.org"}, {"mailbox", "INBOX"}};
	enum { HEADERS = sizeof headers / sizeof *headers };
	static amqp_table_entry_t entries[HEADERS];
	for (int i = 0; i < HEADERS; i++) {
		entries[i].key = amqp_cstring_bytes(headers[i][0]);
		entries[i].value.kind = AMQP_FIELD_KIND_UTF8;
		entries[i].value.value.bytes = amqp_cstring_bytes(headers[i][1]);
	}
	p->_flags |= AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG |
	             AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_APP_ID_FLAG;
	p->content_type = amqp_cstring_bytes("application/json");
	p->headers = (amqp_table_t){HEADERS, entries};
	p->timestamp = (uint64_t)time(NULL);
	p->type = amqp_cstring_bytes("MessageNew");
	p->app_id = amqp_cstring_bytes("notifyd");
}

static void publish(amqp_connection_state_t c, unsigned long n)
{
	char id[54]; /* as long as the sink's */
	snprintf(id, sizeof id, "00000000-0000-4000-8000-000000000000-%016lx", n);
	amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG |
	                                                AMQP_BASIC_MESSAGE_ID_FLAG,
	                                      .delivery_mode = AMQP_DELIVERY_PERSISTENT,
	                                      .message_id = amqp_cstring_bytes(id)};
	if (all)
		add_all(&properties);
	if (amqp_basic_publish(c, CHANNEL, exchange, messages[n % n_messages].key, 1, 0,
	                       &properties, messages[n % n_messages].body))
		fail("can't publish");
}

/* Confirms that have come, at least one when `wait`; how many messages they cover. */
static unsigned long confirms(amqp_connection_state_t c, bool wait)
{
	/* RabbitMQ confirms out of order, so that single ones are counted, and of those with
	 * `multiple` what was not told singly. */
	static unsigned char *done;
	static unsigned long size, lowest = 1;
	unsigned long n = 0;
	struct timeval at_once = {0, 0};
	amqp_frame_t f;
	amqp_maybe_release_buffers(c);
	for (;;) {
		int status = amqp_simple_wait_frame_noblock(c, &f, wait && !n ? NULL : &at_once);
		if (status == AMQP_STATUS_TIMEOUT)
			return n;
		if (status || f.frame_type != AMQP_FRAME_METHOD ||
		    f.payload.method.id != AMQP_BASIC_ACK_METHOD)
			fail("something else than a confirm came");
		const amqp_basic_ack_t *ack = f.payload.method.decoded;
		if (ack->delivery_tag >= size) {
			unsigned long more = ack->delivery_tag * 2 + 4096;
			done = realloc(done, more);
			if (!done)
				fail("out of memory");
			memset(done + size, 0, more - size);
			size = more;
		}
		for (unsigned long t = ack->multiple ? lowest : ack->delivery_tag;
		     t <= ack->delivery_tag; t++) {
			n += !done[t];
			done[t] = 1;
		}
		while (lowest < size && done[lowest])
			lowest++;
	}
}

static void cork(amqp_connection_state_t c, int in)
{
	setsockopt(amqp_get_sockfd(c), IPPROTO_TCP, TCP_CORK, &in, sizeof in);
}

static void pipeline(amqp_connection_state_t c, unsigned long count, unsigned long window,
                     const char *path)
{
	unsigned long sent = 0, inflight = 0;
	int fd = open(path, O_RDWR);
	unsigned long *confirmed =
	    fd < 0 ? MAP_FAILED
		   : mmap(NULL, sizeof *confirmed, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (confirmed == MAP_FAILED)
		fail(path);
	while (sent < count || inflight) {
		cork(c, 1);
		for (int i = 0; i < BATCH && sent < count && inflight < window; i++) {
			publish(c, sent++);
			inflight++;
		}
		cork(c, 0);
		inflight -= confirms(c, sent == count || inflight == window);
		*confirmed = sent - inflight;
	}
}

static void stamps(amqp_connection_state_t c, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++) {
		printf("%.0f\n", now() * 1e9);
		publish(c, i);
		confirms(c, true);
		usleep(REST_US);
	}
}

static void arrivals(amqp_connection_state_t c, const char *queue, unsigned long count)
{
	amqp_basic_qos(c, CHANNEL, 0, 100, 0);
	amqp_basic_consume(c, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
	                   amqp_empty_table);
	well(c, "consume");
	fputs("ready\n", stderr);
	for (unsigned long i = 0; i < count; i++) {
		amqp_envelope_t e;
		amqp_maybe_release_buffers(c);
		if (amqp_consume_message(c, &e, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL)
			fail("nothing came");
		printf("%.0f\n", now() * 1e9);
		amqp_basic_ack(c, CHANNEL, e.delivery_tag, 0);
		amqp_destroy_envelope(&e);
	}
}

int main(int argc, char **argv)
{
	bool piped = argc == 10;
	if (!piped && argc != 8)
		return 64;
	all = piped && strcmp(argv[9], "all") == 0;
	int port = atoi(argv[1]);
	unsigned long count = strtoul(argv[6], NULL, 10);
	exchange = amqp_cstring_bytes(argv[2]);
	if (strcmp(argv[5], "-") != 0)
		read_bodies(argv[5]);
	amqp_connection_state_t c = dial(port, argv[3], argv[4]);
	if (piped)
		pipeline(c, count, strtoul(argv[7], NULL, 10), argv[8]);
	else if (strcmp(argv[7], "stamps") == 0)
		stamps(c, count);
	else if (strcmp(argv[7], "arrivals") == 0)
		arrivals(c, argv[3], count);
	amqp_connection_close(c, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(c);
	return 0;
}
