/* SPDX-License-Identifier: BSD-3-Clause */
#include "keeper.h"
#include "watch.h"

#include "../lib/journalconf.h"
#include "../lib/room.h"
#include "../lib/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STILL_MS 10000 /* the supervisor looks around once a second */

const char *watch_type(const struct sink *sink)
{
	if (sink->driver)
		return sink->driver->name;
	const char *type = conf_str(&sink->conf, "type");
	return type ? type : "unix"; /* that of the sink that is there when none is named */
}

static void check_directory(const struct watch *w, struct buf *out)
{
	char name[SEGMENT_NAME + 1];
	uint64_t *bases = NULL;
	if (faccessat(w->journalfd, ".", W_OK | X_OK, 0) < 0) {
		buf_addf(out, "the journal %s cannot be written: %s\n", w->journal,
		         strerror(errno));
		return;
	}
	ssize_t n = segment_list(w->journalfd, &bases);
	if (n > 0) {
		segment_name(name, bases[n - 1]);
		if (faccessat(w->journalfd, name, W_OK, 0) < 0 && errno != ENOENT)
			buf_addf(out, "the journal's segment %s/%s cannot be written: %s\n",
			         w->journal, name, strerror(errno));
	}
	free(bases);
}

bool watch_healthy(const struct watch *w, struct buf *out)
{
	struct journal_options opt;
	const char *limit;
	int64_t still = tally_clock() - w->tally->ticked;
	size_t before = out->len;
	if (still >= STILL_MS)
		buf_addf(out, "notifyd has not moved for %lld s\n", (long long)(still / 1000));
	check_directory(w, out);
	journal_options_conf(&opt, &w->settings->mboxevent);
	if (room_left(w->journalfd, &opt, &limit) == 0)
		buf_addf(out, "the journal %s is full (%s): events are lost\n", w->journal, limit);
	if (w->tally->sync_error)
		buf_addf(out, "the journal %s cannot be synced to the disk: %s\n", w->journal,
		         strerror(w->tally->sync_error));
	if (out->len != before || out->failed)
		return false;
	buf_adds(out, "ok\n");
	return true;
}

bool watch_ready(const struct watch *w, struct buf *out)
{
	size_t before = out->len;
	for (size_t i = 0; i < w->settings->n_sinks; i++) {
		const struct sink *sink = &w->settings->sinks[i];
		const struct tally_process *p = tally_find(w->tally, TALLY_SINK, sink->name);
		if (!keeper_required(sink))
			continue;
		if (p && !p->pid && p->row)
			buf_addf(out, "sink %s: its worker died and is to be started again\n",
			         sink->name);
		else if (!p || !p->pid)
			buf_addf(out, "sink %s: its worker is not started yet\n", sink->name);
		else if (p->row > 1)
			buf_addf(out, "sink %s: its worker died %u times in a row\n", sink->name,
			         p->row);
	}
	if (out->len != before || out->failed)
		return false;
	buf_adds(out, "ok\n");
	return true;
}
