/* SPDX-License-Identifier: BSD-3-Clause */
#include "letter.h"

#include <ctype.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SUFFIX ".dead"

/* The seventh byte is the version. */
#define VERSION_AT 6
static const unsigned char magic[8] = {0xff, 0x00, 'm', 'b', 'd', 'l', 0x01, 0xff};

struct head {
	unsigned char magic[8];
	uint64_t checksum;
	uint32_t length, spare;
	uint64_t serial, died, pos, next;
	unsigned char uuid[16];
	/* overwritten in place; a write that is cut short by a kill mixes two reasons, no more */
	uint8_t state, spares[3];
	uint32_t attempts;
	uint64_t tried;
	char why[LETTER_WHY];
} __attribute__((packed));

_Static_assert(sizeof(struct head) == LETTER_HEAD, "head of a letter");

static uint64_t checksum(const struct head *h)
{
	return XXH3_64bits(&h->length,
	                   offsetof(struct head, state) - offsetof(struct head, length));
}

static void set_why(char to[LETTER_WHY], const char *why)
{
	size_t len = strnlen(why, LETTER_WHY - 1);
	memcpy(to, why, len);
	memset(to + len, 0, LETTER_WHY - len);
}

const char *letter_error(int error)
{
	return error == EPROTONOSUPPORT
	           ? "dead letters of a version that this program does not know: install the one "
	             "that made them, or move the store's directory away"
	           : strerror(error);
}

int letter_encode(struct buf *out, const struct letter *l)
{
	struct head h = {
	    .serial = htole64(l->serial),
	    .died = htole64((uint64_t)l->died),
	    .pos = htole64(l->rec.pos),
	    .next = htole64(l->rec.next),
	    .state = LETTER_WAITING,
	    .attempts = htole32(1),
	    .tried = htole64((uint64_t)l->died),
	};
	size_t at = out->len;
	memcpy(h.magic, magic, sizeof magic);
	memcpy(h.uuid, l->uuid, sizeof h.uuid);
	set_why(h.why, l->why);
	buf_add(out, &h, sizeof h);
	if (record_encode(out, RECORD_EVENT, &l->rec, l->rec.time) < 0)
		return -1;
	h.length = htole32((uint32_t)(out->len - at));
	h.checksum = htole64(checksum(&h));
	memcpy(out->s + at, &h, sizeof h);
	return 0;
}

/* Of another version: its checksum is made with its number as the seed, so that a flipped bit in
 * that byte is no version. */
static bool foreign(const struct head *h)
{
	unsigned version = h->magic[VERSION_AT];
	return version != magic[VERSION_AT] && memcmp(h->magic, magic, VERSION_AT) == 0 &&
	       h->magic[VERSION_AT + 1] == magic[VERSION_AT + 1] &&
	       le64toh(h->checksum) == XXH3_64bits_withSeed(&h->length,
	                                                    offsetof(struct head, state) -
	                                                        offsetof(struct head, length),
	                                                    version);
}

/* Offset of the next magic at or behind `at`, or -1; 0 <= errno. */
static off_t resync(int fd, off_t at)
{
	char part[16 << 10];
	ssize_t n;
	while ((n = pread(fd, part, sizeof part, at)) >= (ssize_t)sizeof magic) {
		const char *p = memmem(part, (size_t)n, magic, VERSION_AT);
		if (p)
			return at + (p - part);
		at += n - (ssize_t)(sizeof magic - 1);
	}
	if (n >= 0)
		errno = 0;
	return -1;
}

static bool valid(const struct head *h)
{
	return memcmp(h->magic, magic, sizeof magic) == 0 && le64toh(h->checksum) == checksum(h) &&
	       le32toh(h->length) >= LETTER_HEAD + RECORD_HEADER &&
	       le32toh(h->length) <= LETTER_HEAD + RECORD_MAX;
}

static void take_head(struct letter *l_r, const struct head *h, off_t at)
{
	l_r->at = at;
	l_r->len = le32toh(h->length);
	l_r->serial = le64toh(h->serial);
	l_r->died = (int64_t)le64toh(h->died);
	memcpy(l_r->uuid, h->uuid, sizeof l_r->uuid);
	l_r->state = (enum letter_state)h->state;
	l_r->attempts = le32toh(h->attempts);
	l_r->tried = (int64_t)le64toh(h->tried);
	memcpy(l_r->why, h->why, sizeof l_r->why);
	l_r->why[LETTER_WHY - 1] = '\0';
	l_r->rec = (struct record){.pos = le64toh(h->pos), .next = le64toh(h->next)};
	l_r->damaged = false;
}

/* 0, or -1 with errno; a record that is damaged is told in l_r. */
static int take_record(int fd, struct buf *scratch, struct letter *l_r)
{
	size_t need, len = l_r->len - LETTER_HEAD;
	struct record rec;
	buf_reset(scratch);
	if (!buf_room(scratch, len)) {
		errno = ENOMEM;
		return -1;
	}
	ssize_t n = pread(fd, scratch->s, len, l_r->at + LETTER_HEAD);
	if (n < 0)
		return -1;
	l_r->damaged = record_decode(scratch->s, (size_t)n, &rec, &need) != RECORD_EVENT;
	if (l_r->damaged)
		return 0;
	rec.pos = l_r->rec.pos;
	rec.next = l_r->rec.next;
	l_r->rec = rec;
	return 0;
}

