/* SPDX-License-Identifier: BSD-3-Clause */
#include "cursor.h"

#include "follows.h"
#include "identity.h"
#include "segment.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Each slot in a disk sector of its own, so that a torn write spoils one only. */
#define SLOT_SIZE 512
#define VERSION   1

static const unsigned char magic[8] = {0xff, 0x00, 'm', 'b', 'c', 'u', 'r', 0xff};

/* Little-endian numbers; the checksum covers all before it. */
struct slot {
	unsigned char magic[8];
	uint32_t version, length; /* 0: this one's */
	uint64_t sequence, pos, delivered, time;
	unsigned char uuid[16];
	uint64_t checksum;
} __attribute__((packed));

struct cursor {
	int fd;
	uint64_t sequence;
	struct cursor_state state;
};

static uint64_t checksum(const struct slot *s)
{
	return XXH3_64bits(s, offsetof(struct slot, checksum));
}

/* One that keeps the length need not tell it, as this one does not. */
static bool foreign(int fd, off_t at)
{
	unsigned char head[SLOT_SIZE];
	struct slot s;
	ssize_t n = pread(fd, head, sizeof head, at);
	if (n < (ssize_t)sizeof s)
		return false;
	memcpy(&s, head, sizeof s);
	return segment_foreign(head, (size_t)n, magic, VERSION) ||
	       (memcmp(s.magic, magic, sizeof magic) == 0 && le32toh(s.version) != VERSION &&
	        !s.length && s.checksum == htole64(checksum(&s)));
}

/* The newer of the two valid slots. 0, or -1 (EBADMSG with none, ENODATA for an empty file,
 * EPROTONOSUPPORT when either is of another version). */
static int slots_read(int fd, struct cursor_state *state_r, uint64_t *sequence_r)
{
	bool found = false, any = false;
	for (int i = 0; i < 2; i++) {
		struct slot s;
		if (pread(fd, &s, sizeof s, i * SLOT_SIZE) != sizeof s)
			continue;
		for (size_t k = 0; k < sizeof s; k++)
			any |= ((const char *)&s)[k] != 0;
		if (memcmp(s.magic, magic, sizeof magic) != 0 || le32toh(s.version) != VERSION ||
		    s.checksum != htole64(checksum(&s))) {
			if (foreign(fd, i * SLOT_SIZE)) {
				errno = EPROTONOSUPPORT;
				return -1;
			}
			continue;
		}
		if (found && le64toh(s.sequence) < *sequence_r)
			continue;
		found = true;
		*sequence_r = le64toh(s.sequence);
		state_r->pos = le64toh(s.pos);
		state_r->delivered = le64toh(s.delivered);
		state_r->time = (int64_t)le64toh(s.time);
		memcpy(state_r->uuid, s.uuid, sizeof s.uuid);
	}
	if (!found)
		errno = any ? EBADMSG : ENODATA;
	return found ? 0 : -1;
}

static bool path_of(char path_r[NAME_MAX], const char *name)
{
	return snprintf(path_r, NAME_MAX, "cursors/%s", name) < NAME_MAX && !strchr(name, '/') &&
	       name[0] != '.' && name[0];
}

static int __attribute__((format(printf, 2, 3))) fail(char **why_r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(why_r, fmt, ap) < 0)
		*why_r = NULL;
	va_end(ap);
	return -1;
}

