/* SPDX-License-Identifier: BSD-3-Clause */
/* Stands for Apple's provider API in tests: HTTP/2 over TLS, strict (strict.h), scripted
 * (script.h), quick enough to be measured against. Loopback only. */
#include "script.h"
#include "strict.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 64
#define BODY_ROOM   8192
#define HEAD_ROOM   4096

struct stream {
	struct stream *next; /* free, or delayed */
	struct connection *conn;
	int32_t id;
	int64_t due; /* milliseconds: when the answer is due */
	struct request request;
	size_t head_used;
	int status;
	bool reset; /* the answer is RST_STREAM with code */
	uint32_t code;
	char reply[1024];
	size_t reply_len, reply_sent;
	char retry_after[24];
	char head[HEAD_ROOM];
	char body[BODY_ROOM + 1];
};

struct connection {
	int fd, number;
	SSL *ssl;
	nghttp2_session *session;
	struct strict_peer peer;
	bool handshaken, wants_write, dead;
	int32_t last; /* the last stream that is processed, after GOAWAY; 0: no GOAWAY */
	size_t streams;
	bool succeeded;
	size_t out_len, out_sent;
	uint8_t out[1 << 16];
};

static struct {
	SSL_CTX *tls;
	struct strict strict;
	struct script script;
	struct connection *conn[CONNECTIONS];
	struct stream *spare, *delayed;
	FILE *record;
	uint32_t max_streams;
	bool until_success; /* SETTINGS allow one stream until a push was delivered */
	json_int_t accepted, requests, delivered, most, pings;
	json_t *statuses;
} world;

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void die(const char *what)
{
	fprintf(stderr, "apns server: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* --- streams --- */

static struct stream *stream_new(struct connection *c, int32_t id)
{
	struct stream *s = world.spare;

	if (s)
		world.spare = s->next;
	else if (!(s = malloc(sizeof(*s))))
		die("memory is short");
	memset(s, 0, offsetof(struct stream, head));
	s->conn = c;
	s->id = id;
	if (++c->streams > (size_t)world.most)
		world.most = (json_int_t)c->streams;
	return s;
}

static void stream_free(struct stream *s)
{
	for (struct stream **p = &world.delayed; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	s->conn->streams--;
	s->next = world.spare;
	world.spare = s;
}

static ssize_t give_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
	struct stream *s = source->ptr;
	size_t n = s->reply_len - s->reply_sent;

	(void)session, (void)id, (void)ctx;
	if (n > room)
		n = room;
	memcpy(buf, s->reply + s->reply_sent, n);
	s->reply_sent += n;
	if (s->reply_sent == s->reply_len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

#define NV(n, v, l)                                                                                \
	(nghttp2_nv)                                                                               \
	{                                                                                          \
		(uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, (l), NGHTTP2_NV_FLAG_NONE           \
	}

static void settings(struct connection *c, uint32_t streams)
{
	nghttp2_settings_entry e[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams}};
	nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, e, 1);
}

static void respond(struct stream *s)
{
	struct connection *c = s->conn;
	char status[12], id[40];
	nghttp2_nv nv[4];
	size_t n = 0;
	nghttp2_data_provider body = {.source.ptr = s, .read_callback = give_body};

	if (s->reset) {
		nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, s->code);
		return;
	}
	snprintf(status, sizeof(status), "%d", s->status);
	snprintf(id, sizeof(id), "%08X-0000-4000-8000-%04X%08X", (unsigned)world.requests,
	         (unsigned)c->number, (unsigned)s->id);
	nv[n++] = NV(":status", status, strlen(status));
	nv[n++] = NV("apns-id", id, strlen(id));
	if (s->retry_after[0])
		nv[n++] = NV("retry-after", s->retry_after, strlen(s->retry_after));
	if (s->reply_len)
		nv[n++] = NV("content-type", "application/json", 16);
	nghttp2_submit_response(c->session, s->id, nv, n, s->reply_len ? &body : NULL);
	if (s->status == 200 && !c->succeeded) {
		c->succeeded = true;
		if (world.until_success)
			settings(c, world.max_streams);
	}
}

static void reply_json(struct stream *s, const char *reason, json_int_t timestamp)
{
	if (timestamp)
		s->reply_len = (size_t)snprintf(s->reply, sizeof(s->reply),
		                                "{\"reason\":\"%s\",\"timestamp\":%lld}", reason,
		                                (long long)timestamp);
	else
		s->reply_len =
		    (size_t)snprintf(s->reply, sizeof(s->reply), "{\"reason\":\"%s\"}", reason);
}

static void record(const struct stream *s, const char *reason, const char *action)
{
	json_t *j;
	char key[16];

	world.requests++;
	snprintf(key, sizeof(key), "%d", s->status);
	json_t *count = json_object_get(world.statuses, key);
	if (count)
		json_integer_set(count, json_integer_value(count) + 1);
	else
		json_object_set_new(world.statuses, key, json_integer(1));
	if (!world.record)
		return;
	j = json_pack("{s:I, s:i, s:i, s:i, s:s?, s:s?, s:s?}", "at", (json_int_t)now_ms(),
	              "connection", s->conn->number, "stream", s->id, "status", s->status, "reason",
	              reason, "action", action, "body", s->request.body.s);
	for (int i = 0; i < FIELDS; i++)
		if (s->request.field[i].s)
			json_object_set_new(j, strict_name(i), json_string(s->request.field[i].s));
	json_dumpf(j, world.record, JSON_COMPACT);
	fputc('\n', world.record);
	fflush(world.record); /* before its answer: who has that may look */
	json_decref(j);
}

static void go_away(struct connection *c, int32_t last, const char *reason)
{
	char data[128];
	int n = snprintf(data, sizeof(data), "{\"reason\":\"%s\"}", reason);

	c->last = last;
	nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR,
	                      (const uint8_t *)data, (size_t)n);
}

/* A whole request is here. */
static void answer(struct stream *s)
{
	struct connection *c = s->conn;
	const char *reason = NULL, *action = NULL, *body = NULL;
	json_int_t timestamp = 0, delay = 0, retry_after = 0, code = NGHTTP2_INTERNAL_ERROR;
	int status = 200;

	if (c->last && s->id > c->last)
		return;
	s->body[s->request.body.len < BODY_ROOM ? s->request.body.len : BODY_ROOM] = '\0';
	s->request.body.s = s->body;
	struct verdict v = strict_check(&world.strict, &c->peer, &s->request);
	if (v.status != 200) {
		status = v.status;
		reason = v.reason;
	} else {
		const json_t *script =
		    script_next(&world.script, strrchr(s->request.field[FIELD_PATH].s, '/') + 1);
		if (script)
			json_unpack((json_t *)script, "{s?i, s?s, s?I, s?I, s?I, s?s, s?s, s?I}",
			            "status", &status, "reason", &reason, "timestamp", &timestamp,
			            "retry_after", &retry_after, "delay_ms", &delay, "body", &body,
			            "action", &action, "code", &code);
	}
	s->status = status;
	if (world.script.close_after > 0 && !--world.script.close_after)
		action = "close";
	record(s, reason, action);
	if (status == 200 && !action)
		world.delivered++;
	if (body)
		s->reply_len = (size_t)snprintf(s->reply, sizeof(s->reply), "%s", body);
	else if (reason)
		reply_json(s, reason, timestamp);
	if (retry_after)
		snprintf(s->retry_after, sizeof(s->retry_after), "%lld", (long long)retry_after);
	if (action && !strcmp(action, "close"))
		c->dead = true;
	s->reset = action && !strcmp(action, "reset");
	s->code = (uint32_t)code;
	if (delay || (action && !strcmp(action, "never"))) {
		s->due = delay ? now_ms() + delay : INT64_MAX;
		s->next = world.delayed;
		world.delayed = s;
	} else if (!c->dead) {
		respond(s);
	}
	if (world.script.goaway_after > 0 && !--world.script.goaway_after)
		go_away(c, s->id, world.script.reason);
}

/* --- HTTP/2 --- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct connection *c = ctx;

	if (frame->hd.type != NGHTTP2_HEADERS || (c->last && frame->hd.stream_id > c->last))
		return 0;
	nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
	                                     stream_new(c, frame->hd.stream_id));
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t namelen, const uint8_t *value, size_t valuelen, uint8_t flags,
                     void *ctx)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	enum field f = strict_field((const char *)name, namelen);

	(void)flags, (void)ctx;
	if (!s || f == FIELD_OTHER)
		return 0;
	if (s->request.field[f].s)
		s->request.doubled = true;
	if (valuelen >= HEAD_ROOM - s->head_used)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	char *to = s->head + s->head_used;
	memcpy(to, value, valuelen);
	to[valuelen] = '\0';
	s->request.field[f] = (struct text){to, valuelen};
	s->head_used += valuelen + 1;
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *ctx)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)flags, (void)ctx;
	if (!s)
		return 0;
	if (s->request.body.len < BODY_ROOM) {
		size_t room = BODY_ROOM - s->request.body.len;
		memcpy(s->body + s->request.body.len, data, len < room ? len : room);
	}
	s->request.body.len += len;
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct stream *s;

	(void)ctx;
	if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
		world.pings++;
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
	    (s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id)))
		answer(s);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)code, (void)ctx;
	if (s)
		stream_free(s);
	return 0;
}

static nghttp2_session *new_session(struct connection *c)
{
	nghttp2_session_callbacks *cb;
	nghttp2_session *session;

	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	if (nghttp2_session_server_new(&session, cb, c))
		die("memory is short");
	nghttp2_session_callbacks_del(cb);
	return session;
}

/* --- connections --- */

static void hang_up(struct connection *c)
{
	for (int i = 0; i < CONNECTIONS; i++)
		if (world.conn[i] == c)
			world.conn[i] = NULL;
	for (struct stream *s = world.delayed, *next; s; s = next) {
		next = s->next;
		if (s->conn == c)
			stream_free(s);
	}
	nghttp2_session_del(c->session);
	SSL_free(c->ssl);
	close(c->fd);
	free(c);
}

static int slot_for_connection(void)
{
	for (int i = 0; i < CONNECTIONS; i++)
		if (!world.conn[i])
			return i;
	return -1;
}

static void greet(int listener)
{
	int one = 1, i = slot_for_connection();
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	struct connection *c = i < 0 ? NULL : calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->fd = fd;
	c->number = (int)++world.accepted;
	c->ssl = SSL_new(world.tls);
	SSL_set_fd(c->ssl, fd);
	SSL_set_accept_state(c->ssl);
	world.conn[i] = c;
}

static bool shake_hands(struct connection *c)
{
	const unsigned char *alpn;
	unsigned len;
	int r = SSL_do_handshake(c->ssl), e = SSL_get_error(c->ssl, r);

	c->wants_write = e == SSL_ERROR_WANT_WRITE;
	if (r != 1) {
		c->dead = e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE;
		ERR_clear_error();
		return false;
	}
	SSL_get0_alpn_selected(c->ssl, &alpn, &len);
	if (len != 2) {
		c->dead = true;
		return false;
	}
	X509 *x = SSL_get1_peer_certificate(c->ssl);
	c->peer.certified = x != NULL;
	if (x) {
		X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_userId, c->peer.uid,
		                          sizeof(c->peer.uid));
		X509_free(x);
	}
	c->session = new_session(c);
	settings(c, world.until_success ? 1 : world.max_streams);
	c->handshaken = true;
	return true;
}

