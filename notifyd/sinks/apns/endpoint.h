/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the provider API is: production, sandbox or https://HOST[:PORT]. */
#ifndef NOTIFYD_APNS_ENDPOINT_H
#define NOTIFYD_APNS_ENDPOINT_H

struct endpoint {
	char host[256]; /* an IPv6 address without its brackets */
	char port[6];
	char authority[272]; /* as in a URL; without port 443 */
};

/* 0, or -1: it is none of the three. */
int endpoint_parse(const char *url, struct endpoint *e_r);

#endif
