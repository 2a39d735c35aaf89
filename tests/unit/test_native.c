/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../lib/native.h"
#include "ref_native.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define USERID  "virtdomains: userid\n"
#define ROUNDS  20000
#define SAMPLES 128

static struct native *native(const char *options)
{
	char path[] = "/tmp/test_native.XXXXXX", *why = NULL;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, options, strlen(options)), strlen(options));
	close(fd);
	struct conf *conf = conf_read(path, &why);
	unlink(path);
	assert_non_null(conf);
	struct native *n = native_new(conf, "imap");
	conf_free(&conf);
	assert_non_null(n);
	return n;
}

/* The lines of a file of test data, malloc'd, without their ends. */
static size_t lines(const char *name, char *line[SAMPLES])
{
	const char *srcdir = getenv("srcdir");
	char path[4096];
	snprintf(path, sizeof path, "%s/tests/data/%s", srcdir ? srcdir : ".", name);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	size_t n = 0, cap = 0;
	char *s = NULL;
	ssize_t len;
	while ((len = getline(&s, &cap, f)) > 0) {
		assert_true(n < SAMPLES);
		s[len - 1] = '\0';
		line[n++] = strdup(s);
	}
	free(s);
	fclose(f);
	return n;
}

static void free_lines(char **line, size_t n)
{
	while (n)
		free(line[--n]);
}

static void assert_str(struct str s, const char *expected)
{
	struct buf b = BUF_INIT;
	buf_add(&b, s.s, s.len);
	assert_string_equal(buf_cstr(&b), expected);
	assert_int_equal(s.len, strlen(expected));
	buf_free(&b);
}

static void assert_converts(struct native *n, const char *json, const char *expected)
{
	struct record rec;
	assert_int_equal(native_convert(n, json, strlen(json), &rec), NATIVE_OK);
	assert_str(rec.json, expected);
	assert_int_equal(rec.flags, 0);
}

static void test_samples(void **state)
{
	(void)state;
	struct native *n = native(USERID);
	struct record rec;
	char *in[SAMPLES], *out[SAMPLES];
	size_t count = lines("cyrus-3.6.1-native.jsonl", in);
	assert_int_equal(count, 55);
	assert_int_equal(lines("cyrus-3.6.1-documented.jsonl", out), count);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(out[i], "DROP") == 0) {
			assert_int_equal(native_convert(n, in[i], strlen(in[i]), &rec),
			                 NATIVE_DROP);
			continue;
		}
		assert_converts(n, in[i], out[i]);
		assert_converts(n, out[i], out[i]);
	}
	free_lines(in, count);
	free_lines(out, count);
	native_free(&n);
	assert_null(n);
}

/* Of other versions, made from their sources: see tests/data/README. */
static void test_versions(void **state)
{
	(void)state;
	struct native *n = native(USERID);
	char *in[SAMPLES], *out[SAMPLES];
	size_t count = lines("cyrus-versions-native.jsonl", in);
	assert_int_equal(count, 11);
	assert_int_equal(lines("cyrus-versions-documented.jsonl", out), count);
	for (size_t i = 0; i < count; i++) {
		assert_converts(n, in[i], out[i]);
		assert_converts(n, out[i], out[i]);
	}
	free_lines(in, count);
	free_lines(out, count);
	native_free(&n);
}

static void test_documented(void **state)
{
	(void)state;
	static const char *const options[] = {
	    "", USERID, "virtdomains: on\ndefaultdomain: example.org\n", "unixhierarchysep: no\n"};
	char *in[SAMPLES];
	size_t count = lines("documented-events.jsonl", in);
	assert_int_equal(count, 22);
	for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
		struct native *n = native(options[o]);
		for (size_t i = 0; i < count; i++)
			assert_converts(n, in[i], in[i]);
		native_free(&n);
	}
	free_lines(in, count);
}

#define URI    "imap://imap.example.org/user/john/Archive%40example.org;UIDVALIDITY=5"
#define DOCURI "imap://john@example.org@imap.example.org/Archive;UIDVALIDITY=5"

