/* SPDX-License-Identifier: BSD-3-Clause */
/* One thread and one poll(): libmicrohttpd's epoll descriptor, the link, our own listening socket.
 * Each connection has one request and is cut after CUT_MS whatever it does, earlier when there is
 * no place for others: clients that say nothing, or say it slowly, hold up nobody for long. */
#include "metrics.h"

#include "link.h"
#include "log.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	CLIENTS = 32,          /* connected at once */
	REQUEST_BYTES = 16384, /* memory for one request's head */
	CUT_MS = 5000,         /* a connection lasts no longer, */
	FULL_CUT_MS = 1000,    /* and so long when others wait */
	FOLLOW_MS = 50,        /* reading in one go */
	LOOK_MS = 1000,        /* between two looks at the journal */
	REBIND_MS = 5000,      /* after the address could not be bound */
	DRAIN_MS = 500,        /* for answers, when it is to end */
};

#define TEXT       "text/plain; charset=utf-8"
#define EXPOSITION "text/plain; version=0.0.4; charset=utf-8"

struct client {
	int fd; /* -1: the place is free */
	int64_t since;
};

struct metrics {
	struct watch watch;
	int link, listener;
	bool stopping, told;
	int64_t beat, look, rebind;
	struct MHD_Daemon *daemon;
	struct client clients[CLIENTS];
};

