/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

#include "../../../lib/event.h"
#include "../../log.h"
#include "feed.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define WRITES_A_TURN 4
#define LINGER        2000 /* ms for a client to go after its last line */

static void on_poll(uv_poll_t *poll, int status, int events);

static size_t pending(const struct client *c)
{
	return c->out.len - c->written;
}

static void watch(struct client *c)
{
	int events = (c->deaf ? 0 : UV_READABLE) | (pending(c) ? UV_WRITABLE : 0);

	/* a client that only shut down its sending side is looked after each second */
	if (events)
		uv_poll_start(&c->poll, events, on_poll);
	else
		uv_poll_stop(&c->poll);
}

int client_new(struct server *s, int fd)
{
	struct client *c = calloc(1, sizeof *c);
	if (!c || uv_poll_init(&s->loop, &c->poll, fd) < 0) {
		free(c);
		close(fd);
		return -1;
	}
	/* with the usual half of it a quick reader runs dry before we are woken */
	int room = 256 << 10;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	c->server = s;
	c->fd = fd;
	c->poll.data = c;
	c->progress = uv_now(&s->loop);
	TAILQ_INSERT_TAIL(&s->clients, c, all);
	s->nclients++;
	s->changed = true;
	watch(c);
	return 0;
}

static void add_error(struct buf *out, const char *why, size_t len)
{
	buf_adds(out, "{\"error\":");
	event_json_string(out, (struct str){why, len});
	buf_adds(out, "}\n");
}

