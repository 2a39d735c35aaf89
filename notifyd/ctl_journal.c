/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"
#include "ctl_place.h"
#include "stamp.h"
#include "verify.h"

#include "../lib/event.h"
#include "../lib/identity.h"
#include "../lib/reader.h"
#include "../lib/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PROGRESS_US 200000
#define PATIENCE_MS 1000

/* --- verify --- */

struct report {
	bool tty;
	int64_t told;
};

static void clear(const struct report *r)
{
	if (r->tty && r->told)
		fputs("\r\033[K", stderr);
}

static void print_damage(void *ctx, const struct damage *d)
{
	char name[SEGMENT_NAME + 1], size[48] = "length unknown";
	clear(ctx);
	segment_name(name, d->base);
	if (d->len)
		snprintf(size, sizeof size, "%llu byte%s", (unsigned long long)d->len,
		         d->len == 1 ? "" : "s");
	printf("%s: position %016llx, %s: %s, offset %llu\n", verify_kind(d->kind),
	       (unsigned long long)d->pos, size, name, (unsigned long long)d->offset);
	fflush(stdout);
}

static void print_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct report *r = ctx;
	int64_t now = stamp_now();
	if (!r->tty || now - r->told < PROGRESS_US)
		return;
	r->told = now;
	fprintf(stderr, "\r%3.0f %% of %.1f MB", 100.0 * (double)done / (double)total,
	        (double)total / (1 << 20));
	fflush(stderr);
}

static int verify(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {CTL_OPTIONS};
	struct report report = {.tty = isatty(STDERR_FILENO) == 1};
	struct verify v = {.found = print_damage,
	                   .progress = print_progress,
	                   .ctx = &report,
	                   .patience = PATIENCE_MS};
	char *why;
	int opt;
	while ((opt = getopt_long(argc, argv, "hV", options, NULL)) != -1)
		return ctl_option(ctl, opt);
	if (optind < argc)
		return ctl_fail(EX_USAGE, "journal verify: '%s' is not understood", argv[optind]);
	if (verify_journal(ctl->journal, &v, &why) < 0) {
		int code = errno == EACCES ? EX_NOPERM : errno == ENOENT ? EX_NOINPUT : EX_IOERR;
		clear(&report);
		ctl_fail(code, "%s", why ? why : "out of memory");
		free(why);
		return code;
	}
	clear(&report);
	printf("%llu event%s in %llu segment%s, %llu bytes: ", (unsigned long long)v.events,
	       v.events == 1 ? "" : "s", (unsigned long long)v.segments, v.segments == 1 ? "" : "s",
	       (unsigned long long)v.bytes);
	if (!v.damaged)
		puts("whole");
	else
		printf("%llu damaged place%s\n", (unsigned long long)v.damaged,
		       v.damaged == 1 ? "" : "s");
	return v.damaged ? EX_DATAERR : EX_OK;
}

/* --- dump --- */

static void add_time(struct buf *out, int64_t time)
{
	char iso[STAMP_SIZE];
	stamp_iso(iso, time);
	iso[strlen(iso) - 1] = '\0'; /* three digits more, for the journal has them */
	buf_addf(out, "%s%03dZ", iso, (int)(time % 1000));
}

static void add_flags(struct buf *out, unsigned flags)
{
	if (flags & RECORD_NATIVE)
		buf_adds(out, "native");
	if (flags & ~(unsigned)RECORD_NATIVE)
		buf_addf(out, "%s0x%x", flags & RECORD_NATIVE ? "," : "",
		         flags & ~(unsigned)RECORD_NATIVE);
}

static void add_fact(struct buf *out, const char *key, struct str value)
{
	buf_addf(out, " %s=", key);
	event_json_string(out, value);
}

static void add_line(struct buf *out, const char *id, const struct record *rec)
{
	buf_addf(out, "%s ", id);
	add_time(out, rec->time);
	buf_addf(out, " %.*s", (int)rec->event.len, rec->event.s);
	add_fact(out, "user", rec->user);
	add_fact(out, "owner", rec->owner);
	add_fact(out, "mailbox", rec->mailbox);
	buf_adds(out, " flags=");
	if (rec->flags)
		add_flags(out, rec->flags);
	else
		buf_addc(out, '-');
	buf_addf(out, " lost=%u ", (unsigned)rec->lost);
	buf_add(out, rec->json.s, rec->json.len);
}

static void add_key(struct buf *out, const char *key, struct str value)
{
	buf_addf(out, ",\"%s\":", key);
	event_json_string(out, value);
}

