/* SPDX-License-Identifier: BSD-3-Clause */
#include "segment.h"

#include "follows.h"

#include <ctype.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const unsigned char magic[8] = {0xff, 0x00, 'm', 'b', 's', 'e', 'g', 0xff};

/* Little-endian numbers; the checksum covers all before it. */
struct header {
	unsigned char magic[8];
	uint32_t version, header;
	uint64_t base, limit, created;
	unsigned char uuid[16], boot[16], spare[48];
	uint64_t checksum;
} __attribute__((packed));

_Static_assert(sizeof(struct header) == SEGMENT_HEADER, "segment header");

#define VERSIONED_MAX 512
#define SEGMENT_BASE  20 /* length of a segment's name in its directory */

bool segment_foreign(const void *head, size_t len, const unsigned char magic_8[8], uint32_t version)
{
	uint32_t v, size;
	uint64_t sum;
	const char *p = head;
	if (len < 24 || memcmp(p, magic_8, 8) != 0)
		return false;
	memcpy(&v, p + 8, sizeof v);
	memcpy(&size, p + 12, sizeof size);
	size = le32toh(size);
	if (le32toh(v) == version || size < 24 || size > len)
		return false;
	memcpy(&sum, p + size - sizeof sum, sizeof sum);
	return le64toh(sum) == XXH3_64bits(p, size - sizeof sum);
}

static uint64_t checksum(const struct header *h)
{
	return XXH3_64bits(h, offsetof(struct header, checksum));
}

void segment_place(char path_r[SEGMENT_TMP], unsigned version, const char *name)
{
	if (version == 1)
		snprintf(path_r, SEGMENT_TMP, "%s", name);
	else
		snprintf(path_r, SEGMENT_TMP, "v%u/%.70s", version & 0xff, name);
}

void segment_name(char name_r[SEGMENT_NAME + 1], uint64_t base)
{
	char name[SEGMENT_BASE + 1], path[SEGMENT_TMP];
	snprintf(name, sizeof name, "%016llx.seg", (unsigned long long)base);
	segment_place(path, segment_version(base), name);
	memcpy(name_r, path, strlen(path) + 1);
}

