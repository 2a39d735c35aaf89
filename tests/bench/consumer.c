/* SPDX-License-Identifier: BSD-3-Clause */
/* The reading side, timed.
 *
 *   consumer read DIR                      all of the journal, JSON to /dev/null
 *   consumer cat FILE...                   the same from cat to /dev/null
 *   consumer subscribe PATH NAME LINES [COPY]
 *                                          a durable subscription, from the oldest event on
 *   consumer pipe FILE LINES               cat FILE through a UNIX socket to the same counter
 *   consumer drain DIR SINK COUNT          waits until a sink has that many confirmed; what came
 *                                          after the first few, by the times in its cursor. DIR:
 *                                          the journal
 *
 * Prints: lines (or records), bytes, seconds. Of a subscription, from its first byte on. */
#include "clock.h"

#include "../../lib/cursor.h"
#include "../../lib/reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 256 << 10, ACK_EVERY = 200 };

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void tell(unsigned long n, unsigned long long bytes, double begin)
{
	printf("%lu %llu %.6f\n", n, bytes, now() - begin);
}

static void read_journal(const char *dir)
{
	static char block[128 << 10];
	struct record rec;
	char *why = NULL;
	unsigned long n = 0;
	double begin = now();
	FILE *out = fopen("/dev/null", "w");
	struct reader *r = reader_open(dir, 0, &why);
	if (!out || !r)
		fail(why ? why : dir);
	setvbuf(out, block, _IOFBF, sizeof block);
	while (reader_next(r, &rec) == 1) {
		fwrite_unlocked(rec.json.s, 1, rec.json.len, out);
		putc_unlocked('\n', out);
		n++;
	}
	fclose(out);
	const struct reader_damage *d = reader_damage(r);
	if (d->torn || d->gap) {
		fprintf(stderr, "consumer: the journal is damaged\n");
		exit(1);
	}
	tell(n, 0, begin);
	reader_close(&r);
}

static pid_t cat(char **argv, int out)
{
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out, STDOUT_FILENO);
		execvp("cat", argv);
		_exit(127);
	}
	return pid;
}

static void cat_files(int argc, char **argv)
{
	unsigned long long bytes = 0;
	struct stat st;
	int status;
	for (int i = 2; i < argc; i++)
		if (stat(argv[i], &st) == 0)
			bytes += (unsigned long long)st.st_size;
	int null = open("/dev/null", O_WRONLY);
	double begin = now();
	argv[1] = (char[]){"cat"};
	if (waitpid(cat(argv + 1, null), &status, 0) < 0 || status)
		fail("cat");
	tell(0, bytes, begin);
}

/* {"id":"ID","event":...: acknowledges it. */
static void acknowledge(int s, const char *line, size_t len)
{
	char ack[128];
	const char *id = len > 7 ? line + 7 : NULL, *quote = id ? memchr(id, '"', len - 7) : NULL;
	if (!quote || memcmp(line, "{\"id\":\"", 7) != 0 || quote - id > 80)
		return;
	int n = snprintf(ack, sizeof ack, "{\"ack\":\"%.*s\"}\n", (int)(quote - id), id);
	if (send(s, ack, (size_t)n, MSG_NOSIGNAL) != n)
		fail("ack");
}

/* Counts lines as they come; with ack it says for now and then one that it has it. */
static void count(int s, unsigned long want, bool ack, FILE *copy)
{
	static char buf[CHUNK + 65536];
	size_t rest = 0; /* of a line that is not whole yet */
	unsigned long n = 0;
	unsigned long long bytes = 0;
	double begin = 0;
	while (n < want) {
		ssize_t got = recv(s, buf + rest, sizeof buf - rest, 0);
		if (got <= 0)
			fail("recv");
		if (!bytes)
			begin = now();
		bytes += (unsigned long long)got;
		if (copy)
			fwrite(buf + rest, 1, (size_t)got, copy);
		char *end = buf + rest + got, *line = buf, *p = buf + rest;
		while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
			if (++n % ACK_EVERY == 0 && ack)
				acknowledge(s, line, (size_t)(p - line));
			line = ++p;
		}
		rest = (size_t)(end - line);
		if (rest)
			memmove(buf, line, rest);
	}
	tell(n, bytes, begin);
}

static void subscribe(const char *path, const char *name, unsigned long want, FILE *copy)
{
	char request[256];
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	int n = snprintf(request, sizeof request,
	                 "{\"v\":1,\"subscribe\":\"%s\",\"from\":\"oldest\"}\n", name);
	if (s < 0 || connect(s, (struct sockaddr *)&sun, sizeof sun) < 0 ||
	    send(s, request, (size_t)n, 0) != n)
		fail(path);
	count(s, want, true, copy);
	close(s);
}

static void pipe_file(char *path, unsigned long want)
{
	int s[2];
	char *argv[] = {(char[]){"cat"}, path, NULL};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) < 0)
		fail("socketpair");
	pid_t pid = cat(argv, s[1]);
	close(s[1]);
	count(s[0], want, false, NULL);
	close(s[0]);
	waitpid(pid, NULL, 0);
}

static void drain(const char *dir, const char *sink, unsigned long want)
{
	struct cursor_state state = {0};
	struct cursor_state first = {0};
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		fail(dir);
	while (state.delivered < want) {
		/* Not there yet, or between two slots. */
		if (cursor_peek(fd, sink, &state) == 0 && state.delivered && !first.delivered)
			first = state;
		/* A cursor says when it was written: later looks are rare, since each takes
		 * processor from what is measured. */
		usleep(first.delivered ? 20000 : 1000);
	}
	printf("%llu 0 %.6f\n", (unsigned long long)(state.delivered - first.delivered),
	       (double)(state.time - first.time) / 1e6);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";
	FILE *copy = argc == 6 && *mode == 's' ? fopen(argv[5], "w") : NULL;
	if (strcmp(mode, "read") == 0)
		read_journal(argv[2]);
	else if (strcmp(mode, "cat") == 0)
		cat_files(argc, argv);
	else if (strcmp(mode, "subscribe") == 0 && (argc == 5 || argc == 6))
		subscribe(argv[2], argv[3], strtoul(argv[4], NULL, 10), copy);
	else if (strcmp(mode, "pipe") == 0 && argc == 4)
		pipe_file(argv[2], strtoul(argv[3], NULL, 10));
	else if (strcmp(mode, "drain") == 0 && argc == 5)
		drain(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	else
		return 64;
	return copy && fclose(copy) != 0;
}
