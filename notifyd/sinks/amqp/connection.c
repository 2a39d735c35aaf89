/* SPDX-License-Identifier: BSD-3-Clause */
#include "connection.h"
#include "dial.h"
#include "tls.h"

#include "../../../lib/buf.h"

#include <config.h>

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX    131072
#define TICK_MS      1000 /* the library sends its heartbeats when it is asked for frames */
#define LEAVE_MS     250  /* for the answer to connection.close */
#define SMALL        8192 /* fits a third of any socket's buffer */
#define FRAME_AROUND 8
#define FRAMES       256 /* what a message's frames, and TLS records, take around it */

struct connection {
	amqp_connection_state_t amqp;
	int64_t beat, timeout; /* milliseconds */
	int64_t last_in;       /* when bytes were last seen to come */
	bool full, blocked, broken, corked;
	bool mute;       /* publishing failed: what the broker said before is still read */
	size_t room;     /* bytes that surely fit the socket's buffer still; 0: not known */
	struct buf body; /* of the large message that is under way; empty: none */
	size_t sent;     /* bytes of it */
	int code;
	struct tls_refusal refusal;
	char why[224];
	char blocked_why[96];
};

int64_t connection_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 3))) static int fail(struct connection *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->why, sizeof c->why, fmt, ap);
	va_end(ap);
	c->broken = true;
	return -1;
}

/* The broker's words, fit for one line. */
static void quote(char *to, size_t size, amqp_bytes_t text)
{
	const unsigned char *s = text.bytes;
	size_t n = text.len < size - 1 ? text.len : size - 1;
	for (size_t i = 0; i < n; i++)
		to[i] = s[i] < ' ' || s[i] >= 0x7f ? '?' : (char)s[i];
	to[n] = '\0';
}

/* What the library's status means; errno and OpenSSL's queue as the library left them. */
static int failed(struct connection *c, int status)
{
	int error = errno;
	char words[160];
	bool distrust;
	switch (status) {
	case AMQP_STATUS_TIMEOUT:
		return fail(c, "no answer in time");
	case AMQP_STATUS_HEARTBEAT_TIMEOUT:
		return fail(c, "the broker was silent for %lld s", (long long)(2 * c->beat / 1000));
	case AMQP_STATUS_CONNECTION_CLOSED:
	case AMQP_STATUS_SOCKET_CLOSED:
		return fail(c, "the broker closed the connection");
	case AMQP_STATUS_BAD_AMQP_DATA:
	case AMQP_STATUS_WRONG_METHOD:
	case AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION:
		return fail(c, "what answers does not speak AMQP 0-9-1 as a broker does (%s)",
		            amqp_error_string2(status));
	case AMQP_STATUS_SOCKET_ERROR:
		if (!error)
			return fail(c, "the connection broke");
		snprintf(words, sizeof words, "%s", strerror(error));
		words[0] = (char)tolower((unsigned char)words[0]);
		return fail(c, "%s", words);
	case AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD:
		c->code = AMQP_ACCESS_REFUSED;
		return fail(c, "the broker does not offer this way to log in");
	default:
		if (tls_why(&c->refusal, words, sizeof words, &distrust)) {
			c->code = distrust ? CONNECTION_DISTRUST : 0;
			return fail(c, "%s", words);
		}
		return fail(c, "%s", amqp_error_string2(status));
	}
}

/* connection.close and channel.close. The broker's reasons come with its code: "ACCESS_REFUSED -
 * ...". */
static int closed(struct connection *c, unsigned code, amqp_bytes_t text)
{
	char words[sizeof c->why - 8];
	quote(words, sizeof words, text);
	c->code = (int)code;
	return fail(c, "%u %s", code, words);
}

static int replied(struct connection *c, amqp_rpc_reply_t reply)
{
	const amqp_connection_close_t *connection = reply.reply.decoded;
	const amqp_channel_close_t *channel = reply.reply.decoded;
	if (reply.reply_type == AMQP_RESPONSE_NORMAL)
		return 0;
	if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION)
		return failed(c, reply.library_error);
	if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
		return closed(c, channel->reply_code, channel->reply_text);
	return closed(c, connection->reply_code, connection->reply_text);
}

