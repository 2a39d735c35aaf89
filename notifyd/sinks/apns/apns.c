/* SPDX-License-Identifier: BSD-3-Clause */
#include <config.h>

#include "apns.h"

#include "../../log.h"
#include "../../settings.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EPOCH_MS  500     /* a push is written down that has no answer one to two of these later */
#define REST_MS   50      /* the file is looked at as it was so long ago, while pushes go out */
#define AT_ONCE   5000    /* pushes made due and not sent yet, while others are delivered */
#define MOVING_MS 1000    /* so long after one was delivered */
#define BATCH_MS  200     /* changes of so long are written down together */
#define NOTE_MS   1000    /* between two looks at what there is to say */
#define REMIND_MS 600000  /* trouble that lasts is told again */
#define COUNT_MS  30000   /* between two counts of devices */
#define EXPIRE_MS 3600000 /* between two looks for devices that are expired */
#define WAIT_MAX  3600000 /* no entry waits longer, whatever the clock was set to */
#define RETRY_MS  300000  /* after certificate or key were refused */
#define BUSY_MS   1000    /* for notifyctl, which writes in small pieces */

static const struct conf_option options[] = {
    {"push", CONF_SWITCH, "yes", 0, 0, NULL, NULL,
     "Whether pushes are sent. Without, no certificate or key is needed, and push_due says what "
     "would have been sent."},
    {"push_due", CONF_ENUM, "no", 0, 0, "no|yes|users", NULL,
     "Whether what is due is told as an event PushDue too, for other gateways: yes, for each "
     "device "
     "that is registered; users, for each user, whatever is registered."},
    {"url", CONF_STRING, "production", 0, 0, NULL, NULL,
     "Where pushes go: production or sandbox, which are Apple's, or https://HOST:PORT."},
    {"certificate", CONF_PATH, NULL, 0, 0, NULL, NULL,
     "PEM file with the client certificate, whose subject's UID is the topic."},
    {"key", CONF_PATH, NULL, 0, 0, NULL, NULL,
     "PEM file with the certificate's key, which others must not be able to read."},
    {"token_key", CONF_PATH, NULL, 0, 0, NULL, NULL,
     "File with the key that signs provider tokens (AuthKey_....p8), instead of a certificate; "
     "others must not be able to read it."},
    {"key_id", CONF_STRING, NULL, 0, 0, NULL, NULL, "The id of token_key, ten characters."},
    {"team_id", CONF_STRING, NULL, 0, 0, NULL, NULL,
     "The id of the developer's team, ten characters, for token_key."},
    {"cafile", CONF_PATH, NULL, 0, 0, NULL, NULL,
     "PEM file with the authorities that vouch for the other side. Without it: the system's."},
    {"timeout", CONF_DURATION, "10s", 1000, 60000, NULL, "s",
     "How long connecting, and then an answer, may take."},
    {"inflight", CONF_INT, "1000", 1, 100000, NULL, NULL,
     "Pushes without answer at most, whatever the other side allows."},
    {"gather", CONF_DURATION, "30s", 0, 3600000, NULL, "s",
     "How long changes other than new mail are gathered to become one push."},
    {"expiration", CONF_DURATION, "24h", 60000, 2592000000, NULL, "s",
     "How long after its event a push is of use: it is not sent later, and not kept longer for a "
     "phone that is off."},
    {"mailbox_hashes", CONF_SWITCH, "no", 0, 0, NULL, NULL,
     "Whether a push names the mailboxes that changed, by the MD5 of their names. It made some "
     "phones pass over the others."},
    {NULL, CONF_STRING, NULL, 0, 0, NULL, NULL, NULL},
};

/* imapd.conf's own. */
static const char *const topic_options[DEVICE_KINDS] = {"aps_topic", "aps_topic_caldav",
                                                        "aps_topic_carddav"};
static const struct conf_option expiry_option = {
    "aps_expiry", CONF_DURATION, NULL, 0, 315360000000, NULL, "s", "When registrations end."};

