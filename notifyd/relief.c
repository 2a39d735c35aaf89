/* SPDX-License-Identifier: BSD-3-Clause */
#include "relief.h"

#include "../lib/cursor.h"
#include "../lib/journalconf.h"
#include "../lib/reader.h"
#include "../lib/room.h"
#include "../lib/segment.h"
#include "keeper.h"
#include "log.h"
#include "losses.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	REMIND_S = 600, /* between two lines on a sink that loses now and then */
	QUIET_S = 60,   /* with room and nothing refused for so long, all is well again */
	SINKS = 64,     /* told apart in the log */
};

struct relief {
	struct told {
		char sink[64];
		uint64_t pos; /* its cursor's, when it last lost something */
		int64_t when; /* monotonic seconds */
	} told[SINKS];
	uint64_t losses[LOST_REASONS]; /* at the last look, or at first, */
	uint64_t lost;                 /* and their sum */
	bool refusing;
	uint64_t before; /* what lost was before that */
	int64_t grew;    /* when lost grew, monotonic seconds */
};

static int64_t seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Looks at the losses. The reason for which most came since the last time. */
static enum lost_reason count(struct relief *r, int journalfd)
{
	enum lost_reason most = LOST_UNKNOWN;
	uint64_t counts[LOST_REASONS], grown[LOST_REASONS];
	if (lost_read(journalfd, counts) < 0)
		return most;
	r->lost = 0;
	for (int i = 0; i < LOST_REASONS; i++) {
		grown[i] = counts[i] - r->losses[i];
		if (grown[i] > grown[most])
			most = (enum lost_reason)i;
		r->losses[i] = counts[i];
		r->lost += counts[i];
	}
	return most;
}

struct relief *relief_new(int journalfd)
{
	struct relief *r = calloc(1, sizeof *r);
	if (r)
		count(r, journalfd);
	return r;
}

void relief_free(struct relief **r)
{
	free(*r);
	*r = NULL;
}

/* A line a sink and incident: it lasts while the cursor stands where it stood. */
static void tell(struct relief *r, const char *sink, uint64_t pos, uint64_t floor)
{
	struct told *t = NULL;
	int64_t now = seconds();
	for (size_t i = 0; i < SINKS && !t; i++)
		if (!r->told[i].sink[0] || strcmp(r->told[i].sink, sink) == 0)
			t = &r->told[i];
	if (!t || strlen(sink) >= sizeof t->sink)
		return;
	bool same = t->sink[0] && (t->pos == pos || now - t->when < REMIND_S);
	strcpy(t->sink, sink);
	t->pos = pos;
	if (same)
		return;
	t->when = now;
	log_incident(
	    LOG_LEVEL_WARNING, sink, pos,
	    "the journal is short of room (mboxevent_max_size, mboxevent_min_free): as this "
	    "sink is not required, what it has not delivered is deleted, the oldest first: "
	    "%" PRIu64 " bytes so far",
	    reader_missing(pos, floor));
}

struct losers {
	const struct settings *settings;
	int journalfd;
	uint64_t floor;
	uint64_t *lowest; /* position of each sink */
};

static void add_loser(void *ctx, const char *name)
{
	struct losers *l = ctx;
	const struct settings *s = l->settings;
	size_t len = strcspn(name, "@");
	struct cursor_state state;
	if (cursor_peek(l->journalfd, name, &state) < 0 || state.pos >= l->floor)
		return;
	for (size_t i = 0; i < s->n_sinks; i++) {
		const struct sink *sink = &s->sinks[i];
		if (strlen(sink->name) != len || memcmp(sink->name, name, len) != 0 ||
		    (name[len] == '@') != (sink->driver->run != NULL))
			continue;
		if (!keeper_required(sink) && state.pos < l->lowest[i])
			l->lowest[i] = state.pos;
	}
}

static void tell_losers(struct relief *r, const struct settings *s, int journalfd)
{
	struct segment_bounds bounds;
	segment_bounds(journalfd, &bounds);
	struct losers l = {.settings = s, .journalfd = journalfd, .floor = bounds.floor};
	l.lowest = malloc(s->n_sinks * sizeof *l.lowest);
	if (!l.lowest)
		return;
	memset(l.lowest, 0xff, s->n_sinks * sizeof *l.lowest);
	cursor_each(journalfd, add_loser, &l);
	for (size_t i = 0; i < s->n_sinks; i++)
		/* The floor may lie right behind it, where a boot's last segment ended. */
		if (l.lowest[i] != UINT64_MAX && reader_missing(l.lowest[i], bounds.floor))
			tell(r, s->sinks[i].name, l.lowest[i], bounds.floor);
	free(l.lowest);
}

/* Whether there is no room for what comes now. */
static bool refused(int journalfd, const struct journal_options *opt)
{
	struct room room;
	uint64_t *bases;
	enum lost_reason reason;
	ssize_t n = segment_list(journalfd, &bases);
	if (n < 0)
		return false;
	bool is =
	    room_measure(journalfd, opt, bases, n, &room) == 0 && room_refusal(&room, &reason);
	free(bases);
	return is;
}

/* What processes could not append: they say why, each for itself; here it is told for all. */
static void tell_refused(struct relief *r, const struct settings *s, int journalfd,
                         const struct journal_options *opt)
{
	uint64_t lost = r->lost, pos;
	int64_t now = seconds();
	enum lost_reason reason = count(r, journalfd);
	if (r->lost > lost) {
		const struct sink *sink = NULL;
		bool behind = refused(journalfd, opt) &&
		              keeper_lowest(s, journalfd, true, &pos, &sink) && sink;
		if (!r->refusing) {
			r->before = lost;
			log_incident(LOG_LEVEL_ERROR, NULL, LOG_NOPOS,
			             "events are refused and lost, %" PRIu64 " by now: %s; %s%s%s",
			             r->lost - r->before, losses[reason].why, losses[reason].cure,
			             behind ? "; furthest behind is the sink " : "",
			             behind ? sink->name : "");
		}
		r->refusing = true;
		r->grew = now;
	} else if (r->refusing && now - r->grew >= QUIET_S && !refused(journalfd, opt)) {
		log_incident(LOG_LEVEL_INFO, NULL, LOG_NOPOS,
		             "events are taken again; %" PRIu64 " were lost", r->lost - r->before);
		r->refusing = false;
	}
}

void relief_look(struct relief *r, const struct settings *s, int journalfd)
{
	struct journal_options opt;
	uint64_t required;
	journal_options_conf(&opt, &s->mboxevent);
	uint64_t pos = room_relief(journalfd, &opt);
	if (pos && keeper_lowest(s, journalfd, true, &required, NULL) &&
	    journal_trim(journalfd, pos < required ? pos : required, 0) > 0 && r)
		tell_losers(r, s, journalfd);
	if (r)
		tell_refused(r, s, journalfd, &opt);
}
