/* SPDX-License-Identifier: BSD-3-Clause */
#include "retry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	WINDOW = 4096, /* sent and not confirmed; a power of two */
	BATCH = 512,   /* between two flushes */
	FLUSH_MS = 1000,
	DRAIN_MS = 5000, /* for confirmations, once it is to stop */
};

struct session {
	struct retry *r;
	struct letter flight[WINDOW]; /* letter n at n % WINDOW; nothing borrowed is looked at */
	uint64_t low, end;
	uint64_t file; /* where the last one lay that was settled */
	uint64_t pos;  /* of the last one sent, while it is */
	bool open;     /* the driver */
	bool touched;
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct letter *lowest(struct session *s)
{
	return &s->flight[s->low % WINDOW];
}

static int broken(struct session *s)
{
	return sink_why(s->r->sink, SINK_RETRY, "cannot write dead letters: %s",
	                letter_error(errno));
}

/* A letter is done with; why: NULL when it was delivered. */
static int settle(struct session *s, const struct letter *l, const char *why)
{
	struct retry *r = s->r;
	if ((why ? dead_failed(r->dead, l, why) : dead_gone(r->dead, l)) < 0)
		return broken(s);
	if (s->touched && s->file != l->file && dead_sweep(r->dead, s->file) < 0)
		return broken(s);
	s->touched = true;
	s->file = l->file;
	r->from = l->serial + 1;
	if (why)
		r->failed++;
	else
		r->delivered++;
	return SINK_OK;
}

static void shut(struct session *s)
{
	s->r->sink->driver->close(s->r->sink);
	s->open = false;
}

static int flush(struct session *s, int wait_ms)
{
	struct sink *sink = s->r->sink;
	uint64_t confirmed = 0;
	size_t inflight = 0;
	uint64_t discarded = sink->discarded;
	int r = sink->driver->flush(sink, wait_ms, &confirmed, &inflight);
	discarded = sink->discarded - discarded; /* among those that follow */
	while (s->low < s->end &&
	       (lowest(s)->rec.next <= confirmed || (r == SINK_OK && !inflight))) {
		int e = settle(s, lowest(s), NULL);
		if (e < 0)
			return e;
		s->low++;
		if (discarded) {
			discarded--;
			s->r->delivered--;
			s->r->discarded++;
		}
	}
	if (r != SINK_DROP || s->low == s->end)
		return r == SINK_DROP ? SINK_OK : r;
	r = settle(s, lowest(s), sink->why);
	s->low += r == SINK_OK;
	return r;
}

/* Until all is confirmed. SINK_OK also when it is to stop. */
static int drain(struct session *s)
{
	int64_t end = 0;
	while (s->low < s->end) {
		int r = flush(s, FLUSH_MS);
		if (r < 0)
			return r;
		if (!s->r->serve(s->r->ctx, s->r) && !end)
			end = now_ms() + DRAIN_MS;
		if (end && now_ms() > end)
			break;
	}
	return SINK_OK;
}

/* For a letter of this uuid, behind the position of the last one. */
static int begin(struct session *s, const struct letter *l)
{
	struct sink *sink = s->r->sink;
	if (s->open && (memcmp(sink->uuid, l->uuid, sizeof l->uuid) != 0 || l->rec.pos <= s->pos)) {
		int r = drain(s);
		if (r < 0)
			return r;
		if (s->low < s->end)
			return SINK_OK; /* to stop */
		shut(s);
	}
	if (s->open)
		return SINK_OK;
	memcpy(sink->uuid, l->uuid, sizeof sink->uuid);
	int r = sink->driver->open(sink);
	if (r < 0)
		sink->driver->close(sink);
	s->open = r == SINK_OK;
	return r;
}

/* SINK_OK or SINK_RETRY. */
static int send(struct session *s, const struct letter *l)
{
	struct sink *sink = s->r->sink;
	int r;
	if (l->damaged)
		return (r = drain(s)) < 0 || s->low < s->end
		           ? r
		           : settle(s, l, "the dead letter is damaged on the disk");
	if ((r = begin(s, l)) < 0)
		return r;
	const struct record *out = headers_add(s->r->headers, &l->rec);
	for (;;) {
		if (!s->r->serve(s->r->ctx, s->r))
			return drain(s);
		r = s->end - s->low == WINDOW ? SINK_FULL : sink->driver->send(sink, out);
		if (r != SINK_FULL)
			break;
		if ((r = flush(s, FLUSH_MS)) < 0)
			return r;
	}
	if (r == SINK_OK) {
		s->flight[s->end++ % WINDOW] = *l;
		s->pos = l->rec.pos;
		return s->end % BATCH ? SINK_OK : flush(s, 0);
	}
	if (r != SINK_DROP)
		return r;
	/* Those before it first, for what is confirmed is told from the lowest on. */
	char why[LETTER_WHY];
	memcpy(why, sink->why, sizeof why);
	if ((r = drain(s)) < 0 || s->low < s->end)
		return r;
	return settle(s, l, why);
}

static int walk(struct session *s)
{
	struct retry *r = s->r;
	struct letter l;
	int got = 1, code = SINK_OK;
	struct letter_walk *w = letter_walk(dead_dir(r->dead), r->from, true);
	while (w && code == SINK_OK && r->serve(r->ctx, r) && (got = letter_walk_next(w, &l)) > 0)
		if (l.state == LETTER_ASKED)
			code = send(s, &l);
	if (!w || got < 0)
		code = sink_why(r->sink, SINK_RETRY, "cannot read dead letters: %s",
		                letter_error(errno));
	letter_walk_close(&w);
	return code == SINK_OK ? drain(s) : code;
}

int retry_run(struct retry *r)
{
	unsigned char uuid[16];
	struct session *s = calloc(1, sizeof *s);
	if (!s)
		return sink_why(r->sink, SINK_RETRY, "out of memory");
	s->r = r;
	memcpy(uuid, r->sink->uuid, sizeof uuid);
	int code = walk(s);
	if (s->open) /* what is not confirmed goes out again */
		shut(s);
	memcpy(r->sink->uuid, uuid, sizeof uuid);
	if (s->touched && dead_sweep(r->dead, s->file) < 0 && code == SINK_OK)
		code = broken(s);
	free(s);
	return code;
}
