/* SPDX-License-Identifier: BSD-3-Clause */
/* The preload hook for unmodified Cyrus IMAP (LD_PRELOAD in the environment of its
 * master). It stands in for two functions that Cyrus calls through the PLT; no struct of
 * Cyrus is ever looked into, and a symbol that is missing switches its feature off. */
#include "../hook.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef void notify_fn(const char *method, const char *class, const char *priority,
                       const char *user, const char *mailbox, int nopt, const char **options,
                       const char *message, const char *fname);
typedef void assertionfailed_fn(const char *file, int line, const char *expr);

EXPORT notify_fn notify;
EXPORT assertionfailed_fn assertionfailed;

/* The value of a `const char *` variable of libcyrus_min; NULL without it. */
static const char *cyrus_string(const char *symbol)
{
	const char **s = dlsym(RTLD_DEFAULT, symbol);
	return s ? *s : NULL;
}

/* imap/notify.h, Cyrus 2.5 to 3.12 */
void notify(const char *method, const char *class, const char *priority, const char *user,
            const char *mailbox, int nopt, const char **options, const char *message,
            const char *fname)
{
	int before = errno;
	static const char *conf_path, *service;
	if (!conf_path) {
		conf_path = cyrus_string("config_filename");
		service = cyrus_string("config_ident");
	}
	bool done = class && message && strcmp(class, "EVENT") == 0 &&
	            hook_event(conf_path, service, message);
	errno = before;
	if (done)
		return;
	notify_fn *next = (notify_fn *)dlsym(RTLD_NEXT, "notify");
	if (next)
		next(method, class, priority, user, mailbox, nopt, options, message, fname);
}

/* From 3.12 on the function is declared noreturn and returning from it is fatal. Unknown
 * versions count as such. */
static bool may_return(void)
{
	const char *version = dlsym(RTLD_DEFAULT, "CYRUS_VERSION"); /* an array of char, 3.2 on */
	if (!version)
		return false;
	char *end;
	long major = strtol(version, &end, 10);
	if (*end != '.')
		return false;
	long minor = strtol(end + 1, &end, 10);
	return major == 3 && minor >= 2 && minor < 12;
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && strcmp(s + n - m, end) == 0;
}

/* Stock Cyrus ends imapd when one of its events lacks a parameter (QuotaExceed of a root with a
 * STORAGE limit alone). The event goes out without it instead; every other assertion is as
 * deadly as ever. */
void assertionfailed(const char *file, int line, const char *expr)
{
	if (file && expr && strcmp(expr, "filled_params(type, event)") == 0 &&
	    (strcmp(file, "mboxevent.c") == 0 || ends_in(file, "/mboxevent.c")) && may_return()) {
		hook_warn(7, "%s:%d: kept Cyrus alive: %s", file, line, expr);
		return;
	}
	assertionfailed_fn *next = (assertionfailed_fn *)dlsym(RTLD_NEXT, "assertionfailed");
	if (!next)
		abort();
	next(file, line, expr);
}
