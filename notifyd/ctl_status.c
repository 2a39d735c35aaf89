/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything is gathered into one JSON object; the table is printed from it. */
#include "ctl_backlog.h"
#include "ctl_status.h"
#include "dead.h"
#include "gone.h"
#include "losses.h"
#include "sink.h"
#include "stamp.h"
#include "status.h"

#include "../lib/identity.h"
#include "../lib/journal.h"
#include "../lib/journalconf.h"
#include "../lib/reader.h"
#include "../lib/room.h"
#include "../lib/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define LOCK         "notifyd.lock"
#define NAME_SIZE    64
#define DEFAULT_SINK "local"

/* --- gathering --- */

pid_t ctl_lock_holder(int dir)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = openat(dir, LOCK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return 0;
	int r = fcntl(fd, F_GETLK, &lock);
	close(fd);
	if (r < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid > 0 ? lock.l_pid : -1;
}

static json_t *iso(int64_t time)
{
	char s[STAMP_SIZE];
	stamp_iso(s, time);
	return json_string(s);
}

static void hex(char out[2 * 16 + 1], const unsigned char in[16])
{
	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", in[i]);
}

/* Those reasons for which there was a loss. */
static json_t *lost_reasons(int dir)
{
	uint64_t counts[LOST_REASONS];
	json_t *o = json_object();
	lost_read(dir, counts);
	for (int i = 0; i < LOST_REASONS; i++)
		if (counts[i])
			json_object_set_new(o, losses[i].name, json_integer((json_int_t)counts[i]));
	return o;
}

/* How long ago the last loss was counted; null: there was none. */
static json_t *lost_ago(int dir)
{
	struct stat st;
	if (!lost_total(dir) || fstatat(dir, "lost", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return json_null();
	double ago = (double)stamp_now() / 1e6 - (double)st.st_mtim.tv_sec;
	return json_real(ago > 0 ? ago : 0);
}

static struct conf_scope mboxevent_scope(const struct ctl *ctl)
{
	static const struct conf_option *const tables[] = {mboxevent_options, NULL};
	return (struct conf_scope){ctl->conf, NULL, "", tables};
}

/* What is left before events are refused. */
static json_t *room_object(const struct ctl *ctl, int dir)
{
	const struct conf_scope scope = mboxevent_scope(ctl);
	struct journal_options opt;
	const char *limit = "";
	journal_options_conf(&opt, &scope);
	int64_t left = room_left(dir, &opt, &limit);
	if (left < 0)
		return json_null();
	return json_pack("{s:I, s:s}", "left", (json_int_t)left, "limit", limit);
}

/* Whether events survive a power cut: who forces them to disk, how often, how far that is, and what
 * came of it. */
static json_t *sync_object(const struct ctl *ctl, int dir, bool running)
{
	const struct conf_scope scope = mboxevent_scope(ctl);
	int64_t interval = conf_num(&scope, "mboxevent_sync");
	char contents[STATUS_SIZE + 1];
	json_t *said = NULL, *unsynced = NULL, *error = NULL;
	if (interval > 0 && status_read(ctl->journal, STATUS_SYNC, contents) == 0)
		said = json_loads(contents, 0, NULL);
	const char *pos = json_string_value(json_object_get(said, "position"));
	const char *state = json_string_value(json_object_get(said, "state"));
	if (pos) {
		/* It goes on meanwhile: the end is to be looked at later. */
		uint64_t to = strtoull(pos, NULL, 16), end = journal_end(dir);
		if (to)
			unsynced = json_integer((json_int_t)reader_missing(to, end));
	}
	if (running && state && !strncmp(state, "failing", 7))
		error = json_string(state);
	json_decref(said);
	return json_pack("{s:s, s:o, s:o, s:o}", "mode",
	                 interval < 0 ? "always"
	                 : running    ? "interval"
	                              : "none",
	                 "interval", interval < 0 ? json_null() : json_integer(interval),
	                 "unsynced", unsynced ? unsynced : json_null(), "error",
	                 error ? error : json_null());
}

static json_t *journal_object(const struct ctl *ctl, int dir, bool running)
{
	const char *journal = ctl->journal;
	unsigned char uuid[16], former[16];
	char id[33] = "";
	char oldest[17], end[17];
	size_t segments;
	uint64_t bytes = lag_journal_size(journal, &segments);
	double rate = lag_rate(journal);
	if (journal_identity(dir, uuid, former) == 0)
		hex(id, uuid);
	snprintf(oldest, sizeof oldest, "%016llx", (unsigned long long)reader_oldest(dir));
	snprintf(end, sizeof end, "%016llx", (unsigned long long)journal_end(dir));
	return json_pack("{s:s, s:s, s:I, s:i, s:s, s:s, s:o, s:I, s:o, s:o, s:o, s:o}", "path",
	                 journal, "uuid", id, "bytes", (json_int_t)bytes, "segments", (int)segments,
	                 "oldest", oldest, "end", end, "eventsPerSecond",
	                 rate < 0 ? json_null() : json_real(rate), "lost",
	                 (json_int_t)lost_total(dir), "room", room_object(ctl, dir), "sync",
	                 sync_object(ctl, dir, running), "lostReasons", lost_reasons(dir),
	                 "lostSecondsAgo", lost_ago(dir));
}

/* A worker's own words; its times become ISO 8601. */
static json_t *worker_object(const char *journal, const char *sink, bool running)
{
	static const char *const times[] = {"since", "started", "updated", "errorTime"};
	char contents[STATUS_SIZE + 1], was[256];
	json_t *o = NULL;
	if (status_read(journal, sink, contents) == 0)
		o = json_loads(contents, 0, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		return json_pack("{s:s, s:s}", "state",
		                 running ? "not started yet" : "never started", "connection",
		                 "down");
	}
	for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
		json_t *t = json_object_get(o, times[i]);
		if (json_is_number(t))
			json_object_set_new(o, times[i],
			                    iso((int64_t)(json_number_value(t) * 1e6)));
	}
	json_object_del(o, "version");
	const char *state = json_string_value(json_object_get(o, "state"));
	pid_t pid = (pid_t)json_integer_value(json_object_get(o, "pid"));
	bool gone = pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH);
	if (!running || gone) {
		snprintf(was, sizeof was, "%s (was: %s)", running ? "restarting" : "not running",
		         state ? state : "unknown");
		json_object_set_new(o, "state", json_string(was));
		json_object_set_new(o, "connection", json_string("down"));
	}
	return o;
}

static json_t *dead_object(int dir, const char *sink)
{
	struct dead_summary s;
	if (dead_summary(dir, sink, &s) < 0)
		return json_null();
	return json_pack("{s:I, s:I, s:o, s:I}", "waiting", (json_int_t)s.waiting, "retrying",
	                 (json_int_t)s.asked, "since", s.since ? iso(s.since) : json_null(),
	                 "bytes", (json_int_t)s.bytes);
}

static bool required(const struct ctl *ctl, const char *name)
{
	static const struct conf_option *const tables[] = {sink_options, NULL};
	char prefix[sizeof "notifyd__" + NAME_SIZE];
	snprintf(prefix, sizeof prefix, "notifyd_%.*s_", NAME_SIZE, name);
	const struct conf_scope scope = {ctl->conf, NULL, prefix, tables};
	return conf_num(&scope, "required") != 0;
}

/* What was deleted before it was delivered by way of these cursors of a sink; null: nothing. What a
 * worker has not come by yet, because it can't deliver, is to be seen from its position. */
static json_t *gone_object(int dir, const char *name, const struct backlog *list, size_t n)
{
	struct gone sum = {0};
	uint64_t oldest = reader_oldest(dir);
	for (size_t i = 0; i < n; i++) {
		struct gone g;
		if (list[i].sink_len != strlen(name) || memcmp(list[i].name, name, strlen(name)))
			continue;
		gone_read(dir, list[i].name, &g);
		uint64_t pos = list[i].lag.pos;
		uint64_t more = pos && oldest ? reader_missing(pos, oldest - SEGMENT_HEADER) : 0;
		if (more) {
			bool again = g.times && pos <= g.from;
			g.bytes += again ? more - g.last : more;
			g.times += !again;
			g.from = pos;
			g.to = oldest;
			g.time = stamp_now();
		}
		sum.times += g.times;
		sum.bytes += g.bytes;
		if (g.time > sum.time) {
			sum.time = g.time;
			sum.from = g.from;
			sum.to = g.to;
		}
	}
	if (!sum.times)
		return json_null();
	char from[17], to[17];
	snprintf(from, sizeof from, "%016llx", (unsigned long long)sum.from);
	snprintf(to, sizeof to, "%016llx", (unsigned long long)sum.to);
	return json_pack("{s:I, s:I, s:s, s:s}", "times", (json_int_t)sum.times, "bytes",
	                 (json_int_t)sum.bytes, "from", from, "to", to);
}

static json_t *sink_object(const struct ctl *ctl, int dir, const char *name,
                           const struct backlog *list, size_t n, bool running)
{
	char key[sizeof "notifyd__type" + NAME_SIZE];
	snprintf(key, sizeof key, "notifyd_%.*s_type", NAME_SIZE, name);
	const char *type = conf_get(ctl->conf, NULL, key);
	json_t *o = worker_object(ctl->journal, name, running);
	json_int_t subs = 0;
	if (!type && !strcmp(name, DEFAULT_SINK))
		type = "unix";
	if (!strcmp(name, "reset")) /* notifyd's own */
		type = name;
	json_object_set_new(o, "name", json_string(name));
	json_object_set_new(o, "type", type ? json_string(type) : json_null());
	json_object_set_new(o, "deadLetters", dead_object(dir, name));
	json_object_set_new(o, "required", json_boolean(required(ctl, name)));
	json_object_set_new(o, "gone", gone_object(dir, name, list, n));
	json_object_set_new(o, "lag", json_null());
	for (size_t i = 0; i < n; i++) {
		if (list[i].sink_len != strlen(name) || memcmp(list[i].name, name, strlen(name)))
			continue;
		if (list[i].sub)
			subs++;
		else
			json_object_set_new(o, "lag", ctl_lag_object(&list[i].lag));
	}
	json_object_set_new(o, "subscriptions", json_integer(subs));
	return o;
}

static json_t *sinks_array(const struct ctl *ctl, int dir, const struct backlog *list, size_t n,
                           bool running)
{
	const char *words = conf_str(&ctl->notifyd, "notifyd_sinks");
	json_t *array = json_array();
	char *copy = strdup(words && *words ? words : DEFAULT_SINK), *save = NULL;
	for (char *w = copy ? strtok_r(copy, " \t", &save) : NULL; w;
	     w = strtok_r(NULL, " \t", &save))
		if (strlen(w) <= NAME_SIZE && !strchr(w, '/'))
			json_array_append_new(array, sink_object(ctl, dir, w, list, n, running));
	if (conf_num(&ctl->notifyd, "notifyd_mailbox_reset"))
		json_array_append_new(array, sink_object(ctl, dir, "reset", list, n, running));
	free(copy);
	return array;
}

static json_t *status_object(const struct ctl *ctl, int dir, const struct backlog *list, size_t n)
{
	pid_t pid = ctl_lock_holder(dir);
	json_t *subs = ctl_subscription_array(list, n);
	return json_pack("{s:o, s:{s:b, s:o}, s:o, s:o}", "journal",
	                 journal_object(ctl, dir, pid != 0), "notifyd", "running", pid != 0, "pid",
	                 pid > 0 ? json_integer(pid) : json_null(), "sinks",
	                 sinks_array(ctl, dir, list, n, pid != 0), "subscriptions", subs);
}

/* --- printing --- */

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void print_sync(const json_t *sync)
{
	char size[STAMP_SIZE];
	const json_t *unsynced = json_object_get(sync, "unsynced");
	const char *mode = text(sync, "mode");
	ctl_size_text(size, number(sync, "unsynced"));
	if (!strcmp(mode, "always")) {
		puts("sync      always: an event is on the disk before the mail server goes on");
		return;
	}
	if (!strcmp(mode, "none"))
		fputs("sync      none while notifyd is down: the kernel writes to disk in its own "
		      "time,\n          and what it has not would not survive a power cut",
		      stdout);
	else
		printf("sync      every %lld ms", (long long)number(sync, "interval"));
	if (*text(sync, "error"))
		printf("; %s", text(sync, "error"));
	if (json_is_integer(unsynced))
		printf("; not yet forced to disk: %s", number(sync, "unsynced") ? size : "nothing");
	putchar('\n');
}

static void print_room(const json_t *room)
{
	char size[STAMP_SIZE];
	if (!json_is_object(room))
		return;
	ctl_size_text(size, number(room, "left"));
	if (number(room, "left"))
		printf("room      %s more until events are refused (%s)\n", size,
		       text(room, "limit"));
	else
		printf("room      none: events are refused and counted as lost (%s)\n",
		       text(room, "limit"));
}

static void print_lost(const json_t *journal)
{
	const json_t *reasons = json_object_get(journal, "lostReasons");
	printf("lost      %lld events since the journal was made\n",
	       (long long)number(journal, "lost"));
	for (int i = 0; i < LOST_REASONS; i++) {
		json_int_t n = number(reasons, losses[i].name);
		if (n)
			printf("          %lld %s: %s\n", (long long)n, losses[i].name,
			       losses[i].why);
	}
}

static void print_journal(const json_t *journal, const json_t *notifyd)
{
	char size[STAMP_SIZE];
	const json_t *rate = json_object_get(journal, "eventsPerSecond");
	ctl_size_text(size, number(journal, "bytes"));
	if (json_is_true(json_object_get(notifyd, "running")))
		printf("notifyd   running, pid %lld\n", (long long)number(notifyd, "pid"));
	else
		puts("notifyd   is down: events are kept, nothing is delivered");
	printf("journal   %s\n", text(journal, "path"));
	printf("uuid      %s\n", text(journal, "uuid"));
	json_int_t segments = number(journal, "segments");
	printf("size      %s in %lld segment%s\n", size, (long long)segments,
	       segments == 1 ? "" : "s");
	if (json_is_number(rate))
		printf("rate      %.1f events/s over the last 10 s\n", json_number_value(rate));
	print_sync(json_object_get(journal, "sync"));
	print_room(json_object_get(journal, "room"));
	print_lost(journal);
}

static void print_dead(const char *sink, const json_t *dead)
{
	json_int_t n = number(dead, "waiting"), again = number(dead, "retrying");
	if (!n)
		return;
	printf("%-12s %lld dead letter%s since %s", "", (long long)n, n == 1 ? "" : "s",
	       text(dead, "since"));
	if (again)
		printf(", %lld to be sent again", (long long)again);
	printf(": notifyctl dead-letters list %s\n", sink);
}

static void print_sinks(const json_t *sinks)
{
	size_t i;
	const json_t *o;
	printf("\n%-12s %-8s %-38s %12s %8s  %s\n", "SINK", "TYPE", "STATE", "DELIVERED", "DROPPED",
	       "BEHIND");
	json_array_foreach(sinks, i, o)
	{
		char lag[CTL_LAG_TEXT];
		json_int_t subs = number(o, "subscriptions");
		ctl_lag_text(lag, json_object_get(o, "lag"));
		if (subs)
			snprintf(lag, sizeof lag, "(%lld subscription%s)", (long long)subs,
			         subs == 1 ? "" : "s");
		printf("%-12s %-8s %-38s %12lld %8lld  %s\n", text(o, "name"), text(o, "type"),
		       text(o, "state"), (long long)number(o, "delivered"),
		       (long long)number(o, "dropped"), lag);
		const json_t *gone = json_object_get(o, "gone");
		if (!json_is_true(json_object_get(o, "required")))
			printf("%-12s not required: its backlog gives way when room is short\n",
			       "");
		if (json_is_object(gone)) {
			ctl_size_text(lag, number(gone, "bytes"));
			printf("%-12s %s deleted before it had them, %lld time%s, last %s to %s\n",
			       "", lag, (long long)number(gone, "times"),
			       number(gone, "times") == 1 ? "" : "s", text(gone, "from"),
			       text(gone, "to"));
		}
		if (*text(o, "error"))
			printf("%-12s last error %s: %s\n", "", text(o, "errorTime"),
			       text(o, "error"));
		print_dead(text(o, "name"), json_object_get(o, "deadLetters"));
	}
}

static void print_subscriptions(const json_t *subs)
{
	size_t i, unread = 0;
	const json_t *o;
	json_array_foreach(subs, i, o)
	{
		unread += number(json_object_get(o, "lag"), "events") > 0;
	}
	if (unread)
		printf("\n%zu of %zu subscriptions have unread events: notifyctl subscriptions\n",
		       unread, json_array_size(subs));
}

static void print_attention(const json_t *attention)
{
	size_t i;
	const json_t *o;
	if (json_array_size(attention))
		putchar('\n');
	json_array_foreach(attention, i, o)
	{
		printf("look: %s\n", json_string_value(o));
	}
}

void ctl_status_print(const json_t *o)
{
	print_journal(json_object_get(o, "journal"), json_object_get(o, "notifyd"));
	print_sinks(json_object_get(o, "sinks"));
	print_subscriptions(json_object_get(o, "subscriptions"));
	print_attention(json_object_get(o, "attention"));
}

int ctl_status_read(const struct ctl *ctl, json_t **status_r, char **why_r)
{
	struct backlog *list;
	size_t n;
	*why_r = NULL;
	int dir = open(ctl->journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		int code = errno == EACCES ? EX_NOPERM : EX_NOINPUT;
		if (asprintf(why_r, "the journal %s: %s", ctl->journal, strerror(errno)) < 0)
			*why_r = NULL;
		return code;
	}
	if (backlog_read(ctl->journal, &list, &n, why_r) < 0) {
		close(dir);
		return EX_IOERR;
	}
	*status_r = status_object(ctl, dir, list, n);
	backlog_free(&list, n);
	close(dir);
	if (!*status_r)
		return EX_OSERR;
	json_object_set_new(*status_r, "attention", ctl_attention(*status_r));
	return EX_OK;
}

int ctl_status(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"json", no_argument, NULL, 'j'},
	    {"watch", no_argument, NULL, 'w'},
	    CTL_OPTIONS,
	};
	bool json = false, watch = false;
	char *why;
	json_t *o;
	int opt;
	while ((opt = getopt_long(argc, argv, "jwhV", options, NULL)) != -1) {
		if (opt == 'j')
			json = true;
		else if (opt == 'w')
			watch = true;
		else
			return ctl_option(ctl, opt);
	}
	if (optind < argc)
		return ctl_fail(EX_USAGE, "status: '%s' is not understood", argv[optind]);
	if (watch)
		return ctl_watch(ctl, json);

	int code = ctl_status_read(ctl, &o, &why);
	if (code) {
		ctl_fail(code, "%s", why ? why : "out of memory");
		free(why);
		return code;
	}
	if (json) {
		json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
		putchar('\n');
	} else {
		ctl_status_print(o);
	}
	bool well = json_array_size(json_object_get(o, "attention")) == 0;
	json_decref(o);
	return well ? EX_OK : CTL_ATTENTION;
}
