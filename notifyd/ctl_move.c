/* SPDX-License-Identifier: BSD-3-Clause */
/* replay and skip: a sink's cursor is moved here while nobody holds it, else by who does. */
#include "ctl.h"
#include "ctl_place.h"
#include "ctl_sink.h"
#include "move.h"
#include "stamp.h"
#include "when.h"

#include "../lib/identity.h"
#include "../lib/journal.h"
#include "../lib/reader.h"
#include "../lib/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define WAIT_US (30 * 1000 * 1000) /* for the worker */
#define LOOK_US 50000

/* --- which cursor --- */

/* EX_OK: there is such a cursor, or a sink that has none yet. */
static int check_name(const struct ctl *ctl, int dir, const char *name)
{
	struct cursor_state state;
	size_t len = strcspn(name, "@");
	const char *type = ctl_sink_type(ctl, name, len);
	bool there = cursor_peek(dir, name, &state) == 0 || errno == EBADMSG || errno == ENODATA ||
	             errno == EPROTONOSUPPORT; /* cursor_open() says it */
	if (!strcmp(name, "reset"))
		return ctl_fail(EX_USAGE, "reset is notifyd's own and can't be moved");
	if (name[len]) {
		if (!there)
			return ctl_fail(EX_NOINPUT,
			                "there is no subscription %s: see notifyctl subscriptions",
			                name);
	} else if (type && !strcmp(type, "unix")) {
		return ctl_fail(EX_USAGE,
		                "%s is of type unix: name one of its subscriptions, %s@NAME (see "
		                "notifyctl subscriptions)",
		                name, name);
	} else if (!there && !ctl_sink_configured(ctl, name, len)) {
		return ctl_fail(EX_NOINPUT, "there is no sink %s in notifyd_sinks", name);
	}
	return EX_OK;
}

/* --- the move itself --- */

/* With the cursor in our hands. Who asked before us, asked before us. */
static int move_here(int dir, const char *name, struct cursor *c, bool made, bool asked,
                     const struct move *m)
{
	char *why = NULL;
	int code = EX_OK, r = move_carry_out(dir, name, c, &why);
	if (r < 0 && asked)
		code = ctl_fail(EX_IOERR, "%s", why ? why : "out of memory");
	else if (made) /* it may be new because it was damaged, and be somewhere else */
		r = cursor_set(c, m->pos, 0) < 0 ? -1 : cursor_sync(c);
	else if (!asked)
		r = move_cursor(c, m);
	if (r < 0 && code == EX_OK)
		code = ctl_fail(EX_IOERR, "the cursor of %s: %s", name, strerror(errno));
	free(why);
	return code;
}

static int give_up(int dir, const char *name, bool asked)
{
	if (asked && move_withdraw(dir, name) < 0)
		return ctl_fail(EX_TEMPFAIL,
		                "%s is being moved, and that takes long: see the log "
		                "of notifyd",
		                name);
	return ctl_fail(EX_TEMPFAIL,
	                "%s was not moved: %s within %d s; see notifyctl status, and try again",
	                name, asked ? "its worker did not take it" : "another move was not done",
	                WAIT_US / 1000000);
}

static int move(int dir, const char *name, const struct move *m)
{
	bool asked = false, made;
	struct cursor_state state;
	for (int64_t end = stamp_now() + WAIT_US; stamp_now() < end;) {
		struct cursor *c = NULL;
		char *why = NULL;
		if (asked && !move_asked(dir, name))
			return EX_OK;
		if (strchr(name, '@') && cursor_peek(dir, name, &state) < 0 && errno == ENOENT) {
			if (asked)
				move_withdraw(dir, name);
			return ctl_fail(EX_NOINPUT, "the subscription %s was just removed", name);
		}
		if (cursor_open(&c, dir, name, m->pos, &made, &why) == 0) {
			/* Done meanwhile by one that has ended since? */
			int code = asked && !move_asked(dir, name)
			               ? EX_OK
			               : move_here(dir, name, c, made, asked, m);
			free(why);
			cursor_close(&c);
			return code;
		}
		bool busy = errno == EAGAIN;
		if (!busy)
			ctl_fail(0, "%s", why ? why : "out of memory");
		free(why);
		if (!busy)
			return EX_IOERR;
		if (!asked && move_ask(dir, name, m) == 0)
			asked = true;
		else if (!asked && errno != EEXIST)
			return ctl_fail(errno == EACCES ? EX_NOPERM : EX_IOERR,
			                "cannot ask the worker of %s: %s", name, strerror(errno));
		nanosleep(&(struct timespec){.tv_nsec = LOOK_US * 1000L}, NULL);
	}
	return give_up(dir, name, asked);
}

static void place_text(char out_r[JOURNAL_ID + STAMP_SIZE + 16], const struct place *p)
{
	char id[JOURNAL_ID], iso[STAMP_SIZE];
	journal_id(id, p->uuid, p->pos);
	stamp_iso(iso, p->time);
	snprintf(out_r, JOURNAL_ID + STAMP_SIZE + 16, p->time ? "%s, appended %s" : "%s", id, iso);
}

