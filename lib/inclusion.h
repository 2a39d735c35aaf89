/* SPDX-License-Identifier: BSD-3-Clause */
/* Which part of a message its event carries: Cyrus's options event_extra_params,
 * event_content_inclusion_mode and event_content_size as imapd.conf(5) tells them, within
 * mboxevent_max_content. */
#ifndef MBEV_INCLUSION_H
#define MBEV_INCLUSION_H

#include "conf.h"

enum inclusion_mode {
	INCLUSION_STANDARD,   /* the whole message, unless it is longer than size */
	INCLUSION_MESSAGE,    /* its first bytes */
	INCLUSION_HEADER,     /* the first bytes of its header */
	INCLUSION_BODY,       /* the first bytes of its body */
	INCLUSION_HEADERBODY, /* its header, and the first bytes of its body */
};

struct inclusion {
	bool wanted; /* event_extra_params has messageContent */
	enum inclusion_mode mode;
	uint64_t size; /* 0: no limit but max */
	uint64_t max;
};

/* Values that Cyrus does not take count as the defaults. */
void inclusion_read(struct inclusion *i, const struct conf *conf, const char *service);

/* The part of a message of `size` bytes, of which the first `header` are its header with the
 * empty line: *len_r bytes (0 is a part too) from *from_r on. false: none of it. */
bool inclusion_part(const struct inclusion *i, uint64_t size, uint64_t header, uint64_t *from_r,
                    uint64_t *len_r);

/* A part that ends before its message does must not end within a UTF-8 character: its length
 * without such a piece. */
size_t inclusion_whole(const char *part, size_t len);

#endif