void client_turn_away(int fd, const char *why)
{
	struct buf out = BUF_INIT;
	char sink[4096];

	add_error(&out, why, strlen(why));
	if (!out.failed)
		send(fd, out.s, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	buf_free(&out);
	shutdown(fd, SHUT_WR);
	/* what stays unread would make the close a reset */
	while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
		;
	close(fd);
}

void client_queue(struct client *c, struct client_list *list)
{
	if (c->list == list)
		return;
	if (c->list)
		TAILQ_REMOVE(c->list, c, queue);
	c->list = list;
	if (list)
		TAILQ_INSERT_TAIL(list, c, queue);
}

static void drop_feed(struct client *c)
{
	client_queue(c, NULL);
	if (!c->feed)
		return;
	struct subscription *sub = feed_subscription(c->feed);
	if (sub && !pending(c) && !c->out.failed)
		subscription_settle(c->server, sub, feed_pos(c->feed));
	feed_close(c->server, &c->feed);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void client_close(struct client *c)
{
	if (c->fd < 0)
		return;
	drop_feed(c);
	buf_free(&c->in);
	buf_free(&c->out);
	uv_close((uv_handle_t *)&c->poll, on_closed);
	close(c->fd);
	c->fd = -1;
	TAILQ_REMOVE(&c->server->clients, c, all);
	c->server->nclients--;
	c->server->changed = true;
}

static bool closed(const struct client *c)
{
	return c->fd < 0;
}

/* --- writing --- */

/* All of it is written: what comes next. */
static void wrote_all(struct client *c)
{
	buf_free(&c->out);
	c->written = 0;
	watch(c);
	if (c->last_words) {
		shutdown(c->fd, SHUT_WR);
		c->progress = uv_now(&c->server->loop);
	} else if (c->server->stopping) {
		client_finish(c);
	} else if (c->feed) {
		server_ready(c->server, c);
	}
}

static void flush(struct client *c)
{
	while (pending(c)) {
		ssize_t n = send(c->fd, c->out.s + c->written, pending(c), MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			watch(c);
			return;
		}
		if (n < 0) {
			client_close(c);
			return;
		}
		c->written += (size_t)n;
		c->progress = uv_now(&c->server->loop);
	}
	wrote_all(c);
}

/* Says one line as the last thing. The subscription is free for another client at once. */
static void finish_with(struct client *c)
{
	c->last_words = true;
	buf_free(&c->in);
	drop_feed(c);
	if (c->out.failed)
		client_close(c);
	else
		flush(c);
}

static void refuse(struct client *c, const struct buf *why)
{
	add_error(&c->out, why->s, why->len);
	finish_with(c);
}

/* What a send left over is sent when there is room; no turn comes before that. */
static void keep(struct client *c, const struct lines *out, size_t done)
{
	for (size_t i = 0; i < out->n; i++) {
		const struct iovec *v = &out->piece[i];
		size_t skip = done < v->iov_len ? done : v->iov_len;

		done -= skip;
		buf_add(&c->out, (const char *)v->iov_base + skip, v->iov_len - skip);
	}
	if (c->out.failed)
		client_close(c);
	else
		watch(c);
}

/* Reads once and writes it. True when another turn may follow at once. */
static bool read_and_write(struct client *c)
{
	struct server *s = c->server;
	struct lines *out = &s->lines;
	ssize_t n = 0;

	out->n = out->len = 0;
	out->failed = false;
	buf_reset(&out->said);
	enum feed_result result = feed_fill(s, c->feed, out);
	uint64_t pos = feed_pos(c->feed);
	if (pos > s->head)
		server_news(s, pos);
	if (out->failed) {
		log_incident(LOG_LEVEL_ERROR, s->sink->name, pos,
		             "memory is short; a client is cut off");
		c->out.failed = true; /* what it was not told is not settled */
		client_close(c);
		return false;
	}
	if (result == FEED_FAILED && !c->failed)
		log_incident(LOG_LEVEL_ERROR, s->sink->name, pos,
		             "can't read the journal: %s; trying each second",
		             blocks_why(s->blocks));
	c->failed = result == FEED_FAILED;
	c->full = result == FEED_FULL;
	if (out->len) {
		struct msghdr msg = {.msg_iov = out->piece, .msg_iovlen = out->n};
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			/* gone; its last acks may still be there: on_poll() ends it */
			c->out.failed = true;
			return false;
		}
		c->progress = uv_now(&s->loop);
	}
	size_t done = n < 0 ? 0 : (size_t)n;
	if (done < out->len) {
		keep(c, out, done);
		return false;
	}
	if (result == FEED_END)
		server_wait(s, c);
	return result == FEED_MORE;
}

void client_turn(struct client *c)
{
	struct server *s = c->server;
	bool more = true;

	client_queue(c, NULL);
	for (int i = 0; more && i < WRITES_A_TURN; i++)
		more = read_and_write(c);
	if (more)
		server_ready(s, c);
}

/* --- reading --- */

static void drain(struct client *c);

static bool gone(const struct client *c)
{
	struct pollfd p = {.fd = c->fd};
	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

static struct client *holder(const struct server *s, const char *name)
{
	for (struct client *c = TAILQ_FIRST(&s->clients); c; c = TAILQ_NEXT(c, all)) {
		struct subscription *sub = c->feed ? feed_subscription(c->feed) : NULL;
		if (sub && strcmp(subscription_name(sub), name) == 0)
			return c;
	}
	return NULL;
}

/* A client that came back may be heard before the end of its old connection was. */
static void make_way(const struct server *s, const char *name)
{
	struct client *old = holder(s, name); /* never the one that asks: it has no feed yet */
	if (old && gone(old)) {
		drain(old);
		client_close(old);
	}
}

static void unsubscribe(struct client *c, const char *name, struct buf *error)
{
	drop_feed(c);
	if (subscription_remove(c->server, name, error) < 0) {
		refuse(c, error);
		return;
	}
	buf_adds(&c->out, "{\"unsubscribed\":\"");
	buf_adds(&c->out, name);
	buf_adds(&c->out, "\"}\n");
	finish_with(c);
}

static void first_request(struct client *c, struct request *req, struct buf *error)
{
	struct server *s = c->server;

	switch (req->kind) {
	case REQUEST_LIVE:
		c->feed = feed_live(s, error);
		break;
	case REQUEST_SUBSCRIBE:
		make_way(s, req->name);
		c->feed = feed_subscribe(s, req, error);
		break;
	case REQUEST_UNSUBSCRIBE:
		make_way(s, req->name);
		unsubscribe(c, req->name, error);
		return;
	case REQUEST_ACK:
		buf_adds(error, "ack: nothing was sent yet; subscribe first");
		break;
	}
	if (c->feed)
		server_ready(s, c);
	else
		refuse(c, error);
}

static void later_request(struct client *c, struct request *req, struct buf *error)
{
	struct server *s = c->server;
	struct subscription *sub = feed_subscription(c->feed);

	if (!sub) {
		buf_adds(error, "request: this connection is for live events; use another one");
	} else if (req->kind == REQUEST_ACK) {
		if (subscription_ack(s, sub, req, feed_pos(c->feed), error) == 0)
			return;
	} else if (req->kind == REQUEST_SUBSCRIBE) {
		buf_addf(error, "subscribe: this connection has subscription %s; use another one",
		         subscription_name(sub));
	} else if (strcmp(req->name, subscription_name(sub)) == 0) {
		unsubscribe(c, req->name, error);
		return;
	} else {
		buf_addf(error, "unsubscribe: this connection has subscription %s, not %s",
		         subscription_name(sub), req->name);
	}
	refuse(c, error);
}

static void line(struct client *c, const char *s, size_t len)
{
	struct request req;
	struct buf error = BUF_INIT;

	int rc = request_parse(s, len, &req, &error);
	if (rc < 0)
		refuse(c, &error);
	else if (!c->heard)
		first_request(c, &req, &error);
	else if (req.kind != REQUEST_LIVE) /* an empty line later says nothing */
		later_request(c, &req, &error);
	c->heard = true;
	request_free(&req);
	buf_free(&error);
}

/* Takes what came; what follows the last words is thrown away. */
static void input(struct client *c, const char *s, size_t len)
{
	const char *end = s + len, *lf;

	for (; !c->last_words && !closed(c) && (lf = memchr(s, '\n', (size_t)(end - s))) != NULL;
	     s = lf + 1) {
		if (c->in.len) {
			buf_add(&c->in, s, (size_t)(lf - s));
			struct buf whole = c->in;
			c->in = (struct buf)BUF_INIT;
			if (whole.failed)
				client_close(c);
			else
				line(c, whole.s, whole.len);
			buf_free(&whole);
		} else {
			line(c, s, (size_t)(lf - s));
		}
	}
	if (c->last_words || closed(c))
		return;
	buf_add(&c->in, s, (size_t)(end - s));
	if (c->in.failed) {
		client_close(c);
	} else if (c->in.len > REQUEST_LINE + 1) {
		struct buf why = BUF_INIT;
		buf_addf(&why, "request: a line is longer than %d bytes", REQUEST_LINE);
		refuse(c, &why);
		buf_free(&why);
	}
	if (closed(c) || !c->feed)
		return;
	struct subscription *sub = feed_subscription(c->feed);
	if (!sub)
		return;
	subscription_store(c->server, sub); /* once for all the acks that came together */
	if (c->full && !subscription_full(c->server, sub) && !pending(c)) {
		c->full = false;
		server_ready(c->server, c);
	}
}

/* Reads once. 1: something came; 0: no more now; -1: no more ever, by its own end or an error. */
static int take(struct client *c, char *room, size_t size)
{
	ssize_t n = recv(c->fd, room, size, MSG_DONTWAIT);
	if (n > 0) {
		input(c, room, (size_t)n);
		return 1;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* Takes all that is still there from a client that has left. Room of its own: another client's
 * line may be the reason. */
static void drain(struct client *c)
{
	char room[16384];

	/* more than a socket holds, but not for ever from one that goes on sending */
	for (int i = 0; i < 64 && !closed(c) && !c->last_words; i++)
		if (take(c, room, sizeof room) <= 0)
			return;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct client *c = poll->data;

	if (status < 0) { /* POLLERR: it went without reading everything */
		drain(c);
		client_close(c);
		return;
	}
	struct server *s = c->server;
	if (events & UV_READABLE && take(c, s->input, sizeof s->input) < 0) {
		c->deaf = true;
		if (gone(c) || c->last_words || !c->heard) {
			client_close(c);
			return;
		}
		watch(c); /* it sends no more, and may go on reading */
	}
	if (events & UV_WRITABLE && !closed(c))
		flush(c);
}

/* --- time --- */

/* Whether it took bytes out of the kernel's queue, which holds more than send() tells of. */
static bool takes(struct client *c)
{
	int unread = 0;
	ioctl(c->fd, SIOCOUTQ, &unread);
	bool less = unread < c->unread;
	c->unread = unread;
	return less;
}

void client_second(struct client *c)
{
	struct server *s = c->server;
	uint64_t now = uv_now(&s->loop), since = now - c->progress;
	struct subscription *sub = c->feed ? feed_subscription(c->feed) : NULL;

	if (sub && subscription_moves(s, sub)) {
		drain(c);
		client_close(c);
		return;
	}
	if (pending(c)) {
		if (takes(c)) {
			c->progress = now;
		} else if (since >= s->stall) {
			log_incident(LOG_LEVEL_WARNING, s->sink->name,
			             c->feed ? feed_pos(c->feed) : LOG_NOPOS,
			             "client %s has not read for %llu s and is cut off",
			             sub ? subscription_name(sub) : "(live)",
			             (unsigned long long)since / 1000);
			client_close(c);
			return;
		}
	} else if (c->last_words) {
		if (since >= LINGER) {
			client_close(c);
			return;
		}
	} else if (!c->heard && since >= s->stall) {
		struct buf why = BUF_INIT;
		buf_adds(&why, "request: none came; begin with one line, empty for live events");
		refuse(c, &why);
		buf_free(&why);
		return;
	}
	if (c->deaf && gone(c)) {
		client_close(c);
		return;
	}
	if (!c->feed)
		return;
	if (sub && !pending(c))
		subscription_settle(s, sub, feed_pos(c->feed));
	if (c->failed)
		server_ready(s, c);
}

void client_touch(struct client *c)
{
	if (c->feed && feed_subscription(c->feed))
		subscription_touch(feed_subscription(c->feed));
}

void client_finish(struct client *c)
{
	client_queue(c, NULL);
	if (pending(c))
		return;
	if (c->heard)
		drain(c); /* the last acks */
	client_close(c);
}
