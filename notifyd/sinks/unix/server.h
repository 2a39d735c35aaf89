/* SPDX-License-Identifier: BSD-3-Clause */
/* What all connections of one unix sink share. */
#ifndef UNIX_SERVER_H
#define UNIX_SERVER_H

#include "../../sink.h"
#include "selector.h"

#include <sys/uio.h>
#include <uv.h>

struct client;
TAILQ_HEAD(client_list, client);

/* What goes out in one write: pieces of a block, and words of our own. */
#define LINES_PIECES 1024 /* as many as the kernel takes */
struct lines {
	struct iovec piece[LINES_PIECES];
	size_t n, len;
	struct buf said; /* the first piece, when not empty */
	bool failed;
};

struct server {
	struct sink *sink;
	uv_loop_t loop;
	int journalfd;
	unsigned char former[16]; /* the journal this one is a copy of; zeros for none */
	struct filter *filter;    /* the sink's own, for every client */
	struct headers *headers;  /* NULL: not wanted */
	struct blocks *blocks;
	struct selector_list selectors;
	size_t unacked; /* option */
	uint64_t stall; /* option, milliseconds */

	struct client_list clients; /* all of them */
	struct client_list ready;   /* those with a turn to come */
	struct client_list waiting; /* those that have read to the journal's end */
	size_t nclients;
	uint64_t delivered;    /* lines with an event, to all clients */
	uint64_t head;         /* the highest position that any client has read to */
	uint64_t damage;       /* the highest position of damage that was logged */
	bool news;             /* somebody read past `head` since the last look */
	bool changed;          /* clients or subscriptions came or went: for the status */
	bool stopping;         /* no more reading; connections close as they are written out */
	struct lines lines;    /* scratch: one write */
	char input[64u << 10]; /* scratch: what one read brought */
	uv_idle_t turns;       /* runs while `ready` is not empty */
	uv_timer_t look;       /* every 2 ms while events flow and somebody waits for more */
	uint64_t seen;         /* loop time when an event was last there */
	bool idle;             /* the supervisor was asked to wake us */
};

/* The client has turns to take, or has read everything there is. It is on neither list. */
void server_ready(struct server *s, struct client *c);
void server_wait(struct server *s, struct client *c);
/* A client has read further than any before: there is something for all that wait. */
void server_news(struct server *s, uint64_t head);

#endif
