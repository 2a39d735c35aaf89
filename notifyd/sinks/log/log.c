/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON lines to a file, to stderr or to syslog. Whole lines: what a full disk or a kill left of a
 * line is cut off before anything follows it. */
#include "../../sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BATCH_BYTES (256u << 10) /* what one flush writes, but for a single longer line */
#define BATCH_LINES 1024
#define SYSLOG_PATH "/dev/log"
#define MAIL_INFO   22 /* facility mail, severity info (RFC 3164, 4.1.1) */

enum kind { KIND_FILE, KIND_STREAM, KIND_SYSLOG };

struct line {
	size_t end; /* offset in `text` of its end */
	uint64_t pos, next;
};

struct log {
	enum kind kind;
	int fd; /* -1: a reopen failed */
	bool sync;
	struct buf text;    /* lines not yet written, */
	size_t written;     /* of which a stream took this much, */
	struct line *lines; /* and where each ends */
	size_t first, count;
};

/* Where it goes, from the option. -1 with sink->why. */
static int target(struct sink *sink, enum kind *kind_r, const char **path_r)
{
	const char *path = conf_str(&sink->conf, "path");
	*path_r = path;
	if (!path || !*path)
		return sink_why(sink, -1, "notifyd_%s_path is not set: a file, stderr or syslog",
		                sink->name);
	if (!strcmp(path, "stderr")) {
		*kind_r = KIND_STREAM;
		return 0;
	}
	if (!strcmp(path, "syslog") || !strncmp(path, "syslog:/", 8)) {
		*kind_r = KIND_SYSLOG;
		*path_r = path[6] ? path + 7 : SYSLOG_PATH;
		if (strlen(*path_r) >= sizeof((struct sockaddr_un *)0)->sun_path)
			return sink_why(sink, -1, "%s is too long for a socket", *path_r);
		return 0;
	}
	*kind_r = KIND_FILE;
	if (path[0] != '/')
		return sink_why(sink, -1,
		                "notifyd_%s_path: '%s' must be an absolute path, stderr or syslog",
		                sink->name, path);
	return 0;
}

static int log_check(struct sink *sink)
{
	enum kind kind;
	const char *path;
	struct stat st;
	if (target(sink, &kind, &path) < 0)
		return -1;
	if (kind == KIND_FILE && stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return sink_why(sink, -1, "%s is not a regular file", path);
	return 0;
}

/* A kill in the middle of a write leaves the beginning of a line. It is not confirmed and
 * will be sent again, so it is cut off; what doesn't look like ours is only ended. */
static int mend_tail(int fd)
{
	char part[4096];
	off_t end = lseek(fd, 0, SEEK_END), at = end;
	if (end <= 0)
		return end < 0 ? -1 : 0;
	while (at > 0 && end - at < (off_t)RECORD_MAX) {
		size_t n = at < (off_t)sizeof part ? (size_t)at : sizeof part;
		ssize_t got = pread(fd, part, n, at - (off_t)n);
		if (got != (ssize_t)n)
			return -1;
		size_t after = n; /* the last line feed of this part */
		while (after && part[after - 1] != '\n')
			after--;
		at -= (off_t)(n - after);
		if (after)
			break;
	}
	if (at == end)
		return 0;
	if (pread(fd, part, 1, at) != 1)
		return -1;
	if (part[0] == '{')
		return ftruncate(fd, at);
	return write(fd, "\n", 1) == 1 ? 0 : -1;
}

static int open_file(struct sink *sink, const char *path)
{
	mode_t mode = (mode_t)conf_num(&sink->conf, "mode");
	int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	struct stat st;
	int fd = open(path, flags | O_CREAT | O_EXCL, 0600);
	bool made = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		fd = open(path, flags);
	if (fd < 0)
		return sink_why(sink, -1, "%s: %s", path, strerror(errno));
	/* the umask has no say in the mode that was asked for */
	if (fstat(fd, &st) < 0 || (made && fchmod(fd, mode) < 0)) {
		sink_why(sink, -1, "%s: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		sink_why(sink, -1, "%s is not a regular file", path);
	} else if (mend_tail(fd) < 0) {
		sink_why(sink, -1, "%s: mending its last line: %s", path, strerror(errno));
	} else {
		return fd;
	}
	close(fd);
	return -1;
}

static int open_syslog(struct sink *sink, const char *path)
{
	/* syslog(3) doesn't tell whether anybody took the line; this does */
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
		return fd;
	sink_why(sink, -1, "%s: %s; is a syslog daemon running?", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Whether open_file() will have it: one that is not there yet is to be made. */
static int probe_file(struct sink *sink, const char *path)
{
	char dir[PATH_MAX];
	const char *what = path;
	int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno == ENOENT) {
		snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path + 1), path);
		what = dir;
		if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0)
			return 0;
		if (errno == ENOENT)
			return sink_why(sink, -1,
			                "the directory %s is missing; make it, for notifyd's user",
			                dir);
	}
	return sink_why(sink, -1,
	                "%s: %s; let notifyd's user write there, and its unit too "
	                "(ReadWritePaths)",
	                what, strerror(errno));
}

