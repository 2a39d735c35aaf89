/* SPDX-License-Identifier: BSD-3-Clause */
#include "target.h"
#include "key.h"
#include "tls.h"

#include "../../secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char queue_types[] = "classic|quorum|stream";
enum { SASL_PLAIN, SASL_EXTERNAL };
enum { PROPERTIES_ALL, PROPERTIES_ID };
enum { BODY_EVENT, BODY_WITH_ID };

const struct conf_option target_options[] = {
    {"url", CONF_STRING, "amqp://guest@localhost/", 0, 0, NULL, NULL,
     "Brokers, tried in turn: amqp[s]://user@host1[:port],host2/vhost, %-encoded."},
    {"password_file", CONF_PATH, NULL, 0, 0, NULL, NULL,
     "File with the user's password; others must not be able to read it."},
    {"sasl", CONF_ENUM, "plain", 0, 0, "plain|external", NULL,
     "How to log in: with user and password, or as whom certificate names (amqps only; the broker "
     "must take SASL EXTERNAL)."},
    {"exchange", CONF_STRING, "mail.events", 0, 0, NULL, NULL,
     "Exchange that events are published to."},
    {"exchange_type", CONF_STRING, "topic", 0, 0, NULL, NULL,
     "Its type: topic, direct, fanout, headers, or one that a plugin of the broker brings."},
    {"alternate_exchange", CONF_STRING, NULL, 0, 0, NULL, NULL,
     "Exchange that gets what no queue is bound for; it is declared elsewhere."},
    {"exchange_arguments", CONF_LIST, NULL, 0, 0, NULL, NULL,
     "Further arguments of the exchange, as words name=value: a number, true, false, or text; in "
     "double quotes always text."},
    {"routing_key", CONF_STRING, "%g.%e", 0, 0, NULL, NULL,
     "Template of the routing key: %g group, %e event, %u user, %o owner, %d domain, %l local "
     "part, %m mailbox, %s server, %% a percent sign."},
    {"properties", CONF_ENUM, "all", 0, 0, "all|id", NULL,
     "What a message has beside its body: all properties and headers, or just the message-id, with "
     "which the broker has less to do."},
    {"body", CONF_ENUM, "event", 0, 0, "event|with-id", NULL,
     "The event alone, or {\"id\":ID,\"event\":{...}} for consumers that do not see the "
     "message-id, such as amqp-consume."},
    {"queue", CONF_STRING, NULL, 0, 0, NULL, NULL,
     "Queue to declare and to bind; none: consumers bring their own."},
    {"queue_type", CONF_ENUM, "quorum", 0, 0, queue_types, NULL,
     "Type of that queue; quorum alone is on disk on most of its nodes before it confirms."},
    {"queue_arguments", CONF_LIST, NULL, 0, 0, NULL, NULL,
     "Its arguments, such as x-max-length=1000000 x-overflow=reject-publish."},
    {"bindings", CONF_LIST, NULL, 0, 0, NULL, NULL,
     "Keys that bind that queue, such as message.* quota.#; without it it gets every event."},
    {"declare", CONF_SWITCH, "yes", 0, 0, NULL, NULL,
     "Whether exchange, queue and bindings are declared, all durable; else exchange and queue must "
     "be there, and their bindings are yours."},
    {"unroutable", CONF_ENUM, "retry", 0, 0, "retry|dead-letter|drop", NULL,
     "An event that no queue is bound for is tried again until one is, put into dead letters, or "
     "dropped."},
    {"timeout", CONF_DURATION, "10s", 1000, 600000, NULL, "s",
     "Time for connecting, login and declaring, and the silence borne while confirms are due."},
    {"heartbeat", CONF_DURATION, "10s", 1000, 600000, NULL, "s",
     "Interval of AMQP heartbeats; a connection silent for two is given up."},
    {"cafile", CONF_PATH, NULL, 0, 0, NULL, NULL,
     "Certificates to trust for amqps, PEM; the system's when not set."},
    {"certificate", CONF_PATH, NULL, 0, 0, NULL, NULL,
     "Our certificate for amqps, PEM, with its chain."},
    {"key", CONF_PATH, NULL, 0, 0, NULL, NULL,
     "Its key, PEM without pass phrase; others must not be able to read it."},
    {NULL, CONF_STRING, NULL, 0, 0, NULL, NULL, NULL},
};

/* Takes over why. */
static int refuse(struct sink *sink, int code, const char *option, char *why)
{
	sink_why(sink, code, "notifyd_%s_%s: %s", sink->name, option, why ? why : "out of memory");
	free(why);
	return code;
}

