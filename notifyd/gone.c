/* SPDX-License-Identifier: BSD-3-Clause */
#include "gone.h"

#include "../lib/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FORMAT                                                                                     \
	"1 times %" PRIu64 " bytes %" PRIu64 " from %" PRIx64 " to %" PRIx64 " last %" PRIu64      \
	" at %" PRId64
#define PARSE                                                                                      \
	"1 times %" SCNu64 " bytes %" SCNu64 " from %" SCNx64 " to %" SCNx64 " last %" SCNu64      \
	" at %" SCNd64

static int open_file(int journalfd, const char *cursor, int flags)
{
	char path[NAME_MAX];
	if (snprintf(path, sizeof path, "gone/%s", cursor) >= (int)sizeof path ||
	    strchr(cursor, '/')) {
		errno = EINVAL;
		return -1;
	}
	return openat(journalfd, path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int put(int fd, const struct gone *g)
{
	char line[GONE_SIZE + 1];
	int len = snprintf(line, sizeof line, FORMAT, g->times, g->bytes, g->from, g->to, g->last,
	                   g->time);
	memset(line + len, ' ', sizeof line - (size_t)len);
	line[GONE_SIZE - 1] = '\n';
	return pwrite(fd, line, GONE_SIZE, 0) == GONE_SIZE ? 0 : -1;
}

static bool get(int fd, struct gone *g_r)
{
	char line[GONE_SIZE + 1] = "";
	if (pread(fd, line, GONE_SIZE, 0) == GONE_SIZE &&
	    sscanf(line, PARSE, &g_r->times, &g_r->bytes, &g_r->from, &g_r->to, &g_r->last,
	           &g_r->time) == 6)
		return true;
	*g_r = (struct gone){0};
	return false;
}

int gone_init(int journalfd, const char *cursor)
{
	struct gone g;
	int fd = open_file(journalfd, cursor, O_RDWR | O_CREAT);
	if (fd < 0)
		return -1;
	int r = get(fd, &g) ? 0 : segment_adopt(journalfd, fd) < 0 ? -1 : put(fd, &g);
	int why = errno;
	close(fd);
	errno = why;
	return r;
}

int gone_add(int journalfd, const char *cursor, uint64_t from, uint64_t to, uint64_t bytes)
{
	struct gone g;
	struct timespec t;
	if (gone_init(journalfd, cursor) < 0)
		return -1;
	int fd = open_file(journalfd, cursor, O_RDWR);
	if (fd < 0)
		return -1;
	clock_gettime(CLOCK_REALTIME, &t);
	if (get(fd, &g) && g.times && from <= g.from && to >= g.to)
		g.bytes -= g.last;
	else
		g.times++;
	g.bytes += bytes;
	g.last = bytes;
	g.from = from;
	g.to = to;
	g.time = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
	int r = put(fd, &g);
	int why = errno;
	close(fd);
	errno = why;
	return r;
}

void gone_read(int journalfd, const char *cursor, struct gone *gone_r)
{
	int fd = open_file(journalfd, cursor, O_RDONLY | O_NONBLOCK);
	*gone_r = (struct gone){0};
	if (fd < 0)
		return;
	get(fd, gone_r);
	close(fd);
}

void gone_remove(int journalfd, const char *cursor)
{
	char path[NAME_MAX];
	if (!strchr(cursor, '/') &&
	    snprintf(path, sizeof path, "gone/%s", cursor) < (int)sizeof path)
		unlinkat(journalfd, path, 0);
}
