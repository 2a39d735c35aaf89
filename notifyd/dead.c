/* SPDX-License-Identifier: BSD-3-Clause */
#include "dead.h"

#include "../lib/event.h"
#include "../lib/identity.h"
#include "../lib/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int dead_letter(const struct sink *sink, const struct record *rec)
{
	struct buf line = BUF_INIT;
	char id[JOURNAL_ID], path[4096];
	journal_id(id, sink->uuid, rec->pos);
	buf_addf(&line, "{\"id\":\"%s\",\"reason\":", id);
	event_json_string(&line, (struct str){sink->why, strlen(sink->why)});
	buf_adds(&line, ",\"event\":");
	if (rec->json.len && rec->json.s[0] == '{')
		buf_add(&line, rec->json.s, rec->json.len);
	else
		event_json_string(&line, rec->json);
	buf_adds(&line, "}\n");

	int r = -1, dirfd = open(sink->journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof path, "dead/%s", sink->name);
	int fd = dirfd < 0 || line.failed
	             ? -1
	             : openat(dirfd, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0 && segment_adopt(dirfd, fd) == 0) {
		off_t end = lseek(fd, 0, SEEK_END);
		ssize_t n = write(fd, line.s, line.len);
		if (n == (ssize_t)line.len)
			r = fdatasync(fd);
		else if (n >= 0 && ftruncate(fd, end) == 0) /* no half line: the disk is full */
			errno = ENOSPC;
	}
	int why = errno;
	if (fd >= 0)
		close(fd);
	if (dirfd >= 0)
		close(dirfd);
	buf_free(&line);
	errno = why;
	return r;
}
