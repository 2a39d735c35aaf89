/* SPDX-License-Identifier: BSD-3-Clause */
#include "callers.h"

#include "dlist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_PAUSE_MS 1000 /* after an error such as EMFILE */

struct caller {
	int fd;
	struct dlist *dlist;
	int64_t since; /* of its connection or its last answer */
};

struct callers {
	int listen_fd;
	int64_t accept_at; /* not before */
	size_t count;
	struct caller caller[CALLERS_MAX];
	char piece[64 << 10];
};

struct callers *callers_new(int listen_fd)
{
	struct callers *c = calloc(1, sizeof *c);
	if (c)
		c->listen_fd = listen_fd;
	return c;
}

static void hang_up(struct callers *c, size_t i)
{
	close(c->caller[i].fd);
	dlist_free(&c->caller[i].dlist);
	c->caller[i] = c->caller[--c->count];
}

void callers_free(struct callers **c)
{
	if (!*c)
		return;
	while ((*c)->count)
		hang_up(*c, 0);
	free(*c);
	*c = NULL;
}

bool callers_busy(const struct callers *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (dlist_partial(c->caller[i].dlist))
			return true;
	return false;
}

/* The one that has kept its request open the longest. */
static size_t slowest(const struct callers *c)
{
	size_t slow = 0;
	for (size_t i = 1; i < c->count; i++)
		if (c->caller[i].since < c->caller[slow].since)
			slow = i;
	return slow;
}

size_t callers_poll(struct callers *c, struct pollfd *fds, bool accept, int64_t now_ms)
{
	size_t n = 0;
	for (; n < c->count; n++)
		fds[n] = (struct pollfd){c->caller[n].fd, POLLIN, 0};
	if (c->count == CALLERS_MAX && now_ms - c->caller[slowest(c)].since < CALLERS_ROOM_MS)
		accept = false; /* the backlog waits for a moment */
	if (accept && now_ms >= c->accept_at)
		fds[n++] = (struct pollfd){c->listen_fd, POLLIN, 0};
	return n;
}

static void let_in(struct callers *c, struct intake *in, int64_t now_ms)
{
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			c->accept_at = now_ms + ACCEPT_PAUSE_MS;
		return;
	}
	struct dlist *dlist = dlist_new();
	if (!dlist) {
		close(fd);
		return;
	}
	if (c->count == CALLERS_MAX) {
		intake_malformed(in, "a slow dlist client made room for another");
		hang_up(c, slowest(c));
	}
	c->caller[c->count++] = (struct caller){fd, dlist, now_ms};
}

/* False: it is to be hung up. An answer of a few bytes that doesn't fit has no reader. */
static bool answer(const struct caller *caller, const char *text)
{
	size_t len = strlen(text);
	return send(caller->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

static bool request(const struct caller *caller, struct intake *in)
{
	switch (intake_take(in, dlist_request(caller->dlist))) {
	case INTAKE_OK:
		return answer(caller, "OK %()\r\n");
	case INTAKE_LOST:
		return answer(caller, "NO %()\r\n");
	default:
		return answer(caller, "BAD %()\r\n");
	}
}

/* False: it is to be hung up. */
static bool feed(struct caller *caller, const char *s, size_t len, struct intake *in,
                 int64_t now_ms)
{
	while (len) {
		const char *why = NULL;
		size_t used = 0;
		switch (dlist_feed(caller->dlist, s, len, &used, &why)) {
		case DLIST_REQUEST:
			if (!request(caller, in))
				return false;
			caller->since = now_ms;
			break;
		case DLIST_GOAHEAD:
			if (!answer(caller, "+ go ahead\r\n"))
				return false;
			break;
		case DLIST_BAD:
			intake_malformed(in, why);
			answer(caller, "BAD %()\r\n");
			return false;
		}
		s += used;
		len -= used;
	}
	return true;
}

static size_t memory(const struct callers *c)
{
	size_t sum = 0;
	for (size_t i = 0; i < c->count; i++)
		sum += dlist_size(c->caller[i].dlist);
	return sum;
}

static bool listen_to(struct callers *c, struct caller *caller, struct intake *in, int64_t now_ms)
{
	ssize_t n = recv(caller->fd, c->piece, sizeof c->piece, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		if (dlist_partial(caller->dlist))
			intake_malformed(in, "a dlist client hung up in the middle of a request");
		return false;
	}
	if (!feed(caller, c->piece, (size_t)n, in, now_ms))
		return false;
	if (dlist_size(caller->dlist) > sizeof c->piece && memory(c) > CALLERS_BYTES) {
		intake_malformed(in, "dlist clients together sent too large literals");
		return false;
	}
	return true;
}

static void cut_late(struct callers *c, struct intake *in, int64_t now_ms)
{
	for (size_t i = c->count; i-- > 0;) {
		if (now_ms - c->caller[i].since < CALLERS_CUT_MS)
			continue;
		if (dlist_partial(c->caller[i].dlist))
			intake_malformed(in, "a dlist client did not end its request in 30 s");
		hang_up(c, i);
	}
}

void callers_serve(struct callers *c, const struct pollfd *fds, size_t n, struct intake *in,
                   int64_t now_ms)
{
	bool knock = false;
	/* from the last to the first: hang_up() moves the last one into the gap */
	for (size_t i = n; i-- > 0;) {
		if (!fds[i].revents)
			continue;
		if (fds[i].fd == c->listen_fd)
			knock = true;
		else if (!listen_to(c, &c->caller[i], in, now_ms))
			hang_up(c, i);
	}
	cut_late(c, in, now_ms);
	if (knock)
		let_in(c, in, now_ms);
}
