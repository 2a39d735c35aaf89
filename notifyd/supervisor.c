/* SPDX-License-Identifier: BSD-3-Clause */
#include "supervisor.h"

#include "../lib/identity.h"
#include "../lib/journal.h"
#include "../lib/segment.h"
#include "inlet.h"
#include "keeper.h"
#include "link.h"
#include "log.h"
#include "privilege.h"
#include "relief.h"
#include "syncer.h"
#include "systemd.h"
#include "tally.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum {
	TICK_MS = 1000,       /* trimming, stalls, a socket that somebody else serves */
	RESTART_MIN_MS = 100, /* a child that dies is started again after this, doubling */
	RESTART_MAX_MS = 30000,
	STEADY_MS = 60000, /* alive for so long: the doubling begins anew */
	FINISH_MS = 10000, /* for children to finish after SIGTERM */
	READY_MS = 10000,  /* a child that says nothing for so long keeps nobody waiting */
	REBIND_MS = 5000,  /* between two looks at the socket of ingest */
};

struct supervisor;

struct child {
	struct supervisor *super;
	char name[64];        /* of its sink; "ingest", "metrics" */
	enum tally_kind kind; /* what it is */
	struct tally_process *tally;
	uv_process_t process;
	uv_pipe_t link;
	uv_timer_t restart;
	int handles; /* open ones; the last to close frees a child that is going */
	bool running, going, idle;
	bool begun; /* it said LINK_READY; ingest's socket is there before it is */
	bool again; /* it ends at our word, to be started on the new configuration */
	uint64_t started, alive;
	unsigned backoff, row; /* deaths in a row */
};

struct supervisor {
	const char *conf_path;
	struct settings *settings;
	int journalfd, lock, conf_fd, tally_fd;
	struct tally *tally; /* NULL: nothing is counted */
	struct inlet inlet;
	uint64_t rebind; /* loop time of the next look at it */
	bool ready;
	uint64_t began;
	uint64_t ticked;
	int code; /* exit status */

	uv_loop_t loop;
	uv_signal_t term, intr, hup;
	uv_timer_t tick, finish;
	struct child **children;
	size_t n_children;
	bool stopping;

	int inotify, dir_watch;
	uv_poll_t watch;
	bool armed;

	struct syncer syncer;
	struct relief *relief;
};

static void start(struct child *c);

/* --- the journal's one watch --- */

static void say(struct child *c, char byte)
{
	uv_buf_t b = uv_buf_init(&byte, 1);
	if (c->running)
		uv_try_write((uv_stream_t *)&c->link, &b, 1);
}

static void wake_all(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_children; i++)
		if (s->children[i]->idle) {
			s->children[i]->idle = false;
			say(s->children[i], LINK_LOOK);
		}
}

/* A watch that fires costs a writer ten times its append, so it fires once, and stands only while
 * everybody is idle. */
static void arm(struct supervisor *s)
{
	if (s->armed)
		return;
	static ssize_t (*const lists[])(int, uint64_t **) = {segment_list, segment_list_older};
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		char path[4096], name[SEGMENT_NAME + 1];
		uint64_t *bases;
		ssize_t n = lists[i](s->journalfd, &bases);
		if (n > 0) {
			segment_name(name, bases[n - 1]);
			snprintf(path, sizeof path, "/proc/self/fd/%d/%s", s->journalfd, name);
			inotify_add_watch(s->inotify, path, IN_MODIFY | IN_ONESHOT);
		}
		if (n >= 0)
			free(bases);
	}
	s->armed = true;
}

static void make_room(struct supervisor *s)
{
	keeper_trim(s->settings, s->journalfd);
	relief_look(s->relief, s->settings, s->journalfd);
}

static void on_watch(uv_poll_t *p, int status, int events)
{
	struct supervisor *s = p->data;
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool begun = false;
	ssize_t n;
	(void)status;
	(void)events;
	while ((n = read(s->inotify, buf, sizeof buf)) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const struct inotify_event *)(buf + at);
			begun |= e->wd == s->dir_watch;
			at += (ssize_t)sizeof *e + e->len;
		}
	s->armed = false;
	wake_all(s);
	/* Writers that are fast may need room before the next second. */
	if (begun && !s->stopping)
		make_room(s);
}

/* --- children --- */

