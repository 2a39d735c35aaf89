/* SPDX-License-Identifier: BSD-3-Clause */
/* The unix sink: a stream socket at which any number of programs read events, live
 * or by durable subscriptions. One loop, one thread; a client has no more than its place in
 * the journal, so memory does not grow with what a slow one has not read yet, and clients at about
 * the same place share what is read there (blocks.h). */
#include "client.h"
#include "listener.h"
#include "subscription.h"

#include "../../../lib/journal.h"
#include "../../log.h"
#include "../../settings.h"
#include "../../status.h"
#include "../../worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define LOOK_MS     2
#define IDLE_MS     1000
#define SECOND_MS   1000
#define HOUR        3600 /* seconds */
#define FINISH_MS   2000
#define ACCEPTS     64 /* a turn of the loop */
#define DESCRIPTORS 2  /* a client: its socket, its cursor */

static const struct conf_option options[] = {
    {"path", CONF_PATH, "/run/notifyd/events", 0, 0, NULL, NULL,
     "The socket at which clients connect."},
    {"mode", CONF_MODE, "0660", 0, 0777, NULL, NULL, "Its mode; a client needs write permission."},
    {"group", CONF_STRING, NULL, 0, 0, NULL, NULL, "Its group; unset leaves the group of notifyd."},
    {"unacked", CONF_INT, "1000", 1, 100000, NULL, NULL,
     "Events that a subscription is sent before its client must acknowledge the first."},
    {"stall", CONF_DURATION, "30s", 1000, 86400000, NULL, "s",
     "A client that takes nothing for that long while events wait for it is cut off."},
    {"expire", CONF_DURATION, "7d", 1000, INT64_C(3153600000000), "never", "s",
     "A subscription that no client opens for that long is removed."},
    {"clients", CONF_INT, "1000", 1, 100000, NULL, NULL, "Clients that may be connected at once."},
    {NULL, CONF_STRING, NULL, 0, 0, NULL, NULL, NULL},
};

struct unix_sink {
	struct server server;
	struct listener listener;
	struct status *status;
	uv_poll_t arrivals, link;
	uv_timer_t second, deadline;
	size_t clients;   /* option */
	int64_t expire;   /* option, milliseconds; -1: never */
	unsigned seconds; /* since the last hourly round */
	bool paused;      /* accept() failed for want of something: no more before a second */
	bool starved;     /* that was told; until all that knocked were let in */
	bool crowded;     /* the limit of clients was met; told once */
	bool answered;    /* the supervisor answered to idle */
};

static void stop(struct unix_sink *u);

/* --- the clients' turns --- */

static void on_turns(uv_idle_t *turns)
{
	struct server *s = turns->data;
	struct client *c, *last = TAILQ_LAST(&s->ready, client_list);

	/* each once, in order; those that come back queue behind */
	for (bool more = last != NULL; more && (c = TAILQ_FIRST(&s->ready)) != NULL;) {
		more = c != last;
		client_turn(c);
	}
	if (TAILQ_EMPTY(&s->ready))
		uv_idle_stop(turns);
}

void server_ready(struct server *s, struct client *c)
{
	if (s->stopping)
		return;
	client_queue(c, &s->ready);
	uv_idle_start(&s->turns, on_turns);
}

void server_news(struct server *s, uint64_t head)
{
	struct client *c;

	s->head = head;
	s->news = true;
	s->seen = uv_now(&s->loop);
	while (!s->stopping && (c = TAILQ_FIRST(&s->waiting)) != NULL)
		server_ready(s, c);
}

/* One of those that wait looks for all, each in its turn. True when there was something. */
static bool look(struct server *s)
{
	struct client *c = TAILQ_FIRST(&s->waiting);

	s->news = false;
	blocks_look(s->blocks);
	if (c)
		client_turn(c);
	return s->news;
}

static void on_look(uv_timer_t *timer)
{
	struct server *s = timer->data;
	struct unix_sink *u = s->sink->state;

	if (worker_stopping(s->sink->worker)) {
		stop(u);
		return;
	}
	look(s);
	if (!TAILQ_EMPTY(&s->ready))
		return;
	if (TAILQ_EMPTY(&s->waiting)) {
		uv_timer_stop(timer);
	} else if (uv_now(&s->loop) - s->seen >= IDLE_MS) {
		uv_timer_stop(timer);
		s->idle = true;
		u->answered = false;
		worker_idle(s->sink->worker);
	}
}

void server_wait(struct server *s, struct client *c)
{
	if (s->stopping)
		return;
	client_queue(c, &s->waiting);
	if (!s->idle && !uv_is_active((uv_handle_t *)&s->look)) {
		s->seen = uv_now(&s->loop);
		uv_timer_start(&s->look, on_look, LOOK_MS, LOOK_MS);
	}
}

static void wake(struct server *s)
{
	s->idle = false;
	s->seen = uv_now(&s->loop);
	if (!TAILQ_EMPTY(&s->waiting))
		uv_timer_start(&s->look, on_look, LOOK_MS, LOOK_MS);
}

