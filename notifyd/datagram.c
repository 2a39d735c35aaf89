/* SPDX-License-Identifier: BSD-3-Clause */
#include "datagram.h"

#include <stdbool.h>
#include <string.h>

/* Takes the string at *s, which ends before end; false when no NUL ends it. */
static bool take(const char **s, const char *end, struct str *str_r)
{
	const char *nul = *s < end ? memchr(*s, '\0', (size_t)(end - *s)) : NULL;
	if (!nul)
		return false;
	*str_r = (struct str){*s, (size_t)(nul - *s)};
	*s = nul + 1;
	return true;
}

static bool number(struct str str, unsigned *n_r)
{
	unsigned n = 0;
	if (!str.len || str.len > 5)
		return false;
	for (size_t i = 0; i < str.len; i++) {
		if (str.s[i] < '0' || str.s[i] > '9')
			return false;
		n = n * 10 + (unsigned)(str.s[i] - '0');
	}
	*n_r = n;
	return true;
}

int datagram_parse(const char *s, size_t len, struct datagram *d_r, const char **why_r)
{
	const char *end = s + len;
	struct str nopt, option;
	*d_r = (struct datagram){0};
	if (!len) {
		*why_r = "it is empty";
		return -1;
	}
	if (len > DATAGRAM_MAX) {
		*why_r = "it is longer than 64 KiB";
		return -1;
	}
	if (!take(&s, end, &d_r->method) || !take(&s, end, &d_r->class) ||
	    !take(&s, end, &d_r->priority) || !take(&s, end, &d_r->user) ||
	    !take(&s, end, &d_r->mailbox) || !take(&s, end, &nopt)) {
		*why_r = "it ends before the number of options";
		return -1;
	}
	if (!number(nopt, &d_r->nopt)) {
		*why_r = "its number of options is no number";
		return -1;
	}
	d_r->options.s = s;
	for (unsigned i = 0; i < d_r->nopt; i++) {
		if (!take(&s, end, &option)) {
			*why_r = "it has fewer options than it says";
			return -1;
		}
	}
	d_r->options.len = (size_t)(s - d_r->options.s);
	if (!take(&s, end, &d_r->message)) {
		*why_r = "it ends before its message does";
		return -1;
	}
	if (s < end && !take(&s, end, &d_r->fname)) {
		*why_r = "it ends before its file name does";
		return -1;
	}
	if (s < end) {
		*why_r = "something follows its end";
		return -1;
	}
	return 0;
}

static bool put(struct buf *out, struct str str)
{
	if (str.len && memchr(str.s, '\0', str.len))
		return false;
	buf_add(out, str.s, str.len);
	buf_addc(out, '\0');
	return true;
}

int datagram_write(struct buf *out, const struct datagram *d)
{
	size_t start = out->len;
	if (d->message.len > DATAGRAM_MAX || d->options.len > DATAGRAM_MAX)
		return -1;
	bool ok = put(out, d->method) && put(out, d->class) && put(out, d->priority) &&
	          put(out, d->user) && put(out, d->mailbox);
	buf_addi(out, d->nopt);
	buf_addc(out, '\0');
	buf_add(out, d->options.s, d->options.len);
	ok = ok && put(out, d->message) && (!d->fname.s || put(out, d->fname));
	if (ok && !out->failed && out->len - start <= DATAGRAM_MAX)
		return 0;
	out->len = start;
	return -1;
}
