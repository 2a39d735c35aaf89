/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport.h"

#include "../tls_alert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum phase { RESOLVING, CONNECTING, SHAKING, READY, FAILED };

struct transport {
	SSL_CTX *tls;
	struct resolve *resolver;
	const struct endpoint *endpoint;
	int64_t timeout;
	enum phase phase;
	bool begun, refused, wants_write;
	int64_t deadline, next_address; /* milliseconds */
	const struct addrinfo *address;
	int fd;
	SSL *ssl;
	char why[256];
};

struct transport *transport_open(SSL_CTX *tls, struct resolve *resolver,
                                 const struct endpoint *endpoint, int64_t timeout)
{
	struct transport *t = calloc(1, sizeof(*t));

	if (t)
		*t = (struct transport){.tls = tls,
		                        .resolver = resolver,
		                        .endpoint = endpoint,
		                        .timeout = timeout,
		                        .deadline = INT64_MAX,
		                        .next_address = INT64_MAX,
		                        .fd = -1};
	return t;
}

static void hang_up(struct transport *t)
{
	SSL_free(t->ssl);
	t->ssl = NULL;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

void transport_close(struct transport **tp)
{
	struct transport *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	if (t->phase == READY)
		SSL_shutdown(t->ssl);
	ERR_clear_error();
	hang_up(t);
	free(t);
}

__attribute__((format(printf, 2, 3))) static int fail(struct transport *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
	ERR_clear_error();
	t->phase = FAILED;
	return -1;
}

/* After SSL_get_error() said that it is over. */
static int fail_tls(struct transport *t, int error, int saved_errno)
{
	unsigned long code = ERR_peek_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	long verified = SSL_get_verify_result(t->ssl);

	if (verified != X509_V_OK)
		return fail(t, "the certificate of %s is refused: %s: check cafile and url",
		            t->endpoint->host, X509_verify_cert_error_string(verified));
	t->refused = tls_alert_about_ours(code);
	if (t->refused)
		return fail(t, "%s does not take our certificate (%s): check or renew it",
		            t->endpoint->host, reason ? reason : "no reason told");
	if (code && ERR_GET_REASON(code) == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL)
		return fail(t, "%s does not speak HTTP/2: check url", t->endpoint->host);
	if (error == SSL_ERROR_SYSCALL && saved_errno)
		return fail(t, "connection lost: %s", strerror(saved_errno));
	if (error == SSL_ERROR_SYSCALL || error == SSL_ERROR_ZERO_RETURN ||
	    (code && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING))
		return fail(t, t->phase == READY ? "the server closed the connection"
		                                 : "the server closed the connection before TLS "
		                                   "was set up");
	return fail(t, "TLS failed: %s", reason ? reason : "for no reason told");
}

static void name_address(const struct addrinfo *a, char *to, size_t size)
{
	char host[INET6_ADDRSTRLEN], port[8];

	if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), port, sizeof(port),
	                NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(to, size, "?");
	else
		snprintf(to, size, a->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static bool connect_one(struct transport *t, int64_t now)
{
	const struct addrinfo *a = t->address;
	int one = 1;
	unsigned user_timeout = (unsigned)t->timeout;

	t->fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
	if (t->fd < 0)
		return false;
	setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(t->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout));
	setsockopt(t->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	/* A dead address must not use up the time of those behind it. */
	t->next_address = a->ai_next ? now + (t->deadline - now) / 2 : t->deadline;
	if (connect(t->fd, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS)
		return true;
	int saved = errno;
	hang_up(t);
	errno = saved;
	return false;
}

/* The present address failed with errno (0: only now begins), on to the next. */
static int connect_next(struct transport *t, int64_t now, int error)
{
	char text[INET6_ADDRSTRLEN + 16];

	for (;;) {
		if (error) {
			name_address(t->address, text, sizeof(text));
			snprintf(t->why, sizeof(t->why), "no connection to %.120s (%s): %s",
			         t->endpoint->host, text, strerror(error));
			hang_up(t);
			t->address = t->address->ai_next;
			if (!t->address) {
				t->phase = FAILED;
				return -1;
			}
		}
		if (connect_one(t, now))
			return 0;
		error = errno ? errno : EIO;
	}
}

static int start_tls(struct transport *t)
{
	unsigned char raw[sizeof(struct in6_addr)];
	const char *host = t->endpoint->host;
	bool number = inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1;

	t->ssl = SSL_new(t->tls);
	if (!t->ssl || SSL_set_fd(t->ssl, t->fd) != 1)
		return fail(t, "TLS can't be set up: memory is short");
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if ((number ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
	            : X509_VERIFY_PARAM_set1_host(param, host, 0) &&
	                  SSL_set_tlsext_host_name(t->ssl, host)) != 1)
		return fail(t, "TLS can't be set up: memory is short");
	SSL_set_connect_state(t->ssl);
	t->phase = SHAKING;
	return 0;
}

static int shake_hands(struct transport *t)
{
	const unsigned char *alpn;
	unsigned len;

	ERR_clear_error();
	errno = 0;
	int r = SSL_do_handshake(t->ssl), saved = errno, e = SSL_get_error(t->ssl, r);
	t->wants_write = e == SSL_ERROR_WANT_WRITE;
	if (r != 1)
		return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE
		           ? 0
		           : fail_tls(t, e, saved);
	SSL_get0_alpn_selected(t->ssl, &alpn, &len);
	if (len != 2 || memcmp(alpn, "h2", 2) != 0)
		return fail(t, "%s does not speak HTTP/2: check url", t->endpoint->host);
	t->phase = READY;
	t->deadline = INT64_MAX;
	return 1;
}

static int resolve(struct transport *t, int64_t now)
{
	const char *why = NULL;

	if (!t->begun) {
		t->begun = true;
		t->deadline = now + t->timeout;
		if (resolve_start(t->resolver, t->endpoint->host, t->endpoint->port, &why))
			return fail(t, "%s can't be looked up: %s", t->endpoint->host, why);
	}
	switch (resolve_look(t->resolver, &t->address, &why)) {
	case 0:
		return 0;
	case 1:
		t->phase = CONNECTING;
		return connect_next(t, now, 0);
	default:
		return fail(t, "%s can't be looked up: %s", t->endpoint->host, why);
	}
}

static int connected(struct transport *t, int64_t now)
{
	struct pollfd p = {t->fd, POLLOUT, 0};
	socklen_t len = sizeof(int);
	int error = 0;

	if (poll(&p, 1, 0) <= 0)
		return now < t->next_address ? 0 : connect_next(t, now, ETIMEDOUT);
	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	return error ? connect_next(t, now, error) : start_tls(t);
}

int transport_advance(struct transport *t, int64_t now)
{
	static const char *const doing[] = {"its name could not be looked up", "it did not connect",
	                                    "TLS was not set up"};
	enum phase before;
	int r;

	do {
		before = t->phase;
		switch (t->phase) {
		case RESOLVING:
			r = resolve(t, now);
			break;
		case CONNECTING:
			r = connected(t, now);
			break;
		case SHAKING:
			r = shake_hands(t);
			break;
		case READY:
			return 1;
		default:
			return -1;
		}
	} while (!r && t->phase != before);
	if (!r && now >= t->deadline)
		r = fail(t, "no connection to %s: %s in %lld s", t->endpoint->host, doing[t->phase],
		         (long long)(t->timeout + 999) / 1000);
	return r;
}

ssize_t transport_read(struct transport *t, void *to, size_t len)
{
	if (t->phase != READY)
		return t->phase == FAILED ? -1 : 0;
	ERR_clear_error();
	errno = 0;
	int n = SSL_read(t->ssl, to, len < INT32_MAX ? (int)len : INT32_MAX), saved = errno;
	if (n > 0)
		return n;
	int e = SSL_get_error(t->ssl, n);
	t->wants_write |= e == SSL_ERROR_WANT_WRITE;
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : fail_tls(t, e, saved);
}

/* A server that refuses our certificate by TLS 1.3 may have hung up before we write for the first
 * time: its alert is still there to be read, and tells more than that the connection is gone. */
static int fail_write(struct transport *t, int error, int saved_errno)
{
	char c;

	if (error == SSL_ERROR_SYSCALL) {
		ERR_clear_error();
		int e = SSL_get_error(t->ssl, SSL_read(t->ssl, &c, 1));
		if (e == SSL_ERROR_SSL)
			error = e;
		else
			ERR_clear_error();
	}
	return fail_tls(t, error, saved_errno);
}

ssize_t transport_write(struct transport *t, const void *from, size_t len)
{
	if (t->phase != READY)
		return t->phase == FAILED ? -1 : 0;
	ERR_clear_error();
	errno = 0;
	int n = SSL_write(t->ssl, from, len < INT32_MAX ? (int)len : INT32_MAX), saved = errno;
	int e = n > 0 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, n);
	t->wants_write = e == SSL_ERROR_WANT_WRITE;
	if (n > 0)
		return n;
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : fail_write(t, e, saved);
}

int transport_poll(const struct transport *t, short *events_r)
{
	*events_r = POLLIN;
	if (t->phase == RESOLVING)
		return t->begun ? resolve_fd(t->resolver) : -1;
	if (t->phase == CONNECTING)
		*events_r = POLLOUT;
	else if (t->wants_write)
		*events_r |= POLLOUT;
	return t->fd;
}

int64_t transport_due(const struct transport *t)
{
	return t->phase == READY || t->phase == FAILED                   ? INT64_MAX
	       : t->phase == CONNECTING && t->next_address < t->deadline ? t->next_address
	                                                                 : t->deadline;
}

const char *transport_why(const struct transport *t)
{
	return t->why;
}

bool transport_refused(const struct transport *t)
{
	return t->refused;
}
