/* SPDX-License-Identifier: BSD-3-Clause */
#include "settings.h"

#include "../lib/nearest.h"
#include "../lib/segment.h"
#include "headers.h"
#include "metrics.h"
#include "when.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FAMILY        "notifyd_"
#define SINK_NAME_MAX 32 /* of a sink: it is part of file names */
#define SINKS_MAX     64
#define RESET         "reset" /* the name of notifyd's own sink */
#define OWN_MAX       2       /* of notifyd's own sinks */

/* What a sink borrows. */
struct settings_place {
	char name[SINK_NAME_MAX + 1];
	char prefix[sizeof(FAMILY) + SINK_NAME_MAX + 1];
	const struct conf_option *tables[3];
};

const struct conf_option notifyd_options[] = {
    {"notifyd_sinks", CONF_LIST, NULL, 0, 0, NULL, NULL,
     "Names of the sinks that are on, each of letters a to z and digits, a letter first. Without "
     "it there is one sink, local, of type unix."},
    {"notifyd_forward", CONF_PATH, NULL, 0, 0, NULL, NULL,
     "Socket of the server's own notifyd, which gets the notifications that are no events (class "
     "other than EVENT). Without it they are dropped."},
    {"notifyd_log", CONF_ENUM, "stderr", 0, 0, "stderr|syslog", NULL,
     "Where notifyd reports incidents. Under systemd stderr is the journal of systemd."},
    {"notifyd_stall", CONF_DURATION, "60s", 10000, 3600000, NULL, "s",
     "A sink's worker that has been silent for so long is killed and started again; nothing is "
     "lost."},
    {"notifyd_mailbox_reset", CONF_SWITCH, "no", 0, 0, NULL, NULL,
     "Whether notifyd remembers the UIDVALIDITY of each mailbox, in a database in the journal's "
     "directory, and tells with an event MailboxReset that it changed."},
    {"notifyd_metrics", CONF_STRING, NULL, 0, 0, NULL, NULL,
     "Where metrics are served over HTTP: address and port such as 127.0.0.1:9797 or [::1]:9797, "
     "or the path of a UNIX socket. Without it they are not."},
    {"notifyd_metrics_mode", CONF_MODE, "0660", 0, 0777, NULL, NULL,
     "Mode of that UNIX socket; who asks needs write permission."},
    {"notifyd_metrics_remote", CONF_SWITCH, "no", 0, 0, NULL, NULL,
     "Whether notifyd_metrics may be an address that other machines reach. Nobody is asked for a "
     "password there, and nothing is encrypted."},
    {NULL, CONF_STRING, NULL, 0, 0, NULL, NULL, NULL},
};

static const struct conf_option *const mboxevent_tables[] = {mboxevent_options, NULL};
static const struct conf_option *const notifyd_tables[] = {notifyd_options, NULL};

struct loading {
	struct settings *s;
	const char *path;
	void (*error)(void *ctx, const char *line);
	void *ctx;
	int errors;
	const char *only;        /* the only sink whose own options are checked; NULL: all */
	const char *skip_unless; /* the only prefix that conf_check() shall look at; NULL: what
	                            belongs to no sink */
};

/* --- errors --- */

static const struct conf_entry *entry_of(const struct conf *c, const char *key)
{
	const struct conf_entry *e;
	size_t n = conf_entries(c, &e);

	for (; n; n--, e++)
		if (!strcmp(e->key, key))
			return e;
	return NULL;
}

static void pass_error(void *ctx, const char *line)
{
	struct loading *l = ctx;

	l->errors++;
	l->error(l->ctx, line);
}

/* "file:line: key: ..."; only "path: ..." where the key is not set. */
__attribute__((format(printf, 3, 4))) static void fail(struct loading *l, const char *key,
                                                       const char *fmt, ...)
{
	const struct conf_entry *e = entry_of(l->s->conf, key);
	char text[1024];
	struct buf line = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (e)
		buf_addf(&line, "%s:%d: %.80s: %s", e->file, e->line, key, text);
	else
		buf_addf(&line, "%s: %.80s: %s", l->path, key, text);
	pass_error(l, line.failed ? text : buf_cstr(&line));
	buf_free(&line);
}

