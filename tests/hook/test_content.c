/* SPDX-License-Identifier: BSD-3-Clause */
/* messageContent: the right part of the right message, or none. */
#include "preloaded.h"

#include <jansson.h>

#define PARAMS "event_extra_params: timestamp messageContent\n"
#define HEADER "Subject: one\r\nTo: John\r\n\r\n"
#define BODY   "Hello,\r\nJohn.\r\n"

static char path[128];

static struct stock_record put(uint32_t uid, const char *text, size_t len)
{
	snprintf(path, sizeof path, "%s/%u.", fixture_dir, (unsigned)uid);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
	const char *end = memmem(text, len, "\r\n\r\n", 4);
	return (struct stock_record){.mailbox = "u1",
	                             .uid = uid,
	                             .size = (uint32_t)len,
	                             .header = end ? (uint32_t)(end - text) + 4 : 0,
	                             .path = strdup(path)};
}

static struct stock_record put_message(uint32_t uid)
{
	return put(uid, HEADER BODY, strlen(HEADER BODY));
}

static void extract(struct stock_record *r)
{
	int ev;
	errno = ENOTTY;
	mboxevent_extract_msgrecord(&ev, r);
	assert_int_equal(errno, ENOTTY);
}

static void emit(const char *name, const char *mailbox, unsigned uid)
{
	char json[512];
	snprintf(json, sizeof json,
	         "{\"event\":\"%s\",\"mailboxID\":\"%s\",\"messageSize\":1,\"uri\":"
	         "\"imap://imap.example.org/user/john;UIDVALIDITY=5/;UID=%u\",\"user\":\"john\"}",
	         name, mailbox, uid);
	errno = ENOTTY;
	event(json);
	assert_int_equal(errno, ENOTTY);
}

/* Takes the next record, and what its messageContent says of that UID: malloc'd, or NULL where
 * there is none. */
static char *content(struct reader *r, const char *uid, size_t *len_r)
{
	struct record rec;
	assert_int_equal(reader_next(r, &rec), 1);
	json_t *e = json_loadb(rec.json.s, rec.json.len, JSON_ALLOW_NUL, NULL);
	assert_non_null(e);
	json_t *c = json_object_get(e, "messageContent"), *t = json_object_get(c, uid);
	assert_int_equal(!c, !t);
	assert_true(!c || json_object_size(c) == 1);
	bool new = strcmp(json_string_value(json_object_get(e, "event")), "MessageNew") == 0;
	const char *set = json_string_value(json_object_get(e, "uidset"));
	if (c && new)
		assert_string_equal(set, uid);
	else
		assert_null(set);
	char *s = t ? malloc(json_string_length(t) + 1) : NULL;
	if (s) {
		memcpy(s, json_string_value(t), json_string_length(t) + 1);
		if (len_r)
			*len_r = json_string_length(t);
	}
	json_decref(e);
	return s;
}

static void expect(struct reader *r, const char *uid, const char *text)
{
	char *s = content(r, uid, NULL);
	if (!text)
		assert_null(s);
	else
		assert_string_equal(s, text);
	free(s);
}

static void one(const char *options, const char *expected)
{
	configure(options);
	struct stock_record m = put_message(7);
	extract(&m);
	emit("MessageNew", "u1", 7);
	struct reader *r = fixture_reader(0);
	expect(r, "7", expected);
	reader_close(&r);
}

/* Mode, size, what is expected. */
#define MODE(name, mode, size, expected)                                                           \
	IN_CHILD(name)                                                                             \
	{                                                                                          \
		one(PARAMS "event_content_inclusion_mode: " mode "\nevent_content_size: " size     \
		           "\n",                                                                   \
		    expected);                                                                     \
	}
