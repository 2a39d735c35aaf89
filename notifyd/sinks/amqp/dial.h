/* SPDX-License-Identifier: BSD-3-Clause */
/* From a host's name to a TCP connection, in bounded time: getaddrinfo(3) waits as long as the
 * resolver's configuration and its modules please. */
#ifndef NOTIFYD_AMQP_DIAL_H
#define NOTIFYD_AMQP_DIAL_H

#include <netdb.h>
#include <stddef.h>
#include <stdint.h>

#define DIAL_NUMERIC 64

/* The addresses of a host, until deadline (monotonic milliseconds): *list_r, for freeaddrinfo().
 * 0, or -1 with why. A lookup that takes longer goes on, and the next call for this host and port
 * waits for that one. Only for one thread. */
int dial_lookup(const char *host, uint16_t port, int64_t deadline, struct addrinfo **list_r,
                char *why, size_t size);

/* A connected socket, O_NONBLOCK; or -1 with errno. */
int dial_connect(const struct addrinfo *address, int64_t deadline);

/* The address in digits. 0, or -1. */
int dial_numeric(const struct addrinfo *address, char text_r[DIAL_NUMERIC]);

#endif