/* --- names --- */

/* Length of the word at s in white space; 0 at the end. */
static size_t next_word(const char **s)
{
	*s += strspn(*s, " \t\r\v\f\n");
	return strcspn(*s, " \t\r\v\f\n");
}

/* notifyd_<sink>_<option> must not look like another option: like one of notifyd's own that has
 * two words (mailbox is kept free for such), nor like mboxevent_... or notifyd_... overridden for
 * the stock notifyd as a service. */
static bool reserved(const char *name)
{
	static const char *const words[] = {"mboxevent", "mailbox", "notifyd", RESET};
	char prefix[sizeof(FAMILY) + SINK_NAME_MAX + 1];

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(words[i], name))
			return true;
	snprintf(prefix, sizeof(prefix), FAMILY "%s_", name);
	for (const struct conf_option *row = notifyd_options; row->name; row++)
		if (!strncmp(row->name, prefix, strlen(prefix)))
			return true;
	return false;
}

/* What is wrong with a sink's name, or NULL. */
static const char *name_fault(const char *name, size_t len)
{
	if (len > SINK_NAME_MAX)
		return "is longer than 32 letters";
	if (*name < 'a' || *name > 'z' ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") < len)
		return "must be letters a to z and digits, a letter first";
	return NULL;
}

struct sink *settings_sink(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->n_sinks; i++)
		if (!strcmp(s->sinks[i].name, name))
			return &s->sinks[i];
	return NULL;
}

static void add_sink(struct loading *l, const char *name, size_t len)
{
	struct settings *s = l->s;
	struct settings_place *place = &s->places[s->n_sinks];
	struct sink *sink = &s->sinks[s->n_sinks];

	memcpy(place->name, name, len);
	snprintf(place->prefix, sizeof(place->prefix), FAMILY "%s_", place->name);
	place->tables[0] = sink_options;
	sink->name = place->name;
	sink->conf = (struct conf_scope){s->conf, NULL, place->prefix, place->tables};
	sink->journal = conf_str(&s->mboxevent, "mboxevent_journal");
	s->n_sinks++;
}

static void name_sinks(struct loading *l)
{
	static const char key[] = FAMILY "sinks";
	const char *p = conf_str(&l->s->notifyd, key);
	size_t len;

	if (!p) {
		add_sink(l, "local", strlen("local"));
		return;
	}
	for (; (len = next_word(&p)); p += len) {
		char name[SINK_NAME_MAX + 1] = "";
		const char *fault = name_fault(p, len);

		if (!fault)
			memcpy(name, p, len);
		if (fault)
			fail(l, key, "'%.*s': the name %s", (int)(len < 60 ? len : 60), p, fault);
		else if (reserved(name))
			fail(l, key,
			     "'%s': notifyd has options of its own that begin so; choose "
			     "another name",
			     name);
		else if (settings_sink(l->s, name))
			fail(l, key, "'%s' stands there twice", name);
		else if (l->s->n_sinks == SINKS_MAX)
			fail(l, key, "more than %d sinks", SINKS_MAX);
		else
			add_sink(l, name, len);
	}
}

/* The sink's name in notifyd_<sink>_<option>; false where the key is no such thing. */
static bool key_sink(const char *key, char name_r[SINK_NAME_MAX + 1])
{
	const char *p, *end;

	if (strncmp(key, FAMILY, strlen(FAMILY)))
		return false;
	p = key + strlen(FAMILY);
	for (const struct conf_option *row = notifyd_options; row->name; row++)
		if (!strcmp(row->name, key))
			return false;
	end = strchr(p, '_');
	if (!end || end == p || end - p > SINK_NAME_MAX)
		return false;
	memcpy(name_r, p, (size_t)(end - p));
	name_r[end - p] = '\0';
	return true;
}

static bool skip(void *ctx, const char *key)
{
	const struct loading *l = ctx;
	char name[SINK_NAME_MAX + 1];

	if (l->skip_unless)
		return strncmp(key, l->skip_unless, strlen(l->skip_unless)) != 0;
	return strncmp(key, FAMILY, strlen(FAMILY)) != 0 || key_sink(key, name);
}

