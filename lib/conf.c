/* SPDX-License-Identifier: BSD-3-Clause */
/* Line by line what Cyrus does, its oddities too: an admin's file must never mean
 * one thing to the mail server and another to the hook inside it. Stricter, on purpose, are:
 * what is not a regular file, FILE_MAX, CONF_LINE_MAX, DEPTH_MAX and FILES_MAX. */
#include "conf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX      ((size_t)16 << 20)
#define CONF_LINE_MAX ((size_t)1 << 20)
#define DEPTH_MAX     64
#define FILES_MAX     1024
#define CYRUS_BUFFER  4096 /* GROWSIZE in lib/libconfig.c */

struct conf {
	struct conf_entry *entries; /* key and value share one allocation, the key's */
	size_t n, room;
	uint32_t *index; /* entry + 1 by the hash of its key; 0: free. At most half full */
	size_t slots;    /* a power of two */
	char *files[FILES_MAX];
	size_t n_files;
};

struct reading {
	struct conf *conf;
	char *why;
	int depth;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_key(char c)
{
	return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_';
}

/* "file:line: ..." into r->why. Always false. */
__attribute__((format(printf, 4, 5))) static bool fail(struct reading *r, const char *file,
                                                       int line, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_adds(&b, file);
	if (line)
		buf_addf(&b, ":%d", line);
	buf_addf(&b, ": %s", text);
	r->why = strdup(b.failed ? text : buf_cstr(&b));
	buf_free(&b);
	return false;
}

static bool nomem(struct reading *r, const char *file, int line)
{
	return fail(r, file, line, "memory is short");
}

/* --- entries --- */

static uint32_t hash(uint32_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (unsigned char)lower(*s)) * 16777619u;
	return h;
}

/* Whether entry is "<service>_<key>", or "<key>" where service is NULL. */
static bool named(const char *entry, const char *service, const char *key)
{
	if (service) {
		for (; *service; service++)
			if (*entry++ != lower(*service))
				return false;
		if (*entry++ != '_')
			return false;
	}
	for (; *key; key++)
		if (*entry++ != lower(*key))
			return false;
	return !*entry;
}

/* The slot that holds it, or the free one where it would be. */
static uint32_t *slot(const struct conf *c, const char *service, const char *key)
{
	uint32_t h = 2166136261u;
	size_t i;

	if (service)
		h = hash(hash(h, service), "_");
	h = hash(h, key);
	for (i = h & (c->slots - 1); c->index[i]; i = (i + 1) & (c->slots - 1))
		if (named(c->entries[c->index[i] - 1].key, service, key))
			break;
	return &c->index[i];
}

static bool grow(struct conf *c)
{
	size_t room = c->room ? c->room * 2 : 64;
	struct conf_entry *entries = realloc(c->entries, room * sizeof(*entries));
	uint32_t *index;

	if (!entries)
		return false;
	c->entries = entries;
	index = calloc(room * 2, sizeof(*index));
	if (!index)
		return false;
	free(c->index);
	c->index = index;
	c->slots = room * 2;
	c->room = room;
	for (size_t i = 0; i < c->n; i++)
		*slot(c, NULL, c->entries[i].key) = (uint32_t)i + 1;
	return true;
}

static bool add(struct reading *r, const char *file, int line, const char *key, const char *value)
{
	struct conf *c = r->conf;
	size_t keylen = strlen(key) + 1, valuelen = strlen(value) + 1;
	struct conf_entry *entry;
	uint32_t *at;
	char *copy;

	if (c->n == c->room && !grow(c))
		return nomem(r, file, line);
	at = slot(c, NULL, key);
	if (*at) {
		const struct conf_entry *first = &c->entries[*at - 1];

		return fail(r, file, line, "%.64s: set twice; first at %.300s:%d", key, first->file,
		            first->line);
	}
	copy = malloc(keylen + valuelen);
	if (!copy)
		return nomem(r, file, line);
	memcpy(copy, key, keylen);
	memcpy(copy + keylen, value, valuelen);
	entry = &c->entries[c->n++];
	entry->key = copy;
	entry->value = copy + keylen;
	entry->file = file;
	entry->line = line;
	*at = (uint32_t)c->n;
	return true;
}

