/* SPDX-License-Identifier: BSD-3-Clause */
#include "preloaded.h"

#include "../../lib/lost.h"

#include <sys/resource.h>

static const char login[] =
    "{\"event\":\"Login\",\"user\":\"john\",\"uri\":\"imap://imap.example.org\",\"pid\":1}";

/* The only record's JSON. */
static void expect_json(const char *json, unsigned flags)
{
	struct record rec;
	struct reader *r = fixture_reader(0);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(rec.json.len, strlen(json));
	assert_memory_equal(rec.json.s, json, rec.json.len);
	assert_int_equal(rec.flags, flags);
	assert_int_equal(reader_next(r, &rec), 0);
	reader_close(&r);
}

IN_CHILD(test_to_the_journal)
{
	char out[96];
	struct stat st;
	configure("");
	snprintf(out, sizeof out, "%s/out", fixture_dir);
	int fd = open(out, O_RDWR | O_CREAT | O_TRUNC, 0600), keep = dup(1), keep2 = dup(2);
	dup2(fd, 1);
	dup2(fd, 2);
	errno = ENOTTY;
	event(login);
	int after = errno;
	dup2(keep, 1);
	dup2(keep2, 2);
	assert_int_equal(after, ENOTTY);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 0); /* nothing was printed */
	assert_int_equal(stock_calls, 0);
	expect_json("{\"event\":\"Login\",\"pid\":1,\"uri\":\"imap://imap.example.org\","
	            "\"user\":\"john\"}",
	            0);
}

IN_CHILD(test_other_classes)
{
	const char *options[] = {"a", "b"};
	configure("");
	notify("mailto", "MAIL", "1", "john", "INBOX", 2, options, "hello", "/some/file");
	assert_int_equal(stock_calls, 1);
	assert_string_equal(stock_class, "MAIL");
	assert_string_equal(stock_message, "hello");
	assert_int_equal(stock_nopt, 2);
	assert_int_equal(journal_end(fixture_fd), 0);
}

/* Without a configuration it is as if the hook were not there. */
IN_CHILD(test_no_configuration)
{
	config_filename = "/nonexistent/imapd.conf";
	event(login);
	event(login);
	assert_int_equal(stock_calls, 2);
	assert_string_equal(stock_class, "EVENT");
	assert_ptr_equal(stock_message, login);
}

IN_CHILD(test_service_option)
{
	configure("imap_mboxevent_format: native\n");
	event(login);
	expect_json(login, RECORD_NATIVE);
}

IN_CHILD(test_other_service_option)
{
	configure("lmtpunix_mboxevent_format: native\n");
	event(login);
	expect_json("{\"event\":\"Login\",\"pid\":1,\"uri\":\"imap://imap.example.org\","
	            "\"user\":\"john\"}",
	            0);
}

IN_CHILD(test_wrong_option)
{
	configure("mboxevent_format: fancy\nmboxevent_sync: soon\n");
	event(login);
	assert_int_equal(stock_calls, 0);
	assert_true(journal_end(fixture_fd) > SEGMENT_HEADER);
}

IN_CHILD(test_modseq_dropped)
{
	configure("");
	event("{\"event\":\"MailboxModseq\",\"user\":\"\",\"uri\":\"imap://imap.example.org/"
	      "user/john;UIDVALIDITY=1\"}");
	assert_int_equal(stock_calls, 0);
	assert_int_equal(journal_end(fixture_fd), 0);
	assert_int_equal(lost_total(fixture_fd), 0);
}

IN_CHILD(test_not_understood)
{
	configure("");
	event("this is no JSON at all");
	struct record rec;
	struct reader *r = fixture_reader(0);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_non_null(memmem(rec.json.s, rec.json.len, "no JSON", 7));
	reader_close(&r);
}

/* Cyrus daemons close every descriptor above 2, and open files of their own. */
IN_CHILD(test_descriptors)
{
	configure("");
	char path[96];
	struct stat st;
	snprintf(path, sizeof path, "%s/cyrus.index", fixture_dir);
	for (int n = 0; n < 50; n++) {
		event(login);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		for (int fd = 3; fd < 64; fd++)
			open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
		event(login);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, 0);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
	}
	struct reader *r = fixture_reader(0);
	struct record rec;
	int n = 0;
	while (reader_next(r, &rec) == 1)
		n++;
	assert_int_equal(n, 100);
	reader_close(&r);
}