static void test_rules(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} cases[] = {
	    /* ids: the second name, where the first is taken */
	    {"{\"event\":\"MailboxCreate\",\"mailboxID\":\"M1\",\"mailboxUniqueId\":\"u1\","
	     "\"uri\":\"" URI "\"}",
	     "{\"event\":\"MailboxCreate\",\"mailboxID\":\"" DOCURI "\",\"mailboxUniqueId\":\"u1\","
	     "\"uri\":\"" DOCURI "\",\"vnd.mboxevent.jmapId\":\"M1\"}"},
	    {"{\"event\":\"MessageRead\",\"mailboxID\":\"M1\",\"mailboxUniqueId\":\"u1\"}",
	     "{\"event\":\"MessageRead\",\"mailboxUniqueId\":\"u1\",\"vnd.mboxevent.jmapId\":"
	     "\"M1\"}"},
	    {"{\"event\":\"MessageRead\",\"mailboxID\":\"\"}", "{\"event\":\"MessageRead\"}"},
	    /* an id that is a native URL, as Cyrus 2.5 wrote it */
	    {"{\"event\":\"AclChange\",\"mailboxID\":\"" URI "\",\"aclRights\":\"\"}",
	     "{\"aclRights\":\"\",\"event\":\"AclChange\",\"mailboxID\":\"" DOCURI "\"}"},
	    /* flags */
	    {"{\"event\":\"FlagsSet\",\"flagNames\":\"\\\\SEEN $Label \\\\answered \\\\Draft "
	     "\\\\deleted \\\\reCENT \\\\seenx \\\\junk flagged\"}",
	     "{\"event\":\"FlagsSet\",\"flagNames\":\"\\\\Seen $Label \\\\Answered \\\\Draft "
	     "\\\\Deleted \\\\Recent \\\\seenx \\\\junk flagged\"}"},
	    /* modseq */
	    {"{\"event\":\"FlagsSet\",\"modseq\":1,\"uidset\":\"3:5\"}",
	     "{\"event\":\"FlagsSet\",\"uidset\":\"3:5\"}"},
	    {"{\"event\":\"FlagsSet\",\"modseq\":1,\"uidset\":\"1,3\"}",
	     "{\"event\":\"FlagsSet\",\"uidset\":\"1,3\"}"},
	    {"{\"event\":\"FlagsSet\",\"modseq\":1,\"uidset\":\"3\"}",
	     "{\"event\":\"FlagsSet\",\"modseq\":1,\"uidset\":\"3\"}"},
	    {"{\"event\":\"FlagsSet\",\"modseq\":1,\"uidset\":\"3:3\"}",
	     "{\"event\":\"FlagsSet\",\"modseq\":1,\"uidset\":\"3:3\"}"},
	    {"{\"event\":\"FlagsSet\",\"modseq\":1,\"uidset\":\"3:*\"}",
	     "{\"event\":\"FlagsSet\",\"uidset\":\"3:*\"}"},
	    /* limits, not uses; a shared root has no user */
	    {"{\"event\":\"QuotaExceed\",\"user\":\"\"}",
	     "{\"diskQuota\":-1,\"event\":\"QuotaExceed\",\"maxMessages\":-1}"},
	    {"{\"event\":\"QuotaWithin\",\"maxMessages\":9,\"messages\":8,\"user\":\"john\"}",
	     "{\"diskQuota\":-1,\"event\":\"QuotaWithin\",\"maxMessages\":9,\"messages\":8,"
	     "\"user\":\"john\"}"},
	    /* a rename out of the deleted mailboxes */
	    {"{\"event\":\"MailboxRename\",\"oldMailboxID\":\"imap://imap.example.org/DELETED/user/"
	     "john/T2/6B03350B%40example.org;UIDVALIDITY=5\",\"mailboxID\":\"u1\",\"uri\":\"" URI
	     "\"}",
	     "{\"event\":\"MailboxRename\",\"mailboxID\":\"" DOCURI "\",\"mailboxUniqueId\":\"u1\","
	     "\"oldMailboxID\":\"imap://imap.example.org/DELETED/user/john/T2/"
	     "6B03350B%40example.org;"
	     "UIDVALIDITY=5\",\"uri\":\"" DOCURI "\"}"},
	    /* the ACL tells the owner where there is no uri as well */
	    {"{\"event\":\"vnd.x\",\"oldMailboxID\":\"imap://h/user/john/at%40sign\","
	     "\"vnd.cmu.mailboxACL\":\"john\\tlrs\\t\"}",
	     "{\"event\":\"vnd.x\",\"oldMailboxID\":\"imap://john@h/at%40sign\","
	     "\"vnd.cmu.mailboxACL\":\"john\\tlrs\\t\"}"},
	    /* unknown keys and events, nested values, the last of equal keys, order of bytes */
	    {"{\"z\":{\"b\":[1,{\"a\":null}],\"a\":1.50e1},\"event\":\"vnd.x.New\",\"a\":1,\"B\":0,"
	     "\"\\u0061\":2,\"\xc3\xa9\":true}",
	     "{\"B\":0,\"a\":2,\"event\":\"vnd.x.New\",\"z\":{\"b\":[1,{\"a\":null}],\"a\":1.50e1},"
	     "\"\\u00e9\":true}"},
	    /* white space, characters that are not ASCII, bytes that are not UTF-8, surrogates */
	    {" {\n\"event\" : \"X\" ,\t\"n\":[ { \"k\" : [ ] } , { } ]\r\n}\n ",
	     "{\"event\":\"X\",\"n\":[{\"k\":[]},{}]}"},
	    {"{\"event\":\"X\",\"v\":\"\xc3\xbc\xf0\x9f\x98\x80\xff\x01\n\\/\\u00Fc\"}",
	     "{\"event\":\"X\",\"v\":\"\\u00fc\\ud83d\\ude00\\ufffd\\u0001\\n\\/\\u00Fc\"}"},
	    {"{\"event\":\"X\",\"v\":[\"\\ud83d\\ude00\\ud83d\\ude00\",\"\\ud83d\",\"\\ud83dx\","
	     "\"\\ude00\\ud83d\",\"\\ud83d\\ud83d\\ude00\",\"\\u0000\"]}",
	     "{\"event\":\"X\",\"v\":[\"\\ud83d\\ude00\\ud83d\\ude00\",\"\\ufffd\",\"\\ufffdx\","
	     "\"\\ufffd\\ufffd\",\"\\ufffd\\ud83d\\ude00\",\"\\u0000\"]}"},
	    {"{\"event\":\"X\",\"a\\u0000b\":{\"\\u0000\":1}}",
	     "{\"a\\ufffdb\":{\"\\ufffd\":1},\"event\":\"X\"}"},
	};
	struct native *n = native(USERID);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_converts(n, cases[i].in, cases[i].out);
		assert_converts(n, cases[i].out, cases[i].out);
	}
	native_free(&n);
}

