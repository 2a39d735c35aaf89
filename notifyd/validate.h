/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether an event is in the documented form, as the catalogue has it. Parameters that the
 * catalogue does not know are allowed: consumers have to ignore them. */
#ifndef NOTIFYD_VALIDATE_H
#define NOTIFYD_VALIDATE_H

#include "../lib/catalog.h"

struct validate;

/* NULL when memory is short. */
struct validate *validate_new(void);
void validate_free(struct validate **v);

/* A fault. event: its name, NULL when it has none; parameter: NULL when the fault is not in one.
 * Text from the event is in printable ASCII. Borrowed for the call. */
typedef void validate_report(void *ctx, const char *event, const char *parameter, const char *what);

/* Checks one event. exact: its spelling must be the documented one too: compact, keys sorted,
 * ASCII. The number of faults, each of which was reported. */
unsigned validate_event(struct validate *v, struct str text, bool exact, validate_report *report,
                        void *ctx);

#endif
