/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../notifyd/sinks/amqp/confirm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct confirm c;

/* Positions are 10, 20, ... for tags 1, 2, ...; the next of a record is its position plus 10. */
static void publish(unsigned n)
{
	while (n--)
		assert_true(confirm_add(&c, c.end * 10, c.end * 10 + 10, 7));
}

static uint64_t settled(void)
{
	uint64_t next = 0;
	return confirm_settle(&c, &next) ? next : 0;
}

static int fresh(void **state)
{
	(void)state;
	confirm_init(&c);
	return 0;
}

static void nothing_sent(void **state)
{
	(void)state;
	assert_int_equal(settled(), 0);
	assert_null(confirm_lowest(&c));
	assert_int_equal(confirm_count(&c), 0);
	assert_int_equal(confirm_ack(&c, 0, true), 0);
	assert_int_equal(settled(), 0);
	assert_int_equal(confirm_ack(&c, 1, false), -1);
	assert_int_equal(confirm_ack(&c, 1, true), -1);
	assert_int_equal(confirm_ack(&c, 0, false), -1);
}

static void in_order(void **state)
{
	(void)state;
	publish(3);
	assert_int_equal(settled(), 0);
	assert_int_equal(confirm_ack(&c, 1, false), 0);
	assert_int_equal(settled(), 20);
	assert_int_equal(settled(), 0);
	assert_int_equal(confirm_count(&c), 2);
	assert_int_equal(c.bytes, 14);
	assert_int_equal(confirm_ack(&c, 2, false), 0);
	assert_int_equal(confirm_ack(&c, 3, false), 0);
	assert_int_equal(settled(), 40);
	assert_int_equal(confirm_count(&c), 0);
	assert_int_equal(c.bytes, 0);
}

static void out_of_order(void **state)
{
	(void)state;
	publish(4);
	confirm_ack(&c, 3, false);
	confirm_ack(&c, 2, false);
	assert_int_equal(settled(), 0);
	assert_int_equal(confirm_count(&c), 4);
	confirm_ack(&c, 1, false);
	assert_int_equal(settled(), 40);
	assert_int_equal(confirm_lowest(&c)->pos, 40);
	assert_int_equal(confirm_lowest(&c)->state, CONFIRM_WAITING);
}

static void multiple(void **state)
{
	(void)state;
	publish(6);
	confirm_ack(&c, 5, false);
	confirm_ack(&c, 3, true);
	assert_int_equal(settled(), 40);
	/* up to a tag that was settled before: nothing, and no harm */
	assert_int_equal(confirm_ack(&c, 2, true), 0);
	assert_int_equal(confirm_ack(&c, 2, false), 0);
	assert_int_equal(settled(), 0);
	confirm_ack(&c, 4, true);
	assert_int_equal(settled(), 60);
	assert_int_equal(confirm_ack(&c, 7, true), -1);
	assert_int_equal(confirm_count(&c), 1);
}

static void multiple_tag_zero(void **state)
{
	(void)state;
	publish(5);
	assert_int_equal(confirm_ack(&c, 0, true), 0);
	assert_int_equal(settled(), 60);
	publish(2); /* not meant by it */
	assert_int_equal(settled(), 0);
	assert_int_equal(confirm_count(&c), 2);
}

static void nack(void **state)
{
	(void)state;
	publish(5);
	confirm_nack(&c, 3, false);
	confirm_ack(&c, 5, true); /* what was refused stays refused */
	assert_int_equal(settled(), 30);
	assert_int_equal(confirm_lowest(&c)->state, CONFIRM_NACKED);
	assert_int_equal(confirm_lowest(&c)->pos, 30);
	assert_int_equal(settled(), 0);
	assert_int_equal(confirm_nack(&c, 6, false), -1);
}

static void nack_multiple(void **state)
{
	(void)state;
	publish(5);
	confirm_ack(&c, 2, false);
	confirm_nack(&c, 4, true); /* 2 was confirmed alone before */
	confirm_ack(&c, 1, false);
	assert_int_equal(confirm_lowest(&c)->state, CONFIRM_NACKED);
	assert_int_equal(settled(), 0);
	assert_int_equal(c.entries[2].state, CONFIRM_ACKED);
	assert_int_equal(c.entries[5].state, CONFIRM_WAITING);
}

