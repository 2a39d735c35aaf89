/* SPDX-License-Identifier: BSD-3-Clause */
/* A small journal of several segments, damaged in every way at every place. The oracle: each record
 * that does not lie in the damage is read, once and in order, and nothing else is.
 * usage: torture_damage [STEP]   flip at every STEP-th offset (1: all; the short form's is 13)
 * TAP. */
#include "scratch.h"

#include "../../lib/segment.h"

#include <sys/stat.h>

enum { MOST = 4000, SEGMENTS = 64 };

static struct {
	uint64_t base;
	size_t len;
	char *bytes;
	char path[128];
} segs[SEGMENTS];
static size_t n_segs;

static struct {
	uint64_t pos, next;
	int n;
} records[MOST];
static size_t n_records;

static unsigned long tried, unread, foreign, unreported;

static void put_back(size_t s)
{
	int fd = open(segs[s].path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, segs[s].bytes, segs[s].len) != (ssize_t)segs[s].len) {
		printf("Bail out! cannot write %s\n", segs[s].path);
		exit(1);
	}
	close(fd);
}

static void poke(size_t s, size_t at, const void *bytes, size_t len)
{
	int fd = open(segs[s].path, O_WRONLY);
	if (fd < 0 || pwrite(fd, bytes, len, (off_t)at) != (ssize_t)len) {
		printf("Bail out! cannot write %s\n", segs[s].path);
		exit(1);
	}
	close(fd);
}

/* Reads all from a position; every record must come but those that touch [from, to). */
static void judge(const char *dir, uint64_t start, uint64_t from, uint64_t to, bool reported)
{
	char *why;
	struct record rec;
	struct reader *r = reader_open(dir, start, &why);
	size_t i = 0;
	tried++;
	while (i < n_records && records[i].pos < start)
		i++;
	int got;
	while ((got = reader_next(r, &rec)) == 1) {
		while (i < n_records && records[i].pos < rec.pos) {
			if (records[i].next <= from || records[i].pos >= to) {
				if (unread++ < 5)
					printf("# unread %llx with [%llx, %llx)\n",
					       (unsigned long long)records[i].pos,
					       (unsigned long long)from, (unsigned long long)to);
			}
			i++;
		}
		if (i < n_records && records[i].pos == rec.pos && records[i].n == event_n(&rec)) {
			i++;
		} else if (foreign++ < 5) {
			printf("# read at %llx what never was there, with [%llx, %llx)\n",
			       (unsigned long long)rec.pos, (unsigned long long)from,
			       (unsigned long long)to);
		}
	}
	for (; i < n_records; i++)
		if ((records[i].next <= from || records[i].pos >= to) && unread++ < 5)
			printf("# unread %llx with [%llx, %llx)\n",
			       (unsigned long long)records[i].pos, (unsigned long long)from,
			       (unsigned long long)to);
	const struct reader_damage *d = reader_damage(r);
	if (got < 0 || (reported && !d->torn && !d->gap)) {
		if (unreported++ < 5)
			printf("# not reported: [%llx, %llx)\n", (unsigned long long)from,
			       (unsigned long long)to);
	}
	reader_close(&r);
}

static void verdict(const char *what)
{
	tap(!unread && !foreign && !unreported,
	    "%s: %lu journals, %lu records unread, %lu foreign, %lu damages not reported", what,
	    tried, unread, foreign, unreported);
	tried = unread = foreign = unreported = 0;
}

static void build(const char *dir)
{
	static const struct journal_options opt = {.segment_size = 64 << 10, .max_size = 1 << 30};
	struct journal *j, *late;
	const char *why;
	char *init_why;
	uint64_t *bases, pos;
	struct record rec;
	int n = 0;
	if (journal_init(dir, &init_why) < 0 || journal_open(&j, dir, &opt, &why) < 0 ||
	    journal_open(&late, dir, &opt, &why) < 0) {
		printf("Bail out! no journal\n");
		exit(1);
	}
	/* large ones, that the journal has few offsets in records to try; small ones at the SEALs
	 */
	put_event(late, 9, n++, 10, &pos, &why);
	for (int s = 0; s < 3; s++) {
		for (int i = 0; i < 3; i++)
			put_event(j, 1, n++, 21000, &pos, &why);
		for (int i = 0; i < 20; i++)
			put_event(j, 1, n++, 200, &pos, &why);
		/* void records behind a SEAL: their writers have not seen it yet */
		for (int i = 0; i < 2; i++)
			put_event(late, 9, n++, 300, &pos, &why);
	}
	journal_close(&j);
	journal_close(&late);
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	ssize_t count = segment_list(dirfd, &bases);
	for (ssize_t i = 0; i < count && i < SEGMENTS; i++, n_segs++) {
		struct stat st;
		snprintf(segs[i].path, sizeof segs[i].path, "%s/%016llx.seg", dir,
		         (unsigned long long)bases[i]);
		int fd = open(segs[i].path, O_RDONLY);
		if (fd < 0 || fstat(fd, &st) < 0)
			exit(1);
		segs[i].base = bases[i];
		segs[i].len = (size_t)st.st_size;
		segs[i].bytes = malloc(segs[i].len);
		if (read(fd, segs[i].bytes, segs[i].len) != st.st_size)
			exit(1);
		close(fd);
	}
	free(bases);
	close(dirfd);
	struct reader *r = reader_open(dir, 0, &init_why);
	while (reader_next(r, &rec) == 1 && n_records < MOST) {
		records[n_records].pos = rec.pos;
		records[n_records].next = rec.next;
		records[n_records++].n = event_n(&rec);
	}
	reader_close(&r);
	if ((int)n_records != n || n_segs < 3) {
		printf("Bail out! %zu of %d records in %zu segments\n", n_records, n, n_segs);
		exit(1);
	}
}