static void closed(uv_handle_t *h)
{
	struct child *c = h->data;
	c->handles--;
	if (c->handles == 0 && c->going)
		free(c);
}

static void forget(struct child *c)
{
	struct supervisor *s = c->super;
	for (size_t i = 0; i < s->n_children; i++)
		if (s->children[i] == c)
			s->children[i] = s->children[--s->n_children];
	c->going = true;
	uv_close((uv_handle_t *)&c->restart, closed);
	if (s->stopping && s->n_children == 0)
		uv_stop(&s->loop);
}

static void restart_now(uv_timer_t *t)
{
	start(t->data);
}

static void on_exit_child(uv_process_t *p, int64_t code, int sig)
{
	struct child *c = p->data;
	struct supervisor *s = c->super;
	uint64_t now = uv_now(&s->loop);
	c->running = c->idle = false;
	uv_close((uv_handle_t *)&c->process, closed);
	uv_close((uv_handle_t *)&c->link, closed);
	if (s->stopping || c->going || c->again)
		tally_ended(c->tally, 0);
	if (s->stopping || c->going) {
		if (sig)
			log_incident(LOG_LEVEL_WARNING, c->name, LOG_NOPOS,
			             "ended by signal %d while stopping", sig);
		if (c->going) /* its sink is gone, or its settings changed and another took over */
			uv_close((uv_handle_t *)&c->restart, closed);
		else
			forget(c);
		return;
	}
	if (c->again) {
		c->again = false;
		uv_timer_start(&c->restart, restart_now, 0, 0);
		return;
	}
	if (now - c->started >= STEADY_MS)
		c->backoff = c->row = 0;
	tally_ended(c->tally, ++c->row);
	c->backoff = !c->backoff                       ? RESTART_MIN_MS
	             : c->backoff * 2 < RESTART_MAX_MS ? c->backoff * 2
	                                               : RESTART_MAX_MS;
	if (sig)
		log_incident(LOG_LEVEL_ERROR, c->name, LOG_NOPOS,
		             "killed by signal %d; starting it again in %u ms", sig, c->backoff);
	else
		log_incident(LOG_LEVEL_ERROR, c->name, LOG_NOPOS,
		             "exited with status %d; starting it again in %u ms", (int)code,
		             c->backoff);
	uv_timer_start(&c->restart, restart_now, c->backoff, 0);
}

/* Clients that the manager starts after us must find the sinks' sockets. */
static void tell_ready(struct supervisor *s)
{
	if (s->ready || s->stopping)
		return;
	if (uv_now(&s->loop) - s->began < READY_MS)
		for (size_t i = 0; i < s->n_children; i++)
			if (!s->children[i]->begun)
				return;
	s->ready = true;
	systemd_tell("READY=1\nSTATUS=%zu sinks; see notifyctl status", s->settings->n_sinks);
}

static void give_buffer(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
	static char bytes[256];
	(void)h;
	(void)size;
	*buf = uv_buf_init(bytes, sizeof bytes);
}

static void on_link(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct child *c = stream->data;
	if (n < 0) {
		uv_read_stop(stream);
		return;
	}
	c->alive = uv_now(&c->super->loop);
	for (ssize_t i = 0; i < n; i++)
		if (buf->base[i] == LINK_READY) {
			c->begun = true;
			tell_ready(c->super);
		} else if (buf->base[i] == LINK_IDLE) {
			arm(c->super);
			c->idle = true;
			/* Whatever came before the watch stood is seen by the look that this
			 * answer makes the worker take. */
			say(c, LINK_LOOK);
		}
}

