/* SPDX-License-Identifier: BSD-3-Clause */
/* Points in time and spans as an admin reads them. Microseconds since 1970 UTC. */
#ifndef NOTIFYD_STAMP_H
#define NOTIFYD_STAMP_H

#include <stdint.h>

#define STAMP_SIZE 32

int64_t stamp_now(void);
/* "2026-11-22T17:44:58.081Z" */
void stamp_iso(char out_r[STAMP_SIZE], int64_t time);
/* "3 s", "4 min", "5 h", "6 d": the largest unit that fits twice. */
void stamp_span(char out_r[STAMP_SIZE], int64_t span);

#endif
