/* SPDX-License-Identifier: BSD-3-Clause */
#include "probe.h"

#include "privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What the driver says goes through the pipe. */
static void ask(const struct settings *settings, struct sink *sink, int out)
{
	int r;

	alarm(PROBE_S + 1); /* should nobody be left to end it */
	if (privilege_become(settings) < 0)
		r = sink_why(sink, SINK_RETRY, "cannot become the owner of %s: %s", sink->journal,
		             strerror(errno));
	else
		r = sink->driver->probe(sink);
	size_t len = r == SINK_OK ? 0 : strlen(sink->why);
	_exit(write(out, sink->why, len) == (ssize_t)len ? 0 : 1);
}

static void begin(const struct settings *settings, struct probe *p)
{
	int ends[2];

	p->fd = -1;
	p->pid = 0;
	p->why[0] = '\0';
	if (!p->sink->driver->probe)
		return;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		snprintf(p->why, sizeof(p->why), "can't be asked: %s", strerror(errno));
		return;
	}
	p->pid = fork();
	if (p->pid == 0)
		ask(settings, p->sink, ends[1]);
	close(ends[1]);
	p->fd = ends[0];
	if (p->pid > 0)
		return;
	snprintf(p->why, sizeof(p->why), "can't be asked: %s", strerror(errno));
	close(p->fd);
	p->fd = -1;
}

static void end(struct probe *p, const char *otherwise)
{
	int status = 0;

	close(p->fd);
	p->fd = -1;
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!p->why[0] && status)
		snprintf(p->why, sizeof(p->why), "%s", otherwise);
}

static void hear(struct probe *p)
{
	size_t len = strlen(p->why);
	ssize_t n = read(p->fd, p->why + len, sizeof(p->why) - 1 - len);

	if (n > 0)
		p->why[len + (size_t)n] = '\0';
	else if (n == 0 || errno != EINTR)
		end(p, "the look at it came to no end; please report that");
}

int probe_run(const struct settings *settings, struct probe *probes, size_t n)
{
	struct pollfd *fds = calloc(n ? n : 1, sizeof(*fds));
	int64_t last = now_ms() + PROBE_S * 1000, left;

	if (!fds || (geteuid() != 0 && privilege_become(settings) < 0)) {
		free(fds);
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		begin(settings, &probes[i]);
	for (bool more = true; more && (left = last - now_ms()) > 0;) {
		more = false;
		for (size_t i = 0; i < n; i++) {
			fds[i] = (struct pollfd){probes[i].fd, POLLIN, 0};
			more |= probes[i].fd >= 0;
		}
		if (!more || poll(fds, n, (int)left) <= 0)
			continue;
		for (size_t i = 0; i < n; i++)
			if (fds[i].revents)
				hear(&probes[i]);
	}
	for (size_t i = 0; i < n; i++)
		if (probes[i].fd >= 0) {
			kill(probes[i].pid, SIGKILL);
			end(&probes[i], "it does not answer: does a firewall drop what goes there, "
			                "or is a name server down?");
		}
	free(fds);
	return 0;
}
