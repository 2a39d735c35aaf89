/* SPDX-License-Identifier: BSD-3-Clause */
/* hook_warn(): syslog(3) waits when /dev/log is full, and a mail process must not. */
#include "hook.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define EVERY 60 /* seconds */

static void send_line(const char *line, size_t len)
{
	struct sockaddr_un log = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	sendto(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&log,
	       sizeof log);
	close(fd);
}

void hook_warn(unsigned kind, const char *fmt, ...)
{
	static struct {
		time_t last;
		unsigned silent;
	} kinds[8];
	struct timespec t;
	int before = errno;
	kind %= sizeof kinds / sizeof kinds[0];
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	if (kinds[kind].last && t.tv_sec - kinds[kind].last < EVERY) {
		kinds[kind].silent++;
		errno = before;
		return;
	}
	char line[768];
	int n = snprintf(line, sizeof line, "<%d>mboxevent[%ld]: ", LOG_MAIL | LOG_WARNING,
	                 (long)getpid());
	va_list ap;
	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
	va_end(ap);
	if ((size_t)n < sizeof line && kinds[kind].silent)
		n += snprintf(line + n, sizeof line - (size_t)n, " (and %u more like this)",
		              kinds[kind].silent);
	kinds[kind].last = t.tv_sec;
	kinds[kind].silent = 0;
	send_line(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
	errno = before;
}
