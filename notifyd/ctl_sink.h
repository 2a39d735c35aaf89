/* SPDX-License-Identifier: BSD-3-Clause */
/* Sinks as an admin names them, of a configuration that need not be free of mistakes. */
#ifndef NOTIFYD_CTL_SINK_H
#define NOTIFYD_CTL_SINK_H

#include "ctl.h"

/* Whether it is in notifyd_sinks. The name is sink[0..len). */
bool ctl_sink_configured(const struct ctl *ctl, const char *sink, size_t len);
/* Its notifyd_<sink>_type; NULL when there is none. */
const char *ctl_sink_type(const struct ctl *ctl, const char *sink, size_t len);

#endif
