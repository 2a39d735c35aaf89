/* SPDX-License-Identifier: BSD-3-Clause */
#include "dead.h"

#include "../lib/segment.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define COUNT   "count"
#define COMPACT ".compact"

enum {
	FILES = 64, /* about so many make up the whole size */
	FILE_MIN = 64 << 10,
	FILE_MAX = 64 << 20,
	PATIENCE_US = 3000000, /* for the lock, which is held for a file's worth of work */
	PAUSE_US = 2000,
};

/* The file `count`, so that nobody must read all letters to tell how many there are. */
struct count {
	unsigned char magic[8];
	uint64_t waiting, asked, since;
	uint64_t checksum; /* of all before it */
} __attribute__((packed));

static const unsigned char magic[8] = {0xff, 0x00, 'm', 'b', 'd', 'c', 0x01, 0xff};

struct dead {
	int dir;
	struct dead_summary sum; /* as `count` says, while the lock is held */

	/* the worker's */
	unsigned char uuid[16];
	uint64_t max;
	uint64_t top;        /* highest position among those of uuid */
	bool doubt;          /* what is there may be in memory alone: a sync failed */
	uint64_t serial;     /* the next letter's */
	uint64_t used;       /* bytes of disk, no less than they are */
	int fd;              /* the file that is appended to, or -1: */
	uint64_t file, size; /* its serial and length */
	bool dirty, made;    /* it is not synced; nor is its name */
	struct buf buf;
	uint64_t *known; /* positions of those of uuid, ascending; NULL: not looked for yet */
	size_t n_known;
	uint64_t sought; /* the position that was looked for last */
};