static void add_object(struct buf *out, const char *id, const struct record *rec)
{
	json_t *json = json_loadb(rec->json.s, rec->json.len, 0, NULL);
	buf_addf(out, "{\"id\":\"%s\",\"time\":\"", id);
	add_time(out, rec->time);
	buf_addc(out, '"');
	add_key(out, "type", rec->event);
	add_key(out, "user", rec->user);
	add_key(out, "owner", rec->owner);
	add_key(out, "mailbox", rec->mailbox);
	buf_addf(out, ",\"native\":%s,\"lost\":%u", rec->flags & RECORD_NATIVE ? "true" : "false",
	         (unsigned)rec->lost);
	if (json) {
		buf_adds(out, ",\"event\":");
		buf_add(out, rec->json.s, rec->json.len);
	} else {
		add_key(out, "event", rec->json); /* whatever it is, the line is JSON */
	}
	buf_addc(out, '}');
	json_decref(json);
}

static void warn_damage(const struct reader_damage *was, const struct reader_damage *is)
{
	if (memcmp(was, is, sizeof *is) != 0)
		ctl_fail(0, "warning: %s %016llx, %llu bytes: passed over",
		         is->gap != was->gap ? "gone from" : "damaged at",
		         (unsigned long long)is->at, (unsigned long long)is->len);
}

static int print_records(struct reader *r, const unsigned char uuid[16], long long count, bool json)
{
	struct buf out = BUF_INIT;
	struct reader_damage was = *reader_damage(r);
	int code = EX_OK;
	while (count != 0 && !ferror(stdout)) {
		char id[JOURNAL_ID];
		struct record rec;
		int got = reader_next(r, &rec);
		warn_damage(&was, reader_damage(r));
		was = *reader_damage(r);
		if (got < 0)
			code = ctl_fail(EX_IOERR, "reading the journal: %s", reader_why(r));
		if (got <= 0)
			break;
		journal_id(id, uuid, rec.pos);
		buf_reset(&out);
		if (json)
			add_object(&out, id, &rec);
		else
			add_line(&out, id, &rec);
		buf_addc(&out, '\n');
		if (out.failed) {
			code = ctl_fail(EX_OSERR, "out of memory");
			break;
		}
		fwrite(out.s, 1, out.len, stdout);
		if (count > 0)
			count--;
	}
	buf_free(&out);
	return code;
}

static int dump_from(const char *journal, const char *from, long long count, bool json)
{
	struct place p = {.pos = 0};
	unsigned char former[16];
	uint64_t pos = 0;
	int dir = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC), code = EX_OK;
	if (dir < 0 || journal_identity(dir, p.uuid, former) < 0) {
		code = ctl_fail(errno == EACCES ? EX_NOPERM : EX_NOINPUT, "the journal %s: %s",
		                journal, journal_identity_error(errno));
	} else if (from) {
		code = ctl_place_id(dir, from, true, &pos);
	}
	if (dir >= 0)
		close(dir);
	if (code == EX_OK && from) {
		/* It may be inside a record, which is no damage then. */
		code = ctl_place_find(journal, pos, INT64_MIN, &p);
		if (code == EX_OK && p.pos != pos && p.time)
			ctl_fail(0, "no event begins at %016llx; the next is at %016llx",
			         (unsigned long long)pos, (unsigned long long)p.pos);
	}
	if (code != EX_OK)
		return code;
	char *why = NULL;
	struct reader *r = reader_open(journal, p.pos, &why);
	if (!r) {
		ctl_fail(EX_NOINPUT, "%s", why ? why : "out of memory");
		free(why);
		return EX_NOINPUT;
	}
	code = print_records(r, p.uuid, count, json);
	reader_close(&r);
	return code;
}

static int dump(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"from", required_argument, NULL, 'f'},
	    {"count", required_argument, NULL, 'n'},
	    {"json", no_argument, NULL, 'j'},
	    CTL_OPTIONS,
	};
	const char *from = NULL;
	long long count = -1;
	bool json = false;
	char *end;
	int opt;
	while ((opt = getopt_long(argc, argv, "f:n:jhV", options, NULL)) != -1) {
		switch (opt) {
		case 'f':
			from = optarg;
			break;
		case 'n':
			errno = 0;
			count = strtoll(optarg, &end, 10);
			if (errno || end == optarg || *end || count < 0)
				return ctl_fail(EX_USAGE, "--count: '%s' must be a number", optarg);
			break;
		case 'j':
			json = true;
			break;
		default:
			return ctl_option(ctl, opt);
		}
	}
	if (optind < argc)
		return ctl_fail(EX_USAGE, "journal dump: '%s' is not understood", argv[optind]);
	static char buffer[256 << 10];
	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
	return dump_from(ctl->journal, from, count, json);
}

int ctl_journal(struct ctl *ctl, int argc, char **argv)
{
	if (argc < 2)
		return ctl_fail(EX_USAGE, "journal: verify or dump?");
	if (!strcmp(argv[1], "dump"))
		return dump(ctl, argc - 1, argv + 1);
	if (!strcmp(argv[1], "verify"))
		return verify(ctl, argc - 1, argv + 1);
	if (argv[1][0] == '-')
		return verify(ctl, argc, argv); /* --help and --version are all there is */
	return ctl_fail(EX_USAGE, "journal: verify or dump, not '%s'", argv[1]);
}