struct state {
	struct apns apns;
	/* Records seen, not confirmed: of this epoch and of the one before, with what comes behind
	 * the last of each. */
	struct {
		uint64_t next;
		size_t unsettled;
	} epoch, before;
	unsigned ended; /* the number of the one before */
	int64_t since;  /* when this one began; 0: there is nothing to settle */
	int64_t now;    /* of the last flush */
	int64_t noted, counted, expired, rested;
	enum apns_condition trouble; /* APNS_WAITING or APNS_REFUSED since `told` */
	int64_t told;
	int64_t counts[DEVICE_KINDS];
};

int64_t apns_wall_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t apns_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- settings --- */

/* most: milliseconds that it may wait for a connection at most. */
static int open_client(struct sink *sink, int64_t most, struct apns_client **client_r)
{
	const struct conf_scope *c = &sink->conf;
	int64_t timeout = conf_num(c, "timeout");
	const struct apns_client_options o = {
	    .url = conf_str(c, "url"),
	    .cafile = conf_str(c, "cafile"),
	    .certificate = conf_str(c, "certificate"),
	    .key = conf_str(c, "key"),
	    .token_key = conf_str(c, "token_key"),
	    .key_id = conf_str(c, "key_id"),
	    .team_id = conf_str(c, "team_id"),
	    .timeout = timeout < most ? timeout : most,
	    .retry_max = RETRY_MS,
	    .inflight = (size_t)conf_num(c, "inflight"),
	};
	char *why = NULL;
	int r = apns_client_open(client_r, &o, &why);
	if (r < 0)
		sink_why(sink, -1, "%s", why ? why : "out of memory");
	free(why);
	return r;
}

/* A certificate is for one topic; a key of a team is for all of its topics. */
static int find_topics(struct sink *sink, const struct apns_client *client,
                       const char *topics_r[DEVICE_KINDS])
{
	const char *only = apns_client_topic(client);
	bool any = false, served = false;
	for (int k = 0; k < DEVICE_KINDS; k++) {
		const char *topic = conf_get(sink->conf.conf, NULL, topic_options[k]);
		any |= topic != NULL;
		topics_r[k] = topic && (!only || !strcmp(topic, only)) ? topic : NULL;
		served |= topics_r[k] != NULL;
	}
	if (served)
		return 0;
	if (only && any)
		return sink_why(
		    sink, -1,
		    "the certificate is for topic %.100s, and that is none of aps_topic, "
		    "aps_topic_caldav and aps_topic_carddav, for which devices register",
		    only);
	if (!only)
		return sink_why(sink, -1,
		                "no topic: set aps_topic, aps_topic_caldav or aps_topic_carddav");
	topics_r[DEVICE_MAIL] = only;
	return 0;
}

static int read_expiry(struct sink *sink, int64_t *expiry_r)
{
	const char *value = conf_get(sink->conf.conf, NULL, expiry_option.name);
	struct buf allowed = BUF_INIT;
	*expiry_r = 0;
	if (value && conf_parse(&expiry_option, value, expiry_r, &allowed) < 0)
		sink_why(sink, -1, "aps_expiry: '%.40s': must be %.100s", value,
		         buf_cstr(&allowed));
	else
		value = NULL;
	buf_free(&allowed);
	return value ? -1 : 0;
}

static int apns_check(struct sink *sink)
{
	const char *topics[DEVICE_KINDS];
	struct apns_client *client = NULL;
	int64_t expiry;
	if (read_expiry(sink, &expiry) < 0)
		return -1;
	if (!conf_num(&sink->conf, "push"))
		return conf_num(&sink->conf, "push_due") != PUSH_DUE_NO
		           ? 0
		           : sink_why(sink, -1,
		                      "it neither pushes nor tells what is due: set %spush_due",
		                      sink->conf.prefix);
	int r = open_client(sink, INT64_MAX, &client);
	if (r == 0)
		r = find_topics(sink, client, topics);
	apns_client_close(&client);
	return r;
}

/* --- what is written down --- */

static int settle_one(struct apns *a, struct due *d, int64_t now, int64_t wall, const char **why_r)
{
	struct registry_due row = {
	    .want = d->want,
	    .device = d->device,
	    .user = d->user,
	    .at = d->state == DUE_WAITS ? d->at - now + wall : wall,
	    .event = d->event,
	    .reason = d->reason | d->taken_reason,
	    .tries = d->tries,
	    .mailboxes = buf_cstr(&d->mailboxes),
	};
	if (d->over)
		return d->stored
		           ? registry_due_remove(a->registry, d->want, d->device, d->user, why_r)
		           : 0;
	return registry_due_put(a->registry, &row, why_r);
}