/* --- time --- */

static struct timeval timeval(int64_t ms)
{
	if (ms < 1)
		ms = 1;
	return (struct timeval){ms / 1000, ms % 1000 * 1000};
}

/* The library writes each frame by itself; while the cork is in, the kernel makes full segments of
 * them. Taking it out also sends what 0.11 holds back behind a body that fills its last frame. */
static void cork(struct connection *c, bool in)
{
	int v = in;
	if (c->corked != in)
		setsockopt(amqp_get_sockfd(c->amqp), IPPROTO_TCP, TCP_CORK, &v, sizeof v);
	c->corked = in;
}

/* The kernel breaks the connection when the broker's takes nothing for ms; 0: never. */
static void user_timeout(struct connection *c, int64_t ms)
{
	unsigned v = (unsigned)ms;
	setsockopt(amqp_get_sockfd(c->amqp), IPPROTO_TCP, TCP_USER_TIMEOUT, &v, sizeof v);
}

/* Which of the events came true until ms have passed. */
static short ready(struct connection *c, short events, int64_t ms)
{
	struct pollfd p = {.fd = amqp_get_sockfd(c->amqp), .events = events};
	if (poll(&p, 1, (int)ms) <= 0)
		return 0;
	if (p.revents & POLLIN)
		c->last_in = connection_now();
	/* A third of the socket's buffer is free then. */
	if (p.revents & POLLOUT) {
		c->full = false;
		c->room = SMALL;
	}
	return p.revents;
}

void connection_wait(struct connection *c, int64_t ms)
{
	ready(c, c->full ? POLLIN | POLLOUT : POLLIN, ms < TICK_MS ? ms : TICK_MS);
}

/* --- requests --- */

amqp_connection_state_t connection_request(struct connection *c, int64_t deadline)
{
	struct timeval left = timeval(deadline - connection_now());
	amqp_set_rpc_timeout(c->amqp, &left);
	errno = 0;
	return c->amqp;
}

int connection_answer(struct connection *c)
{
	return c->broken ? -1 : replied(c, amqp_get_rpc_reply(c->amqp));
}

static amqp_socket_t *new_socket(struct connection *c, const struct connection_options *opt)
{
	char *why;
	amqp_socket_t *s = opt->tls ? amqp_ssl_socket_new(c->amqp) : amqp_tcp_socket_new(c->amqp);
	if (!s) {
		fail(c, "out of memory");
		return NULL;
	}
	if (!opt->tls)
		return s;
	SSL_CTX *ctx = amqp_ssl_socket_get_context(s);
	if (tls_setup(ctx, opt->cafile, opt->certificate, opt->key, &why)) {
		c->code = CONNECTION_DISTRUST;
		fail(c, "%s", why ? why : "out of memory");
		free(why);
		return NULL;
	}
	if (tls_expect(ctx, opt->host, &c->refusal)) {
		fail(c, "out of memory");
		return NULL;
	}
	/* OpenSSL compares the name in the handshake, and addresses too, which the library's own
	 * comparison does not. */
	amqp_ssl_socket_set_verify_hostname(s, 0);
	return s;
}

/* Connects to one address. The library would do that for TCP too, but tells no reason. */
static int reach(struct connection *c, amqp_socket_t *s, bool tls, const struct addrinfo *address,
                 uint16_t port, int64_t deadline)
{
	char digits[DIAL_NUMERIC];
	c->broken = false;
	c->code = 0;
	if (tls && dial_numeric(address, digits))
		return fail(c, "out of memory");
	struct timeval left = timeval(deadline - connection_now());
	errno = 0;
	int status = tls ? amqp_socket_open_noblock(s, digits, port, &left) : 0;
	if (tls && status != AMQP_STATUS_SOCKET_ERROR)
		return status ? failed(c, status) : 0;
	int fd = dial_connect(address, deadline);
	if (fd < 0 && errno == ETIMEDOUT)
		return failed(c, AMQP_STATUS_TIMEOUT);
	if (fd < 0)
		return failed(c, AMQP_STATUS_SOCKET_ERROR);
	if (!tls) {
		amqp_tcp_socket_set_sockfd(s, fd);
		return 0;
	}
	close(fd); /* it was for errno */
	return fail(c, "the connection broke as it was made");
}