static int log_probe(struct sink *sink)
{
	enum kind kind;
	const char *path;
	if (log_check(sink) < 0 || target(sink, &kind, &path) < 0)
		return SINK_RETRY;
	if (kind == KIND_FILE)
		return probe_file(sink, path) < 0 ? SINK_RETRY : SINK_OK;
	int fd = kind == KIND_SYSLOG ? open_syslog(sink, path) : STDERR_FILENO;
	if (fd > STDERR_FILENO)
		close(fd);
	return fd < 0 ? SINK_RETRY : SINK_OK;
}

static int open_target(struct sink *sink, enum kind *kind_r)
{
	const char *path;
	if (target(sink, kind_r, &path) < 0)
		return -1;
	if (*kind_r == KIND_STREAM)
		return STDERR_FILENO;
	return *kind_r == KIND_FILE ? open_file(sink, path) : open_syslog(sink, path);
}

static void close_target(struct log *l)
{
	if (l->fd >= 0 && l->kind != KIND_STREAM)
		close(l->fd);
	l->fd = -1;
}

static void log_close(struct sink *sink)
{
	struct log *l = sink->state;
	if (!l)
		return;
	close_target(l);
	buf_free(&l->text);
	free(l->lines);
	free(l);
	sink->state = NULL;
}

static int log_open_sink(struct sink *sink)
{
	struct log *l = calloc(1, sizeof *l);
	if (l)
		l->lines = calloc(BATCH_LINES, sizeof *l->lines);
	if (!l || !l->lines) {
		free(l);
		return sink_why(sink, SINK_RETRY, "out of memory");
	}
	sink->state = l;
	l->sync = conf_num(&sink->conf, "sync") != 0;
	l->fd = open_target(sink, &l->kind);
	if (l->fd >= 0)
		return SINK_OK;
	log_close(sink);
	return SINK_RETRY;
}

static void log_reopen(struct sink *sink)
{
	struct log *l = sink->state;
	if (!l || l->kind == KIND_STREAM)
		return;
	close_target(l);
	l->fd = open_target(sink, &l->kind); /* -1: the next flush says why */
}

static int log_send(struct sink *sink, const struct record *rec)
{
	struct log *l = sink->state;
	if (l->count &&
	    (l->text.len + rec->json.len > BATCH_BYTES || l->first + l->count == BATCH_LINES))
		return SINK_FULL;
	if (l->kind == KIND_SYSLOG) {
		time_t now = (time_t)(rec->time / 1000000);
		char stamp[32];
		struct tm tm;
		localtime_r(&now, &tm);
		/* names of months don't follow the locale here: no setlocale() in notifyd */
		strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &tm);
		buf_addf(&l->text, "<%d>%s notifyd[%d]: ", MAIL_INFO, stamp, (int)getpid());
	}
	buf_add(&l->text, rec->json.s, rec->json.len);
	buf_addc(&l->text, '\n');
	if (l->text.failed)
		return sink_why(sink, SINK_RETRY, "out of memory");
	l->lines[l->first + l->count++] = (struct line){l->text.len, rec->pos, rec->next};
	return SINK_OK;
}

/* Confirms the lines that end at or before `written`. */
static void confirm(struct log *l, uint64_t *confirmed_r)
{
	while (l->count && l->lines[l->first].end <= l->written) {
		*confirmed_r = l->lines[l->first].next;
		l->first++;
		l->count--;
	}
	if (!l->count) {
		buf_reset(&l->text);
		l->first = l->written = 0;
	}
}