/* The supervisor said something, or a second passed. */
static void serve(struct unix_sink *u)
{
	struct server *s = &u->server;
	bool told = worker_serve(s->sink->worker);

	if (worker_stopping(s->sink->worker)) {
		stop(u);
		return;
	}
	if (!s->idle)
		return;
	/* Its first word after ours says that it watches from now on: what came before is seen by
	 * this look. The next one says that something came. */
	if (look(s) || (told && u->answered))
		wake(s);
	u->answered |= told;
}

static void on_link(uv_poll_t *poll, int status, int events)
{
	(void)events;
	serve(poll->data);
	if (status < 0)
		stop(poll->data);
}

/* --- arrivals --- */

static void on_arrivals(uv_poll_t *poll, int status, int events)
{
	struct unix_sink *u = poll->data;
	struct server *s = &u->server;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		int fd = accept4(u->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			if (errno == EAGAIN) {
				u->starved = false;
				return;
			}
			/* no descriptor, no memory: come again in a second, not at once */
			if (!u->starved)
				log_incident(LOG_LEVEL_ERROR, s->sink->name, LOG_NOPOS,
				             "%s: can't accept clients: %s; trying each second",
				             u->listener.path, strerror(errno));
			u->starved = u->paused = true;
			uv_poll_stop(&u->arrivals);
			return;
		}
		if (s->nclients >= u->clients) {
			client_turn_away(fd, "connect: too many clients; come again later, or "
			                     "raise the sink's option clients");
			if (!u->crowded)
				log_incident(LOG_LEVEL_WARNING, s->sink->name, LOG_NOPOS,
				             "clients are turned away: %zu are connected; raise "
				             "notifyd_%s_clients",
				             s->nclients, s->sink->name);
			u->crowded = true;
		} else if (client_new(s, fd) < 0) {
			log_incident(LOG_LEVEL_ERROR, s->sink->name, LOG_NOPOS,
			             "memory is short; a client is turned away");
		}
	}
}

/* --- time --- */

static void tell_status(struct unix_sink *u)
{
	struct server *s = &u->server;

	status_link(u->status, STATUS_CONNECTED);
	if (s->changed)
		status_state(u->status, "listening on %s, %zu clients, %zu subscriptions",
		             u->listener.path, s->nclients, subscription_count(s));
	s->changed = false;
	status_count(u->status, s->delivered, 0, s->head);
}

static void on_second(uv_timer_t *timer)
{
	struct unix_sink *u = timer->data;
	struct server *s = &u->server;
	struct client *c, *next;

	serve(u);
	if (s->stopping)
		return;
	for (c = TAILQ_FIRST(&s->clients); c; c = next) {
		next = TAILQ_NEXT(c, all);
		client_second(c);
	}
	blocks_rest(s->blocks);
	if (u->paused)
		u->paused = uv_poll_start(&u->arrivals, UV_READABLE, on_arrivals) < 0;
	if (s->nclients < u->clients)
		u->crowded = false;
	if (++u->seconds >= HOUR) {
		u->seconds = 0;
		for (c = TAILQ_FIRST(&s->clients); c; c = TAILQ_NEXT(c, all))
			client_touch(c);
		if (u->expire >= 0)
			subscription_expire(s, u->expire);
	}
	tell_status(u);
}

/* --- the end --- */

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void check_finished(struct unix_sink *u)
{
	if (TAILQ_EMPTY(&u->server.clients))
		uv_stop(&u->server.loop);
}

static void on_deadline(uv_timer_t *timer)
{
	struct unix_sink *u = timer->data;
	struct server *s = &u->server;
	struct client *c;

	if (uv_now(&s->loop) - s->seen >= FINISH_MS)
		while ((c = TAILQ_FIRST(&s->clients)) != NULL)
			client_close(c);
	check_finished(u);
}

/* Nobody new, nothing more is read; what was read is written, for a while. */
static void stop(struct unix_sink *u)
{
	struct server *s = &u->server;
	struct client *c, *next;

	if (s->stopping)
		return;
	s->stopping = true;
	s->seen = uv_now(&s->loop);
	uv_poll_stop(&u->arrivals);
	uv_poll_stop(&u->link);
	uv_idle_stop(&s->turns);
	uv_timer_stop(&s->look);
	uv_timer_stop(&u->second);
	listener_close(&u->listener);
	for (c = TAILQ_FIRST(&s->clients); c; c = next) {
		next = TAILQ_NEXT(c, all);
		client_finish(c);
	}
	uv_timer_start(&u->deadline, on_deadline, 0, 20);
}

/* --- the beginning --- */

static int unix_check(struct sink *sink)
{
	return listener_check(sink, conf_str(&sink->conf, "path"), conf_str(&sink->conf, "group"));
}

static int unix_probe(struct sink *sink)
{
	const char *path = conf_str(&sink->conf, "path"), *group = conf_str(&sink->conf, "group");
	return listener_probe(sink, path, group) < 0 ? SINK_RETRY : SINK_OK;
}

