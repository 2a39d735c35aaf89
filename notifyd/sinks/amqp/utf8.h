/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NOTIFYD_AMQP_UTF8_H
#define NOTIFYD_AMQP_UTF8_H

#include <stddef.h>

/* Length of the UTF-8 sequence at s (RFC 3629), 0 when it is none. len is at least 1. */
size_t utf8_sequence(const unsigned char *s, size_t len);

#endif