struct asked {
	char mailbox[64];
	uint32_t uid;
	unsigned calls;
	bool refuse;
};

static bool answer(void *ctx, struct str mailbox, uint32_t uid, size_t room, struct buf *json)
{
	struct asked *a = ctx;
	a->calls++;
	a->uid = uid;
	snprintf(a->mailbox, sizeof a->mailbox, "%.*s", (int)mailbox.len, mailbox.s);
	assert_in_range(room, RECORD_MAX - (1 << 20), RECORD_MAX - 65536);
	buf_adds(json, "\"half");
	if (a->refuse)
		return false;
	buf_adds(json, " done\"");
	return true;
}

#define MESSAGE    "imap://imap.example.org/user/john%40example.org;UIDVALIDITY=5/;UID="
#define DOCMESSAGE "imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=5/;UID="

static void test_content(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
		unsigned calls;
	} cases[] = {
	    {"{\"event\":\"MessageNew\",\"mailboxID\":\"u1\",\"uri\":\"" MESSAGE "6\"}",
	     "{\"event\":\"MessageNew\",\"mailboxUniqueId\":\"u1\",\"messageContent\":{\"6\":"
	     "\"half done\"},\"uidset\":\"6\",\"uri\":\"" DOCMESSAGE "6\"}",
	     1},
	    {"{\"event\":\"MessageAppend\",\"mailboxID\":\"u1\",\"uri\":\"" MESSAGE "4294967295\"}",
	     "{\"event\":\"MessageAppend\",\"mailboxUniqueId\":\"u1\",\"messageContent\":{"
	     "\"4294967295\":\"half done\"},\"uri\":\"" DOCMESSAGE "4294967295\"}",
	     1},
	    /* the unique id, not the JMAP id */
	    {"{\"event\":\"MessageAppend\",\"mailboxID\":\"P1\",\"mailboxUniqueId\":\"u1\",\"uri\":"
	     "\"" MESSAGE "6\"}",
	     "{\"event\":\"MessageAppend\",\"mailboxUniqueId\":\"u1\",\"messageContent\":{\"6\":"
	     "\"half done\"},\"uri\":\"" DOCMESSAGE "6\",\"vnd.mboxevent.jmapId\":\"P1\"}",
	     1},
	    /* what the server wrote itself gives way */
	    {"{\"event\":\"MessageAppend\",\"mailboxID\":\"u1\",\"uri\":\"" MESSAGE
	     "6\",\"messageContent\":\"x\"}",
	     "{\"event\":\"MessageAppend\",\"mailboxUniqueId\":\"u1\",\"messageContent\":{\"6\":"
	     "\"half done\"},\"uri\":\"" DOCMESSAGE "6\"}",
	     1},
	    /* no message, no mailbox, another event */
	    {"{\"event\":\"MessageNew\",\"mailboxID\":\"u1\",\"uri\":\"" MESSAGE "0\"}",
	     "{\"event\":\"MessageNew\",\"mailboxUniqueId\":\"u1\",\"uri\":\"" DOCMESSAGE "0\"}",
	     0},
	    {"{\"event\":\"MessageNew\",\"mailboxID\":\"u1\",\"uri\":\"" MESSAGE "4294967296\"}",
	     "{\"event\":\"MessageNew\",\"mailboxUniqueId\":\"u1\",\"uri\":\"" DOCMESSAGE
	     "4294967296\"}",
	     0},
	    {"{\"event\":\"MessageNew\",\"uri\":\"" MESSAGE "6\"}",
	     "{\"event\":\"MessageNew\",\"uri\":\"" DOCMESSAGE "6\"}", 0},
	    {"{\"event\":\"MessageRead\",\"mailboxID\":\"u1\",\"uri\":\"" MESSAGE "6\"}",
	     "{\"event\":\"MessageRead\",\"mailboxUniqueId\":\"u1\",\"uri\":\"" DOCMESSAGE "6\"}",
	     0},
	};
	struct native *n = native(USERID);
	struct record rec;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct asked a = {.calls = 0};
		native_content(n, answer, &a);
		assert_converts(n, cases[i].in, cases[i].out);
		assert_int_equal(a.calls, cases[i].calls);
		if (a.calls)
			assert_string_equal(a.mailbox, "u1");
	}
	/* none to be had: as without asking, the server's own kept */
	struct asked refuse = {.refuse = true};
	native_content(n, answer, &refuse);
	assert_converts(
	    n, "{\"event\":\"MessageNew\",\"mailboxID\":\"u1\",\"uri\":\"" MESSAGE "6\"}",
	    "{\"event\":\"MessageNew\",\"mailboxUniqueId\":\"u1\",\"uri\":\"" DOCMESSAGE "6\"}");
	assert_converts(n,
	                "{\"event\":\"MessageNew\",\"mailboxID\":\"u1\",\"uri\":\"" MESSAGE
	                "6\",\"messageContent\":\"\\r\\n\"}",
	                "{\"event\":\"MessageNew\",\"mailboxUniqueId\":\"u1\",\"messageContent\":{"
	                "\"6\":\"\\r\\n\"},\"uidset\":\"6\",\"uri\":\"" DOCMESSAGE "6\"}");
	assert_int_equal(refuse.calls, 2);
	native_free(&n);

	/* in the server's form nobody is asked */
	n = native("mboxevent_format: native\n");
	native_content(n, answer, &refuse);
	assert_int_equal(native_convert(n, cases[0].in, strlen(cases[0].in), &rec), NATIVE_OK);
	assert_str(rec.json, cases[0].in);
	assert_int_equal(refuse.calls, 2);
	native_free(&n);
}