MODE(test_standard, "standard", "0", HEADER BODY)
MODE(test_standard_fits, "standard", "41", HEADER BODY)
MODE(test_standard_too_long, "standard", "40", NULL)
MODE(test_message, "message", "20", "Subject: one\r\nTo: Jo")
MODE(test_message_whole, "message", "0", HEADER BODY)
MODE(test_header, "header", "0", HEADER)
MODE(test_header_cut, "header", "9", "Subject: ")
MODE(test_body, "body", "0", BODY)
MODE(test_body_cut, "body", "5", "Hello")
MODE(test_headerbody, "headerbody", "5", HEADER "Hello")
MODE(test_headerbody_whole, "headerbody", "15", HEADER BODY)
MODE(test_unit, "message", "1KB", HEADER BODY)
MODE(test_hexadecimal, "body", "0x5", "Hello")
MODE(test_negative, "message", "-1", HEADER BODY)

IN_CHILD(test_not_wanted)
{
	one("event_extra_params: timestamp messageContents\n", NULL);
}

IN_CHILD(test_of_a_service)
{
	one("event_extra_params: messageContent\nevent_content_inclusion_mode: header\n"
	    "imap_event_content_inclusion_mode: body\nlmtp_event_content_inclusion_mode: message\n",
	    BODY);
}

IN_CHILD(test_other_service)
{
	one("lmtpunix_" PARAMS, NULL);
}

IN_CHILD(test_native_form)
{
	one(PARAMS "mboxevent_format: native\n", NULL);
}

IN_CHILD(test_no_configuration)
{
	struct stock_record m = put_message(7);
	config_filename = "/nonexistent/imapd.conf";
	extract(&m);
	assert_int_equal(stock_extracts, 1);
	emit("MessageNew", "u1", 7);
	assert_int_equal(stock_calls, 1);
}

IN_CHILD(test_documented_form)
{
	configure(PARAMS);
	struct stock_record m = put(7, "A: \"b\"\r\n\r\n\xc3\xa9\\\n", 14);
	extract(&m);
	emit("MessageNew", "u1", 7);
	struct record rec;
	struct reader *r = fixture_reader(0);
	assert_int_equal(reader_next(r, &rec), 1);
	static const char json[] =
	    "{\"event\":\"MessageNew\",\"mailboxUniqueId\":\"u1\",\"messageContent\":{\"7\":"
	    "\"A: \\\"b\\\"\\r\\n\\r\\n\\u00e9\\\\\\n\"},\"messageSize\":1,\"uidset\":\"7\","
	    "\"uri\":\"imap://john@imap.example.org/INBOX;UIDVALIDITY=5/;UID=7\","
	    "\"user\":\"john\"}";
	assert_int_equal(rec.json.len, strlen(json));
	assert_memory_equal(rec.json.s, json, rec.json.len);
	assert_int_equal(rec.flags, 0);
	reader_close(&r);
}

/* Not UTF-8, and a NUL: still valid JSON. A character at the end of a part is never cut. */
IN_CHILD(test_any_bytes)
{
	configure(PARAMS "event_content_inclusion_mode: message\nevent_content_size: 8\n");
	static const char *const texts[] = {"\xff\xe9z\0\x01y", "abcdefg\xe2\x82\xac",
	                                    "abcde\xe2\x82\xac..", "abcdef\xe2\x82\xac"};
	static const size_t lens[] = {6, 10, 10, 9};
	static const char *const expected[] = {"\xef\xbf\xbd\xef\xbf\xbdz\0\x01y", "abcdefg",
	                                       "abcde\xe2\x82\xac", "abcdef"};
	for (unsigned i = 0; i < 4; i++) {
		struct stock_record m = put(i + 1, texts[i], lens[i]);
		extract(&m);
		emit("MessageAppend", "u1", i + 1);
	}
	struct reader *r = fixture_reader(0);
	for (unsigned i = 0; i < 4; i++) {
		char uid[2] = {(char)('1' + i), 0};
		size_t len = 0;
		char *s = content(r, uid, &len);
		assert_non_null(s);
		assert_memory_equal(s, expected[i], len);
		assert_int_equal(len, i ? strlen(expected[i]) : 10);
		free(s);
	}
	reader_close(&r);
}