/* What names its option first: "key: ...". */
static int refuse_named(struct sink *sink, int code, char *why)
{
	sink_why(sink, code, "notifyd_%s_%s", sink->name, why ? why : "url: out of memory");
	free(why);
	return code;
}

static int credentials(struct target *t, struct sink *sink, int code)
{
	const char *file = conf_str(&sink->conf, "password_file");
	char *why = NULL;

	if (address_parse(&t->address, conf_str(&sink->conf, "url"), &why))
		return refuse(sink, code, "url", why);
	t->external = conf_num(&sink->conf, "sasl") == SASL_EXTERNAL;
	if (t->external && (file || t->address->password))
		return sink_why(sink, code,
		                "notifyd_%s_%s: sasl is external, which takes no password; take it "
		                "out",
		                sink->name, file ? "password_file" : "url");
	if (t->external)
		return 0;
	if (file && t->address->password)
		return sink_why(sink, code,
		                "notifyd_%s_password_file: the URL has a password too; "
		                "take it out there",
		                sink->name);
	if (file) {
		if (secret_read(file, &t->password, &why))
			return refuse(sink, code, "password_file", why);
	} else if (t->address->password) {
		buf_adds(&t->password, t->address->password);
	} else if (!strcmp(t->address->user, "guest")) {
		buf_adds(&t->password, "guest"); /* RabbitMQ's factory account, local only */
	} else {
		return sink_why(sink, code,
		                "notifyd_%s_url: user %.64s needs a password: set "
		                "notifyd_%s_password_file",
		                sink->name, t->address->user, sink->name);
	}
	buf_cstr(&t->password);
	if (t->password.failed)
		return sink_why(sink, code, "notifyd_%s_url: out of memory", sink->name);
	return 0;
}

/* Before the library touches the files: it would abort over some of them. */
static int tls(struct target *t, struct sink *sink, int code)
{
	const struct conf_scope *conf = &sink->conf;
	char *why = NULL;

	t->cafile = conf_str(conf, "cafile");
	t->certificate = conf_str(conf, "certificate");
	t->key = conf_str(conf, "key");
	const char *set = t->cafile        ? "cafile"
	                  : t->certificate ? "certificate"
	                  : t->key         ? "key"
	                  : t->external    ? "sasl"
	                                   : NULL;
	if (!t->address->tls && set)
		return sink_why(sink, code,
		                "notifyd_%s_%s: %s is for amqps:// and the URL is amqp://",
		                sink->name, set, t->external && !t->cafile ? "external" : "this");
	if (t->external && !t->certificate)
		return sink_why(sink, code,
		                "notifyd_%s_sasl: external needs notifyd_%s_certificate and "
		                "notifyd_%s_key",
		                sink->name, sink->name, sink->name);
	if (t->address->tls && tls_check(t->cafile, t->certificate, t->key, &why))
		return refuse_named(sink, code, why);
	return 0;
}

static int short_string(struct sink *sink, int code, const char *option)
{
	const char *s = conf_str(&sink->conf, option);
	if (!s || strlen(s) <= 255)
		return 0;
	return sink_why(sink, code, "notifyd_%s_%s: a name has at most 255 bytes", sink->name,
	                option);
}

/* The idx'th word of a|b|c. */
static const char *word(const char *words, int64_t idx, size_t *len_r)
{
	while (idx-- > 0)
		words += strcspn(words, "|") + 1;
	*len_r = strcspn(words, "|");
	return words;
}

static int exchange(struct target *t, struct sink *sink, int code)
{
	static const char alternate[] = "alternate-exchange";
	const char *other = conf_str(&sink->conf, "alternate_exchange");
	struct topology *y = &t->topology;
	char *why;

	y->exchange = conf_str(&sink->conf, "exchange");
	y->exchange_type = conf_str(&sink->conf, "exchange_type");
	if (short_string(sink, code, "exchange") || short_string(sink, code, "exchange_type") ||
	    short_string(sink, code, "alternate_exchange"))
		return code;
	if (arguments_parse(&y->exchange_arguments, conf_str(&sink->conf, "exchange_arguments"),
	                    &why))
		return refuse(sink, code, "exchange_arguments", why);
	if (other && arguments_have(&y->exchange_arguments, alternate))
		return sink_why(sink, code,
		                "notifyd_%s_alternate_exchange: stands in exchange_arguments too",
		                sink->name);
	if (y->exchange_arguments.n + !!other && !y->declare)
		return sink_why(sink, code, "notifyd_%s_%s: has no use with declare: no",
		                sink->name, other ? "alternate_exchange" : "exchange_arguments");
	if (other)
		arguments_add(&y->exchange_arguments, alternate, other);
	return 0;
}

