/* SPDX-License-Identifier: BSD-3-Clause */
/* The handle. */
#include "build.h"

#include "../lib/journalconf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

MBEV_EXPORT unsigned mbev_abi(void)
{
	return MBEV_ABI;
}

MBEV_EXPORT const char *mbev_strerror(int code)
{
	switch (code) {
	case MBEV_OK:
		return "done";
	case MBEV_SILENT:
		return "the configuration says that this is not to be emitted";
	case MBEV_NOMEM:
		return "out of memory";
	case MBEV_INVAL:
		return "a value that the parameter cannot have";
	case MBEV_CONF:
		return "imapd.conf cannot be read";
	case MBEV_EVENT:
		return "no event type has this name";
	case MBEV_PARAM:
		return "the event has no such parameter, or another call sets it";
	case MBEV_TYPE:
		return "the parameter's values are of another type";
	case MBEV_MISSING:
		return "a parameter that the event must have was not set";
	case MBEV_JOURNAL:
		return "the journal did not take the event";
	default:
		return "unknown code";
	}
}

static void option_error(void *ctx, const char *error)
{
	struct buf *ignored = ctx;
	if (!ignored->len)
		buf_addf(ignored, "%s; the default is used", error);
}

/* Of the server, as Cyrus finds it. */
static char *server_name(const struct conf *conf, const char *service)
{
	const char *set = conf_get(conf, service, "servername");
	char host[256] = "";
	if (!set && gethostname(host, sizeof host - 1) < 0)
		set = "localhost";
	return strdup(set ? set : host);
}

static int configure(struct mbev *h, const struct conf *conf, const char *service,
                     struct buf *ignored)
{
	static const struct conf_option *const tables[] = {mboxevent_options, NULL};
	const struct conf_scope own = {conf, service, "", tables};
	const char *journal_why;
	conf_check(&own, "mboxevent_", NULL, option_error, ignored);
	h->server = server_name(conf, service);
	h->service = service ? strdup(service) : NULL;
	if (!h->server || (service && !h->service) ||
	    extras_read(&h->extras, conf, service, ignored) < 0 ||
	    journal_open_conf(conf, service, &h->journal, &journal_why) < 0)
		return MBEV_NOMEM;
	if (!h->extras.notifies && !ignored->len)
		buf_adds(ignored, "event_notifier is not set: nothing is emitted");
	return MBEV_OK;
}

static void say(char *why, size_t size, const char *s)
{
	if (why && size)
		snprintf(why, size, "%s", s);
}

MBEV_EXPORT int mbev_open(const char *conf_path, const char *service, struct mbev **handle_r,
                          char *why, size_t size)
{
	int before = errno, code = MBEV_NOMEM;
	char *conf_why = NULL;
	struct buf ignored = BUF_INIT;
	if (!handle_r || !conf_path) {
		say(why, size, mbev_strerror(MBEV_INVAL));
		if (handle_r)
			*handle_r = NULL;
		return MBEV_INVAL;
	}
	struct mbev *h = calloc(1, sizeof *h);
	struct conf *conf = h ? conf_read(conf_path, &conf_why) : NULL;
	if (h)
		pthread_mutex_init(&h->lock, NULL);
	if (conf)
		code = configure(h, conf, service, &ignored);
	else if (conf_why)
		code = MBEV_CONF;
	say(why, size,
	    code == MBEV_OK     ? buf_cstr(&ignored)
	    : code == MBEV_CONF ? conf_why
	                        : mbev_strerror(code));
	if (conf)
		conf_free(&conf);
	if (code != MBEV_OK)
		mbev_close(&h);
	buf_free(&ignored);
	free(conf_why);
	*handle_r = h;
	errno = before;
	return code;
}

MBEV_EXPORT void mbev_close(struct mbev **handle)
{
	int before = errno;
	struct mbev *h = handle ? *handle : NULL;
	if (h) {
		journal_close(&h->journal);
		pthread_mutex_destroy(&h->lock);
		extras_free(&h->extras);
		free(h->service);
		free(h->server);
		free(h);
		*handle = NULL;
	}
	errno = before;
}

MBEV_EXPORT int mbev_enabled(const struct mbev *handle, const char *event)
{
	const struct catalog_event *type = event ? catalog_event(event, strlen(event)) : NULL;
	if (!type)
		return MBEV_EVENT;
	return handle && extras_event(&handle->extras, type);
}

MBEV_EXPORT uint64_t mbev_count(const struct mbev *handle, enum mbev_counter counter)
{
	struct mbev *h = (struct mbev *)handle;
	if (!h || (unsigned)counter > MBEV_COUNT_LOST)
		return 0;
	pthread_mutex_lock(&h->lock);
	uint64_t n = h->counts[counter];
	pthread_mutex_unlock(&h->lock);
	return n;
}

MBEV_EXPORT uint64_t mbev_lost(const struct mbev *handle)
{
	return mbev_count(handle, MBEV_COUNT_REFUSED) + mbev_count(handle, MBEV_COUNT_LOST);
}

void build_count(struct mbev *h, enum mbev_counter counter)
{
	pthread_mutex_lock(&h->lock);
	h->counts[counter]++;
	if (counter >= MBEV_COUNT_REFUSED)
		journal_lost(h->journal,
		             counter == MBEV_COUNT_REFUSED ? LOST_INCOMPLETE : LOST_MEMORY, 1);
	pthread_mutex_unlock(&h->lock);
}