IN_CHILD(test_several_before_one_event)
{
	configure(PARAMS);
	struct stock_record m[3];
	char text[3][16];
	for (unsigned i = 0; i < 3; i++) {
		snprintf(text[i], sizeof text[i], "N: %u\r\n\r\n", i);
		m[i] = put(i + 1, text[i], strlen(text[i]));
		extract(&m[i]);
	}
	for (unsigned i = 0; i < 3; i++)
		emit("MessageAppend", "u1", i + 1);
	emit("MessageAppend", "u1", 2); /* and it is used once */
	struct reader *r = fixture_reader(0);
	expect(r, "1", text[0]);
	expect(r, "2", text[1]);
	expect(r, "3", text[2]);
	expect(r, "2", NULL);
	reader_close(&r);
}

IN_CHILD(test_exact_match_only)
{
	configure(PARAMS);
	struct stock_record m = put_message(7);
	extract(&m);
	emit("MessageNew", "u2", 7);
	emit("MessageNew", "", 7);
	emit("MessageNew", "u", 7);
	emit("MessageNew", "u11", 7);
	emit("MessageNew", "u1", 8);
	emit("MessageRead", "u1", 7);
	emit("vnd.cmu.MessageCopy", "u1", 7);
	event("{\"event\":\"MessageNew\",\"mailboxID\":\"u1\",\"uri\":\"imap://h/user/john\"}");
	event("{\"event\":\"MessageNew\",\"mailboxID\":\"u1\",\"uri\":"
	      "\"imap://h/user/john;UIDVALIDITY=5/;UID=4294967303\"}");
	event("{\"event\":\"MessageNew\",\"uri\":\"imap://h/user/john;UIDVALIDITY=5/;UID=7\"}");
	emit("MessageNew", "u1", 7);
	struct reader *r = fixture_reader(0);
	for (int i = 0; i < 10; i++)
		expect(r, "7", NULL);
	expect(r, "7", HEADER BODY);
	reader_close(&r);
}

/* The newest note of a message counts. */
IN_CHILD(test_noted_again)
{
	configure(PARAMS);
	struct stock_record old = put(7, "old\r\n", 5), new;
	old.path = "/nonexistent/7.";
	extract(&old);
	new = put_message(7);
	extract(&new);
	emit("MessageNew", "u1", 7);
	struct reader *r = fixture_reader(0);
	expect(r, "7", HEADER BODY);
	reader_close(&r);
}

/* The files of other messages, and what is no file: the event goes without. */
IN_CHILD(test_unreadable)
{
	configure(PARAMS);
	struct stock_record m = put_message(1);
	unlink(m.path);
	extract(&m);
	emit("MessageNew", "u1", 1);
	char other[160]; /* of the same size */
	snprintf(other, sizeof other, "%s.other", m.path);
	assert_int_equal(rename(put_message(1).path, other), 0);
	assert_int_equal(symlink(other, m.path), 0);
	extract(&m);
	emit("MessageNew", "u1", 1);
	unlink(m.path);
	assert_int_equal(mkfifo(m.path, 0600), 0);
	extract(&m);
	emit("MessageNew", "u1", 1);
	unlink(m.path);
	assert_int_equal(mkdir(m.path, 0700), 0);
	extract(&m);
	emit("MessageNew", "u1", 1);
	assert_int_equal(rmdir(m.path), 0);
	m = put_message(1);
	m.size++; /* another one's, or not written yet */
	extract(&m);
	emit("MessageNew", "u1", 1);
	m = put_message(1);
	extract(&m);
	assert_int_equal(truncate(m.path, 5), 0);
	emit("MessageNew", "u1", 1);
	m = put_message(1);
	m.error = 1; /* the server can't tell */
	extract(&m);
	emit("MessageNew", "u1", 1);
	m = put_message(1);
	m.path = NULL;
	extract(&m);
	emit("MessageNew", "u1", 1);
	m = put_message(1);
	m.mailbox = NULL;
	extract(&m);
	emit("MessageNew", "u1", 1);
	m = put_message(1);
	mboxevent_extract_msgrecord(NULL, &m); /* events are off */
	emit("MessageNew", "u1", 1);
	assert_int_equal(chmod(m.path, 0), 0);
	if (access(m.path, R_OK) < 0) { /* root may read it all the same */
		extract(&m);
		emit("MessageNew", "u1", 1);
	} else {
		emit("MessageNew", "u1", 1);
	}
	struct reader *r = fixture_reader(0);
	for (int i = 0; i < 11; i++)
		expect(r, "1", NULL);
	reader_close(&r);
}

