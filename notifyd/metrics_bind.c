/* SPDX-License-Identifier: BSD-3-Clause */
#include <config.h>

#include "metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define WAITING 32 /* connections that are not accepted yet */

struct place {
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at;
	socklen_t len;
};

__attribute__((format(printf, 2, 3))) static int fail(char **why_r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(why_r, fmt, ap) < 0)
		*why_r = NULL;
	va_end(ap);
	return -1;
}

static bool is_loopback(const struct place *p)
{
	if (p->at.any.sa_family == AF_INET)
		return ntohl(p->at.in.sin_addr.s_addr) >> 24 == 127;
	return p->at.any.sa_family == AF_UNIX || IN6_IS_ADDR_LOOPBACK(&p->at.in6.sin6_addr);
}

/* A, B or [B], and a port. False: it is neither. */
static bool parse_address(const char *value, struct place *p)
{
	char host[INET6_ADDRSTRLEN];
	const char *colon = strrchr(value, ':');
	bool bracket = value[0] == '[';
	if (!colon || (bracket && (colon < value + 2 || colon[-1] != ']')))
		return false;
	size_t len = (size_t)(colon - value) - (bracket ? 2 : 0);
	size_t digits = strspn(colon + 1, "0123456789");
	long port = digits && digits <= 5 && !colon[1 + digits] ? atol(colon + 1) : 0;
	if (len >= sizeof host || port < 1 || port > 65535)
		return false;
	memcpy(host, value + bracket, len);
	host[len] = '\0';
	memset(p, 0, sizeof *p);
	if (bracket) {
		p->at.in6.sin6_family = AF_INET6;
		p->at.in6.sin6_port = htons((uint16_t)port);
		p->len = sizeof p->at.in6;
		return inet_pton(AF_INET6, host, &p->at.in6.sin6_addr) == 1;
	}
	p->at.in.sin_family = AF_INET;
	p->at.in.sin_port = htons((uint16_t)port);
	p->len = sizeof p->at.in;
	return inet_pton(AF_INET, host, &p->at.in.sin_addr) == 1;
}

static int parse(const struct conf_scope *notifyd, struct place *p, char **why_r)
{
	const char *value = conf_str(notifyd, "notifyd_metrics");
	if (value[0] == '/') {
		if (strlen(value) >= sizeof p->at.un.sun_path)
			return fail(why_r, "the path of a socket has at most %zu bytes",
			            sizeof p->at.un.sun_path - 1);
		*p = (struct place){.at.un = {.sun_family = AF_UNIX}, .len = sizeof p->at.un};
		memcpy(p->at.un.sun_path, value, strlen(value) + 1);
		return 0;
	}
	if (!parse_address(value, p))
		return fail(why_r,
		            "'%.100s' must be an address in numbers and a port, such as "
		            "127.0.0.1:9797 or [::1]:9797, or the absolute path of a socket",
		            value);
	if (!is_loopback(p) && !conf_num(notifyd, "notifyd_metrics_remote"))
		return fail(why_r,
		            "'%.100s' can be reached by other machines: name an address of the "
		            "loopback (127.0.0.1, [::1]) or a socket's path, or set "
		            "notifyd_metrics_remote: yes",
		            value);
	return 0;
}

int metrics_check(const struct conf_scope *notifyd, char **why_r)
{
	struct place p;
	if (!conf_isset(notifyd, "notifyd_metrics"))
		return 0;
#ifndef HAVE_MICROHTTPD
	return fail(why_r, "this notifyd was built without libmicrohttpd: take the line out");
#endif
	return parse(notifyd, &p, why_r);
}

/* Makes way for a socket at that path. 0, or -1 with *why_r. */
static int clear(const struct place *p, char **why_r)
{
	const char *path = p->at.un.sun_path;
	struct stat st;
	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return fail(why_r, "%s is not a socket: remove it", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = fd < 0 ? -1 : connect(fd, &p->at.any, p->len);
	int err = r < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	if (err != ECONNREFUSED && err != ENOENT)
		return fail(why_r, "%s: another program serves this socket", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return fail(why_r, "%s: cannot replace it: %s", path, strerror(errno));
	return 0;
}

int metrics_bind(const struct conf_scope *notifyd, char **why_r)
{
	struct place p;
	int on = 1;
	const char *value = conf_str(notifyd, "notifyd_metrics");
	if (parse(notifyd, &p, why_r) < 0)
		return -1;
	bool local = p.at.any.sa_family == AF_UNIX;
	if (local && clear(&p, why_r) < 0)
		return -1;
	int fd = socket(p.at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(why_r, "%s: socket: %s", value, strerror(errno));
	if (!local)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	/* Nobody can connect before listen(), so the mode is never wider than it shall be. */
	mode_t mode = (mode_t)conf_num(notifyd, "notifyd_metrics_mode");
	if (bind(fd, &p.at.any, p.len) < 0 || (local && chmod(value, mode) < 0) ||
	    listen(fd, WAITING) < 0) {
		int err = errno;
		close(fd);
		return fail(why_r, "%s: %s%s", value, strerror(err),
		            err == EADDRINUSE        ? "; choose another port"
		            : local && err == ENOENT ? "; make its directory"
		                                     : "");
	}
	return fd;
}
