/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker.h"

#include "../lib/cursor.h"
#include "../lib/identity.h"
#include "../lib/journal.h"
#include "../lib/reader.h"
#include "dead.h"
#include "filter.h"
#include "headers.h"
#include "link.h"
#include "log.h"
#include "move.h"
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
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 30000,
	REMIND_MS = 600000, /* an incident that lasts is told again */
	BURIED_MS = 60000,  /* at most one line on dead letters */
	REASONS = 8,        /* of one incident: several hosts are down, each in its way */
	MOVE_MS = 500,      /* between two looks for a wish to move the cursor */
	GRACE_S = 5,        /* the supervisor's watchdog comes first: it says why */
};

struct worker {
	struct sink *sink;
	int link, journalfd;
	bool stopping, hup, look;
	bool move;         /* the cursor is to be moved, as soon as nothing is in flight */
	int64_t beat;      /* when LINK_ALIVE was last sent */
	int64_t move_look; /* when it was last looked for */

	struct reader *reader;
	struct cursor *cursor;
	struct filter *filter;
	struct headers *headers; /* NULL: the sink does not want them */
	struct status *status;
	struct record rec; /* read and wanted, but not taken by the driver yet */
	bool pending;
	uint64_t sent, base, dropped; /* delivered = base + sent - in flight */
	size_t inflight;
	struct reader_damage damage;

	int backoff; /* milliseconds, 0 when all is well */
	int64_t failing;
	struct {
		char why[256];
		int64_t told;
	} reasons[REASONS]; /* of the incident that is under way */
	bool unwritten;     /* the last write of the cursor failed, and that was told */
	unsigned patience;  /* seconds of silence, after which the kernel ends this process */
	char buried[256];   /* reason of the last dead letter that was told */
	int64_t buried_told;
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
		w->move_look = now;
	}
	return worker_serve(w);
}

static void tell_damage(struct worker *w)
{
	const struct reader_damage *d = reader_damage(w->reader);
	if (d->torn != w->damage.torn)
		log_incident(LOG_LEVEL_WARNING, w->sink->name, d->at,
		             "%llu damaged bytes of the journal were passed over",
		             (unsigned long long)d->len);
	if (d->gap != w->damage.gap)
		log_incident(LOG_LEVEL_ERROR, w->sink->name, d->at,
		             "%llu bytes of the journal are gone unread: a segment was removed",
		             (unsigned long long)d->len);
	w->damage = *d;
}

/* The next wanted record into w->rec, among the next *share. 1; 0: none yet, or the share is used
 * up; SINK_RETRY. */
static int next(struct worker *w, int *share)
{
	while (!w->pending && *share > 0) {
		int r = reader_next(w->reader, &w->rec);
		if (memcmp(reader_damage(w->reader), &w->damage, sizeof w->damage) != 0)
			tell_damage(w);
		if (r < 0)
			return sink_why(w->sink, SINK_RETRY, "cannot read the journal: %s",
			                strerror(errno));
		if (r == 0)
			return 0;
		--*share;
		w->pending = filter_match(w->filter, &w->rec);
	}
	return w->pending;
}

static void advance(struct worker *w, uint64_t confirmed)
{
	/* With nothing in flight all is done up to what waits, filtered records included. */
	uint64_t pos = w->inflight ? confirmed : w->pending ? w->rec.pos : reader_pos(w->reader);
	uint64_t delivered = w->base + w->sent - w->inflight;
	if (pos <= cursor_get(w->cursor)->pos)
		return;
	bool failed = cursor_set(w->cursor, pos, delivered) < 0;
	if (failed && !w->unwritten)
		log_incident(LOG_LEVEL_ERROR, w->sink->name, pos,
		             "cannot write the cursor: %s; a restart delivers again from the last "
		             "one written",
		             strerror(errno));
	w->unwritten = failed;
	status_count(w->status, delivered - w->base, w->dropped, pos);
}

/* It works (again). */
static void recovered(struct worker *w)
{
	if (w->failing)
		log_incident(LOG_LEVEL_INFO, w->sink->name, cursor_get(w->cursor)->pos,
		             "delivering again after %lld s",
		             (long long)((now_ms() - w->failing) / 1000));
	w->failing = 0;
	w->backoff = 0;
	memset(w->reasons, 0, sizeof w->reasons);
}

static int flush(struct worker *w, int wait_ms)
{
	uint64_t confirmed = 0;
	size_t before = w->inflight;
	int r = w->sink->driver->flush(w->sink, wait_ms, &confirmed, &w->inflight);
	if (confirmed || (before && !w->inflight))
		recovered(w);
	if (r == SINK_OK || confirmed)
		advance(w, confirmed);
	if (r == SINK_OK)
		status_state(w->status, "%s", w->sink->note[0] ? w->sink->note : "connected");
	return r;
}

