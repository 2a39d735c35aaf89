/* SPDX-License-Identifier: BSD-3-Clause */
/* A record byte by byte, and its checksum on this processor. */
#include "../../lib/checksum.h"
#include "../../lib/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* The file format says XXH3-64: what this processor makes of it is what any other reads. */
static void test_checksum(void **state)
{
	(void)state;
	enum { MOST = 9000 };
	unsigned char *s = malloc(MOST + 1);
	assert_non_null(s);
	for (size_t i = 0; i <= MOST; i++)
		s[i] = (unsigned char)(i * 2654435761u >> 13);
	for (size_t n = 0; n <= MOST; n += n < 2100 ? 1 : 127) {
		assert_true(checksum(s, n) == XXH3_64bits(s, n));
		assert_true(checksum(s + 1, n) == XXH3_64bits(s + 1, n)); /* aligned to nothing */
	}
	assert_true(checksum("", 0) == UINT64_C(0x2d06800538d394c2)); /* as in xxhash's own test */
	free(s);
}

static void encode(struct buf *out)
{
	const struct record rec = {.event = STR("MessageNew"),
	                           .user = STR("john"),
	                           .mailbox = STR("INBOX"),
	                           .json = STR("{\"event\":\"MessageNew\"}")};
	assert_int_equal(record_encode(out, RECORD_EVENT, &rec, 1), 0);
}

/* One that is cut off anywhere may still be completed: the reader waits for it. */
static void test_cut(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	struct record rec;
	encode(&out);
	for (size_t n = 0; n < out.len; n++) {
		size_t need = 0;
		char *s = malloc(n ? n : 1); /* no byte more, for ASan */
		assert_non_null(s);
		memcpy(s, out.s, n);
		assert_int_equal(record_decode(s, n, &rec, &need), RECORD_SHORT);
		assert_int_equal(need, n < RECORD_HEADER ? RECORD_HEADER : out.len);
		free(s);
	}
	size_t need = 0;
	assert_int_equal(record_decode(out.s, out.len, &rec, &need), RECORD_EVENT);
	assert_int_equal(need, out.len);
	assert_memory_equal(rec.json.s, "{\"event\":\"MessageNew\"}", rec.json.len);
	buf_free(&out);
}

/* What does not begin as one is never waited for, however little of it there is. */
static void test_foreign(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	struct record rec;
	encode(&out);
	for (size_t at = 0; at < sizeof record_magic; at++) {
		out.s[at] ^= 1;
		for (size_t n = at + 1; n <= out.len; n++) {
			size_t need;
			assert_int_equal(record_decode(out.s, n, &rec, &need), RECORD_BAD);
		}
		out.s[at] ^= 1;
	}
	buf_free(&out);
}

/* No byte of it can differ and be taken. */
static void test_flipped(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	struct record rec;
	encode(&out);
	for (size_t at = 0; at < out.len; at++) {
		size_t need;
		out.s[at] ^= 4;
		assert_true(record_decode(out.s, out.len, &rec, &need) <= 0);
		out.s[at] ^= 4;
	}
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_checksum),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_foreign),
	    cmocka_unit_test(test_flipped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
