/* SPDX-License-Identifier: BSD-3-Clause */
/* Eight threads on one handle, and on a handle each: nothing is lost, none twice, each thread's
 * events in their order. Best run with -fsanitize=thread too. */
#include "api_fixture.h"

#include <pthread.h>

enum { THREADS = 8, EVENTS = 1500 };

struct worker {
	pthread_t thread;
	struct mbev *handle;
	int who, errors;
	char why[256]; /* of the last error */
};

static void *work(void *arg)
{
	struct worker *w = arg;
	char user[16], why[256] = "";
	snprintf(user, sizeof user, "w%d", w->who);
	for (int n = 0; n < EVENTS; n++) {
		struct mbev_event *e;
		int code = mbev_new(w->handle, n % 3 ? "MessageExpunge" : "FlagsSet", &e);
		mbev_set_mailbox(e, "john", "INBOX", 5);
		mbev_set_string(e, "user", user);
		mbev_set_int(e, "vnd.test.n", n);
		mbev_add_message(e, (uint32_t)n + 1, "<a@x>");
		if (n % 3 == 0)
			mbev_add_flags(e, "a \\Seen"); /* two records */
		if (code != MBEV_OK || mbev_emit(&e, why, sizeof why) != MBEV_OK) {
			w->errors++;
			memcpy(w->why, why, sizeof why);
		}
		if (n % 100 == 0)
			mbev_lost(w->handle);
	}
	return NULL;
}

static int value(const struct record *rec)
{
	const char *at = memmem(rec->json.s, rec->json.len, "\"vnd.test.n\":", 13);
	assert_non_null(at);
	return atoi(at + 13);
}

static void check(void)
{
	int next[THREADS] = {0}, seen[THREADS] = {0};
	struct record rec;
	struct reader *r = fixture_reader(0);
	while (api_next(r, &rec)) {
		int who = rec.user.s[1] - '0', n = value(&rec);
		bool first_of_two = rec.event.len == 11 && rec.event.s[7] == 'R';
		assert_true(who >= 0 && who < THREADS);
		assert_int_equal(n, next[who]);
		assert_int_equal(rec.lost, 0);
		next[who] += !first_of_two;
		seen[who]++;
	}
	assert_int_equal(reader_damage(r)->torn, 0);
	reader_close(&r);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(next[i], EVENTS);
		assert_int_equal(seen[i], EVENTS + EVENTS / 3);
	}
}

static void run(int handles)
{
	struct mbev *h[THREADS];
	struct worker workers[THREADS];
	char why[256];
	api_write_conf("servername: h\n" ALL_GROUPS ALL_EXTRAS);
	for (int i = 0; i < handles; i++)
		assert_int_equal(mbev_open(api_conf, "imap", &h[i], why, sizeof why), MBEV_OK);
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.handle = h[i % handles], .who = i};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
	}
	for (int i = 0; i < THREADS; i++) {
		if (workers[i].errors)
			fail_msg("%d errors: %s", workers[i].errors, workers[i].why);
	}
	uint64_t emitted = 0;
	for (int i = 0; i < handles; i++) {
		emitted += mbev_count(h[i], MBEV_COUNT_EMITTED);
		assert_int_equal(mbev_lost(h[i]), 0);
		mbev_close(&h[i]);
	}
	assert_int_equal(emitted, THREADS * (EVENTS + EVENTS / 3));
	check();
}

static void test_one_handle(void **state)
{
	(void)state;
	run(1);
}

static void test_eight_handles(void **state)
{
	(void)state;
	run(THREADS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_one_handle), TEST(test_eight_handles)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