/* As many descriptors as the system lets us have. */
static void raise_descriptors(const struct unix_sink *u)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	rlim_t need = u->clients * DESCRIPTORS + 2 * BLOCKS + 64;
	if (limit.rlim_cur < need)
		log_incident(LOG_LEVEL_WARNING, u->server.sink->name, LOG_NOPOS,
		             "%zu clients need %llu descriptors and the limit is %llu; raise it "
		             "(LimitNOFILE) or lower notifyd_%s_clients",
		             u->clients, (unsigned long long)need,
		             (unsigned long long)limit.rlim_cur, u->server.sink->name);
}

/* Everything but the socket. 0, or -1 with sink->why. */
static int prepare(struct unix_sink *u, struct sink *sink)
{
	const struct conf_scope *conf = &sink->conf;
	struct server *s = &u->server;
	unsigned char uuid[16];
	char *why = NULL;

	s->unacked = (size_t)conf_num(conf, "unacked");
	s->stall = (uint64_t)conf_num(conf, "stall");
	u->expire = conf_num(conf, "expire");
	u->clients = (size_t)conf_num(conf, "clients");

	s->journalfd = open(sink->journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->journalfd < 0 || journal_identity(s->journalfd, uuid, s->former) < 0)
		return sink_why(sink, -1, "%s: %s", sink->journal, journal_identity_error(errno));
	s->filter =
	    filter_new(conf_str(conf, "groups"), conf_str(conf, "events"), conf_str(conf, "users"),
	               conf_str(conf, "owners"), conf_str(conf, "mailboxes"), &why);
	if (!s->filter) {
		sink_why(sink, -1, "%s", why ? why : "memory is short");
		free(why);
		return -1;
	}
	if (conf_num(conf, "headers"))
		s->headers = headers_new();
	s->blocks = blocks_new(sink->journal, sink->uuid, s->filter, s->headers);
	return s->blocks ? 0 : sink_why(sink, -1, "memory is short");
}

static void start_loop(struct unix_sink *u)
{
	struct server *s = &u->server;

	uv_idle_init(&s->loop, &s->turns);
	uv_timer_init(&s->loop, &s->look);
	uv_timer_init(&s->loop, &u->second);
	uv_timer_init(&s->loop, &u->deadline);
	uv_poll_init(&s->loop, &u->arrivals, u->listener.fd);
	uv_poll_init(&s->loop, &u->link, worker_link(s->sink->worker));
	s->turns.data = s->look.data = s;
	u->second.data = u->deadline.data = u->arrivals.data = u->link.data = u;

	uv_poll_start(&u->arrivals, UV_READABLE, on_arrivals);
	uv_poll_start(&u->link, UV_READABLE, on_link);
	uv_timer_start(&u->second, on_second, SECOND_MS, SECOND_MS);
}

static int unix_run(struct sink *sink)
{
	struct unix_sink *u = calloc(1, sizeof *u);
	if (!u)
		return EX_OSERR;
	struct server *s = &u->server;
	int rc = EX_TEMPFAIL;

	sink->state = u;
	s->sink = sink;
	s->journalfd = u->listener.fd = -1;
	s->changed = true;
	TAILQ_INIT(&s->clients);
	TAILQ_INIT(&s->ready);
	TAILQ_INIT(&s->waiting);
	TAILQ_INIT(&s->selectors);
	u->status = status_open(sink->journal, sink->name);

	if (uv_loop_init(&s->loop) < 0) {
		sink_why(sink, -1, "no event loop: %s", strerror(errno));
		goto failed;
	}
	if (prepare(u, sink) < 0 || listener_open(&u->listener, sink, conf_str(&sink->conf, "path"),
	                                          (mode_t)conf_num(&sink->conf, "mode"),
	                                          conf_str(&sink->conf, "group")) < 0) {
		uv_loop_close(&s->loop);
		goto failed;
	}
	raise_descriptors(u);
	if (u->expire >= 0)
		subscription_expire(s, u->expire);
	log_incident(LOG_LEVEL_INFO, sink->name, LOG_NOPOS, "listening on %s", u->listener.path);
	start_loop(u);
	tell_status(u);
	worker_ready(sink->worker);

	uv_run(&s->loop, UV_RUN_DEFAULT);

	uv_walk(&s->loop, close_handle, NULL);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	uv_loop_close(&s->loop);
	status_link(u->status, STATUS_STOPPED);
	status_state(u->status, "stopped");
	rc = EX_OK;
	goto done;

failed:
	log_incident(LOG_LEVEL_ERROR, sink->name, LOG_NOPOS, "%s", sink->why);
	status_link(u->status, STATUS_RETRYING);
	status_error(u->status, sink->why);
	status_state(u->status, "not listening: %s", sink->why);
done:
	status_close(&u->status);
	blocks_free(&s->blocks);
	filter_free(&s->filter);
	headers_free(&s->headers);
	buf_free(&s->lines.said);
	if (s->journalfd >= 0)
		close(s->journalfd);
	free(u);
	sink->state = NULL;
	return rc;
}

const struct sink_driver sink_unix = {
    .name = "unix",
    .help = "UNIX socket: live events and durable subscriptions",
    .options = options,
    .check = unix_check,
    .probe = unix_probe,
    .run = unix_run,
};