/* SINK_RETRY: what was not written down is to be seen again. */
static int settle(struct apns *a, unsigned epoch)
{
	int64_t now = apns_now_ms(), wall = apns_wall_ms();
	const char *why;
	struct due *d;
	while ((d = gather_changed(a->gather, epoch)) != NULL) {
		if (settle_one(a, d, now, wall, &why) < 0)
			return sink_why(a->sink, SINK_RETRY, "%s", why);
		gather_settled(a->gather, d);
	}
	if (registry_commit(a->registry, &why) < 0)
		return sink_why(a->sink, SINK_RETRY, "%s", why);
	return SINK_OK;
}

struct loading {
	struct apns *a;
	int64_t now, wall;
	bool failed;
};

static void load_due(void *ctx, const struct registry_due *row)
{
	struct loading *l = ctx;
	int64_t wait = row->at - l->wall;
	const char *p = row->mailboxes;
	struct due *d;
	if (row->want >= WANTS)
		return;
	wait = wait < 0 ? 0 : wait > WAIT_MAX ? WAIT_MAX : wait;
	do {
		size_t len = strcspn(p, "\n");
		d = gather_add(l->a->gather, (enum gather_want)row->want, row->device, row->user,
		               l->now + wait, row->event, row->reason, (struct str){p, len});
		p += len + (p[len] != '\0');
	} while (d && *p);
	if (d) {
		d->tries = row->tries;
		gather_settled(l->a->gather, d);
	}
	l->failed |= !d;
}

/* --- the beginning and the end --- */

static void apns_close(struct sink *sink)
{
	struct state *s = sink->state;
	sink->state = NULL;
	sink->busy = false;
	if (!s)
		return;
	struct apns *a = &s->apns;
	/* What was pushed need not be pushed again. */
	if (a->registry && a->gather && !a->broken &&
	    (!a->announce || announce_sync(a->announce) == 0))
		settle(a, gather_epoch(a->gather));
	apns_client_close(&a->client);
	announce_close(&a->announce);
	registry_free(&a->registry);
	gather_free(&a->gather);
	filter_free(&a->filter);
	names_free(&a->names);
	buf_free(&a->texts[0]);
	buf_free(&a->texts[1]);
	free(s);
}

static const char * or (const char *value, const char *otherwise)
{
	return value ? value : otherwise;
}

static int open_filter(struct apns *a)
{
	char *why = NULL;
	if (!conf_isset(&a->sink->conf, "users") && !conf_isset(&a->sink->conf, "owners"))
		return SINK_OK;
	a->filter = settings_filter(a->sink, &why);
	if (!a->filter)
		sink_why(a->sink, -1, "%s", why ? why : "out of memory");
	free(why);
	return a->filter ? SINK_OK : SINK_RETRY;
}

static int open_registry(struct apns *a)
{
	const char *aside = NULL, *why;
	struct loading l = {a, apns_now_ms(), apns_wall_ms(), false};
	int r = registry_open(&a->registry, a->sink->journal, a->sink->name, a->names, REGISTRY_OWN,
	                      BUSY_MS, &aside, &why);
	if (aside)
		log_incident(LOG_LEVEL_ERROR, a->sink->name, LOG_NOPOS, "%s", aside);
	if (r < 0 || registry_due_each(a->registry, load_due, &l, &why) < 0)
		return sink_why(a->sink, SINK_RETRY, "%s", why);
	registry_rest(a->registry);
	return l.failed ? sink_why(a->sink, SINK_RETRY, "out of memory") : SINK_OK;
}