static void test_facts(void **state)
{
	(void)state;
	static const struct {
		const char *in, *event, *user, *owner, *mailbox;
	} cases[] = {
	    {"{\"event\":\"MessageRead\",\"user\":\"jane@example.org\",\"uri\":\"" URI "\"}",
	     "MessageRead", "jane@example.org", "john@example.org", "Archive"},
	    {"{\"event\":\"MailboxRename\",\"mailboxID\":\"u\",\"uri\":\"" URI
	     "\",\"oldMailboxID\":"
	     "\"imap://imap.example.org/user/jane/x%40example.org\"}",
	     "MailboxRename", "", "john@example.org", "Archive"},
	    {"{\"event\":\"FlagsSet\",\"user\":\"john\",\"uri\":\"imap://h/user/j%C3%B6/a%FF%0A/"
	     "%41\"}",
	     "FlagsSet", "john", "j\xc3\xb6", "a\xef\xbf\xbd\xef\xbf\xbd/A"},
	    {"{\"event\":\"Login\",\"user\":\"j\\u00f6\\t\\u0085\\\"\",\"uri\":\"imap://h\"}",
	     "Login", "j\xc3\xb6\xef\xbf\xbd\xef\xbf\xbd\"", "", ""},
	    {"{\"event\":\"ApplePushService\",\"user\":\"john\",\"mailboxes\":[\"INBOX\"]}",
	     "ApplePushService", "john", "john", ""},
	    {"{\"event\":\"ApplePushServiceDAV\",\"user\":\"jane\",\"mailboxUser\":\"john\"}",
	     "ApplePushServiceDAV", "jane", "john", ""},
	    {"{\"event\":\"ApplePushServiceDAV\",\"user\":\"jane\"}", "ApplePushServiceDAV", "jane",
	     "jane", ""},
	    {"{\"event\":\"CalendarAlarm\",\"userId\":\"mary\"}", "CalendarAlarm", "", "mary", ""},
	    {"{\"event\":7,\"user\":7}", NATIVE_UNKNOWN, "", "", ""},
	};
	static const char *const formats[] = {USERID, USERID "mboxevent_format: native\n"};
	for (size_t f = 0; f < 2; f++) {
		struct native *n = native(formats[f]);
		for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
			struct record rec;
			assert_true(native_convert(n, cases[i].in, strlen(cases[i].in), &rec) >= 0);
			assert_str(rec.event, cases[i].event);
			assert_str(rec.user, cases[i].user);
			assert_str(rec.owner, cases[i].owner);
			assert_str(rec.mailbox, cases[i].mailbox);
		}
		native_free(&n);
	}
}

