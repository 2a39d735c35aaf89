/* SPDX-License-Identifier: BSD-3-Clause */
/* notifyctl status --watch. On a terminal the screen is drawn anew in place, each line cut to its
 * width; what the far side of a sink said is shown without its control characters. Elsewhere the
 * table is printed again and again, or with --json an object a line. */
#include "ctl_backlog.h"
#include "ctl_status.h"

#include "../lib/buf.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define EVERY_MS   1000
#define BAR        10 /* cells */
#define SINKS      72 /* whose rates are known */
#define NAME_WIDTH 12

#define ENTER "\033[?1049h\033[?25l" /* the other screen, no cursor */
#define LEAVE "\033[?25h\033[?1049l"

enum colour { PLAIN, RED, YELLOW, GREEN, BOLD };

struct watcher {
	struct ctl *ctl;
	bool screen, colour;
	struct termios before;
	int width, height, row;
	struct buf out;
	struct {
		char name[64];
		json_int_t delivered;
	} sinks[SINKS];
	size_t n;
	int64_t seen; /* when they had delivered that, monotonic milliseconds; 0: never */
};

static volatile sig_atomic_t ended, resized, stopped;

static void on_signal(int sig)
{
	if (sig == SIGWINCH)
		resized = 1;
	else if (sig == SIGTSTP)
		stopped = 1;
	else
		ended = 1;
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- the terminal --- */

static void put(const char *s, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, s, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			ended = 1;
			return;
		}
		s += n;
		len -= (size_t)n;
	}
}

static void enter(struct watcher *w)
{
	struct termios raw = w->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	put(ENTER, strlen(ENTER));
}

static void leave(struct watcher *w)
{
	put(LEAVE, strlen(LEAVE));
	tcsetattr(STDIN_FILENO, TCSADRAIN, &w->before);
}

static void measure(struct watcher *w)
{
	struct winsize size;
	bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row;
	w->width = known ? size.ws_col : 80;
	w->height = known ? size.ws_row : 24;
	resized = 0;
}

/* Ctrl-Z: the shell gets its screen, and we get ours back. */
static void pause_here(struct watcher *w)
{
	stopped = 0;
	leave(w);
	raise(SIGSTOP);
	enter(w);
	measure(w);
}

/* --- drawing --- */

/* So much of s as has w columns, a character one each. */
static void add_cut(struct buf *b, const char *s, int columns)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if ((c & 0xc0) != 0x80 && columns-- <= 0)
			return;
		/* C0, DEL, and C1 as UTF-8 has it: none may reach a terminal */
		if (c < ' ' || c == 0x7f) {
			buf_addc(b, '?');
		} else if (c == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0) {
			buf_addc(b, '?');
			s++;
		} else {
			buf_addc(b, (char)c);
		}
	}
}