static int apns_open(struct sink *sink)
{
	const struct conf_scope *c = &sink->conf;
	struct state *s = calloc(1, sizeof *s);
	const char *why;
	sink->state = s;
	if (!s)
		return sink_why(sink, SINK_RETRY, "out of memory");
	struct apns *a = &s->apns;
	a->sink = sink;
	a->window = conf_num(c, "gather");
	a->expiration = conf_num(c, "expiration");
	a->hashes = conf_num(c, "mailbox_hashes") != 0;
	a->push_due = (enum push_due)conf_num(c, "push_due");
	a->calendars = or (conf_get(c->conf, NULL, "calendarprefix"), "#calendars");
	a->addressbooks = or (conf_get(c->conf, NULL, "addressbookprefix"), "#addressbooks");
	a->progress = -MOVING_MS;
	a->names = names_new(c->conf);
	a->gather = gather_new();
	if (!a->names || !a->gather)
		return sink_why(sink, SINK_RETRY, "out of memory");
	s->ended = gather_epoch(a->gather);
	if (read_expiry(sink, &a->expiry) < 0 || open_filter(a) < 0 || open_registry(a) < 0)
		return SINK_RETRY;
	if (a->push_due != PUSH_DUE_NO &&
	    announce_open(&a->announce, c->conf, sink->journal, &why) < 0)
		return sink_why(sink, SINK_RETRY, "%s", why);
	if (conf_num(c, "push") && (open_client(sink, INT64_MAX, &a->client) < 0 ||
	                            find_topics(sink, a->client, a->topics) < 0))
		return SINK_RETRY;
	return SINK_OK;
}

/* Certificate and server; whether the provider token is taken would be told by a push alone. */
static int apns_probe(struct sink *sink)
{
	struct apns_client *client = NULL;
	char why[sizeof sink->why];
	if (!conf_num(&sink->conf, "push"))
		return SINK_OK;
	int r = open_client(sink, SINK_PROBE_MS, &client);
	if (r == 0 && (r = apns_client_probe(client, why, sizeof why)) < 0) {
		if (strstr(why, "check")) /* it says what */
			sink_why(sink, -1, "%s", why);
		else
			sink_why(sink, -1, "%.170s; check %surl, and the firewall", why,
			         sink->conf.prefix);
	}
	apns_client_close(&client);
	return r < 0 ? SINK_RETRY : SINK_OK;
}

/* After SIGHUP: certificates and keys are renewed. */
static void apns_reopen(struct sink *sink)
{
	struct state *s = sink->state;
	if (s && s->apns.client)
		s->apns.renew = true;
}

static void renew(struct apns *a)
{
	const char *topics[DEVICE_KINDS];
	struct apns_client *client = NULL;
	if (open_client(a->sink, INT64_MAX, &client) < 0 ||
	    find_topics(a->sink, client, topics) < 0) {
		log_incident(LOG_LEVEL_ERROR, a->sink->name, LOG_NOPOS,
		             "%s; what was read before stays in force", a->sink->why);
		apns_client_close(&client);
	} else {
		apns_client_close(&a->client);
		a->client = client;
		memcpy(a->topics, topics, sizeof topics);
		memset(a->hold, 0, sizeof a->hold);
	}
	a->renew = false;
}

/* --- records --- */

static int apns_send(struct sink *sink, const struct record *rec)
{
	struct state *s = sink->state;
	const struct apns *a = &s->apns;
	/* Else they would have to be written down before their turn comes. */
	if (gather_urgent(a->gather) >= AT_ONCE && s->now - a->progress < MOVING_MS)
		return SINK_FULL;
	int r = watch_record(&s->apns, rec);
	if (r != SINK_OK)
		return r;
	s->epoch.next = rec->next;
	s->epoch.unsettled++;
	return SINK_OK;
}

/* What lasts is told when it begins, when it changes for the worse, and now and then. */
static void tell_trouble(struct state *s, const struct apns_state *client, int64_t now)
{
	struct sink *sink = s->apns.sink;
	bool refused = client->condition == APNS_REFUSED;
	if (client->condition == APNS_CONNECTED) {
		if (s->told)
			log_incident(LOG_LEVEL_INFO, sink->name, LOG_NOPOS, "%s", client->words);
		s->told = 0;
	} else if (client->condition == APNS_WAITING || refused) {
		if (s->told && now - s->told < REMIND_MS &&
		    (!refused || s->trouble == APNS_REFUSED))
			return;
		log_incident(refused ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, sink->name, LOG_NOPOS,
		             "%s; pushes wait", client->words);
		s->told = now;
		s->trouble = client->condition;
	}
}

