/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../notifyd/incident.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void each_reason_once(void **state)
{
	struct incident i = {0};
	(void)state;
	assert_true(incident_failed(&i, "refused", 1000));
	assert_false(incident_failed(&i, "refused", 2000));
	assert_true(incident_failed(&i, "no route", 3000));
	assert_false(incident_failed(&i, "refused", 4000));
	assert_false(incident_failed(&i, "refused", 1000 + INCIDENT_REMIND_MS));
	assert_true(incident_failed(&i, "refused", 1001 + INCIDENT_REMIND_MS));
	/* One more than are kept. */
	char why[16];
	for (int n = 0; n <= INCIDENT_REASONS; n++) {
		snprintf(why, sizeof why, "host %d", n);
		assert_true(incident_failed(&i, why, 2000000 + n));
	}
	assert_false(incident_failed(&i, why, 2000100));
	assert_true(incident_failed(&i, "host 0", 2000200));
}

static void waits_grow(void **state)
{
	(void)state;
	for (int slow = 0; slow < 2; slow++) {
		struct incident i = {0};
		int most = slow ? 60000 : INCIDENT_WAIT_MAX, want = slow ? 1000 : 100;
		for (int n = 0; n < 12; n++) {
			incident_failed(&i, "refused", 1000);
			assert_in_range(incident_wait(&i, slow), want / 2, want);
			want = want * 2 < most ? want * 2 : most;
		}
		/* It worked for a moment. */
		incident_well(&i, 2000);
		incident_failed(&i, "refused", 2100);
		assert_in_range(incident_wait(&i, slow), 500, 1000);
	}
}

static void over_when_steady(void **state)
{
	struct incident i = {0};
	int64_t seconds;
	(void)state;
	incident_well(&i, 500);
	assert_false(incident_over(&i, 100000, &seconds)); /* there was none */
	incident_failed(&i, "full", 1000);
	incident_wait(&i, false);
	assert_false(incident_over(&i, 100000, &seconds)); /* it fails still */
	incident_well(&i, 101000);
	assert_false(incident_over(&i, 101000 + INCIDENT_STEADY_MS - 1, &seconds));
	assert_false(incident_failed(&i, "full", 105000)); /* the same one */
	incident_wait(&i, false);
	assert_false(incident_over(&i, 107000, &seconds));
	incident_well(&i, 111000);
	incident_well(&i, 112000);
	assert_true(incident_over(&i, 111000 + INCIDENT_STEADY_MS, &seconds));
	assert_int_equal(seconds, 110);
	assert_false(incident_over(&i, 200000, &seconds));
	assert_true(incident_failed(&i, "full", 200000)); /* a new one */
	assert_in_range(incident_wait(&i, false), 50, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_reason_once),
	    cmocka_unit_test(waits_grow),
	    cmocka_unit_test(over_when_steady),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
