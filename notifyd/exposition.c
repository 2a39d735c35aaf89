/* SPDX-License-Identifier: BSD-3-Clause */
/* Prometheus's text format. Labels hold names of sinks, drivers, groups, reasons and states alone:
 * never a user, a mailbox or a subscription. */
#include <config.h>

#include "dead.h"
#include "keeper.h"
#include "losses.h"
#include "stamp.h"
#include "status.h"
#include "watch.h"

#include "../lib/catalog.h"
#include "../lib/cursor.h"
#include "../lib/journalconf.h"
#include "../lib/room.h"
#include "../lib/segment.h"

#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOLLOW_MS 50 /* a scrape waits no longer for events to be counted */

/* What there is to tell of a sink. */
struct gauge {
	const struct sink *sink;
	const char *link; /* a word of status_links, or "down" */
	uint64_t delivered, resent, failures, dropped, discarded, dead, in_flight;
	uint64_t subscriptions;
	struct lag lag; /* of the subscription that is farthest behind */
	bool has_cursor, has_status, up;
};

struct gathering {
	const struct watch *w;
	struct gauge *gauges;
	size_t n;
};

/* --- gathering --- */

static void take_cursor(void *ctx, const char *name)
{
	struct gathering *g = ctx;
	struct cursor_state state;
	size_t len = strcspn(name, "@");
	for (size_t i = 0; i < g->n; i++) {
		struct gauge *one = &g->gauges[i];
		const char *is = one->sink->name;
		bool own = !name[len];
		if (strlen(is) != len || memcmp(is, name, len) != 0)
			continue;
		/* Those of a sink that was of another type are nobody's. */
		if (own == !strcmp(watch_type(one->sink), "unix") ||
		    cursor_peek(g->w->journalfd, name, &state) < 0)
			return;
		if (own)
			one->delivered = state.delivered;
		else
			one->subscriptions++;
		if (!one->has_cursor || state.pos < one->lag.pos)
			one->lag.pos = state.pos;
		one->has_cursor = true;
		return;
	}
}

static uint64_t number(const json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));
	return n > 0 ? (uint64_t)n : 0;
}

static void take_status(const struct watch *w, struct gauge *g)
{
	char contents[STATUS_SIZE + 1];
	const struct tally_process *p = tally_find(w->tally, TALLY_SINK, g->sink->name);
	g->up = p && p->pid;
	g->link = g->up ? "starting" : "down";
	json_t *o = status_read(w->journal, g->sink->name, contents) == 0
	                ? json_loads(contents, 0, NULL)
	                : NULL;
	g->has_status = json_is_object(o);
	const char *link = json_string_value(json_object_get(o, "connection"));
	/* Else it is what the process before said. */
	bool its = p && number(o, "pid") == (uint64_t)p->pid;
	for (size_t i = 0; g->up && its && link && i < STATUS_LINKS; i++)
		if (!strcmp(link, status_links[i]))
			g->link = status_links[i];
	if (its)
		g->in_flight = number(o, "inFlight");
	if (!strcmp(watch_type(g->sink), "unix"))
		g->delivered = number(o, "delivered");
	g->resent = number(o, "resent");
	g->failures = number(o, "failures");
	g->dropped = number(o, "dropped");
	g->discarded = number(o, "discarded");
	json_decref(o);
	struct dead_summary dead;
	if (dead_summary(w->journalfd, g->sink->name, &dead) == 0)
		g->dead = dead.waiting;
}

static void gather(const struct watch *w, struct gauge *gauges, size_t n)
{
	struct gathering g = {w, gauges, n};
	uint64_t lowest = UINT64_MAX;
	for (size_t i = 0; i < n; i++)
		gauges[i].sink = &w->settings->sinks[i];
	cursor_each(w->journalfd, take_cursor, &g);
	for (size_t i = 0; i < n; i++) {
		take_status(w, &gauges[i]);
		if (gauges[i].has_cursor && gauges[i].lag.pos < lowest)
			lowest = gauges[i].lag.pos;
	}
	if (lowest != UINT64_MAX)
		follower_cover(w->follower, lowest);
	follower_run(w->follower, FOLLOW_MS);
	for (size_t i = 0; i < n; i++)
		if (gauges[i].has_cursor)
			follower_lag(w->follower, &gauges[i].lag);
}

/* --- writing --- */

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct buf *out, const char *name, const char *type, const char *help,
                uint64_t value)
{
	family(out, name, type, help);
	buf_addf(out, "%s %" PRIu64 "\n", name, value);
}

