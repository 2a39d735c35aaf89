/* SPDX-License-Identifier: BSD-3-Clause */
/* The socket in the file system: made under a temporary name and renamed, so that
 * it never shows a wrong mode; one that somebody serves is never taken away. */
#ifndef UNIX_LISTENER_H
#define UNIX_LISTENER_H

#include "../../sink.h"

#include <sys/types.h>
#include <sys/un.h>

struct listener {
	int fd; /* listening, non-blocking; -1 while closed */
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
	dev_t dev;
	ino_t ino;
};

/* Looks at path and group only. 0, or -1 with sink->why. */
int listener_check(struct sink *sink, const char *path, const char *group);

/* Whether it could be opened now, by this user: makes nothing. A directory that is missing can be
 * made when there is one to make it in. 0, or -1 with sink->why. */
int listener_probe(struct sink *sink, const char *path, const char *group);

/* Makes the directory when it is missing, replaces a stale socket. group: NULL or "" leaves it.
 * 0, or -1 with sink->why. */
int listener_open(struct listener *l, struct sink *sink, const char *path, mode_t mode,
                  const char *group);

/* Removes the socket when it is still the one that was made here. Safe when it is not open. */
void listener_close(struct listener *l);

#endif
