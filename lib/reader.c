/* SPDX-License-Identifier: BSD-3-Clause */
#include "reader.h"

#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256u << 10)

struct reader {
	int dirfd;
	ssize_t (*list)(int dirfd, uint64_t **bases_r);
	int fd; /* the segment, -1 between two */
	struct segment seg;
	uint64_t
	    bound; /* the next segment's base where it is known: no record of this one is there */
	uint64_t pos;    /* of the next record */
	uint64_t from;   /* fd is -1: go on in the first segment whose base is not below this, */
	uint64_t due;    /* whose base should be this, unless there was a boot in between */
	char *buf;       /* NULL while resting */
	size_t cap, len; /* buf holds len bytes of the segment from file offset `at` on */
	uint64_t at;
	uint64_t searched; /* file size up to which nothing valid follows what is broken at pos */
	time_t listed;     /* when the directory was last searched for a newer segment */
	bool superseded;   /* there is a newer segment: what is not there now never comes */
	char why[160];     /* "": errno says it */
	struct reader_damage damage;
};

struct reader *reader_open(const char *dir, uint64_t pos, char **why_r)
{
	struct reader *r = calloc(1, sizeof *r);
	if (r)
		r->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!r || r->dirfd < 0) {
		if (asprintf(why_r, "cannot open the journal %s: %s", dir, strerror(errno)) < 0)
			*why_r = NULL;
		free(r);
		return NULL;
	}
	r->fd = -1;
	r->pos = pos;
	r->list = segment_list;
	return r;
}

struct reader *reader_open_older(const char *dir, uint64_t pos, char **why_r)
{
	struct reader *r = reader_open(dir, pos, why_r);
	if (r)
		r->list = segment_list_older;
	return r;
}

void reader_close(struct reader **r)
{
	if (!*r)
		return;
	if ((*r)->fd >= 0)
		close((*r)->fd);
	close((*r)->dirfd);
	free((*r)->buf);
	free(*r);
	*r = NULL;
}

uint64_t reader_pos(const struct reader *r)
{
	return r->pos;
}

const struct reader_damage *reader_damage(const struct reader *r)
{
	return &r->damage;
}

const char *reader_why(const struct reader *r)
{
	return r->why[0] ? r->why : strerror(errno);
}

void reader_rest(struct reader *r)
{
	free(r->buf);
	r->buf = NULL;
	r->cap = r->len = 0;
}

static void leave(struct reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	r->len = 0;
	r->searched = 0;
	r->superseded = false;
	r->listed = 0;
}

/* One that was deleted takes room as long as it is open. */
static bool deleted(const struct reader *r)
{
	struct stat st;
	return fstat(r->fd, &st) == 0 && st.st_nlink == 0;
}

void reader_seek(struct reader *r, uint64_t pos)
{
	if (r->fd < 0 || pos < r->seg.base + SEGMENT_HEADER || pos > r->pos || deleted(r))
		leave(r);
	r->pos = pos;
	r->from = 0;
	r->searched = 0;
}

uint64_t reader_missing(uint64_t pos, uint64_t base)
{
	if (segment_version(pos) < segment_version(base))
		pos = SEGMENT_FIRST(segment_version(base));
	uint64_t bytes = pos < base ? (base - pos) % SEGMENT_BOOT_GAP : 0;
	/* A power cut shortened the segment of pos: nothing was there. */
	return bytes < SEGMENT_BOOT_GAP - (UINT64_C(1) << 32) ? bytes : 0;
}

static void gap(struct reader *r, uint64_t len)
{
	r->damage.gap++;
	r->damage.gone += len;
	r->damage.gap_at = r->damage.at = r->pos;
	r->damage.len = len;
}

static void torn(struct reader *r, uint64_t at, uint64_t len)
{
	r->damage.torn++;
	r->damage.at = at;
	r->damage.len = len;
	r->damage.bytes += len;
}

/* Opens the segment that holds pos, or with `from` the first whose base is not below it: 1;
 * 0: there is none yet; -1 with errno. */
