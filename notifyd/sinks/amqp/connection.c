/* SPDX-License-Identifier: BSD-3-Clause */
#include "connection.h"
#include "transport.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_HEADER 7 /* type, channel, size */
#define FRAME_END    1
#define FRAME_MAX    131072
#define FRAME_MIN    4096      /* the specification's least frame-max */
#define READ_SIZE    65536     /* beside one whole frame */
#define KEEP         (1 << 20) /* a queue grown past this by a large event is given back */

struct connection {
	struct transport transport;
	amqp_pool_t pool; /* what the current frame's fields borrow */
	unsigned char *in;
	size_t in_off, in_len, in_cap;
	unsigned char *out;
	size_t out_off, out_len, out_cap;
	size_t frame_max;
	int heartbeat; /* seconds, agreed on; 0: none */
	int64_t timeout, last_in, last_out;
	bool broken, blocked;
	bool mute; /* writing failed: what the broker said before is still read */
	amqp_basic_properties_t *properties;
	int code;
	char why[224];
	char blocked_why[96];
};

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

static void put16(unsigned char *p, unsigned n)
{
	p[0] = (unsigned char)(n >> 8);
	p[1] = (unsigned char)n;
}

static void put32(unsigned char *p, uint32_t n)
{
	put16(p, n >> 16);
	put16(p + 2, n & 0xffff);
}

static uint32_t get32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* --- writing --- */

/* Room for n more bytes at the queue's end. */
static int reserve(struct connection *c, size_t n)
{
	if (n <= c->out_cap - c->out_len)
		return 0;
	if (c->out_off) {
		c->out_len -= c->out_off;
		memmove(c->out, c->out + c->out_off, c->out_len);
		c->out_off = 0;
	}
	size_t cap = c->out_cap ? c->out_cap : 2 * FRAME_MAX;
	while (cap - c->out_len < n)
		cap *= 2;
	if (cap == c->out_cap)
		return 0;
	unsigned char *out = realloc(c->out, cap);
	if (!out)
		return fail(c, "out of memory");
	c->out = out;
	c->out_cap = cap;
	return 0;
}

/* Completes the frame whose payload of len bytes stands FRAME_HEADER behind the queue's end. */
static void frame_end(struct connection *c, uint8_t type, unsigned channel, size_t len)
{
	unsigned char *p = c->out + c->out_len;
	p[0] = type;
	put16(p + 1, channel);
	put32(p + 3, (uint32_t)len);
	p[FRAME_HEADER + len] = AMQP_FRAME_END;
	c->out_len += FRAME_HEADER + len + FRAME_END;
}

static int queue_method(struct connection *c, unsigned channel, amqp_method_number_t id,
                        void *fields)
{
	if (reserve(c, c->frame_max))
		return -1;
	unsigned char *p = c->out + c->out_len + FRAME_HEADER;
	put32(p, id);
	amqp_bytes_t room = {c->frame_max - FRAME_HEADER - FRAME_END - 4, p + 4};
	int len = amqp_encode_method(id, fields, room);
	if (len < 0)
		return fail(c, "a request does not fit a frame of %zu bytes", c->frame_max);
	frame_end(c, AMQP_FRAME_METHOD, channel, (size_t)len + 4);
	return 0;
}

static int queue_header(struct connection *c, amqp_basic_properties_t *properties, size_t body)
{
	if (reserve(c, c->frame_max))
		return -1;
	unsigned char *p = c->out + c->out_len + FRAME_HEADER;
	put16(p, AMQP_BASIC_CLASS);
	put16(p + 2, 0); /* weight */
	put32(p + 4, (uint32_t)((uint64_t)body >> 32));
	put32(p + 8, (uint32_t)body);
	amqp_bytes_t room = {c->frame_max - FRAME_HEADER - FRAME_END - 12, p + 12};
	int len = amqp_encode_properties(AMQP_BASIC_CLASS, properties, room);
	if (len < 0)
		return -1;
	frame_end(c, AMQP_FRAME_HEADER, CONNECTION_CHANNEL, (size_t)len + 12);
	return 0;
}