static void write_out(struct connection *c)
{
	c->wants_write = false;
	while (!c->dead) {
		while (c->out_len < sizeof(c->out) / 2) {
			const uint8_t *data;
			ssize_t n = nghttp2_session_mem_send(c->session, &data);
			if (n < 0)
				c->dead = true;
			if (n <= 0)
				break;
			if ((size_t)n > sizeof(c->out) - c->out_len)
				die("a frame is longer than there is room");
			memcpy(c->out + c->out_len, data, (size_t)n);
			c->out_len += (size_t)n;
		}
		if (!c->out_len)
			break;
		int n = SSL_write(c->ssl, c->out + c->out_sent, (int)(c->out_len - c->out_sent));
		if (n <= 0) {
			int e = SSL_get_error(c->ssl, n);
			ERR_clear_error();
			c->wants_write = e == SSL_ERROR_WANT_WRITE;
			c->dead |= e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE;
			return;
		}
		c->out_sent += (size_t)n;
		if (c->out_sent == c->out_len)
			c->out_sent = c->out_len = 0;
	}
	if (!c->out_len && !nghttp2_session_want_read(c->session) &&
	    !nghttp2_session_want_write(c->session))
		c->dead = true;
}

static void serve(struct connection *c)
{
	uint8_t in[1 << 15];

	if (!c->handshaken && !shake_hands(c))
		return;
	for (int i = 0; i < 4 && !c->dead; i++) {
		int n = SSL_read(c->ssl, in, sizeof(in));
		if (n <= 0) {
			int e = SSL_get_error(c->ssl, n);
			ERR_clear_error();
			c->dead = e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE;
			break;
		}
		if (nghttp2_session_mem_recv(c->session, in, (size_t)n) != n)
			c->dead = true;
	}
	if (!c->dead)
		write_out(c);
}