static void returned(void **state)
{
	(void)state;
	publish(5);
	assert_true(confirm_return(&c, 20));
	assert_false(confirm_return(&c, 25));
	assert_false(confirm_return(&c, 60));
	assert_false(confirm_return(&c, 5));
	confirm_ack(&c, 5, true); /* the ack of an unroutable message does not count */
	assert_int_equal(settled(), 20);
	assert_int_equal(confirm_lowest(&c)->state, CONFIRM_RETURNED);
	assert_int_equal(confirm_lowest(&c)->next, 30);
	assert_false(confirm_return(&c, 10)); /* settled before */
}

static void skipped(void **state)
{
	(void)state;
	publish(4);
	confirm_return(&c, 10);
	confirm_ack(&c, 2, false);
	assert_int_equal(settled(), 0);
	confirm_skip(&c);
	assert_int_equal(confirm_count(&c), 3);
	assert_int_equal(c.bytes, 21);
	assert_int_equal(confirm_ack(&c, 1, false), 0); /* comes behind the basic.return */
	assert_int_equal(settled(), 30);
	assert_int_equal(confirm_lowest(&c)->pos, 30);
	confirm_skip(&c);
	confirm_skip(&c);
	assert_null(confirm_lowest(&c));
	assert_int_equal(c.bytes, 0);
}

/* Far round the ring, never empty, answers at a distance. */
static void wrap(void **state)
{
	uint64_t last = 0, next;
	(void)state;
	for (unsigned n = 0; n < 5 * CONFIRM_MAX; n++) {
		while (confirm_count(&c) < CONFIRM_MAX)
			publish(1);
		assert_false(confirm_add(&c, 1, 2, 3));
		assert_int_equal(c.bytes, 7 * CONFIRM_MAX);
		uint64_t low = c.low;
		assert_int_equal(confirm_ack(&c, low + 1, false), 0);
		assert_int_equal(confirm_ack(&c, low + CONFIRM_MAX - 1, false), 0);
		assert_int_equal(confirm_ack(&c, low, false), 0);
		assert_true(confirm_settle(&c, &next));
		assert_true(next > last);
		assert_int_equal(next, c.low * 10);
		last = next;
	}
	assert_true(confirm_return(&c, (c.end - 2) * 10));
	confirm_ack(&c, 0, true);
	assert_int_equal(settled(), (c.end - 2) * 10);
}

/* Any order of single answers settles all, and never past one that is missing. */
static void shuffled(void **state)
{
	enum { N = 300 };
	uint64_t tags[N];
	bool acked[N + 2] = {0};
	(void)state;
	srandom(5);
	publish(N);
	for (unsigned i = 0; i < N; i++)
		tags[i] = i + 1;
	for (unsigned i = N; i-- > 1;) {
		unsigned j = (unsigned)random() % (i + 1);
		uint64_t t = tags[i];
		tags[i] = tags[j];
		tags[j] = t;
	}
	uint64_t done = 10;
	for (unsigned i = 0; i < N; i++) {
		confirm_ack(&c, tags[i], false);
		acked[tags[i]] = true;
		uint64_t next = settled(), lowest = 1;
		while (acked[lowest])
			lowest++;
		if (next)
			done = next;
		assert_int_equal(done, lowest * 10);
	}
	assert_int_equal(confirm_count(&c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(nothing_sent, fresh),
	    cmocka_unit_test_setup(in_order, fresh),
	    cmocka_unit_test_setup(out_of_order, fresh),
	    cmocka_unit_test_setup(multiple, fresh),
	    cmocka_unit_test_setup(multiple_tag_zero, fresh),
	    cmocka_unit_test_setup(nack, fresh),
	    cmocka_unit_test_setup(nack_multiple, fresh),
	    cmocka_unit_test_setup(returned, fresh),
	    cmocka_unit_test_setup(skipped, fresh),
	    cmocka_unit_test_setup(wrap, fresh),
	    cmocka_unit_test_setup(shuffled, fresh),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
