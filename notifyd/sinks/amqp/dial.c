/* SPDX-License-Identifier: BSD-3-Clause */
#include "dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

struct lookup {
	struct lookup *next;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
	int error, error_number;
	struct addrinfo *list;
	char port[8];
	char host[];
};

/* Those that took too long. They belong to the process, since a thread can't be told to end; there
 * is at most one a host. */
static struct lookup *late;

static void *look(void *arg)
{
	struct lookup *l = arg;
	struct addrinfo *list = NULL;
	int error = getaddrinfo(l->host, l->port, &hints, &list);

	pthread_mutex_lock(&l->lock);
	l->error = error;
	l->error_number = errno;
	l->list = list;
	l->done = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static int begin(struct lookup **l_r, const char *host, const char *port)
{
	struct lookup *l = calloc(1, sizeof *l + strlen(host) + 1);
	pthread_condattr_t clock;
	pthread_t thread;
	sigset_t all, before;

	if (!l)
		return -1;
	strcpy(l->host, host);
	snprintf(l->port, sizeof l->port, "%s", port);
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &clock);
	pthread_condattr_destroy(&clock);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&thread, NULL, look, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		free(l);
		return -1;
	}
	pthread_detach(thread);
	*l_r = l;
	return 0;
}

static bool done(struct lookup *l, int64_t deadline)
{
	struct timespec end = {deadline / 1000, deadline % 1000 * 1000000};
	int error = 0;

	pthread_mutex_lock(&l->lock);
	while (!l->done && error != ETIMEDOUT)
		error = pthread_cond_timedwait(&l->changed, &l->lock, &end);
	bool result = l->done;
	pthread_mutex_unlock(&l->lock);
	return result;
}

/* Takes a late one for this host out of the list. */
static struct lookup *resume(const char *host, const char *port)
{
	for (struct lookup **p = &late; *p; p = &(*p)->next)
		if (!strcmp((*p)->host, host) && !strcmp((*p)->port, port)) {
			struct lookup *l = *p;
			*p = l->next;
			return l;
		}
	return NULL;
}

static void end(struct lookup *l)
{
	if (l->list)
		freeaddrinfo(l->list);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

int dial_lookup(const char *host, uint16_t port, int64_t deadline, struct addrinfo **list_r,
                char *why, size_t size)
{
	struct addrinfo numeric = hints;
	char digits[8];

	*list_r = NULL;
	snprintf(digits, sizeof digits, "%u", port);
	numeric.ai_flags = AI_NUMERICHOST;
	if (!getaddrinfo(host, digits, &numeric, list_r))
		return 0;

	struct lookup *l = resume(host, digits);
	if (l && done(l, 0)) { /* its answer is of long ago */
		end(l);
		l = NULL;
	}
	if (!l && begin(&l, host, digits)) {
		snprintf(why, size, "out of memory");
		return -1;
	}
	if (!done(l, deadline)) {
		l->next = late;
		late = l;
		snprintf(why, size, "looking its name up takes too long: is a name server down?");
		return -1;
	}
	if (l->error)
		snprintf(why, size, "its name can't be looked up: %s",
		         l->error == EAI_SYSTEM ? strerror(l->error_number)
		                                : gai_strerror(l->error));
	*list_r = l->list;
	l->list = NULL;
	int result = l->error ? -1 : 0;
	end(l);
	return result;
}

static int64_t left(int64_t deadline)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	int64_t ms = deadline - ((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000);
	return ms > 0 ? ms : 0;
}

/* 0 or an errno. */
static int established(int fd, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = 0, n;
	socklen_t len = sizeof error;

	do
		n = poll(&p, 1, (int)left(deadline));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return ETIMEDOUT;
	if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	return error;
}

int dial_connect(const struct addrinfo *a, int64_t deadline)
{
	int on = 1, error = 0;
	int fd =
	    socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	if (connect(fd, a->ai_addr, a->ai_addrlen) < 0)
		error = errno == EINPROGRESS || errno == EINTR ? established(fd, deadline) : errno;
	if (!error)
		return fd;
	close(fd);
	errno = error;
	return -1;
}

int dial_numeric(const struct addrinfo *a, char text_r[DIAL_NUMERIC])
{
	return getnameinfo(a->ai_addr, a->ai_addrlen, text_r, DIAL_NUMERIC, NULL, 0, NI_NUMERICHOST)
	           ? -1
	           : 0;
}