static int connect_socket(struct connection *c, const struct connection_options *opt,
                          int64_t deadline)
{
	struct addrinfo *list, *a;
	amqp_socket_t *s = new_socket(c, opt);
	int result = -1, n = 0;
	char words[sizeof c->why];

	if (!s)
		return -1;
	if (dial_lookup(opt->host, opt->port, deadline, &list, words, sizeof words))
		return fail(c, "%s", words);
	for (a = list; a; a = a->ai_next)
		n++;
	/* One that does not answer leaves time for the others. */
	for (a = list; a && result; a = a->ai_next, n--) {
		int64_t now = connection_now();
		result = reach(c, s, opt->tls, a, opt->port, now + (deadline - now) / n);
	}
	freeaddrinfo(list);
	return result;
}

#define LENGTH(array) ((int)(sizeof(array) / sizeof *(array)))

static amqp_table_entry_t capability(const char *name)
{
	return (amqp_table_entry_t){
	    .key = amqp_cstring_bytes(name),
	    .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}}};
}

static amqp_table_entry_t text(const char *name, const char *value)
{
	return (amqp_table_entry_t){
	    .key = amqp_cstring_bytes(name),
	    .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(value)}}};
}

static int login(struct connection *c, const struct connection_options *opt, int64_t deadline)
{
	/* Without connection.blocked the broker never says that it takes no more, and without
	 * authentication_failure_close it drops a refused login without a word. */
	amqp_table_entry_t capabilities[] = {
	    capability("publisher_confirms"),         capability("basic.nack"),
	    capability("connection.blocked"),         capability("authentication_failure_close"),
	    capability("exchange_exchange_bindings"),
	};
	amqp_table_entry_t properties[] = {
	    text("product", "notifyd"),
	    text("version", PACKAGE_VERSION),
	    text("connection_name", opt->name),
	    {.key = amqp_cstring_bytes("capabilities"),
	     .value = {.kind = AMQP_FIELD_KIND_TABLE,
	               .value = {.table = {LENGTH(capabilities), capabilities}}}},
	};
	amqp_table_t table = {LENGTH(properties), properties};
	struct timeval left = timeval(deadline - connection_now());

	amqp_set_handshake_timeout(c->amqp, &left);
	errno = 0;
	if (replied(c, opt->password
	                   ? amqp_login_with_properties(
				 c->amqp, opt->vhost, CONNECTION_CHANNEL, FRAME_MAX, opt->heartbeat,
				 &table, AMQP_SASL_METHOD_PLAIN, opt->user, opt->password)
	                   : amqp_login_with_properties(c->amqp, opt->vhost, CONNECTION_CHANNEL,
	                                                FRAME_MAX, opt->heartbeat, &table,
	                                                AMQP_SASL_METHOD_EXTERNAL, opt->user)))
		return -1;
	amqp_channel_open(connection_request(c, deadline), CONNECTION_CHANNEL);
	return connection_answer(c);
}

int connection_open(struct connection **c_r, const struct connection_options *opt, int64_t deadline,
                    int *code_r, char *why, size_t whysize)
{
	struct connection *c = *c_r = calloc(1, sizeof *c);
	*code_r = 0;
	if (c)
		c->amqp = amqp_new_connection();
	if (!c || !c->amqp) {
		free(c);
		*c_r = NULL;
		snprintf(why, whysize, "out of memory");
		return -1;
	}
	c->timeout = opt->timeout;
	if (!connect_socket(c, opt, deadline) && !login(c, opt, deadline)) {
		c->beat = amqp_get_heartbeat(c->amqp) * INT64_C(1000);
		c->last_in = connection_now();
		/* Ends the library's wait on a full socket, and after it for a broker that is
		 * gone. */
		user_timeout(c, c->timeout);
		return 0;
	}
	snprintf(why, whysize, "%s", c->why);
	*code_r = c->code;
	connection_close(c_r, false);
	return -1;
}

