/* SPDX-License-Identifier: BSD-3-Clause */
/* One connection: lines in, lines out, and its end. Nothing that a client does
 * reaches further than its own connection. */
#ifndef UNIX_CLIENT_H
#define UNIX_CLIENT_H

#include "server.h"

struct feed;

struct client {
	TAILQ_ENTRY(client) all;   /* of server.clients */
	TAILQ_ENTRY(client) queue; /* of *list */
	struct client_list *list;  /* server.ready, server.waiting or NULL */
	struct server *server;
	uv_poll_t poll;
	int fd;
	struct buf in;     /* a line that is not whole yet */
	struct buf out;    /* what the socket did not take; nothing is read while it holds any */
	size_t written;    /* bytes of out */
	struct feed *feed; /* NULL before the first line and after an error */
	uint64_t progress; /* loop time: of the connection, the last byte taken, the last words */
	int unread;        /* bytes in the kernel's queue when it was last looked at */
	bool heard;        /* the first line came */
	bool deaf;         /* it sends no more */
	bool last_words;   /* out ends what is said; then wait for it to go */
	bool full;         /* waits for an ack */
	bool failed;       /* the journal could not be read: try again in a second */
};

/* Takes fd over. -1 when memory is short (fd is closed). */
int client_new(struct server *s, int fd);
/* Tells a client that it is not served, and closes fd. */
void client_turn_away(int fd, const char *why);

/* Reads and writes its share; queues itself as ready or waiting where it should be. */
void client_turn(struct client *c);
/* Off the list it is on, onto that one (NULL: none). */
void client_queue(struct client *c, struct client_list *list);

/* Once a second: who hangs, who is gone. May close it. */
void client_second(struct client *c);
/* Once an hour: what is open does not expire. */
void client_touch(struct client *c);

/* The server stops: the connection ends when all is written. */
void client_finish(struct client *c);
/* Ends it at once; the memory lives until the loop's next turn. */
void client_close(struct client *c);

#endif
