/* SPDX-License-Identifier: BSD-3-Clause */
/* What the hook needs of a Cyrus, in a library as Cyrus has it, so that the preloaded
 * hook comes before it. It notes what reaches it. */
#ifndef TESTS_HOOK_STOCK_H
#define TESTS_HOOK_STOCK_H

extern const char *config_filename, *config_ident;
extern char CYRUS_VERSION[16];

extern int stock_calls;         /* of notify() */
extern const char *stock_class; /* of the last call */
extern const char *stock_message;
extern int stock_nopt;

#define STOCK_ASSERTED 99 /* assertionfailed() ends the process with this */

void notify(const char *method, const char *class, const char *priority, const char *user,
            const char *mailbox, int nopt, const char **options, const char *message,
            const char *fname);
void assertionfailed(const char *file, int line, const char *expr);

#endif
