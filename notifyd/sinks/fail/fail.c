/* SPDX-License-Identifier: BSD-3-Clause */
/* Refuses every event, in the way that its option `mode` names: what every generic test of
 * retries, dead letters and the watchdog runs on. */
#include "../../sink.h"

#include <unistd.h>

enum mode { MODE_OPEN, MODE_SEND, MODE_DROP, MODE_STALL };

static enum mode mode_of(const struct sink *sink)
{
	return (enum mode)conf_num(&sink->conf, "mode");
}

static int fail_open(struct sink *sink)
{
	static char opened; /* state only says "open" */
	if (mode_of(sink) == MODE_OPEN)
		return sink_why(sink, SINK_RETRY, "refused to open, as mode: open asks");
	sink->state = &opened;
	return SINK_OK;
}

static int fail_send(struct sink *sink, const struct record *rec)
{
	(void)rec;
	switch (mode_of(sink)) {
	case MODE_DROP:
		return sink_why(sink, SINK_DROP, "refused for ever, as mode: drop asks");
	case MODE_STALL:
		for (;;) /* a signal that is caught doesn't end it: only the watchdog's kill */
			pause();
	default:
		return sink_why(sink, SINK_RETRY, "refused for now, as mode: send asks");
	}
}

static int fail_flush(struct sink *sink, int wait_ms, uint64_t *confirmed_r, size_t *inflight_r)
{
	(void)sink;
	(void)wait_ms;
	(void)confirmed_r;
	*inflight_r = 0;
	return SINK_OK;
}

static void fail_close(struct sink *sink)
{
	sink->state = NULL;
}

static const struct conf_option fail_options[] = {
    {
	.name = "mode",
	.type = CONF_ENUM,
	.def = "send",
	.words = "open|send|drop|stall",
	.help = "What fails: opening, each send for now, each send for ever; stall never returns.",
    },
    {.name = NULL},
};

const struct sink_driver sink_fail = {
    .name = "fail",
    .help = "refuses every event, for tests",
    .options = fail_options,
    .open = fail_open,
    .send = fail_send,
    .flush = fail_flush,
    .close = fail_close,
};