static void start(struct child *c)
{
	struct supervisor *s = c->super;
	bool ingest = c->kind == TALLY_INGEST;
	int more = ingest ? s->inlet.now.fd : s->tally_fd;
	uv_stdio_container_t stdio[6] = {
	    {.flags = UV_IGNORE},
	    {.flags = UV_INHERIT_FD, .data.fd = 1},
	    {.flags = UV_INHERIT_FD, .data.fd = 2},
	    {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE,
	     .data.stream = (uv_stream_t *)&c->link},
	    {.flags = UV_INHERIT_FD, .data.fd = s->conf_fd},
	    {.flags = UV_INHERIT_FD, .data.fd = more},
	};
	/* The very configuration that was checked, whatever happens to the file meanwhile. */
	char *args[] = {"notifyd",
	                "-C",
	                "/proc/self/fd/4",
	                ingest                     ? "--ingest"
	                : c->kind == TALLY_METRICS ? "--metrics"
	                                           : "--worker",
	                !ingest              ? c->name
	                : s->inlet.now.dlist ? "dlist"
	                                     : "datagram",
	                NULL};
	if (c->kind == TALLY_METRICS)
		args[4] = NULL;
	uv_process_options_t opt = {
	    .exit_cb = on_exit_child,
	    .file = "/proc/self/exe",
	    .args = args,
	    .stdio = stdio,
	    .stdio_count = c->kind == TALLY_SINK ? 5 : 6,
	};
	uv_pipe_init(&s->loop, &c->link, 0);
	c->process.data = c->link.data = c;
	c->handles += 2;
	c->started = c->alive = uv_now(&s->loop);
	int r = uv_spawn(&s->loop, &c->process, &opt);
	if (r < 0) {
		log_incident(LOG_LEVEL_ERROR, c->name, LOG_NOPOS,
		             "cannot start it: %s; again in 5 s", uv_strerror(r));
		uv_close((uv_handle_t *)&c->process, closed);
		uv_close((uv_handle_t *)&c->link, closed);
		uv_timer_start(&c->restart, restart_now, 5000, 0);
		return;
	}
	c->running = true;
	tally_started(c->tally, uv_process_get_pid(&c->process));
	uv_read_start((uv_stream_t *)&c->link, give_buffer, on_link);
}

static void add_child(struct supervisor *s, const char *name, enum tally_kind kind)
{
	struct child *c = calloc(1, sizeof *c);
	struct child **more = realloc(s->children, (s->n_children + 1) * sizeof *more);
	if (more)
		s->children = more;
	if (!c || !more) {
		free(c);
		log_incident(LOG_LEVEL_ERROR, name, LOG_NOPOS, "cannot start it: out of memory");
		return;
	}
	s->children[s->n_children++] = c;
	c->super = s;
	c->kind = kind;
	c->begun = kind != TALLY_SINK;
	snprintf(c->name, sizeof c->name, "%s", name);
	c->tally = tally_process(s->tally, kind, name);
	uv_timer_init(&s->loop, &c->restart);
	c->restart.data = c;
	c->handles = 1;
	start(c);
}

static void finish(struct child *c)
{
	/* as systemd does to the whole group: it empties its socket first */
	if (c->kind == TALLY_INGEST)
		uv_process_kill(&c->process, SIGTERM);
	else
		say(c, LINK_STOP);
}

/* Lets it finish; nobody takes its place. */
static void retire(struct child *c)
{
	struct supervisor *s = c->super;
	for (size_t i = 0; i < s->n_children; i++)
		if (s->children[i] == c)
			s->children[i] = s->children[--s->n_children];
	c->going = true;
	tally_retired(c->tally);
	c->tally = NULL; /* its sink's next process may begin before it ends */
	uv_timer_stop(&c->restart);
	if (c->running)
		finish(c);
	else
		uv_close((uv_handle_t *)&c->restart, closed);
}

/* --- the stock socket --- */

static void bind_ingest(struct supervisor *s)
{
	if (inlet_open(&s->inlet, s->settings->conf))
		add_child(s, "ingest", TALLY_INGEST);
}

/* Every REBIND_MS: a socket that was somebody's may be free now, and ours may be gone. */
static void watch_ingest(struct supervisor *s)
{
	s->rebind = uv_now(&s->loop) + REBIND_MS;
	if (inlet_taken(&s->inlet)) {
		for (size_t i = 0; i < s->n_children; i++)
			if (s->children[i]->kind == TALLY_INGEST)
				retire(s->children[i--]);
		inlet_close(&s->inlet);
	}
	if (s->inlet.now.fd < 0)
		bind_ingest(s);
}

/* --- timers and signals --- */

static void on_finish(uv_timer_t *t)
{
	struct supervisor *s = t->data;
	for (size_t i = 0; i < s->n_children; i++)
		if (s->children[i]->running)
			uv_process_kill(&s->children[i]->process, SIGKILL);
}

