/* SPDX-License-Identifier: BSD-3-Clause */
/* Backlogs as notifyctl shows them, in JSON and in words. */
#ifndef NOTIFYD_CTL_BACKLOG_H
#define NOTIFYD_CTL_BACKLOG_H

#include "backlog.h"
#include "stamp.h"

#include <jansson.h>

/* {"events", "exact", "bytes", "seconds"}; the age of the oldest in seconds. */
json_t *ctl_lag_object(const struct lag *lag);
/* [{"name", "sink", "lag", "delivered", "lastUsed"}] of those that are subscriptions. */
json_t *ctl_subscription_array(const struct backlog *list, size_t n);

/* "12.3 MB" */
void ctl_size_text(char out_r[STAMP_SIZE], int64_t bytes);
/* "12 events, 3.4 KB, 5 min", "nothing", or "-" where lag is no object. */
#define CTL_LAG_TEXT 128
void ctl_lag_text(char out_r[CTL_LAG_TEXT], const json_t *lag);

#endif