static int enter(struct reader *r, uint64_t from)
{
	uint64_t *bases = NULL;
	ssize_t n = r->list(r->dirfd, &bases);
	if (n < 0)
		return -1;
	ssize_t i = 0;
	if (from)
		while (i < n && bases[i] < from)
			i++;
	else
		while (i + 1 < n && bases[i + 1] <= r->pos)
			i++;
	int result = 0;
	for (; i < n && result == 0; i++) {
		bool damaged;
		r->fd = segment_open_records(r->dirfd, bases[i], &r->seg, &damaged);
		if (r->fd < 0) {
			if (errno == ENOENT)
				continue; /* deleted just now */
			if (errno == EPROTONOSUPPORT) {
				char name[SEGMENT_NAME + 1];
				segment_name(name, bases[i]);
				snprintf(r->why, sizeof r->why,
				         "%s is of a version that this program does not know: "
				         "install the one that made it, or move the file away",
				         name);
				errno = EPROTONOSUPPORT;
			}
			result = -1;
			break;
		}
		uint64_t first = bases[i] + SEGMENT_HEADER;
		r->bound = i + 1 < n ? bases[i + 1] : UINT64_MAX;
		if (r->pos < first) {
			/* From the end of one boot's last segment to the next one is no loss, nor
			 * is the beginning of all. */
			uint64_t due = from ? r->due : r->pos;
			uint64_t missing = r->pos ? reader_missing(due, bases[i]) : 0;
			if (missing && (i == 0 || bases[i] - due < SEGMENT_BOOT_GAP))
				gap(r, missing);
			r->pos = first;
			if (damaged)
				torn(r, bases[i], SEGMENT_HEADER);
		}
		result = 1;
	}
	int why = errno;
	free(bases);
	errno = why;
	r->len = 0;
	r->at = result == 1 ? r->pos - r->seg.base : 0;
	return result;
}

/* Whether a segment newer than this one is there; asked at most once a second. */
static bool newer(struct reader *r)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	if (r->listed == t.tv_sec + 1)
		return false;
	r->listed = t.tv_sec + 1;
	uint64_t *bases;
	ssize_t n = r->list(r->dirfd, &bases);
	if (n <= 0)
		return false;
	bool is = bases[n - 1] > r->seg.base;
	for (ssize_t i = n - 1; i >= 0 && bases[i] > r->seg.base; i--)
		r->bound = bases[i];
	free(bases);
	return is;
}

/* Makes buf hold `want` bytes from pos on, fewer at the end of the file. How many it holds,
 * -1 with errno. */
static ssize_t fill(struct reader *r, size_t want)
{
	uint64_t offset = r->pos - r->seg.base;
	if (offset < r->at || offset > r->at + r->len) {
		r->at = offset;
		r->len = 0;
	}
	size_t skip = (size_t)(offset - r->at);
	if (r->len - skip >= want)
		return (ssize_t)(r->len - skip);
	if (r->buf && skip) {
		memmove(r->buf, r->buf + skip, r->len - skip);
		r->len -= skip;
		r->at = offset;
	}
	if (r->cap < want || !r->buf) {
		size_t cap = want > BUFFER ? want : BUFFER;
		char *buf = realloc(r->buf, cap);
		if (!buf)
			return -1;
		r->buf = buf;
		r->cap = cap;
	}
	while (r->len < want) {
		ssize_t n = pread(r->fd, r->buf + r->len, r->cap - r->len, (off_t)(r->at + r->len));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		r->len += (size_t)n;
	}
	return (ssize_t)r->len;
}

/* Decodes what is at pos: a kind, RECORD_SHORT or RECORD_BAD as record_decode(); -2 with errno.
 * *have_r: the bytes there are; *len_r: its length, where known. */
static int look(struct reader *r, struct record *rec_r, size_t *have_r, size_t *len_r)
{
	size_t asked = RECORD_HEADER;
	for (;;) {
		ssize_t have = fill(r, asked);
		if (have < 0)
			return -2;
		*have_r = (size_t)have;
		*len_r = RECORD_HEADER;
		if (have == 0)
			return RECORD_SHORT;
		int kind =
		    record_decode(r->buf + (r->pos - r->seg.base - r->at), *have_r, rec_r, len_r);
		if (kind != RECORD_SHORT || *have_r < asked)
			return kind;
		asked = *len_r;
	}
}

/* Whether a copy has taken the place of the file that is open (rescue.h): that is to be read. */
static bool renewed(struct reader *r)
{
	struct segment seg;
	struct stat st;
	if (fstat(r->fd, &st) < 0 || st.st_nlink)
		return false;
	int fd = segment_open(r->dirfd, r->seg.base, O_RDONLY, &seg);
	if (fd < 0)
		return false;
	close(r->fd);
	r->fd = fd;
	r->len = 0;
	r->at = r->pos - r->seg.base;
	r->searched = 0;
	return true;
}

/* Whether nothing is amiss between two positions: a segment that was sealed below its limit has
 * zeros up to one byte above it. */
static bool padding(const struct reader *r, uint64_t from, uint64_t to)
{
	char chunk[16 * 1024];
	if (!r->seg.limit || to != r->seg.base + r->seg.limit + 1)
		return false;
	while (from < to) {
		size_t want = to - from < sizeof chunk ? (size_t)(to - from) : sizeof chunk;
		ssize_t n = pread(r->fd, chunk, want, (off_t)(from - r->seg.base));
		if (n <= 0 || chunk[0] || memcmp(chunk, chunk + 1, (size_t)n - 1) != 0)
			return false;
		from += (uint64_t)n;
	}
	return true;
}

/* What is at pos is broken or cut off. If a valid record follows, goes there: 1. 0: not yet.
 * 2: what follows has the positions of the next segment. */