/* --- control --- */

static json_t *control(json_t *command)
{
	json_int_t n;

	int r = script_command(&world.script, command);
	if (json_object_get(command, "forget"))
		world.most = world.strict.clock_offset = 0;
	if (!r)
		return json_object();
	if (r < 0)
		return json_pack("{s:s}", "error", "a device needs answers, a list");
	if (json_object_get(command, "stats")) {
		json_int_t open = 0;
		for (int i = 0; i < CONNECTIONS; i++)
			open += world.conn[i] != NULL;
		return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "connections",
		                 world.accepted, "open", open, "requests", world.requests,
		                 "delivered", world.delivered, "most", world.most, "pings",
		                 world.pings, "statuses", world.statuses);
	}
	if (!json_unpack(command, "{s:I}", "max_streams", &n)) {
		world.max_streams = (uint32_t)n;
		for (int i = 0; i < CONNECTIONS; i++)
			if (world.conn[i] && world.conn[i]->handshaken) {
				settings(world.conn[i], world.max_streams);
				write_out(world.conn[i]);
			}
		return json_object();
	}
	if (!json_unpack(command, "{s:I}", "clock_offset", &n)) {
		world.strict.clock_offset = n;
		return json_object();
	}
	return json_pack("{s:s}", "error", "no such command");
}