static int queue_body(struct connection *c, struct str body)
{
	size_t most = c->frame_max - FRAME_HEADER - FRAME_END;
	if (reserve(c, body.len + (body.len / most + 1) * (FRAME_HEADER + FRAME_END)))
		return -1;
	for (size_t off = 0, n; off < body.len; off += n) {
		n = body.len - off < most ? body.len - off : most;
		memcpy(c->out + c->out_len + FRAME_HEADER, body.s + off, n);
		frame_end(c, AMQP_FRAME_BODY, CONNECTION_CHANNEL, n);
	}
	return 0;
}

int connection_publish(struct connection *c, amqp_basic_publish_t *publish,
                       amqp_basic_properties_t *properties, struct str body)
{
	/* From the queue's front, which reserve() may move. */
	size_t before = c->out_len - c->out_off;
	if (!queue_method(c, CONNECTION_CHANNEL, AMQP_BASIC_PUBLISH_METHOD, publish) &&
	    !queue_header(c, properties, body.len) && !queue_body(c, body))
		return 0;
	c->out_len = c->out_off + before; /* no half a message */
	return c->broken ? -1 : CONNECTION_TOO_LONG;
}

int connection_write(struct connection *c)
{
	if (c->broken || c->mute)
		return -1;
	while (c->out_off < c->out_len) {
		ssize_t n =
		    transport_write(&c->transport, c->out + c->out_off, c->out_len - c->out_off);
		if (n < 0) {
			snprintf(c->why, sizeof c->why, "%s", c->transport.why);
			c->mute = true;
			return -1;
		}
		if (!n)
			return 0;
		c->out_off += (size_t)n;
		c->last_out = transport_now();
	}
	c->out_off = c->out_len = 0;
	if (c->out_cap > KEEP) {
		free(c->out);
		c->out = NULL;
		c->out_cap = 0;
	}
	return 0;
}

size_t connection_queued(const struct connection *c)
{
	return c->out_len - c->out_off;
}

bool connection_stuck(const struct connection *c)
{
	return c->transport.full;
}

/* --- reading --- */

/* The broker's reasons come with its code: "ACCESS_REFUSED - ...". */
static int closed(struct connection *c, unsigned code, amqp_bytes_t text)
{
	char words[sizeof c->why];
	quote(words, sizeof words, text);
	c->code = (int)code;
	return fail(c, "%u %s", code, words);
}

void connection_channel_closed(struct connection *c, const amqp_channel_close_t *close)
{
	closed(c, close->reply_code, close->reply_text);
}

/* Methods of channel 0 after the login. */
static int connection_method(struct connection *c, const struct connection_frame *f)
{
	switch (f->method) {
	case AMQP_CONNECTION_BLOCKED_METHOD:
		quote(c->blocked_why, sizeof c->blocked_why,
		      ((amqp_connection_blocked_t *)f->decoded)->reason);
		c->blocked = true;
		return 0;
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
		c->blocked = false;
		return 0;
	case AMQP_CONNECTION_CLOSE_METHOD: {
		amqp_connection_close_t *close = f->decoded;
		amqp_connection_close_ok_t ok = {0};
		if (!connection_queued(c) &&
		    !queue_method(c, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok))
			connection_write(c);
		return closed(c, close->reply_code, close->reply_text);
	}
	default:
		return fail(c, "the broker sent an unexpected method %08x", f->method);
	}
}

/* Makes a frame of payload[0..len). 0, or -1. */
static int decode(struct connection *c, unsigned type, const unsigned char *payload, size_t len,
                  struct connection_frame *f_r)
{
	amqp_bytes_t rest;
	*f_r = (struct connection_frame){.type = (uint8_t)type};
	switch (type) {
	case AMQP_FRAME_METHOD:
		if (len < 4)
			return fail(c, "the broker sent a method frame that is too short");
		f_r->method = get32(payload);
		rest = (amqp_bytes_t){len - 4, (void *)(uintptr_t)(payload + 4)};
		if (amqp_decode_method(f_r->method, &c->pool, rest, &f_r->decoded) < 0)
			return fail(c, "the broker sent a method %08x that can't be read",
			            f_r->method);
		return 0;
	case AMQP_FRAME_HEADER:
		if (len < 12)
			return fail(c, "the broker sent a header frame that is too short");
		f_r->body_size = (uint64_t)get32(payload + 4) << 32 | get32(payload + 8);
		rest = (amqp_bytes_t){len - 12, (void *)(uintptr_t)(payload + 12)};
		if (((unsigned)payload[0] << 8 | payload[1]) != AMQP_BASIC_CLASS ||
		    amqp_decode_properties(AMQP_BASIC_CLASS, &c->pool, rest,
		                           (void **)&c->properties) < 0)
			return fail(c, "the broker sent a header that can't be read");
		f_r->properties = c->properties;
		return 0;
	case AMQP_FRAME_BODY:
		f_r->body_len = len;
		return 0;
	default:
		return fail(c, "the broker sent a frame of unknown type %u", type);
	}
}

