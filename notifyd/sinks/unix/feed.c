/* SPDX-License-Identifier: BSD-3-Clause */
#include "feed.h"

#include "../../../lib/journal.h"
#include "../../log.h"

#include <stdlib.h>
#include <string.h>

struct feed {
	uint64_t pos; /* all before it was offered */
	struct subscription *sub;
	struct selector *selector; /* the subscription's; NULL: none */
	char gap[JOURNAL_ID];      /* to be told before the first event; "": none */
	/* The first position may lie inside a record that is just being written (the journal's
	 * end), or come from the client: what the reader finds damaged there is no damage. */
	bool fresh;
};

static struct feed *feed_new(uint64_t pos, struct buf *error)
{
	struct feed *f = calloc(1, sizeof *f);
	if (!f) {
		buf_adds(error, "request: memory is short; come again later");
		return NULL;
	}
	f->pos = pos;
	f->fresh = true;
	return f;
}

struct feed *feed_live(struct server *s, struct buf *error)
{
	return feed_new(journal_end(s->journalfd), error);
}

struct feed *feed_subscribe(struct server *s, struct request *req, struct buf *error)
{
	struct feed *f = NULL;
	struct subscription *sub = NULL;
	char gap[JOURNAL_ID];

	/* the filter first: a request that is refused makes no subscription */
	struct selector *selector = selector_get(&s->selectors, req, error);
	if (!selector)
		return NULL;
	if (subscription_open(s, req, &sub, gap, error) < 0)
		goto fail;
	f = feed_new(subscription_pos(sub), error);
	if (!f)
		goto fail;
	f->fresh = subscription_made(sub) || req->from == FROM_ID;
	f->sub = sub;
	f->selector = selector;
	memcpy(f->gap, gap, sizeof gap);
	return f;

fail:
	subscription_close(s, &sub);
	selector_put(&s->selectors, &selector);
	return NULL;
}

void feed_close(struct server *s, struct feed **f)
{
	if (!*f)
		return;
	subscription_close(s, &(*f)->sub);
	selector_put(&s->selectors, &(*f)->selector);
	free(*f);
	*f = NULL;
}

struct subscription *feed_subscription(struct feed *f)
{
	return f->sub;
}

uint64_t feed_pos(const struct feed *f)
{
	return f->pos;
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

/* Deals with what was passed over on the way to `to`. */
static void pass(struct server *s, struct feed *f, const struct reader_damage *d, uint64_t to)
{
	if (d->gap) {
		log_damage(s, d, true);
		/* A new one may ask for what has long been deleted. */
		if (f->sub && !(f->fresh && subscription_made(f->sub)))
			subscription_gone(s, f->sub, d->gap_at, to, d->gone);
		if (!f->gap[0])
			journal_id(f->gap, s->sink->uuid, d->at);
	} else if (d->torn && !f->fresh) {
		log_damage(s, d, false);
	}
}

static void add(struct lines *out, const char *s, size_t len)
{
	struct iovec *last = out->n ? &out->piece[out->n - 1] : NULL;

	if (last && (const char *)last->iov_base + last->iov_len == s)
		last->iov_len += len;
	else
		out->piece[out->n++] = (struct iovec){(void *)(uintptr_t)s, len};
	out->len += len;
}

static void tell_gap(struct server *s, struct feed *f, uint64_t to, struct lines *out)
{
	char id[JOURNAL_ID];

	if (f->gap[0] && f->sub) {
		journal_id(id, s->sink->uuid, to);
		buf_addf(&out->said, "{\"gap\":{\"from\":\"%s\",\"to\":\"%s\"}}\n", f->gap, id);
		out->failed |= out->said.failed;
		add(out, out->said.s, out->said.len);
	}
	f->gap[0] = '\0';
}

static void add_event(const struct feed *f, const struct block_line *line, struct lines *out)
{
	if (f->sub) {
		add(out, line->s, line->len);
	} else {
		add(out, line->s + BLOCK_BEFORE, line->len - BLOCK_BEFORE - BLOCK_AFTER);
		add(out, "\n", 1);
	}
}

static bool lines_full(const struct lines *out)
{
	return out->len >= FEED_GATHER || out->n + 2 > LINES_PIECES;
}

enum feed_result feed_fill(struct server *s, struct feed *f, struct lines *out)
{
	const struct block *b;

	if (f->sub && subscription_full(s, f->sub))
		return FEED_FULL;
	int rc = blocks_get(s->blocks, f->pos, &b);
	if (rc < 0)
		return FEED_FAILED;
	if (rc == 0) {
		tell_gap(s, f, f->pos, out);
		return FEED_END;
	}
	if (f->pos == b->from) {
		pass(s, f, &b->passed, b->clear);
		f->pos = b->clear;
	}
	tell_gap(s, f, f->pos, out);
	if (b->to > b->clear)
		f->fresh = false; /* something was read */
	for (size_t i = block_at(b, f->pos); !out->failed; i++) {
		i = selector_next(f->selector, b, i);
		if (i >= b->n) {
			f->pos = b->to;
			break;
		}
		f->pos = b->lines[i].pos;
		if (lines_full(out))
			break;
		if (f->sub && subscription_full(s, f->sub))
			return FEED_FULL;
		if (f->sub && subscription_sent(f->sub, f->pos) < 0) {
			out->failed = true;
			break;
		}
		add_event(f, &b->lines[i], out);
		s->delivered++;
	}
	return FEED_MORE;
}
