/* SPDX-License-Identifier: BSD-3-Clause */
#include "inlet.h"

#include "log.h"
#include "systemd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void inlet_init(struct inlet *in)
{
	*in = (struct inlet){.now.fd = -1, .parked.fd = -1};
}

static void mark(struct inlet_place *p)
{
	if (statx(AT_FDCWD, p->path, 0, STATX_INO | STATX_BTIME, &p->mark) < 0)
		memset(&p->mark, 0, sizeof p->mark);
}

/* The inode alone would not tell: it goes to the next file that is made. */
static bool is_still(const struct inlet_place *p)
{
	struct inlet_place is = *p;
	mark(&is);
	return is.mark.stx_ino && is.mark.stx_ino == p->mark.stx_ino &&
	       is.mark.stx_btime.tv_sec == p->mark.stx_btime.tv_sec &&
	       is.mark.stx_btime.tv_nsec == p->mark.stx_btime.tv_nsec;
}

static int borrow(struct inlet *in)
{
	struct inlet_place *was = &in->parked;
	int fd = was->fd;
	if (fd < 0 || was->dlist != in->now.dlist || strcmp(was->path, in->now.path) != 0 ||
	    !is_still(was))
		return systemd_socket(in->now.path, in->now.dlist ? SOCK_STREAM : SOCK_DGRAM);
	was->fd = -1;
	return fd;
}

bool inlet_open(struct inlet *in, const struct conf *conf)
{
	char *why = NULL;
	int dgram = -1, dlist = -1;
	int r = ingest_path(conf, in->now.path, &in->now.dlist, &why);
	in->now.fd = r ? -1 : borrow(in);
	in->lent = in->now.fd >= 0;
	if (r == 0 && !in->lent) {
		r = ingest_bind(conf, &dgram, &dlist, in->now.path, &why);
		in->now.fd = in->now.dlist ? dlist : dgram;
	}
	if (r == 0) {
		mark(&in->now);
	} else if (!in->told) {
		log_incident(r > 0 ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "ingest", LOG_NOPOS,
		             "%s; events of a Cyrus without the hook are not taken", why);
		in->told = true;
	}
	free(why);
	return r == 0;
}

void inlet_close(struct inlet *in)
{
	if (in->now.fd < 0)
		return;
	bool ours = is_still(&in->now);
	if (!in->lent && ours)
		unlink(in->now.path);
	if (in->lent && in->parked.fd < 0 && ours)
		in->parked = in->now;
	else
		close(in->now.fd);
	in->now.fd = -1;
}

bool inlet_serves(const struct inlet *in, const struct conf *conf)
{
	char path[INGEST_PATH], *why = NULL;
	bool dlist;
	bool same = in->now.fd >= 0 && ingest_path(conf, path, &dlist, &why) == 0 &&
	            strcmp(path, in->now.path) == 0 && dlist == in->now.dlist;
	free(why);
	return same;
}

bool inlet_taken(struct inlet *in)
{
	if (in->now.fd < 0 || is_still(&in->now))
		return false;
	log_incident(LOG_LEVEL_WARNING, "ingest", LOG_NOPOS,
	             "another program took the socket %s over: take its line out of cyrus.conf, or "
	             "set notifysocket",
	             in->now.path);
	in->told = true;
	return true;
}