/* --- the checks --- */

/* Options that nobody reads: of sinks that are not on, unless they are whole (they have a type, and
 * are off), and with a service in front. */
static void check_strays(struct loading *l)
{
	const struct conf_entry *e;
	size_t n = conf_entries(l->s->conf, &e);

	for (; n; n--, e++) {
		char name[SINK_NAME_MAX + 1],
		    type[sizeof(FAMILY) + SINK_NAME_MAX + sizeof("_type")];
		struct nearest near;

		if (strstr(e->key, "_" FAMILY) && strncmp(e->key, FAMILY, strlen(FAMILY)))
			fail(l, e->key, "options of notifyd take no service in front");
		if (!key_sink(e->key, name) || settings_sink(l->s, name))
			continue;
		snprintf(type, sizeof(type), FAMILY "%s_type", name);
		if (conf_get(l->s->conf, NULL, type))
			continue;
		nearest_start(&near, name, strlen(name));
		for (size_t i = 0; i < l->s->n_sinks; i++)
			nearest_offer(&near, l->s->sinks[i].name);
		fail(l, e->key, "unknown option: no sink '%s' is in notifyd_sinks%s%s", name,
		     near.best ? "; nearest is " : "", near.best ? near.best : "");
	}
}

static void list_types(struct buf *out)
{
	for (const char *const *t = sink_types; *t; t++)
		buf_addf(out, "%s%s", t == sink_types ? "" : t[1] ? ", " : " or ", *t);
}

static void check_type(struct loading *l, struct sink *sink)
{
	bool only = !conf_get(l->s->conf, NULL, FAMILY "sinks");
	const char *type = conf_str(&sink->conf, "type");
	struct buf known = BUF_INIT;
	char key[sizeof(FAMILY) + SINK_NAME_MAX + sizeof("_type")];
	struct nearest near;
	char *why = NULL;

	if (!type && only)
		type = "unix";
	sink->driver = type ? sink_driver(type, &why) : NULL;
	if (sink->driver)
		return;
	snprintf(key, sizeof(key), FAMILY "%s_type", sink->name);
	list_types(&known);
	if (!type) {
		fail(l, FAMILY "sinks", "sink '%s' has no %s: must be %s", sink->name, key,
		     buf_cstr(&known));
	} else if (why) {
		fail(l, key, "'%s': %s", type, why);
	} else {
		nearest_start(&near, type, strlen(type));
		for (const char *const *t = sink_types; *t; t++)
			nearest_offer(&near, *t);
		fail(l, key, "'%.60s': must be %s%s%s", type, buf_cstr(&known),
		     near.best ? "; nearest is " : "", near.best ? near.best : "");
	}
	free(why);
	buf_free(&known);
}

struct filter *settings_filter(const struct sink *sink, char **why_r)
{
	const struct conf_scope *c = &sink->conf;

	struct filter *f =
	    filter_new(conf_str(c, "groups"), conf_str(c, "events"), conf_str(c, "users"),
	               conf_str(c, "owners"), conf_str(c, "mailboxes"), why_r);
	if (f && sink->driver && (sink->driver->devices || sink->driver->older))
		filter_devices(f);
	return f;
}

/* "groups: 'mesage': unknown group" names the option by its first word. */
static void check_filter(struct loading *l, const struct sink *sink)
{
	char *why, *colon, key[sizeof(FAMILY) + SINK_NAME_MAX + 32];
	struct filter *f = settings_filter(sink, &why);

	if (f) {
		filter_free(&f);
		return;
	}
	colon = why ? strstr(why, ": ") : NULL;
	if (!colon) {
		fail(l, FAMILY "sinks", "%s", why ? why : "memory is short");
	} else {
		snprintf(key, sizeof(key), "%s%.*s", sink->conf.prefix, (int)(colon - why), why);
		fail(l, key, "%s", colon + 2);
	}
	free(why);
}

static void check_from(struct loading *l, const struct sink *sink)
{
	const char *from = conf_str(&sink->conf, "from");
	char key[sizeof(FAMILY) + SINK_NAME_MAX + sizeof("_from")];
	int64_t at;

	if (when_parse(from, (int64_t)time(NULL) * 1000000, &at) != WHEN_BAD)
		return;
	snprintf(key, sizeof(key), "%sfrom", sink->conf.prefix);
	fail(l, key, "'%.60s': must be " WHEN_ALLOWED, from);
}