static void write_journal(const struct watch *w, struct buf *out)
{
	family(out, "mboxevent_events_total", "counter",
	       "Events appended to the journal since notifyd began, each in one group.");
	for (int i = 0; i < TALLY_GROUPS; i++)
		buf_addf(out, "mboxevent_events_total{group=\"%s\"} %" PRIu64 "\n",
		         catalog_group_name(1U << i), (uint64_t)w->tally->events[i]);
	/* What cannot be read now is no zero: that would be a counter that began anew. */
	uint64_t lost[LOST_REASONS];
	if (lost_read(w->journalfd, lost) < 0)
		return;
	family(out, "mboxevent_lost_total", "counter",
	       "Events that could not be appended since the journal was made, each for one "
	       "reason.");
	for (int i = 0; i < LOST_REASONS; i++)
		buf_addf(out, "mboxevent_lost_total{reason=\"%s\"} %" PRIu64 "\n", losses[i].name,
		         lost[i]);
}

static void write_room(const struct watch *w, struct buf *out)
{
	struct journal_options opt;
	struct room room;
	const char *limit;
	uint64_t *bases = NULL;
	journal_options_conf(&opt, &w->settings->mboxevent);
	ssize_t n = segment_list(w->journalfd, &bases);
	int r = n < 0 ? -1 : room_measure(w->journalfd, &opt, bases, n, &room);
	int64_t left = room_left(w->journalfd, &opt, &limit);
	free(bases);
	if (r == 0) {
		one(out, "mboxevent_journal_bytes", "gauge", "Size of the journal's segments.",
		    room.used);
		one(out, "mboxevent_journal_max_bytes", "gauge",
		    "What mboxevent_max_size comes to.", room.max);
		one(out, "mboxevent_journal_segments", "gauge", "Segments of the journal.",
		    room.segments);
	}
	if (left >= 0)
		one(out, "mboxevent_journal_room_bytes", "gauge",
		    "What can still be appended before events are lost.", (uint64_t)left);
}

static void write_syncs(const struct tally *t, struct buf *out)
{
	static const char name[] = "mboxevent_journal_sync_seconds";
	uint64_t sum = 0;
	family(out, name, "histogram", "What notifyd's syncs of the journal to the disk took.");
	for (int i = 0; i < TALLY_BUCKETS; i++) {
		sum += t->syncs[i];
		buf_addf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, tally_bounds[i], sum);
	}
	sum += t->syncs[TALLY_BUCKETS];
	buf_addf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n",
	         name, sum, name, (double)t->sync_us / 1e6, name, sum);
	one(out, "mboxevent_journal_sync_failures_total", "counter",
	    "Syncs of the journal that failed.", t->sync_failures);
}

static void write_processes(const struct tally *t, struct buf *out)
{
	static const char *const kinds[] = {
	    [TALLY_SINK] = "sink", [TALLY_INGEST] = "ingest", [TALLY_METRICS] = "metrics"};
	for (int pass = 0; pass < 2; pass++) {
		const char *name = pass ? "notifyd_process_up" : "notifyd_restarts_total";
		family(out, name, pass ? "gauge" : "counter",
		       pass ? "Whether the process runs."
		            : "Processes started again after they died or were killed for "
		              "stalling.");
		for (int i = 0; i < TALLY_PROCESSES; i++) {
			const struct tally_process *p = &t->processes[i];
			if (p->kind == TALLY_NONE)
				break;
			if (!p->wanted)
				continue;
			buf_addf(out, "%s{process=\"%s\",sink=\"%s\"} %" PRIu64 "\n", name,
			         kinds[p->kind], p->kind == TALLY_SINK ? p->name : "",
			         pass ? (uint64_t)(p->pid != 0) : (uint64_t)p->restarts);
		}
	}
}

/* Whom a family is about. What can't be read just now is left out: a zero would look like a counter
 * that began anew. */
enum whose { DELIVERED, WITH_STATUS, WITH_CURSOR, UNIX, OTHERS };

