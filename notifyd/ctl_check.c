/* SPDX-License-Identifier: BSD-3-Clause */
/* Only what is certain: each line is a mistake, or says that it is just a warning. */
#include "ctl.h"
#include "doctor.h"
#include "ingest.h"
#include "settings.h"

#include "../lib/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sysexits.h>
#include <unistd.h>

struct check {
	struct conf *conf;
	struct conf_scope mboxevent, notifyd;
	void (*found)(void *ctx, bool error, const char *line);
	void *ctx;
};

__attribute__((format(printf, 2, 3))) static void wrong(const struct check *c, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	c->found(c->ctx, true, line);
}

__attribute__((format(printf, 2, 3))) static void warn(const struct check *c, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	c->found(c->ctx, false, line);
}

static void check_file_system(const struct check *c, int dir, const char *journal)
{
	struct statfs fs;
	struct statvfs room;
	if (fstatfs(dir, &fs) < 0 || fstatvfs(dir, &room) < 0) {
		wrong(c, "%s: statfs: %s", journal, strerror(errno));
		return;
	}
	const char *remote = journal_remote(dir);
	if (remote)
		wrong(c, "mboxevent_journal: %s is on %s: it must be on a local file system",
		      journal, remote);
	if (fs.f_type == TMPFS_MAGIC)
		warn(c,
		     "mboxevent_journal: %s is in memory (tmpfs): a reboot loses what is not "
		     "delivered; move it to a disk",
		     journal);
	if (!strncmp(journal, "/tmp/", 5) || !strncmp(journal, "/var/tmp/", 9))
		warn(c,
		     "mboxevent_journal: %s is where old files are cleaned away, and each service "
		     "of systemd's may have a private one: move it, /var/spool/mboxevent is usual",
		     journal);
	int64_t least = conf_num(&c->mboxevent, "mboxevent_min_free");
	double all = (double)room.f_blocks, left = (double)room.f_bavail;
	if (all > 0 && left * 100 / all < (double)least)
		wrong(c,
		      "mboxevent_min_free: the file system of %s has %.1f %% left: below %lld %% "
		      "events are refused and lost",
		      journal, left * 100 / all, (long long)least);
}

/* Cyrus's processes run as this user, and the hook in them appends. */
static void check_owner(const struct check *c, const struct stat *st, const char *journal)
{
	const char *user = conf_get(c->conf, NULL, "cyrus_user");
	struct passwd *pw = getpwnam(user && *user ? user : "cyrus");
	if (pw && pw->pw_uid != st->st_uid)
		warn(c, "%s belongs to user id %u, not to %s, as whom Cyrus runs: chown it",
		     journal, (unsigned)st->st_uid, pw->pw_name);
	if (st->st_mode & (S_IRWXG | S_IRWXO))
		wrong(c, "%s has mode %04o: others can get at the mail events in it; chmod 0700",
		      journal, (unsigned)st->st_mode & 07777);
}

static void check_journal(const struct check *c)
{
	const char *journal = conf_str(&c->mboxevent, "mboxevent_journal");
	struct stat st;
	int dir = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		if (errno == ENOENT)
			warn(c,
			     "%s does not exist yet: notifyd makes it when it starts; until then "
			     "the hook loses every event",
			     journal);
		else if (errno == EACCES)
			warn(c, "%s: %s: run this as its owner or as root to check it", journal,
			     strerror(errno));
		else
			wrong(c, "mboxevent_journal: %s: %s", journal, strerror(errno));
		return;
	}
	if (fstat(dir, &st) == 0)
		check_owner(c, &st, journal);
	check_file_system(c, dir, journal);
	close(dir);
}

/* Whether it is set at all, for any service. */
static bool set_somewhere(const struct conf *conf, const char *key)
{
	const struct conf_entry *e;
	size_t n = conf_entries(conf, &e), len = strlen(key);
	for (size_t i = 0; i < n; i++) {
		size_t at = strlen(e[i].key);
		if (at < len || strcmp(e[i].key + at - len, key) != 0)
			continue;
		if (at == len || e[i].key[at - len - 1] == '_')
			return true;
	}
	return false;
}

static void check_cyrus(const struct check *c)
{
	char path[INGEST_PATH], *why = NULL;
	const char *forward = conf_str(&c->notifyd, "notifyd_forward");
	bool dlist;
	if (!set_somewhere(c->conf, "event_notifier"))
		warn(c, "event_notifier is not set: Cyrus emits no events at all; set "
		        "event_notifier: mboxevent");
	if (ingest_path(c->conf, path, &dlist, &why) < 0)
		wrong(c, "%s", why ? why : "out of memory");
	else if (forward && !strcmp(forward, path))
		wrong(c, "notifyd_forward: %s is notifysocket itself", forward);
	free(why);
#ifdef HOOK_PATH
	if (access(HOOK_PATH, R_OK) < 0)
		warn(c, "the hook %s: %s", HOOK_PATH, strerror(errno));
#endif
}

static void setting_error(void *ctx, const char *line)
{
	const struct check *c = ctx;
	c->found(c->ctx, true, line);
}

void check_configuration(const char *conf_path, void (*found)(void *, bool, const char *),
                         void *ctx)
{
	static const struct conf_option *const mboxevent[] = {mboxevent_options, NULL};
	static const struct conf_option *const notifyd[] = {notifyd_options, NULL};
	struct check c = {.found = found, .ctx = ctx};
	struct settings *settings = NULL;
	char *why = NULL;
	settings_load(&settings, conf_path, setting_error, &c);
	settings_free(&settings);
	/* errors in options leave the rest to be looked at; a file that can't be read does not */
	c.conf = conf_read(conf_path, &why);
	free(why);
	if (!c.conf)
		return;
	c.mboxevent = (struct conf_scope){c.conf, NULL, "", mboxevent};
	c.notifyd = (struct conf_scope){c.conf, NULL, "", notifyd};
	check_journal(&c);
	check_cyrus(&c);
	conf_free(&c.conf);
}

struct count {
	unsigned errors, warnings;
};

static void print(void *ctx, bool error, const char *line)
{
	struct count *n = ctx;
	*(error ? &n->errors : &n->warnings) += 1;
	printf("%s%s\n", error ? "" : "warning: ", line);
}

int ctl_check(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {CTL_OPTIONS};
	struct count n = {0};
	int opt;
	while ((opt = getopt_long(argc, argv, "hV", options, NULL)) != -1)
		return ctl_option(ctl, opt);
	if (optind < argc)
		return ctl_fail(EX_USAGE, "check: '%s' is not understood", argv[optind]);
	check_configuration(ctl->conf_path, print, &n);
	printf("%u errors, %u warnings\n", n.errors, n.warnings);
	return n.errors ? EX_CONFIG : EX_OK;
}
