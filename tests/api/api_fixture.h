/* SPDX-License-Identifier: BSD-3-Clause */
/* A journal, an imapd.conf that names it and a handle, for the tests of the public API. */
#ifndef TESTS_API_FIXTURE_H
#define TESTS_API_FIXTURE_H

#include "../unit/journal_fixture.h"

#include "../../plugin/mbev.h"

#define ALL_GROUPS                                                                                 \
	"event_notifier: mboxevent\nevent_groups: message quota flags access mailbox "             \
	"subscription calendar applepushservice jmap\nmboxevent_modseq: yes\n"
/* Every word of event_extra_params that documented events need. */
#define ALL_EXTRAS                                                                                 \
	"event_extra_params: bodyStructure clientAddress diskUsed flagNames messageContent "       \
	"messageSize messages modseq service timestamp uidnext vnd.cmu.midset "                    \
	"vnd.cmu.unseenMessages vnd.cmu.envelope vnd.cmu.sessionId\n"

static char api_conf[96];

static inline void api_write_conf(const char *more)
{
	snprintf(api_conf, sizeof api_conf, "%s/imapd.conf", fixture_dir);
	FILE *f = fopen(api_conf, "w");
	assert_non_null(f);
	fprintf(f,
	        "configdirectory: /tmp\nmboxevent_journal: %s\nmboxevent_segment_size: 64K\n"
	        "mboxevent_min_free: 0\nmboxevent_max_size: 256M\n%s",
	        fixture_dir, more);
	fclose(f);
}

/* What the journal got so far and the caller did not take yet. */
static uint64_t api_read;

static inline bool api_next(struct reader *r, struct record *rec)
{
	int got = reader_next(r, rec);
	assert_true(got >= 0);
	if (got)
		api_read = rec->next;
	return got;
}

static inline int api_setup(void **state)
{
	api_read = 0;
	return fixture_setup(state);
}

#endif