void connection_close(struct connection **c_r, bool idle)
{
	struct connection *c = *c_r;
	if (!c)
		return;
	/* Spares the broker a warning in its log. */
	if (idle && !c->broken && !c->mute && !c->blocked && !connection_midway(c) &&
	    ready(c, POLLOUT, 0) == POLLOUT)
		amqp_connection_close(connection_request(c, connection_now() + LEAVE_MS),
		                      AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(c->amqp);
	buf_free(&c->body);
	free(c);
	*c_r = NULL;
}

/* --- after the login --- */

/* A method that is the connection's business, not the driver's. */
static void method(struct connection *c, const amqp_frame_t *f)
{
	void *decoded = f->payload.method.decoded;
	switch (f->payload.method.id) {
	case AMQP_CONNECTION_BLOCKED_METHOD:
		quote(c->blocked_why, sizeof c->blocked_why,
		      ((amqp_connection_blocked_t *)decoded)->reason);
		c->blocked = true;
		/* From now on the broker reads nothing, for as long as its alarm lasts. What is
		 * still in the socket would break the connection and go out twice. */
		user_timeout(c, 0);
		break;
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
		c->blocked = false;
		user_timeout(c, c->timeout);
		break;
	case AMQP_CONNECTION_CLOSE_METHOD: {
		amqp_connection_close_t *close = decoded;
		amqp_connection_close_ok_t ok = {0};
		if (!c->mute && ready(c, POLLOUT, 0) & POLLOUT)
			amqp_send_method(c->amqp, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
		closed(c, close->reply_code, close->reply_text);
		break;
	}
	case AMQP_CHANNEL_CLOSE_METHOD: {
		amqp_channel_close_t *close = decoded;
		closed(c, close->reply_code, close->reply_text);
		break;
	}
	default:
		fail(c, "the broker sent an unexpected method %08x", f->payload.method.id);
	}
}

/* The library breaks a connection that is silent for two heartbeats; less will do while answers are
 * due. The broker beats every half interval, so that a time-out shorter than one would be unfair.
 */
static int none_yet(struct connection *c, bool awaiting)
{
	int64_t limit = c->timeout > c->beat ? c->timeout : c->beat;
	if (!awaiting || connection_now() - c->last_in <= limit)
		return 0;
	return fail(c, "the broker was silent for %lld s", (long long)(limit / 1000));
}

int connection_next(struct connection *c, bool awaiting, amqp_frame_t *f_r)
{
	static const struct timeval at_once;
	cork(c, false);
	c->room = 0; /* the library may send, and there may be a pause: late() */
	/* The library swallows heartbeats: seen before it does. */
	if (!c->broken && connection_now() - c->last_in >= TICK_MS)
		ready(c, POLLIN, 0);
	while (!c->broken) {
		amqp_maybe_release_buffers(c->amqp);
		errno = 0;
		int status = amqp_simple_wait_frame_noblock(c->amqp, f_r, &at_once);
		if (status && c->mute) {
			c->broken = true; /* nothing more was said, and why stands */
			return c->blocked ? fail(c, "blocked: %s", c->blocked_why) : -1;
		}
		if (status)
			return status == AMQP_STATUS_TIMEOUT ? none_yet(c, awaiting)
			                                     : failed(c, status);
		c->last_in = connection_now();
		bool ours = f_r->channel == CONNECTION_CHANNEL;
		if (ours && (f_r->frame_type != AMQP_FRAME_METHOD ||
		             f_r->payload.method.id != AMQP_CHANNEL_CLOSE_METHOD))
			return 1;
		if (f_r->frame_type != AMQP_FRAME_METHOD)
			return fail(c, "the broker sent a frame on channel %u", f_r->channel);
		method(c, f_r);
	}
	return -1;
}

/* A heartbeat is missed already: the library would wait for the next, 0.11 without end. */
static bool late(const struct connection *c)
{
	return c->beat && connection_now() - c->last_in > c->beat;
}

/* Whether so much may be handed to the library, which then does not wait: there is room for it, and
 * for heartbeats after it. One poll() serves several: it costs as much as a send(). */
static bool takes(struct connection *c, size_t size)
{
	if (size > c->room) {
		if (late(c))
			return false;
		c->full = true;
		if (!(ready(c, POLLOUT, 0) & POLLOUT))
			return false;
	}
	c->room -= size < c->room ? size : c->room;
	return true;
}

/* 0, or CONNECTION_FULL. */
static int published(struct connection *c, int status)
{
	if (!status)
		return 0;
	failed(c, status);
	c->broken = false;
	c->mute = true;
	return CONNECTION_FULL;
}

/* amqp_basic_publish() would wait until all of a large message is in the socket. */
static int begin(struct connection *c, amqp_bytes_t to, amqp_bytes_t key,
                 const amqp_basic_properties_t *properties, amqp_bytes_t body)
{
	amqp_basic_publish_t method = {.exchange = to, .routing_key = key, .mandatory = 1};
	amqp_frame_t header = {.frame_type = AMQP_FRAME_HEADER, .channel = CONNECTION_CHANNEL};
	header.payload.properties.class_id = AMQP_BASIC_CLASS;
	header.payload.properties.body_size = body.len;
	header.payload.properties.decoded = (void *)(uintptr_t)properties;

	buf_reset(&c->body);
	buf_add(&c->body, body.bytes, body.len);
	if (c->body.failed)
		return published(c, AMQP_STATUS_NO_MEMORY);
	c->sent = 0;
	int status =
	    amqp_send_method(c->amqp, CONNECTION_CHANNEL, AMQP_BASIC_PUBLISH_METHOD, &method);
	return published(c, status ? status : amqp_send_frame(c->amqp, &header));
}

bool connection_midway(const struct connection *c)
{
	return c->body.len > 0;
}

int connection_go_on(struct connection *c)
{
	size_t most = connection_frame_max(c) - FRAME_AROUND;
	if (most > SMALL - FRAMES)
		most = SMALL - FRAMES;
	while (c->sent < c->body.len) {
		size_t left = c->body.len - c->sent;
		size_t n = left < most ? left : most;
		amqp_frame_t f = {.frame_type = AMQP_FRAME_BODY, .channel = CONNECTION_CHANNEL};
		f.payload.body_fragment = (amqp_bytes_t){n, c->body.s + c->sent};
		if (c->broken || c->mute || !takes(c, n + FRAMES))
			return CONNECTION_FULL;
		cork(c, true);
		errno = 0;
		if (published(c, amqp_send_frame(c->amqp, &f)))
			return CONNECTION_FULL;
		c->sent += n;
	}
	buf_free(&c->body); /* few are large */
	return 0;
}

int connection_publish(struct connection *c, const char *exchange, amqp_bytes_t key,
                       const amqp_basic_properties_t *properties, size_t properties_max,
                       amqp_bytes_t body)
{
	amqp_bytes_t to = amqp_cstring_bytes(exchange);
	size_t head = FRAMES + to.len + key.len + properties_max;
	bool small = head + body.len <= SMALL;
	if (c->broken || c->mute || !takes(c, small ? head + body.len : head))
		return CONNECTION_FULL;
	cork(c, true);
	errno = 0;
	if (small)
		return published(c, amqp_basic_publish(c->amqp, CONNECTION_CHANNEL, to, key, 1, 0,
		                                       properties, body));
	return begin(c, to, key, properties, body) ? CONNECTION_FULL : connection_go_on(c);
}

bool connection_full(const struct connection *c)
{
	return c->full || late(c);
}

size_t connection_frame_max(const struct connection *c)
{
	return (size_t)amqp_get_frame_max(c->amqp);
}

const char *connection_blocked(const struct connection *c)
{
	return c->blocked ? c->blocked_why : NULL;
}

const char *connection_why(const struct connection *c)
{
	return c->why;
}

int connection_code(const struct connection *c)
{
	return c->code;
}
