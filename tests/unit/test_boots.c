/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes that see different boot ids on one kernel, or none: the boot id is the test's own (ld
 * --wrap). */
#include "journal_fixture.h"

#include "../../lib/boots.h"
#include "../../lib/rescue.h"
#include "../../notifyd/verify.h"

#include <sys/stat.h>
#include <sys/wait.h>

static unsigned char boot[16];

void __wrap_segment_boot(unsigned char boot_r[16]);

void __wrap_segment_boot(unsigned char boot_r[16])
{
	memcpy(boot_r, boot, sizeof boot);
}

static void see(unsigned char id)
{
	memset(boot, id, sizeof boot);
}

static void damaged(void *ctx, const struct damage *d)
{
	(void)ctx;
	print_message("%s at %llx, %llu bytes\n", verify_kind(d->kind), (unsigned long long)d->pos,
	              (unsigned long long)d->len);
}

static void verify(void)
{
	struct verify v = {.found = damaged};
	char *why;
	assert_int_equal(verify_journal(fixture_dir, &v, &why), 0);
	assert_int_equal(v.damaged, 0);
}

/* Events of a writer, in order. */
static int count(int who)
{
	struct record rec;
	struct reader *r = fixture_reader(0);
	int n = 0;
	while (reader_next(r, &rec) == 1)
		if (rec.user.s[1] == '0' + who)
			assert_int_equal(fixture_n(&rec), n++);
	verify();
	assert_int_equal(reader_damage(r)->torn, 0);
	assert_int_equal(reader_damage(r)->gap, 0);
	reader_close(&r);
	return n;
}

static int gaps(void)
{
	uint64_t *bases;
	int r = 0;
	ssize_t n = segment_list(fixture_fd, &bases);
	for (ssize_t i = 1; i < n; i++)
		r += bases[i] - bases[i - 1] >= SEGMENT_BOOT_GAP;
	free(bases);
	return r;
}

/* Two containers, each with processes that live on: what the first ones have open is sealed, and
 * all go on in the same segment from then on. */
static void test_two(void **state)
{
	(void)state;
	see(1);
	struct journal *a = fixture_journal();
	fixture_append(a, 0, 0);
	see(2);
	struct journal *b = fixture_journal();
	fixture_append(b, 1, 0);
	for (int n = 1; n < 2000; n++) {
		see(1);
		fixture_append(a, 0, n);
		see(2);
		fixture_append(b, 1, n);
	}
	journal_close(&a);
	journal_close(&b);
	/* New processes make no new gap either. */
	for (int n = 0; n < 40; n++) {
		see((unsigned char)(1 + n % 2));
		a = fixture_journal();
		fixture_append(a, 2, n);
		journal_close(&a);
	}
	assert_int_equal(gaps(), 1);
	assert_int_equal(count(0), 2000);
	assert_int_equal(count(1), 2000);
	assert_int_equal(count(2), 40);
	verify();
}

/* All at once, and the segments are small. */
static void test_at_once(void **state)
{
	(void)state;
	enum { EACH = 400, PROCESSES = 6 };
	pid_t pids[PROCESSES];
	for (int who = 0; who < PROCESSES; who++) {
		pids[who] = fork();
		assert_true(pids[who] >= 0);
		if (pids[who])
			continue;
		see((unsigned char)(1 + who % 3));
		struct journal *j = fixture_journal();
		for (int n = 0; n < EACH; n++)
			fixture_append(j, who, n);
		_exit(0);
	}
	for (int who = 0; who < PROCESSES; who++) {
		int status;
		waitpid(pids[who], &status, 0);
		assert_int_equal(status, 0);
	}
	for (int who = 0; who < PROCESSES; who++)
		assert_int_equal(count(who), EACH);
	/* Two ids may begin at once, and one of them once more. */
	assert_true(gaps() < 8);
	verify();
}

/* A segment that its own writers sealed, with nothing behind it yet. */
static void test_sealed(void **state)
{
	(void)state;
	see(1);
	struct journal *a = fixture_journal();
	int n = 0;
	struct stat st;
	do
		fixture_append(a, 0, n++);
	while (fstatat(fixture_fd, "0000000000000000.seg", &st, 0) == 0 && st.st_size <= 64 << 10);
	see(2);
	struct journal *b = fixture_journal();
	fixture_append(b, 1, 0);
	see(1);
	fixture_append(a, 0, n++);
	assert_int_equal(count(0), n);
	assert_int_equal(count(1), 1);
	assert_int_equal(gaps(), 1);
	verify();
	journal_close(&a);
	journal_close(&b);
}

/* A power cut took all that followed a SEAL with a gap, and the clock was set back: the writers of
 * the boot before seem to be alive. Their positions do not come again all the same. */
static void test_set_back(void **state)
{
	(void)state;
	struct segment seg;
	uint64_t next;
	see(1);
	struct journal *j = fixture_journal();
	fixture_append(j, 0, 0);
	journal_close(&j);
	int fd = segment_open(fixture_fd, 0, O_RDWR | O_APPEND, &seg);
	assert_true(segment_retire(fd, &seg, 1, &next) > 0);
	close(fd);
	see(2);
	assert_int_equal(boots_begin(fixture_fd, boot, next), 0);
	see(3);
	j = fixture_journal();
	assert_true(fixture_append(j, 0, 1) - next > SEGMENT_BOOT_GAP);
	journal_close(&j);
	assert_int_equal(count(0), 2);
}

/* Another container is about to begin: what it wrote down is made in its name, so that it finds its
 * segment sealed and comes to ours. */
static void test_beside(void **state)
{
	(void)state;
	see(1);
	assert_int_equal(boots_begin(fixture_fd, boot, 0), 0);
	see(2);
	struct journal *b = fixture_journal();
	uint64_t pos = fixture_append(b, 0, 0);
	assert_true(pos > SEGMENT_BOOT_GAP);
	see(1);
	struct journal *a = fixture_journal();
	assert_true(fixture_append(a, 0, 1) - pos < 1000);
	journal_close(&a);
	journal_close(&b);
	assert_int_equal(count(0), 2);
}

/* Without an id the clock tells. */
static void test_unknown(void **state)
{
	(void)state;
	struct segment old = {.limit = 64 << 10, .created = 1};
	see(1);
	memcpy(old.boot, boot, sizeof boot);
	assert_int_equal(segment_create(fixture_fd, &old), 0);
	see(0);
	uint64_t pos = 0;
	for (int n = 0; n < 1000; n++) {
		see(n % 2 ? 2 : 0);
		struct journal *j = fixture_journal();
		uint64_t at = fixture_append(j, 0, n);
		assert_true(n ? at - pos < SEGMENT_BOOT_GAP : at >= SEGMENT_BOOT_GAP);
		pos = at;
		journal_close(&j);
	}
	assert_int_equal(gaps(), 1);
	assert_int_equal(count(0), 1000);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {T(test_two),      T(test_at_once), T(test_sealed),
	                                   T(test_set_back), T(test_beside),  T(test_unknown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