/* A power cut must not make it new again, at a newer event than those that are not delivered. */
static int created_sync(int journalfd, struct cursor *c)
{
	int fd = openat(journalfd, "cursors", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int r = cursor_sync(c) < 0 || fsync(fd) < 0 ? -1 : 0;
	int why = errno;
	close(fd);
	errno = why;
	return r;
}

int cursor_open(struct cursor **c_r, int journalfd, const char *name, uint64_t start, bool *made_r,
                char **why_r)
{
	char path[NAME_MAX];
	unsigned char former[16];
	*why_r = NULL;
	*made_r = false;
	if (!path_of(path, name))
		return fail(why_r, "%s: not a cursor name", name);
	struct cursor *c = calloc(1, sizeof *c);
	if (!c)
		return fail(why_r, "out of memory");
	c->fd = openat(journalfd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (c->fd < 0) {
		fail(why_r, "cannot open %s: %s", path, strerror(errno));
		goto fail;
	}
	if (flock(c->fd, LOCK_EX | LOCK_NB) < 0) {
		int e = errno;
		fail(why_r, "%s is in use", path);
		close(c->fd);
		free(c);
		errno = e == EWOULDBLOCK ? EAGAIN : e;
		return -1;
	}
	struct cursor_state was = {0};
	unsigned char uuid[16];
	if (journal_identity(journalfd, uuid, former) < 0) {
		fail(why_r, "cannot read the journal's identity: %s",
		     journal_identity_error(errno));
		goto fail;
	}
	int r = slots_read(c->fd, &was, &c->sequence);
	bool empty = r < 0 && errno == ENODATA;
	if (r < 0 && errno == EPROTONOSUPPORT) {
		fail(why_r,
		     "%s is of a version that this program does not know: install the one that "
		     "made it, or move the file away to begin anew",
		     path);
		goto fail;
	}
	if (r == 0 && memcmp(was.uuid, uuid, 16) != 0 && memcmp(was.uuid, former, 16) != 0) {
		fail(why_r, "%s belongs to another journal; it starts anew", path);
		r = -1;
	} else if (r < 0 && errno == EBADMSG) {
		/* Where it was is not known: twice rather than never. */
		fail(why_r, "%s is damaged; it starts with the oldest event", path);
		start = 0;
	}
	/* notifyd's own, for what processes with the older hook append, may be there. */
	uint64_t follows;
	bool behind = r == 0 && name[0] != '-' && segment_version(was.pos) < SEGMENT_VERSION &&
	              follows_at(journalfd, &follows) == 1 && was.pos > follows;
	if (r == 0 && (behind || segment_version(was.pos) > SEGMENT_VERSION)) {
		fail(why_r,
		     "%s stands in a part of the journal that only %s version reads: install "
		     "that, or see VERSIONS in mboxevent-journal(5)",
		     path, behind ? "the earlier" : "a later");
		errno = EPROTONOSUPPORT;
		goto fail;
	}
	c->state = was;
	memcpy(c->state.uuid, uuid, 16);
	if (r < 0) {
		*made_r = true;
		int e = posix_fallocate(c->fd, 0, 2 * SLOT_SIZE);
		if (e || segment_adopt(journalfd, c->fd) < 0 || cursor_set(c, start, 0) < 0 ||
		    cursor_set(c, start, 0) < 0 || created_sync(journalfd, c) < 0) {
			free(*why_r);
			fail(why_r, "cannot write %s: %s", path, strerror(e ? e : errno));
			/* Left behind it would hold the whole journal, for nobody. */
			if (empty)
				unlinkat(journalfd, path, 0);
			goto fail;
		}
	}
	*c_r = c;
	return 0;
fail:
	if (c->fd >= 0)
		close(c->fd);
	free(c);
	return -1;
}

void cursor_close(struct cursor **c)
{
	if (!*c)
		return;
	close((*c)->fd);
	free(*c);
	*c = NULL;
}

const struct cursor_state *cursor_get(const struct cursor *c)
{
	return &c->state;
}

int cursor_set(struct cursor *c, uint64_t pos, uint64_t delivered)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	c->state.pos = pos;
	c->state.delivered = delivered;
	c->state.time = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
	c->sequence++;
	struct slot s = {
	    .version = htole32(VERSION),
	    .sequence = htole64(c->sequence),
	    .pos = htole64(pos),
	    .delivered = htole64(delivered),
	    .time = htole64((uint64_t)c->state.time),
	};
	memcpy(s.magic, magic, sizeof magic);
	memcpy(s.uuid, c->state.uuid, sizeof s.uuid);
	s.checksum = htole64(checksum(&s));
	return pwrite(c->fd, &s, sizeof s, (off_t)(c->sequence % 2 * SLOT_SIZE)) == sizeof s ? 0
	                                                                                     : -1;
}

int cursor_sync(struct cursor *c)
{
	return fdatasync(c->fd);
}

int cursor_peek(int journalfd, const char *name, struct cursor_state *state_r)
{
	char path[NAME_MAX];
	uint64_t sequence;
	if (!path_of(path, name)) {
		errno = EINVAL;
		return -1;
	}
	int fd = openat(journalfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -1;
	int r = slots_read(fd, state_r, &sequence);
	int e = errno;
	close(fd);
	errno = e;
	return r;
}

int cursor_each(int journalfd, void (*fn)(void *ctx, const char *name), void *ctx)
{
	int fd = openat(journalfd, "cursors", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	const struct dirent *e;
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			fn(ctx, e->d_name);
	closedir(d);
	return 0;
}

int cursor_remove(int journalfd, const char *name)
{
	char path[NAME_MAX];
	if (!path_of(path, name)) {
		errno = EINVAL;
		return -1;
	}
	return unlinkat(journalfd, path, 0);
}