/* --- lines --- */

struct text {
	char *s; /* with room for a NUL behind */
	size_t len, at;
	int line;
	size_t buffer; /* how large that of Cyrus would be by now */
};

enum next { NEXT_LINE, NEXT_END, NEXT_TOO_LONG };

/* The next line with its continuations, joined in place; *line_no_r is where it begins. It is read
 * in the pieces in which Cyrus's fgets() gets it, for two things follow from them: a NUL ends a
 * line, and what is behind it in its piece is gone; and nothing is left, at the end of the file, of
 * a line that ends in a continuation or that, without a line feed, fills the buffer to the byte. */
static enum next next_line(struct text *t, char **line_r, int *line_no_r)
{
	char *line = t->s + t->at;
	size_t len = 0;

	*line_r = line;
	*line_no_r = t->line + 1;
	while (t->at < t->len) {
		const char *from = t->s + t->at;
		size_t room = t->buffer - 1 - len, left = t->len - t->at;
		size_t n = left < room ? left : room;
		const char *feed = memchr(from, '\n', n);

		if (feed) {
			n = (size_t)(feed - from) + 1;
			t->line++;
		}
		t->at += n;
		memmove(line + len, from, n);
		if (memchr(line + len, '\0', n))
			return NEXT_LINE;
		len += n;
		if (len > CONF_LINE_MAX)
			return NEXT_TOO_LONG;
		if (feed) {
			line[--len] = '\0';
			if (!len || line[len - 1] != '\\')
				return NEXT_LINE;
			len--;
		} else if (n == room) {
			t->buffer += CYRUS_BUFFER;
		} else {
			line[len] = '\0';
			return NEXT_LINE;
		}
	}
	return NEXT_END;
}

static bool read_file(struct reading *r, const char *name, const char *from, int from_line);

static bool read_line(struct reading *r, const char *file, int line_no, char *line)
{
	char *key, *p = line, *end;

	while (is_space(*p))
		p++;
	if (!*p || *p == '#')
		return true;
	key = p;
	if (*p == '@')
		p++;
	for (; is_key(*p); p++)
		*p = lower(*p);
	if (*p != ':') {
		/* What follows may be a secret. */
		*p = '\0';
		return fail(r, file, line_no, "'%.64s' is not followed by a colon", key);
	}
	if (p == key) /* Cyrus dies of it: an assertion of its hash table */
		return fail(r, file, line_no, "no option name before the colon");
	*p++ = '\0';
	while (is_space(*p))
		p++;
	for (end = p + strlen(p); end > p && is_space(end[-1]);)
		*--end = '\0';
	if (!*p)
		return fail(r, file, line_no, "%.64s: must have a value", key);
	if (*key != '@')
		return add(r, file, line_no, key, p);
	if (strcmp(key, "@include"))
		return fail(r, file, line_no, "%.64s: unknown directive; there is only @include",
		            key);
	return read_file(r, p, file, line_no);
}

static bool read_text(struct reading *r, const char *file, struct text *t)
{
	for (;;) {
		char *line;
		int line_no;

		switch (next_line(t, &line, &line_no)) {
		case NEXT_END:
			return true;
		case NEXT_TOO_LONG:
			return fail(r, file, line_no, "the line is longer than 1 MB");
		case NEXT_LINE:
			if (!read_line(r, file, line_no, line))
				return false;
		}
	}
}

/* --- files --- */

/* Never waits: not for the writer of a FIFO either. */
static int open_file(const char *name)
{
	const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	const char *prefix = getenv("CYRUS_PREFIX");
	char path[PATH_MAX];
	int fd = -1;

	if (prefix && snprintf(path, sizeof(path), "%s%s", prefix, name) < (int)sizeof(path))
		fd = open(path, flags);
	return fd < 0 ? open(name, flags) : fd;
}