/* Facts end at their longest, never inside a character; the JSON is whole. */
static void test_long_facts(void **state)
{
	(void)state;
	enum { LEN = 5001 };
	struct buf in = BUF_INIT, name = BUF_INIT;
	struct native *n = native("");
	struct record rec;
	for (int i = 0; i < LEN / 3; i++)
		buf_adds(&name, "\xe2\x82\xac");
	buf_addf(&in, "{\"event\":\"%s\",\"user\":\"%s\",\"uri\":\"imap://h/user/%s/%s\"}",
	         buf_cstr(&name), buf_cstr(&name), buf_cstr(&name), buf_cstr(&name));
	assert_int_equal(native_convert(n, in.s, in.len, &rec), NATIVE_OK);
	assert_int_equal(rec.event.len, 255);
	assert_int_equal(rec.user.len, 1023);
	assert_int_equal(rec.owner.len, 1023);
	assert_int_equal(rec.mailbox.len, 4095);
	assert_memory_equal(rec.mailbox.s, name.s, 4095);
	assert_true(rec.json.len > 4 * 2 * LEN);
	native_free(&n);
	buf_free(&in);
	buf_free(&name);
}

static void test_modseq(void **state)
{
	(void)state;
	static const char in[] = "{\"event\":\"MailboxModseq\",\"user\":\"\",\"mailboxID\":\"u1\","
				 "\"uri\":\"" URI "\"}";
	struct native *n = native(USERID);
	struct record rec;
	assert_int_equal(native_convert(n, in, strlen(in), &rec), NATIVE_DROP);
	native_free(&n);
	n = native(USERID "mboxevent_format: native\n");
	assert_int_equal(native_convert(n, in, strlen(in), &rec), NATIVE_DROP);
	native_free(&n);
	n = native(USERID "mboxevent_modseq: yes\n");
	assert_converts(n, in,
	                "{\"event\":\"MailboxModseq\",\"mailboxID\":\"" DOCURI
	                "\",\"mailboxUniqueId\":\"u1\",\"uri\":\"" DOCURI "\"}");
	native_free(&n);
	/* an option for another service, and for ours */
	n = native(USERID "lmtp_mboxevent_modseq: yes\n");
	assert_int_equal(native_convert(n, in, strlen(in), &rec), NATIVE_DROP);
	native_free(&n);
	n = native(USERID "imap_mboxevent_modseq: on\n");
	assert_int_equal(native_convert(n, in, strlen(in), &rec), NATIVE_OK);
	native_free(&n);
}

