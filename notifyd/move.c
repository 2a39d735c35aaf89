/* SPDX-License-Identifier: BSD-3-Clause */
#include "move.h"

#include "../lib/identity.h"
#include "../lib/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ASKED "move"
#define BEGUN "moving"

/* "replay <id>\n" or "skip <id>\n" */
static const char *const words[] = {[MOVE_REPLAY] = "replay ", [MOVE_SKIP] = "skip "};
#define TEXT_MAX 80

static int path_of(char path_r[NAME_MAX], const char *name, const char *what)
{
	if (!strchr(name, '/') &&
	    snprintf(path_r, NAME_MAX, "cursors/.%s.%s", name, what) < NAME_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

int move_ask(int journalfd, const char *name, const struct move *m)
{
	char path[NAME_MAX], part[32], tmp[NAME_MAX], text[TEXT_MAX], id[JOURNAL_ID];
	snprintf(part, sizeof part, "%ld", (long)getpid());
	if (path_of(path, name, ASKED) < 0 || path_of(tmp, name, part) < 0)
		return -1;
	journal_id(id, m->uuid, m->pos);
	int len = snprintf(text, sizeof text, "%s%s\n", words[m->kind], id);
	unlinkat(journalfd, tmp, 0); /* left by a killed process that had our process id */
	int fd = openat(journalfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	errno = ENOSPC;
	int r = write(fd, text, (size_t)len) == len ? segment_adopt(journalfd, fd) : -1;
	if (r == 0)
		r = linkat(journalfd, tmp, journalfd, path, 0);
	int why = errno;
	close(fd);
	unlinkat(journalfd, tmp, 0);
	errno = why;
	return r;
}

static bool there(int journalfd, const char *name, const char *what)
{
	char path[NAME_MAX];
	return path_of(path, name, what) == 0 && faccessat(journalfd, path, F_OK, 0) == 0;
}

bool move_asked(int journalfd, const char *name)
{
	/* In the order in which it passes from one to the other. */
	return there(journalfd, name, ASKED) || there(journalfd, name, BEGUN);
}

int move_withdraw(int journalfd, const char *name)
{
	char path[NAME_MAX];
	return path_of(path, name, ASKED) < 0 ? -1 : unlinkat(journalfd, path, 0);
}

int move_cursor(struct cursor *c, const struct move *m)
{
	const struct cursor_state *at = cursor_get(c);
	if (m->kind == MOVE_REPLAY ? at->pos <= m->pos : at->pos >= m->pos)
		return 0;
	uint64_t was = at->pos, delivered = at->delivered;
	if (cursor_set(c, m->pos, delivered) < 0 || cursor_sync(c) < 0) {
		int why = errno;
		cursor_set(c, was, delivered);
		errno = why;
		return -1;
	}
	return 1;
}

static int parse(int journalfd, const char *path, struct move *m_r)
{
	char text[TEXT_MAX];
	int fd = openat(journalfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, text, sizeof text);
	int why = errno;
	close(fd);
	if (n < 0) {
		errno = why;
		return -1;
	}
	for (enum move_kind kind = MOVE_REPLAY; kind <= MOVE_SKIP; kind++) {
		size_t len = strlen(words[kind]);
		if ((size_t)n != len + JOURNAL_ID || memcmp(text, words[kind], len) != 0 ||
		    text[n - 1] != '\n')
			continue;
		m_r->kind = kind;
		if (journal_id_parse(text + len, JOURNAL_ID - 1, m_r->uuid, &m_r->pos))
			return 0;
	}
	errno = EBADMSG;
	return -1;
}

static int refuse(char **why_r, const char *path, const char *why)
{
	if (asprintf(why_r, "%s: %s; the cursor stays where it is", path, why) < 0)
		*why_r = NULL;
	return -1;
}

int move_carry_out(int journalfd, const char *name, struct cursor *c, char **why_r)
{
	char asked[NAME_MAX], begun[NAME_MAX];
	struct move m;
	*why_r = NULL;
	if (path_of(asked, name, ASKED) < 0 || path_of(begun, name, BEGUN) < 0)
		return 0;
	/* One that was begun before a kill is first: doing it again does no harm. */
	if (faccessat(journalfd, begun, F_OK, 0) < 0 &&
	    renameat(journalfd, asked, journalfd, begun) < 0)
		return errno == ENOENT ? 0 : refuse(why_r, asked, strerror(errno));
	int r = parse(journalfd, begun, &m);
	if (r < 0)
		refuse(why_r, begun, errno == EBADMSG ? "no request" : strerror(errno));
	else if (memcmp(m.uuid, cursor_get(c)->uuid, sizeof m.uuid) != 0)
		r = refuse(why_r, begun, "of another journal");
	else if ((r = move_cursor(c, &m)) < 0)
		refuse(why_r, begun, strerror(errno));
	unlinkat(journalfd, begun, 0);
	return r;
}
