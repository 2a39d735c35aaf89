/* SPDX-License-Identifier: BSD-3-Clause */
/* The preload hook for unmodified Cyrus IMAP (LD_PRELOAD in the environment of its
 * master). It stands in for three functions that Cyrus calls through the PLT; no struct of
 * Cyrus is ever looked into, and a symbol that is missing switches its feature off. */
#include "../content.h"
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
typedef void extract_fn(void *event, void *msgrecord);

EXPORT notify_fn notify;
EXPORT extract_fn mboxevent_extract_msgrecord;
EXPORT assertionfailed_fn assertionfailed;

/* The value of a `const char *` variable of libcyrus_min; NULL without it. */
static const char *cyrus_string(const char *symbol)
{
	const char **s = dlsym(RTLD_DEFAULT, symbol);
	return s ? *s : NULL;
}

/* Where the server's configuration is, and which service it is. */
static const char *conf_path, *service;

static void identify(void)
{
	if (conf_path)
		return;
	conf_path = cyrus_string("config_filename");
	service = cyrus_string("config_ident");
}

/* imap/notify.h, Cyrus 2.5 to 3.12 */
void notify(const char *method, const char *class, const char *priority, const char *user,
            const char *mailbox, int nopt, const char **options, const char *message,
            const char *fname)
{
	int before = errno;
	identify();
	bool done = class && message && strcmp(class, "EVENT") == 0 &&
	            hook_event(conf_path, service, message);
	errno = before;
	if (done)
		return;
	notify_fn *next = (notify_fn *)dlsym(RTLD_NEXT, "notify");
	if (next)
		next(method, class, priority, user, mailbox, nopt, options, message, fname);
}

/* imap/msgrecord.h (3.2 on) and imap/mailbox.h (mailbox_uniqueid: 3.6 on); 0 is success. */
static struct {
	int (*get_mailbox)(void *msgrecord, void **mailbox);
	const char *(*uniqueid)(const void *mailbox);
	int (*get_uid)(void *msgrecord, uint32_t *uid);
	int (*get_size)(void *msgrecord, uint32_t *size);
	int (*get_header_size)(void *msgrecord, uint32_t *size);
	int (*get_fname)(void *msgrecord, const char **path);
} ask;

static bool can_ask(void)
{
	static enum { UNTRIED, YES, NO } can;
	if (can == UNTRIED) {
		ask.get_mailbox = dlsym(RTLD_DEFAULT, "msgrecord_get_mailbox");
		ask.uniqueid = dlsym(RTLD_DEFAULT, "mailbox_uniqueid");
		ask.get_uid = dlsym(RTLD_DEFAULT, "msgrecord_get_uid");
		ask.get_size = dlsym(RTLD_DEFAULT, "msgrecord_get_size");
		ask.get_header_size = dlsym(RTLD_DEFAULT, "msgrecord_get_header_size");
		ask.get_fname = dlsym(RTLD_DEFAULT, "msgrecord_get_fname");
		can = ask.get_mailbox && ask.uniqueid && ask.get_uid && ask.get_size &&
		              ask.get_header_size && ask.get_fname
		          ? YES
		          : NO;
		if (can == NO)
			hook_warn(6, "no messageContent: this Cyrus does not tell where a message "
			             "is (3.6 and later do)");
	}
	return can == YES;
}

static void note(void *msgrecord)
{
	struct content_message m;
	void *mailbox;
	identify();
	if (!hook_wants_messages(conf_path, service) || !can_ask())
		return;
	if (ask.get_mailbox(msgrecord, &mailbox) == 0 && ask.get_uid(msgrecord, &m.uid) == 0 &&
	    ask.get_size(msgrecord, &m.size) == 0 &&
	    ask.get_header_size(msgrecord, &m.header) == 0 &&
	    ask.get_fname(msgrecord, &m.path) == 0 && m.path && (m.mailbox = ask.uniqueid(mailbox)))
		hook_message(&m);
}

/* Cyrus calls this for every message of an event. Its own function first: what that has
 * asked of the record, such as the UID, loads the record, so that asking once more can't fail in a
 * way that it has not. It does nothing without an event, and nothing is noted then. */
void mboxevent_extract_msgrecord(void *event, void *msgrecord)
{
	static extract_fn *next;
	if (!next)
		next = (extract_fn *)dlsym(RTLD_NEXT, "mboxevent_extract_msgrecord");
	if (next)
		next(event, msgrecord);
	int before = errno;
	if (event && msgrecord)
		note(msgrecord);
	errno = before;
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
