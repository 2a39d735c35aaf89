/* SPDX-License-Identifier: BSD-3-Clause */
#include "verify.h"

#include "../lib/segment.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WINDOW  (1u << 20)
#define STEP    (16u << 20) /* between two calls of progress() */
#define WAIT_MS 50

struct scan {
	struct verify *v;
	int dirfd;
	uint64_t total, told;
	uint64_t last; /* base of the segment that was looked at last */
	bool any;      /* there was one */
	uint64_t due;  /* where the next one begins, or a boot's gap behind it; */
	uint64_t end;  /* the end of its file, as a position */
	bool sealed, gone;
	bool open; /* it was the newest and had no SEAL: what came of it since is not known */
	/* the segment that is open: */
	int fd;
	uint64_t base, size;
	uint64_t limit; /* 0: its header does not tell */
	char *buf;      /* len bytes from offset `at` on */
	size_t cap, len;
	uint64_t at;
};

const char *verify_kind(enum damage_kind kind)
{
	static const char *const names[] = {
	    [DAMAGE_HEADER] = "damaged header",
	    [DAMAGE_VERSION] = "unknown version",
	    [DAMAGE_CHECKSUM] = "bad checksum",
	    [DAMAGE_TORN] = "torn",
	    [DAMAGE_HOLE] = "hole",
	    [DAMAGE_CUT] = "cut short",
	    [DAMAGE_MISSING] = "missing segment",
	};
	return names[kind];
}

static void found(struct scan *s, enum damage_kind kind, uint64_t offset, uint64_t len)
{
	struct damage d = {kind, s->base + offset, len, s->base, offset};
	s->v->damaged++;
	s->v->found(s->v->ctx, &d);
}

/* Makes buf hold `want` bytes from offset on, fewer at the segment's end. How many it holds, -1
 * with errno. */
static ssize_t window(struct scan *s, uint64_t offset, size_t want)
{
	if (offset >= s->size)
		return 0;
	if (s->size - offset < want)
		want = (size_t)(s->size - offset);
	if (offset >= s->at && offset + want <= s->at + s->len)
		return (ssize_t)(s->at + s->len - offset);
	size_t cap = want > WINDOW ? want : WINDOW;
	if (cap > s->cap) {
		char *buf = realloc(s->buf, cap);
		if (!buf)
			return -1;
		s->buf = buf;
		s->cap = cap;
	}
	if (s->size - offset < cap)
		cap = (size_t)(s->size - offset);
	s->at = offset;
	for (s->len = 0; s->len < cap;) {
		ssize_t n = pread(s->fd, s->buf + s->len, cap - s->len, (off_t)(offset + s->len));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		s->len += (size_t)n;
	}
	return (ssize_t)s->len;
}

static const char *bytes(const struct scan *s, uint64_t offset)
{
	return s->buf + (offset - s->at);
}

/* As record_decode(); -2 with errno. */
static int look(struct scan *s, uint64_t offset, struct record *rec_r, size_t *len_r)
{
	*len_r = RECORD_HEADER;
	for (size_t want = RECORD_HEADER;;) {
		ssize_t have = window(s, offset, want);
		if (have <= 0)
			return have < 0 ? -2 : RECORD_SHORT;
		int kind = record_decode(bytes(s, offset), (size_t)have, rec_r, len_r);
		if (kind != RECORD_SHORT || (size_t)have < want)
			return kind;
		want = *len_r;
	}
}

/* The offset of the next whole record behind `offset`; the segment's end when there is none; -1
 * with errno. */
static int64_t next_valid(struct scan *s, uint64_t offset)
{
	struct record rec;
	size_t len;
	for (uint64_t p = offset + 1; p < s->size;) {
		ssize_t have = window(s, p, RECORD_HEADER);
		if (have < 0)
			return -1;
		if (have == 0)
			break;
		size_t i = record_resync(bytes(s, p), (size_t)have, 0);
		p += i;
		if (i == (size_t)have)
			continue;
		int kind = look(s, p, &rec, &len);
		if (kind == -2)
			return -1;
		if (kind > 0)
			return (int64_t)p;
		p++;
	}
	return (int64_t)s->size;
}

static bool zeros(struct scan *s, uint64_t from, uint64_t to)
{
	while (from < to) {
		ssize_t have = window(s, from, 1);
		if (have <= 0)
			return false;
		if ((uint64_t)have > to - from)
			have = (ssize_t)(to - from);
		const char *p = bytes(s, from);
		if (p[0] || memcmp(p, p + 1, (size_t)have - 1) != 0)
			return false;
		from += (uint64_t)have;
	}
	return true;
}

/* The length that a record at offset says it has; 0: none that could be. */
static size_t claimed(struct scan *s, uint64_t offset)
{
	uint32_t n;
	if (window(s, offset, RECORD_HEADER) < RECORD_HEADER)
		return 0;
	memcpy(&n, bytes(s, offset) + 16, sizeof n); /* mboxevent-journal(5) */
	n = le32toh(n);
	return n >= RECORD_HEADER && n <= RECORD_MAX ? n : 0;
}