static void line(struct watcher *w, enum colour colour, const char *text)
{
	static const char *const codes[] = {
	    [PLAIN] = "", [RED] = "31", [YELLOW] = "33", [GREEN] = "32", [BOLD] = "1"};
	if (w->row >= w->height)
		return;
	if (w->row++)
		buf_adds(&w->out, "\r\n");
	if (w->colour && colour != PLAIN)
		buf_addf(&w->out, "\033[%sm", codes[colour]);
	add_cut(&w->out, text, w->width);
	if (w->colour && colour != PLAIN)
		buf_adds(&w->out, "\033[0m");
	buf_adds(&w->out, "\033[K");
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* Each cell is four times the events of the one before: a full bar is 4^9 and more. */
static void bar(char out_r[BAR + 1], json_int_t events)
{
	int cells = 0;
	for (json_int_t n = events; n > 0 && cells < BAR; n /= 4)
		cells++;
	memset(out_r, '.', BAR);
	memset(out_r, '#', (size_t)cells);
	out_r[BAR] = '\0';
}

/* Events a second since the look before; below 0: not known yet. */
static double rate(const struct watcher *w, const json_t *sink, int64_t now)
{
	for (size_t i = 0; w->seen && i < w->n; i++)
		if (!strcmp(w->sinks[i].name, text(sink, "name")) && now > w->seen &&
		    number(sink, "delivered") >= w->sinks[i].delivered)
			return (double)(number(sink, "delivered") - w->sinks[i].delivered) * 1e3 /
			       (double)(now - w->seen);
	return -1;
}

static void draw_sink(struct watcher *w, const json_t *sink, int64_t now)
{
	char all[1024], cells[BAR + 1], lag[CTL_LAG_TEXT], speed[32] = "-";
	const json_t *behind = json_object_get(sink, "lag");
	const char *link = text(sink, "connection");
	double a_second = rate(w, sink, now);
	ctl_lag_text(lag, behind);
	if (number(sink, "subscriptions"))
		snprintf(lag, sizeof lag, "(%lld subscriptions)",
		         (long long)number(sink, "subscriptions"));
	bar(cells, number(behind, "events"));
	if (a_second >= 0)
		snprintf(speed, sizeof speed, "%.1f", a_second);
	snprintf(all, sizeof all, "%-*s %-10s %12lld %10s  %s %s", NAME_WIDTH, text(sink, "name"),
	         *link ? link : "-", (long long)number(sink, "delivered"), speed, cells, lag);
	line(w,
	     !strcmp(link, "connected") ? GREEN
	     : !strcmp(link, "down")    ? RED
	     : *link                    ? YELLOW
	                                : PLAIN,
	     all);
	if (strcmp(link, "connected") != 0 && *text(sink, "state")) {
		snprintf(all, sizeof all, "%-*s %s", NAME_WIDTH, "", text(sink, "state"));
		line(w, PLAIN, all);
	}
	if (*text(sink, "error")) {
		snprintf(all, sizeof all, "%-*s last error %s: %s", NAME_WIDTH, "",
		         text(sink, "errorTime"), text(sink, "error"));
		line(w, PLAIN, all);
	}
}

static void remember(struct watcher *w, const json_t *sinks, int64_t now)
{
	const json_t *sink;
	size_t i;
	w->n = 0;
	json_array_foreach(sinks, i, sink)
	{
		if (w->n == SINKS)
			break;
		snprintf(w->sinks[w->n].name, sizeof w->sinks->name, "%s", text(sink, "name"));
		w->sinks[w->n++].delivered = number(sink, "delivered");
	}
	w->seen = now;
}

static void draw(struct watcher *w, const json_t *status)
{
	const json_t *journal = json_object_get(status, "journal"), *o;
	const json_t *sinks = json_object_get(status, "sinks");
	const json_t *attention = json_object_get(status, "attention");
	const json_t *events = json_object_get(journal, "eventsPerSecond");
	bool running = json_is_true(json_object_get(json_object_get(status, "notifyd"), "running"));
	char all[1024], size[STAMP_SIZE], now[STAMP_SIZE], speed[32] = "?";
	int64_t ms = now_ms();
	size_t i;
	w->row = 0;
	buf_reset(&w->out);
	buf_adds(&w->out, "\033[H");
	stamp_iso(now, stamp_now());
	ctl_size_text(size, number(journal, "bytes"));
	if (json_is_number(events))
		snprintf(speed, sizeof speed, "%.1f", json_number_value(events));
	snprintf(all, sizeof all, "notifyd %s   %s   q quits", running ? "runs" : "is down", now);
	line(w, running ? BOLD : RED, all);
	snprintf(all, sizeof all, "journal %s   %s in %lld segment%s   %s events/s   %lld lost",
	         text(journal, "path"), size, (long long)number(journal, "segments"),
	         number(journal, "segments") == 1 ? "" : "s", speed,
	         (long long)number(journal, "lost"));
	line(w, PLAIN, all);
	line(w, PLAIN, "");
	snprintf(all, sizeof all, "%-*s %-10s %12s %10s  %s", NAME_WIDTH, "SINK", "CONNECTION",
	         "DELIVERED", "/S", "BEHIND");
	line(w, BOLD, all);
	json_array_foreach(sinks, i, o)
	{
		draw_sink(w, o, ms);
	}
	if (json_array_size(attention))
		line(w, PLAIN, "");
	json_array_foreach(attention, i, o)
	{
		line(w, RED, json_string_value(o));
	}
	buf_adds(&w->out, "\033[J");
	remember(w, sinks, ms);
	put(w->out.s, w->out.failed ? 0 : w->out.len);
}

/* --- the loop --- */

/* Until it is time, a key, or a signal. */
static void wait_for_it(struct watcher *w, int64_t until)
{
	while (!ended && !resized && !stopped) {
		int64_t left = until - now_ms();
		/* Where the output goes to a pipe, its end is seen. */
		struct pollfd fds[] = {{w->screen ? STDIN_FILENO : -1, POLLIN, 0},
		                       {w->screen ? -1 : STDOUT_FILENO, 0, 0}};
		char key;
		if (left <= 0)
			return;
		if (poll(fds, 2, (int)left) <= 0)
			continue;
		if (fds[1].revents)
			ended = 1;
		if (fds[0].revents && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' ||
		                       key == 'Q' || key == 4 /* Ctrl-D */))
			ended = 1;
	}
}

static void set_signals(bool screen)
{
	struct sigaction sa = {.sa_handler = on_signal}; /* no SA_RESTART: poll() is to end */
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		sigaction(ends[i], &sa, NULL);
	if (!screen)
		return;
	sigaction(SIGWINCH, &sa, NULL);
	sigaction(SIGTSTP, &sa, NULL);
}

static void show(struct watcher *w, const json_t *status, bool json)
{
	if (w->screen) {
		draw(w, status);
		return;
	}
	if (json) {
		json_dumpf(status, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
		putchar('\n');
	} else {
		ctl_status_print(status);
		putchar('\n');
	}
	if (fflush(stdout) != 0)
		ended = 1;
}

int ctl_watch(struct ctl *ctl, bool json)
{
	struct watcher w = {.ctl = ctl};
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	char *why = NULL;
	int code = EX_OK;
	w.screen = !json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term &&
	           strcmp(term, "dumb") != 0 && tcgetattr(STDIN_FILENO, &w.before) == 0;
	w.colour = w.screen && !(no_color && *no_color);
	set_signals(w.screen);
	if (w.screen) {
		enter(&w);
		measure(&w);
	}
	while (!ended && code == EX_OK) {
		json_t *status;
		int64_t begun = now_ms();
		code = ctl_status_read(ctl, &status, &why);
		if (code != EX_OK)
			break;
		int64_t took = now_ms() - begun;
		show(&w, status, json);
		/* Where counting takes long it is not all that is done. */
		int64_t until = begun + (4 * took > EVERY_MS ? 4 * took : EVERY_MS);
		wait_for_it(&w, until);
		while ((resized || stopped) && !ended) {
			if (stopped)
				pause_here(&w);
			else
				measure(&w);
			draw(&w, status);
			wait_for_it(&w, until);
		}
		json_decref(status);
	}
	if (w.screen)
		leave(&w);
	buf_free(&w.out);
	if (code != EX_OK) /* now that it stays on the screen */
		ctl_fail(code, "%s", why ? why : "out of memory");
	free(why);
	return code;
}
