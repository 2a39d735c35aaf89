/* SPDX-License-Identifier: BSD-3-Clause */
#include "stock.h"

#include <unistd.h>

const char *config_filename, *config_ident;
char CYRUS_VERSION[16] = "3.6.1";
int stock_calls, stock_nopt, stock_extracts;
const char *stock_class, *stock_message;

void notify(const char *method, const char *class, const char *priority, const char *user,
            const char *mailbox, int nopt, const char **options, const char *message,
            const char *fname)
{
	(void)method;
	(void)priority;
	(void)user;
	(void)mailbox;
	(void)options;
	(void)fname;
	stock_calls++;
	stock_class = class;
	stock_message = message;
	stock_nopt = nopt;
}

void assertionfailed(const char *file, int line, const char *expr)
{
	(void)file;
	(void)line;
	(void)expr;
	_exit(STOCK_ASSERTED);
}

void mboxevent_extract_msgrecord(void *event, void *msgrecord)
{
	(void)event;
	(void)msgrecord;
	stock_extracts++;
}

int msgrecord_get_mailbox(void *msgrecord, void **mailbox)
{
	struct stock_record *r = msgrecord;
	*mailbox = r;
	return r->error;
}

int msgrecord_get_uid(void *msgrecord, uint32_t *uid)
{
	struct stock_record *r = msgrecord;
	*uid = r->uid;
	return r->error;
}

int msgrecord_get_size(void *msgrecord, uint32_t *size)
{
	struct stock_record *r = msgrecord;
	*size = r->size;
	return r->error;
}

int msgrecord_get_header_size(void *msgrecord, uint32_t *size)
{
	struct stock_record *r = msgrecord;
	*size = r->header;
	return r->error;
}

int msgrecord_get_fname(void *msgrecord, const char **path)
{
	struct stock_record *r = msgrecord;
	*path = r->path;
	return r->error;
}

const char *mailbox_uniqueid(const void *mailbox)
{
	const struct stock_record *r = mailbox;
	return r->mailbox;
}
