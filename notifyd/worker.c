/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker.h"

#include "../lib/cursor.h"
#include "../lib/follows.h"
#include "../lib/identity.h"
#include "../lib/journal.h"
#include "../lib/reader.h"
#include "dead.h"
#include "filter.h"
#include "gone.h"
#include "headers.h"
#include "incident.h"
#include "link.h"
#include "log.h"
#include "move.h"
#include "retry.h"
#include "settings.h"
#include "status.h"
#include "when.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 512,        /* records between two flushes */
	SHARE = 1024,       /* records looked at between them, where the filters want few */
	LOOK_MS = 2,        /* while events flow */
	RESTLESS_MS = 1000, /* after the last event, before asking to be woken */
	IDLE_MS = 1000,     /* between two heartbeats of the driver while idle */
	DRAIN_MS = 5000,    /* for confirmations, after LINK_STOP */
	GONE_MS = 60000,    /* at most one line on what was deleted */
	BURIED_MS = 60000,  /* at most one line on dead letters */
	MOVE_MS = 500,      /* between two looks for a wish to move the cursor */
	GRACE_S = 5,        /* the supervisor's watchdog comes first: it says why */
};

struct worker {
	struct sink *sink;
	int link, journalfd;
	bool stopping, hup, look;
	bool move;         /* the cursor is to be moved, as soon as nothing is in flight */
	bool retry;        /* dead letters are to be sent again, */
	int64_t retry_at;  /* not before this */
	bool ready;        /* LINK_READY was sent */
	int64_t beat;      /* when LINK_ALIVE was last sent */
	int64_t move_look; /* when either was last looked for */

	struct reader *reader;
	struct cursor *cursor;
	struct filter *filter;
	struct headers *headers; /* NULL: the sink does not want them */
	struct status *status;
	struct record rec;        /* read and wanted, but not taken by the driver yet */
	const struct record *out; /* the same, with headers where the sink wants them */
	bool pending;
	uint64_t sent, base, dropped; /* delivered = base + sent - in flight */
	size_t inflight;
	struct reader_damage damage;
	uint64_t gone; /* bytes deleted before they were read, and that was not told yet */
	int64_t gone_told;

