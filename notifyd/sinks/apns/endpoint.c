/* SPDX-License-Identifier: BSD-3-Clause */
#include "endpoint.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
#define V6_CHARS   "abcdefABCDEF0123456789:."

static int fill(struct endpoint *e, const char *host, size_t len, const char *port)
{
	bool v6 = memchr(host, ':', len) != NULL;
	unsigned long n = strtoul(port, NULL, 10);

	if (!len || len >= sizeof(e->host) || !*port || strlen(port) >= sizeof(e->port) ||
	    strspn(port, "0123456789") != strlen(port) || !n || n > 65535)
		return -1;
	memcpy(e->host, host, len);
	e->host[len] = '\0';
	snprintf(e->port, sizeof(e->port), "%lu", n);
	snprintf(e->authority, sizeof(e->authority), "%s%s%s%s%s", v6 ? "[" : "", e->host,
	         v6 ? "]" : "", n == 443 ? "" : ":", n == 443 ? "" : e->port);
	return 0;
}

int endpoint_parse(const char *url, struct endpoint *e_r)
{
	if (!strcmp(url, "production"))
		url = "https://api.push.apple.com";
	else if (!strcmp(url, "sandbox"))
		url = "https://api.sandbox.push.apple.com";
	if (strncasecmp(url, "https://", 8) != 0)
		return -1;
	url += 8;
	const char *host = url + (*url == '[');
	size_t len = strspn(host, *url == '[' ? V6_CHARS : HOST_CHARS);
	const char *end = host + len;
	if (*url == '[' && *end++ != ']')
		return -1;
	const char *port = *end == ':' ? end + 1 : "443";
	size_t digits = *end == ':' ? strspn(port, "0123456789") : 0;
	char text[8] = "443";
	if (*end == ':') {
		if (digits >= sizeof(text))
			return -1;
		memcpy(text, port, digits);
		text[digits] = '\0';
		end = port + digits;
	}
	if (*end && strcmp(end, "/") != 0)
		return -1;
	return fill(e_r, host, len, text);
}