static int64_t now_us(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* dead/<before><sink><after> */
static int path_of(char path_r[NAME_MAX], const char *before, const char *sink, const char *after)
{
	if (*sink && *sink != '.' && !strchr(sink, '/') &&
	    snprintf(path_r, NAME_MAX, "dead/%s%s%s", before, sink, after) < NAME_MAX)
		return 0;
	errno = EINVAL;
	return -1;
}

static int close_keeping_errno(int fd)
{
	int why = errno;
	if (fd >= 0)
		close(fd);
	errno = why;
	return -1;
}

/* --- lock and count --- */

static void count_read(int dir, struct dead_summary *s_r, bool *whole_r)
{
	struct count c;
	int fd = openat(dir, COUNT, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	*whole_r = fd >= 0 && pread(fd, &c, sizeof c, 0) == sizeof c &&
	           memcmp(c.magic, magic, sizeof magic) == 0 &&
	           le64toh(c.checksum) == XXH3_64bits(&c, offsetof(struct count, checksum));
	close_keeping_errno(fd);
	if (*whole_r) {
		s_r->waiting = le64toh(c.waiting);
		s_r->asked = le64toh(c.asked);
		s_r->since = (int64_t)le64toh(c.since);
	}
}

/* What can't be written is counted again by who next needs it. */
static void count_write(const struct dead *d)
{
	struct count c = {
	    .waiting = htole64(d->sum.waiting),
	    .asked = htole64(d->sum.asked),
	    .since = htole64((uint64_t)d->sum.since),
	};
	memcpy(c.magic, magic, sizeof magic);
	c.checksum = htole64(XXH3_64bits(&c, offsetof(struct count, checksum)));
	int why = errno;
	int fd = openat(d->dir, COUNT, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		fd = openat(d->dir, COUNT, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0 && segment_adopt(d->dir, fd) < 0) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0 || pwrite(fd, &c, sizeof c, 0) != sizeof c)
		unlinkat(d->dir, COUNT, 0);
	if (fd >= 0)
		close(fd);
	errno = why;
}

static void count_spoil(const struct dead *d)
{
	int fd = openat(d->dir, COUNT, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && pwrite(fd, "", 1, 0) != 1)
		unlinkat(d->dir, COUNT, 0);
	close_keeping_errno(fd);
}

static void count_from(struct dead_summary *s, const struct letter *l)
{
	if (l->state == LETTER_GONE)
		return;
	s->waiting++;
	s->asked += l->state == LETTER_ASKED;
	if (!s->since || l->died < s->since)
		s->since = l->died;
}

/* By reading all heads. */
static int count_anew(int dir, struct dead_summary *s_r)
{
	struct letter l;
	struct letter_walk *w = letter_walk(dir, 0, false);
	int r = w ? 1 : -1;
	s_r->waiting = s_r->asked = 0;
	s_r->since = 0;
	while (w && (r = letter_walk_next(w, &l)) > 0)
		count_from(s_r, &l);
	int why = errno;
	letter_walk_close(&w);
	errno = why;
	return r < 0 ? -1 : 0;
}

static void unlock(struct dead *d)
{
	int why = errno;
	flock(d->dir, LOCK_UN);
	errno = why;
}

static int lock(struct dead *d)
{
	bool whole;
	for (int64_t end = now_us(CLOCK_MONOTONIC) + PATIENCE_US;;) {
		if (flock(d->dir, LOCK_EX | LOCK_NB) == 0)
			break;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -1;
		if (now_us(CLOCK_MONOTONIC) > end) {
			errno = EAGAIN;
			return -1;
		}
		usleep(PAUSE_US);
	}
	count_read(d->dir, &d->sum, &whole);
	if (whole || count_anew(d->dir, &d->sum) == 0)
		return 0;
	unlock(d);
	return -1;
}

/* Of a letter that goes from one state to another. */
static void count_change(struct dead_summary *s, enum letter_state from, enum letter_state to)
{
	s->asked -= from == LETTER_ASKED && s->asked;
	s->asked += to == LETTER_ASKED;
	s->waiting -= to == LETTER_GONE && s->waiting;
}

/* The oldest, where that may have gone: letters lie in the order of their deaths. */
static void count_since(struct dead *d)
{
	struct letter l;
	struct letter_walk *w = letter_walk(d->dir, 0, false);
	int r = 0;
	while (w && (r = letter_walk_next(w, &l)) > 0 && l.state == LETTER_GONE)
		;
	if (w && r >= 0)
		d->sum.since = r ? l.died : 0;
	letter_walk_close(&w);
}

static uint64_t disk_used(int dir)
{
	uint64_t *files = NULL, sum = 0;
	ssize_t n = letter_files(dir, &files);
	for (ssize_t i = 0; i < n; i++) {
		char name[LETTER_FILE + 1];
		struct stat st;
		letter_file(name, files[i]);
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			sum += (uint64_t)st.st_size;
	}
	if (n >= 0)
		free(files);
	return sum;
}

int dead_summary(int journalfd, const char *sink, struct dead_summary *s_r)
{
	char path[NAME_MAX];
	bool whole;
	memset(s_r, 0, sizeof *s_r);
	if (path_of(path, "", sink, "") < 0)
		return -1;
	int dir = openat(journalfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return errno == ENOENT ? 0 : -1;
	count_read(dir, s_r, &whole);
	int r = whole ? 0 : count_anew(dir, s_r);
	s_r->bytes = r < 0 ? 0 : disk_used(dir);
	close_keeping_errno(dir);
	return r;
}

/* --- open --- */

static int make_dir(int journalfd, const char *path)
{
	struct stat st;
	if (mkdirat(journalfd, path, 0700) < 0)
		return errno == EEXIST ? 0 : -1;
	if (fstat(journalfd, &st) < 0 ||
	    (geteuid() == 0 && fchownat(journalfd, path, st.st_uid, st.st_gid, 0) < 0) ||
	    fchmodat(journalfd, path, st.st_mode & 0777, 0) < 0)
		return -1;
	int parent = openat(journalfd, "dead", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = parent < 0 ? -1 : fsync(parent);
	close_keeping_errno(parent);
	return r;
}

int dead_open(struct dead **d_r, int journalfd, const char *sink, bool make)
{
	char path[NAME_MAX];
	if (path_of(path, "", sink, "") < 0 || (make && make_dir(journalfd, path) < 0))
		return -1;
	struct dead *d = calloc(1, sizeof *d);
	if (!d)
		return -1;
	d->fd = -1;
	d->dir = openat(journalfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (d->dir < 0) {
		int why = errno;
		free(d);
		errno = why;
		return -1;
	}
	*d_r = d;
	return 0;
}

void dead_close(struct dead **dp)
{
	struct dead *d = *dp;
	*dp = NULL;
	if (!d)
		return;
	free(d->known);
	close_keeping_errno(d->fd);
	close(d->dir);
	buf_free(&d->buf);
	free(d);
}

int dead_dir(const struct dead *d)
{
	return d->dir;
}

/* --- files --- */

static int file_open(const struct dead *d, uint64_t file, int flags)
{
	char name[LETTER_FILE + 1];
	letter_file(name, file);
	return openat(d->dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int file_unlink(const struct dead *d, uint64_t file)
{
	char name[LETTER_FILE + 1];
	letter_file(name, file);
	return unlinkat(d->dir, name, 0);
}

/* Bytes of the letters in it that are there, and of those that are gone. -1 with errno. */
static int file_live(int fd, uint64_t *live_r, uint64_t *gone_r)
{
	struct letter l;
	off_t at = 0;
	uint64_t damage = 0;
	int r;
	*live_r = *gone_r = 0;
	while ((r = letter_read(fd, &at, false, NULL, &l, &damage)) > 0)
		*(l.state == LETTER_GONE ? gone_r : live_r) += l.len;
	return r;
}

/* Copies those that are there. */
static int copy_live(struct dead *d, int from, int to)
{
	struct letter l;
	off_t at = 0;
	uint64_t damage = 0;
	int r;
	while ((r = letter_read(from, &at, false, NULL, &l, &damage)) > 0) {
		if (l.state == LETTER_GONE)
			continue;
		buf_reset(&d->buf);
		if (!buf_room(&d->buf, l.len)) {
			errno = ENOMEM;
			return -1;
		}
		errno = EIO;
		if (pread(from, d->buf.s, l.len, l.at) != (ssize_t)l.len ||
		    write(to, d->buf.s, l.len) != (ssize_t)l.len)
			return -1;
	}
	return r;
}

/* Writes a file anew without those that are gone, where that frees half of it, or anything. */
static int file_compact(struct dead *d, uint64_t file, bool anything)
{
	char name[LETTER_FILE + 1];
	struct stat st;
	uint64_t live, gone;
	int to = -1, fd = file_open(d, file, O_RDONLY);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	int r = fstat(fd, &st) < 0 ? -1 : file_live(fd, &live, &gone);
	if (r == 0 && live == 0) {
		r = file_unlink(d, file);
	} else if (r == 0 && (live <= (uint64_t)st.st_size / 2 || (anything && gone))) {
		to = openat(d->dir, COMPACT, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		letter_file(name, file);
		if (to < 0 || segment_adopt(d->dir, to) < 0 || copy_live(d, fd, to) < 0 ||
		    fdatasync(to) < 0 || renameat(d->dir, COMPACT, d->dir, name) < 0)
			r = -1;
	}
	int why = errno;
	if (r < 0)
		unlinkat(d->dir, COMPACT, 0);
	errno = why;
	close_keeping_errno(to);
	close_keeping_errno(fd);
	return r;
}

/* 0 when len bytes more fit. */
static int room(struct dead *d, uint64_t len)
{
	if (d->used + len <= d->max)
		return 0;
	uint64_t *files = NULL;
	ssize_t n = letter_files(d->dir, &files);
	for (ssize_t i = 0; i < n; i++)
		if (d->fd < 0 || files[i] != d->file)
			file_compact(d, files[i], false); /* it may work for the next */
	d->used = disk_used(d->dir);
	/* A little here and there is room too, and the sink waits for it. */
	for (ssize_t i = 0; i < n && d->used + len > d->max; i++)
		if ((d->fd < 0 || files[i] != d->file) && file_compact(d, files[i], true) == 0)
			d->used = disk_used(d->dir);
	if (n >= 0)
		free(files);
	/* One larger than all is better there than nowhere. */
	if (d->used + len <= d->max || d->used == 0)
		return 0;
	errno = EDQUOT;
	return -1;
}

/* Nothing of what was not synced can be relied on. */
static int distrust(struct dead *d)
{
	close_keeping_errno(d->fd);
	d->fd = -1;
	d->doubt = true;
	return -1;
}

int dead_sync(struct dead *d)
{
	if (!d->dirty)
		return 0;
	if (d->fd < 0) {
		errno = EIO;
		return -1;
	}
	if (fdatasync(d->fd) < 0 || (d->made && fsync(d->dir) < 0))
		return distrust(d);
	d->dirty = d->made = false;
	return 0;
}

/* A file to append to. */
static int file_begin(struct dead *d)
{
	struct stat st;
	uint64_t limit = d->max / FILES;
	limit = limit < FILE_MIN ? FILE_MIN : limit > FILE_MAX ? FILE_MAX : limit;
	if (d->fd >= 0 && fstat(d->fd, &st) < 0)
		return -1;
	/* notifyctl deletes one when its last letter has gone. */
	if (d->fd >= 0 && st.st_nlink > 0 && d->size < limit)
		return 0;
	if (d->fd >= 0 && dead_sync(d) < 0)
		return -1;
	close_keeping_errno(d->fd);
	d->fd = file_open(d, d->serial, O_WRONLY | O_CREAT | O_EXCL | O_APPEND);
	if (d->fd < 0)
		return -1;
	d->file = d->serial;
	d->size = 0;
	d->made = true;
	if (segment_adopt(d->dir, d->fd) == 0)
		return 0;
	int why = errno;
	file_unlink(d, d->file);
	errno = why;
	close_keeping_errno(d->fd);
	d->fd = -1;
	return -1;
}

/* --- the worker's --- */

/* Goes on with the last file, if nothing is torn at its end. */
static int take_last(struct dead *d, uint64_t file)
{
	struct letter l;
	struct stat st;
	off_t at = 0;
	uint64_t damage = 0;
	int r, fd = file_open(d, file, O_RDWR | O_APPEND);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	while ((r = letter_read(fd, &at, false, NULL, &l, &damage)) > 0)
		;
	if (r < 0 || fstat(fd, &st) < 0 || fdatasync(fd) < 0)
		return close_keeping_errno(fd);
	if (at != st.st_size) {
		close(fd);
		return 0;
	}
	d->fd = fd;
	d->file = file;
	d->size = (uint64_t)at;
	return 0;
}

static int sweep(struct dead *d, uint64_t file)
{
	uint64_t live = 0, gone;
	int fd = file_open(d, file, O_RDONLY);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	int r = file_live(fd, &live, &gone);
	close_keeping_errno(fd);
	return r < 0 || live ? r : file_unlink(d, file);
}

static int begin(struct dead *d)
{
	uint64_t *files;
	struct letter l;
	struct letter_walk *w = letter_walk(d->dir, 0, false);
	int r = w ? 1 : -1;
	memset(&d->sum, 0, sizeof d->sum);
	while (w && (r = letter_walk_next(w, &l)) > 0) {
		count_from(&d->sum, &l);
		if (l.serial >= d->serial)
			d->serial = l.serial + 1;
		if (memcmp(l.uuid, d->uuid, sizeof l.uuid) == 0 && l.rec.pos > d->top)
			d->top = l.rec.pos;
	}
	letter_walk_close(&w);
	ssize_t n = r < 0 ? -1 : letter_files(d->dir, &files);
	if (n < 0)
		return -1;
	r = 0;
	for (ssize_t i = 0; i < n && r == 0; i++)
		r = sweep(d, files[i]);
	/* A torn beginning of a file is no letter, and yet has taken the serial for its name. */
	if (r == 0 && n && files[n - 1] >= d->serial)
		d->serial = files[n - 1] + 1;
	if (r == 0 && n)
		r = take_last(d, files[n - 1]);
	if (r == 0)
		r = fsync(d->dir);
	free(files);
	unlinkat(d->dir, COMPACT, 0);
	d->used = disk_used(d->dir);
	count_write(d);
	return r;
}

int dead_begin(struct dead *d, const unsigned char uuid[16], uint64_t max, bool *asked_r)
{
	memcpy(d->uuid, uuid, sizeof d->uuid);
	d->max = max;
	d->serial = 1;
	if (lock(d) < 0)
		return -1;
	int r = begin(d);
	*asked_r = d->sum.asked > 0;
	unlock(d);
	return r;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Those that cannot be read, or for which there is no memory, are kept twice rather than lost. */
static void look(struct dead *d)
{
	struct letter l;
	size_t cap = d->known ? d->n_known : 0;
	struct letter_walk *w = letter_walk(d->dir, 0, false);
	d->n_known = 0;
	while (w && letter_walk_next(w, &l) > 0) {
		if (l.state == LETTER_GONE || memcmp(l.uuid, d->uuid, sizeof l.uuid) != 0)
			continue;
		if (d->n_known == cap) {
			cap = cap ? 2 * cap : 64;
			uint64_t *more = realloc(d->known, cap * sizeof *more);
			if (!more)
				break;
			d->known = more;
		}
		d->known[d->n_known++] = l.rec.pos;
	}
	letter_walk_close(&w);
	if (d->n_known)
		qsort(d->known, d->n_known, sizeof *d->known, ascending);
}

/* Whether it was kept before: a worker that was killed, or moved back, comes to it again. They come
 * in order, so one look serves them all; they do not lie in order where it was moved back before.
 */
static bool kept(struct dead *d, uint64_t pos)
{
	bool back = pos <= d->sought;
	d->sought = pos;
	if (pos > d->top || d->doubt)
		return false;
	if (!d->known || back)
		look(d);
	return d->n_known && bsearch(&pos, d->known, d->n_known, sizeof pos, ascending);
}

static int append(struct dead *d, const struct record *rec, const char *why)
{
	struct letter l = {.died = now_us(CLOCK_REALTIME), .serial = d->serial, .rec = *rec};
	memcpy(l.uuid, d->uuid, sizeof l.uuid);
	snprintf(l.why, sizeof l.why, "%s", why);
	size_t len = LETTER_HEAD + RECORD_HEADER + rec->event.len + rec->user.len + rec->owner.len +
	             rec->mailbox.len + rec->json.len;
	if (room(d, len) < 0 || file_begin(d) < 0)
		return -1;
	buf_reset(&d->buf);
	if (letter_encode(&d->buf, &l) < 0) {
		errno = ENOMEM;
		return -1;
	}
	ssize_t n = write(d->fd, d->buf.s, d->buf.len);
	if (n != (ssize_t)d->buf.len) {
		if (n >= 0)
			errno = ENOSPC;
		int e = errno;
		/* Half a letter must not stand before others. */
		if (n > 0 && ftruncate(d->fd, (off_t)d->size) < 0 && dead_sync(d) == 0) {
			close(d->fd);
			d->fd = -1;
		}
		errno = e;
		return -1;
	}
	d->dirty = true;
	d->size += d->buf.len;
	d->used += d->buf.len;
	d->serial++;
	if (rec->pos > d->top)
		d->top = rec->pos;
	l.state = LETTER_WAITING;
	count_from(&d->sum, &l);
	count_write(d);
	return 0;
}

int dead_letter(struct dead *d, const struct record *rec, const char *why)
{
	if (lock(d) < 0)
		return -1;
	int r = kept(d, rec->pos) ? 0 : append(d, rec, why);
	unlock(d);
	return r;
}

/* Opens its file; l_r is the letter as it is now. -1 with errno; ENOENT: it is gone. */
static int find(const struct dead *d, const struct letter *l, struct letter *l_r)
{
	uint64_t damage = 0;
	off_t at = l->at;
	int fd = file_open(d, l->file, O_RDWR);
	if (fd < 0)
		return -1;
	int r = letter_read(fd, &at, false, NULL, l_r, &damage);
	if (r >= 0 && (r == 0 || l_r->serial != l->serial)) /* the file was written anew */
		for (at = 0; (r = letter_read(fd, &at, false, NULL, l_r, &damage)) > 0;)
			if (l_r->serial == l->serial)
				break;
	if (r > 0 && l_r->state != LETTER_GONE)
		return fd;
	if (r >= 0)
		errno = ENOENT;
	return close_keeping_errno(fd);
}

/* why: NULL when it was delivered. */
static int settle(struct dead *d, const struct letter *l, const char *why)
{
	struct letter now;
	if (lock(d) < 0)
		return -1;
	int fd = find(d, l, &now), r = fd < 0 ? -1 : 0;
	if (fd >= 0) {
		r = why ? letter_failed(fd, &now, now_us(CLOCK_REALTIME), why)
		        : letter_mark(fd, &now, LETTER_GONE);
		if (r == 0) {
			count_change(&d->sum, now.state, why ? LETTER_WAITING : LETTER_GONE);
			count_write(d);
		}
		close_keeping_errno(fd);
	}
	unlock(d);
	return fd < 0 && errno == ENOENT ? 0 : r;
}

int dead_gone(struct dead *d, const struct letter *l)
{
	return settle(d, l, NULL);
}

int dead_failed(struct dead *d, const struct letter *l, const char *why)
{
	return settle(d, l, why);
}

int dead_sweep(struct dead *d, uint64_t file)
{
	if (lock(d) < 0)
		return -1;
	int r = sweep(d, file);
	count_since(d);
	count_write(d);
	unlock(d);
	return r;
}

/* --- notifyctl's --- */

static int judge_file(struct dead *d, uint64_t file,
                      enum dead_verdict (*judge)(void *ctx, const struct letter *l), void *ctx)
{
	struct letter l;
	uint64_t damage = 0;
	off_t at = 0;
	bool left = false, changed = false;
	int r, fd = file_open(d, file, O_RDWR);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	while ((r = letter_read(fd, &at, false, NULL, &l, &damage)) > 0) {
		if (l.state == LETTER_GONE)
			continue;
		l.file = file;
		enum dead_verdict verdict = judge(ctx, &l);
		enum letter_state to = verdict == DEAD_DROP    ? LETTER_GONE
		                       : verdict == DEAD_RETRY ? LETTER_ASKED
		                                               : l.state;
		left |= to != LETTER_GONE;
		if (to == l.state)
			continue;
		if (!changed)
			count_spoil(d); /* who is killed now leaves none, rather than a wrong one */
		if (letter_mark(fd, &l, to) < 0)
			break;
		count_change(&d->sum, l.state, to);
		changed = true;
	}
	if (r == 0 && !left)
		r = file_unlink(d, file);
	else if (r == 0 && changed)
		r = fdatasync(fd);
	else if (r > 0)
		r = -1;
	if (changed)
		count_write(d);
	close_keeping_errno(fd);
	return r;
}

int dead_judge(struct dead *d, enum dead_verdict (*judge)(void *ctx, const struct letter *l),
               void *ctx)
{
	uint64_t *files;
	ssize_t n = letter_files(d->dir, &files);
	int r = n < 0 ? -1 : 0;
	/* The worker is let in between two files. */
	for (ssize_t i = 0; i < n && r == 0; i++) {
		r = lock(d);
		if (r < 0)
			break;
		r = judge_file(d, files[i], judge, ctx);
		if (i + 1 == n) {
			count_since(d);
			count_write(d);
		}
		unlock(d);
	}
	int why = errno;
	if (n >= 0)
		free(files);
	if (r == 0)
		r = fsync(d->dir);
	else
		errno = why;
	return r;
}

/* --- the request --- */

int dead_ask(int journalfd, const char *sink)
{
	char path[NAME_MAX];
	if (path_of(path, ".", sink, ".retry") < 0)
		return -1;
	int fd = openat(journalfd, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -1;
	int r = segment_adopt(journalfd, fd);
	close_keeping_errno(fd);
	return r;
}

bool dead_asked(int journalfd, const char *sink)
{
	char path[NAME_MAX];
	return path_of(path, ".", sink, ".retry") == 0 && faccessat(journalfd, path, F_OK, 0) == 0;
}

void dead_heard(int journalfd, const char *sink)
{
	char path[NAME_MAX];
	if (path_of(path, ".", sink, ".retry") == 0)
		unlinkat(journalfd, path, 0);
}