static void stop(struct supervisor *s)
{
	s->stopping = true;
	for (size_t i = s->n_children; i-- > 0;) {
		struct child *c = s->children[i];
		if (c->running) {
			finish(c);
		} else {
			uv_timer_stop(&c->restart);
			forget(c);
		}
	}
	if (s->n_children == 0)
		uv_stop(&s->loop);
	uv_timer_start(&s->finish, on_finish, FINISH_MS, 0);
}

static void on_term(uv_signal_t *h, int sig)
{
	struct supervisor *s = h->data;
	if (s->stopping)
		return;
	log_incident(LOG_LEVEL_INFO, NULL, LOG_NOPOS, "stopping (signal %d)", sig);
	systemd_tell("STOPPING=1");
	stop(s);
}

/* Writers open the journal by its name: in a directory that has lost that name nothing comes any
 * more, and what is in the new one has no worker. */
static void check_journal(struct supervisor *s)
{
	const char *dir = conf_str(&s->settings->mboxevent, "mboxevent_journal");
	struct stat ours, theirs;
	if (s->stopping || fstat(s->journalfd, &ours) < 0 ||
	    (stat(dir, &theirs) < 0 && errno != ENOENT && errno != ENOTDIR))
		return;
	if (stat(dir, &theirs) == 0 && ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)
		return;
	log_incident(LOG_LEVEL_ERROR, NULL, LOG_NOPOS,
	             "the journal directory %s was removed or replaced: stopping; start notifyd "
	             "again",
	             dir);
	s->code = EX_CANTCREAT;
	stop(s);
}

static void on_tick(uv_timer_t *t)
{
	struct supervisor *s = t->data;
	uint64_t now = uv_now(&s->loop);
	uint64_t stall = (uint64_t)conf_num(&s->settings->notifyd, "notifyd_stall");
	/* It was we who did not listen, stopped or on a machine that was: all begin anew. */
	bool away = now - s->ticked > 3 * TICK_MS;
	s->ticked = now;
	tally_tick(s->tally);
	for (size_t i = 0; i < s->n_children; i++) {
		struct child *c = s->children[i];
		if (away)
			c->alive = now;
		if (c->running && c->row && now - c->started >= STEADY_MS) {
			c->row = 0;
			tally_steady(c->tally);
		}
		if (!c->running || now - c->alive < stall)
			continue;
		log_incident(LOG_LEVEL_ERROR, c->name, LOG_NOPOS,
		             "said nothing for %llu s; it is killed and started again",
		             (unsigned long long)((now - c->alive) / 1000));
		uv_process_kill(&c->process, SIGKILL);
		c->alive = now;
	}
	if (systemd_watchdog())
		systemd_tell("WATCHDOG=1");
	tell_ready(s);
	check_journal(s);
	if (now >= s->rebind && !s->stopping)
		watch_ingest(s);
	make_room(s);
}

static void reload_error(void *ctx, const char *line)
{
	(void)ctx;
	log_incident(LOG_LEVEL_ERROR, NULL, LOG_NOPOS, "%s", line);
}

/* A memory file with the flattened configuration, for the children. */
static int flatten(const struct settings *settings)
{
	int fd = memfd_create("imapd.conf", MFD_CLOEXEC);
	if (fd >= 0 && conf_dump(settings->conf, fd) < 0) {
		close(fd);
		fd = -1;
	}
	if (fd < 0)
		log_incident(LOG_LEVEL_ERROR, NULL, LOG_NOPOS,
		             "cannot hand the configuration to workers: %s", strerror(errno));
	return fd;
}

static struct child *child_of(const struct supervisor *s, enum tally_kind kind)
{
	for (size_t i = 0; i < s->n_children; i++)
		if (s->children[i]->kind == kind)
			return s->children[i];
	return NULL;
}

/* The metrics process as the configuration has it; one that is there begins anew with it. How many
 * were replaced. */
static size_t serve_metrics(struct supervisor *s)
{
	struct child *c = child_of(s, TALLY_METRICS);
	bool wanted = s->tally && conf_isset(&s->settings->notifyd, "notifyd_metrics");
	if (!c && wanted)
		add_child(s, "metrics", TALLY_METRICS);
	else if (c && !wanted)
		retire(c);
	else if (c && c->running) {
		c->again = true;
		finish(c);
	}
	return c != NULL;
}