IN_CHILD(test_no_descriptor)
{
	configure(PARAMS);
	struct stock_record m = put_message(1);
	emit("MessageNew", "u1", 9);
	extract(&m);
	int last = -1, fd;
	while ((fd = dup(0)) >= 0)
		last = fd;
	emit("MessageNew", "u1", 1);
	close(last);
	extract(&m);
	emit("MessageNew", "u1", 1);
	for (fd = 3; fd < 1024; fd++)
		close(fd);
	fixture_fd = open(fixture_dir, O_RDONLY | O_DIRECTORY);
	struct reader *r = fixture_reader(0);
	expect(r, "9", NULL);
	expect(r, "1", NULL);
	expect(r, "1", HEADER BODY);
	reader_close(&r);
}

/* No descriptor stays open, none of another is written to or closed. */
IN_CHILD(test_descriptors)
{
	configure(PARAMS);
	struct stock_record m = put_message(1);
	emit("MessageNew", "u1", 9); /* opens the segment */
	int before = dup(0);
	close(before);
	for (int i = 0; i < 10; i++) {
		extract(&m);
		emit("MessageNew", "u1", 1);
	}
	int after = dup(0);
	assert_int_equal(after, before);
}

IN_CHILD(test_many_noted)
{
	configure(PARAMS);
	struct stock_record m = put_message(1);
	for (unsigned uid = 1; uid <= 300; uid++) {
		m.uid = uid;
		extract(&m);
	}
	emit("MessageNew", "u1", 44); /* pushed out by the 300th */
	emit("MessageNew", "u1", 45);
	emit("MessageNew", "u1", 300);
	struct reader *r = fixture_reader(0);
	expect(r, "44", NULL);
	expect(r, "45", HEADER BODY);
	expect(r, "300", HEADER BODY);
	reader_close(&r);
}

static void large(const char *options, size_t size, char fill, size_t expected)
{
	configure(options);
	char *text = malloc(size);
	memset(text, fill, size);
	struct stock_record m = put(1, text, size);
	extract(&m);
	emit("MessageNew", "u1", 1);
	emit("MessageNew", "u1", 1);
	struct reader *r = fixture_reader(0);
	size_t len = 0;
	char *s = content(r, "1", &len);
	assert_int_equal(len, expected);
	free(s);
	expect(r, "1", NULL);
	reader_close(&r);
	free(text);
}

IN_CHILD(test_max_content)
{
	large(PARAMS, 3 << 20, 'x', 1 << 20);
}

IN_CHILD(test_max_content_below_size)
{
	large(PARAMS "event_content_size: 8192\nevent_content_inclusion_mode: body\n"
	             "mboxevent_max_content: 4K\n",
	      10000, 'x', 4096);
}

IN_CHILD(test_max_content_set)
{
	large(PARAMS "mboxevent_max_content: 16M\n", 20 << 20, 'x', 16 << 20);
}

/* What would make the record longer than a journal takes: six bytes each. */
IN_CHILD(test_too_long_for_a_record)
{
	large(PARAMS "mboxevent_max_content: 16M\n", 16 << 20, '\x01', 0);
}

int main(void)
{
	if (preload("test_content") < 0)
		return 1;
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_standard),          T(test_standard_fits),
	    T(test_standard_too_long), T(test_message),
	    T(test_message_whole),     T(test_header),
	    T(test_header_cut),        T(test_body),
	    T(test_body_cut),          T(test_headerbody),
	    T(test_headerbody_whole),  T(test_unit),
	    T(test_hexadecimal),       T(test_negative),
	    T(test_not_wanted),        T(test_of_a_service),
	    T(test_other_service),     T(test_native_form),
	    T(test_no_configuration),  T(test_documented_form),
	    T(test_any_bytes),         T(test_several_before_one_event),
	    T(test_exact_match_only),  T(test_noted_again),
	    T(test_unreadable),        T(test_no_descriptor),
	    T(test_descriptors),       T(test_many_noted),
	    T(test_max_content),       T(test_max_content_below_size),
	    T(test_max_content_set),   T(test_too_long_for_a_record),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
