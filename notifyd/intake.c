/* SPDX-License-Identifier: BSD-3-Clause */
#include "intake.h"

#include "ingest.h"
#include "repeated.h"
#include "settings.h"

#include "../lib/journalconf.h"
#include "../lib/native.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct intake {
	struct native *native;
	struct journal *journal;
	struct sockaddr_un forward; /* sun_path empty: nowhere */
	int forward_fd;
	struct buf datagram;
	struct repeated malformed, unforwarded, unread, unappended;
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static char *copy(const char *why)
{
	return strdup(why);
}

/* Where other classes go. Our own socket would be a ring without end. */
static int set_forward(struct intake *in, const struct conf *conf, const char *path, char **why_r)
{
	char own[INGEST_PATH], *why = NULL;
	bool dlist;
	if (!path || !*path)
		return 0;
	if (strlen(path) >= sizeof in->forward.sun_path) {
		*why_r = copy("notifyd_forward: the path is too long for a socket");
		return -1;
	}
	if (ingest_path(conf, own, &dlist, &why) == 0 && !strcmp(own, path)) {
		*why_r = copy("notifyd_forward is notifysocket itself");
		return -1;
	}
	free(why);
	memcpy(in->forward.sun_path, path, strlen(path) + 1);
	in->forward_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (in->forward_fd < 0) {
		*why_r = copy(strerror(errno));
		return -1;
	}
	return 0;
}

struct intake *intake_new(const struct conf *conf, char **why_r)
{
	struct intake *in = calloc(1, sizeof *in);
	const char *why = "out of memory";
	if (!in) {
		*why_r = copy(why);
		return NULL;
	}
	in->forward.sun_family = AF_UNIX;
	in->forward_fd = -1;
	in->malformed = (struct repeated){LOG_LEVEL_WARNING, .what = "malformed notify requests"};
	in->unforwarded = (struct repeated){LOG_LEVEL_WARNING,
	                                    .what = "notify requests that are no event were not "
	                                            "forwarded"};
	in->unread = (struct repeated){LOG_LEVEL_WARNING,
	                               .what = "events that were not understood were kept as they "
	                                       "came"};
	in->unappended = (struct repeated){LOG_LEVEL_ERROR, .what = "events were lost",
	                                   .longest = 60 * REPEATED_PAUSE};

	static const struct conf_option *const tables[] = {notifyd_options, NULL};
	const struct conf_scope scope = {conf, NULL, "", tables};
	if (set_forward(in, conf, conf_str(&scope, "notifyd_forward"), why_r) < 0)
		goto fail;
	in->native = native_new(conf, NULL);
	if (!in->native || journal_open_conf(conf, NULL, &in->journal, &why) < 0) {
		*why_r = copy(why);
		goto fail;
	}
	return in;
fail:
	intake_free(&in);
	return NULL;
}

void intake_free(struct intake **in)
{
	if (!*in)
		return;
	struct repeated *told[] = {&(*in)->malformed, &(*in)->unforwarded, &(*in)->unread,
	                           &(*in)->unappended};
	for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
		repeated_end(told[i], now_ms()); /* what was not told yet is now */
	if ((*in)->forward_fd >= 0)
		close((*in)->forward_fd);
	native_free(&(*in)->native);
	journal_close(&(*in)->journal);
	buf_free(&(*in)->datagram);
	free(*in);
	*in = NULL;
}

static int append(struct intake *in, const struct datagram *d)
{
	struct record rec = {0};
	const char *why = "out of memory";
	int r = native_convert(in->native, d->message.s, d->message.len, &rec);
	if (r == NATIVE_DROP)
		return INTAKE_OK;
	if (r == NATIVE_ASIS)
		repeated_add(&in->unread, now_ms(), "its JSON is not of a form known here");
	if (r == NATIVE_NOMEM)
		journal_lost(in->journal, LOST_MEMORY, 1);
	if (r == NATIVE_NOMEM || journal_append(in->journal, &rec, NULL, &why) < 0) {
		repeated_add(&in->unappended, now_ms(), why);
		return INTAKE_LOST;
	}
	if (in->unappended.total)
		log_incident(LOG_LEVEL_INFO, NULL, LOG_NOPOS,
		             "events are appended again; %llu were lost",
		             (unsigned long long)repeated_end(&in->unappended, now_ms()));
	return INTAKE_OK;
}

static int forward(struct intake *in, const struct datagram *d)
{
	char why[200];
	if (!in->forward.sun_path[0]) {
		snprintf(why, sizeof why, "class %.*s, and notifyd_forward is not set",
		         (int)(d->class.len < 40 ? d->class.len : 40),
		         d->class.s ? d->class.s : "");
		repeated_add(&in->unforwarded, now_ms(), why);
		return INTAKE_LOST;
	}
	buf_reset(&in->datagram);
	if (datagram_write(&in->datagram, d) < 0) {
		repeated_add(&in->unforwarded, now_ms(), "it does not fit a datagram");
		return INTAKE_LOST;
	}
	if (sendto(in->forward_fd, in->datagram.s, in->datagram.len, MSG_DONTWAIT | MSG_NOSIGNAL,
	           (struct sockaddr *)&in->forward, sizeof in->forward) < 0) {
		snprintf(why, sizeof why, "%s: %s", in->forward.sun_path,
		         errno == EAGAIN ? "too many requests wait there" : strerror(errno));
		repeated_add(&in->unforwarded, now_ms(), why);
		return INTAKE_LOST;
	}
	return INTAKE_OK;
}

int intake_take(struct intake *in, const struct datagram *d)
{
	if (d->class.len != 5 || memcmp(d->class.s, "EVENT", 5) != 0)
		return forward(in, d);
	if (!d->message.len) {
		intake_malformed(in, "an event has no message");
		return INTAKE_MALFORMED;
	}
	return append(in, d);
}

void intake_malformed(struct intake *in, const char *why)
{
	repeated_add(&in->malformed, now_ms(), why);
}

void intake_tick(struct intake *in)
{
	int64_t now = now_ms();
	repeated_tick(&in->malformed, now);
	repeated_tick(&in->unforwarded, now);
	repeated_tick(&in->unread, now);
	repeated_tick(&in->unappended, now);
}
