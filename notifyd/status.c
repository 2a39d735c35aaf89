/* SPDX-License-Identifier: BSD-3-Clause */
#include "status.h"

#include "../lib/checksum.h"
#include "../lib/event.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COUNT_EVERY_MS 1000

/* How the object begins: the checksum of all that follows its digits. */
#define SUM_KEY    "{\"checksum\":\""
#define SUM_AT     (sizeof SUM_KEY - 1)
#define SUM_DIGITS 16
#define SUM_OF     (SUM_AT + SUM_DIGITS)

const char *const status_links[STATUS_LINKS] = {"starting", "connecting", "connected",
                                                "blocked",  "retrying",   "stopped"};

struct status {
	int fd;
	char state[120];
	char error[400]; /* the object fits even when each byte becomes \u00xx */
	int64_t since, started, error_time, updated; /* milliseconds since 1970 */
	int64_t written;                             /* monotonic milliseconds */
	enum status_link link, link_written;
	uint64_t base_delivered, base_dropped; /* of the workers before */
	uint64_t delivered, dropped, pos, resent, discarded, failures, inflight;
	bool have_pos, dirty;
	struct buf json;
};

static int64_t now_ms(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Owner and mode are those of the journal directory, whoever makes the file. */
static int adopt(int fd, const struct stat *journal, mode_t bits)
{
	if (geteuid() == 0 && fchown(fd, journal->st_uid, journal->st_gid) < 0)
		return -1;
	return fchmod(fd, journal->st_mode & bits);
}

static int open_file(const char *journal, const char *sink)
{
	struct stat st;
	int fd = -1, dir = -1;
	bool made = false;
	int top = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return -1;
	if (fstat(top, &st) < 0)
		goto out;
	made = mkdirat(top, "status", 0700) == 0;
	dir = openat(top, "status", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || (made && adopt(dir, &st, 0777) < 0))
		goto out;
	fd = openat(dir, sink, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		goto out;
	if (adopt(fd, &st, 0666) < 0 || ftruncate(fd, STATUS_SIZE) < 0 ||
	    posix_fallocate(fd, 0, STATUS_SIZE) != 0) {
		close(fd);
		fd = -1;
	}
out:
	if (dir >= 0)
		close(dir);
	close(top);
	return fd;
}

static void sum(const char page[STATUS_SIZE], char digits_r[SUM_DIGITS + 1])
{
	snprintf(digits_r, SUM_DIGITS + 1, "%016llx",
	         (unsigned long long)checksum(page + SUM_OF, STATUS_SIZE - SUM_OF));
}

/* Not every file system keeps a read and a write of one page apart. */
static bool whole(const char page[STATUS_SIZE])
{
	char digits[SUM_DIGITS + 1];
	if (memcmp(page, SUM_KEY, SUM_AT) != 0) /* of a notifyd before there were any */
		return page[0] == '{' && page[STATUS_SIZE - 1] == '\n';
	sum(page, digits);
	return memcmp(page + SUM_AT, digits, SUM_DIGITS) == 0;
}

/* A number of the file as the worker before left it; 0 when it is not there. The key can't be part
 * of a string: quotes are escaped there. */
static uint64_t left(const char *contents, const char *key)
{
	char quoted[32];
	snprintf(quoted, sizeof quoted, ",\"%s\":", key);
	const char *at = strstr(contents, quoted);
	return at ? strtoull(at + strlen(quoted), NULL, 10) : 0;
}

static void go_on(struct status *s)
{
	char contents[STATUS_SIZE + 1];
	if (pread(s->fd, contents, STATUS_SIZE, 0) != STATUS_SIZE || contents[0] != '{')
		return;
	contents[STATUS_SIZE] = '\0';
	s->base_delivered = left(contents, "delivered");
	s->base_dropped = left(contents, "dropped");
	s->resent = left(contents, "resent");
	s->discarded = left(contents, "discarded");
	s->failures = left(contents, "failures");
}

struct status *status_open(const char *journal, const char *sink)
{
	int fd = open_file(journal, sink);
	if (fd < 0)
		return NULL;
	struct status *s = calloc(1, sizeof *s);
	if (!s) {
		close(fd);
		return NULL;
	}
	s->fd = fd;
	go_on(s);
	s->started = s->since = now_ms(CLOCK_REALTIME);
	snprintf(s->state, sizeof s->state, "starting");
	s->dirty = true;
	status_flush(s);
	return s;
}

void status_close(struct status **s)
{
	if (!*s)
		return;
	status_flush(*s);
	close((*s)->fd);
	buf_free(&(*s)->json);
	free(*s);
	*s = NULL;
}

static void add_time(struct buf *b, const char *key, int64_t ms)
{
	buf_addf(b, ",\"%s\":%lld.%03d", key, (long long)(ms / 1000), (int)(ms % 1000));
}

void status_flush(struct status *s)
{
	if (!s || !s->dirty)
		return;
	struct buf *b = &s->json;
	s->updated = now_ms(CLOCK_REALTIME);
	buf_reset(b);
	buf_adds(b, SUM_KEY "0000000000000000\",\"version\":1,\"state\":");
	event_json_string(b, (struct str){s->state, strlen(s->state)});
	buf_addf(b,
	         ",\"connection\":\"%s\",\"pid\":%d,\"delivered\":%llu,\"dropped\":%llu,"
	         "\"discarded\":%llu,\"resent\":%llu,\"failures\":%llu,\"inFlight\":%llu",
	         status_links[s->link], (int)getpid(),
	         (unsigned long long)(s->base_delivered + s->delivered),
	         (unsigned long long)(s->base_dropped + s->dropped),
	         (unsigned long long)s->discarded, (unsigned long long)s->resent,
	         (unsigned long long)s->failures, (unsigned long long)s->inflight);
	if (s->have_pos)
		buf_addf(b, ",\"position\":\"%016llx\"", (unsigned long long)s->pos);
	else
		buf_adds(b, ",\"position\":null");
	add_time(b, "since", s->since);
	add_time(b, "started", s->started);
	add_time(b, "updated", s->updated);
	if (s->error_time) {
		buf_adds(b, ",\"error\":");
		event_json_string(b, (struct str){s->error, strlen(s->error)});
		add_time(b, "errorTime", s->error_time);
	} else {
		buf_adds(b, ",\"error\":null,\"errorTime\":null");
	}
	buf_addc(b, '}');

	/* the whole file at once: nothing of an earlier, longer object stays behind */
	char page[STATUS_SIZE];
	if (b->failed || b->len >= sizeof page)
		return;
	memset(page, ' ', sizeof page);
	memcpy(page, b->s, b->len);
	page[sizeof page - 1] = '\n';
	char digits[SUM_DIGITS + 1];
	sum(page, digits);
	memcpy(page + SUM_AT, digits, SUM_DIGITS);
	if (pwrite(s->fd, page, sizeof page, 0) == (ssize_t)sizeof page)
		s->dirty = false; /* else the next call tries again */
	s->link_written = s->link;
	s->written = now_ms(CLOCK_MONOTONIC);
}

void status_state(struct status *s, const char *fmt, ...)
{
	if (!s)
		return;
	char state[sizeof s->state];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(state, sizeof state, fmt, ap);
	va_end(ap);
	if (!strcmp(state, s->state)) {
		if (s->dirty && s->link != s->link_written)
			status_flush(s);
		return;
	}
	memcpy(s->state, state, sizeof state);
	s->since = now_ms(CLOCK_REALTIME);
	s->dirty = true;
	status_flush(s);
}

void status_link(struct status *s, enum status_link link)
{
	if (!s || s->link == link)
		return;
	s->link = link;
	s->dirty = true;
}

void status_error(struct status *s, const char *why)
{
	if (!s)
		return;
	snprintf(s->error, sizeof s->error, "%s", why);
	s->error_time = now_ms(CLOCK_REALTIME);
	s->failures++;
	s->dirty = true;
	status_flush(s);
}

void status_base(struct status *s, uint64_t delivered)
{
	if (!s || s->base_delivered == delivered)
		return;
	s->base_delivered = delivered;
	s->dirty = true;
}

/* Counts are written now or with one of the next calls. */
static void counted(struct status *s)
{
	s->dirty = true;
	if (now_ms(CLOCK_MONOTONIC) - s->written >= COUNT_EVERY_MS)
		status_flush(s);
}

void status_inflight(struct status *s, uint64_t n)
{
	if (!s || s->inflight == n)
		return;
	s->inflight = n;
	counted(s);
}

void status_resent(struct status *s, uint64_t n)
{
	if (!s || !n)
		return;
	s->resent += n;
	counted(s);
}

void status_discarded(struct status *s, uint64_t n)
{
	if (!s || !n)
		return;
	s->discarded += n;
	counted(s);
}

void status_count(struct status *s, uint64_t delivered, uint64_t dropped, uint64_t pos)
{
	if (!s)
		return;
	if (s->have_pos && s->delivered == delivered && s->dropped == dropped && s->pos == pos &&
	    !s->dirty)
		return;
	s->delivered = delivered;
	s->dropped = dropped;
	s->pos = pos;
	s->have_pos = true;
	counted(s);
}

int status_read(const char *journal, const char *sink, char contents_r[STATUS_SIZE + 1])
{
	enum { TRIES = 16 };
	char path[4096];
	if (snprintf(path, sizeof path, "%s/status/%s", journal, sink) >= (int)sizeof path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -1;
	for (int tries = 0; tries < TRIES; tries++) {
		if (tries)
			poll(NULL, 0, 1); /* it is being written */
		if (pread(fd, contents_r, STATUS_SIZE, 0) != STATUS_SIZE)
			break;
		if (whole(contents_r)) {
			contents_r[STATUS_SIZE] = '\0';
			close(fd);
			return 0;
		}
	}
	close(fd);
	errno = EBADMSG;
	return -1;
}