static void reload(struct supervisor *s)
{
	struct settings *new;
	if (settings_load(&new, s->conf_path, reload_error, NULL) < 0) {
		log_incident(LOG_LEVEL_ERROR, NULL, LOG_NOPOS,
		             "the configuration is not taken; the one before stays in force");
		return;
	}
	if (strcmp(conf_str(&new->mboxevent, "mboxevent_journal"),
	           conf_str(&s->settings->mboxevent, "mboxevent_journal")) != 0) {
		log_incident(LOG_LEVEL_ERROR, NULL, LOG_NOPOS,
		             "mboxevent_journal changed: restart notifyd for that; the "
		             "configuration before stays in force");
		settings_free(&new);
		return;
	}
	int fd = flatten(new);
	if (fd < 0) {
		settings_free(&new);
		return;
	}
	struct settings *old = s->settings;
	close(s->conf_fd);
	s->conf_fd = fd;
	s->settings = new;
	size_t kept = 0, changed = 0;
	for (size_t i = s->n_children; i-- > 0;) {
		struct child *c = s->children[i];
		if (c->kind != TALLY_SINK)
			continue;
		const struct sink *was = settings_sink(old, c->name);
		const struct sink *is = settings_sink(new, c->name);
		if (was && is && settings_same_sink(was, is)) {
			say(c, LINK_REOPEN);
			kept++;
		} else {
			retire(c);
			changed++;
		}
	}
	for (size_t i = 0; i < new->n_sinks; i++) {
		bool there = false;
		for (size_t k = 0; k < s->n_children; k++)
			there |= s->children[k]->kind == TALLY_SINK &&
			         strcmp(s->children[k]->name, new->sinks[i].name) == 0;
		if (!there)
			add_child(s, new->sinks[i].name, TALLY_SINK);
	}
	changed += serve_metrics(s);
	struct child *ingest = child_of(s, TALLY_INGEST);
	changed += ingest != NULL;
	/* The socket stays while its path does: what waits in it is not lost. The next process
	 * begins when the one before has ended, or the two would mix up the order. */
	if (inlet_serves(&s->inlet, new->conf)) {
		if (ingest && ingest->running) {
			ingest->again = true;
			finish(ingest);
		}
	} else {
		if (ingest)
			retire(ingest);
		inlet_close(&s->inlet);
		s->inlet.told = false;
		bind_ingest(s);
	}
	syncer_set(&s->syncer, conf_num(&s->settings->mboxevent, "mboxevent_sync"));
	settings_free(&old);
	log_incident(LOG_LEVEL_INFO, NULL, LOG_NOPOS,
	             "configuration reloaded: %zu sinks unchanged, %zu processes replaced", kept,
	             changed);
}

static void on_hup(uv_signal_t *h, int sig)
{
	struct supervisor *s = h->data;
	(void)sig;
	if (s->stopping)
		return;
	systemd_reloading();
	reload(s);
	systemd_tell("READY=1\nSTATUS=%zu sinks; see notifyctl status", s->settings->n_sinks);
}

/* --- beginning and end --- */

/* A POSIX record lock: it is the supervisor's alone, children do not inherit it, and it is free
 * the moment the supervisor is gone, however it went. */
static int lock_journal(struct supervisor *s, const char *dir)
{
	s->lock = openat(s->journalfd, "notifyd.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock < 0 || segment_adopt(s->journalfd, s->lock) < 0) {
		fprintf(stderr, "notifyd: cannot make %s/notifyd.lock: %s\n", dir, strerror(errno));
		return EX_CANTCREAT;
	}
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	if (fcntl(s->lock, F_SETLK, &lock) < 0) {
		fcntl(s->lock, F_GETLK, &lock);
		fprintf(
		    stderr,
		    "notifyd: another notifyd (pid %ld) serves the journal %s: stop it first, or "
		    "give this one a mboxevent_journal of its own\n",
		    lock.l_type == F_UNLCK ? 0L : (long)lock.l_pid, dir);
		return EX_TEMPFAIL;
	}
	return 0;
}

static void at_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

/* Takes over why; errno says why without it. */
static int cannot_start(struct supervisor *s, const char *what, char *why)
{
	fprintf(stderr, "notifyd: %s%s%s\n", what, *what ? ": " : "", why ? why : strerror(errno));
	free(why);
	if (s->journalfd >= 0)
		close(s->journalfd);
	return EX_CANTCREAT;
}

