/* SPDX-License-Identifier: BSD-3-Clause */
/* Accepts every event and keeps none: for tests, and to measure everything else. */
#include "../../sink.h"

#include <stdlib.h>

struct null {
	uint64_t next; /* of the last record taken */
	bool fresh;    /* and not yet confirmed */
};

static int null_open(struct sink *sink)
{
	sink->state = calloc(1, sizeof(struct null));
	return sink->state ? SINK_OK : sink_why(sink, SINK_RETRY, "out of memory");
}

static int null_send(struct sink *sink, const struct record *rec)
{
	struct null *n = sink->state;
	n->next = rec->next;
	n->fresh = true;
	return SINK_OK;
}

static int null_flush(struct sink *sink, int wait_ms, uint64_t *confirmed_r, size_t *inflight_r)
{
	struct null *n = sink->state;
	(void)wait_ms;
	if (n->fresh)
		*confirmed_r = n->next;
	n->fresh = false;
	*inflight_r = 0;
	return SINK_OK;
}

static void null_close(struct sink *sink)
{
	free(sink->state);
	sink->state = NULL;
}

static const struct conf_option null_options[] = {{.name = NULL}};

const struct sink_driver sink_null = {
    .name = "null",
    .help = "accepts every event and keeps none",
    .options = null_options,
    .open = null_open,
    .send = null_send,
    .flush = null_flush,
    .close = null_close,
};
