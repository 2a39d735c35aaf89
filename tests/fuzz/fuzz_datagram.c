/* SPDX-License-Identifier: BSD-3-Clause */
/* A datagram of any bytes: refused with a reason, or every string lies inside it and writing
 * it again gives one that parses alike. Without libFuzzer: replay.c.
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined \
 *     tests/fuzz/fuzz_datagram.c notifyd/datagram.c lib/buf.c -o fuzz_datagram &&
 *     ./fuzz_datagram tests/fuzz/datagram */
#include "../../notifyd/datagram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void expect(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "fuzz_datagram: %s\n", what);
	abort();
}

static void inside(const char *s, size_t size, struct str str)
{
	expect(!str.s || (str.s >= s && str.s + str.len <= s + size), "a string inside");
}

static bool same(struct str a, struct str b)
{
	return a.len == b.len && (!a.len || !memcmp(a.s, b.s, a.len));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	const char *s = (const char *)data, *why = NULL;
	struct datagram d, again;
	struct buf out = BUF_INIT;
	if (datagram_parse(s, size, &d, &why) < 0) {
		expect(why && *why, "a reason");
		return 0;
	}
	const struct str all[] = {d.method,  d.class,   d.priority, d.user,
	                          d.mailbox, d.message, d.fname,    d.options};
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		inside(s, size, all[i]);
	expect(datagram_write(&out, &d) == 0, "writable");
	expect(out.len <= size, "no longer than it was");
	expect(datagram_parse(out.s, out.len, &again, &why) == 0, "readable again");
	expect(same(d.method, again.method) && same(d.class, again.class) &&
	           same(d.user, again.user) && same(d.mailbox, again.mailbox) &&
	           same(d.message, again.message) && same(d.fname, again.fname) &&
	           same(d.options, again.options) && d.nopt == again.nopt,
	       "the same again");
	buf_free(&out);
	return 0;
}