int supervisor_main(const char *conf_path, struct settings *settings)
{
	struct supervisor s = {.journalfd = -1, .conf_path = conf_path, .settings = settings};
	inlet_init(&s.inlet);
	const char *dir = conf_str(&settings->mboxevent, "mboxevent_journal");
	char *why = NULL;

	signal(SIGPIPE, SIG_IGN);
	systemd_open();
	if (privilege_drop(settings, &why) < 0)
		return cannot_start(&s, "", why);
	/* The lock comes first: journal_init() may give the journal a new identity. */
	if (mkdir(dir, 0700) == 0 || errno == EEXIST)
		s.journalfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s.journalfd < 0)
		return cannot_start(&s, dir, NULL);
	int r = lock_journal(&s, dir);
	if (r) {
		close(s.journalfd);
		return r;
	}
	if (journal_init(dir, &why) < 0)
		return cannot_start(&s, "", why);
	s.conf_fd = flatten(settings);
	s.tally = tally_make(&s.tally_fd);
	if (s.tally)
		s.tally->counted = journal_end(s.journalfd);
	else
		fprintf(stderr, "notifyd: no metrics: %s\n", strerror(errno));
	s.inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s.conf_fd < 0 || s.inotify < 0 || uv_loop_init(&s.loop) < 0) {
		fprintf(stderr, "notifyd: cannot start: %s\n", strerror(errno));
		return EX_OSERR;
	}
	log_open("notifyd", conf_num(&settings->notifyd, "notifyd_log") == SETTINGS_LOG_SYSLOG);
	/* A segment that others start is news as well; appends do not touch the directory. */
	char home[4096], name[SEGMENT_TMP];
	segment_place(name, SEGMENT_VERSION, "");
	snprintf(home, sizeof home, "%s/%s", dir, name);
	inotify_add_watch(s.inotify, dir, IN_CREATE | IN_ONLYDIR); /* older processes' */
	s.dir_watch = inotify_add_watch(s.inotify, home, IN_CREATE | IN_ONLYDIR);

	uv_poll_init(&s.loop, &s.watch, s.inotify);
	uv_signal_init(&s.loop, &s.term);
	uv_signal_init(&s.loop, &s.intr);
	uv_signal_init(&s.loop, &s.hup);
	uv_timer_init(&s.loop, &s.tick);
	uv_timer_init(&s.loop, &s.finish);
	s.watch.data = s.term.data = s.intr.data = s.hup.data = s.tick.data = &s;
	s.finish.data = &s;
	uv_poll_start(&s.watch, UV_READABLE, on_watch);
	uv_signal_start(&s.term, on_term, SIGTERM);
	uv_signal_start(&s.intr, on_term, SIGINT);
	uv_signal_start(&s.hup, on_hup, SIGHUP);
	s.ticked = s.began = uv_now(&s.loop);
	uv_timer_start(&s.tick, on_tick, TICK_MS, TICK_MS);
	syncer_init(&s.syncer, &s.loop, dir, s.journalfd, s.tally);
	syncer_set(&s.syncer, conf_num(&settings->mboxevent, "mboxevent_sync"));
	s.relief = relief_new(s.journalfd);

	for (size_t i = 0; i < settings->n_sinks; i++)
		add_child(&s, settings->sinks[i].name, TALLY_SINK);
	serve_metrics(&s);
	bind_ingest(&s);
	s.rebind = uv_now(&s.loop) + REBIND_MS;
	log_incident(LOG_LEVEL_INFO, NULL, LOG_NOPOS, "serving the journal %s, %zu sinks", dir,
	             settings->n_sinks);
	uv_run(&s.loop, UV_RUN_DEFAULT);

	inlet_close(&s.inlet);
	uv_walk(&s.loop, at_handle, NULL);
	while (uv_run(&s.loop, UV_RUN_DEFAULT))
		;
	uv_loop_close(&s.loop);
	syncer_end(&s.syncer);
	relief_free(&s.relief);
	free(s.children);
	close(s.inotify);
	close(s.conf_fd);
	if (s.tally_fd >= 0)
		close(s.tally_fd);
	close(s.journalfd);
	settings_free(&s.settings);
	log_incident(LOG_LEVEL_INFO, NULL, LOG_NOPOS, "stopped");
	return s.code;
}