/* Where the positions of a segment end. */
static uint64_t bound(size_t s)
{
	return s + 1 < n_segs ? segs[s + 1].base : segs[s].base + segs[s].len;
}

int main(int argc, char **argv)
{
	size_t step = argc > 1 ? strtoul(argv[1], NULL, 10) : 13;
	char dir[96];
	scratch_make();
	snprintf(dir, sizeof dir, "%s/journal", scratch);
	build(dir);
	printf("# %zu records in %zu segments\n", n_records, n_segs);

	/* Bits. In the middle of the large records only now and then. */
	for (size_t s = 0; s < n_segs; s++) {
		for (size_t at = 0; at < segs[s].len; at++) {
			uint64_t pos = segs[s].base + at, from = pos, to = pos + 1;
			size_t r = 0;
			while (r < n_records && records[r].next <= pos)
				r++;
			bool edge = at < SEGMENT_HEADER || pos >= bound(s) - 64 || r == n_records ||
			            pos < records[r].pos + RECORD_HEADER + 20 ||
			            pos + 2 >= records[r].next;
			if (at % step != s % step &&
			    !(step <= 13 && edge && (step == 1 || at % 4 == 0)))
				continue;
			if (!edge && records[r].next - records[r].pos > 1000 && at % (97 * step))
				continue;
			for (int bit = 0; bit < 8; bit += step == 1 || edge ? 1 : 3) {
				char b = (char)(segs[s].bytes[at] ^ (1 << bit));
				poke(s, at, &b, 1);
				/* behind the SEAL of a segment nobody reads */
				judge(dir, 0, from, to,
				      pos < bound(s) && pos < records[n_records - 1].pos);
			}
			poke(s, at, segs[s].bytes + at, 1);
		}
	}
	verdict("a bit flipped");

	/* Cut at every byte of the last record, then of the SEAL before it. */
	size_t last = n_segs - 1;
	for (uint64_t pos = records[n_records - 1].next - 1; pos >= records[n_records - 1].pos;
	     pos--) {
		if (truncate(segs[last].path, (off_t)(pos - segs[last].base)) < 0)
			exit(1);
		judge(dir, 0, pos, UINT64_MAX, false);
	}
	put_back(last);
	verdict("cut in the last record");
	for (size_t s = 0; s < last; s++) {
		size_t end = (size_t)(bound(s) - segs[s].base);
		for (size_t at = end - 1; at > end - 100; at--) {
			if (truncate(segs[s].path, (off_t)at) < 0)
				exit(1);
			judge(dir, 0, segs[s].base + at, bound(s), true);
		}
		for (size_t at = SEGMENT_HEADER + 400; at > step / 4; at -= 1 + step / 4) {
			if (truncate(segs[s].path, (off_t)at) < 0)
				exit(1);
			judge(dir, 0, segs[s].base + at, bound(s), true);
		}
		put_back(s);
	}
	verdict("an older segment cut");

	/* Zeros and noise of many lengths anywhere, also over the header and the SEAL. */
	static char fill[2][5000];
	uint64_t seed = seed_make();
	for (size_t i = 0; i < sizeof fill[1]; i++)
		fill[1][i] = (char)(chance_of(&seed) % 5 ? chance_of(&seed) : 0xff);
	for (size_t round = 0; round < 12000 / step; round++) {
		size_t s = chance_of(&seed) % n_segs;
		size_t at = chance_of(&seed) % segs[s].len, len = 1 + chance_of(&seed) % 4999;
		if (len > segs[s].len - at)
			len = segs[s].len - at;
		poke(s, at, fill[round % 2], len);
		uint64_t from = segs[s].base + at, to = from + len;
		judge(dir, 0, from < bound(s) ? from : bound(s), to < bound(s) ? to : bound(s),
		      false);
		poke(s, at, segs[s].bytes + at, len);
	}
	verdict("zeros or noise anywhere");

	/* What a power cut leaves: a tail of zeros. */
	for (size_t s = 0; s < n_segs; s++)
		for (size_t at = 0; at < segs[s].len; at += 151 * step) {
			char *zeros = calloc(1, segs[s].len);
			poke(s, at, zeros, segs[s].len - at);
			judge(dir, 0, segs[s].base + at, bound(s),
			      s < last && segs[s].base + at < bound(s));
			free(zeros);
			put_back(s);
		}
	verdict("a tail of zeros");

	for (size_t s = 0; s < n_segs; s++) {
		unlink(segs[s].path);
		judge(dir, 0, segs[s].base, bound(s), s > 0 && s < last);
		/* and from a cursor in it */
		judge(dir, segs[s].base + 500, segs[s].base, bound(s), s < last);
		put_back(s);
	}
	verdict("a segment missing");
	judge(dir, 0, 0, 0, false);
	verdict("and whole again");
	scratch_remove();
	return tap_end();
}