static void check_headers(struct loading *l, const struct sink *sink)
{
	const char *mode = conf_get(l->s->conf, NULL, "event_content_inclusion_mode");
	char key[sizeof(FAMILY) + SINK_NAME_MAX + sizeof("_headers")];

	if (!conf_num(&sink->conf, "headers"))
		return;
	snprintf(key, sizeof(key), "%sheaders", sink->conf.prefix);
	if (!headers_built)
		fail(l, key, "this notifyd was built without GMime");
	else if (mode && !strcmp(mode, "body"))
		fail(l, key, "there are no headers in event_content_inclusion_mode: body");
}

/* A worker that waits for its far side says nothing meanwhile. */
static void check_timeout(struct loading *l, const struct sink *sink)
{
	enum { MARGIN = 5000 };
	const struct conf_option *row = sink->driver->options;
	int64_t stall = conf_num(&l->s->notifyd, FAMILY "stall");

	while (row->name && strcmp(row->name, "timeout"))
		row++;
	if (row->name && conf_num(&sink->conf, row->name) + MARGIN > stall)
		fail(l, FAMILY "stall",
		     "must be at least 5 s longer than %stimeout: a worker that waits for its "
		     "broker would be killed",
		     sink->conf.prefix);
}

static void check_sink(struct loading *l, struct sink *sink, struct settings_place *place)
{
	int errors = l->errors;
	char key[sizeof(FAMILY) + SINK_NAME_MAX + 32];
	size_t len;

	check_type(l, sink);
	if (!sink->driver)
		return;
	place->tables[1] = sink->driver->options;
	l->skip_unless = place->prefix;
	conf_check(&sink->conf, FAMILY, skip, pass_error, l);
	l->skip_unless = NULL;
	check_filter(l, sink);
	check_from(l, sink);
	check_headers(l, sink);
	if (errors == l->errors)
		check_timeout(l, sink);
	if (errors != l->errors || !sink->driver->check || !sink->driver->check(sink))
		return;
	len = strcspn(sink->why, ": ");
	snprintf(key, sizeof(key), "%.*s", (int)len, sink->why);
	if (!strncmp(sink->why + len, ": ", 2) && entry_of(l->s->conf, key)) {
		fail(l, key, "%s", sink->why + len + 2);
		return;
	}
	snprintf(key, sizeof(key), FAMILY "%s_type", sink->name);
	fail(l, key, "%s", *sink->why ? sink->why : "refused");
}

/* What datagrams the stock notifyd would get back from us, for ever. */
static void check_forward(struct loading *l)
{
	const char *forward = conf_str(&l->s->notifyd, FAMILY "forward");
	const char *ours = conf_get(l->s->conf, NULL, "notifysocket");

	if (forward && ours && !strcmp(forward, ours))
		fail(l, FAMILY "forward", "'%.200s' is notifysocket, where notifyd itself listens",
		     forward);
}

/* A sink like others, but for its name, which no option can have in front: its prefix is that of
 * none. */
static void add_reset(struct loading *l)
{
	struct sink *sink = &l->s->sinks[l->s->n_sinks];
	struct settings_place *place = &l->s->places[l->s->n_sinks];

	if (!conf_num(&l->s->notifyd, FAMILY "mailbox_reset"))
		return;
	if (!sink_driver_reset) {
		fail(l, FAMILY "mailbox_reset", "this notifyd was built without SQLite");
		return;
	}
	add_sink(l, RESET, strlen(RESET));
	snprintf(place->prefix, sizeof(place->prefix), FAMILY "mailbox_reset_");
	place->tables[1] = sink_driver_reset->options;
	sink->driver = sink_driver_reset;
}

static void add_older(struct loading *l)
{
	struct sink *sink = &l->s->sinks[l->s->n_sinks];
	struct settings_place *place = &l->s->places[l->s->n_sinks];

	if (SEGMENT_VERSION == 1)
		return;
	add_sink(l, SINK_OLDER, strlen(SINK_OLDER));
	snprintf(place->prefix, sizeof(place->prefix), FAMILY "mailbox_older_");
	place->tables[1] = sink_older.options;
	sink->driver = &sink_older;
}