static void test_as_written(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"{\"user\":\"\xc3\xbc\",\"event\":\"X\",\"a\":[ 1 ]}",
	     "{\"user\":\"\xc3\xbc\",\"event\":\"X\",\"a\":[ 1 ]}"},
	    {"\n{\"user\":\"\",\"event\":\"X\"}\r\n", "{\"user\":\"\",\"event\":\"X\"}"},
	    /* a record holds no line feed, and nothing that strict readers refuse */
	    {"{\"user\":\"\",\n\"event\":\"X\"}", "{\"user\":\"\",\"event\":\"X\"}"},
	    {"{\"user\":\"\xff\",\"event\":\"X\"}", "{\"user\":\"\\ufffd\",\"event\":\"X\"}"},
	};
	struct native *n = native(USERID "mboxevent_format: native\n");
	struct record rec;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(native_convert(n, cases[i].in, strlen(cases[i].in), &rec),
		                 NATIVE_OK);
		assert_str(rec.json, cases[i].out);
		assert_int_equal(rec.flags, RECORD_NATIVE);
	}
	char *in[SAMPLES];
	size_t count = lines("cyrus-3.6.1-native.jsonl", in);
	for (size_t i = 0; i < count; i++)
		if (native_convert(n, in[i], strlen(in[i]), &rec) == NATIVE_OK)
			assert_str(rec.json, in[i]);
	free_lines(in, count);
	native_free(&n);
}

#define RAW(text)                                                                                  \
	"{\"event\":\"" NATIVE_UNKNOWN "\",\"vnd.mboxevent.format\":\"native\","                   \
	"\"vnd.mboxevent.raw\":\"" text "\"}"

static void test_not_understood(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"{\"z\":1,\"a\":2}", "{\"a\":2,\"vnd.mboxevent.format\":\"native\",\"z\":1}"},
	    {"{\"event\":\"\"}", "{\"event\":\"\",\"vnd.mboxevent.format\":\"native\"}"},
	    {"{\"event\":\"Login\",\"uri\":\"http://x\",\"user\":\"\",\"mailboxID\":\"u\"}",
	     "{\"event\":\"Login\",\"mailboxID\":\"u\",\"uri\":\"http://x\",\"user\":\"\","
	     "\"vnd.mboxevent.format\":\"native\"}"},
	    {"{\"event\":\"Login\",\"uri\":7}",
	     "{\"event\":\"Login\",\"uri\":7,\"vnd.mboxevent.format\":\"native\"}"},
	    {"{\"event\":\"MailboxCreate\",\"mailboxID\":\"u\"}",
	     "{\"event\":\"MailboxCreate\",\"mailboxID\":\"u\",\"vnd.mboxevent.format\":"
	     "\"native\"}"},
	    {"", RAW("")},
	    {"[\"x\"]", RAW("[\\\"x\\\"]")},
	    {"{\"event\":\"Login\"", RAW("{\\\"event\\\":\\\"Login\\\"")},
	    {"{\"event\":\"Login\"} x", RAW("{\\\"event\\\":\\\"Login\\\"} x")},
	    {"{\"event\":\"Login\",}", RAW("{\\\"event\\\":\\\"Login\\\",}")},
	    {"{,}", RAW("{,}")},
	    {"{\"a\":01}", RAW("{\\\"a\\\":01}")},
	    {"{\"a\":9223372036854775808}", RAW("{\\\"a\\\":9223372036854775808}")},
	    {"{\"a\":1e999}", RAW("{\\\"a\\\":1e999}")},
	    {"{\"a\":.5}", RAW("{\\\"a\\\":.5}")},
	    {"{\"a\":nul}", RAW("{\\\"a\\\":nul}")},
	    {"{\"a\":\"\\x\"}", RAW("{\\\"a\\\":\\\"\\\\x\\\"}")},
	    {"{\"a\":[1,]}", RAW("{\\\"a\\\":[1,]}")},
	    {"{\"a\":[1}", RAW("{\\\"a\\\":[1}")},
	    {"{\"a\":{1:2}}", RAW("{\\\"a\\\":{1:2}}")},
	    {"\xff\n", RAW("\\ufffd")},
	};
	struct native *n = native(USERID);
	struct record rec;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(native_convert(n, cases[i].in, strlen(cases[i].in), &rec),
		                 NATIVE_ASIS);
		assert_str(rec.json, cases[i].out);
		assert_int_equal(rec.flags, RECORD_NATIVE);
		assert_true(rec.event.len > 0);
		assert_true(native_convert(n, cases[i].out, strlen(cases[i].out), &rec) >= 0);
		assert_str(rec.json, cases[i].out);
	}
	assert_int_equal(native_convert(n, NULL, 0, &rec), NATIVE_ASIS);
	assert_str(rec.json, RAW(""));
	native_free(&n);
}

