/* SPDX-License-Identifier: BSD-3-Clause */
#include "ingest.h"

#include "callers.h"
#include "datagram.h"
#include "intake.h"
#include "link.h"
#include "log.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS  1000
#define DRAIN_MS 2000 /* at most, when it is to end: senders may go on sending */
#define BURST    64   /* datagrams before the other descriptors have their turn */

enum { FD_LINK, FD_DGRAM, FD_CALLERS }; /* places in the array for poll() */

struct ingest {
	const char *conf_path;
	int link_fd, dgram_fd;
	struct intake *intake;
	struct callers *callers; /* NULL without a dlist: socket */
	int64_t stop_at, beat_at;
	char datagram[DATAGRAM_MAX + 1];
};

static volatile sig_atomic_t got_term, got_hup;

static void on_signal(int sig)
{
	if (sig == SIGHUP)
		got_hup = 1;
	else
		got_term = 1;
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A signal that comes just before poll() is seen at its time-out at the latest; blocking it but for
 * ppoll() would keep it away for as long as descriptors are ready. SIGINT from a terminal goes to
 * the supervisor's whole group; it alone decides. */
static void set_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigset_t open;
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGPIPE, &sa, NULL);
	sigemptyset(&open);
	sigaddset(&open, SIGTERM);
	sigaddset(&open, SIGHUP);
	sigprocmask(SIG_UNBLOCK, &open, NULL);
}

/* A configuration that can't be used leaves the one before in force. */
static int load(struct ingest *g)
{
	char *why = NULL;
	struct conf *conf = conf_read(g->conf_path, &why);
	struct intake *in = conf ? intake_new(conf, &why) : NULL;
	conf_free(&conf);
	if (!in) {
		log_incident(LOG_LEVEL_ERROR, NULL, LOG_NOPOS, "ingest: %s",
		             why ? why : "out of memory");
		free(why);
		return -1;
	}
	intake_free(&g->intake);
	g->intake = in;
	return 0;
}

/* Takes at most BURST datagrams. False when none waits any more, or never will. */
static bool take_datagrams(struct ingest *g)
{
	for (int i = 0; i < BURST; i++) {
		struct datagram d;
		const char *why;
		/* with MSG_TRUNC the length is that of the datagram, not of what fitted */
		ssize_t n =
		    recv(g->dgram_fd, g->datagram, sizeof g->datagram, MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0)
			return errno == EINTR;
		if (datagram_parse(g->datagram, (size_t)n, &d, &why) < 0)
			intake_malformed(g->intake, why);
		else
			intake_take(g->intake, &d);
	}
	return true;
}

static void stop(struct ingest *g, int64_t now)
{
	if (!g->stop_at)
		g->stop_at = now + DRAIN_MS;
}

static void read_link(struct ingest *g, int64_t now)
{
	char words[64];
	ssize_t n = recv(g->link_fd, words, sizeof words, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) /* the supervisor is gone */
		stop(g, now);
	for (ssize_t i = 0; i < n; i++) {
		if (words[i] == LINK_STOP)
			stop(g, now);
		else if (words[i] == LINK_REOPEN)
			got_hup = 1;
	}
}

static void beat(struct ingest *g, int64_t now)
{
	if (now < g->beat_at)
		return;
	static const char alive = LINK_ALIVE;
	send(g->link_fd, &alive, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	g->beat_at = now + LINK_BEAT_MS;
	intake_tick(g->intake);
}

/* When it is to end: whether all that was queued or begun is taken. */
static bool drained(const struct ingest *g, bool more, int64_t now)
{
	return now >= g->stop_at || (!more && (!g->callers || !callers_busy(g->callers)));
}

static int serve(struct ingest *g)
{
	struct pollfd fds[FD_CALLERS + CALLERS_MAX + 1];
	for (;;) {
		int64_t now = now_ms();
		size_t n = 0;
		beat(g, now);
		fds[FD_LINK] = (struct pollfd){g->stop_at ? -1 : g->link_fd, POLLIN, 0};
		fds[FD_DGRAM] = (struct pollfd){g->dgram_fd, POLLIN, 0};
		if (g->callers)
			n = callers_poll(g->callers, fds + FD_CALLERS, !g->stop_at, now);
		int r = poll(fds, FD_CALLERS + n, g->stop_at ? 10 : POLL_MS);
		now = now_ms();
		if (got_term)
			stop(g, now);
		if (got_hup) {
			got_hup = 0;
			load(g);
		}
		if (r < 0 && errno != EINTR) {
			log_incident(LOG_LEVEL_ERROR, NULL, LOG_NOPOS, "ingest: poll: %s",
			             strerror(errno));
			return EX_OSERR;
		}
		bool more = false;
		if (r > 0) {
			if (fds[FD_LINK].revents)
				read_link(g, now);
			if ((fds[FD_LINK].revents | fds[FD_DGRAM].revents) & POLLNVAL)
				return EX_OSERR;
			if (fds[FD_DGRAM].revents)
				more = take_datagrams(g);
		}
		if (r >= 0 && g->callers) /* at a time-out too: who is late is cut */
			callers_serve(g->callers, fds + FD_CALLERS, n, g->intake, now);
		if (g->stop_at && drained(g, more || r != 0, now))
			return EX_OK;
	}
}

int ingest_main(const char *conf_path, int link_fd, int dgram_fd, int dlist_fd)
{
	struct ingest *g = calloc(1, sizeof *g);
	int code = EX_OSERR;
	if (!g)
		return code;
	set_signals();
	g->conf_path = conf_path;
	g->link_fd = link_fd;
	g->dgram_fd = dgram_fd;
	if (dlist_fd < 0 || (g->callers = callers_new(dlist_fd)))
		code = load(g) < 0 ? EX_CONFIG : serve(g);
	callers_free(&g->callers);
	intake_free(&g->intake);
	free(g);
	return code;
}