static void check_metrics(struct loading *l)
{
	char *why = NULL;

	if (metrics_check(&l->s->notifyd, &why) < 0)
		fail(l, FAMILY "metrics", "%s", why ? why : "memory is short");
	free(why);
}

static void check_sizes(struct loading *l)
{
	int64_t max = conf_num(&l->s->mboxevent, "mboxevent_max_size");

	if (max > 0 && max < conf_num(&l->s->mboxevent, "mboxevent_segment_size"))
		fail(l, "mboxevent_max_size", "must not be less than mboxevent_segment_size");
}

static void check_all(struct loading *l)
{
	struct settings *s = l->s;

	conf_check(&s->mboxevent, "mboxevent_", NULL, pass_error, l);
	conf_check(&s->notifyd, FAMILY, skip, pass_error, l);
	check_sizes(l);
	check_forward(l);
	check_metrics(l);
	for (size_t i = 0; i < s->n_sinks; i++)
		if (!l->only || !strcmp(l->only, s->sinks[i].name))
			check_sink(l, &s->sinks[i], &s->places[i]);
	check_strays(l);
	add_reset(l);
	add_older(l);
}

int settings_load_sink(struct settings **s_r, const char *path, const char *only,
                       void (*error)(void *ctx, const char *line), void *ctx)
{
	struct settings *s = calloc(1, sizeof(*s));
	struct loading l = {s, path, error, ctx, 0, only, NULL};
	char *why = NULL;

	*s_r = NULL;
	if (s) {
		s->sinks = calloc(SINKS_MAX + OWN_MAX, sizeof(*s->sinks));
		s->places = calloc(SINKS_MAX + OWN_MAX, sizeof(*s->places));
	}
	if (!s || !s->sinks || !s->places) {
		pass_error(&l, "memory is short");
	} else if (!(s->conf = conf_read(path, &why))) {
		pass_error(&l, why ? why : "memory is short");
	} else {
		s->mboxevent = (struct conf_scope){s->conf, NULL, "", mboxevent_tables};
		s->notifyd = (struct conf_scope){s->conf, NULL, "", notifyd_tables};
		name_sinks(&l);
		check_all(&l);
	}
	free(why);
	if (l.errors)
		settings_free(&s);
	*s_r = s;
	return l.errors ? -1 : 0;
}

int settings_load(struct settings **s_r, const char *path,
                  void (*error)(void *ctx, const char *line), void *ctx)
{
	return settings_load_sink(s_r, path, NULL, error, ctx);
}

void settings_free(struct settings **sp)
{
	struct settings *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	conf_free(&s->conf);
	for (size_t i = 0; i < s->n_sinks; i++)
		free(s->sinks[i].kept);
	free(s->sinks);
	free(s->places);
	free(s);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

bool settings_same_sink(const struct sink *a, const struct sink *b)
{
	/* Not the sink's, but its driver or worker goes by them. */
	static const char *const others[] = {
	    "servername",       FAMILY "stall",           FAMILY "log",
	    "aps_topic",        "aps_topic_caldav",       "aps_topic_carddav",
	    "aps_expiry",       "calendarprefix",         "addressbookprefix",
	    "unixhierarchysep", "altnamespace",           "virtdomains",
	    "crossdomains",     "crossdomains_onlyother", "defaultdomain",
	    "userprefix",       "sharedprefix",           "altprefix",
	};

	if (strcmp(a->name, b->name) || a->driver != b->driver || strcmp(a->journal, b->journal))
		return false;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (!same_text(conf_get(a->conf.conf, NULL, others[i]),
		               conf_get(b->conf.conf, NULL, others[i])))
			return false;
	for (const struct conf_option *const *t = a->conf.tables; *t; t++)
		for (const struct conf_option *row = *t; row->name; row++)
			if (!same_text(conf_str(&a->conf, row->name),
			               conf_str(&b->conf, row->name)))
				return false;
	return true;
}
