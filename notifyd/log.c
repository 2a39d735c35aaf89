/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* One line is one write(), so that lines of several processes never mix. */
#define LINE_SIZE 2048

static const char *log_ident = "notifyd";
static bool log_syslog;

void log_open(const char *ident, bool to_syslog)
{
	log_ident = ident;
	log_syslog = to_syslog;
	if (to_syslog)
		openlog(ident, LOG_PID | LOG_NDELAY, LOG_MAIL);
}

/* Copies s as the inside of a quoted string: nothing in it can end the line or the quotes. */
static size_t quote(char *out, size_t size, const char *s)
{
	size_t n = 0;
	for (; *s && n + 5 < size; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\') {
			out[n++] = '\\';
			out[n++] = (char)c;
		} else if (c == '\n' || c == '\r' || c == '\t') {
			out[n++] = '\\';
			out[n++] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
		} else if (c < 0x20 || c == 0x7f) {
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
		} else {
			out[n++] = (char)c;
		}
	}
	out[n] = '\0';
	return n;
}

void log_incident(enum log_level level, const char *sink, uint64_t pos, const char *fmt, ...)
{
	static const struct {
		const char *name;
		int priority;
	} levels[] = {
	    [LOG_LEVEL_ERROR] = {"error", LOG_ERR},
	    [LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
	    [LOG_LEVEL_INFO] = {"info", LOG_INFO},
	};
	int saved = errno;
	char reason[LINE_SIZE / 2], line[LINE_SIZE];
	size_t n = 0;

	va_list ap;
	va_start(ap, fmt);
	vsnprintf(reason, sizeof reason, fmt, ap);
	va_end(ap);

	if (!log_syslog) /* syslog puts the ident there itself */
		n = (size_t)snprintf(line, sizeof line, "%.64s: ", log_ident);
	n += (size_t)snprintf(line + n, sizeof line - n, "%s sink=%.64s", levels[level].name,
	                      sink ? sink : "-");
	if (pos != LOG_NOPOS)
		n += (size_t)snprintf(line + n, sizeof line - n, " position=%016llx",
		                      (unsigned long long)pos);
	n += (size_t)snprintf(line + n, sizeof line - n, " reason=\"");
	n += quote(line + n, sizeof line - n - 2, reason);
	line[n++] = '"';

	if (log_syslog) {
		line[n] = '\0';
		syslog(levels[level].priority, "%s", line);
	} else {
		line[n++] = '\n';
		/* nowhere to say that saying it failed */
		if (write(STDERR_FILENO, line, n) < 0)
			errno = 0;
	}
	errno = saved;
}
