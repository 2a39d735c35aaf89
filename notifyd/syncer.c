/* SPDX-License-Identifier: BSD-3-Clause */
#include "syncer.h"

#include "log.h"
#include "status.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum {
	PAUSE_MIN_MS = 1000, /* after a sync that failed, doubling */
	PAUSE_MAX_MS = 60000,
};

static void work(uv_work_t *w)
{
	struct syncer *s = w->data;
	struct timespec from, to;
	uint64_t before = s->synced.to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	s->error = keeper_sync(s->journalfd, &s->synced) < 0 ? errno : 0;
	clock_gettime(CLOCK_MONOTONIC, &to);
	s->took = before == s->synced.to ? -1
	                                 : (int64_t)(to.tv_sec - from.tv_sec) * 1000000 +
	                                       (to.tv_nsec - from.tv_nsec) / 1000;
}

/* For notifyctl status: up to where all is on the disk. */
static void tell(struct syncer *s)
{
	if (s->error) {
		status_state(s->status, "failing: %s", strerror(s->error));
	} else {
		status_state(s->status, "syncing");
		status_count(s->status, 0, 0, s->synced.to);
	}
}

static void done(uv_work_t *w, int status)
{
	struct syncer *s = w->data;
	(void)status;
	s->busy = false;
	if (s->took >= 0)
		tally_sync(s->tally, s->took);
	tally_sync_error(s->tally, s->error);
	if (s->error && s->error != s->told)
		log_incident(LOG_LEVEL_ERROR, NULL, LOG_NOPOS,
		             "cannot sync the journal to the disk: %s; a power cut may lose events",
		             strerror(s->error));
	else if (s->told && !s->error)
		log_incident(LOG_LEVEL_INFO, NULL, LOG_NOPOS, "the journal is synced again");
	s->told = s->error;
	if (s->synced.rescued != s->rescued)
		log_incident(LOG_LEVEL_WARNING, NULL, s->synced.to,
		             "the disk failed to take a segment of the journal; it was sealed and "
		             "written anew, nothing is lost");
	s->rescued = s->synced.rescued;
	/* The next try may copy a whole segment. */
	s->pause = !s->error                     ? 0
	           : !s->pause                   ? PAUSE_MIN_MS
	           : s->pause * 2 < PAUSE_MAX_MS ? s->pause * 2
	                                         : PAUSE_MAX_MS;
	s->again = uv_now(w->loop) + s->pause;
	tell(s);
}

static void on_timer(uv_timer_t *t)
{
	struct syncer *s = t->data;
	if (s->busy || uv_now(t->loop) < s->again)
		return;
	s->busy = uv_queue_work(t->loop, &s->work, work, done) == 0;
}

void syncer_init(struct syncer *s, uv_loop_t *loop, const char *dir, int journalfd,
                 struct tally *tally)
{
	*s = (struct syncer){
	    .journalfd = journalfd, .tally = tally, .status = status_open(dir, STATUS_SYNC)};
	uv_timer_init(loop, &s->timer);
	s->timer.data = s->work.data = s;
}

void syncer_set(struct syncer *s, int64_t interval)
{
	uv_timer_stop(&s->timer);
	if (interval > 0)
		uv_timer_start(&s->timer, on_timer, (uint64_t)interval, (uint64_t)interval);
	else
		status_state(s->status, "left to the writers");
}

void syncer_end(struct syncer *s)
{
	keeper_sync(s->journalfd, &s->synced); /* no work of the loop does so any more */
	status_state(s->status, "stopped");
	status_count(s->status, 0, 0, s->synced.to);
	status_close(&s->status);
}