/* The whole file. NULL, or why not. */
static const char *slurp(int fd, struct text *t)
{
	struct stat st;
	size_t room = 0;

	if (fstat(fd, &st) < 0)
		return strerror(errno);
	if (S_ISDIR(st.st_mode))
		return "is a directory";
	if (!S_ISREG(st.st_mode))
		return "is not a regular file";
	for (;;) {
		ssize_t n;

		if (t->len + 1 >= room) {
			char *s;

			if (room > FILE_MAX)
				return "is larger than 16 MB";
			room = room ? room * 2 : 8192;
			s = realloc(t->s, room);
			if (!s)
				return "memory is short";
			t->s = s;
		}
		n = read(fd, t->s + t->len, room - t->len - 1);
		if (!n)
			return NULL;
		if (n > 0)
			t->len += (size_t)n;
		else if (errno != EINTR)
			return strerror(errno);
	}
}

/* The conf's own copy of a name. NULL when memory is short. */
static const char *keep_name(struct conf *c, const char *name)
{
	char *copy = strdup(name);

	if (copy)
		c->files[c->n_files++] = copy;
	return copy;
}

/* from: the file that includes it, NULL for the first. */
static bool read_file(struct reading *r, const char *name, const char *from, int from_line)
{
	struct conf *c = r->conf;
	struct text t = {NULL, 0, 0, 0, CYRUS_BUFFER};
	const char *file, *why;
	bool ok;
	int fd;

	for (size_t i = 0; i < c->n_files; i++)
		if (!strcmp(c->files[i], name))
			return fail(r, from, from_line, "%.300s is included twice", name);
	if (r->depth == DEPTH_MAX)
		return fail(r, from, from_line, "included more than %d files deep", DEPTH_MAX);
	if (c->n_files == FILES_MAX)
		return fail(r, from, from_line, "more than %d files", FILES_MAX);
	fd = open_file(name);
	why = fd < 0 ? strerror(errno) : slurp(fd, &t);
	if (fd >= 0)
		close(fd);
	if (why) {
		ok = from ? fail(r, from, from_line, "can't read %.300s: %s", name, why)
		          : fail(r, name, 0, "can't be read: %s", why);
	} else if (!(file = keep_name(c, name))) {
		ok = nomem(r, name, 0);
	} else {
		r->depth++;
		ok = read_text(r, file, &t);
		r->depth--;
	}
	free(t.s);
	return ok;
}

struct conf *conf_read(const char *path, char **why_r)
{
	struct reading r = {calloc(1, sizeof(*r.conf)), NULL, 0};

	if (!r.conf)
		nomem(&r, path, 0);
	else if (!grow(r.conf))
		nomem(&r, path, 0), conf_free(&r.conf);
	else if (!read_file(&r, path, NULL, 0))
		conf_free(&r.conf);
	if (why_r)
		*why_r = r.why;
	else
		free(r.why);
	return r.conf;
}

void conf_free(struct conf **cp)
{
	struct conf *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		free((char *)c->entries[i].key);
	for (size_t i = 0; i < c->n_files; i++)
		free(c->files[i]);
	free(c->entries);
	free(c->index);
	free(c);
}

const char *conf_get(const struct conf *c, const char *service, const char *key)
{
	uint32_t at = service ? *slot(c, service, key) : 0;

	if (!at)
		at = *slot(c, NULL, key);
	return at ? c->entries[at - 1].value : NULL;
}

size_t conf_entries(const struct conf *c, const struct conf_entry **entries_r)
{
	*entries_r = c->entries;
	return c->n;
}

int conf_dump(const struct conf *c, int fd)
{
	struct buf b = BUF_INIT;
	size_t done = 0;
	int error = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct conf_entry *e = &c->entries[i];

		buf_addf(&b, "%s:", e->key);
		buf_adds(&b, e->value);
		/* A backslash at the very end would be a continuation. */
		buf_adds(&b, e->value[strlen(e->value) - 1] == '\\' ? " \n" : "\n");
	}
	if (b.failed)
		error = ENOMEM;
	while (!error && done < b.len) {
		ssize_t n = write(fd, b.s + done, b.len - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			error = errno;
	}
	buf_free(&b);
	errno = error;
	return error ? -1 : 0;
}
