/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the brokers are: amqp[s]://[user[:password]@]host[:port][,host[:port]...][/vhost],
 * an IPv6 address in brackets, everything but hosts percent-decoded. */
#ifndef NOTIFYD_AMQP_ADDRESS_H
#define NOTIFYD_AMQP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address_host {
	char *name; /* without brackets */
	uint16_t port;
};

struct address {
	bool tls;
	char *user;     /* "guest" where the URL has none */
	char *password; /* NULL where the URL has none */
	char *vhost;    /* "/" where the URL has none, or ends in a bare slash */
	struct address_host *hosts;
	size_t nhosts; /* at least 1 */
};

/* 0, or -1 with *why_r malloc'd: what is wrong and what is right, never with the user's part of
 * the URL, where the password stands. */
int address_parse(struct address **a_r, const char *url, char **why_r);

/* Wipes the password. */
void address_free(struct address **a);

#endif
