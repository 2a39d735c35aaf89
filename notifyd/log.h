/* SPDX-License-Identifier: BSD-3-Clause */
/* One structured line an incident, to stderr or syslog:
 *   notifyd: warning sink=mq position=000000000001a2b0 reason="connection refused; ..."
 * Never one line an event. Levels: error (an admin must act), warning (notifyd copes),
 * info (state changes). */
#ifndef NOTIFYD_LOG_H
#define NOTIFYD_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO };

/* to_syslog false: stderr. ident is "notifyd". */
void log_open(const char *ident, bool to_syslog);

#define LOG_NOPOS UINT64_MAX
/* sink: NULL for the supervisor ("-"). Quotes and line ends in the reason are escaped. */
void log_incident(enum log_level level, const char *sink, uint64_t pos, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
