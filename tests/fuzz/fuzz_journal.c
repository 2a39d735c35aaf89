/* SPDX-License-Identifier: BSD-3-Clause */
/* Recovery: a segment of any bytes between two sound ones, which are read whole whatever it holds;
 * positions only grow, and what is read twice is the same. The first byte chooses whether the bytes
 * are put behind a sound header, and whether an event's checksum is mended. Without libFuzzer:
 * replay.c.
 *   make fuzz, or: clang -g -O1 -D_GNU_SOURCE -I. -fsanitize=fuzzer,address,undefined \
 *     tests/fuzz/fuzz_journal.c lib/{buf,reader,record,segment}.c -o fuzz_journal &&
 *     ./fuzz_journal tests/fuzz/journal */
#include "../../lib/reader.h"
#include "../../lib/segment.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { MIDDLE = 0x10000, LAST = 0x200000, MOST = 0x100000 };

static char dir[] = "/tmp/mboxevent-fuzz-XXXXXX";
static int dirfd = -1;

static void expect(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "fuzz_journal: %s\n", what);
	abort();
}

static void make(uint64_t base, const void *s, size_t len, bool header)
{
	char name[SEGMENT_NAME + 1];
	struct segment seg = {.base = base, .limit = 64 << 10, .created = 1};
	segment_name(name, base);
	unlinkat(dirfd, name, 0);
	if (header)
		expect(segment_create(dirfd, &seg) == 0, "a segment can be made");
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_APPEND, 0600);
	expect(fd >= 0 && write(fd, s, len) == (ssize_t)len, "a segment can be written");
	close(fd);
}

static void make_sound(uint64_t base)
{
	struct buf b = BUF_INIT;
	struct record rec = {.event = STR("MessageNew"), .json = STR("{\"sound\":1}")};
	expect(record_encode(&b, RECORD_EVENT, &rec, 5) == 0, "a record can be encoded");
	make(base, b.s, b.len, true);
	buf_free(&b);
}

static void remove_all(void)
{
	uint64_t *bases;
	ssize_t n = segment_list(dirfd, &bases);
	for (ssize_t i = 0; i < n; i++) {
		char name[SEGMENT_NAME + 1];
		segment_name(name, bases[i]);
		unlinkat(dirfd, name, 0);
	}
	if (n >= 0)
		free(bases);
	rmdir(dir);
}

/* All from a position: how many, and a sum over what they are. */
static uint64_t read_all(uint64_t pos, size_t *n_r)
{
	char *why = NULL;
	struct reader *r = reader_open(dir, pos, &why);
	struct record rec;
	uint64_t before = 0, sum = 0, first = 0, last = 0;
	size_t n = 0;
	int got;
	expect(r != NULL, "the directory can be read");
	while ((got = reader_next(r, &rec)) == 1) {
		expect(rec.pos >= before && rec.next > rec.pos, "positions grow");
		expect(rec.pos < MIDDLE || rec.next <= LAST || rec.pos >= LAST,
		       "a record ends where the next segment begins");
		before = rec.next;
		sum = sum * 31 + XXH3_64bits(rec.json.s, rec.json.len) + rec.pos;
		sum += XXH3_64bits(rec.event.s, rec.event.len) + rec.user.len + rec.owner.len;
		first = n++ ? first : rec.pos;
		last = rec.pos;
	}
	expect(got == 0, "it ends without an error");
	expect(n >= 1 && last == LAST + SEGMENT_HEADER, "the last segment is read");
	expect(pos || first == SEGMENT_HEADER, "the first segment is read");
	reader_close(&r);
	*n_r = n;
	return sum;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	if (dirfd < 0) {
		expect(mkdtemp(dir) != NULL, "a directory can be made");
		dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		expect(dirfd >= 0, "and opened");
		make_sound(0);
		make_sound(LAST);
		atexit(remove_all);
	}
	if (size < 1 || size > MOST)
		return 0;
	unsigned char how = *data;
	char *s = malloc(size);
	if (!s)
		return 0;
	memcpy(s, data + 1, --size);
	/* The checksums of what would else be sound, which no fuzzer finds. */
	if (how & 2) {
		for (size_t at = 0; (at = record_resync(s, size, at)) + RECORD_HEADER <= size;
		     at++) {
			uint32_t len;
			memcpy(&len, s + at + 16, sizeof len);
			len = le32toh(len);
			if (len < RECORD_HEADER || len > size - at)
				continue;
			uint64_t sum = htole64(XXH3_64bits(s + at + 16, len - 16));
			memcpy(s + at + 8, &sum, sizeof sum);
		}
	}
	make(MIDDLE, s, size, how & 1);

	size_t n, again, later;
	uint64_t sum = read_all(0, &n);
	expect(read_all(0, &again) == sum && again == n, "it reads the same again");
	if (size > 9)
		read_all(MIDDLE + (uint64_t)(unsigned char)s[size / 2] * size / 256, &later);

	struct segment seg;
	int fd = segment_open(dirfd, MIDDLE, O_RDONLY, &seg);
	struct stat st;
	if (fd >= 0 && fstat(fd, &st) == 0) {
		ssize_t seal = segment_seal(fd, &seg, st.st_size, NULL);
		expect(seal <= st.st_size, "a SEAL in the file");
	}
	if (fd >= 0)
		close(fd);
	free(s);
	return 0;
}
