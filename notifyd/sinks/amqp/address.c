/* SPDX-License-Identifier: BSD-3-Clause */
#include "address.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT     5672
#define PORT_TLS 5671
#define SHORTSTR 255 /* vhost, and what a sane user name may be */

__attribute__((format(printf, 2, 3))) static int wrong(char **why_r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(why_r, fmt, ap) < 0)
		*why_r = NULL;
	va_end(ap);
	return -1;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes s[0..len). The value is never quoted in an error: it may be a password. */
static char *decode(const char *s, size_t len, const char *what, char **why_r)
{
	char *out = malloc(len + 1), *o = out;
	if (!out) {
		wrong(why_r, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)s[i];
		if (c == '%') {
			int high = len - i > 2 ? hex(s[i + 1]) : -1;
			int low = len - i > 2 ? hex(s[i + 2]) : -1;
			if (high < 0 || low < 0) {
				wrong(why_r,
				      "a %% in the %s needs two hex digits after it "
				      "(a %% itself is written %%25)",
				      what);
				goto fail;
			}
			c = high << 4 | low;
			i += 2;
			if (!c) {
				wrong(why_r, "the %s must not hold a NUL (%%00)", what);
				goto fail;
			}
		} else if (c <= ' ' || c == 0x7f) {
			wrong(why_r, "a space or control character in the %s is written %%%02X",
			      what, (unsigned)c);
			goto fail;
		} else if (strchr("/?#[]@", c)) {
			wrong(why_r, "a %c in the %s is written %%%02X", c, what, (unsigned)c);
			goto fail;
		}
		*o++ = (char)c;
	}
	*o = '\0';
	if (o - out > SHORTSTR) {
		wrong(why_r, "the %s is longer than %d bytes", what, SHORTSTR);
		goto fail;
	}
	return out;
fail:
	explicit_bzero(out, len + 1);
	free(out);
	return NULL;
}

static int host_parse(struct address *a, const char *s, size_t len, char **why_r)
{
	const char *name = s, *port;
	size_t namelen;
	struct address_host *host = &a->hosts[a->nhosts];

	if (len && *s == '[') {
		const char *end = memchr(s, ']', len);
		if (!end)
			return wrong(why_r, "a host that begins with [ has no closing ]");
		name = s + 1;
		namelen = (size_t)(end - name);
		port = end + 1;
		if (strspn(name, "0123456789abcdefABCDEF:.") < namelen ||
		    !memchr(name, ':', namelen))
			return wrong(why_r, "'%.*s' is not an IPv6 address", (int)namelen, name);
	} else {
		port = memchr(s, ':', len);
		namelen = port ? (size_t)(port - s) : len;
		if (!port)
			port = s + len;
		else if (memchr(port + 1, ':', len - namelen - 1))
			return wrong(why_r,
			             "host '%.*s': an IPv6 address stands in brackets, "
			             "[::1]:5672; behind user:password stands an @",
			             (int)namelen, s);
		for (size_t i = 0; i < namelen; i++)
			if (!isalnum((unsigned char)s[i]) && !strchr("-._", s[i]))
				return wrong(why_r, "a host name has no '%c': '%.*s'", s[i],
				             (int)namelen, s);
	}
	if (!namelen)
		return wrong(why_r, "a host is missing (amqp://user@host1,host2/vhost)");
	if (namelen > SHORTSTR)
		return wrong(why_r, "a host name has at most %d characters", SHORTSTR);

	unsigned long n = a->tls ? PORT_TLS : PORT;
	size_t portlen = (size_t)(s + len - port);
	if (portlen) {
		/* at most ":65535" */
		n = portlen <= 6 && strspn(port + 1, "0123456789") >= portlen - 1
		        ? strtoul(port + 1, NULL, 10)
		        : 0;
		if (*port != ':' || !n || n > 65535)
			return wrong(why_r,
			             "host '%.*s': a port is a number from 1 to 65535; behind "
			             "user:password stands an @",
			             (int)namelen, name);
	}
	host->name = strndup(name, namelen);
	if (!host->name)
		return wrong(why_r, "out of memory");
	host->port = (uint16_t)n;
	a->nhosts++;
	return 0;
}

static int hosts_parse(struct address *a, const char *s, size_t len, char **why_r)
{
	size_t n = 1;
	for (size_t i = 0; i < len; i++)
		n += s[i] == ',';
	a->hosts = calloc(n, sizeof *a->hosts);
	if (!a->hosts)
		return wrong(why_r, "out of memory");
	for (const char *end = s + len; n--;) {
		const char *comma = memchr(s, ',', (size_t)(end - s));
		if (!comma)
			comma = end;
		if (host_parse(a, s, (size_t)(comma - s), why_r))
			return -1;
		s = comma + 1;
	}
	return 0;
}

static int parse(struct address *a, const char *url, char **why_r)
{
	if (!strncasecmp(url, "amqp://", 7)) {
		url += 7;
	} else if (!strncasecmp(url, "amqps://", 8)) {
		url += 8;
		a->tls = true;
	} else {
		return wrong(why_r, "the URL begins with amqp:// or amqps://");
	}
	size_t authority = strcspn(url, "/?#");
	const char *path = url + authority;
	const char *host = memchr(url, '@', authority);
	if (!host && strchr(path, '@')) {
		/* What looks like a host is the beginning of a password. */
		return wrong(why_r, "a %c in the user name or password is written %%%02X", *path,
		             (unsigned)*path);
	}
	if (host) {
		const char *colon = memchr(url, ':', (size_t)(host - url));
		const char *user_end = colon ? colon : host;
		a->user = decode(url, (size_t)(user_end - url), "user name", why_r);
		if (!a->user)
			return -1;
		if (!*a->user)
			return wrong(why_r, "the user name before the @ is empty");
		if (colon) {
			a->password =
			    decode(colon + 1, (size_t)(host - colon - 1), "password", why_r);
			if (!a->password)
				return -1;
		}
		host++;
		/* Told apart from a bad host, whose text is quoted: this could be a password's. */
		if (memchr(host, '@', (size_t)(path - host)))
			return wrong(why_r, "an @ in the user name or password is written %%40");
	} else {
		host = url;
		a->user = strdup("guest");
		if (!a->user)
			return wrong(why_r, "out of memory");
	}
	if (hosts_parse(a, host, (size_t)(path - host), why_r))
		return -1;
	if (strpbrk(path, "?#"))
		return wrong(why_r,
		             "options after ? or # are not known here: use notifyd_ options");
	if (*path == '/')
		path++;
	if (strchr(path, '/'))
		return wrong(why_r, "a / in the vhost is written %%2F");
	a->vhost = *path ? decode(path, strlen(path), "vhost", why_r) : strdup("/");
	if (!a->vhost)
		return *why_r ? -1 : wrong(why_r, "out of memory");
	return 0;
}

int address_parse(struct address **a_r, const char *url, char **why_r)
{
	*why_r = NULL;
	*a_r = calloc(1, sizeof **a_r);
	if (!*a_r)
		return wrong(why_r, "out of memory");
	if (!parse(*a_r, url, why_r))
		return 0;
	address_free(a_r);
	return -1;
}

void address_free(struct address **a)
{
	if (!*a)
		return;
	if ((*a)->password)
		explicit_bzero((*a)->password, strlen((*a)->password));
	free((*a)->password);
	free((*a)->user);
	free((*a)->vhost);
	for (size_t i = 0; i < (*a)->nhosts; i++)
		free((*a)->hosts[i].name);
	free((*a)->hosts);
	free(*a);
	*a = NULL;
}
