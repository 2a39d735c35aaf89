/* SPDX-License-Identifier: BSD-3-Clause */
/* notifyd's own sink for MailboxReset (notifyd_mailbox_reset): nobody can name it as a type. What
 * it confirms is on the disk. */
#include "../../log.h"
#include "../../reset.h"
#include "../../sink.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SETTLE_MS    200   /* changes of so long are put on the disk together */
#define SETTLE_AT    8192  /* or so many */
#define TRY_AGAIN_MS 30000 /* after the journal did not take an event */

struct state {
	struct reset *reset;
	uint64_t next;    /* of the last record seen */
	size_t unsettled; /* records seen since something had to be settled */
	int64_t since;    /* when the first of them was seen */
	int64_t again;    /* not before this time are events appended */
	bool fresh;       /* something was seen that is not confirmed yet */
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void reset_sink_close(struct sink *sink)
{
	struct state *s = sink->state;
	sink->state = NULL;
	if (!s)
		return;
	reset_close(&s->reset);
	free(s);
}

static int reset_sink_open(struct sink *sink)
{
	struct state *s = calloc(1, sizeof *s);
	const char *aside = NULL, *why = "out of memory";
	sink->state = s;
	int r = s ? reset_open(&s->reset, sink->conf.conf, sink->journal, &aside, &why) : -1;
	if (aside)
		log_incident(LOG_LEVEL_ERROR, sink->name, LOG_NOPOS, "%s", aside);
	if (r < 0)
		return sink_why(sink, SINK_RETRY, "%s", why);
	snprintf(sink->note, sizeof sink->note, "watching the UIDVALIDITY of mailboxes");
	return SINK_OK;
}

static int reset_sink_send(struct sink *sink, const struct record *rec)
{
	struct state *s = sink->state;
	const char *why;
	if (reset_unsettled(s->reset) >= SETTLE_AT)
		return SINK_FULL;
	if (reset_see(s->reset, rec, &why) < 0)
		return sink_why(sink, SINK_RETRY, "%s", why);
	s->next = rec->next;
	s->fresh = true;
	if (s->unsettled || reset_unsettled(s->reset)) {
		if (!s->unsettled++)
			s->since = now_ms();
	}
	return SINK_OK;
}

static int append(struct sink *sink)
{
	struct state *s = sink->state;
	const char *why, *wait;
	if (!reset_due(s->reset) || now_ms() < s->again)
		return SINK_OK;
	bool waited = s->again != 0;
	if (reset_append(s->reset, &wait, &why) < 0)
		return sink_why(sink, SINK_RETRY, "%s", why);
	s->again = wait ? now_ms() + TRY_AGAIN_MS : 0;
	if (wait && !waited)
		log_incident(LOG_LEVEL_WARNING, sink->name, LOG_NOPOS,
		             "MailboxReset events wait: %s", wait);
	snprintf(sink->note, sizeof sink->note, "%s%s",
	         wait ? "MailboxReset events wait: " : "watching the UIDVALIDITY of mailboxes",
	         wait ? wait : "");
	return SINK_OK;
}

static int reset_sink_flush(struct sink *sink, int wait_ms, uint64_t *confirmed_r,
                            size_t *inflight_r)
{
	struct state *s = sink->state;
	const char *why;
	uint64_t changes = reset_unsettled(s->reset);
	/* A reset does not wait; neither does the end of a full batch. */
	if (changes && changes < SETTLE_AT && !reset_due(s->reset) &&
	    now_ms() - s->since < SETTLE_MS) {
		*inflight_r = s->unsettled;
		if (wait_ms > 0)
			poll(NULL, 0, wait_ms < SETTLE_MS ? wait_ms : SETTLE_MS);
		return SINK_OK;
	}
	if (reset_settle(s->reset, &why) < 0)
		return sink_why(sink, SINK_RETRY, "%s", why);
	if (s->fresh)
		*confirmed_r = s->next;
	s->fresh = false;
	s->unsettled = 0;
	*inflight_r = 0;
	return append(sink);
}

static const struct conf_option options[] = {{.name = NULL}};

const struct sink_driver sink_reset = {
    .name = "reset",
    .help = "remembers UIDVALIDITYs and appends MailboxReset",
    .options = options,
    .open = reset_sink_open,
    .send = reset_sink_send,
    .flush = reset_sink_flush,
    .close = reset_sink_close,
};
