/* SPDX-License-Identifier: BSD-3-Clause */
/* notifyd's own sink for processes that still have the hook of the version before (lib/follows.h):
 * what they append goes on into this version's part of the journal, once, in their order. Nobody
 * can name it as a type. What it confirms is on the disk. */
#include "../../../lib/cursor.h"
#include "../../../lib/journal.h"
#include "../../../lib/journalconf.h"
#include "../../../lib/reader.h"
#include "../../keeper.h"
#include "../../sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SYNC_MS 200 /* events of so long are put on the disk together */

struct state {
	int journalfd;
	struct journal *journal;
	struct cursor *mark; /* SINK_OLDER_MARK */
	struct keeper_synced synced;
	uint64_t done; /* all below was taken over by a process that did not come to confirm it */
	uint64_t next; /* of the last record taken */
	size_t unsettled; /* records taken since the last sync */
	int64_t since;    /* when the first of them was */
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool equal(struct str a, struct str b)
{
	return a.len == b.len && (!a.len || memcmp(a.s, b.s, a.len) == 0);
}

/* Its time was kept, so an event that merely reads the same is another. */
static bool same(const struct record *a, const struct record *b)
{
	return a->time == b->time && a->flags == b->flags && equal(a->event, b->event) &&
	       equal(a->user, b->user) && equal(a->owner, b->owner) &&
	       equal(a->mailbox, b->mailbox) && equal(a->json, b->json);
}

/* Finds what was taken over since the mark, in its order among what others appended. */
static int find_done(struct state *s, const char *dir, char **why_r)
{
	const struct cursor_state *mark = cursor_get(s->mark);
	struct reader *from = reader_open_older(dir, mark->delivered, why_r);
	struct reader *to = from ? reader_open(dir, mark->pos, why_r) : NULL;
	struct record due, is;
	int r = to ? 0 : -1;
	s->done = mark->delivered; /* all before it was confirmed */
	while (r == 0 && (r = reader_next(from, &due)) == 1) {
		while ((r = reader_next(to, &is)) == 1 && !same(&due, &is))
			;
		if (r <= 0)
			break;
		s->done = due.next;
		r = 0;
	}
	reader_close(&from);
	reader_close(&to);
	return r < 0 ? -1 : 0;
}

static void older_close(struct sink *sink)
{
	struct state *s = sink->state;
	sink->state = NULL;
	if (!s)
		return;
	journal_close(&s->journal);
	cursor_close(&s->mark);
	if (s->journalfd >= 0)
		close(s->journalfd);
	free(s);
}

static int older_open(struct sink *sink)
{
	struct state *s = sink->state = calloc(1, sizeof *s);
	const char *what = "out of memory";
	char *why = NULL;
	bool made = false;

	if (!s)
		return sink_why(sink, SINK_RETRY, "%s", what);
	s->journalfd = open(sink->journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = s->journalfd < 0
	            ? -1
	            : cursor_open(&s->mark, s->journalfd, SINK_OLDER_MARK, 0, &made, &why);
	if (r == 0)
		r = journal_open_conf(sink->conf.conf, NULL, &s->journal, &what);
	if (r == 0 && cursor_get(s->mark)->delivered)
		r = find_done(s, sink->journal, &why);
	if (r < 0)
		sink_why(sink, SINK_RETRY, "%s", why ? why : what);
	free(why);
	snprintf(sink->note, sizeof sink->note, "taking over from processes with the older hook");
	return r < 0 ? SINK_RETRY : SINK_OK;
}

static int older_send(struct sink *sink, const struct record *rec)
{
	struct state *s = sink->state;
	const char *why;
	if (rec->pos >= s->done) {
		/* The first since the last sync: all before is confirmed, or about to be. */
		if (!s->unsettled && cursor_set(s->mark, journal_end(s->journalfd), rec->pos) < 0)
			return sink_why(sink, SINK_RETRY,
			                "cannot write cursors/" SINK_OLDER_MARK ": %s",
			                strerror(errno));
		/* What came before it is synced and confirmed first. */
		if (journal_offer(s->journal, rec, NULL, &why) < 0)
			return s->unsettled ? SINK_FULL : sink_why(sink, SINK_RETRY, "%s", why);
	}
	s->next = rec->next;
	if (!s->unsettled++)
		s->since = now_ms();
	return SINK_OK;
}

static int older_flush(struct sink *sink, int wait_ms, uint64_t *confirmed_r, size_t *inflight_r)
{
	struct state *s = sink->state;
	int64_t left = s->since + SYNC_MS - now_ms();
	*inflight_r = s->unsettled;
	if (!s->unsettled) {
		/* By now the cursor is where the last call said. */
		if (cursor_get(s->mark)->delivered)
			cursor_set(s->mark, 0, 0);
		return SINK_OK;
	}
	if (left > 0) {
		if (wait_ms > 0)
			poll(NULL, 0, wait_ms < left ? wait_ms : (int)left);
		return SINK_OK;
	}
	if (keeper_sync(s->journalfd, &s->synced) < 0)
		return sink_why(sink, SINK_RETRY, "the journal can't be synced to the disk: %s",
		                strerror(errno));
	*confirmed_r = s->next;
	*inflight_r = s->unsettled = 0;
	return SINK_OK;
}

static const struct conf_option options[] = {{.name = NULL}};

const struct sink_driver sink_older = {
    .name = SINK_OLDER,
    .help = "takes over what processes with the older hook append",
    .options = options,
    .older = true,
    .open = older_open,
    .send = older_send,
    .flush = older_flush,
    .close = older_close,
};
