/* SPDX-License-Identifier: BSD-3-Clause */
/* Places in a journal as an admin names them. */
#ifndef NOTIFYD_CTL_PLACE_H
#define NOTIFYD_CTL_PLACE_H

#include "../lib/record.h"

struct place {
	uint64_t pos;           /* where a record begins, or the journal's end */
	int64_t time;           /* when that was appended; 0: it is the end */
	unsigned char uuid[16]; /* of the journal */
};

/* An id of this journal, or of the one it is a copy of; with bare also a position in hexadecimal.
 * EX_OK, or an exit code, when it was said why. */
int ctl_place_id(int dirfd, const char *s, bool bare, uint64_t *pos_r);

/* The first event at or behind pos that was appended at or after `since`. EX_OK, or an exit code
 * when it was said why. */
int ctl_place_find(const char *journal, uint64_t pos, int64_t since, struct place *p_r);

/* The end, where no record is cut in two. Likewise. */
int ctl_place_end(const char *journal, struct place *p_r);

#endif