static int look_after(struct state *s, int64_t now)
{
	struct apns *a = &s->apns;
	struct apns_state client;
	const char *why;
	if (!s->expired || now - s->expired >= EXPIRE_MS) {
		if (registry_expire(a->registry, apns_wall_ms(), &why) < 0)
			return sink_why(a->sink, SINK_RETRY, "%s", why);
		s->expired = now;
	}
	if (s->noted && now - s->noted < NOTE_MS)
		return SINK_OK;
	s->noted = now;
	if (!s->counted || now - s->counted >= COUNT_MS) {
		if (registry_count(a->registry, s->counts, &why) < 0)
			return sink_why(a->sink, SINK_RETRY, "%s", why);
		s->counted = now;
	}
	if (a->client) {
		apns_client_state(a->client, &client);
		tell_trouble(s, &client, now);
	}
	int n = snprintf(a->sink->note, sizeof a->sink->note, "%lld devices, %zu due; ",
	                 (long long)(s->counts[0] + s->counts[1] + s->counts[2]),
	                 gather_count(a->gather));
	snprintf(a->sink->note + n, sizeof a->sink->note - (size_t)n, "%s",
	         a->client ? client.words : "telling what is due");
	return SINK_OK;
}

/* What is to be written down now: 2: all that is not done with; 1: what the epoch before left; 0:
 * nothing. */
static int is_time(struct state *s, int64_t now)
{
	struct apns *a = &s->apns;
	bool dirty = registry_unsettled(a->registry) || gather_changed(a->gather, s->ended + 1) ||
	             (a->announce && announce_unsynced(a->announce));
	if (!dirty && !s->epoch.unsettled && !s->before.unsettled) {
		s->since = 0;
		return 0;
	}
	if (!s->since)
		s->since = now;
	if (!gather_urgent(a->gather) && (!dirty || now - s->since >= BATCH_MS))
		return 2;
	return now - s->since >= EPOCH_MS;
}

/* Confirms what may be forgotten by the journal, after it is written down. */
static int confirm(struct state *s, int what, uint64_t *confirmed_r)
{
	struct apns *a = &s->apns;
	if (settle(a, what == 2 ? s->ended + 1 : s->ended) < 0)
		return SINK_RETRY;
	if (s->before.unsettled)
		*confirmed_r = s->before.next;
	if (what == 2 && s->epoch.unsettled)
		*confirmed_r = s->epoch.next;
	s->before = s->epoch;
	s->epoch.unsettled = 0;
	if (what == 2)
		s->before.unsettled = 0;
	s->ended = gather_epoch(a->gather);
	return SINK_OK;
}

static int apns_flush(struct sink *sink, int wait_ms, uint64_t *confirmed_r, size_t *inflight_r)
{
	struct state *s = sink->state;
	struct apns *a = &s->apns;
	if (a->renew && !a->flying)
		renew(a);
	if (pushes_send(a) < 0)
		return SINK_RETRY;
	if (a->client) {
		if (pushes_step(a, a->flying ? wait_ms : 0) < 0 || pushes_send(a) < 0)
			return SINK_RETRY;
	}
	if (!a->flying && wait_ms > 0 && s->epoch.unsettled + s->before.unsettled)
		poll(NULL, 0, wait_ms < 20 ? wait_ms : 20);
	int64_t now = s->now = apns_now_ms();
	int what = is_time(s, now);
	sink->busy = a->flying > 0;
	if (look_after(s, now) < 0)
		return SINK_RETRY;
	if (what) {
		s->since = what == 2 ? 0 : now;
		/* A power cut must not take events whose reasons are passed. */
		if (a->announce && announce_sync(a->announce) < 0)
			snprintf(sink->note, sizeof sink->note,
			         "PushDue events wait: the journal can't be synced to the disk");
		else if (confirm(s, what, confirmed_r) < 0)
			return SINK_RETRY;
	}
	*inflight_r = s->epoch.unsettled + s->before.unsettled;
	if (!a->flying || now - s->rested >= REST_MS) {
		registry_rest(a->registry);
		s->rested = now;
	}
	return SINK_OK;
}

const struct sink_driver sink_apns = {
    .name = "apns",
    .help = "Apple Push: to phones that registered over IMAP, CalDAV or CardDAV",
    .options = options,
    .devices = true,
    .check = apns_check,
    .open = apns_open,
    .probe = apns_probe,
    .send = apns_send,
    .flush = apns_flush,
    .close = apns_close,
    .reopen = apns_reopen,
};

SINK_MODULE(sink_apns);