static void listen_to(int fd)
{
	static char line[1 << 16];
	FILE *f = fdopen(fd, "r");

	if (!f)
		return;
	/* Tests send a whole line and wait for the answer, one connection a command. */
	if (fgets(line, sizeof(line), f)) {
		json_t *command = json_loads(line, 0, NULL);
		json_t *reply =
		    command ? control(command) : json_pack("{s:s}", "error", "not JSON");
		char *text = json_dumps(reply, JSON_COMPACT);
		dprintf(fd, "%s\n", text ? text : "{}");
		free(text);
		json_decref(reply);
		json_decref(command);
	}
	fclose(f);
}

/* --- start --- */

static int alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
                unsigned inlen, void *ctx)
{
	(void)ssl, (void)ctx;
	return nghttp2_select_next_protocol((unsigned char **)out, outlen, in, inlen) == 1
	           ? SSL_TLSEXT_ERR_OK
	           : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int listener(int port, int *port_r)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	socklen_t len = sizeof(a);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 64) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		die(strerror(errno));
	*port_r = ntohs(a.sin_port);
	return fd;
}

static void add_key(char *spec)
{
	struct strict_key *k = &world.strict.keys[world.strict.nkeys];
	char *save, *id = strtok_r(spec, ":", &save), *team = strtok_r(NULL, ":", &save);
	char *file = strtok_r(NULL, "", &save);
	FILE *f = file ? fopen(file, "r") : NULL;

	if (!f || world.strict.nkeys == 4 || !(k->key = PEM_read_PUBKEY(f, NULL, NULL, NULL)))
		die("--token-key ID:TEAM:FILE, a public key in PEM form");
	fclose(f);
	k->id = id;
	k->team = team;
	world.strict.nkeys++;
}

