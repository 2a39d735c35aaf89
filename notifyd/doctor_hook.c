/* SPDX-License-Identifier: BSD-3-Clause */
/* What is mapped into a process says what it has loaded: /proc/PID/maps. */
#include "doctor.h"
#include "plt.h"

#include "../lib/extras.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARY "/libcyrus_imap.so"
#define HOOK    "/cyrus.so"
#define GONE    " (deleted)"
#define NAMED   8 /* processes that a finding names */

struct look {
	const struct doctor *d;
	unsigned servers, without, hidden, old;
	char names[256]; /* of those without */
	char library[8192];
	unsigned long long hook_inode;
	bool versions; /* two hooks were seen */
};

/* The mail server's own programs, whose events matter; not its master, which makes none. */
static bool is_server(const char *comm)
{
	static const char *const names[] = {"imapd",      "lmtpd", "lmtpproxyd", "httpd",
	                                    "pop3d",      "nntpd", "calalarmd",  "sync_server",
	                                    "cyr_expire", NULL};

	for (const char *const *n = names; *n; n++)
		if (!strcmp(*n, comm))
			return true;
	return false;
}

static size_t slurp(long pid, const char *what, char *out, size_t size)
{
	char path[64];
	FILE *f;
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%ld/%s", pid, what);
	f = fopen(path, "re");
	if (f) {
		n = fread(out, 1, size - 1, f);
		fclose(f);
	}
	out[n] = '\0';
	return n;
}

/* Whether it was started with our configuration: -C FILE, or none and ours is the default. */
static bool is_ours(const struct look *l, long pid)
{
	char line[8192], a[4096], b[4096];
	const char *conf = "/etc/imapd.conf";
	size_t n = slurp(pid, "cmdline", line, sizeof(line));

	for (size_t i = 0; i < n; i += strlen(line + i) + 1)
		if (!strcmp(line + i, "-C") && i + 3 < n)
			conf = line + i + 3;
	if (!realpath(conf, a) || !realpath(l->d->conf_path, b))
		return !strcmp(conf, l->d->conf_path);
	return !strcmp(a, b);
}

static bool ends(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

static void look_at(struct look *l, long pid, const char *comm)
{
	char path[64], line[8192];
	bool library = false, hook = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/maps", pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f)) {
		l->hidden += !f && errno == EACCES;
		if (f)
			fclose(f);
		return;
	}
	l->servers++;
	do {
		unsigned long long inode;
		int at = 0;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %*s %*s %*s %llu %n", &inode, &at) < 1 || !at)
			continue;
		const char *file = line + at;
		const char *base = strrchr(file, '/');
		if (base && !strncmp(base, LIBRARY, strlen(LIBRARY))) {
			library = true;
			snprintf(l->library, sizeof(l->library), "%s", file);
		}
		if (!base || (strcmp(base, HOOK) != 0 && strcmp(base, HOOK GONE) != 0) || hook)
			continue;
		hook = true;
		l->old += ends(file, GONE);
		l->versions |= l->hook_inode && l->hook_inode != inode;
		l->hook_inode = inode;
	} while (fgets(line, sizeof(line), f));
	fclose(f);
	if (!library && hook)
		doctor_error(l->d,
		             "%s (pid %ld) has the hook but no libcyrus_imap.so: a static build, "
		             "whose calls no preloaded object sees; use the notify socket instead",
		             comm, pid);
	if (hook)
		return;
	if (l->without++ < NAMED) {
		size_t n = strlen(l->names);

		snprintf(l->names + n, sizeof(l->names) - n, "%s%s (%ld)", n ? ", " : "", comm,
		         pid);
	}
}

/* What makes stock Cyrus end by its own assertions, and the hook keeps it from. */
static void tell_crashes(const struct doctor *d)
{
	const char *mode = conf_get(d->settings->conf, NULL, "event_content_inclusion_mode");
	struct buf ignored = BUF_INIT;
	struct extras x;

	if (extras_read(&x, d->settings->conf, NULL, &ignored) == 0) {
		if (x.notifies && x.groups & GROUP_QUOTA)
			doctor_error(
			    d, "event_groups: quota: without the hook imapd and lmtpd of Cyrus "
			       "3.6 abort when a quota root with a STORAGE limit alone is "
			       "full; load the hook, or leave quota out");
		if (x.notifies && catalog_has(&x.params, PARAM_MESSAGE_CONTENT) && mode &&
		    strcasecmp(mode, "standard") != 0)
			doctor_error(
			    d,
			    "event_content_inclusion_mode: %s: without the hook imapd of Cyrus "
			    "3.6 aborts on APPEND when event_extra_params names "
			    "messageContent; load the hook, or set standard",
			    mode);
		extras_free(&x);
	}
	buf_free(&ignored);
}

void doctor_hook(const struct doctor *d)
{
	struct look l = {.d = d};
	DIR *proc = opendir("/proc");
	struct dirent *e;

	while (proc && (e = readdir(proc))) {
		char comm[64];
		long pid = strtol(e->d_name, NULL, 10);

		if (!isdigit((unsigned char)*e->d_name))
			continue;
		slurp(pid, "comm", comm, sizeof(comm));
		comm[strcspn(comm, "\n")] = '\0';
		if (is_server(comm) && is_ours(&l, pid))
			look_at(&l, pid, comm);
	}
	if (proc)
		closedir(proc);
	if (!l.servers && !l.hidden)
		doctor_warning(d,
		               "no mail process runs with %s: whether the hook is loaded can't be "
		               "seen; start Cyrus",
		               d->conf_path);
	if (l.hidden)
		doctor_warning(d, "%u mail processes can't be looked into: run this as root",
		               l.hidden);
	if (l.without)
		doctor_error(
		    d,
		    "the hook is not loaded in %u of %u mail processes: %s%s; set LD_PRELOAD in "
		    "the unit of Cyrus (systemctl edit cyrus-imapd, see README) and restart it",
		    l.without, l.servers, l.names, l.without > NAMED ? ", ..." : "");
	if (l.without)
		tell_crashes(d);
	if (l.old)
		doctor_warning(
		    d, "%u mail processes run a hook that was replaced since: restart Cyrus",
		    l.old);
	else if (l.versions)
		doctor_warning(d,
		               "two different hooks are loaded in mail processes: restart Cyrus");
	if (l.servers > l.without && *l.library && plt_calls(l.library, "notify") == 0)
		doctor_error(
		    d,
		    "the hook is loaded, but %s calls notify() directly (a -Bsymbolic build): "
		    "no event reaches it; use the notify socket instead",
		    l.library);
}
