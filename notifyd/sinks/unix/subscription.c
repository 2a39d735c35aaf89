/* SPDX-License-Identifier: BSD-3-Clause */
#include "subscription.h"

#include "../../../lib/cursor.h"
#include "../../../lib/journal.h"
#include "../../../lib/reader.h"
#include "../../gone.h"
#include "../../log.h"
#include "../../move.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct subscription {
	struct cursor *cursor;
	uint64_t delivered; /* by the cursor, in all */
	uint64_t first;     /* the first position sent on this connection; UINT64_MAX: none */
	uint64_t acked;     /* all below is done; the cursor follows in subscription_store() */
	/* Positions sent and not acknowledged, ascending: ring[(head + i) % cap]. What lies
	 * between two of them the filters left out, so an ack moves to the next one. */
	uint64_t *ring;
	size_t head, count, cap;
	bool made;
	bool failing; /* the last write of the cursor failed, and that was logged */
	char name[REQUEST_NAME + 1];
};

static void cursor_name(const struct server *s, const char *name, char path_r[NAME_MAX])
{
	snprintf(path_r, NAME_MAX, "%s@%s", s->sink->name, name);
}

/* Positions are the same in a journal and in one it is a copy of. */
static bool ours(const struct server *s, const unsigned char uuid[16])
{
	static const unsigned char none[16];

	return memcmp(uuid, s->sink->uuid, 16) == 0 ||
	       (memcmp(uuid, s->former, 16) == 0 && memcmp(uuid, none, 16) != 0);
}

static void move(struct server *s, struct subscription *sub, uint64_t pos)
{
	sub->acked = pos;
	subscription_store(s, sub);
}

/* notifyctl replay or skip, where that was asked for. */
static void carry_out(struct server *s, struct subscription *sub)
{
	char path[NAME_MAX], *why;

	cursor_name(s, sub->name, path);
	int moved = move_carry_out(s->journalfd, path, sub->cursor, &why);
	if (moved)
		log_incident(moved < 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, s->sink->name,
		             cursor_get(sub->cursor)->pos, "subscription %s: %s", sub->name,
		             moved > 0 ? "moved by notifyctl"
		             : why     ? why
		                       : "not moved: memory is short");
	free(why);
}

/* Where it begins when it is new, or is to go on. */
static uint64_t first(const struct server *s, const struct request *req)
{
	uint64_t end = journal_end(s->journalfd), start = end;

	if (req->from == FROM_OLDEST || (req->from == FROM_ID && !ours(s, req->uuid)))
		start = reader_oldest(s->journalfd);
	else if (req->from == FROM_ID && req->pos < end)
		start = req->pos; /* past the end: a power cut took what was there */
	return start ? start : reader_beginning(s->journalfd);
}

int subscription_open(struct server *s, const struct request *req, struct subscription **sub_r,
                      char *gap_r, struct buf *error)
{
	char path[NAME_MAX], *why = NULL;
	struct cursor_state was;
	bool made;

	*gap_r = '\0';
	struct subscription *sub = calloc(1, sizeof *sub);
	if (!sub) {
		buf_adds(error, "subscribe: memory is short; come again later");
		return -1;
	}
	memcpy(sub->name, req->name, sizeof sub->name);
	cursor_name(s, req->name, path);

	bool known = cursor_peek(s->journalfd, path, &was) == 0;
	uint64_t start = first(s, req);
	if (req->from == FROM_ID && !ours(s, req->uuid))
		journal_id(gap_r, req->uuid, req->pos);
	if (cursor_open(&sub->cursor, s->journalfd, path, start, &made, &why) < 0) {
		if (errno == EAGAIN)
			buf_addf(error, "subscribe: %s is in use by another client", sub->name);
		else
			buf_addf(error, "subscribe: %s: no cursor: %s", sub->name,
			         why ? why : "memory is short");
		free(why);
		free(sub);
		return -1;
	}
	carry_out(s, sub);
	const struct cursor_state *at = cursor_get(sub->cursor);
	sub->made = made;
	sub->first = UINT64_MAX;
	sub->acked = at->pos;
	sub->delivered = at->delivered;
	if (made && why) {
		/* there was one, but where it stood is not known or means nothing here: lose
		 * nothing, whatever the client would have a new one do */
		log_incident(LOG_LEVEL_WARNING, s->sink->name, at->pos,
		             "subscription %s: %s, at the oldest event", sub->name, why);
		if (req->from != FROM_ID) {
			if (known)
				journal_id(gap_r, was.uuid, was.pos);
			move(s, sub, reader_oldest(s->journalfd));
		}
		sub->made = false;
	} else if (made) {
		log_incident(LOG_LEVEL_INFO, s->sink->name, at->pos, "subscription %s made",
		             sub->name);
		s->changed = true;
	} else if (req->from == FROM_ID) {
		move(s, sub, start);
	} else {
		subscription_touch(sub);
	}
	free(why);
	*sub_r = sub;
	return 0;
}