static int resync(struct reader *r)
{
	struct stat st;
	if (fstat(r->fd, &st) < 0)
		return -1;
	if ((uint64_t)st.st_size == r->searched)
		return 0;
	if (renewed(r))
		return 1;
	uint64_t start = r->pos;
	for (uint64_t p = start + 1; p < r->seg.base + (uint64_t)st.st_size;) {
		r->pos = p;
		ssize_t have = fill(r, RECORD_HEADER);
		if (have <= 0)
			break;
		const char *s = r->buf + (r->pos - r->seg.base - r->at);
		size_t found = record_resync(s, (size_t)have, 0);
		if (found == (size_t)have) {
			p += found;
			continue;
		}
		r->pos = p + found;
		struct record rec;
		size_t len, left;
		int kind = look(r, &rec, &left, &len);
		if (kind == -2)
			return -1;
		if (kind > 0) {
			/* Was the one at start completed while this one was searched for? */
			uint64_t found = r->pos;
			r->pos = start;
			if (look(r, &rec, &left, &len) > 0)
				return 1;
			/* What was broken may have been the SEAL: behind it lie records that their
			 * writers appended again. */
			r->listed = 0;
			newer(r);
			r->listed = 0;
			if (found >= r->bound)
				return 2;
			r->pos = found;
			if (!padding(r, start, found))
				torn(r, start, found - start);
			r->searched = 0;
			return 1;
		}
		p = r->pos + 1;
	}
	r->pos = start;
	r->searched = (uint64_t)st.st_size;
	return 0;
}

/* The segment has no more, and never will have: on to the one after. */
static void move_on(struct reader *r, uint64_t end)
{
	if (end > r->pos)
		torn(r, r->pos, end - r->pos);
	leave(r);
	if (end > r->pos)
		r->pos = end;
}

int reader_next(struct reader *r, struct record *rec_r)
{
	r->why[0] = '\0';
	for (;;) {
		if (r->fd < 0) {
			int entered = enter(r, r->from);
			if (entered <= 0)
				return entered;
			r->from = 0;
		}
		size_t have, len;
		int kind = look(r, rec_r, &have, &len);
		struct stat st;
		if (kind == -2) {
			int why = errno;
			if (renewed(r))
				continue;
			errno = why;
			return -1;
		}
		if (kind == RECORD_EVENT && r->pos < r->bound) {
			rec_r->pos = r->pos;
			r->pos += len;
			rec_r->next = r->pos;
			return 1;
		}
		if (kind == RECORD_SEAL) {
			/* pos stays before the SEAL: what a late writer put behind it is not ours.
			 */
			leave(r);
			r->from = r->due = r->pos + len;
			continue;
		}
		int found = 0;
		if (kind == RECORD_EVENT)
			found = 2;
		else if (have > 0)
			found = resync(r);
		if (found < 0)
			return -1;
		if (found == 1)
			continue;
		/* The end, or a record that is being written. Only a newer segment tells that the
		 * rest never comes; then one more look, for what was appended meanwhile. */
		if (r->superseded || found == 2) {
			if (fstat(r->fd, &st) < 0)
				return -1;
			uint64_t end = r->seg.base + (uint64_t)st.st_size;
			if (end > r->bound)
				end = r->bound;
			r->from = r->seg.base + 1;
			r->due = end;
			move_on(r, end);
			continue;
		}
		if (!newer(r))
			return 0;
		r->superseded = true;
	}
}

static uint64_t first_where(int dirfd, int64_t time)
{
	uint64_t *bases, pos = 0;
	ssize_t n = segment_list(dirfd, &bases);
	for (ssize_t i = n - 1; i >= 0; i--) {
		struct segment seg;
		bool damaged; /* when it began is not known then: that of the one before decides */
		int fd = segment_open_records(dirfd, bases[i], &seg, &damaged);
		bool foreign = fd < 0 && errno == EPROTONOSUPPORT;
		if (fd < 0 && !foreign)
			continue;
		if (fd >= 0)
			close(fd);
		pos = bases[i] + SEGMENT_HEADER; /* a foreign one is to be met, not passed over */
		if (!damaged && !foreign && seg.created <= time)
			break;
	}
	if (n >= 0)
		free(bases);
	return pos;
}

uint64_t reader_oldest(int dirfd)
{
	return first_where(dirfd, INT64_MIN);
}

uint64_t reader_since(int dirfd, int64_t time)
{
	return first_where(dirfd, time);
}

uint64_t reader_beginning(int dirfd)
{
	struct segment_bounds bounds;
	segment_bounds(dirfd, &bounds);
	return bounds.floor || bounds.top || first_where(dirfd, INT64_MIN)
	           ? 0
	           : SEGMENT_FIRST(SEGMENT_VERSION) + SEGMENT_HEADER;
}
