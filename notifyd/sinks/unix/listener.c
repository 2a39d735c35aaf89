/* SPDX-License-Identifier: BSD-3-Clause */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 1024
#define TEMPORARY                                                                                  \
	sizeof("/.4294967295") /* what stands in place of the socket's own name, with the NUL */

/* The directory of path, "/" included. */
static void parent(const char *path, char dir_r[])
{
	size_t len = (size_t)(strrchr(path, '/') - path);
	memcpy(dir_r, path, len);
	dir_r[len] = '\0';
	if (!len)
		strcpy(dir_r, "/");
}

/* Keeps other unix sinks out of a directory. Anyone who can read it can hold that lock, so it is
 * waited for a while only: without it two starts in one instant are the one thing not covered. */
static int lock_directory(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < 100 && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	return fd;
}

static int find_group(const char *group, gid_t *gid_r)
{
	errno = 0;
	const struct group *g = getgrnam(group);
	if (!g)
		return -1;
	*gid_r = g->gr_gid;
	return 0;
}

int listener_check(struct sink *sink, const char *path, const char *group)
{
	const size_t room = sizeof(((struct listener *)0)->path);
	gid_t gid;

	const char *slash = path ? strrchr(path, '/') : NULL;
	if (!path || path[0] != '/' || slash[1] == '\0')
		return sink_why(sink, -1, "path: must be the absolute path of a socket");
	/* both the name itself and the temporary one must fit a socket address */
	if (strlen(path) >= room || (size_t)(slash - path) + TEMPORARY > room)
		return sink_why(sink, -1,
		                "path: longer than a socket's name may be (about %zu bytes); "
		                "choose a shorter one",
		                room - TEMPORARY);
	if (group && *group && find_group(group, &gid) < 0)
		return sink_why(sink, -1, "group: there is no group %s; create it", group);
	return 0;
}

static void address(struct sockaddr_un *sa, const char *path)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(sa->sun_path, path); /* its length was checked */
}

/* 1: somebody listens there; 0: nothing is there, or it is stale; -1: can't be told (errno,
 * ENOTSOCK for another kind of file). */
static int served(const char *path)
{
	struct sockaddr_un sa;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = ENOTSOCK;
		return -1;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	address(&sa, path);
	int rc = connect(fd, (struct sockaddr *)&sa, sizeof sa);
	int err = rc < 0 ? errno : 0;
	close(fd);
	if (err == ECONNREFUSED || err == ENOENT)
		return 0;
	/* EAGAIN: its backlog is full; EPROTOTYPE: a datagram socket; both are alive */
	if (!err || err == EAGAIN || err == EPROTOTYPE)
		return 1;
	errno = err;
	return -1;
}

/* Binds and listens at a name of our own, with owner and mode set before it can be reached. */
static int make(struct listener *l, struct sink *sink, const char *temporary, mode_t mode,
                const char *group)
{
	struct sockaddr_un sa;
	struct stat st;
	gid_t gid;

	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return sink_why(sink, -1, "socket: %s", strerror(errno));
	unlink(temporary); /* left by a killed process that had our process id */
	address(&sa, temporary);
	mode_t mask = umask(0777);
	int rc = bind(l->fd, (struct sockaddr *)&sa, sizeof sa);
	int err = errno;
	umask(mask);
	if (rc < 0)
		return sink_why(sink, -1, "%s: %s; notifyd must be able to write to its directory",
		                temporary, strerror(err));
	if (group && *group) {
		if (find_group(group, &gid) < 0)
			return sink_why(sink, -1, "group: there is no group %s", group);
		if (lchown(temporary, (uid_t)-1, gid) < 0)
			return sink_why(sink, -1,
			                "%s: group %s: %s; the user of notifyd must be in it",
			                l->path, group, strerror(errno));
	}
	if (chmod(temporary, mode) < 0 || lstat(temporary, &st) < 0 || listen(l->fd, BACKLOG) < 0)
		return sink_why(sink, -1, "%s: %s", l->path, strerror(errno));
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

/* 0, or -1 with sink->why: what is there already is not to be replaced. */
static int free_to_take(struct sink *sink, const char *path)
{
	switch (served(path)) {
	case 0:
		return 0;
	case 1:
		return sink_why(sink, -1,
		                "%s: somebody listens there; stop it or choose another path", path);
	default:
		if (errno == ENOTSOCK)
			return sink_why(sink, -1, "%s: exists and is no socket; remove it", path);
		return sink_why(sink, -1, "%s: %s; can't tell whether it is served", path,
		                strerror(errno));
	}
}

int listener_probe(struct sink *sink, const char *path, const char *group)
{
	char dir[sizeof(((struct listener *)0)->path)], above[sizeof dir];

	if (listener_check(sink, path, group) < 0)
		return -1;
	parent(path, dir);
	parent(dir, above);
	if (access(dir, W_OK | X_OK) == 0)
		return free_to_take(sink, path);
	if (errno != ENOENT)
		return sink_why(sink, -1, "%s: %s; the user of notifyd must be able to write there",
		                dir, strerror(errno));
	return access(above, F_OK) == 0
	           ? 0
	           : sink_why(sink, -1, "%s: %s; create it for the user of notifyd", above,
	                      strerror(errno));
}

int listener_open(struct listener *l, struct sink *sink, const char *path, mode_t mode,
                  const char *group)
{
	char dir[sizeof l->path], temporary[sizeof l->path + TEMPORARY];

	l->fd = -1;
	if (listener_check(sink, path, group) < 0)
		return -1;
	strcpy(l->path, path);
	parent(path, dir);
	snprintf(temporary, sizeof temporary, "%s/.%lu", strcmp(dir, "/") ? dir : "",
	         (unsigned long)getpid());

	if (mkdir(dir, 0755) == 0)
		chmod(dir, 0755); /* whatever the umask is */
	else if (errno != EEXIST)
		return sink_why(sink, -1, "%s: %s; create it for the user of notifyd", dir,
		                strerror(errno));
	/* Two that start at once would both find the old socket stale, and the second would
	 * replace the first one's. */
	int lock = lock_directory(dir);
	if (free_to_take(sink, path) < 0)
		goto fail;
	if (make(l, sink, temporary, mode, group) < 0)
		goto fail;
	if (rename(temporary, path) < 0) {
		sink_why(sink, -1, "%s: %s", path, strerror(errno));
		goto fail;
	}
	close(lock);
	return 0;

fail:
	if (l->fd >= 0) {
		unlink(temporary);
		close(l->fd);
		l->fd = -1;
	}
	if (lock >= 0)
		close(lock);
	return -1;
}

void listener_close(struct listener *l)
{
	char dir[sizeof l->path];
	struct stat st;

	if (l->fd < 0)
		return;
	parent(l->path, dir);
	int lock = lock_directory(dir);
	if (lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	if (lock >= 0)
		close(lock);
	close(l->fd);
	l->fd = -1;
}