	struct incident incident;
	bool unwritten;    /* the last write of the cursor failed, and that was told */
	unsigned patience; /* seconds of silence, after which the kernel ends this process */
	char buried[256];  /* reason of the last dead letter that was told */
	int64_t buried_told;
	struct dead *dead;          /* NULL: there was never a need */
	struct reader *sent_reader; /* of records in flight that became dead letters; NULL: none */
	uint64_t behind;            /* the last one's next; 0: none since the driver was opened */
	uint64_t retry_from;        /* the dead letter to go on with */
	unsigned unsettled;         /* dead letters that the cursor may not pass yet */
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void say(struct worker *w, char byte)
{
	/* A full socket means that the supervisor hangs, not that nobody is there. */
	if (write(w->link, &byte, 1) < 0 && errno != EAGAIN && errno != EINTR)
		w->stopping = true;
}

int worker_link(const struct worker *w)
{
	return w->link;
}

bool worker_stopping(const struct worker *w)
{
	return w->stopping;
}

bool worker_hup(struct worker *w)
{
	bool hup = w->hup;
	w->hup = false;
	return hup;
}

void worker_ready(struct worker *w)
{
	if (!w->ready)
		say(w, LINK_READY);
	w->ready = true;
}

void worker_idle(struct worker *w)
{
	say(w, LINK_IDLE);
}

bool worker_serve(struct worker *w)
{
	char bytes[64];
	ssize_t n;
	int64_t now = now_ms();
	if (now - w->beat >= LINK_BEAT_MS) {
		say(w, LINK_ALIVE);
		w->beat = now;
		/* One that hangs must not hold its cursor for ever where no supervisor kills it:
		 * that may be gone, or may have given this sink to another process. */
		alarm(w->patience);
	}
	while ((n = read(w->link, bytes, sizeof bytes)) > 0)
		for (ssize_t i = 0; i < n; i++) {
			w->stopping |= bytes[i] == LINK_STOP;
			w->hup |= bytes[i] == LINK_REOPEN;
			w->look |= bytes[i] == LINK_LOOK;
		}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		w->stopping = true;
	bool look = w->look;
	w->look = false;
	return look;
}

/* Waits for the supervisor's word, at most ms. True: look at the journal. */
static bool wait_link(struct worker *w, int ms)
{
	struct pollfd p = {.fd = w->link, .events = POLLIN};
	poll(&p, 1, ms);
	int64_t now = now_ms();
	if (w->cursor && now - w->move_look >= MOVE_MS) {
		w->move = move_asked(w->journalfd, w->sink->name);
		if (dead_asked(w->journalfd, w->sink->name)) {
			dead_heard(w->journalfd, w->sink->name);
			w->retry = true;
			w->retry_at = 0;
			w->retry_from = 0;
		}
		w->move_look = now;
	}
	return worker_serve(w);
}

/* The journal goes on at `to`. */
static void tell_gone(struct worker *w, uint64_t from, uint64_t to, uint64_t bytes)
{
	const struct cursor_state *at = cursor_get(w->cursor);
	w->gone += bytes;
	if (gone_add(w->journalfd, w->sink->name, from, to, bytes) < 0 || !w->gone_told ||
	    now_ms() - w->gone_told > GONE_MS) {
		bool required = conf_num(&w->sink->conf, "required");
		log_incident(
		    required ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, w->sink->name, from,
		    "%llu bytes of the journal were deleted before this sink had them%s; it "
		    "goes on at %016llx",
		    (unsigned long long)w->gone, required ? "" : " (required: no)",
		    (unsigned long long)to);
		w->gone = 0;
		w->gone_told = now_ms();
	}
	/* Else the next try to deliver what follows would come by it again. */
	if (!w->inflight && !w->unsettled && to > at->pos)
		cursor_set(w->cursor, to, at->delivered);
}

/* What the reader passed over on its way to `to`. */
static void tell_damage(struct worker *w, uint64_t to)
{
	const struct reader_damage *d = reader_damage(w->reader);
	if (d->torn != w->damage.torn)
		log_incident(LOG_LEVEL_WARNING, w->sink->name, d->at,
		             "%llu damaged bytes of the journal were passed over",
		             (unsigned long long)d->len);
	if (d->gap != w->damage.gap)
		tell_gone(w, d->gap_at, to, d->gone - w->damage.gone);
	w->damage = *d;
}

/* The next wanted record into w->rec, among the next *share. 1; 0: none yet, or the share is used
 * up; SINK_RETRY. */
static int next(struct worker *w, int *share)
{
	while (!w->pending && *share > 0) {
		int r = reader_next(w->reader, &w->rec);
		if (memcmp(reader_damage(w->reader), &w->damage, sizeof w->damage) != 0)
			tell_damage(w, r > 0 ? w->rec.pos : reader_pos(w->reader));
		if (r < 0)
			return sink_why(w->sink, SINK_RETRY, "cannot read the journal: %s",
			                reader_why(w->reader));
		if (r == 0)
			return 0;
		--*share;
		w->pending = filter_match(w->filter, &w->rec);
		if (w->pending)
			w->out = headers_add(w->headers, &w->rec);
	}
	return w->pending;
}

/* SINK_OK, or SINK_RETRY: the cursor stays before dead letters that a power cut could take. */
static int advance(struct worker *w, uint64_t confirmed)
{
	/* With nothing in flight all is done up to what waits, filtered records included. */
	uint64_t pos = w->inflight ? confirmed : w->pending ? w->rec.pos : reader_pos(w->reader);
	uint64_t delivered = w->base + w->sent - w->inflight;
	if (pos <= cursor_get(w->cursor)->pos)
		return SINK_OK;
	if (w->unsettled && dead_sync(w->dead) < 0)
		return sink_why(w->sink, SINK_RETRY, "cannot write dead letters: %s",
		                strerror(errno));
	w->unsettled = 0;
	bool failed = cursor_set(w->cursor, pos, delivered) < 0;
	if (failed && !w->unwritten)
		log_incident(LOG_LEVEL_ERROR, w->sink->name, pos,
		             "cannot write the cursor: %s; a restart delivers again from the last "
		             "one written",
		             strerror(errno));
	w->unwritten = failed;
	status_count(w->status, delivered - w->base, w->dropped, pos);
	return SINK_OK;
}

static void recovered(struct worker *w)
{
	incident_well(&w->incident, now_ms());
}

static void look_back(struct worker *w)
{
	int64_t seconds;
	if (incident_over(&w->incident, now_ms(), &seconds))
		log_incident(LOG_LEVEL_INFO, w->sink->name, cursor_get(w->cursor)->pos,
		             "delivering again after %lld s", (long long)seconds);
}

/* 0, or -1 with errno. */
static int open_dead(struct worker *w, bool make)
{
	bool asked;
	if (dead_open(&w->dead, w->journalfd, w->sink->name, make) < 0)
		return errno == ENOENT && !make ? 0 : -1;
	if (dead_begin(w->dead, w->sink->uuid, (uint64_t)conf_num(&w->sink->conf, "dead_letters"),
	               &asked) == 0) {
		w->retry |= asked;
		return 0;
	}
	int why = errno;
	dead_close(&w->dead);
	errno = why;
	return -1;
}

static int no_letter(struct worker *w)
{
	if (errno != EDQUOT)
		return sink_why(w->sink, SINK_RETRY, "cannot write dead letters: %s",
		                errno == EAGAIN ? "another process has locked them"
		                                : letter_error(errno));
	char why[128];
	snprintf(why, sizeof why, "%.100s", w->sink->why);
	return sink_why(w->sink, SINK_RETRY,
	                "its dead letters are full: see notifyctl dead-letters, or raise "
	                "notifyd_%s_dead_letters; the next one: %s",
	                w->sink->name, why);
}

/* SINK_OK or SINK_RETRY; to be followed by an advance(), sooner or later. */
static int letter(struct worker *w, const struct record *rec)
{
	if ((!w->dead && open_dead(w, true) < 0) || dead_letter(w->dead, rec, w->sink->why) < 0)
		return no_letter(w);
	w->unsettled++;
	w->dropped++;
	/* Thousands may fail, each with a size of its own in the reason. */
	int64_t since = now_ms() - w->buried_told;
	if (!w->buried[0] ||
	    since > (strcmp(w->buried, w->sink->why) != 0 ? BURIED_MS : INCIDENT_REMIND_MS)) {
		log_incident(LOG_LEVEL_ERROR, w->sink->name, rec->pos,
		             "dead letter (%llu since it was started): %s",
		             (unsigned long long)w->dropped, w->sink->why);
		snprintf(w->buried, sizeof w->buried, "%s", w->sink->why);
		w->buried_told = now_ms();
	}
	return SINK_OK;
}

/* The record at pos was in flight, and is a dead letter now. Those before it are settled, so the
 * cursor may follow; one by one that would sync each. SINK_OK or SINK_RETRY. */
static int bury_sent(struct worker *w, uint64_t pos)
{
	char *why = NULL;
	struct record rec;
	if (!w->sent_reader)
		w->sent_reader = reader_open(w->sink->journal, pos, &why);
	else
		reader_seek(w->sent_reader, pos);
	int found = w->sent_reader ? reader_next(w->sent_reader, &rec) : -1;

	/* What is damaged now was whole when it was sent. */
	int result = found == 1 && rec.pos == pos ? letter(w, &rec)
	                                          : sink_why(w->sink, SINK_RETRY,
	                                                     "cannot read the journal for a "
	                                                     "dead letter: %s",
	                                                     why ? why : "it is not there");
	if (result == SINK_OK) {
		w->sent--;
		w->behind = rec.next;
		recovered(w);
	} else {
		w->inflight++; /* still to be done: the cursor must not pass over it */
	}
	free(why);
	return result;
}

/* SINK_OK or SINK_RETRY. */
static int flush(struct worker *w, int wait_ms)
{
	uint64_t confirmed = 0;
	size_t before = w->inflight;
	uint64_t discarded = w->sink->discarded;
	int r = w->sink->driver->flush(w->sink, wait_ms, &confirmed, &w->inflight);
	w->sent -= w->sink->discarded - discarded;
	status_discarded(w->status, w->sink->discarded - discarded);
	if (r == SINK_DROP)
		return bury_sent(w, confirmed);
	if (confirmed || (before && !w->inflight))
		recovered(w);
	if ((r == SINK_OK || confirmed) && advance(w, confirmed) < 0)
		return SINK_RETRY;
	if (r == SINK_OK) {
		status_link(w->status, w->sink->blocked ? STATUS_BLOCKED : STATUS_CONNECTED);
		status_state(w->status, "%s", w->sink->note[0] ? w->sink->note : "connected");
		status_inflight(w->status, w->inflight);
	}
	return r;
}

/* Puts w->rec into dead letters and goes on behind it. SINK_OK or SINK_RETRY. */
static int bury(struct worker *w)
{
	if (letter(w, &w->rec) < 0)
		return SINK_RETRY;
	w->pending = false;
	return SINK_OK;
}

/* Whether nothing more is to be sent for now: the cursor is to be moved, or dead letters are due.
 */
static bool leave(const struct worker *w)
{
	return w->stopping || w->move || (w->retry && now_ms() >= w->retry_at);
}

/* Hands records to the driver. How many, or SINK_RETRY; *full_r: it takes no more;
 * *more_r: there may be more in the journal. */
static int feed(struct worker *w, bool *full_r, bool *more_r)
{
	int n = 0, share = SHARE;
	*full_r = false;
	*more_r = true;
	while (n < BATCH) {
		int r = next(w, &share);
		if (r == 0)
			*more_r = share == 0;
		if (r <= 0)
			return r < 0 ? r : n;
		r = w->sink->driver->send(w->sink, w->out);
		if (r == SINK_FULL) {
			*full_r = true;
			return n;
		}
		if (r == SINK_DROP) {
			/* Those before it are confirmed first, so that order and the cursor hold.
			 * Where that fails the driver will refuse it again. */
			char why[sizeof w->sink->why];
			memcpy(why, w->sink->why, sizeof why);
			while (w->inflight && !leave(w)) {
				wait_link(w, 0);
				int f = flush(w, IDLE_MS);
				if (f < 0)
					return f;
			}
			memcpy(w->sink->why, why, sizeof why);
			if (w->inflight)
				return n;
			if (bury(w) < 0)
				return SINK_RETRY;
			n++;
			continue;
		}
		if (r < 0)
			return r;
		/* A failure from here on must not come back to those before it. Many in a row are
		 * synced at once. */
		if (w->unsettled && advance(w, 0) < 0)
			return SINK_RETRY;
		w->pending = false;
		w->sent++;
		w->inflight++;
		n++;
	}
	return n;
}

/* From open to the first failure: SINK_RETRY; SINK_OK when there is something else to do. */
static int deliver(struct worker *w)
{
	int64_t last = now_ms();
	bool asleep = false;
	while (!leave(w)) {
		bool full, more, busy = w->sink->busy;
		look_back(w);
		int n = feed(w, &full, &more);
		if (n < 0)
			return n;
		bool end = !more && !full;
		/* With something on its way its confirmation is awaited, yet new events are looked
		 * for every LOOK_MS. */
		int r = flush(w, full ? IDLE_MS : end && (w->inflight || busy) ? LOOK_MS : 0);
		if (r < 0)
			return r;
		if (n > 0 || full || w->inflight || w->sink->busy) {
			last = now_ms();
			asleep = false;
			wait_link(w, 0);
		} else if (!end) {
			wait_link(w, 0);
		} else if (now_ms() - last < RESTLESS_MS) {
			wait_link(w, LOOK_MS);
		} else if (!asleep) {
			/* The driver holds its connection though there is nothing to confirm: the
			 * next failure is a new one. */
			recovered(w);
			/* The answer means that the watch stands: one more look, then sleep. */
			reader_rest(w->reader);
			status_flush(w->status);
			worker_idle(w);
			asleep = wait_link(w, IDLE_MS);
		} else if (wait_link(w, IDLE_MS)) {
			last = now_ms();
			asleep = false;
		}
		if (worker_hup(w) && w->sink->driver->reopen)
			w->sink->driver->reopen(w->sink);
	}
	for (int64_t end = now_ms() + DRAIN_MS; (w->inflight || w->sink->busy) && now_ms() < end;) {
		wait_link(w, 0); /* says that it lives */
		if (flush(w, LOOK_MS * 10) < 0)
			break;
	}
	return SINK_OK;
}

/* "retrying mq2:5672 in 8 s: connection refused". Who is meant stands in front of a reason too. */
static void tell_retry(struct worker *w, int ms)
{
	const char *next = w->sink->next, *why = w->sink->why;
	char when[24] = "";
	size_t len = strlen(next);

	if (len && !strncmp(why, next, len) && !strncmp(why + len, ": ", 2))
		why += len + 2;
	if (ms >= 1000)
		snprintf(when, sizeof when, " in %d s", ms / 1000);
	status_state(w->status, "retrying%s%s%s: %.80s", *next ? " " : "", next, when, why);
}

static void back_off(struct worker *w)
{
	struct sink *sink = w->sink;
	int64_t now = now_ms();
	if (incident_failed(&w->incident, sink->why, now))
		log_incident(LOG_LEVEL_WARNING, sink->name, cursor_get(w->cursor)->pos, "%s",
		             sink->why);
	status_link(w->status, STATUS_RETRYING);
	status_inflight(w->status, 0);
	status_error(w->status, sink->why);
	int ms = incident_wait(&w->incident, sink->slow);
	sink->slow = false;
	tell_retry(w, ms);
	/* Nor does it wait with dead letters that have just been asked for. */
	for (int64_t end = now + ms, left; !w->stopping && !w->move && !w->hup &&
	                                   !(w->retry && !w->retry_at) &&
	                                   (left = end - now_ms()) > 0;)
		wait_link(w, left < IDLE_MS ? (int)left : IDLE_MS);
	worker_hup(w);
}

/* notifyctl replay or skip. Nothing is in flight, so all there is to change is where to go on. */
static void move(struct worker *w)
{
	char *why;
	uint64_t from = cursor_get(w->cursor)->pos;
	int r = move_carry_out(w->journalfd, w->sink->name, w->cursor, &why);
	w->move = false;
	w->move_look = now_ms();
	if (r < 0)
		log_incident(LOG_LEVEL_ERROR, w->sink->name, from, "not moved: %s",
		             why ? why : "out of memory");
	free(why);
	if (r <= 0)
		return;
	uint64_t pos = cursor_get(w->cursor)->pos;
	log_incident(LOG_LEVEL_INFO, w->sink->name, pos, "moved %s from %016llx by notifyctl",
	             pos < from ? "back" : "on", (unsigned long long)from);
	reader_seek(w->reader, pos);
}

/* Says that it lives, between two steps of retry_run(). */
static bool goes_on(void *ctx, const struct retry *r)
{
	struct worker *w = ctx;
	if (r->delivered + r->discarded + r->failed > 0)
		recovered(w);
	look_back(w);
	/* Nor do those that come anew go out while these wait. */
	status_link(w->status, w->sink->blocked ? STATUS_BLOCKED
	                       : w->sink->state ? STATUS_CONNECTED
	                                        : STATUS_CONNECTING);
	status_state(w->status, "sending dead letters again%s%s", w->sink->note[0] ? ": " : "",
	             w->sink->note);
	wait_link(w, 0);
	return !w->stopping && !w->move;
}

/* notifyctl dead-letters retry. SINK_OK or SINK_RETRY. */
static int retry(struct worker *w)
{
	struct retry r = {.sink = w->sink,
	                  .headers = w->headers,
	                  .serve = goes_on,
	                  .ctx = w,
	                  .from = w->retry_from};
	if (!w->dead && open_dead(w, false) < 0) {
		w->retry_at = now_ms() + INCIDENT_WAIT_MAX; /* what comes anew does not wait */
		return sink_why(w->sink, SINK_RETRY, "cannot read dead letters: %s",
		                letter_error(errno));
	}
	w->retry = false; /* unless it is asked for once more */
	if (!w->dead)
		return SINK_OK;
	r.dead = w->dead;
	int code = retry_run(&r);
	w->sent += r.delivered;
	status_discarded(w->status, r.discarded);
	if (r.delivered + r.discarded + r.failed)
		log_incident(r.failed ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, w->sink->name,
		             LOG_NOPOS,
		             "dead letters sent again: %llu delivered, %llu discarded, %llu failed "
		             "once more",
		             (unsigned long long)r.delivered, (unsigned long long)r.discarded,
		             (unsigned long long)r.failed);
	if (code == SINK_OK && !w->stopping && !w->move)
		return SINK_OK;
	/* What comes anew is not kept waiting by them. */
	if (!w->retry) {
		w->retry_from = r.from;
		w->retry_at = code == SINK_OK ? 0 : now_ms() + INCIDENT_WAIT_MAX;
	}
	w->retry = true;
	return code;
}

static void serve(struct worker *w)
{
	struct sink *sink = w->sink;
	while (!w->stopping) {
		if (w->move)
			move(w);
		if (w->retry && now_ms() >= w->retry_at) {
			int r = retry(w);
			worker_ready(w);
			if (r < 0)
				back_off(w);
			if (w->move || w->stopping)
				continue;
		}
		status_state(w->status, *sink->next ? "connecting to %s" : "connecting",
		             sink->next);
		status_link(w->status, STATUS_CONNECTING);
		int r = sink->driver->open(sink);
		worker_ready(w);
		if (r == SINK_OK) {
			r = deliver(w);
		}
		sink->driver->close(sink);
		/* Or dead letters would come again. */
		if (advance(w, w->inflight ? w->behind : 0) < 0)
			r = SINK_RETRY;
		w->behind = 0;
		/* What was not confirmed goes out again, from the lowest on. */
		w->sent -= w->inflight;
		status_resent(w->status, w->inflight);
		w->inflight = 0;
		w->pending = false;
		w->unsettled = 0; /* those too: they may not be dead letters the next time */
		reader_seek(w->reader, cursor_get(w->cursor)->pos);
		if (w->move)
			continue;
		if (r < 0)
			back_off(w);
	}
	status_link(w->status, STATUS_STOPPED);
	status_inflight(w->status, 0);
	status_state(w->status, "stopped");
}

static uint64_t start_position(const struct sink *sink, int journalfd)
{
	struct timespec t;
	int64_t since;
	uint64_t pos;
	if (sink->driver->older) /* settled since notifyd began */
		return follows_at(journalfd, &pos) == 1 ? pos : 0;
	clock_gettime(CLOCK_REALTIME, &t);
	switch (when_parse(conf_str(&sink->conf, "from"),
	                   (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000, &since)) {
	case WHEN_OLDEST:
		pos = reader_oldest(journalfd);
		break;
	case WHEN_TIME:
		pos = reader_since(journalfd, since);
		break;
	default:
		pos = journal_end(journalfd);
	}
	return pos ? pos : reader_beginning(journalfd);
}

/* The one before may be dying still: it lets go of the cursor as it ends. */
static int open_cursor(struct worker *w, int journalfd)
{
	char *why;
	bool made;
	for (int tries = 0;; tries++) {
		int r = cursor_open(&w->cursor, journalfd, w->sink->name,
		                    start_position(w->sink, journalfd), &made, &why);
		bool in_use = r < 0 && errno == EAGAIN && tries < 50 && !w->stopping;
		/* A cursor that had to start anew is opened, and says why. */
		if (!in_use && (r < 0 || why))
			log_incident(LOG_LEVEL_ERROR, w->sink->name, LOG_NOPOS, "%s",
			             why ? why : "out of memory");
		free(why);
		if (!in_use)
			return r;
		wait_link(w, 200);
	}
}

static int run(struct worker *w, int journalfd)
{
	char *why = NULL;
	struct sink *sink = w->sink;
	if (sink->driver->run)
		return sink->driver->run(sink);
	w->filter = settings_filter(sink, &why);
	if (w->filter && open_cursor(w, journalfd) < 0)
		return EX_TEMPFAIL;
	if (w->filter)
		w->reader = (sink->driver->older ? reader_open_older : reader_open)(
		    sink->journal, cursor_get(w->cursor)->pos, &why);
	if (!w->reader) {
		log_incident(LOG_LEVEL_ERROR, sink->name, LOG_NOPOS, "%s",
		             why ? why : "out of memory");
		free(why);
		return EX_TEMPFAIL;
	}
	if (conf_num(&sink->conf, "headers"))
		w->headers = headers_new();
	w->base = cursor_get(w->cursor)->delivered;
	w->journalfd = journalfd;
	w->move = true; /* maybe, since it was left */
	if (gone_init(journalfd, sink->name) < 0)
		log_incident(LOG_LEVEL_WARNING, sink->name, LOG_NOPOS, "cannot make gone/%s: %s",
		             sink->name, strerror(errno));
	if (open_dead(w, false) < 0) /* whoever needs them says so again */
		log_incident(LOG_LEVEL_ERROR, sink->name, LOG_NOPOS, "cannot read dead letters: %s",
		             letter_error(errno));
	w->status = status_open(sink->journal, sink->name);
	status_base(w->status, w->base);
	serve(w);
	status_close(&w->status);
	dead_close(&w->dead);
	cursor_sync(w->cursor);
	cursor_close(&w->cursor);
	reader_close(&w->reader);
	reader_close(&w->sent_reader);
	filter_free(&w->filter);
	headers_free(&w->headers);
	return EX_OK;
}

static void setting_error(void *ctx, const char *line)
{
	log_incident(LOG_LEVEL_ERROR, ctx, LOG_NOPOS, "%s", line);
}

int worker_main(const char *conf_path, const char *name, int link_fd)
{
	struct settings *settings;
	struct worker w = {.link = link_fd};
	unsigned char former[16];

	/* The supervisor tells when to stop; a signal to the whole group must not cut a worker off
	 * from the confirmations that are under way. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, SIG_DFL);
	signal(SIGXFSZ, SIG_IGN); /* a full disk by another name */
	srandom((unsigned)(now_ms() ^ getpid()));
	fcntl(link_fd, F_SETFL, O_NONBLOCK);
	say(&w, LINK_ALIVE);

	if (settings_load_sink(&settings, conf_path, name, setting_error, (void *)(uintptr_t)name) <
	    0)
		return EX_CONFIG;
	int r = EX_CONFIG, journalfd = -1;
	w.sink = settings_sink(settings, name);
	if (w.sink) {
		w.sink->worker = &w;
		w.patience =
		    (unsigned)(conf_num(&settings->notifyd, "notifyd_stall") / 1000) + GRACE_S;
		alarm(w.patience); /* its first event may be the one on which it hangs */
		log_open("notifyd",
		         conf_num(&settings->notifyd, "notifyd_log") == SETTINGS_LOG_SYSLOG);
		journalfd = open(w.sink->journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = journalfd < 0 || journal_identity(journalfd, w.sink->uuid, former) < 0
		        ? EX_TEMPFAIL
		        : run(&w, journalfd);
	}
	if (journalfd >= 0)
		close(journalfd);
	settings_free(&settings);
	return r;
}
