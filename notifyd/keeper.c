/* SPDX-License-Identifier: BSD-3-Clause */
#include "keeper.h"

#include "../lib/cursor.h"
#include "../lib/journal.h"
#include "../lib/rescue.h"
#include "../lib/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct lowest {
	const struct settings *settings;
	int journalfd;
	bool required; /* no others */
	uint64_t pos;
	const struct sink *sink; /* whose that is */
	size_t seen;             /* sinks with a cursor of their own */
};

static void lower(void *ctx, const char *name)
{
	struct lowest *l = ctx;
	char sink[64];
	size_t len = strcspn(name, "@");
	if (len >= sizeof sink)
		return;
	memcpy(sink, name, len);
	sink[len] = '\0';
	const struct sink *of = settings_sink(l->settings, sink);
	/* Of a sink that is no longer configured, or was of another type: nobody moves it. */
	if (!of || of->driver->older || (name[len] == '@') != (of->driver->run != NULL) ||
	    (l->required && !keeper_required(of)))
		return;
	struct cursor_state state;
	if (cursor_peek(l->journalfd, name, &state) < 0) {
		/* Not readable just now: its worker tells why. Nothing is deleted meanwhile, but
		 * for one that vanished. */
		if (errno != ENOENT)
			l->pos = 0;
		return;
	}
	if (!name[len])
		l->seen++;
	if (state.pos < l->pos) {
		l->pos = state.pos;
		l->sink = of;
	}
}

bool keeper_required(const struct sink *sink)
{
	return conf_num(&sink->conf, "required") != 0;
}

bool keeper_lowest(const struct settings *s, int journalfd, bool required, uint64_t *pos_r,
                   const struct sink **sink_r)
{
	struct lowest l = {
	    .settings = s, .journalfd = journalfd, .required = required, .pos = UINT64_MAX};
	size_t want = 0;
	for (size_t i = 0; i < s->n_sinks; i++)
		if (!s->sinks[i].driver->run      /* those that do have a cursor a subscription */
		    && !s->sinks[i].driver->older /* which goes by another part of the journal */
		    && (!required || keeper_required(&s->sinks[i])))
			want++;
	if (cursor_each(journalfd, lower, &l) < 0 || l.seen < want)
		return false;
	struct cursor_state mark;
	int marked = cursor_peek(journalfd, SINK_OLDER_MARK, &mark);
	if (marked < 0 && errno != ENOENT) /* as with those of sinks */
		l.pos = 0;
	else if (marked == 0 && mark.delivered && mark.pos < l.pos)
		l.pos = mark.pos;
	*pos_r = l.pos;
	if (sink_r)
		*sink_r = l.sink;
	return true;
}

void keeper_trim(const struct settings *s, int journalfd)
{
	uint64_t pos;
	if (keeper_lowest(s, journalfd, false, &pos, NULL))
		journal_trim(journalfd, pos, conf_num(&s->mboxevent, "mboxevent_retain") * 1000);
	struct cursor_state older;
	if (cursor_peek(journalfd, SINK_OLDER, &older) == 0)
		journal_trim_older(journalfd, older.pos);
}

static int sync_one(int journalfd, uint64_t base, struct keeper_synced *synced)
{
	struct segment seg;
	struct stat st;
	int fd = segment_open(journalfd, base, O_RDWR | O_APPEND, &seg);
	if (fd < 0) /* trimmed, or damaged and of no use */
		return errno == ENOENT || errno == EBADMSG ? 0 : -1;
	int r = fstat(fd, &st);
	uint64_t end = seg.base + (uint64_t)st.st_size;
	if (r == 0 && (uint64_t)st.st_size > seg.limit) {
		/* What lies behind the SEAL has the positions of the next segment. */
		ssize_t sealed = segment_seal(fd, &seg, st.st_size, NULL);
		if (sealed > 0)
			end = seg.base + (uint64_t)sealed;
	}
	if (r == 0 && end > synced->to) {
		if (synced->doubt != base + 1 && fdatasync(fd) < 0)
			synced->doubt = base + 1;
		if (synced->doubt == base + 1) {
			r = segment_rescue(journalfd, fd, &seg);
			if (r == 0) {
				synced->doubt = 0;
				synced->rescued++;
			}
		} else if (seg.base >= synced->to) {
			r = segment_sync_names(journalfd);
		}
		if (r == 0)
			synced->to = end;
	}
	int why = errno;
	close(fd);
	errno = why;
	return r;
}

/* What processes with the older hook append and is not taken over yet. */
static int sync_older(int journalfd, struct keeper_synced *synced)
{
	uint64_t *bases;
	ssize_t n = segment_list_older(journalfd, &bases);
	int r = 0;
	for (ssize_t i = 0; i < n && r == 0; i++) {
		struct segment seg;
		struct stat st;
		if (i + 1 < n && bases[i + 1] <= synced->older)
			continue;
		int fd = segment_open(journalfd, bases[i], O_RDONLY, &seg);
		if (fd < 0)
			continue;
		r = fstat(fd, &st);
		uint64_t end = bases[i] + (uint64_t)st.st_size;
		if (r == 0 && end > synced->older) {
			r = fdatasync(fd) < 0 || fsync(journalfd) < 0 ? -1 : 0;
			synced->older = r == 0 ? end : synced->older;
		}
		close(fd);
	}
	if (n >= 0)
		free(bases);
	return n < 0 ? -1 : r;
}

int keeper_sync(int journalfd, struct keeper_synced *synced)
{
	uint64_t *bases;
	ssize_t n = segment_list(journalfd, &bases);
	int r = n < 0 ? -1 : 0;
	/* The newest, and those that came and went on to the next since the last call. */
	for (ssize_t i = 0; i < n && r == 0; i++)
		if (i + 1 == n || bases[i + 1] > synced->to)
			r = sync_one(journalfd, bases[i], synced);
	int why = errno;
	if (n >= 0)
		free(bases);
	/* A failure of the one does not keep the other from the disk. */
	if (sync_older(journalfd, synced) < 0 && r == 0)
		return -1;
	errno = why;
	return r;
}