static const struct column {
	const char *name, *type;
	size_t value; /* offset of a uint64_t in struct gauge */
	enum whose whose;
	const char *help;
} columns[] = {
    {"notifyd_sink_delivered_total", "counter", offsetof(struct gauge, delivered), DELIVERED,
     "Events delivered: confirmed by the far side, or written to clients of a unix sink."},
    {"notifyd_sink_resent_total", "counter", offsetof(struct gauge, resent), WITH_STATUS,
     "Events that were sent, not confirmed, and are sent again."},
    {"notifyd_sink_failures_total", "counter", offsetof(struct gauge, failures), WITH_STATUS,
     "Failures of the far side, after each of which the sink backs off."},
    {"notifyd_sink_dropped_total", "counter", offsetof(struct gauge, dropped), WITH_STATUS,
     "Events that the sink could never deliver and went on behind."},
    {"notifyd_sink_discarded_total", "counter", offsetof(struct gauge, discarded), WITH_STATUS,
     "Events that no queue took and that notifyd_<sink>_unroutable: drop discarded."},
    {"notifyd_sink_dead_letters", "gauge", offsetof(struct gauge, dead), OTHERS,
     "Dead letters that wait to be looked at."},
    {"notifyd_sink_in_flight", "gauge", offsetof(struct gauge, in_flight), OTHERS,
     "Events sent and not confirmed yet."},
    {"notifyd_sink_lag_events", "gauge", offsetof(struct gauge, lag.events), WITH_CURSOR,
     "Events behind the sink's cursor, or that of its slowest subscription; those that it filters "
     "out included."},
    {"notifyd_sink_lag_bytes", "gauge", offsetof(struct gauge, lag.bytes), WITH_CURSOR,
     "Their size in the journal."},
    {"notifyd_sink_subscriptions", "gauge", offsetof(struct gauge, subscriptions), UNIX,
     "Durable subscriptions of a unix sink."},
};

static bool is_about(const struct column *c, const struct gauge *g)
{
	bool serves = !strcmp(watch_type(g->sink), "unix");
	switch (c->whose) {
	case DELIVERED:
		return serves ? g->has_status : g->has_cursor;
	case WITH_STATUS:
		return g->has_status;
	case WITH_CURSOR:
		return g->has_cursor;
	case UNIX:
		return serves;
	default:
		return !serves && g->has_status;
	}
}

static void write_columns(const struct gauge *gauges, size_t n, struct buf *out)
{
	for (const struct column *c = columns; c < columns + sizeof columns / sizeof *columns;
	     c++) {
		family(out, c->name, c->type, c->help);
		for (const struct gauge *g = gauges; g < gauges + n; g++)
			if (is_about(c, g))
				buf_addf(out, "%s{sink=\"%s\"} %" PRIu64 "\n", c->name,
				         g->sink->name,
				         *(const uint64_t *)((const char *)g + c->value));
	}
}

static void write_connections(const struct gauge *gauges, size_t n, struct buf *out)
{
	static const char name[] = "notifyd_sink_connection";
	family(out, name, "gauge",
	       "1 for the state that the sink's worker is in (down: it does not run), 0 for the "
	       "others.");
	for (const struct gauge *g = gauges; g < gauges + n; g++)
		for (size_t i = 0; i <= STATUS_LINKS; i++) {
			const char *state = i < STATUS_LINKS ? status_links[i] : "down";
			buf_addf(out, "%s{sink=\"%s\",state=\"%s\"} %d\n", name, g->sink->name,
			         state, !strcmp(state, g->link));
		}
}

static void write_sinks(const struct gauge *gauges, size_t n, struct buf *out)
{
	family(out, "notifyd_sink_info", "gauge", "1; the sinks of the configuration.");
	for (const struct gauge *g = gauges; g < gauges + n; g++)
		buf_addf(out, "notifyd_sink_info{sink=\"%s\",type=\"%s\",required=\"%s\"} 1\n",
		         g->sink->name, watch_type(g->sink),
		         keeper_required(g->sink) ? "yes" : "no");
	write_columns(gauges, n, out);
	family(out, "notifyd_sink_lag_seconds", "gauge",
	       "Age of the oldest of them; 0 when there is none.");
	for (const struct gauge *g = gauges; g < gauges + n; g++) {
		int64_t age = g->lag.oldest ? stamp_now() - g->lag.oldest : 0;
		if (g->has_cursor)
			buf_addf(out, "notifyd_sink_lag_seconds{sink=\"%s\"} %.3f\n", g->sink->name,
			         age > 0 ? (double)age / 1e6 : 0.0);
	}
	write_connections(gauges, n, out);
}

void watch_metrics(const struct watch *w, struct buf *out)
{
	size_t n = w->settings->n_sinks;
	struct gauge *gauges = calloc(n ? n : 1, sizeof *gauges);
	if (gauges)
		gather(w, gauges, n);
	family(out, "notifyd_build_info", "gauge", "1; the version that runs.");
	buf_addf(out, "notifyd_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	family(out, "notifyd_start_time_seconds", "gauge", "When notifyd began, since 1970 UTC.");
	buf_addf(out, "notifyd_start_time_seconds %.3f\n", (double)w->tally->began / 1e6);
	write_journal(w, out);
	write_room(w, out);
	write_syncs(w->tally, out);
	write_processes(w->tally, out);
	if (gauges)
		write_sinks(gauges, n, out);
	else
		out->failed = true;
	free(gauges);
}
