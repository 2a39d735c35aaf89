/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"
#include "ctl_sink.h"
#include "dead.h"
#include "stamp.h"

#include "../lib/event.h"
#include "../lib/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define BUFFER (256 << 10)

/* An id of the command line. */
struct wanted {
	unsigned char uuid[16];
	uint64_t pos;
	const char *text;
	bool seen;
};

struct dead_command {
	const struct ctl *ctl;
	const char *sink;
	struct dead *dead; /* NULL: it has no store */
	bool all, json;
	struct wanted *ids; /* sorted, unless all */
	size_t n_ids;

	enum dead_verdict verdict;
	unsigned long long count;
};

static int compare(const void *va, const void *vb)
{
	const struct wanted *a = va, *b = vb;
	int r = memcmp(a->uuid, b->uuid, sizeof a->uuid);
	return r ? r : a->pos < b->pos ? -1 : a->pos > b->pos;
}

static bool wants(struct dead_command *c, const struct letter *l)
{
	struct wanted key = {.pos = l->rec.pos}, *found;
	if (c->all)
		return true;
	memcpy(key.uuid, l->uuid, sizeof key.uuid);
	found = bsearch(&key, c->ids, c->n_ids, sizeof *c->ids, compare);
	if (found)
		found->seen = true;
	return found != NULL;
}

/* EX_OK, or EX_NOINPUT once it was said which ids there are no letters of. */
static int missing(const struct dead_command *c)
{
	int code = EX_OK;
	for (size_t i = 0; i < c->n_ids; i++)
		if (!c->ids[i].seen && (!i || compare(&c->ids[i - 1], &c->ids[i])))
			code = ctl_fail(EX_NOINPUT, "%s has no dead letter %s (any more)", c->sink,
			                c->ids[i].text);
	return code;
}

/* --- what is printed --- */

static void add_time(struct buf *out, const char *key, int64_t time)
{
	char iso[STAMP_SIZE];
	stamp_iso(iso, time);
	buf_addf(out, ",\"%s\":\"%s\"", key, iso);
}

static void add_string(struct buf *out, const char *key, struct str s)
{
	buf_addf(out, ",\"%s\":", key);
	event_json_string(out, s);
}

static void add_object(struct buf *out, const char *sink, const struct letter *l, bool whole)
{
	char id[JOURNAL_ID];
	const struct record *rec = &l->rec;
	journal_id(id, l->uuid, rec->pos);
	buf_addf(out, "{\"id\":\"%s\"", id);
	add_string(out, "sink", (struct str){sink, strlen(sink)});
	add_string(out, "reason", (struct str){l->why, strlen(l->why)});
	add_time(out, "died", l->died);
	add_time(out, "tried", l->tried);
	buf_addf(out, ",\"attempts\":%u,\"retry\":%s", (unsigned)l->attempts,
	         l->state == LETTER_ASKED ? "true" : "false");
	if (l->damaged) {
		buf_adds(out, ",\"damaged\":true}");
		return;
	}
	add_time(out, "time", rec->time);
	buf_addf(out, ",\"position\":\"%016llx\"", (unsigned long long)rec->pos);
	add_string(out, "type", rec->event);
	add_string(out, "user", rec->user);
	add_string(out, "owner", rec->owner);
	add_string(out, "mailbox", rec->mailbox);
	buf_addf(out, ",\"native\":%s,\"lost\":%u", rec->flags & RECORD_NATIVE ? "true" : "false",
	         (unsigned)rec->lost);
	if (whole) {
		json_t *json = json_loadb(rec->json.s, rec->json.len, 0, NULL);
		buf_adds(out, ",\"event\":");
		if (json)
			buf_add(out, rec->json.s, rec->json.len);
		else
			event_json_string(out, rec->json);
		json_decref(json);
	}
	buf_addc(out, '}');
}

static void add_line(struct buf *out, const struct letter *l)
{
	char iso[STAMP_SIZE], id[JOURNAL_ID];
	stamp_iso(iso, l->died);
	journal_id(id, l->uuid, l->rec.pos);
	buf_addf(out, "%s %s ", iso, id);
	if (l->damaged)
		buf_adds(out, "(damaged)");
	else
		buf_add(out, l->rec.event.s, l->rec.event.len);
	buf_adds(out, " user=");
	event_json_string(out, l->rec.user);
	buf_adds(out, " reason=");
	event_json_string(out, (struct str){l->why, strlen(l->why)});
	if (l->state == LETTER_ASKED)
		buf_adds(out, " retry");
}