/* Hostile sizes: a million brackets, more members than we take, raw text without end. */
static void test_bounds(void **state)
{
	(void)state;
	struct native *n = native(USERID);
	struct buf in = BUF_INIT;
	struct record rec;
	buf_adds(&in, "{\"event\":\"X\",\"a\":");
	for (int i = 0; i < 1000000; i++)
		buf_addc(&in, '[');
	assert_int_equal(native_convert(n, in.s, in.len, &rec), NATIVE_ASIS);
	assert_in_range(rec.json.len, NATIVE_RAW, 2 * NATIVE_RAW);
	for (int members = NATIVE_KEYS; members <= NATIVE_KEYS + 1; members++) {
		buf_reset(&in);
		buf_adds(&in, "{\"event\":\"X\"");
		for (int i = 1; i < members; i++)
			buf_addf(&in, ",\"\\u0061%d\":1", members - i);
		buf_addc(&in, '}');
		assert_int_equal(native_convert(n, in.s, in.len, &rec),
		                 members <= NATIVE_KEYS ? NATIVE_OK : NATIVE_ASIS);
	}
	buf_free(&in);
	native_free(&n);
}

/* xorshift64*: the same inputs on every machine */
static uint64_t seed;
static unsigned below(unsigned n)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (unsigned)((seed * UINT64_C(2685821657736338717)) >> 33) % n;
}

/* Changes a few bytes: what the scanner and the rules look at, more often than others. */
static void mutate(struct buf *b)
{
	static const char *const pieces[] = {"\"",
	                                     "\\",
	                                     "{",
	                                     "}",
	                                     "[",
	                                     "]",
	                                     ",",
	                                     ":",
	                                     "null",
	                                     "-1",
	                                     "1e5",
	                                     "\\ud83d",
	                                     "\\ude00",
	                                     "\\u0000",
	                                     "\xff",
	                                     "\xc3\xa9",
	                                     "\n",
	                                     " ",
	                                     "%40",
	                                     "user/",
	                                     "user.",
	                                     "%5E",
	                                     "INBOX/",
	                                     "1:3",
	                                     "\"\"",
	                                     "imap://h/",
	                                     "\\\\sEEN",
	                                     "@",
	                                     ",\"user\":\"\"",
	                                     ",\"uri\":\"imap://h/user/x%40y/z\"",
	                                     ",\"mailboxUniqueId\":1",
	                                     ",\"event\":\"QuotaExceed\"",
	                                     ",\"event\":\"MailboxCreate\"",
	                                     ",\"uidset\":\"7\"",
	                                     ",\"flagNames\":\"\\\\sEEN \\\\x\"",
	                                     "/",
	                                     ";UID=3"};
	for (unsigned times = 1 + below(4); times; times--) {
		size_t at = below((unsigned)b->len), len = b->len - at;
		const char *piece = pieces[below(sizeof pieces / sizeof *pieces)];
		/* members go where members go */
		if (piece[0] == ',' && piece[1]) {
			at = b->len;
			while (at && b->s[at - 1] != '}')
				at--;
			if (!at)
				continue;
			at--;
			len = b->len - at;
		}
		size_t cut = below(3) ? 0 : below(len < 9 ? (unsigned)len + 1 : 9);
		char *rest = malloc(len + 1);
		memcpy(rest, b->s + at, len);
		b->len = at;
		if (below(5))
			buf_adds(b, piece);
		buf_add(b, rest + cut, len - cut);
		if (!b->len)
			buf_addc(b, '{');
		free(rest);
	}
}

