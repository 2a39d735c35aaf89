/* SPDX-License-Identifier: BSD-3-Clause */
/* Each allocation of a host's calls fails in turn: an error code and a count, or the right event;
 * never a crash, never half an event, and the next event is as if nothing had happened. */
#undef malloc
#undef calloc
#undef realloc
#undef strdup
#undef strndup
#include "api_fixture.h"

static int left = -1; /* allocations until one fails; negative: none does */

static int fails(void)
{
	return left >= 0 && left-- == 0;
}

void *nomem_malloc(size_t size)
{
	return fails() ? NULL : malloc(size);
}

void *nomem_calloc(size_t n, size_t size)
{
	return fails() ? NULL : calloc(n, size);
}

void *nomem_realloc(void *p, size_t size)
{
	return fails() ? NULL : realloc(p, size);
}

char *nomem_strdup(const char *s)
{
	return fails() ? NULL : strdup(s);
}

char *nomem_strndup(const char *s, size_t n)
{
	return fails() ? NULL : strndup(s, n);
}

/* The most that can be in one event, and one that is split in three. */
static int emit(struct mbev *h, int which, char *why, size_t size)
{
	struct mbev_event *e;
	const char *two[] = {"a", "b"};
	int code = mbev_new(h, which ? "FlagsSet" : "MessageNew", &e);
	if (code != MBEV_OK)
		return code;
	mbev_set_mailbox(e, "john@example.org", "Archive/2024", 7);
	mbev_set_specialuse(e, "\\Archive");
	mbev_set_string(e, "user", "jane");
	mbev_set_string(e, "vnd.example.s", "own");
	mbev_set_strings(e, "vnd.example.a", two, 2);
	mbev_set_json(e, "vnd.example.j", "{ }", 3);
	mbev_set_string(e, "vnd.cmu.sessionId", "s");
	for (uint32_t uid = 1; uid <= (which ? 40 : 1); uid++) {
		char id[16];
		snprintf(id, sizeof id, "<%u@x>", (unsigned)uid);
		mbev_add_message(e, 2 * uid, id);
	}
	mbev_set_int(e, "modseq", 5);
	mbev_add_flags(e, "\\Seen \\Deleted work");
	if (!which) {
		mbev_set_content(e, "A: b\r\n\r\nc", 9);
		mbev_add_header(e, "Subject", "s");
		mbev_add_header(e, "To", "t@example.org");
	}
	mbev_set_time(e, 0, 60);
	return mbev_emit(&e, why, size);
}

/* The records that came since, one a line; their number in *n_r. */
static char *records(int *n_r)
{
	struct buf all = BUF_INIT;
	struct record rec;
	struct reader *r = fixture_reader(api_read);
	for (*n_r = 0; api_next(r, &rec); (*n_r)++) {
		buf_add(&all, rec.json.s, rec.json.len);
		buf_addc(&all, '\n');
	}
	reader_close(&r);
	char *text = strdup(buf_cstr(&all));
	buf_free(&all);
	return text;
}

static void test_emit(void **state)
{
	(void)state;
	char why[256];
	struct mbev *h;
	api_write_conf("servername: h\n" ALL_GROUPS ALL_EXTRAS);
	assert_int_equal(mbev_open(api_conf, "imap", &h, why, sizeof why), MBEV_OK);
	for (int which = 0; which < 2; which++) {
		int n, got_n, lost = 0;
		assert_int_equal(emit(h, which, why, sizeof why), MBEV_OK);
		char *expected = records(&n);
		assert_int_equal(n, which ? 3 : 1);
		bool done = false;
		for (int at = 0; !done; at++) {
			uint64_t lost_before = mbev_count(h, MBEV_COUNT_LOST);
			left = at;
			int code = emit(h, which, why, sizeof why);
			done = left >= 0;
			left = -1;
			char *got = records(&got_n);
			if (code == MBEV_OK) {
				assert_string_equal(got, expected);
				assert_int_equal(mbev_count(h, MBEV_COUNT_LOST), lost_before);
			} else {
				/* what came of it is whole, what did not is counted */
				assert_true(code == MBEV_NOMEM || code == MBEV_JOURNAL);
				assert_true(got_n < n && (!*got || strstr(expected, got)));
				assert_true(mbev_count(h, MBEV_COUNT_LOST) > lost_before);
				lost++;
			}
			free(got);
		}
		assert_true(lost > 20);
		free(expected);
	}
	assert_int_equal(mbev_count(h, MBEV_COUNT_REFUSED), 0);
	mbev_close(&h);
}

static void test_open(void **state)
{
	(void)state;
	char why[256];
	struct mbev *h;
	int failed = 0;
	api_write_conf("servername: h\n" ALL_GROUPS ALL_EXTRAS "imap_mboxevent_sync: soon\n");
	for (bool done = false; !done;) {
		int at = failed;
		left = at;
		int code = mbev_open(api_conf, "imap", &h, why, sizeof why);
		done = left >= 0;
		left = -1;
		if (code == MBEV_OK) {
			/* a warning that there was no memory for may be missing */
			mbev_close(&h);
			if (!done)
				failed++;
			continue;
		}
		assert_null(h);
		assert_true(*why);
		failed++;
	}
	assert_true(failed > 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_emit), TEST(test_open)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
