/* SPDX-License-Identifier: BSD-3-Clause */
#include "feed.h"

#include "../../../lib/journal.h"
#include "../../../lib/reader.h"
#include "../../log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHARE 2048 /* records a turn, where the filters leave most out */

struct feed {
	struct reader *reader;
	struct subscription *sub;
	struct filter *filter;     /* the subscription's; NULL: none */
	uint64_t gaps, gone, torn; /* reader_damage() that was dealt with */
	char gap[JOURNAL_ID];      /* to be told before the first event; "": none */
	/* The first position may lie inside a record that is just being written (the journal's
	 * end), or come from the client: what the reader finds damaged there is no damage. */
	bool fresh;
};

static struct feed *feed_new(struct server *s, uint64_t pos, struct buf *error)
{
	char *why = NULL;

	struct feed *f = calloc(1, sizeof *f);
	if (f)
		f->reader = reader_open(s->sink->journal, pos, &why);
	if (!f || !f->reader) {
		buf_addf(error, "notifyd can't read its journal now: %s; come again later",
		         why ? why : "memory is short");
		free(why);
		free(f);
		return NULL;
	}
	f->fresh = true;
	return f;
}

struct feed *feed_live(struct server *s, struct buf *error)
{
	return feed_new(s, journal_end(s->journalfd), error);
}

struct feed *feed_subscribe(struct server *s, struct request *req, struct buf *error)
{
	struct filter *filter = NULL;
	struct feed *f = NULL;
	struct subscription *sub = NULL;
	char gap[JOURNAL_ID], *why = NULL;

	/* the filter first: a request that is refused makes no subscription */
	const char *groups = buf_cstr(&req->groups), *events = buf_cstr(&req->events),
		   *users = buf_cstr(&req->users);
	if (!req->groups.failed && !req->events.failed && !req->users.failed)
		filter = filter_new(groups, events, users, NULL, NULL, &why);
	if (!filter) {
		buf_addf(error, "subscribe: %s", why ? why : "memory is short; come again later");
		free(why);
		return NULL;
	}
	if (subscription_open(s, req, &sub, gap, error) < 0)
		goto fail;
	f = feed_new(s, subscription_pos(sub), error);
	if (!f)
		goto fail;
	f->fresh = subscription_made(sub) || req->from == FROM_ID;
	f->sub = sub;
	f->filter = filter;
	memcpy(f->gap, gap, sizeof gap);
	return f;

fail:
	subscription_close(s, &sub);
	filter_free(&filter);
	return NULL;
}

void feed_close(struct server *s, struct feed **f)
{
	if (!*f)
		return;
	subscription_close(s, &(*f)->sub);
	filter_free(&(*f)->filter);
	reader_close(&(*f)->reader);
	free(*f);
	*f = NULL;
}

struct subscription *feed_subscription(struct feed *f)
{
	return f->sub;
}

uint64_t feed_pos(const struct feed *f)
{
	return reader_pos(f->reader);
}

void feed_rest(struct feed *f)
{
	reader_rest(f->reader);
}

/* One log line a place, however many clients come by it. */
static void log_damage(struct server *s, const struct reader_damage *d, bool gap)
{
	if (d->at < s->damage)
		return;
	s->damage = d->at + 1;
	log_incident(LOG_LEVEL_WARNING, s->sink->name, d->at,
	             gap ? "%llu bytes of the journal were gone before they were read"
	                 : "%llu bytes of the journal are damaged and were passed over",
	             (unsigned long long)d->len);
}

static void add_gap(struct server *s, const struct feed *f, uint64_t to, struct buf *out)
{
	char id[JOURNAL_ID];

	journal_id(id, s->sink->uuid, to);
	buf_adds(out, "{\"gap\":{\"from\":\"");
	buf_adds(out, f->gap);
	buf_adds(out, "\",\"to\":\"");
	buf_adds(out, id);
	buf_adds(out, "\"}}\n");
}

/* Looks at what the reader passed over on its way to `to`. */
static void check_damage(struct server *s, struct feed *f, uint64_t to, struct buf *out)
{
	const struct reader_damage *d = reader_damage(f->reader);

	if (d->gap != f->gaps) {
		log_damage(s, d, true);
		/* A new one may ask for what has long been deleted. */
		if (f->sub && !(f->fresh && subscription_made(f->sub)))
			subscription_gone(s, f->sub, d->gap_at, to, d->gone - f->gone);
		if (!f->gap[0])
			journal_id(f->gap, s->sink->uuid, d->at);
	} else if (d->torn != f->torn && !f->fresh) {
		log_damage(s, d, false);
	}
	f->gaps = d->gap;
	f->gone = d->gone;
	f->torn = d->torn;
	if (f->gap[0] && f->sub)
		add_gap(s, f, to, out);
	f->gap[0] = '\0';
}

static void add_event(struct server *s, const struct feed *f, const struct record *rec,
                      struct buf *out)
{
	if (f->sub) {
		char id[JOURNAL_ID];
		journal_id(id, s->sink->uuid, rec->pos);
		buf_adds(out, "{\"id\":\"");
		buf_adds(out, id);
		buf_adds(out, "\",\"event\":");
		buf_add(out, rec->json.s, rec->json.len);
		buf_add(out, "}\n", 2);
	} else {
		buf_add(out, rec->json.s, rec->json.len);
		buf_addc(out, '\n');
	}
}

const char *feed_why(const struct feed *f)
{
	return reader_why(f->reader);
}

enum feed_result feed_fill(struct server *s, struct feed *f, struct buf *out)
{
	struct record rec;

	for (unsigned n = 0; n < SHARE && out->len < FEED_GATHER && !out->failed; n++) {
		if (f->sub && subscription_full(s, f->sub))
			return FEED_FULL;
		int rc = reader_next(f->reader, &rec);
		const struct reader_damage *d = reader_damage(f->reader);
		if (d->gap != f->gaps || d->torn != f->torn || f->gap[0])
			check_damage(s, f, rc > 0 ? rec.pos : reader_pos(f->reader), out);
		if (rc < 0)
			return FEED_FAILED;
		if (rc == 0)
			return FEED_END;
		f->fresh = false;
		if (!filter_match(s->filter, &rec) || (f->filter && !filter_match(f->filter, &rec)))
			continue;
		if (f->sub && subscription_sent(f->sub, rec.pos) < 0) {
			out->failed = true;
			break;
		}
		add_event(s, f, headers_add(s->headers, &rec), out);
		s->delivered++;
	}
	return FEED_MORE;
}