/* The next whole frame in the buffer: 1 with its channel, 0 more bytes are needed, -1. */
static int take(struct connection *c, struct connection_frame *f_r, unsigned *channel_r)
{
	const unsigned char *p = c->in + c->in_off;
	size_t have = c->in_len - c->in_off;

	if (have < FRAME_HEADER)
		return 0;
	if (!memcmp(p, "AMQP", 4))
		return fail(c, "the broker does not speak AMQP 0-9-1 here");
	size_t len = get32(p + 3);
	if (*p < AMQP_FRAME_METHOD || *p > AMQP_FRAME_HEARTBEAT)
		return fail(c, "what answers is not an AMQP broker (is it a TLS port?)");
	if (len > c->frame_max - FRAME_HEADER - FRAME_END)
		return fail(c, "the broker sent a frame longer than agreed");
	if (have < FRAME_HEADER + len + FRAME_END)
		return 0;
	if (p[FRAME_HEADER + len] != AMQP_FRAME_END)
		return fail(c, "the broker sent a frame without an end");
	c->in_off += FRAME_HEADER + len + FRAME_END;
	*channel_r = (unsigned)p[1] << 8 | p[2];
	*f_r = (struct connection_frame){.type = AMQP_FRAME_HEARTBEAT};
	if (*p != AMQP_FRAME_HEARTBEAT && decode(c, *p, p + FRAME_HEADER, len, f_r))
		return -1;
	return 1;
}

/* Reads more. 1 some came, 0 none, -1. */
static int fill(struct connection *c)
{
	if (c->in_off == c->in_len) {
		c->in_off = c->in_len = 0;
	} else if (c->in_cap - c->in_len < READ_SIZE) {
		c->in_len -= c->in_off;
		memmove(c->in, c->in + c->in_off, c->in_len);
		c->in_off = 0;
	}
	ssize_t n = transport_read(&c->transport, c->in + c->in_len, c->in_cap - c->in_len);
	if (n < 0)
		return fail(c, "%s", c->transport.why);
	if (!n && c->mute)
		return fail(c, "the broker closed the connection");
	if (!n)
		return 0;
	c->in_len += (size_t)n;
	c->last_in = transport_now();
	return 1;
}

/* The next frame of either channel, heartbeats left out. */
static int next_any(struct connection *c, struct connection_frame *f_r, unsigned *channel_r)
{
	if (c->broken)
		return -1;
	for (;;) {
		recycle_amqp_pool(&c->pool);
		int n = take(c, f_r, channel_r);
		if (n > 0 && f_r->type == AMQP_FRAME_HEARTBEAT)
			continue;
		if (n)
			return n;
		n = fill(c);
		if (n <= 0)
			return n;
	}
}

int connection_next(struct connection *c, struct connection_frame *f_r)
{
	unsigned channel;
	for (;;) {
		int n = next_any(c, f_r, &channel);
		if (n <= 0)
			return n;
		if (channel == CONNECTION_CHANNEL)
			return 1;
		if (channel || f_r->type != AMQP_FRAME_METHOD)
			return fail(c, "the broker sent a frame on channel %u", channel);
		if (connection_method(c, f_r))
			return -1;
	}
}

/* --- time --- */

int connection_tick(struct connection *c, bool awaiting)
{
	int64_t now = transport_now(), beat = c->heartbeat * INT64_C(1000);
	/* The broker beats every half interval, so a longer time-out than that is fair. */
	int64_t limit = awaiting ? (c->timeout > beat ? c->timeout : beat) : 2 * beat;

	if (c->broken)
		return -1;
	if (limit && now - c->last_in > limit)
		return fail(c, "the broker was silent for %lld s", (long long)(limit / 1000));
	/* Half a frame may be queued, and then the broker hears from us anyway. */
	if (beat && now - c->last_out >= beat / 2 && !connection_queued(c)) {
		if (reserve(c, FRAME_HEADER + FRAME_END))
			return -1;
		frame_end(c, AMQP_FRAME_HEARTBEAT, 0, 0);
		connection_write(c);
	}
	return 0;
}

