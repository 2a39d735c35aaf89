/* SPDX-License-Identifier: BSD-3-Clause */
/* Two that send the same, in turns: one is stopped while the other goes on. What a broker takes on
 * a shared machine changes by half from one second to the next, so that only what lies a second
 * apart can be compared. Not side by side: there each gets half, however slow it is by itself. With
 * 20 us more of work an event, the ratio is 0.81 in turns and 1.01 side by side; with 50 us, 0.46
 * and 1.03.
 *
 *   turns DIR SINK PID FILE PID COUNT
 *
 * The worker of a sink with the journal DIR, and a publisher that counts its confirmed messages in
 * FILE (publisher.c). Prints "ours theirs", confirmed messages a second, for each pair of turns,
 * until either has COUNT confirmed. What was on its way when the other was stopped is confirmed in
 * the first part of a turn, which is not counted. Both go on in the end. */
#include "clock.h"

#include "../../lib/cursor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FIRST_US = 400000, COUNTED_US = 1000000 };

static int journal;
static const char *sink;
static const volatile unsigned long *counter;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static unsigned long ours(void)
{
	struct cursor_state state = {0};
	/* Not there yet, or between two slots. */
	while (cursor_peek(journal, sink, &state) < 0)
		usleep(100);
	return (unsigned long)state.delivered;
}

static unsigned long theirs(void)
{
	return *counter;
}

static void order(pid_t pid, int signal)
{
	if (kill(pid, signal) < 0)
		fail("kill");
}

/* Confirmed a second; *count_r: so far. */
static double turn(pid_t pid, unsigned long (*count)(void), unsigned long *count_r)
{
	order(pid, SIGCONT);
	usleep(FIRST_US);
	unsigned long first = count();
	double begin = now();
	usleep(COUNTED_US);
	*count_r = count();
	double rate = (double)(*count_r - first) / (now() - begin);
	order(pid, SIGSTOP);
	return rate;
}

int main(int argc, char **argv)
{
	if (argc != 7)
		return 64;
	journal = open(argv[1], O_RDONLY | O_DIRECTORY);
	sink = argv[2];
	int fd = open(argv[4], O_RDONLY);
	counter = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *counter, PROT_READ, MAP_SHARED, fd, 0);
	if (journal < 0 || counter == MAP_FAILED)
		fail(journal < 0 ? argv[1] : argv[4]);
	pid_t worker = atoi(argv[3]), publisher = atoi(argv[5]);
	unsigned long want = strtoul(argv[6], NULL, 10), a = 0, b = 0;

	while (!ours() || !theirs()) /* connecting */
		usleep(1000);
	order(worker, SIGSTOP);
	order(publisher, SIGSTOP);
	for (int i = 0;; i++) {
		double x = 0, y = 0;
		if (i % 2)
			y = turn(publisher, theirs, &b);
		x = turn(worker, ours, &a);
		if (i % 2 == 0)
			y = turn(publisher, theirs, &b);
		if (a >= want || b >= want)
			break;
		printf("%.0f %.0f\n", x, y);
	}
	order(worker, SIGCONT);
	order(publisher, SIGCONT);
	return 0;
}
