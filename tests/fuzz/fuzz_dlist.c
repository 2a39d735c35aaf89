/* SPDX-License-Identifier: BSD-3-Clause */
/* A dlist: connection of any bytes: the same requests whether they come at once or in pieces, and
 * every string of a request can be read. Without libFuzzer: replay.c.
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined \
 *     tests/fuzz/fuzz_dlist.c notifyd/dlist.c notifyd/datagram.c lib/buf.c -o fuzz_dlist &&
 *     ./fuzz_dlist tests/fuzz/dlist */
#include "../../notifyd/dlist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void expect(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "fuzz_dlist: %s\n", what);
	abort();
}

static void add(struct buf *seen, struct str str)
{
	buf_addf(seen, "%s%zu:", str.s ? "" : "NIL", str.len);
	buf_add(seen, str.s, str.len);
}

static void note(struct buf *seen, const struct datagram *d)
{
	struct buf datagram = BUF_INIT;
	add(seen, d->method);
	add(seen, d->class);
	add(seen, d->priority);
	add(seen, d->user);
	add(seen, d->mailbox);
	add(seen, d->message);
	add(seen, d->fname);
	add(seen, d->options);
	size_t strings = 0;
	for (size_t i = 0; i < d->options.len; i++)
		strings += !d->options.s[i];
	expect(strings == d->nopt, "as many options as are counted");
	datagram_write(&datagram, d); /* may not fit */
	buf_free(&datagram);
}

/* All requests in pieces of `step` bytes, up to what is bad. */
static void run(const char *s, size_t size, size_t step, struct buf *seen)
{
	struct dlist *d = dlist_new();
	expect(d != NULL, "memory");
	for (size_t at = 0; at < size;) {
		size_t n = size - at < step ? size - at : step, used = 0;
		const char *why = NULL;
		char *piece = malloc(n);
		memcpy(piece, s + at, n);
		int r = dlist_feed(d, piece, n, &used, &why);
		free(piece);
		if (r == DLIST_BAD) {
			expect(why && *why, "a reason");
			buf_addf(seen, "bad: %s", why);
			break;
		}
		expect(used && used <= n, "progress");
		expect(r == DLIST_REQUEST || used == n, "all is taken");
		if (r == DLIST_REQUEST)
			note(seen, dlist_request(d));
		at += used;
	}
	dlist_free(&d);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static const size_t steps[] = {1, 3, 17};
	struct buf whole = BUF_INIT;
	run((const char *)data, size, size ? size : 1, &whole);
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		struct buf seen = BUF_INIT;
		run((const char *)data, size, steps[i], &seen);
		expect(seen.len == whole.len && (!seen.len || !memcmp(seen.s, whole.s, seen.len)),
		       "the same in pieces");
		buf_free(&seen);
	}
	buf_free(&whole);
	return 0;
}
