/* SPDX-License-Identifier: BSD-3-Clause */
#include "backlog.h"
#include "doctor.h"
#include "losses.h"
#include "stamp.h"

#include "../lib/journalconf.h"
#include "../lib/room.h"
#include "../lib/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND INT64_C(1000000)
#define SKEW   (60 * SECOND)
#define UNUSED (7 * 24 * 3600 * SECOND)

static void look_at_room(const struct doctor *d)
{
	struct journal_options opt;
	const char *why = NULL;

	journal_options_conf(&opt, &d->settings->mboxevent);
	int64_t left = room_left(d->journal, &opt, &why);
	if (left >= 0 && left < (int64_t)(opt.segment_size / 16)) /* of the newest segment */
		doctor_error(d,
		             "there is no room in the journal: events are about to be refused and "
		             "lost, or are already (%s); see which "
		             "sink is behind (notifyctl status), mend it, or give its backlog up "
		             "(notifyctl skip SINK --to now)",
		             why ? why : "");
	else if (left > 0 && left < (int64_t)(4 * opt.segment_size))
		doctor_warning(
		    d,
		    "room for %lld MB of events is left before they are refused (%s); see which "
		    "sink is behind (notifyctl status)",
		    (long long)(left >> 20), why ? why : "");
}

static void look_at_time(const struct doctor *d)
{
	struct segment seg;
	uint64_t *bases = NULL;
	ssize_t n = segment_list(d->journal, &bases);
	int fd = n > 0 ? segment_open(d->journal, bases[n - 1], 0, &seg) : -1;

	if (fd >= 0 && seg.created > stamp_now() + SKEW)
		doctor_warning(
		    d,
		    "the newest segment of the journal was begun %lld minutes from now: the "
		    "clock was set back, so mboxevent_retain and --since go wrong; set it "
		    "right",
		    (long long)((seg.created - stamp_now()) / SECOND / 60));
	if (fd >= 0)
		close(fd);
	if (n >= 0)
		free(bases);
}

static void look_at_cursors(const struct doctor *d, const char *journal)
{
	struct backlog *list;
	size_t n;
	char *why = NULL;

	if (backlog_read(journal, &list, &n, &why) < 0) {
		doctor_error(d, "the journal %s: %s", journal, why ? why : "out of memory");
		free(why);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct backlog *b = &list[i];
		char sink[256];

		snprintf(sink, sizeof(sink), "%.*s", (int)b->sink_len, b->name);
		if (!settings_sink(d->settings, sink))
			doctor_warning(
			    d,
			    "%s/cursors/%s is the place of a sink that notifyd_sinks does not "
			    "name; delete it unless that sink is to come back",
			    journal, b->name);
		else if (b->sub && b->lag.events && stamp_now() - b->used > UNUSED)
			doctor_warning(
			    d,
			    "nobody has opened the subscription %s for %lld days, and it holds "
			    "%llu MB of the journal; notifyctl subscriptions --remove %s",
			    b->name, (long long)((stamp_now() - b->used) / UNUSED * 7),
			    (unsigned long long)(b->lag.bytes >> 20), b->name);
	}
	backlog_free(&list, n);
}

static void look_at_losses(const struct doctor *d)
{
	uint64_t lost[LOST_REASONS];

	if (lost_read(d->journal, lost) < 0)
		doctor_warning(d,
		               "the journal's file 'lost', where events that are lost are counted: "
		               "%s; see that it belongs to the journal's owner",
		               strerror(errno));
	for (int i = 0; i < LOST_REASONS; i++)
		if (lost[i])
			doctor_warning(d,
			               "%llu events were lost since the journal was made (%s): %s; "
			               "%s",
			               (unsigned long long)lost[i], losses[i].name, losses[i].why,
			               losses[i].cure);
}

void doctor_journal(const struct doctor *d)
{
	look_at_losses(d);
	look_at_room(d);
	look_at_time(d);
	look_at_cursors(d, conf_str(&d->settings->mboxevent, "mboxevent_journal"));
}