IN_CHILD(test_no_descriptor_left)
{
	configure("");
	event(login);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	const struct rlimit few = {256, 256}; /* some machines allow a thousand million */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (dup(0) >= 0)
		;
	event(login); /* lost and counted in the process: no descriptor for anything */
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	usleep(150000);
	event(login);
	fixture_fd = open(fixture_dir, O_RDONLY | O_DIRECTORY);
	uint64_t lost[LOST_REASONS];
	assert_int_equal(lost_total(fixture_fd), 1);
	assert_int_equal(lost_read(fixture_fd, lost), 0);
	assert_int_equal(lost[LOST_DESCRIPTORS], 1);
	struct reader *r = fixture_reader(0);
	struct record rec;
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(rec.lost, 1);
	reader_close(&r);
}

IN_CHILD(test_missing_journal)
{
	configure("mboxevent_retain: 0\n");
	char moved[96];
	snprintf(moved, sizeof moved, "%s.moved", fixture_dir);
	/* the configuration is read at the first event, so it must be readable then */
	event(login);
	assert_int_equal(rename(fixture_dir, moved), 0);
	event(login); /* the open segment is still the journal's, wherever it lies */
	assert_int_equal(rename(moved, fixture_dir), 0);
	struct reader *r = fixture_reader(0);
	struct record rec;
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(reader_next(r, &rec), 1);
	reader_close(&r);
	assert_int_equal(stock_calls, 0);
}

IN_CHILD(test_huge)
{
	configure("");
	size_t len = 3 << 20;
	char *json = malloc(len + 64);
	int n = sprintf(json, "{\"event\":\"MessageNew\",\"x\":\"");
	memset(json + n, 'y', len);
	strcpy(json + n + len, "\"}");
	event(json);
	struct reader *r = fixture_reader(0);
	struct record rec;
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(rec.json.len, strlen(json));
	reader_close(&r);
	free(json);
}

/* --- assertions of Cyrus's event code --- */

static int asserted(const char *version, const char *file, const char *expr)
{
	pid_t pid = fork();
	if (pid == 0) {
		strcpy(CYRUS_VERSION, version);
		assertionfailed(file, 1, expr);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void test_assertions(void **state)
{
	(void)state;
	static const char filled[] = "filled_params(type, event)";
	assert_int_equal(asserted("3.6.1-Debian", "imap/mboxevent.c", filled), 0);
	assert_int_equal(asserted("3.6.1-Debian", "mboxevent.c", filled), 0);
	assert_int_equal(asserted("3.2.0", "imap/mboxevent.c", filled), 0);
	/* noreturn from 3.12 on; a version that can't be told counts as such */
	assert_int_equal(asserted("3.12.0", "imap/mboxevent.c", filled), STOCK_ASSERTED);
	assert_int_equal(asserted("4.0", "imap/mboxevent.c", filled), STOCK_ASSERTED);
	assert_int_equal(asserted("git", "imap/mboxevent.c", filled), STOCK_ASSERTED);
	/* and all others are as deadly as ever */
	assert_int_equal(asserted("3.6.1", "imap/mailbox.c", filled), STOCK_ASSERTED);
	assert_int_equal(asserted("3.6.1", "imap/notmboxevent.c", filled), STOCK_ASSERTED);
	assert_int_equal(asserted("3.6.1", "imap/mboxevent.c", "i == 7"), STOCK_ASSERTED);
}

int main(void)
{
	if (preload("test_hook") < 0)
		return 1;
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_to_the_journal),     T(test_other_classes),        T(test_no_configuration),
	    T(test_service_option),     T(test_other_service_option), T(test_wrong_option),
	    T(test_modseq_dropped),     T(test_not_understood),       T(test_descriptors),
	    T(test_no_descriptor_left), T(test_missing_journal),      T(test_huge),
	    T(test_assertions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