/* Puts w->rec into dead letters and goes on behind it. SINK_OK or SINK_RETRY. */
static int bury(struct worker *w)
{
	if (dead_letter(w->sink, &w->rec) < 0)
		return sink_why(w->sink, SINK_RETRY, "cannot write dead letters: %s",
		                strerror(errno));
	w->dropped++;
	/* Thousands may fail, each with a size of its own in the reason. */
	int64_t since = now_ms() - w->buried_told;
	if (!w->buried[0] ||
	    since > (strcmp(w->buried, w->sink->why) != 0 ? BURIED_MS : REMIND_MS)) {
		log_incident(LOG_LEVEL_ERROR, w->sink->name, w->rec.pos,
		             "dead letter (%llu since it was started): %s",
		             (unsigned long long)w->dropped, w->sink->why);
		snprintf(w->buried, sizeof w->buried, "%s", w->sink->why);
		w->buried_told = now_ms();
	}
	w->pending = false;
	/* Else the next failure would come back to it. */
	if (!w->inflight)
		advance(w, 0);
	return SINK_OK;
}

/* Hands records to the driver. How many, or SINK_RETRY or SINK_DROP; *full_r: it takes no more;
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
		r = w->sink->driver->send(w->sink, headers_add(w->headers, &w->rec));
		if (r == SINK_FULL) {
			*full_r = true;
			return n;
		}
		if (r == SINK_DROP) {
			/* Those before it are confirmed first, so that order and the cursor hold.
			 * Where that fails the driver will refuse it again. */
			while (w->inflight && !w->stopping && !w->move) {
				wait_link(w, 0);
				int f = flush(w, IDLE_MS);
				if (f < 0)
					return f;
			}
			return w->inflight ? n : bury(w) < 0 ? SINK_RETRY : n + 1;
		}
		if (r < 0)
			return r;
		w->pending = false;
		w->sent++;
		w->inflight++;
		n++;
	}
	return n;
}

/* From open to the first failure: SINK_RETRY, SINK_DROP; SINK_OK when stopping, or to move. */
static int deliver(struct worker *w)
{
	int64_t last = now_ms();
	bool asleep = false;
	while (!w->stopping && !w->move) {
		bool full, more, busy = w->sink->busy;
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

/* Whether this reason was told of late; it is from now on. */
static bool told(struct worker *w, const char *why, int64_t now)
{
	size_t place = 0;
	for (size_t i = 0; i < REASONS; i++) {
		if (strcmp(w->reasons[i].why, why) == 0) {
			place = i;
			break;
		}
		if (w->reasons[i].told < w->reasons[place].told)
			place = i;
	}
	if (strcmp(w->reasons[place].why, why) == 0 && now - w->reasons[place].told <= REMIND_MS)
		return true;
	snprintf(w->reasons[place].why, sizeof w->reasons[place].why, "%s", why);
	w->reasons[place].told = now;
	return false;
}

static void back_off(struct worker *w)
{
	struct sink *sink = w->sink;
	int64_t now = now_ms();
	if (!w->failing)
		w->failing = now;
	if (!told(w, sink->why, now))
		log_incident(LOG_LEVEL_WARNING, sink->name, cursor_get(w->cursor)->pos, "%s",
		             sink->why);
	status_error(w->status, sink->why);
	w->backoff = !w->backoff                       ? BACKOFF_MIN_MS
	             : w->backoff * 2 < BACKOFF_MAX_MS ? w->backoff * 2
	                                               : BACKOFF_MAX_MS;
	/* Jitter, so that a broker that comes back is not hit by all at one instant. */
	int ms = w->backoff / 2 + (int)(random() % (w->backoff / 2 + 1));
	status_state(w->status, ms < 1000 ? "retrying" : "retrying in %d s", ms / 1000);
	for (int64_t end = now + ms, left; !w->stopping && !w->move && (left = end - now_ms()) > 0;)
		wait_link(w, left < IDLE_MS ? (int)left : IDLE_MS);
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

static void serve(struct worker *w)
{
	struct sink *sink = w->sink;
	while (!w->stopping) {
		if (w->move)
			move(w);
		status_state(w->status, "connecting");
		int r = sink->driver->open(sink);
		if (r == SINK_OK) {
			r = deliver(w);
		}
		sink->driver->close(sink);
		/* What was not confirmed goes out again, from the lowest on. */
		w->sent -= w->inflight;
		w->inflight = 0;
		w->pending = false;
		reader_seek(w->reader, cursor_get(w->cursor)->pos);
		if (w->move)
			continue;
		if (r == SINK_DROP) {
			int share = SHARE;
			while ((r = next(w, &share)) == 0 && share == 0 && !w->stopping) {
				share = SHARE;
				wait_link(w, 0);
			}
			if (r == 1)
				r = bury(w);
		}
		if (r < 0)
			back_off(w);
	}
	status_state(w->status, "stopped");
}

static uint64_t start_position(const struct sink *sink, int journalfd)
{
	struct timespec t;
	int64_t since;
	clock_gettime(CLOCK_REALTIME, &t);
	switch (when_parse(conf_str(&sink->conf, "from"),
	                   (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000, &since)) {
	case WHEN_OLDEST:
		return 0;
	case WHEN_TIME:
		return reader_since(journalfd, since);
	default:
		return journal_end(journalfd);
	}
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
	w->reader = w->filter ? reader_open(sink->journal, cursor_get(w->cursor)->pos, &why) : NULL;
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
	w->status = status_open(sink->journal, sink->name);
	serve(w);
	status_close(&w->status);
	cursor_sync(w->cursor);
	cursor_close(&w->cursor);
	reader_close(&w->reader);
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
