/* SPDX-License-Identifier: BSD-3-Clause */
/* Which process has a socket open: /proc/net/unix gives its inode, /proc/PID/fd who has that. */
#include "ctl.h"
#include "doctor.h"
#include "ingest.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The inode of the socket bound to path; 0: nobody has it. */
static unsigned long bound(const char *path)
{
	char line[512];
	unsigned long inode = 0;
	FILE *f = fopen("/proc/net/unix", "re");

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long i;
		int at = 0;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %*s %*s %*s %*s %*s %lu %n", &i, &at) == 1 && at &&
		    !strcmp(line + at, path))
			inode = i;
	}
	if (f)
		fclose(f);
	return inode;
}

static bool has(const char *pid, const char *wanted)
{
	char path[300], target[64];
	struct dirent *e;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	DIR *fds = opendir(path);
	while (fds && !found && (e = readdir(fds))) {
		ssize_t n = readlinkat(dirfd(fds), e->d_name, target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		found = !strcmp(target, wanted);
	}
	if (fds)
		closedir(fds);
	return found;
}

/* The first program that has the socket and is not ours. */
static bool other(unsigned long inode, char *exe, size_t size, long *pid_r)
{
	char socket[64], path[300];
	struct dirent *e;
	bool found = false;
	DIR *proc = opendir("/proc");

	snprintf(socket, sizeof(socket), "socket:[%lu]", inode);
	while (proc && !found && (e = readdir(proc))) {
		*pid_r = strtol(e->d_name, NULL, 10);
		if (*pid_r <= 1 || !has(e->d_name, socket)) /* 1: it may hold it for notifyd */
			continue;
		snprintf(path, sizeof(path), "/proc/%ld/exe", *pid_r);
		ssize_t n = readlink(path, exe, size - 1);
		exe[n > 0 ? n : 0] = '\0';
		found = true;
	}
	if (proc)
		closedir(proc);
	return found;
}

void doctor_socket(const struct doctor *d)
{
	char path[INGEST_PATH], exe[4096], *why = NULL;
	bool dlist;
	long pid;

	if (ingest_path(d->settings->conf, path, &dlist, &why) < 0) {
		free(why); /* the configuration's check told */
		return;
	}
	unsigned long inode = bound(path);
	if (!inode) {
		doctor_warning(
		    d,
		    "nobody listens at %s (notifysocket): events of mail processes and tools "
		    "without the hook are lost; start notifyd",
		    path);
	} else if (other(inode, exe, sizeof(exe), &pid) && strstr(exe, "/cyrus/")) {
		doctor_warning(
		    d,
		    "%s (notifysocket) is served by %s (pid %ld), Cyrus's own: events of mail "
		    "processes and tools without the hook go there and are lost; take its "
		    "line out of cyrus.conf, or move it to another socket and name that in "
		    "notifyd_forward",
		    path, exe, pid);
	}
}