static bool segment_base(const char *name, unsigned version, uint64_t *base_r)
{
	for (int i = 0; i < 16; i++)
		if (!isxdigit((unsigned char)name[i]) || isupper((unsigned char)name[i]))
			return false;
	if (strcmp(name + 16, ".seg") != 0)
		return false;
	*base_r = strtoull(name, NULL, 16);
	return segment_version(*base_r) == version;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static int open_home(int dirfd, unsigned version)
{
	char path[SEGMENT_TMP];
	segment_place(path, version, ".");
	return openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int segment_home(int dirfd)
{
	char path[SEGMENT_TMP], tmp[SEGMENT_TMP];
	struct stat dir;
	if (SEGMENT_VERSION == 1)
		return 0;
	segment_place(path, SEGMENT_VERSION, ".");
	if (fstatat(dirfd, path, &dir, 0) == 0)
		return 0;
	/* Whole when it has its name: a process that is killed leaves none that others can't use.
	 */
	path[strlen(path) - strlen("/.")] = '\0';
	snprintf(tmp, sizeof tmp, ".%.16s.%d", path, (int)syscall(SYS_gettid));
	unlinkat(dirfd, tmp, AT_REMOVEDIR);
	if (fstat(dirfd, &dir) < 0 || mkdirat(dirfd, tmp, 0700) < 0)
		return -1;
	int fd = openat(dirfd, tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r = fd < 0 ? -1 : fchmod(fd, dir.st_mode & 0777);
	if (r == 0 && geteuid() == 0)
		r = fchown(fd, dir.st_uid, dir.st_gid);
	if (r == 0 && renameat2(dirfd, tmp, dirfd, path, RENAME_NOREPLACE) < 0)
		r = errno == EEXIST ? 0 : -1;
	if (r == 0)
		r = fsync(dirfd);
	int why = errno;
	if (fd >= 0)
		close(fd);
	unlinkat(dirfd, tmp, AT_REMOVEDIR);
	errno = why;
	return r;
}

int segment_sync_names(int dirfd)
{
	if (SEGMENT_VERSION == 1)
		return fsync(dirfd);
	int fd = open_home(dirfd, SEGMENT_VERSION);
	if (fd < 0)
		return -1;
	int r = fsync(fd), why = errno;
	close(fd);
	errno = why;
	return r;
}

struct bases {
	uint64_t *base;
	size_t n, cap;
};

/* Adds those of a version from `from` on that lie below `to`. 0, or an errno. */
static int add(struct bases *b, int dirfd, unsigned version, uint64_t from, uint64_t to)
{
	int fd = open_home(dirfd, version);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		int why = errno;
		if (fd >= 0)
			close(fd);
		/* Nobody has made one yet. */
		return why == ENOENT && version > 1 ? 0 : why;
	}
	size_t first = b->n;
	uint64_t base;
	int failed = 0;
	const struct dirent *e;
	errno = 0;
	while ((e = readdir(d)) != NULL) {
		if (!segment_base(e->d_name, version, &base) || base < from || base >= to)
			continue;
		if (b->n == b->cap) {
			size_t cap = b->cap ? 2 * b->cap : 64;
			uint64_t *more = realloc(b->base, cap * sizeof *more);
			if (!more) {
				failed = ENOMEM;
				break;
			}
			b->base = more;
			b->cap = cap;
		}
		b->base[b->n++] = base;
		errno = 0;
	}
	if (!failed && !e)
		failed = errno;
	closedir(d);
	if (b->n > first)
		qsort(b->base + first, b->n - first, sizeof *b->base, ascending);
	return failed;
}

static ssize_t listed(struct bases *b, int failed, uint64_t **bases_r)
{
	if (failed) {
		free(b->base);
		errno = failed;
		return -1;
	}
	*bases_r = b->base;
	return (ssize_t)b->n;
}

ssize_t segment_list(int dirfd, uint64_t **bases_r)
{
	struct bases b = {NULL, 0, 0};
	int failed = 0;
	if (SEGMENT_VERSION > 1) {
		uint64_t follows = UINT64_MAX;
		int settled = follows_at(dirfd, &follows);
		failed = settled < 0 ? errno
		                     : add(&b, dirfd, SEGMENT_VERSION - 1, 0,
		                           settled ? follows : UINT64_MAX);
	}
	if (!failed)
		failed = add(&b, dirfd, SEGMENT_VERSION, 0, UINT64_MAX);
	return listed(&b, failed, bases_r);
}

ssize_t segment_list_own(int dirfd, uint64_t **bases_r)
{
	struct bases b = {NULL, 0, 0};
	int failed = add(&b, dirfd, SEGMENT_VERSION, 0, UINT64_MAX);
	return listed(&b, failed, bases_r);
}

ssize_t segment_list_older(int dirfd, uint64_t **bases_r)
{
	struct bases b = {NULL, 0, 0};
	uint64_t follows;
	int settled = follows_at(dirfd, &follows), failed = settled < 0 ? errno : 0;
	if (settled > 0)
		failed = add(&b, dirfd, SEGMENT_VERSION - 1, follows, UINT64_MAX);
	return listed(&b, failed, bases_r);
}

int segment_open(int dirfd, uint64_t base, int flags, struct segment *seg_r)
{
	char name[SEGMENT_NAME + 1];
	segment_name(name, base);
	int fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -1;
	struct header h;
	ssize_t n = pread(fd, &h, sizeof h, 0);
	if (n != sizeof h || memcmp(h.magic, magic, sizeof magic) != 0 ||
	    h.checksum != htole64(checksum(&h)) || le32toh(h.version) != segment_version(base) ||
	    le64toh(h.base) != base) {
		char head[VERSIONED_MAX];
		int why = n < 0 ? errno : EBADMSG;
		ssize_t got = n < 0 ? -1 : pread(fd, head, sizeof head, 0);
		if (got > 0 && segment_foreign(head, (size_t)got, magic, segment_version(base)))
			why = EPROTONOSUPPORT;
		close(fd);
		errno = why;
		return -1;
	}
	seg_r->base = base;
	seg_r->limit = le64toh(h.limit);
	seg_r->created = (int64_t)le64toh(h.created);
	memcpy(seg_r->uuid, h.uuid, sizeof h.uuid);
	memcpy(seg_r->boot, h.boot, sizeof h.boot);
	return fd;
}

int segment_open_records(int dirfd, uint64_t base, struct segment *seg_r, bool *damaged_r)
{
	int fd = segment_open(dirfd, base, O_RDONLY, seg_r);
	*damaged_r = fd < 0 && errno == EBADMSG;
	if (!*damaged_r)
		return fd;
	char name[SEGMENT_NAME + 1];
	segment_name(name, base);
	*seg_r = (struct segment){.base = base};
	return openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

uint64_t segment_beyond(int dirfd, uint64_t base)
{
	char name[SEGMENT_NAME + 1];
	struct stat st;
	segment_name(name, base);
	uint64_t size = fstatat(dirfd, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
	return base + size + SEGMENT_BOOT_GAP;
}

int segment_adopt(int dirfd, int fd)
{
	struct stat dir;
	if (fstat(dirfd, &dir) < 0)
		return -1;
	if (geteuid() == 0 && fchown(fd, dir.st_uid, dir.st_gid) < 0)
		return -1;
	/* The umask must not decide; nor may others read what the directory hides. */
	return fchmod(fd, dir.st_mode & 0666);
}

void segment_tmp(char name_r[SEGMENT_TMP], uint64_t base)
{
	char name[SEGMENT_TMP];
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(name, sizeof name, ".%016llx.seg.%d.%lx.%lx", (unsigned long long)base,
	         (int)syscall(SYS_gettid), (unsigned long)t.tv_sec, (unsigned long)t.tv_nsec);
	segment_place(name_r, segment_version(base), name);
}

int segment_create(int dirfd, const struct segment *seg)
{
	struct header h = {
	    .version = htole32(segment_version(seg->base)),
	    .header = htole32(SEGMENT_HEADER),
	    .base = htole64(seg->base),
	    .limit = htole64(seg->limit),
	    .created = htole64((uint64_t)seg->created),
	};
	memcpy(h.magic, magic, sizeof magic);
	memcpy(h.uuid, seg->uuid, sizeof h.uuid);
	memcpy(h.boot, seg->boot, sizeof h.boot);
	h.checksum = htole64(checksum(&h));

	char name[SEGMENT_NAME + 1], tmp[SEGMENT_TMP];
	segment_name(name, seg->base);
	segment_tmp(tmp, seg->base);
	int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, &h, sizeof h);
	if (n >= 0 && n != sizeof h) {
		errno = ENOSPC;
		n = -1;
	}
	int r = n < 0 ? -1 : segment_adopt(dirfd, fd);
	if (r == 0 && linkat(dirfd, tmp, dirfd, name, 0) < 0)
		r = errno == EEXIST || errno == ENOENT ? 1 : -1; /* ENOENT: swept */
	int why = errno;
	close(fd);
	unlinkat(dirfd, tmp, 0);
	errno = why;
	return r;
}

static int nibble(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool segment_uuid_parse(const char *s, size_t len, unsigned char uuid_r[16])
{
	if (len != SEGMENT_UUID)
		return false;
	size_t at = 0;
	for (size_t i = 0; i < 16; i++) {
		if ((at == 8 || at == 13 || at == 18 || at == 23) && s[at++] != '-')
			return false;
		int hi = nibble(s[at]), lo = nibble(s[at + 1]);
		if (hi < 0 || lo < 0)
			return false;
		uuid_r[i] = (unsigned char)(hi << 4 | lo);
		at += 2;
	}
	return true;
}

ssize_t segment_seal(int fd, const struct segment *seg, off_t end, uint64_t *next_r)
{
	/* A SEAL is written only after a record that ends behind the limit, and has no body. */
	char chunk[64 * 1024];
	off_t at = (off_t)seg->limit;
	while (at + RECORD_HEADER <= end) {
		size_t want = end - at < (off_t)sizeof chunk ? (size_t)(end - at) : sizeof chunk;
		ssize_t n = pread(fd, chunk, want, at);
		if (n < 0)
			return -1;
		if (n < RECORD_HEADER)
			break;
		for (size_t i = 0;
		     (i = record_resync(chunk, (size_t)n, i)) + RECORD_HEADER <= (size_t)n; i++) {
			struct record rec;
			size_t need;
			if (record_decode(chunk + i, RECORD_HEADER, &rec, &need) != RECORD_SEAL)
				continue;
			off_t sealed = at + (off_t)i + RECORD_HEADER;
			if (next_r)
				*next_r =
				    seg->base + (uint64_t)sealed + rec.lost * SEGMENT_BOOT_GAP;
			return sealed;
		}
		at += n - (RECORD_HEADER - 1);
	}
	return 0;
}

static int bounds_open(int dirfd, unsigned version, int flags)
{
	char path[SEGMENT_TMP];
	segment_place(path, version, "bounds");
	return openat(dirfd, path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

int segment_bounds_init(int dirfd)
{
	int fd = bounds_open(dirfd, SEGMENT_VERSION, O_RDWR | O_CREAT);
	if (fd < 0)
		return -1;
	int r = posix_fallocate(fd, 0, sizeof(struct segment_bounds));
	if (r == 0 && segment_adopt(dirfd, fd) < 0)
		r = errno;
	close(fd);
	errno = r;
	return r ? -1 : 0;
}

static void bounds_get(int dirfd, unsigned version, struct segment_bounds *bounds_r)
{
	struct segment_bounds b = {0, 0};
	int fd = bounds_open(dirfd, version, O_RDONLY);
	if (fd >= 0) {
		if (pread(fd, &b, sizeof b, 0) != sizeof b)
			b = (struct segment_bounds){0, 0};
		close(fd);
	}
	bounds_r->floor = le64toh(b.floor);
	bounds_r->top = le64toh(b.top);
}

void segment_bounds(int dirfd, struct segment_bounds *bounds_r)
{
	bounds_get(dirfd, SEGMENT_VERSION, bounds_r);
}

static int bounds_put(int dirfd, uint64_t n, off_t at)
{
	int fd = bounds_open(dirfd, segment_version(n), O_WRONLY);
	if (fd < 0)
		return -1;
	n = htole64(n);
	int r = pwrite(fd, &n, sizeof n, at) == sizeof n ? 0 : -1;
	int why = errno;
	close(fd);
	errno = why;
	return r;
}

int segment_floor(int dirfd, uint64_t floor)
{
	struct segment_bounds b;
	bounds_get(dirfd, segment_version(floor), &b);
	if (floor <= b.floor) /* what of the version before was read, and what was taken over */
		return 0;
	return bounds_put(dirfd, floor, offsetof(struct segment_bounds, floor));
}

int segment_top(int dirfd, uint64_t top)
{
	return bounds_put(dirfd, top, offsetof(struct segment_bounds, top));
}

void segment_sweep(int dirfd, uint64_t floor)
{
	unsigned version = segment_version(floor);
	int fd = open_home(dirfd, version);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	const struct dirent *e;
	while ((e = readdir(d)) != NULL) {
		char name[SEGMENT_BASE + 1];
		uint64_t base;
		if (e->d_name[0] != '.' || strlen(e->d_name) < 1 + SEGMENT_BASE)
			continue;
		memcpy(name, e->d_name + 1, SEGMENT_BASE);
		name[SEGMENT_BASE] = '\0';
		if (segment_base(name, version, &base) && base < floor)
			unlinkat(fd, e->d_name, 0);
	}
	closedir(d);
}

void segment_boot(unsigned char boot_r[16])
{
	char text[SEGMENT_UUID];
	memset(boot_r, 0, 16);
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t n = read(fd, text, sizeof text);
	close(fd);
	if (n != sizeof text || !segment_uuid_parse(text, sizeof text, boot_r))
		memset(boot_r, 0, 16);
}