/* All that waits in one write. */
static int flush_file(struct sink *sink, struct log *l, uint64_t *confirmed_r)
{
	size_t len = l->text.len - l->written;
	ssize_t n = write(l->fd, l->text.s + l->written, len);
	int err = n < 0 ? errno : ENOSPC;
	if (n > 0 && (size_t)n < len) {
		size_t whole = l->written;
		for (size_t i = l->first; i < l->first + l->count; i++)
			if (l->lines[i].end <= l->written + (size_t)n)
				whole = l->lines[i].end;
		off_t torn = (off_t)(l->written + (size_t)n - whole);
		off_t end = lseek(l->fd, 0, SEEK_CUR);
		struct stat st;
		/* only while the piece is the file's last: nobody else's line is cut off */
		if (torn && (end < torn || fstat(l->fd, &st) < 0 || st.st_size != end ||
		             ftruncate(l->fd, end - torn) < 0))
			return sink_why(sink, SINK_RETRY, "a torn line could not be taken back: %s",
			                strerror(errno));
		l->written = whole;
	} else if (n > 0) {
		l->written += (size_t)n;
	}
	if (n > 0 && l->sync && fdatasync(l->fd) < 0)
		return sink_why(sink, SINK_RETRY, "fdatasync: %s", strerror(errno));
	size_t before = l->count;
	confirm(l, confirmed_r);
	if (l->count == 0 || l->count < before)
		return SINK_OK; /* the next flush meets what cut this one short */
	return sink_why(sink, SINK_RETRY, "write: %s", strerror(err));
}

static int flush_stream(struct sink *sink, struct log *l, int wait_ms, uint64_t *confirmed_r)
{
	struct pollfd p = {l->fd, POLLOUT, 0};
	while (l->count) {
		if (poll(&p, 1, wait_ms) <= 0)
			return SINK_OK;
		/* poll() promises room for no more than this */
		size_t len = l->text.len - l->written;
		ssize_t n = write(l->fd, l->text.s + l->written, len < PIPE_BUF ? len : PIPE_BUF);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return SINK_OK;
		if (n < 0)
			return sink_why(sink, SINK_RETRY, "stderr: %s", strerror(errno));
		l->written += (size_t)n;
		confirm(l, confirmed_r);
		wait_ms = 0;
	}
	return SINK_OK;
}

static int flush_syslog(struct sink *sink, struct log *l, int wait_ms, uint64_t *confirmed_r)
{
	struct pollfd p = {l->fd, POLLOUT, 0};
	bool told = false;
	while (l->count) {
		size_t len = l->lines[l->first].end - l->written - 1; /* without the line feed */
		if (send(l->fd, l->text.s + l->written, len, MSG_NOSIGNAL) < 0) {
			if (errno == EMSGSIZE && told)
				return SINK_OK; /* what was confirmed is told first */
			if (errno == EMSGSIZE) {
				uint64_t pos = l->lines[l->first].pos;
				l->written = l->lines[l->first].end;
				confirm(l, confirmed_r);
				*confirmed_r = pos;
				return sink_why(sink, SINK_DROP,
				                "%zu bytes are more than syslog takes", len);
			}
			if (errno != EAGAIN && errno != EINTR)
				return sink_why(sink, SINK_RETRY, "syslog: %s", strerror(errno));
			if (poll(&p, 1, wait_ms) <= 0)
				return SINK_OK;
			wait_ms = 0;
			continue;
		}
		l->written = l->lines[l->first].end;
		confirm(l, confirmed_r);
		told = true;
	}
	return SINK_OK;
}

static int log_flush(struct sink *sink, int wait_ms, uint64_t *confirmed_r, size_t *inflight_r)
{
	struct log *l = sink->state;
	int r = SINK_OK;
	if (l->fd < 0)
		r = SINK_RETRY; /* why is the reopen's */
	else if (!l->count)
		r = SINK_OK;
	else if (l->kind == KIND_FILE)
		r = flush_file(sink, l, confirmed_r);
	else if (l->kind == KIND_STREAM)
		r = flush_stream(sink, l, wait_ms, confirmed_r);
	else
		r = flush_syslog(sink, l, wait_ms, confirmed_r);
	*inflight_r = l->count;
	return r;
}

static const struct conf_option log_options[] = {
    {
	.name = "path",
	.type = CONF_STRING,
	.help = "The file to append to, or stderr, or syslog (syslog:PATH for a socket other than "
		"/dev/log).",
    },
    {
	.name = "mode",
	.type = CONF_MODE,
	.def = "0640",
	.min = 0,
	.max = 0777,
	.help = "Permissions of the file when it is made.",
    },
    {
	.name = "sync",
	.type = CONF_SWITCH,
	.def = "no",
	.help = "Whether each batch is on the disk (fdatasync) before it counts as delivered.",
    },
    {.name = NULL},
};

const struct sink_driver sink_log = {
    .name = "log",
    .help = "appends JSON lines to a file, stderr or syslog",
    .options = log_options,
    .check = log_check,
    .open = log_open_sink,
    .probe = log_probe,
    .send = log_send,
    .flush = log_flush,
    .close = log_close,
    .reopen = log_reopen,
};