void subscription_close(struct server *s, struct subscription **sub)
{
	if (!*sub)
		return;
	subscription_store(s, *sub);
	carry_out(s, *sub);
	subscription_touch(*sub); /* it expires that long after its client left */
	cursor_close(&(*sub)->cursor);
	free((*sub)->ring);
	free(*sub);
	*sub = NULL;
}

void subscription_gone(const struct server *s, const struct subscription *sub, uint64_t from,
                       uint64_t to, uint64_t bytes)
{
	char path[NAME_MAX];

	cursor_name(s, sub->name, path);
	gone_add(s->journalfd, path, from, to, bytes);
}

bool subscription_moves(const struct server *s, const struct subscription *sub)
{
	char path[NAME_MAX];

	cursor_name(s, sub->name, path);
	return move_asked(s->journalfd, path);
}

const char *subscription_name(const struct subscription *sub)
{
	return sub->name;
}

uint64_t subscription_pos(const struct subscription *sub)
{
	return sub->acked;
}

bool subscription_made(const struct subscription *sub)
{
	return sub->made;
}

bool subscription_full(const struct server *s, const struct subscription *sub)
{
	return sub->count >= s->unacked;
}

static uint64_t sent_at(const struct subscription *sub, size_t i)
{
	return sub->ring[(sub->head + i) & (sub->cap - 1)];
}

int subscription_sent(struct subscription *sub, uint64_t pos)
{
	if (sub->count == sub->cap) {
		size_t cap = sub->cap ? sub->cap * 2 : 64; /* a power of two */
		uint64_t *ring = malloc(cap * sizeof *ring);
		if (!ring)
			return -1;
		for (size_t i = 0; i < sub->count; i++)
			ring[i] = sent_at(sub, i);
		free(sub->ring);
		sub->ring = ring;
		sub->cap = cap;
		sub->head = 0;
	}
	sub->ring[(sub->head + sub->count++) & (sub->cap - 1)] = pos;
	if (sub->first == UINT64_MAX)
		sub->first = pos;
	return 0;
}

int subscription_ack(const struct server *s, struct subscription *sub, const struct request *req,
                     uint64_t read_pos, struct buf *error)
{
	size_t low = 0, high = sub->count;

	/* How many were sent up to this id. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (sent_at(sub, mid) <= req->pos)
			low = mid + 1;
		else
			high = mid;
	}
	bool mine = memcmp(req->uuid, s->sink->uuid, 16) == 0;
	if (mine && low && sent_at(sub, low - 1) == req->pos) {
		sub->head = (sub->head + low) & (sub->cap - 1);
		sub->count -= low;
		sub->delivered += low;
		sub->acked = sub->count ? sent_at(sub, 0) : read_pos;
		return 0;
	}
	/* acknowledged before, again */
	if (mine && !low && req->pos >= sub->first && req->pos < sub->acked)
		return 0;
	char id[JOURNAL_ID];
	journal_id(id, req->uuid, req->pos);
	buf_addf(error,
	         "ack: %s was not sent on this connection; send the \"id\" of a line that "
	         "you received on it",
	         id);
	return -1;
}

