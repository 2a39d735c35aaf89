/* SPDX-License-Identifier: BSD-3-Clause */
#include "stock.h"

#include <unistd.h>

const char *config_filename, *config_ident;
char CYRUS_VERSION[16] = "3.6.1";
int stock_calls, stock_nopt;
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
