/* SPDX-License-Identifier: BSD-3-Clause */
/* What an admin reads of the reasons in lib/lost.h. */
#ifndef NOTIFYD_LOSSES_H
#define NOTIFYD_LOSSES_H

#include "../lib/lost.h"

struct loss {
	const char *name; /* in metrics and JSON */
	const char *why;  /* "N events were lost: ..." */
	const char *cure;
};

/* By enum lost_reason. */
extern const struct loss losses[LOST_REASONS];

#endif