static const struct option options[] = {
    {"port", 1, NULL, 'p'},
    {"ready", 1, NULL, 'r'},
    {"certificate", 1, NULL, 'c'},
    {"key", 1, NULL, 'k'},
    {"cafile", 1, NULL, 'a'},
    {"topic", 1, NULL, 't'},
    {"token-key", 1, NULL, 'j'},
    {"record", 1, NULL, 'o'},
    {"max-streams", 1, NULL, 'm'},
    {"until-success", 0, NULL, 'u'},
    {"token-age", 1, NULL, 'g'},
    {"require", 0, NULL, 'q'},
    {NULL, 0, NULL, 0},
};

static void loop(int service, int command)
{
	for (;;) {
		struct pollfd p[CONNECTIONS + 2] = {{service, POLLIN, 0}, {command, POLLIN, 0}};
		int64_t now = now_ms(), wait = 1000;

		for (struct stream *s = world.delayed, **at = &world.delayed; s; s = *at) {
			if (s->due > now) {
				if (s->due - now < wait)
					wait = s->due - now;
				at = &s->next;
				continue;
			}
			*at = s->next;
			respond(s);
			write_out(s->conn);
		}
		for (int i = 0; i < CONNECTIONS; i++) {
			struct connection *c = world.conn[i];
			if (c && c->dead)
				hang_up(c);
			c = world.conn[i];
			p[i + 2] = (struct pollfd){
			    c ? c->fd : -1, (short)(POLLIN | (c && c->wants_write ? POLLOUT : 0)),
			    0};
		}
		if (poll(p, CONNECTIONS + 2, (int)wait) < 0)
			continue;
		if (p[1].revents) {
			int fd = accept4(command, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0)
				listen_to(fd);
		}
		for (int i = 0; i < CONNECTIONS; i++)
			if (p[i + 2].revents && world.conn[i])
				serve(world.conn[i]);
		if (p[0].revents)
			greet(service);
	}
}

int main(int argc, char **argv)
{
	const char *ready = NULL, *certificate = NULL, *key = NULL, *cafile = NULL;
	int port = 0, control_port, service, command, opt, verify = SSL_VERIFY_PEER;
	size_t topics = 0;

	world.max_streams = 1000;
	world.strict.token_max_age = 3600;
	world.statuses = json_object();
	script_forget(&world.script);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			port = atoi(optarg);
			break;
		case 'r':
			ready = optarg;
			break;
		case 'c':
			certificate = optarg;
			break;
		case 'k':
			key = optarg;
			break;
		case 'a':
			cafile = optarg;
			break;
		case 't':
			if (topics < 15)
				world.strict.topics[topics++] = optarg;
			break;
		case 'j':
			add_key(optarg);
			break;
		case 'o':
			if (!(world.record = fopen(optarg, "a")))
				die(strerror(errno));
			break;
		case 'm':
			world.max_streams = (uint32_t)atoi(optarg);
			break;
		case 'u':
			world.until_success = true;
			break;
		case 'g':
			world.strict.token_max_age = atoi(optarg);
			break;
		case 'q':
			verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
			break;
		default:
			return 64;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	world.tls = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_min_proto_version(world.tls, TLS1_2_VERSION);
	SSL_CTX_set_mode(world.tls,
	                 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_alpn_select_cb(world.tls, alpn, NULL);
	if (!certificate || !key ||
	    SSL_CTX_use_certificate_chain_file(world.tls, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(world.tls, key, SSL_FILETYPE_PEM) != 1)
		die("--certificate FILE and --key FILE");
	if (cafile) {
		SSL_CTX_set_client_CA_list(world.tls, SSL_load_client_CA_file(cafile));
		if (SSL_CTX_load_verify_file(world.tls, cafile) != 1)
			die(cafile);
		SSL_CTX_set_verify(world.tls, verify, NULL);
	}
	service = listener(port, &port);
	command = listener(0, &control_port);
	if (ready) {
		char made[4096];
		snprintf(made, sizeof(made), "%s.new", ready);
		FILE *f = fopen(made, "w");
		if (!f)
			die(ready);
		fprintf(f, "{\"port\":%d,\"control\":%d}\n", port, control_port);
		if (fclose(f) || rename(made, ready))
			die(ready);
	}
	loop(service, command);
}