void connection_wait(struct connection *c, int64_t ms)
{
	int64_t beat = c->heartbeat * INT64_C(1000);
	if (beat) {
		int64_t due = c->last_out + beat / 2 - transport_now();
		if (due < 10)
			due = 10;
		if (due < ms)
			ms = due;
	}
	transport_wait(&c->transport, connection_queued(c) > 0, ms);
}

/* --- requests --- */

/* Waits for a method of a channel; connection.close and channel.close are failures. */
static int await(struct connection *c, unsigned channel, amqp_method_number_t id,
                 struct connection_frame *f_r, int64_t deadline)
{
	unsigned came;
	for (;;) {
		connection_write(c); /* when that fails, reading says why */
		int n = next_any(c, f_r, &came);
		if (n < 0)
			return -1;
		if (!n) {
			int64_t left = deadline - transport_now();
			if (left <= 0)
				return fail(c,
				            c->blocked ? "no answer in time: blocked, %s"
				                       : "no answer in time%s",
				            c->blocked ? c->blocked_why : "");
			transport_wait(&c->transport, connection_queued(c) > 0, left);
			continue;
		}
		if (f_r->type == AMQP_FRAME_METHOD && came == channel && f_r->method == id)
			return 0;
		if (f_r->type == AMQP_FRAME_METHOD && came &&
		    f_r->method == AMQP_CHANNEL_CLOSE_METHOD) {
			connection_channel_closed(c, f_r->decoded);
			return -1;
		}
		if (!came && f_r->type == AMQP_FRAME_METHOD) {
			if (connection_method(c, f_r))
				return -1;
		} else {
			return fail(c, "the broker sent an unexpected frame");
		}
	}
}

int connection_call(struct connection *c, amqp_method_number_t id, void *request,
                    amqp_method_number_t reply, int64_t deadline)
{
	struct connection_frame f;
	if (c->broken || queue_method(c, CONNECTION_CHANNEL, id, request))
		return -1;
	return await(c, CONNECTION_CHANNEL, reply, &f, deadline);
}

/* --- login --- */

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

static bool offered(amqp_bytes_t list, const char *mechanism)
{
	const char *s = list.bytes, *end = s + list.len;
	size_t len = strlen(mechanism);
	while (s < end) {
		const char *space = memchr(s, ' ', (size_t)(end - s));
		if (!space)
			space = end;
		if ((size_t)(space - s) == len && !memcmp(s, mechanism, len))
			return true;
		s = space + 1;
	}
	return false;
}

static int start(struct connection *c, const struct connection_options *opt)
{
	/* Without connection.blocked the broker never says that it takes no more, and without
	 * authentication_failure_close it drops a refused login without a word. */
	amqp_table_entry_t capabilities[] = {
	    capability("publisher_confirms"),
	    capability("basic.nack"),
	    capability("connection.blocked"),
	    capability("authentication_failure_close"),
	};
	amqp_table_entry_t properties[] = {
	    text("product", "notifyd"),
	    text("connection_name", opt->name),
	    {.key = amqp_cstring_bytes("capabilities"),
	     .value = {.kind = AMQP_FIELD_KIND_TABLE,
	               .value = {.table = {sizeof capabilities / sizeof *capabilities,
	                                   capabilities}}}},
	};
	size_t user = strlen(opt->user), password = strlen(opt->password);
	char response[2 * (4 * 255 + 1)]; /* address.c and check() bound both */
	if (user + password + 2 > sizeof response)
		return fail(c, "the password is too long");
	response[0] = response[user + 1] = '\0';
	memcpy(response + 1, opt->user, user);
	memcpy(response + user + 2, opt->password, password);
	amqp_connection_start_ok_t ok = {
	    .client_properties = {sizeof properties / sizeof *properties, properties},
	    .mechanism = amqp_cstring_bytes("PLAIN"),
	    .response = {user + password + 2, response},
	    .locale = amqp_cstring_bytes("en_US"),
	};
	int result = queue_method(c, 0, AMQP_CONNECTION_START_OK_METHOD, &ok);
	explicit_bzero(response, sizeof response);
	return result;
}

