/* SPDX-License-Identifier: BSD-3-Clause */
#include "session.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_ROOM  ((size_t)32 << 10)
#define READS     2048
#define IDLE_PING ((int64_t)5 * 60 * 1000) /* milliseconds */

struct session {
	nghttp2_session *h2;
	struct transport *t;
	struct streams under_way, settled;
	bool up, over, going, pinging, greeted;
	int64_t timeout, now, heard, pinged, answered; /* milliseconds */
	const char *hint;
	char reason[ANSWERS_REASON_MAX]; /* of GOAWAY */
	char why[256];
	size_t out_len, out_sent;
	uint8_t out[OUT_ROOM];
};

/* --- lists --- */

static void add(struct streams *list, struct stream *st)
{
	st->newer = NULL;
	st->older = list->last;
	if (list->last)
		list->last->newer = st;
	else
		list->first = st;
	list->last = st;
	list->n++;
}

static void cut(struct streams *list, struct stream *st)
{
	if (st->older)
		st->older->newer = st->newer;
	else
		list->first = st->newer;
	if (st->newer)
		st->newer->older = st->older;
	else
		list->last = st->older;
	list->n--;
}

static void settle(struct session *s, struct stream *st)
{
	cut(&s->under_way, st);
	add(&s->settled, st);
}

struct stream *session_settled(struct session *s)
{
	struct stream *st = s->settled.first;

	if (st)
		cut(&s->settled, st);
	return st;
}

static void abandon(struct session *s)
{
	while (s->under_way.first) {
		s->under_way.first->status = 0;
		settle(s, s->under_way.first);
	}
}

size_t session_inflight(const struct session *s)
{
	return s->under_way.n + s->settled.n;
}

/* --- what nghttp2 calls --- */

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t namelen, const uint8_t *value, size_t valuelen, uint8_t flags,
                     void *ctx)
{
	struct stream *st = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);

	(void)flags;
	(void)ctx;
	if (!st)
		return 0;
	if (namelen == 7 && !memcmp(name, ":status", 7) && valuelen == 3)
		st->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
	else if (namelen == 11 && !memcmp(name, "retry-after", 11))
		st->retry_after_ms =
		    answers_retry_after((const char *)value, valuelen, (int64_t)time(NULL));
	return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                   void *ctx)
{
	struct stream *st = nghttp2_session_get_stream_user_data(h2, id);

	(void)flags;
	(void)ctx;
	if (!st)
		return 0;
	if (len > sizeof(st->body) - st->body_len)
		len = sizeof(st->body) - st->body_len;
	memcpy(st->body + st->body_len, data, len);
	st->body_len += len;
	return 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *ctx)
{
	struct stream *st = nghttp2_session_get_stream_user_data(h2, id);
	struct session *s = ctx;

	if (!st)
		return 0;
	if (st->cause) {
		st->status = 0;
	} else if (code == NGHTTP2_REFUSED_STREAM) {
		st->status = 0;
		st->cause = s->going ? "the server went away before it looked at this push"
		                     : "the server refused the stream";
	} else if (!st->status) {
		st->cause = code == NGHTTP2_NO_ERROR ? "the server gave no status"
		                                     : "the server reset the stream";
	}
	if (st->status)
		s->answered = s->now;
	settle(s, st);
	return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *ctx)
{
	struct session *s = ctx;

	(void)h2;
	if (frame->hd.type == NGHTTP2_PING && frame->hd.flags & NGHTTP2_FLAG_ACK) {
		s->pinging = false;
	} else if (frame->hd.type == NGHTTP2_SETTINGS && frame->hd.flags & NGHTTP2_FLAG_ACK) {
		s->greeted = true;
	} else if (frame->hd.type == NGHTTP2_GOAWAY) {
		s->going = true;
		s->hint = answers_goaway((const char *)frame->goaway.opaque_data,
		                         frame->goaway.opaque_data_len, s->reason);
		snprintf(s->why, sizeof(s->why), "the server ended the connection: %s",
		         s->reason[0] ? s->reason
		                      : nghttp2_http2_strerror(frame->goaway.error_code));
	}
	return 0;
}