static void assert_readable(struct str json, json_t **tree_r)
{
	struct buf previous = BUF_INIT;
	const char *key;
	json_t *value;
	for (size_t i = 0; i < json.len; i++)
		assert_in_range(json.s[i], 0x20, 0x7f);
	*tree_r = json_loadb(json.s, json.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	/* duplicates inside nested values are the server's own */
	if (!*tree_r)
		*tree_r = json_loadb(json.s, json.len, JSON_ALLOW_NUL, NULL);
	assert_non_null(*tree_r);
	assert_true(json_is_object(*tree_r));
	json_object_foreach(*tree_r, key, value)
	{
		assert_true(!previous.len || strcmp(buf_cstr(&previous), key) < 0);
		buf_reset(&previous);
		buf_adds(&previous, key);
	}
	buf_free(&previous);
}

static void test_random(void **state)
{
	(void)state;
	static const struct mailurl_names names = {true, "internal"};
	struct native *n = native(USERID "mboxevent_modseq: yes\n");
	char *samples[SAMPLES];
	size_t count = lines("cyrus-3.6.1-native.jsonl", samples), compared = 0;
	struct buf in = BUF_INIT, first = BUF_INIT;
	seed = 5423;
	for (int round = 0; round < ROUNDS; round++) {
		struct record rec;
		json_t *out, *again;
		buf_reset(&in);
		buf_adds(&in, samples[below((unsigned)count)]);
		mutate(&in);
		int code = native_convert(n, in.s, in.len, &rec);
		assert_true(code == NATIVE_OK || code == NATIVE_ASIS);
		assert_readable(rec.json, &out);
		assert_in_range(rec.event.len, 1, 255);

		/* where jansson takes the input too, both must say the same */
		json_t *tree = json_loadb(in.s, in.len, JSON_ALLOW_NUL, NULL);
		if (json_is_object(tree)) {
			json_t *expected = ref_native(&names, tree);
			assert_int_equal(code, expected ? NATIVE_OK : NATIVE_ASIS);
			if (!expected) {
				expected = json_deep_copy(tree);
				json_object_set_new(expected, "vnd.mboxevent.format",
				                    json_string("native"));
			}
			if (!json_equal(out, expected))
				fail_msg("%s\nbecame %.*s", buf_cstr(&in), (int)rec.json.len,
				         rec.json.s);
			json_decref(expected);
			compared++;
		}
		json_decref(tree);

		buf_reset(&first);
		buf_add(&first, rec.json.s, rec.json.len);
		assert_true(native_convert(n, first.s, first.len, &rec) >= 0);
		assert_str(rec.json, buf_cstr(&first));
		assert_readable(rec.json, &again);
		json_decref(again);
		json_decref(out);
	}
	/* else this test compares nothing */
	assert_true(compared > ROUNDS / 4);
	buf_free(&in);
	buf_free(&first);
	free_lines(samples, count);
	native_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_versions),   cmocka_unit_test(test_content),
	    cmocka_unit_test(test_samples),    cmocka_unit_test(test_documented),
	    cmocka_unit_test(test_rules),      cmocka_unit_test(test_facts),
	    cmocka_unit_test(test_long_facts), cmocka_unit_test(test_modseq),
	    cmocka_unit_test(test_as_written), cmocka_unit_test(test_not_understood),
	    cmocka_unit_test(test_bounds),     cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