void subscription_store(struct server *s, struct subscription *sub)
{
	const struct cursor_state *at = cursor_get(sub->cursor);

	if (at->pos == sub->acked && at->delivered == sub->delivered && !sub->failing)
		return;
	bool failed = cursor_set(sub->cursor, sub->acked, sub->delivered) < 0;
	if (failed && !sub->failing)
		log_incident(LOG_LEVEL_ERROR, s->sink->name, sub->acked,
		             "subscription %s: can't write its cursor: %s; after a restart it goes "
		             "on where the cursor is",
		             sub->name, strerror(errno));
	sub->failing = failed;
}

void subscription_settle(struct server *s, struct subscription *sub, uint64_t read_pos)
{
	if (!sub->count)
		sub->acked = read_pos;
	subscription_store(s, sub);
}

void subscription_touch(struct subscription *sub)
{
	const struct cursor_state *at = cursor_get(sub->cursor);
	cursor_set(sub->cursor, at->pos, at->delivered);
}

int subscription_remove(struct server *s, const char *name, struct buf *error)
{
	char path[NAME_MAX], *why = NULL;
	struct cursor_state was;
	struct cursor *cursor;
	bool made;

	cursor_name(s, name, path);
	if (cursor_peek(s->journalfd, path, &was) < 0 && errno == ENOENT) {
		buf_addf(error, "unsubscribe: there is no subscription %s", name);
		return -1;
	}
	/* held while it is removed, so that nobody else is using it */
	if (cursor_open(&cursor, s->journalfd, path, 0, &made, &why) < 0) {
		if (errno == EAGAIN)
			buf_addf(error,
			         "unsubscribe: %s is in use by another client; it can send "
			         "this itself",
			         name);
		else
			buf_addf(error, "unsubscribe: %s: %s", name, why ? why : "memory is short");
		free(why);
		return -1;
	}
	free(why);
	int rc = cursor_remove(s->journalfd, path);
	gone_remove(s->journalfd, path);
	if (rc < 0)
		buf_addf(error, "unsubscribe: %s: %s", name, strerror(errno));
	else
		log_incident(LOG_LEVEL_INFO, s->sink->name, cursor_get(cursor)->pos,
		             "subscription %s removed by its client", name);
	cursor_close(&cursor);
	s->changed = true;
	return rc;
}

/* --- over all of a sink's --- */

struct census {
	struct server *s;
	size_t len; /* of "<sink>@" */
	size_t count;
	int64_t before; /* microseconds since 1970; INT64_MIN: only count */
};

static void visit(void *ctx, const char *name)
{
	struct census *census = ctx;
	struct server *s = census->s;
	const char *sink = s->sink->name;
	struct cursor_state was = {0};
	char *why = NULL;
	struct cursor *cursor;
	bool made;

	if (strncmp(name, sink, census->len - 1) != 0 || name[census->len - 1] != '@')
		return;
	census->count++;
	if (census->before == INT64_MIN)
		return;
	/* Empty: a process was killed as it made it. Whoever makes one holds its lock. */
	bool never = cursor_peek(s->journalfd, name, &was) < 0;
	if ((never && errno != ENODATA) || (!never && was.time >= census->before))
		return;
	if (cursor_open(&cursor, s->journalfd, name, was.pos, &made, &why) < 0) {
		free(why); /* open: that is what keeps it */
		return;
	}
	free(why);
	if (cursor_remove(s->journalfd, name) == 0) {
		gone_remove(s->journalfd, name);
		census->count--;
		s->changed = true;
		log_incident(LOG_LEVEL_WARNING, sink, was.pos,
		             "subscription %s expired: nobody opened it since %lld (seconds since "
		             "1970)",
		             name + census->len, (long long)(was.time / 1000000));
	}
	cursor_close(&cursor);
}

void subscription_expire(struct server *s, int64_t after)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	struct census census = {
	    .s = s,
	    .len = strlen(s->sink->name) + 1,
	    .before = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 - after * 1000,
	};
	cursor_each(s->journalfd, visit, &census);
}

size_t subscription_count(const struct server *s)
{
	struct census census = {
	    .s = (struct server *)s,
	    .len = strlen(s->sink->name) + 1,
	    .before = INT64_MIN,
	};
	cursor_each(s->journalfd, visit, &census);
	return census.count;
}
