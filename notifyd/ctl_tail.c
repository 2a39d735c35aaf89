/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"
#include "stamp.h"
#include "when.h"

#include "../lib/catalog.h"
#include "../lib/journal.h"
#include "../lib/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define LOOK_MS   100 /* between two looks at the journal */
#define REST_AT   10  /* looks in vain before the buffer is given back */
#define WORDS_MAX 64

struct words {
	const char *word[WORDS_MAX];
	size_t n;
};

struct tail {
	struct words events, users;
	bool follow, pretty, since_set;
	int64_t since;
};

static bool is(struct str s, const char *word)
{
	return s.len == strlen(word) && (!s.len || !memcmp(s.s, word, s.len));
}

/* Exactly, or by "*@domain". */
static bool user_is(struct str user, const char *word)
{
	if (word[0] != '*' || word[1] != '@')
		return is(user, word);
	size_t len = strlen(word + 1);
	return user.len > len && !memcmp(user.s + user.len - len, word + 1, len);
}

static bool wanted(const struct tail *t, const struct record *rec)
{
	bool event = !t->events.n, user = !t->users.n;
	for (size_t i = 0; i < t->events.n && !event; i++)
		event = is(rec->event, t->events.word[i]);
	for (size_t i = 0; i < t->users.n && !user; i++)
		user = user_is(rec->user, t->users.word[i]);
	return event && user && (!t->since_set || rec->time >= t->since);
}

static void print(const struct tail *t, const struct record *rec)
{
	json_t *json = NULL;
	if (t->pretty)
		json = json_loadb(rec->json.s, rec->json.len, 0, NULL);
	if (json)
		json_dumpf(json, stdout, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
	else
		fwrite(rec->json.s, 1, rec->json.len, stdout);
	fputc('\n', stdout);
	json_decref(json);
}

/* Waits for more to come. False when nobody reads what is printed any more. */
static bool wait_more(void)
{
	struct pollfd out = {STDOUT_FILENO, 0, 0};
	if (fflush(stdout) != 0)
		return false;
	return poll(&out, 1, LOOK_MS) <= 0 || !(out.revents & (POLLERR | POLLHUP | POLLNVAL));
}

static int read_all(const struct tail *t, struct reader *r)
{
	unsigned idle = 0;
	for (;;) {
		struct record rec;
		int got = reader_next(r, &rec);
		if (got < 0)
			return ctl_fail(EX_IOERR, "reading the journal: %s", reader_why(r));
		if (got > 0) {
			idle = 0;
			if (wanted(t, &rec))
				print(t, &rec);
			if (ferror(stdout))
				return EX_OK; /* ctl_finish() says why, where that is to be said */
			continue;
		}
		if (!t->follow)
			return EX_OK;
		if (!wait_more())
			return EX_OK;
		if (++idle == REST_AT)
			reader_rest(r);
	}
}

static int add(struct words *w, const char *word)
{
	if (w->n == WORDS_MAX)
		return -1;
	w->word[w->n++] = word;
	return 0;
}

static void warn_unknown(const struct words *events)
{
	for (size_t i = 0; i < events->n; i++)
		if (!catalog_event(events->word[i], strlen(events->word[i])))
			ctl_fail(0, "warning: no event type is known as %s (mboxevent-events(7))",
			         events->word[i]);
}

static bool since(struct tail *t, const char *s)
{
	t->since_set = true;
	switch (when_parse(s, stamp_now(), &t->since)) {
	case WHEN_TIME:
		return true;
	case WHEN_OLDEST:
		t->since = INT64_MIN;
		return true;
	case WHEN_NEWEST:
		t->since = stamp_now();
		return true;
	default:
		return false;
	}
}

static int start(const struct tail *t, const char *journal)
{
	uint64_t from = 0;
	int dir = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return ctl_fail(errno == EACCES ? EX_NOPERM : EX_NOINPUT, "the journal %s: %s",
		                journal, strerror(errno));
	if (t->since_set)
		from = reader_since(dir, t->since);
	else if (t->follow)
		from = journal_end(dir);
	close(dir);

	char *why = NULL;
	struct reader *r = reader_open(journal, from, &why);
	if (!r) {
		ctl_fail(EX_NOINPUT, "%s", why ? why : "out of memory");
		free(why);
		return EX_NOINPUT;
	}
	int code = read_all(t, r);
	const struct reader_damage *d = reader_damage(r);
	if (d->torn || d->gap)
		ctl_fail(0,
		         "warning: damage was passed over: %llu places of %llu bytes in all, "
		         "%llu segments missing; the last at %016llx",
		         (unsigned long long)d->torn, (unsigned long long)d->bytes,
		         (unsigned long long)d->gap, (unsigned long long)d->at);
	reader_close(&r);
	return code;
}

int ctl_tail(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"follow", no_argument, NULL, 'f'},     {"event", required_argument, NULL, 'e'},
	    {"user", required_argument, NULL, 'u'}, {"since", required_argument, NULL, 's'},
	    {"pretty", no_argument, NULL, 'p'},     CTL_OPTIONS,
	};
	struct tail t = {0};
	int opt;
	while ((opt = getopt_long(argc, argv, "fe:u:s:phV", options, NULL)) != -1) {
		switch (opt) {
		case 'f':
			t.follow = true;
			break;
		case 'e':
		case 'u':
			if (add(opt == 'e' ? &t.events : &t.users, optarg) < 0)
				return ctl_fail(EX_USAGE, "more than %d of one kind", WORDS_MAX);
			break;
		case 's':
			if (!since(&t, optarg))
				return ctl_fail(EX_USAGE, "--since: '%s' must be " WHEN_ALLOWED,
				                optarg);
			break;
		case 'p':
			t.pretty = true;
			break;
		default:
			return ctl_option(ctl, opt);
		}
	}
	if (optind < argc)
		return ctl_fail(EX_USAGE, "tail: '%s' is not understood", argv[optind]);
	warn_unknown(&t.events);
	static char buffer[256 << 10]; /* flushed whenever the journal has no more for now */
	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
	return start(&t, ctl->journal);
}