/* Indented. */
static int print_whole(const struct dead_command *c, const struct letter *l)
{
	struct buf out = BUF_INIT;
	add_object(&out, c->sink, l, true);
	json_t *json = out.failed ? NULL : json_loadb(out.s, out.len, 0, NULL);
	int r = json ? json_dumpf(json, stdout,
	                          JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(17))
	             : -1;
	putchar('\n');
	json_decref(json);
	buf_free(&out);
	return r;
}

/* --- the commands --- */

static int read_letters(struct dead_command *c, bool show)
{
	static char buffer[BUFFER];
	struct buf out = BUF_INIT;
	struct letter l;
	int got = 0, code = EX_OK;
	struct letter_walk *w = c->dead ? letter_walk(dead_dir(c->dead), 0, true) : NULL;
	if (c->dead && !w)
		return ctl_fail(EX_IOERR, "the dead letters of %s: %s", c->sink,
		                letter_error(errno));
	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
	while (w && code == EX_OK && !ferror(stdout) && (got = letter_walk_next(w, &l)) > 0) {
		if (l.state == LETTER_GONE || (show && !wants(c, &l)))
			continue;
		buf_reset(&out);
		if (show) {
			out.failed = print_whole(c, &l) < 0;
		} else {
			if (c->json)
				add_object(&out, c->sink, &l, false);
			else
				add_line(&out, &l);
			buf_addc(&out, '\n');
			fwrite(out.s, 1, out.len, stdout);
		}
		if (out.failed)
			code = ctl_fail(EX_OSERR, "out of memory");
	}
	if (got < 0)
		code =
		    ctl_fail(EX_IOERR, "the dead letters of %s: %s", c->sink, letter_error(errno));
	if (w && letter_walk_damage(w))
		ctl_fail(0,
		         "warning: %llu damaged bytes of the dead letters of %s were passed over",
		         (unsigned long long)letter_walk_damage(w), c->sink);
	letter_walk_close(&w);
	buf_free(&out);
	return code == EX_OK ? missing(c) : code;
}

static int list(struct dead_command *c)
{
	return read_letters(c, false);
}

static int show(struct dead_command *c)
{
	return read_letters(c, true);
}

static enum dead_verdict judge(void *ctx, const struct letter *l)
{
	struct dead_command *c = ctx;
	if (!wants(c, l))
		return DEAD_KEEP;
	c->count++;
	return c->verdict;
}

static int judge_all(struct dead_command *c, enum dead_verdict verdict)
{
	c->verdict = verdict;
	if (!c->dead || dead_judge(c->dead, judge, c) == 0)
		return EX_OK;
	if (errno == EAGAIN)
		return ctl_fail(EX_TEMPFAIL, "the dead letters of %s are in use: try again",
		                c->sink);
	return ctl_fail(errno == EACCES || errno == EPERM || errno == EROFS ? EX_NOPERM : EX_IOERR,
	                "the dead letters of %s: %s", c->sink, letter_error(errno));
}

static const char *letters(unsigned long long n)
{
	return n == 1 ? "dead letter" : "dead letters";
}

static int drop(struct dead_command *c)
{
	int code = judge_all(c, DEAD_DROP);
	printf("%llu %s of %s deleted\n", c->count, letters(c->count), c->sink);
	return code == EX_OK ? missing(c) : code;
}

static bool is_unix(const struct dead_command *c)
{
	const char *type = ctl_sink_type(c->ctl, c->sink, strlen(c->sink));
	return type && !strcmp(type, "unix");
}

