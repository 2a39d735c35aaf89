/* SPDX-License-Identifier: BSD-3-Clause */
#include "privilege.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(char **why_r, const char *what, const char *path)
{
	if (asprintf(why_r, "cannot %s %s: %s", what, path, strerror(errno)) < 0)
		*why_r = NULL;
	return -1;
}

/* The directory that a unix sink's socket goes to, when nobody made it. */
static int socket_dir(const struct sink *sink, uid_t uid, gid_t gid, char **why_r)
{
	char dir[4096];
	const char *path = conf_str(&sink->conf, "path");
	const char *slash = path ? strrchr(path, '/') : NULL;
	if (!slash || slash == path)
		return 0;
	snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
	errno = 0;
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return fail(why_r, "make", dir);
	/* One that is there already is somebody else's, but for our own, which systemd's
	 * RuntimeDirectory may have made for root. */
	if (errno == EEXIST && strcmp(dir, "/run/notifyd") != 0)
		return 0;
	/* Not what its owner may have put in its place. */
	return lchown(dir, uid, gid) < 0 ? fail(why_r, "chown", dir) : 0;
}

static int become(const struct stat *st)
{
	const struct passwd *pw = getpwuid(st->st_uid);
	return (pw ? initgroups(pw->pw_name, st->st_gid) : setgroups(1, &st->st_gid)) < 0 ||
	               setgid(st->st_gid) < 0 || setuid(st->st_uid) < 0
	           ? -1
	           : 0;
}

/* As Cyrus itself finds whom to run as; NULL: there is none. */
static const struct passwd *cyrus_user(const struct settings *settings)
{
	const char *user = conf_get(settings->conf, NULL, "cyrus_user");
	return getpwnam(user ? user : "cyrus");
}

int privilege_drop(const struct settings *settings, char **why_r)
{
	const char *journal = conf_str(&settings->mboxevent, "mboxevent_journal");
	struct stat st;
	if (geteuid() != 0)
		return 0;
	if (stat(journal, &st) < 0) {
		if (errno != ENOENT)
			return fail(why_r, "stat", journal);
		const struct passwd *pw = cyrus_user(settings);
		if (mkdir(journal, 0700) < 0)
			return fail(why_r, "make", journal);
		if (pw && chown(journal, pw->pw_uid, pw->pw_gid) < 0)
			return fail(why_r, "chown", journal);
		if (stat(journal, &st) < 0)
			return fail(why_r, "stat", journal);
	}
	if (st.st_uid == 0)
		return 0;
	for (size_t i = 0; i < settings->n_sinks; i++)
		if (strcmp(settings->sinks[i].driver->name, "unix") == 0 &&
		    socket_dir(&settings->sinks[i], st.st_uid, st.st_gid, why_r) < 0)
			return -1;
	return become(&st) < 0 ? fail(why_r, "become the owner of", journal) : 0;
}

int privilege_become(const struct settings *settings)
{
	struct stat st;
	if (stat(conf_str(&settings->mboxevent, "mboxevent_journal"), &st) < 0) {
		if (errno != ENOENT)
			return -1;
		const struct passwd *pw = cyrus_user(settings);
		st.st_uid = pw ? pw->pw_uid : 0;
		st.st_gid = pw ? pw->pw_gid : 0;
	}
	if (geteuid() != 0 && geteuid() != st.st_uid) {
		errno = EPERM;
		return -1;
	}
	return geteuid() != 0 || st.st_uid == 0 ? 0 : become(&st);
}

int privilege_drop_for(const char *journal)
{
	struct stat st;
	if (geteuid() != 0 || stat(journal, &st) < 0 || st.st_uid == 0)
		return 0; /* what is wrong with the directory is the caller's to say */
	return become(&st);
}
