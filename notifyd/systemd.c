/* SPDX-License-Identifier: BSD-3-Clause */
#include "systemd.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static int manager = -1; /* connected to $NOTIFY_SOCKET */
static bool watchdog;
static int fds; /* FIRST_FD and following */
static unsigned char taken[1024];

/* The number in a variable of the environment; -1 without. */
static long number(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value ? strtol(value, NULL, 10) : -1;
}

static void connect_manager(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if (len >= sizeof(sun.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(sun.sun_path, path, len);
	if (*path == '@')
		sun.sun_path[0] = '\0'; /* the abstract name space */
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (manager >= 0 &&
	    connect(manager, (struct sockaddr *)&sun,
	            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
		close(manager);
		manager = -1;
	}
}

void systemd_open(void)
{
	long pid = number("LISTEN_PID"), n = number("LISTEN_FDS");
	const char *path = getenv("NOTIFY_SOCKET");

	if (pid == getpid() && n > 0 && n < (long)sizeof(taken))
		fds = (int)n;
	for (int i = 0; i < fds; i++)
		fcntl(FIRST_FD + i, F_SETFD, FD_CLOEXEC);
	pid = number("WATCHDOG_PID");
	watchdog = number("WATCHDOG_USEC") > 0 && (pid < 0 || pid == getpid());
	if (path)
		connect_manager(path);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	unsetenv("NOTIFY_SOCKET");
}

void systemd_tell(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (manager < 0)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send(manager, text, strlen(text), MSG_NOSIGNAL);
}

void systemd_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	systemd_tell("RELOADING=1\nMONOTONIC_USEC=%lld",
	             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

bool systemd_watchdog(void)
{
	return watchdog;
}

int systemd_socket(const char *path, int type)
{
	for (int fd = FIRST_FD; fd < FIRST_FD + fds; fd++) {
		struct sockaddr_un sun;
		socklen_t len = sizeof(sun), typelen = sizeof(int);
		int is;

		if (taken[fd - FIRST_FD])
			continue;
		memset(&sun, 0, sizeof(sun));
		if (getsockname(fd, (struct sockaddr *)&sun, &len) < 0 ||
		    sun.sun_family != AF_UNIX ||
		    strncmp(sun.sun_path, path, sizeof(sun.sun_path)) != 0 ||
		    getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &typelen) < 0 || is != type)
			continue;
		taken[fd - FIRST_FD] = 1;
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		return fd;
	}
	return -1;
}
