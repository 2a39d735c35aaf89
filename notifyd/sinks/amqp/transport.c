/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t transport_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 3))) static int broken(struct transport *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(t->why, sizeof t->why, fmt, ap);
	va_end(ap);
	return -1;
}

/* strerror() begins upper case, which reads badly after "host: ". */
static int broken_errno(struct transport *t, int error)
{
	broken(t, "%s", strerror(error));
	if (t->why[0] >= 'A' && t->why[0] <= 'Z')
		t->why[0] = (char)(t->why[0] + ('a' - 'A'));
	return -1;
}

/* 1 ready, 0 timed out, -1 with errno. */
static int wait_for(int fd, short events, int64_t ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int64_t deadline = transport_now() + ms;
	for (;;) {
		int n = poll(&p, 1, ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms);
		if (n >= 0 || errno != EINTR)
			return n;
		ms = deadline - transport_now();
	}
}

static int connect_address(struct transport *t, const struct addrinfo *ai, int64_t deadline)
{
	int on = 1, error = 0;
	socklen_t len = sizeof error;

	t->fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->fd < 0)
		return broken_errno(t, errno);
	setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(t->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	if (connect(t->fd, ai->ai_addr, ai->ai_addrlen)) {
		if (errno != EINPROGRESS) {
			error = errno;
		} else {
			int n = wait_for(t->fd, POLLOUT, deadline - transport_now());
			if (n == 0)
				error = ETIMEDOUT;
			else if (n < 0 || getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len))
				error = errno;
		}
	}
	if (!error)
		return 0;
	close(t->fd);
	t->fd = -1;
	return broken_errno(t, error);
}

static int connect_name(struct transport *t, const char *host, uint16_t port, int64_t deadline)
{
	struct addrinfo hint = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list;
	char service[8];

	snprintf(service, sizeof service, "%u", port);
	/* AI_ADDRCONFIG ignores loopback: without it a machine that has no other network finds
	 * no "localhost". */
	int error = getaddrinfo(host, service, &hint, &list);
	if (error) {
		hint.ai_flags = 0;
		error = getaddrinfo(host, service, &hint, &list);
	}
	if (error)
		return broken(t, "%s", error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
	int left = 0, result = -1;
	for (struct addrinfo *ai = list; ai; ai = ai->ai_next)
		left++;
	/* A silent address leaves time for the ones after it. */
	for (struct addrinfo *ai = list; ai && result; ai = ai->ai_next, left--) {
		int64_t now = transport_now();
		result = connect_address(t, ai, now + (deadline - now) / left);
	}
	freeaddrinfo(list);
	return result;
}

static int broken_tls(struct transport *t, const char *doing)
{
	long verify = SSL_get_verify_result(t->ssl);
	unsigned long code = ERR_peek_last_error();
	if (verify != X509_V_OK)
		broken(t, "the broker's certificate is refused: %s",
		       X509_verify_cert_error_string(verify));
	else if (code)
		broken(t, "TLS failed while %s: %s", doing, ERR_reason_error_string(code));
	else
		broken(t, "the broker closed the connection while %s", doing);
	ERR_clear_error();
	return -1;
}

static int handshake(struct transport *t, const char *host, SSL_CTX *tls, int64_t deadline)
{
	unsigned char address[sizeof(struct in6_addr)];
	bool is_address =
	    inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;

	ERR_clear_error();
	t->ssl = SSL_new(tls);
	if (!t->ssl || SSL_set_fd(t->ssl, t->fd) != 1)
		return broken(t, "out of memory");
	SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	int ok = is_address
	             ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), host)
	             : SSL_set1_host(t->ssl, host) && SSL_set_tlsext_host_name(t->ssl, host) == 1;
	if (!ok)
		return broken(t, "out of memory");
	for (;;) {
		ERR_clear_error();
		int n = SSL_connect(t->ssl);
		if (n == 1)
			return 0;
		int error = SSL_get_error(t->ssl, n);
		if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
			return broken_tls(t, "greeting it");
		short events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		if (wait_for(t->fd, events, deadline - transport_now()) <= 0)
			return broken(t, "no answer to the TLS greeting in time");
	}
}

int transport_open(struct transport *t, const char *host, uint16_t port, SSL_CTX *tls,
                   int64_t deadline)
{
	*t = (struct transport){.fd = -1};
	if (connect_name(t, host, port, deadline))
		return -1;
	if (!tls || !handshake(t, host, tls, deadline))
		return 0;
	transport_close(t);
	return -1;
}

/* What SSL_read() or SSL_write() meant: 0 wait, -1 broken. */
static ssize_t tls_error(struct transport *t, int n, bool reading)
{
	switch (SSL_get_error(t->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		t->write_wants_read = !reading;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		t->read_wants_write = reading;
		return 0;
	default:
		return broken_tls(t, reading ? "reading" : "writing");
	}
}

ssize_t transport_read(struct transport *t, void *to, size_t len)
{
	if (t->ssl) {
		t->read_wants_write = false;
		ERR_clear_error();
		int n = SSL_read(t->ssl, to, len > INT_MAX ? INT_MAX : (int)len);
		return n > 0 ? n : tls_error(t, n, true);
	}
	ssize_t n;
	do
		n = recv(t->fd, to, len, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (!n)
		return broken(t, "the broker closed the connection");
	return errno == EAGAIN ? 0 : broken_errno(t, errno);
}

ssize_t transport_write(struct transport *t, const void *from, size_t len)
{
	ssize_t n;
	if (t->ssl) {
		t->write_wants_read = false;
		ERR_clear_error();
		n = SSL_write(t->ssl, from, len > INT_MAX ? INT_MAX : (int)len);
		if (n <= 0)
			n = tls_error(t, (int)n, false);
	} else {
		do
			n = send(t->fd, from, len, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			n = errno == EAGAIN ? 0 : broken_errno(t, errno);
	}
	t->full = !n;
	return n;
}

void transport_wait(struct transport *t, bool writing, int64_t ms)
{
	short events = POLLIN;
	if ((writing && !t->write_wants_read) || t->read_wants_write)
		events |= POLLOUT;
	wait_for(t->fd, events, ms);
}

void transport_close(struct transport *t)
{
	SSL_free(t->ssl);
	t->ssl = NULL;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}