static int retry(struct dead_command *c)
{
	if (!ctl_sink_configured(c->ctl, c->sink, strlen(c->sink)))
		return ctl_fail(EX_NOINPUT, "there is no sink %s in notifyd_sinks to send to",
		                c->sink);
	if (is_unix(c))
		return ctl_fail(EX_USAGE, "%s is of type unix now, which can't send them", c->sink);
	int code = judge_all(c, DEAD_RETRY);
	int dir = open(c->ctl->journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Without it they are sent when notifyd starts. */
	if (c->count && (dir < 0 || dead_ask(dir, c->sink) < 0) && code == EX_OK)
		code =
		    ctl_fail(EX_IOERR, "cannot ask the worker of %s: %s", c->sink, strerror(errno));
	if (dir >= 0)
		close(dir);
	printf("%llu %s of %s to be sent again: at once, or when notifyd runs\n", c->count,
	       letters(c->count), c->sink);
	return code == EX_OK ? missing(c) : code;
}

static const struct {
	const char *name;
	int (*run)(struct dead_command *c);
	bool ids;
} commands[] = {
    {"list", list, false},
    {"show", show, true},
    {"retry", retry, true},
    {"drop", drop, true},
};

#define N_COMMANDS (sizeof commands / sizeof commands[0])

static int open_store(struct dead_command *c)
{
	int dir = open(c->ctl->journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return ctl_fail(errno == EACCES ? EX_NOPERM : EX_NOINPUT, "the journal %s: %s",
		                c->ctl->journal, strerror(errno));
	int r = dead_open(&c->dead, dir, c->sink, false), why = errno;
	close(dir);
	if (r == 0)
		return EX_OK;
	if (why != ENOENT && why != EINVAL)
		return ctl_fail(why == EACCES ? EX_NOPERM : EX_IOERR, "the dead letters of %s: %s",
		                c->sink, strerror(why));
	if (why == ENOENT && is_unix(c))
		return ctl_fail(EX_USAGE,
		                "%s is of type unix, which has no dead letters: each of its "
		                "clients says what it has taken",
		                c->sink);
	if (why == EINVAL || !ctl_sink_configured(c->ctl, c->sink, strlen(c->sink)))
		return ctl_fail(EX_NOINPUT, "there is no sink %s in notifyd_sinks", c->sink);
	return EX_OK;
}

static int parse_ids(struct dead_command *c, int n, char **args)
{
	c->ids = calloc((size_t)n + 1, sizeof *c->ids);
	if (!c->ids)
		return ctl_fail(EX_OSERR, "out of memory");
	for (int i = 0; i < n; i++) {
		struct wanted *w = &c->ids[c->n_ids++];
		w->text = args[i];
		if (!journal_id_parse(args[i], strlen(args[i]), w->uuid, &w->pos))
			return ctl_fail(EX_USAGE, "'%s' is no event's id", args[i]);
	}
	qsort(c->ids, c->n_ids, sizeof *c->ids, compare);
	return EX_OK;
}

static int run(struct dead_command *c, size_t command, int argc, char **argv)
{
	const char *name = commands[command].name;
	bool ids = commands[command].ids;
	if (argc < 1)
		return ctl_fail(EX_USAGE, "dead-letters %s: of which sink?", name);
	if (!ids && argc > 1)
		return ctl_fail(EX_USAGE, "dead-letters %s: '%s' is not understood", name, argv[1]);
	if (ids && (argc > 1) == c->all)
		return ctl_fail(EX_USAGE, "dead-letters %s: SINK and either ids or --all", name);
	c->sink = argv[0];
	int code = parse_ids(c, argc - 1, argv + 1);
	if (code == EX_OK)
		code = open_store(c);
	if (code == EX_OK)
		code = commands[command].run(c);
	free(c->ids);
	dead_close(&c->dead);
	return code;
}

int ctl_dead(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"all", no_argument, NULL, 'a'},
	    {"json", no_argument, NULL, 'j'},
	    CTL_OPTIONS,
	};
	struct dead_command c = {.ctl = ctl};
	int opt;
	while ((opt = getopt_long(argc, argv, "ajhV", options, NULL)) != -1) {
		if (opt == 'a')
			c.all = true;
		else if (opt == 'j')
			c.json = true;
		else
			return ctl_option(ctl, opt);
	}
	for (size_t i = 0; optind < argc && i < N_COMMANDS; i++) {
		if (strcmp(argv[optind], commands[i].name) != 0)
			continue;
		if ((c.all && !commands[i].ids) || (c.json && commands[i].ids))
			return ctl_fail(EX_USAGE, "dead-letters %s: there is no --%s",
			                commands[i].name,
			                c.json && commands[i].ids ? "json" : "all");
		return run(&c, i, argc - optind - 1, argv + optind + 1);
	}
	return ctl_fail(EX_USAGE, "dead-letters: list, show, retry or drop%s%s%s",
	                optind < argc ? ", not '" : "", optind < argc ? argv[optind] : "",
	                optind < argc ? "'" : "");
}
