/* SPDX-License-Identifier: BSD-3-Clause */
/* What the hook needs of a Cyrus, in a library as Cyrus has it, so that the preloaded
 * hook comes before it. It notes what reaches it. */
#ifndef TESTS_HOOK_STOCK_H
#define TESTS_HOOK_STOCK_H

#include <stdint.h>

extern const char *config_filename, *config_ident;
extern char CYRUS_VERSION[16];

extern int stock_calls;         /* of notify() */
extern const char *stock_class; /* of the last call */
extern const char *stock_message;
extern int stock_nopt;

/* A message as the functions below tell of it; Cyrus's callers see no more of it. */
struct stock_record {
	const char *mailbox;
	uint32_t uid, size, header;
	const char *path;
	int error; /* what each returns */
};
extern int stock_extracts; /* calls of mboxevent_extract_msgrecord() */

void mboxevent_extract_msgrecord(void *event, void *msgrecord);
int msgrecord_get_mailbox(void *msgrecord, void **mailbox);
int msgrecord_get_uid(void *msgrecord, uint32_t *uid);
int msgrecord_get_size(void *msgrecord, uint32_t *size);
int msgrecord_get_header_size(void *msgrecord, uint32_t *size);
int msgrecord_get_fname(void *msgrecord, const char **path);
const char *mailbox_uniqueid(const void *mailbox);

#define STOCK_ASSERTED 99 /* assertionfailed() ends the process with this */

void notify(const char *method, const char *class, const char *priority, const char *user,
            const char *mailbox, int nopt, const char **options, const char *message,
            const char *fname);
void assertionfailed(const char *file, int line, const char *expr);

#endif
