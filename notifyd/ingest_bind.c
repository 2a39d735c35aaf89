/* SPDX-License-Identifier: BSD-3-Clause */
#include "ingest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_PATH "{configdirectory}/socket/notify"
#define BACKLOG      128

static int fail(char **why_r, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int fail(char **why_r, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(why_r, fmt, ap) < 0)
		*why_r = NULL;
	va_end(ap);
	return code;
}

int ingest_path(const struct conf *conf, char path_r[INGEST_PATH], bool *dlist_r, char **why_r)
{
	const char *value = conf_get(conf, NULL, "notifysocket");
	const char *dir = conf_get(conf, NULL, "configdirectory");
	const char *start = "";
	static const char variable[] = "{configdirectory}";
	if (!value || !*value)
		value = DEFAULT_PATH;
	*dlist_r = !strncmp(value, "dlist:", 6);
	if (*dlist_r)
		value += 6;
	if (!strncmp(value, variable, sizeof variable - 1)) {
		if (!dir)
			return fail(why_r, -1, "neither notifysocket nor configdirectory is set");
		start = dir;
		value += sizeof variable - 1;
	}
	/* Cyrus cuts a longer path and goes on with what is left */
	if (snprintf(path_r, INGEST_PATH, "%s%s", start, value) >= INGEST_PATH)
		return fail(why_r, -1,
		            "notifysocket: %s%s is too long: a socket's path has at most %d bytes",
		            start, value, INGEST_PATH - 1);
	if (path_r[0] != '/')
		return fail(why_r, -1, "notifysocket: %s is not an absolute path", path_r);
	return 0;
}

/* Whether somebody serves the socket at path: 0 no, it is stale; 1 yes; -1 can't be told. */
static int served(const struct sockaddr_un *sun, char **why_r)
{
	static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
	for (size_t i = 0; i < 2; i++) {
		int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			return fail(why_r, -1, "socket: %s", strerror(errno));
		int r = connect(fd, (const struct sockaddr *)sun, sizeof *sun);
		int err = r < 0 ? errno : 0;
		close(fd);
		if (err == EPROTOTYPE)
			continue; /* served, by the other type */
		if (!err || err == EAGAIN)
			return fail(why_r, 1, "%s: another program serves this socket",
			            sun->sun_path);
		if (err == ECONNREFUSED || err == ENOENT)
			return 0;
		return fail(why_r, -1, "%s: %s", sun->sun_path, strerror(err));
	}
	return fail(why_r, 1, "%s: another program serves this socket", sun->sun_path);
}

int ingest_bind(const struct conf *conf, int *dgram_fd_r, int *dlist_fd_r, char path_r[INGEST_PATH],
                char **why_r)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct stat st;
	bool dlist;
	*dgram_fd_r = *dlist_fd_r = -1;
	if (ingest_path(conf, path_r, &dlist, why_r) < 0)
		return -1;
	memcpy(sun.sun_path, path_r, strlen(path_r) + 1);

	if (lstat(path_r, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return fail(why_r, -1, "%s is not a socket: remove it", path_r);
		int r = served(&sun, why_r);
		if (r)
			return r;
		if (unlink(path_r) < 0 && errno != ENOENT)
			return fail(why_r, -1, "%s: cannot replace it: %s", path_r,
			            strerror(errno));
	}

	int fd =
	    socket(AF_UNIX, (dlist ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(why_r, -1, "socket: %s", strerror(errno));
	/* As Cyrus's master makes it: whoever may enter the directory may send. */
	mode_t mask = umask(0);
	int r = bind(fd, (struct sockaddr *)&sun, sizeof sun);
	int err = errno;
	umask(mask);
	if (r < 0) {
		close(fd);
		if (err == EADDRINUSE)
			return fail(why_r, 1, "%s: another program has just made this socket",
			            path_r);
		return fail(why_r, -1, "%s: %s%s", path_r, strerror(err),
		            err == ENOENT ? "; make its directory" : "");
	}
	if (dlist && listen(fd, BACKLOG) < 0) {
		fail(why_r, -1, "%s: listen: %s", path_r, strerror(errno));
		close(fd);
		unlink(path_r);
		return -1;
	}
	/* Linux counts waiting datagrams (net.unix.max_dgram_qlen), others their bytes. */
	int room = 4 << 20;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	*(dlist ? dlist_fd_r : dgram_fd_r) = fd;
	return 0;
}