/* --- requests --- */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned code, const char *type,
                              struct buf *body)
{
	struct MHD_Response *r =
	    body->failed ? NULL
			 : MHD_create_response_from_buffer(body->len, body->s ? body->s : "",
	                                                   MHD_RESPMEM_MUST_COPY);
	buf_free(body);
	if (!r)
		return MHD_NO; /* memory is short: the connection is closed */
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	enum MHD_Result result = MHD_queue_response(c, code, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **request)
{
	static char begun;
	struct metrics *m = ctx;
	struct buf body = BUF_INIT;
	unsigned code = MHD_HTTP_OK;
	(void)version;
	(void)data;
	if (!*request && !*data_len) { /* the head alone is there: a body may follow */
		*request = &begun;
		return MHD_YES;
	}
	if (*data_len) { /* nobody wants it */
		*data_len = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		buf_adds(&body, "only GET and HEAD\n");
		return answer(c, MHD_HTTP_METHOD_NOT_ALLOWED, TEXT, &body);
	}
	if (!strcmp(url, "/metrics")) {
		watch_metrics(&m->watch, &body);
		return answer(c, code, EXPOSITION, &body);
	}
	if (!strcmp(url, "/healthz"))
		code = watch_healthy(&m->watch, &body) ? code : MHD_HTTP_SERVICE_UNAVAILABLE;
	else if (!strcmp(url, "/readyz"))
		code = watch_ready(&m->watch, &body) ? code : MHD_HTTP_SERVICE_UNAVAILABLE;
	else {
		code = MHD_HTTP_NOT_FOUND;
		buf_adds(&body, "there is /metrics, /healthz and /readyz\n");
	}
	return answer(c, code, TEXT, &body);
}

/* --- connections --- */

static void on_connection(void *ctx, struct MHD_Connection *c, void **socket_ctx,
                          enum MHD_ConnectionNotificationCode code)
{
	struct metrics *m = ctx;
	(void)socket_ctx;
	if (code != MHD_CONNECTION_NOTIFY_CLOSED)
		return;
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	for (int i = 0; info && i < CLIENTS; i++)
		if (m->clients[i].fd == info->connect_fd)
			m->clients[i].fd = -1;
}

/* A place that is free, or -1. */
static int vacancy(const struct metrics *m)
{
	for (int i = 0; i < CLIENTS; i++)
		if (m->clients[i].fd < 0)
			return i;
	return -1;
}

static void accept_clients(struct metrics *m, int64_t now)
{
	int place;
	while ((place = vacancy(m)) >= 0) {
		struct sockaddr_storage from;
		socklen_t len = sizeof from;
		int fd = accept4(m->listener, (struct sockaddr *)&from, &len,
		                 SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		m->clients[place] = (struct client){fd, now};
		if (MHD_add_connection(m->daemon, fd, (struct sockaddr *)&from, len) != MHD_YES)
			m->clients[place].fd = -1; /* it has closed the socket */
	}
}

/* The descriptor stays libmicrohttpd's, which sees the end of it. */
static void cut_the_late(struct metrics *m, int64_t now)
{
	int64_t most = vacancy(m) < 0 ? FULL_CUT_MS : CUT_MS;
	for (int i = 0; i < CLIENTS; i++)
		if (m->clients[i].fd >= 0 && now - m->clients[i].since >= most)
			shutdown(m->clients[i].fd, SHUT_RDWR);
}

static void bind_again(struct metrics *m, int64_t now)
{
	char *why = NULL;
	if (m->listener >= 0 || now < m->rebind)
		return;
	m->rebind = now + REBIND_MS;
	m->listener = metrics_bind(&m->watch.settings->notifyd, &why);
	if (m->listener < 0 && !m->told)
		log_incident(LOG_LEVEL_ERROR, "metrics", LOG_NOPOS, "no metrics are served: %s",
		             why ? why : "out of memory");
	else if (m->listener >= 0)
		log_incident(LOG_LEVEL_INFO, "metrics", LOG_NOPOS, "served at %s",
		             conf_str(&m->watch.settings->notifyd, "notifyd_metrics"));
	m->told = m->listener < 0;
	free(why);
}

/* --- the loop --- */

static void read_link(struct metrics *m)
{
	char words[64];
	ssize_t n = recv(m->link, words, sizeof words, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		m->stopping = true;
	for (ssize_t i = 0; i < n; i++)
		m->stopping |= words[i] == LINK_STOP;
}

static void beat(struct metrics *m, int64_t now)
{
	static const char alive = LINK_ALIVE;
	if (now - m->beat < LINK_BEAT_MS)
		return;
	send(m->link, &alive, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	m->beat = now;
}

/* Milliseconds to the next thing to do. */
static int until(const struct metrics *m, int64_t now, bool behind)
{
	MHD_UNSIGNED_LONG_LONG http;
	int64_t ms = m->look - now;
	if (behind || ms < 0)
		ms = 0;
	if (MHD_get_timeout(m->daemon, &http) == MHD_YES && (int64_t)http < ms)
		ms = (int64_t)http;
	return (int)ms;
}

static void serve(struct metrics *m, int epoll)
{
	bool behind = true;
	while (!m->stopping) {
		int64_t now = tally_clock();
		beat(m, now);
		bind_again(m, now);
		cut_the_late(m, now);
		bool room = m->listener >= 0 && vacancy(m) >= 0;
		struct pollfd fds[] = {
		    {m->link, POLLIN, 0}, {epoll, POLLIN, 0}, {room ? m->listener : -1, POLLIN, 0}};
		if (poll(fds, 3, until(m, now, behind)) < 0 && errno != EINTR)
			return;
		now = tally_clock();
		if (fds[0].revents)
			read_link(m);
		if (fds[2].revents)
			accept_clients(m, now);
		MHD_run(m->daemon);
		if (behind || now >= m->look) {
			behind = !follower_run(m->watch.follower, FOLLOW_MS);
			m->look = now + LOOK_MS;
			if (!behind)
				follower_rest(m->watch.follower);
		}
	}
}

static bool idle(const struct metrics *m)
{
	for (int i = 0; i < CLIENTS; i++)
		if (m->clients[i].fd >= 0)
			return false;
	return true;
}

/* Who has been let in gets an answer. */
static void drain(struct metrics *m, int epoll)
{
	for (int64_t end = tally_clock() + DRAIN_MS; !idle(m) && tally_clock() < end;) {
		struct pollfd p = {epoll, POLLIN, 0};
		poll(&p, 1, 20);
		MHD_run(m->daemon);
	}
}

static void setting_error(void *ctx, const char *line)
{
	(void)ctx;
	log_incident(LOG_LEVEL_ERROR, "metrics", LOG_NOPOS, "%s", line);
}

static int run(struct metrics *m)
{
	char *why = NULL;
	struct watch *w = &m->watch;
	w->follower = follower_new(w->journal, w->tally, &why);
	if (!w->follower) {
		log_incident(LOG_LEVEL_ERROR, "metrics", LOG_NOPOS, "%s",
		             why ? why : "out of memory");
		free(why);
		return EX_TEMPFAIL;
	}
	m->daemon = MHD_start_daemon(
	    MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, m,
	    MHD_OPTION_CONNECTION_LIMIT, (unsigned)CLIENTS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    (size_t)REQUEST_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(CUT_MS / 1000),
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, m, MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
	    m->daemon ? MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info) {
		serve(m, info->epoll_fd);
		drain(m, info->epoll_fd);
	} else {
		log_incident(LOG_LEVEL_ERROR, "metrics", LOG_NOPOS, "libmicrohttpd does not start");
	}
	if (m->daemon)
		MHD_stop_daemon(m->daemon);
	follower_free(&w->follower);
	return info ? EX_OK : EX_OSERR;
}

/* The path of a UNIX socket goes with us: it is not left to look served. */
static void unbind(struct metrics *m)
{
	const char *path = conf_str(&m->watch.settings->notifyd, "notifyd_metrics");
	if (m->listener < 0)
		return;
	if (path[0] == '/')
		unlink(path);
	close(m->listener);
}

int metrics_main(const char *conf_path, int link_fd, int tally_fd)
{
	struct settings *settings;
	struct metrics m = {.link = link_fd, .listener = -1};
	for (int i = 0; i < CLIENTS; i++)
		m.clients[i].fd = -1;
	/* As a worker: the supervisor decides. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	beat(&m, LINK_BEAT_MS);
	/* What is wrong with sinks is for their workers to tell. */
	if (settings_load_sink(&settings, conf_path, "", setting_error, NULL) < 0)
		return EX_CONFIG;
	log_open("notifyd", conf_num(&settings->notifyd, "notifyd_log") == SETTINGS_LOG_SYSLOG);
	m.watch.settings = settings;
	m.watch.journal = conf_str(&settings->mboxevent, "mboxevent_journal");
	m.watch.journalfd = open(m.watch.journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	m.watch.tally = tally_map(tally_fd);
	int code = EX_TEMPFAIL;
	if (m.watch.journalfd >= 0 && m.watch.tally)
		code = run(&m);
	else
		log_incident(LOG_LEVEL_ERROR, "metrics", LOG_NOPOS, "%s: %s", m.watch.journal,
		             strerror(errno));
	unbind(&m);
	if (m.watch.journalfd >= 0)
		close(m.watch.journalfd);
	settings_free(&settings);
	return code;
}