static bool begins(struct scan *s, uint64_t offset)
{
	return window(s, offset, sizeof record_magic) >= (ssize_t)sizeof record_magic &&
	       memcmp(bytes(s, offset), record_magic, sizeof record_magic) == 0;
}

/* Tells what is wrong between two offsets: record by record where they can still be told from each
 * other. */
static void tell(struct scan *s, uint64_t from, uint64_t to)
{
	while (from < to) {
		size_t len = claimed(s, from);
		uint64_t end = to;
		enum damage_kind kind = zeros(s, from, to) ? DAMAGE_HOLE : DAMAGE_TORN;
		if (kind == DAMAGE_TORN && len && len <= to - from &&
		    (len == to - from || begins(s, from + len))) {
			kind = DAMAGE_CHECKSUM;
			end = from + len;
		}
		found(s, kind, from, end - from);
		from = end;
	}
}

static void progress(struct scan *s, uint64_t offset)
{
	uint64_t done = s->v->bytes + offset;
	if (!s->v->progress || done - s->told < STEP)
		return;
	s->told = done;
	s->v->progress(s->v->ctx, done, s->total > done ? s->total : done);
}

/* The base of the segment after this one; 0: none. */
static uint64_t follower(const struct scan *s, uint64_t base)
{
	uint64_t *bases, next = 0;
	ssize_t n = segment_list(s->dirfd, &bases);
	if (n < 0)
		return 0;
	for (ssize_t i = n - 1; i >= 0 && bases[i] > base; i--)
		next = bases[i];
	free(bases);
	return next;
}

/* The size of the file, less what has the positions of the next segment. */
static int measure(struct scan *s, uint64_t next)
{
	struct stat st;
	if (fstat(s->fd, &st) < 0)
		return -1;
	s->size = (uint64_t)st.st_size;
	s->end = s->base + s->size;
	if (next && next - s->base < s->size)
		s->size = next - s->base;
	s->len = 0;
	return 0;
}

/* Records from offset on, to the SEAL or as far as there are any. Where it came to; -1 with errno.
 */
static int64_t records(struct scan *s, uint64_t offset)
{
	struct record rec;
	size_t len;
	while (offset < s->size) {
		int kind = look(s, offset, &rec, &len);
		if (kind == -2)
			return -1;
		if (kind > 0) {
			offset += len;
			progress(s, offset);
			if (kind == RECORD_SEAL) {
				s->sealed = true;
				break;
			}
			s->v->events++;
			s->v->lost += rec.lost;
			continue;
		}
		int64_t next = next_valid(s, offset);
		if (next < 0)
			return -1;
		if ((uint64_t)next == s->size)
			break; /* nothing follows: maybe it is being written */
		/* One that was sealed below its limit has zeros up to one byte above it. */
		if (!s->limit || (uint64_t)next != s->limit + 1 ||
		    !zeros(s, offset, (uint64_t)next))
			tell(s, offset, (uint64_t)next);
		offset = (uint64_t)next;
	}
	return (int64_t)offset;
}

/* The open segment, its header apart. -1 with errno. */
static int segment(struct scan *s)
{
	uint64_t offset = SEGMENT_HEADER, next = 0;
	s->sealed = false;
	for (int waited = 0;; waited += WAIT_MS) {
		/* Asked first: what is not there then never comes. */
		next = follower(s, s->base);
		if (measure(s, next) < 0)
			return -1;
		int64_t to = records(s, offset);
		if (to < 0)
			return -1;
		offset = (uint64_t)to;
		if (s->sealed || next || offset >= s->size || waited >= s->v->patience)
			break;
		nanosleep(&(struct timespec){.tv_nsec = WAIT_MS * 1000000L}, NULL);
	}
	s->due = s->base + offset;
	s->open = !s->sealed && !next;
	if (s->sealed || (!next && offset >= s->size))
		return 0;
	if (next && next > s->end && next - s->end < SEGMENT_BOOT_GAP) {
		/* Nobody goes on to the next but behind a SEAL. */
		found(s, DAMAGE_CUT, offset, next - s->base - offset);
		s->due = next;
	} else {
		tell(s, offset, s->size);
		s->due = s->base + s->size;
	}
	return 0;
}

