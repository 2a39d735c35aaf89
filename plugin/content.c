/* SPDX-License-Identifier: BSD-3-Clause */
#include "content.h"

#include "../lib/event.h"
#include "../lib/inclusion.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct note {
	uint32_t size, header;
	size_t mailbox_len;
	char mailbox[]; /* NUL, path, NUL */
};

/* Messages that no event asks for, such as those of a STORE or a COPY, are noted too, since the
 * type of an event can't be known before it is sent. They stay until newer ones push them out. */
struct content {
	struct inclusion inclusion;
	uint32_t uids[CONTENT_NOTED]; /* of the notes; 0, which is no UID: a free place */
	struct note *notes[CONTENT_NOTED];
	size_t next; /* the oldest, or a free place */
};

struct content *content_new(const struct conf *conf, const char *service)
{
	struct inclusion i;
	inclusion_read(&i, conf, service);
	struct content *c = i.wanted ? calloc(1, sizeof *c) : NULL;
	if (c)
		c->inclusion = i;
	return c;
}

void content_free(struct content **c)
{
	if (!*c)
		return;
	for (size_t i = 0; i < CONTENT_NOTED; i++)
		free((*c)->notes[i]);
	free(*c);
	*c = NULL;
}

/* Takes the note of a message out of the ring. */
static struct note *take(struct content *c, struct str mailbox, uint32_t uid)
{
	for (size_t i = 0; i < CONTENT_NOTED; i++) {
		struct note *n = c->notes[i];
		if (c->uids[i] != uid || !n || n->mailbox_len != mailbox.len ||
		    memcmp(n->mailbox, mailbox.s, mailbox.len) != 0)
			continue;
		c->uids[i] = 0;
		c->notes[i] = NULL;
		return n;
	}
	return NULL;
}

void content_note(struct content *c, const struct content_message *m)
{
	size_t mailbox_len = strlen(m->mailbox), path_len = strlen(m->path);
	free(take(c, (struct str){m->mailbox, mailbox_len}, m->uid));
	struct note *n = malloc(sizeof *n + mailbox_len + 1 + path_len + 1);
	if (!n)
		return;
	*n = (struct note){m->size, m->header, mailbox_len};
	memcpy(n->mailbox, m->mailbox, mailbox_len + 1);
	memcpy(n->mailbox + mailbox_len + 1, m->path, path_len + 1);
	free(c->notes[c->next]);
	c->notes[c->next] = n;
	c->uids[c->next] = m->uid;
	c->next = (c->next + 1) % CONTENT_NOTED;
}

static bool read_all(int fd, char *to, size_t len, uint64_t from)
{
	while (len) {
		ssize_t got = pread(fd, to, len, (off_t)from);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		to += got;
		from += (uint64_t)got;
		len -= (size_t)got;
	}
	return true;
}

/* Reads a part of a file of that very size into memory to be freed. NULL with *why_r. */
static char *read_part(const char *path, uint64_t size, uint64_t from, size_t len,
                       const char **why_r)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		*why_r = "its file cannot be opened";
		return NULL;
	}
	char *text = NULL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		*why_r = "its file is no regular file";
	} else if ((uint64_t)st.st_size != size) {
		*why_r = "its file has not the size of the message";
	} else if (!(text = malloc(len ? len : 1))) {
		*why_r = "out of memory";
	} else if (!read_all(fd, text, len, from)) {
		*why_r = "its file cannot be read";
		free(text);
		text = NULL;
	}
	close(fd);
	return text;
}

bool content_text(struct content *c, struct str mailbox, uint32_t uid, size_t room, struct buf *out,
                  const char **why_r)
{
	uint64_t from, len;
	bool ok = false;
	*why_r = NULL;
	struct note *n = take(c, mailbox, uid);
	if (!n) {
		*why_r = "the server did not tell where this message is";
		return false;
	}
	if (inclusion_part(&c->inclusion, n->size, n->header, &from, &len)) {
		char *text =
		    read_part(n->mailbox + n->mailbox_len + 1, n->size, from, (size_t)len, why_r);
		if (text) {
			struct str part = {text, (size_t)len};
			size_t before = out->len;
			if (from + len < n->size)
				part.len = inclusion_whole(text, part.len);
			event_json_string(out, part);
			free(text);
			ok = !out->failed && out->len - before <= room;
			if (!ok)
				*why_r =
				    out->failed ? "out of memory" : "it is too long for an event";
		}
	}
	free(n);
	return ok;
}