/* partial: it could not be where it was wanted. */
static int move_to(int dir, const char *name, enum move_kind kind, const struct place *p,
                   bool partial)
{
	struct move m = {.kind = kind, .pos = p->pos};
	struct cursor_state state;
	char where[JOURNAL_ID + STAMP_SIZE + 16];
	memcpy(m.uuid, p->uuid, sizeof m.uuid);
	place_text(where, p);
	if (cursor_peek(dir, name, &state) == 0 &&
	    (kind == MOVE_REPLAY ? state.pos <= p->pos : state.pos >= p->pos)) {
		if (kind == MOVE_REPLAY)
			printf("%s has not delivered %s yet, and was not moved\n", name, where);
		else if (p->time)
			printf("%s is past %s already, and was not moved\n", name, where);
		else
			printf("%s has nothing to skip, and was not moved\n", name);
		return partial ? EX_DATAERR : EX_OK;
	}
	int code = move(dir, name, &m);
	if (code != EX_OK)
		return code;
	if (!p->time)
		printf("%s goes on with what comes from now on\n", name);
	else
		printf(kind == MOVE_REPLAY ? "%s delivers again from %s\n" : "%s goes on at %s\n",
		       name, where);
	return partial ? EX_DATAERR : EX_OK;
}

/* --- where to --- */

static void tell_gone(const struct place *p)
{
	char where[JOURNAL_ID + STAMP_SIZE + 16];
	place_text(where, p);
	ctl_fail(0,
	         "what came before is gone: the journal begins at %s (delivered events are kept "
	         "for mboxevent_retain)",
	         where);
}

/* Whether events were deleted that may have been appended at or after `time`. */
static bool gone_since(int dir, int64_t time)
{
	struct segment seg;
	uint64_t oldest = reader_oldest(dir);
	if (oldest <= SEGMENT_HEADER)
		return false; /* the very first, or none */
	int fd = segment_open(dir, oldest - SEGMENT_HEADER, O_RDONLY, &seg);
	if (fd < 0)
		return true;
	close(fd);
	return seg.created > time;
}

static int since(const struct ctl *ctl, int dir, const char *s, struct place *p_r, bool *partial_r)
{
	int64_t time = INT64_MIN;
	enum when when = when_parse(s, stamp_now(), &time);
	if (when == WHEN_BAD || when == WHEN_NEWEST)
		return ctl_fail(EX_USAGE,
		                "--since: '%s' must be oldest, a time such as "
		                "2024-05-31T14:30:00+02:00, or how long ago, such as 2h",
		                s);
	int code = ctl_place_find(ctl->journal, reader_since(dir, time), time, p_r);
	*partial_r = code == EX_OK && when == WHEN_TIME && gone_since(dir, time);
	if (*partial_r && p_r->time)
		tell_gone(p_r);
	return code;
}

static int from_id(const struct ctl *ctl, int dir, const char *s, struct place *p_r,
                   bool *partial_r)
{
	uint64_t pos = 0, oldest = reader_oldest(dir);
	int code = ctl_place_id(dir, s, false, &pos);
	if (code == EX_OK)
		code = ctl_place_find(ctl->journal, pos < oldest ? oldest : pos, INT64_MIN, p_r);
	if (code != EX_OK)
		return code;
	if (!p_r->time)
		return ctl_fail(EX_NOINPUT, "there is no event %s, nor any after it", s);
	*partial_r = p_r->pos != pos;
	if (*partial_r && pos < oldest) {
		tell_gone(p_r);
	} else if (*partial_r) {
		char where[JOURNAL_ID + STAMP_SIZE + 16];
		place_text(where, p_r);
		ctl_fail(0, "there is no event %s (any more); the next is %s", s, where);
	}
	return EX_OK;
}

/* --- the commands --- */

static int open_journal(const struct ctl *ctl, int *code_r)
{
	int dir = open(ctl->journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		*code_r = ctl_fail(errno == EACCES ? EX_NOPERM : EX_NOINPUT, "the journal %s: %s",
		                   ctl->journal, strerror(errno));
	return dir;
}

int ctl_replay(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"since", required_argument, NULL, 's'},
	    {"from", required_argument, NULL, 'f'},
	    CTL_OPTIONS,
	};
	const char *time = NULL, *id = NULL;
	int opt;
	while ((opt = getopt_long(argc, argv, "s:f:hV", options, NULL)) != -1) {
		if (opt == 's')
			time = optarg;
		else if (opt == 'f')
			id = optarg;
		else
			return ctl_option(ctl, opt);
	}
	if (argc - optind != 1 || !time == !id)
		return ctl_fail(EX_USAGE, "replay: SINK and either --since TIME or --from ID");
	const char *name = argv[optind];
	struct place p = {.pos = 0};
	bool partial = false;
	int code = EX_OK, dir = open_journal(ctl, &code);
	if (dir < 0)
		return code;
	code = check_name(ctl, dir, name);
	if (code == EX_OK)
		code = time ? since(ctl, dir, time, &p, &partial)
		            : from_id(ctl, dir, id, &p, &partial);
	if (code == EX_OK && !p.time)
		printf("%s was not moved: no event was appended since then\n", name);
	else if (code == EX_OK)
		code = move_to(dir, name, MOVE_REPLAY, &p, partial);
	close(dir);
	return code;
}

int ctl_skip(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"to", required_argument, NULL, 't'},
	    CTL_OPTIONS,
	};
	const char *to = NULL;
	int opt;
	while ((opt = getopt_long(argc, argv, "t:hV", options, NULL)) != -1) {
		if (opt != 't')
			return ctl_option(ctl, opt);
		to = optarg;
	}
	if (argc - optind != 1 || !to)
		return ctl_fail(EX_USAGE, "skip: SINK and --to now or --to ID");
	const char *name = argv[optind];
	struct place p = {.pos = 0};
	bool partial = false;
	int code = EX_OK, dir = open_journal(ctl, &code);
	if (dir < 0)
		return code;
	code = check_name(ctl, dir, name);
	if (code == EX_OK)
		code = !strcmp(to, "now") ? ctl_place_end(ctl->journal, &p)
		                          : from_id(ctl, dir, to, &p, &partial);
	if (code == EX_OK)
		code = move_to(dir, name, MOVE_SKIP, &p, partial);
	close(dir);
	return code;
}