static int tune(struct connection *c, const amqp_connection_tune_t *offer, int heartbeat)
{
	amqp_connection_tune_ok_t ok = {
	    .channel_max = CONNECTION_CHANNEL,
	    .frame_max = FRAME_MAX,
	    .heartbeat = (uint16_t)heartbeat,
	};
	if (offer->frame_max && offer->frame_max < FRAME_MAX)
		ok.frame_max = offer->frame_max;
	if (ok.frame_max < FRAME_MIN)
		return fail(c, "the broker's frame-max %u is below %d", ok.frame_max, FRAME_MIN);
	if (queue_method(c, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &ok))
		return -1;
	c->frame_max = ok.frame_max;
	c->heartbeat = heartbeat;
	return 0;
}

static int login(struct connection *c, const struct connection_options *opt, int64_t deadline)
{
	static const unsigned char greeting[8] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};
	struct connection_frame f;

	if (reserve(c, sizeof greeting))
		return -1;
	memcpy(c->out, greeting, sizeof greeting);
	c->out_len = sizeof greeting;
	if (await(c, 0, AMQP_CONNECTION_START_METHOD, &f, deadline))
		return -1;
	if (!offered(((amqp_connection_start_t *)f.decoded)->mechanisms, "PLAIN"))
		return fail(c, "the broker does not offer to log in by PLAIN");
	if (start(c, opt))
		return -1;
	int result = await(c, 0, AMQP_CONNECTION_TUNE_METHOD, &f, deadline);
	/* What was queued is still in the buffer, the password with it. */
	if (c->out)
		explicit_bzero(c->out, c->out_cap);
	if (result || tune(c, f.decoded, opt->heartbeat))
		return -1;
	amqp_connection_open_t open = {.virtual_host = amqp_cstring_bytes(opt->vhost)};
	if (queue_method(c, 0, AMQP_CONNECTION_OPEN_METHOD, &open) ||
	    await(c, 0, AMQP_CONNECTION_OPEN_OK_METHOD, &f, deadline))
		return -1;
	amqp_channel_open_t channel = {.out_of_band = amqp_empty_bytes};
	return connection_call(c, AMQP_CHANNEL_OPEN_METHOD, &channel, AMQP_CHANNEL_OPEN_OK_METHOD,
	                       deadline);
}

int connection_open(struct connection **c_r, const struct connection_options *opt, int64_t deadline,
                    int *code_r, char *why, size_t whysize)
{
	struct connection *c = *c_r = calloc(1, sizeof *c);
	*code_r = 0;
	if (!c) {
		snprintf(why, whysize, "out of memory");
		return -1;
	}
	c->transport.fd = -1;
	init_amqp_pool(&c->pool, 4096);
	c->frame_max = FRAME_MAX;
	c->timeout = opt->timeout;
	c->in_cap = FRAME_MAX + READ_SIZE;
	c->in = malloc(c->in_cap);
	if (!c->in)
		fail(c, "out of memory");
	else if (transport_open(&c->transport, opt->host, opt->port, opt->tls, deadline))
		fail(c, "%s", c->transport.why);
	else {
		c->last_in = c->last_out = transport_now();
		if (!login(c, opt, deadline))
			return 0;
	}
	snprintf(why, whysize, "%s", c->why);
	*code_r = c->code;
	c->broken = true;
	connection_close(c_r);
	return -1;
}

void connection_close(struct connection **c_r)
{
	struct connection *c = *c_r;
	if (!c)
		return;
	/* Spares the broker a warning in its log. Only between frames. */
	if (!c->broken && !c->mute && !connection_queued(c)) {
		amqp_connection_close_t bye = {.reply_code = AMQP_REPLY_SUCCESS,
		                               .reply_text = amqp_cstring_bytes("goodbye")};
		if (!queue_method(c, 0, AMQP_CONNECTION_CLOSE_METHOD, &bye))
			connection_write(c);
	}
	transport_close(&c->transport);
	empty_amqp_pool(&c->pool);
	free(c->in);
	free(c->out);
	free(c);
	*c_r = NULL;
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