static ssize_t give_payload(nghttp2_session *h2, int32_t id, uint8_t *to, size_t room,
                            uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
	struct stream *st = source->ptr;
	size_t n = st->payload.len - st->sent;

	(void)h2;
	(void)id;
	(void)ctx;
	if (n > room)
		n = room;
	memcpy(to, st->payload.s + st->sent, n);
	st->sent += n;
	if (st->sent == st->payload.len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

/* --- opening, closing --- */

static bool start_h2(struct session *s)
{
	static const nghttp2_settings_entry entries[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
	nghttp2_session_callbacks *cb;
	bool ok;

	if (nghttp2_session_callbacks_new(&cb))
		return false;
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	ok = !nghttp2_session_client_new(&s->h2, cb, s) &&
	     !nghttp2_submit_settings(s->h2, NGHTTP2_FLAG_NONE, entries, 1);
	nghttp2_session_callbacks_del(cb);
	return ok;
}

struct session *session_open(struct transport *t, int64_t timeout, int64_t now)
{
	struct session *s = t ? calloc(1, sizeof(*s)) : NULL;

	if (!s) {
		transport_close(&t);
		return NULL;
	}
	s->t = t;
	s->timeout = timeout;
	s->now = s->heard = now;
	if (!start_h2(s))
		session_close(&s);
	return s;
}

void session_close(struct session **sp)
{
	struct session *s = *sp;
	const uint8_t *data;

	*sp = NULL;
	if (!s)
		return;
	if (s->up && !s->over && !s->out_len && !s->under_way.n &&
	    !nghttp2_session_terminate_session(s->h2, NGHTTP2_NO_ERROR)) {
		ssize_t n = nghttp2_session_mem_send(s->h2, &data);
		if (n > 0)
			transport_write(s->t, data, (size_t)n);
	}
	nghttp2_session_del(s->h2);
	transport_close(&s->t);
	free(s);
}

static void end(struct session *s, const char *why)
{
	if (!s->over && !s->going)
		snprintf(s->why, sizeof(s->why), "%s", why);
	s->over = true;
}

int session_up(const struct session *s)
{
	return s->over ? -1 : s->up;
}

bool session_greeted(const struct session *s)
{
	return s->greeted && !s->over && !s->going;
}

bool session_going(const struct session *s)
{
	return s->going;
}

const char *session_why(const struct session *s)
{
	return s->why;
}

const char *session_refused(const struct session *s)
{
	return s->hint ? s->hint : s->over && transport_refused(s->t) ? "" : NULL;
}

size_t session_streams(const struct session *s)
{
	return nghttp2_session_get_remote_settings(s->h2, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

/* --- pushes --- */

static nghttp2_nv field(const char *name, const char *value, uint8_t flags)
{
	return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
	                    flags | NGHTTP2_NV_FLAG_NO_COPY_NAME};
}

#define FIXED    NGHTTP2_NV_FLAG_NO_COPY_VALUE /* a literal */
#define REPEATED NGHTTP2_NV_FLAG_NONE
#define UNIQUE   NGHTTP2_NV_FLAG_NO_INDEX /* of no use in HPACK's table; or not to be kept there */

int session_submit(struct session *s, struct stream *st, const struct apns_push *p,
                   const char *authority, const char *bearer, int64_t now)
{
	char path[256], expiration[24], priority[12];
	nghttp2_data_provider body = {.source.ptr = st, .read_callback = give_payload};
	nghttp2_nv nv[12];
	size_t n = 0;

	if (s->over || s->going)
		return -1;
	st->status = 0;
	st->cause = NULL;
	st->retry_after_ms = 0;
	st->sent = st->body_len = 0;
	st->deadline = now + s->timeout;
	buf_reset(&st->payload);
	buf_add(&st->payload, p->payload, p->len);
	if (st->payload.failed)
		return -1;
	snprintf(path, sizeof(path), "/3/device/%s", p->token);
	snprintf(expiration, sizeof(expiration), "%lld", (long long)p->expiration);
	nv[n++] = field(":method", "POST", FIXED);
	nv[n++] = field(":scheme", "https", FIXED);
	nv[n++] = field(":authority", authority, REPEATED);
	nv[n++] = field(":path", path, UNIQUE);
	if (bearer)
		nv[n++] = field("authorization", bearer, REPEATED);
	nv[n++] = field("apns-topic", p->topic, REPEATED);
	nv[n++] = field("apns-push-type", p->push_type, REPEATED);
	nv[n++] = field("apns-expiration", expiration, UNIQUE);
	if (p->priority) {
		snprintf(priority, sizeof(priority), "%d", p->priority);
		nv[n++] = field("apns-priority", priority, REPEATED);
	}
	if (p->collapse_id)
		nv[n++] = field("apns-collapse-id", p->collapse_id, UNIQUE);
	nv[n++] = field("content-type", "application/json", FIXED);
	st->id = nghttp2_submit_request(s->h2, NULL, nv, n, &body, st);
	if (st->id < 0) {
		/* The ids of a connection are used up after a milliard of pushes. */
		snprintf(s->why, sizeof(s->why), "%s", nghttp2_strerror(st->id));
		s->going = true;
		return -1;
	}
	add(&s->under_way, st);
	return 0;
}

/* --- moving --- */

static bool fill_out(struct session *s)
{
	const uint8_t *data;

	/* A frame that does not fit would have to be kept: none of ours is longer than half. */
	while (s->out_len <= sizeof(s->out) / 2) {
		ssize_t n = nghttp2_session_mem_send(s->h2, &data);
		if (n > 0 && (size_t)n > sizeof(s->out) - s->out_len)
			n = NGHTTP2_ERR_BUFFER_ERROR;
		if (n < 0)
			end(s, nghttp2_strerror((int)n));
		if (n <= 0)
			return n == 0;
		memcpy(s->out + s->out_len, data, (size_t)n);
		s->out_len += (size_t)n;
	}
	return true;
}

static bool write_all(struct session *s)
{
	bool moved = false;

	while (!s->over && fill_out(s) && s->out_len) {
		ssize_t n = transport_write(s->t, s->out + s->out_sent, s->out_len - s->out_sent);
		if (n < 0)
			end(s, transport_why(s->t));
		if (n <= 0)
			break;
		moved = true;
		s->out_sent += (size_t)n;
		if (s->out_sent == s->out_len)
			s->out_sent = s->out_len = 0;
	}
	return moved;
}

static bool read_all(struct session *s)
{
	uint8_t in[16 << 10];
	bool moved = false;

	/* Not without end, whatever the server sends; a read may hold but one answer. */
	for (int i = 0; i < READS && !s->over; i++) {
		ssize_t n = transport_read(s->t, in, sizeof(in));
		if (n < 0)
			end(s, transport_why(s->t));
		if (n <= 0)
			break;
		moved = true;
		s->heard = s->now;
		n = nghttp2_session_mem_recv(s->h2, in, (size_t)n);
		if (n < 0)
			end(s, nghttp2_strerror((int)n));
	}
	return moved;
}

/* How long a silence may be before the server is asked whether it lives. */
static int64_t patience(const struct session *s)
{
	return s->under_way.n ? s->timeout / 4 : IDLE_PING;
}

static void die(struct session *s, const char *why)
{
	snprintf(s->why, sizeof(s->why), "%s", why);
	s->over = true;
}

/* A server that is silent is asked whether it lives. A push that has no answer in time has none,
 * though the server may live; when others have none either, another connection may be better. */
static void look_at_clock(struct session *s)
{
	if (s->pinging && s->now - s->pinged >= s->timeout / 2) {
		die(s, "the server does not answer, not even to PING");
	} else if (!s->pinging && s->now - s->heard >= patience(s)) {
		s->pinging = !nghttp2_submit_ping(s->h2, NGHTTP2_FLAG_NONE, NULL);
		s->pinged = s->now;
	}
	for (struct stream *st = s->under_way.first; st && st->deadline <= s->now; st = st->newer) {
		/* One that the server leaves no room for is not even taken back. */
		if (st->cause && s->now - st->deadline >= s->timeout)
			die(s, "the server allows no more streams");
		if (st->cause)
			continue;
		if (s->answered < st->deadline - s->timeout)
			die(s, "the server lives, but no push was answered in time");
		st->cause = "no answer in time";
		nghttp2_submit_rst_stream(s->h2, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
	}
}

bool session_move(struct session *s, int64_t now)
{
	bool moved = false;

	s->now = now;
	if (!s->over && !s->up) {
		int r = transport_advance(s->t, now);
		if (r < 0)
			end(s, transport_why(s->t));
		s->up = r > 0;
		s->heard = now;
		moved = r != 0;
	}
	if (!s->over && s->up) {
		moved |= write_all(s);
		moved |= read_all(s);
		/* After reading: it may be us who slept. */
		if (!s->over)
			look_at_clock(s);
		moved |= write_all(s);
		if (!s->over && !s->out_len && !nghttp2_session_want_read(s->h2) &&
		    !nghttp2_session_want_write(s->h2))
			end(s, "the connection was ended");
	}
	if (s->over && s->under_way.n) {
		abandon(s);
		moved = true;
	}
	return moved || s->settled.n;
}

int session_poll(const struct session *s, short *events_r)
{
	return transport_poll(s->t, events_r);
}

int64_t session_due(const struct session *s)
{
	int64_t due = s->heard + patience(s);

	if (!s->up)
		return transport_due(s->t);
	if (s->pinging)
		due = s->pinged + s->timeout / 2;
	for (const struct stream *st = s->under_way.first; st; st = st->newer)
		if (!st->cause)
			return st->deadline < due ? st->deadline : due;
	return due;
}