static int queue(struct target *t, struct sink *sink, int code)
{
	static const char *const for_queue[] = {"queue_type", "queue_arguments", "bindings"};
	struct topology *y = &t->topology;
	size_t len;
	char *why;

	y->queue = conf_str(&sink->conf, "queue");
	y->bindings = conf_str(&sink->conf, "bindings");
	for (size_t i = 0; i < sizeof for_queue / sizeof *for_queue; i++)
		if ((!y->queue || !y->declare) && conf_isset(&sink->conf, for_queue[i]))
			return sink_why(sink, code, "notifyd_%s_%s: has no use %s", sink->name,
			                for_queue[i],
			                y->queue ? "with declare: no" : "without a queue");
	if (!y->queue)
		return 0;
	if (short_string(sink, code, "queue"))
		return code;
	if (y->declare && !y->bindings && !strcmp(y->exchange_type, "direct"))
		return sink_why(sink, code,
		                "notifyd_%s_queue: a direct exchange has no binding for every "
		                "event: name them in notifyd_%s_bindings, or use topic",
		                sink->name, sink->name);
	if (y->bindings && !strcmp(y->exchange_type, "headers"))
		return sink_why(sink, code,
		                "notifyd_%s_bindings: a headers exchange looks at headers, not at "
		                "keys: bind on the broker, or leave this out for every event",
		                sink->name);
	for (const char *p = y->bindings; p && *(p += strspn(p, " \t")); p += len) {
		len = strcspn(p, " \t");
		if (len > KEY_MAX)
			return sink_why(sink, code,
			                "notifyd_%s_bindings: '%.40s...' is longer than %d bytes",
			                sink->name, p, KEY_MAX);
	}
	if (arguments_parse(&y->queue_arguments, conf_str(&sink->conf, "queue_arguments"), &why))
		return refuse(sink, code, "queue_arguments", why);
	if (arguments_have(&y->queue_arguments, "x-queue-type"))
		return sink_why(sink, code,
		                "notifyd_%s_queue_arguments: the type is told by "
		                "notifyd_%s_queue_type",
		                sink->name, sink->name);
	const char *type = word(queue_types, conf_num(&sink->conf, "queue_type"), &len);
	y->queue_arguments.entries[y->queue_arguments.n++] = (amqp_table_entry_t){
	    .key = amqp_cstring_bytes("x-queue-type"),
	    .value = {.kind = AMQP_FIELD_KIND_UTF8,
	              .value = {.bytes = {len, (void *)(uintptr_t)type}}},
	};
	return 0;
}

static int message(struct target *t, struct sink *sink, int code)
{
	const char *server = conf_get(sink->conf.conf, NULL, "servername");
	char *why;

	t->routing_key = conf_str(&sink->conf, "routing_key");
	if (key_check(t->routing_key, &why))
		return refuse(sink, code, "routing_key", why);
	t->bare = conf_num(&sink->conf, "properties") == PROPERTIES_ID;
	t->with_id = conf_num(&sink->conf, "body") == BODY_WITH_ID;
	if (t->bare && !strcmp(t->topology.exchange_type, "headers"))
		return sink_why(sink, code,
		                "notifyd_%s_properties: a headers exchange needs the headers: all",
		                sink->name);
	/* As Cyrus has it. */
	if (server)
		snprintf(t->server, sizeof t->server, "%s", server);
	else if (gethostname(t->server, sizeof t->server - 1))
		t->server[0] = '\0';
	t->unroutable = (enum unroutable)conf_num(&sink->conf, "unroutable");
	return 0;
}

int target_read(struct target **t_r, struct sink *sink, int code)
{
	struct target *t = *t_r = calloc(1, sizeof *t);
	if (!t)
		return sink_why(sink, code, "notifyd_%s_url: out of memory", sink->name);
	t->timeout = conf_num(&sink->conf, "timeout");
	t->heartbeat = (int)(conf_num(&sink->conf, "heartbeat") / 1000);
	t->topology.declare = conf_num(&sink->conf, "declare");
	if (!credentials(t, sink, code) && !tls(t, sink, code) && !exchange(t, sink, code) &&
	    !queue(t, sink, code) && !message(t, sink, code))
		return 0;
	target_free(t_r);
	return code;
}

void target_free(struct target **t)
{
	if (!*t)
		return;
	address_free(&(*t)->address);
	secret_forget(&(*t)->password);
	arguments_free(&(*t)->topology.exchange_arguments);
	arguments_free(&(*t)->topology.queue_arguments);
	free(*t);
	*t = NULL;
}