/* What lies between the segment before and the one at base. */
static void between(struct scan *s, uint64_t base, const struct segment_bounds *bounds)
{
	uint64_t due = s->due;
	if (!s->any) {
		/* The first: the one at the floor, since none is deleted but behind a newer one;
		 * without the file `bounds` it is not known. */
		due = bounds->floor;
		if ((!bounds->top && !bounds->floor) || segment_version(base) < SEGMENT_VERSION)
			return;
	} else if (segment_version(base) > segment_version(due)) {
		due = s->end = SEGMENT_FIRST(segment_version(base));
	}
	if (base <= due || s->gone || s->open)
		return;
	enum damage_kind kind = DAMAGE_MISSING;
	uint64_t len = base - due;
	/* Behind the SEAL, or behind all of the file. */
	if (s->any && base - due >= SEGMENT_BOOT_GAP && base - SEGMENT_BOOT_GAP <= s->end)
		return;
	if (s->any && base - s->end >= SEGMENT_BOOT_GAP) {
		/* The first of a boot begins a gap behind the file before it, or more than one gap,
		 * where a power cut took away all that a boot had. */
		len = base - s->end - SEGMENT_BOOT_GAP;
		due = s->end;
		if (!s->sealed && len < SEGMENT_BOOT_GAP / 2)
			kind = DAMAGE_CUT;
	}
	if (len >= SEGMENT_BOOT_GAP / 2)
		len = 0; /* not known */
	if (!s->any)
		s->base = due;
	found(s, kind, due - s->base, len);
}

/* Neither its records nor where it leads to can be told. */
static int other_version(struct scan *s, uint64_t base, const struct segment_bounds *bounds)
{
	char name[SEGMENT_NAME + 1];
	struct stat st;
	segment_name(name, base);
	if (fstatat(s->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	between(s, base, bounds);
	s->base = base;
	s->end = s->due = base + (uint64_t)st.st_size;
	s->gone = s->sealed = false;
	s->any = s->open = true;
	found(s, DAMAGE_VERSION, 0, (uint64_t)st.st_size);
	s->v->segments++;
	s->v->bytes += (uint64_t)st.st_size;
	return 0;
}

static int one(struct scan *s, uint64_t base)
{
	struct segment seg;
	struct segment_bounds bounds;
	bool damaged;
	segment_bounds(s->dirfd, &bounds);
	if (base < bounds.floor) {
		s->gone = true; /* deleted meanwhile, or void */
		return 0;
	}
	s->fd = segment_open_records(s->dirfd, base, &seg, &damaged);
	if (s->fd < 0 && errno == ENOENT) {
		segment_bounds(s->dirfd, &bounds);
		s->gone = base < bounds.floor;
		return 0;
	}
	if (s->fd < 0)
		return errno == EPROTONOSUPPORT ? other_version(s, base, &bounds) : -1;
	between(s, base, &bounds);
	s->base = base;
	s->limit = damaged ? 0 : seg.limit;
	s->gone = false;
	s->any = true;
	struct stat st;
	int r = fstat(s->fd, &st);
	if (r == 0 && damaged)
		found(s, DAMAGE_HEADER, 0,
		      st.st_size < SEGMENT_HEADER ? (uint64_t)st.st_size : SEGMENT_HEADER);
	if (r == 0)
		r = segment(s);
	int why = errno;
	close(s->fd);
	errno = why;
	s->v->segments++;
	s->v->bytes += s->end - s->base;
	return r;
}

static int all(struct scan *s)
{
	for (bool first = true;; first = false) {
		uint64_t *bases;
		ssize_t n = segment_list(s->dirfd, &bases);
		if (n < 0)
			return -1;
		bool more = false;
		int r = 0;
		for (ssize_t i = 0; first && i < n; i++) {
			char name[SEGMENT_NAME + 1];
			struct stat st;
			segment_name(name, bases[i]);
			if (fstatat(s->dirfd, name, &st, 0) == 0)
				s->total += (uint64_t)st.st_size;
		}
		for (ssize_t i = 0; i < n && r == 0; i++) {
			if (!first && bases[i] <= s->last)
				continue;
			more = true;
			s->last = bases[i];
			r = one(s, bases[i]);
		}
		int why = errno;
		free(bases);
		errno = why;
		if (r < 0 || !more)
			return r;
	}
}

int verify_journal(const char *dir, struct verify *v, char **why_r)
{
	struct scan s = {.v = v, .fd = -1};
	*why_r = NULL;
	v->segments = v->bytes = v->events = v->lost = v->damaged = 0;
	s.dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct segment_bounds bounds = {0, 0};
	if (s.dirfd >= 0)
		segment_bounds(s.dirfd, &bounds); /* first: what is made later is not missed */
	int r = s.dirfd < 0 ? -1 : all(&s);
	if (r == 0) {
		uint64_t newest = bounds.top ? bounds.top - 1 : 0;
		if (bounds.top && (!s.any || s.last < newest)) {
			if (!s.any)
				s.base = s.due = newest;
			found(&s, DAMAGE_MISSING, s.due - s.base, 0);
		}
	}
	if (r < 0 && asprintf(why_r, "%s: %s", dir, strerror(errno)) < 0)
		*why_r = NULL;
	free(s.buf);
	if (s.dirfd >= 0)
		close(s.dirfd);
	return r;
}
