/* SPDX-License-Identifier: BSD-3-Clause */
/* A growable byte buffer whose failure is sticky: after the first allocation
 * that fails, every call is a no-op and `failed` stays set, so a writer checks
 * once at its end. Safe in a mail process: never aborts, never prints. */
#ifndef MBEV_BUF_H
#define MBEV_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
	char *s; /* not NUL-terminated unless buf_cstr() was called */
	size_t len, cap;
	bool failed;
};

#define BUF_INIT                                                                                   \
	{                                                                                          \
		NULL, 0, 0, false                                                                  \
	}

/* Room for more bytes behind the contents; false when there is none. */
bool buf_room(struct buf *b, size_t more);

/* Inline, as an event is made of many short pieces. */
static inline void buf_add(struct buf *b, const void *s, size_t len)
{
	if (!len || b->failed || (len > b->cap - b->len && !buf_room(b, len)))
		return;
	memcpy(b->s + b->len, s, len);
	b->len += len;
}

static inline void buf_adds(struct buf *b, const char *s) /* a C string */
{
	buf_add(b, s, strlen(s));
}

static inline void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_addi(struct buf *b, int64_t n); /* in decimal */
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The contents as a C string, borrowed until the next call; "" when empty or failed. */
const char *buf_cstr(struct buf *b);

/* Forgets the contents and a failure, keeps the memory. */
void buf_reset(struct buf *b);
void buf_free(struct buf *b);

#endif