int letter_read(int fd, off_t *at_r, bool whole, struct buf *scratch, struct letter *l_r,
                uint64_t *damage_r)
{
	off_t from = *at_r, at = from, end = lseek(fd, 0, SEEK_END);
	struct head h;
	if (end < 0)
		return -1;
	for (;; at++) {
		ssize_t n = pread(fd, &h, sizeof h, at);
		if (n < 0)
			return -1;
		/* A length that leads behind the end: what is there may be a letter still. */
		if (n == sizeof h && valid(&h) && at + (off_t)le32toh(h.length) <= end)
			break;
		if (n == sizeof h && foreign(&h)) {
			errno = EPROTONOSUPPORT;
			return -1;
		}
		at = resync(fd, at + 1);
		if (at < 0)
			return errno ? -1 : 0;
		at--;
	}
	*damage_r += (uint64_t)(at - from);
	take_head(l_r, &h, at);
	*at_r = at + (off_t)l_r->len;
	return whole && take_record(fd, scratch, l_r) < 0 ? -1 : 1;
}

static int put(int fd, const void *s, size_t len, off_t at)
{
	ssize_t n = pwrite(fd, s, len, at);
	if (n >= 0 && (size_t)n < len)
		errno = EIO;
	return n == (ssize_t)len ? 0 : -1;
}

int letter_mark(int fd, const struct letter *l, enum letter_state state)
{
	uint8_t byte = (uint8_t)state;
	return put(fd, &byte, 1, l->at + (off_t)offsetof(struct head, state));
}

int letter_failed(int fd, const struct letter *l, int64_t time, const char *why)
{
	struct head h = {
	    .state = LETTER_WAITING,
	    .attempts = htole32(l->attempts + 1),
	    .tried = htole64((uint64_t)time),
	};
	set_why(h.why, why);
	return put(fd, (const char *)&h + offsetof(struct head, state),
	           sizeof h - offsetof(struct head, state),
	           l->at + (off_t)offsetof(struct head, state));
}

void letter_file(char name_r[LETTER_FILE + 1], uint64_t serial)
{
	snprintf(name_r, LETTER_FILE + 1, "%016llx" SUFFIX, (unsigned long long)serial);
}

static bool is_file(const char *name, uint64_t *serial_r)
{
	for (int i = 0; i < 16; i++)
		if (!isxdigit((unsigned char)name[i]) || isupper((unsigned char)name[i]))
			return false;
	*serial_r = strtoull(name, NULL, 16);
	return strcmp(name + 16, SUFFIX) == 0;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

ssize_t letter_files(int dirfd, uint64_t **serials_r)
{
	uint64_t *list = NULL, serial;
	size_t n = 0, cap = 0;
	const struct dirent *e;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	int failed = 0;
	while (errno = 0, (e = readdir(d)) != NULL) {
		if (!is_file(e->d_name, &serial))
			continue;
		if (n == cap) {
			uint64_t *more = realloc(list, (cap = cap ? 2 * cap : 64) * sizeof *list);
			if (!more) {
				failed = ENOMEM;
				break;
			}
			list = more;
		}
		list[n++] = serial;
	}
	if (!e && !failed)
		failed = errno;
	closedir(d);
	if (failed) {
		free(list);
		errno = failed;
		return -1;
	}
	if (n)
		qsort(list, n, sizeof *list, ascending);
	*serials_r = list;
	return (ssize_t)n;
}

/* --- the walk --- */

struct letter_walk {
	int dirfd, fd; /* -1: between two files */
	bool whole;
	uint64_t *files, from, damage;
	size_t n, i; /* files[i] is open, or the next */
	off_t at;
	struct buf scratch;
};

struct letter_walk *letter_walk(int dirfd, uint64_t from, bool whole)
{
	struct letter_walk *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	*w = (struct letter_walk){.dirfd = dirfd, .fd = -1, .from = from, .whole = whole};
	ssize_t n = letter_files(dirfd, &w->files);
	if (n < 0) {
		free(w);
		return NULL;
	}
	w->n = (size_t)n;
	while (w->i + 1 < w->n && w->files[w->i + 1] <= from)
		w->i++;
	return w;
}

void letter_walk_close(struct letter_walk **wp)
{
	struct letter_walk *w = *wp;
	*wp = NULL;
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	free(w->files);
	buf_free(&w->scratch);
	free(w);
}

int letter_walk_next(struct letter_walk *w, struct letter *l_r)
{
	while (w->i < w->n) {
		if (w->fd < 0) {
			char name[LETTER_FILE + 1];
			letter_file(name, w->files[w->i]);
			w->fd = openat(w->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
			w->at = 0;
			if (w->fd < 0 && errno != ENOENT) /* its last letter has just gone */
				return -1;
		}
		int r = w->fd < 0
		            ? 0
		            : letter_read(w->fd, &w->at, w->whole, &w->scratch, l_r, &w->damage);
		if (r < 0)
			return -1;
		l_r->file = w->files[w->i];
		if (r > 0 && l_r->serial >= w->from)
			return 1;
		if (r > 0)
			continue;
		if (w->fd >= 0)
			close(w->fd);
		w->fd = -1;
		w->i++;
	}
	return 0;
}

uint64_t letter_walk_damage(const struct letter_walk *w)
{
	return w->damage;
}
