/* SPDX-License-Identifier: BSD-3-Clause */
/* The amqp sink: every record a message on an exchange, published with confirms.
 *
 *   amqp.c        the driver: options, window, what to do with an answer
 *   topology.c    exchange, queue, binding
 *   address.c     the URL: hosts, user, vhost
 *   tls.c         certificates and keys, checked before they are used
 *   connection.c  librabbitmq's connection, used without waiting; blocked and closed
 *   confirm.c     which delivery-tag is which record, and what is confirmed so far
 *   message.c     routing key, properties and headers of a record
 */
#include <config.h>

#include "address.h"
#include "confirm.h"
#include "connection.h"
#include "message.h"
#include "tls.h"
#include "topology.h"

#include "../../../lib/identity.h"
#include "../../secret.h"
#include "../../sink.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first message goes alone: while an event is refused or unroutable, each try sends one
 * message again and not a whole window. Then as many as confirms ask for; RabbitMQ gains nothing
 * above some 3,000. */
#define WINDOW_FIRST 1
#define WINDOW_MIN   256
#define WINDOW_MAX   CONFIRM_MAX
#define WINDOW_BYTES (8u << 20)
#define STALL        6 /* time-outs without a confirm, from a broker that is alive */

static const char exchange_types[] = "topic|fanout|direct|headers";
static const char queue_types[] = "classic|quorum|stream";
enum { EXCHANGE_DIRECT = 2 };
enum { UNROUTABLE_RETRY, UNROUTABLE_DROP };

static const struct conf_option options[] = {
    {"url", CONF_STRING, "amqp://guest@localhost/", 0, 0, NULL, NULL,
     "Brokers, tried in turn: amqp[s]://user@host1[:port],host2/vhost, %-encoded."},
    {"password_file", CONF_PATH, NULL, 0, 0, NULL, NULL,
     "File with the user's password; others must not be able to read it."},
    {"exchange", CONF_STRING, "mail.events", 0, 0, NULL, NULL,
     "Exchange that events are published to; declared durable."},
    {"exchange_type", CONF_ENUM, "topic", 0, 0, exchange_types, NULL,
     "Type of the exchange; the routing key is group.event."},
    {"queue", CONF_STRING, NULL, 0, 0, NULL, NULL,
     "Queue to declare, durable and bound to every event; none: consumers bring their own."},
    {"queue_type", CONF_ENUM, "quorum", 0, 0, queue_types, NULL,
     "Type of that queue; quorum alone is on disk before it confirms on every node."},
    {"unroutable", CONF_ENUM, "retry", 0, 0, "retry|drop", NULL,
     "An event that no queue is bound for is tried again until one is, or dropped."},
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

struct amqp {
	struct address *address;
	struct connection *connection;
	struct message message;
	struct confirm confirm;
	const char *exchange;
	char peer[80];
	size_t window;
	int64_t timeout;
	int64_t progress;  /* when something was confirmed, or the first one sent after a pause */
	bool header_due;   /* a basic.return came: its header and body follow */
	uint64_t body_due; /* bytes */
	bool refused;      /* a nack or a return came: what is before it settles, no more is sent */
	uint64_t dropped;  /* unroutable, by the admin's choice */
	int code;          /* SINK_RETRY or SINK_DROP once all that was confirmed is told */
	char why[256];
};

/* --- configuration --- */

/* The idx'th word of a|b|c into to. */
static const char *word(char *to, size_t size, const char *words, int64_t idx)
{
	while (idx-- > 0)
		words += strcspn(words, "|") + 1;
	snprintf(to, size, "%.*s", (int)strcspn(words, "|"), words);
	return to;
}

/* Takes over why. */
static int why_option(struct sink *sink, int code, const char *option, char *why)
{
	sink_why(sink, code, "notifyd_%s_%s: %s", sink->name, option, why ? why : "out of memory");
	free(why);
	return code;
}

/* 0, or code with sink->why. The password goes to secret. */
static int credentials(struct sink *sink, int code, struct address **a_r, struct buf *secret)
{
	const char *file = conf_str(&sink->conf, "password_file");
	char *why = NULL;

	if (address_parse(a_r, conf_str(&sink->conf, "url"), &why))
		return why_option(sink, code, "url", why);
	if (file && (*a_r)->password)
		return sink_why(sink, code,
		                "notifyd_%s_password_file: the URL has a password too; "
		                "take it out there",
		                sink->name);
	if (file) {
		if (secret_read(file, secret, &why))
			return why_option(sink, code, "password_file", why);
	} else if ((*a_r)->password) {
		buf_adds(secret, (*a_r)->password);
	} else if (!strcmp((*a_r)->user, "guest")) {
		buf_adds(secret, "guest"); /* RabbitMQ's factory account, local only */
	} else {
		return sink_why(sink, code,
		                "notifyd_%s_url: user %.64s needs a password: set "
		                "notifyd_%s_password_file",
		                sink->name, (*a_r)->user, sink->name);
	}
	if (secret->failed)
		return sink_why(sink, code, "out of memory");
	return 0;
}

/* Before the library touches the files: it would abort over some of them. */
static int tls(struct sink *sink, int code, const struct address *a)
{
	const struct conf_scope *conf = &sink->conf;
	const char *cafile = conf_str(conf, "cafile"), *key = conf_str(conf, "key");
	const char *certificate = conf_str(conf, "certificate");
	char *why = NULL;

	if (!a->tls && (cafile || certificate || key))
		return sink_why(sink, code, "notifyd_%s_%s is for amqps:// and the URL is amqp://",
		                sink->name,
		                cafile        ? "cafile"
		                : certificate ? "certificate"
		                              : "key");
	if (!a->tls || !tls_check(cafile, certificate, key, &why))
		return 0;
	sink_why(sink, code, "notifyd_%s: %s", sink->name, why ? why : "out of memory");
	free(why);
	return code;
}

static int amqp_check(struct sink *sink)
{
	const char *exchange = conf_str(&sink->conf, "exchange");
	const char *queue = conf_str(&sink->conf, "queue");
	struct buf secret = BUF_INIT;
	struct address *address = NULL;

	int result = credentials(sink, -1, &address, &secret);
	if (!result)
		result = tls(sink, -1, address);
	address_free(&address);
	secret_forget(&secret);
	if (result)
		return -1;
	if (strlen(exchange) > 255 || (queue && strlen(queue) > 255))
		return sink_why(sink, -1, "notifyd_%s_%s: a name has at most 255 bytes", sink->name,
		                strlen(exchange) > 255 ? "exchange" : "queue");
	if (queue && conf_num(&sink->conf, "exchange_type") == EXCHANGE_DIRECT)
		return sink_why(sink, -1,
		                "notifyd_%s_queue: a direct exchange has no binding for "
		                "every event; leave the queue to its consumer, or use topic",
		                sink->name);
	return 0;
}

/* --- failures --- */

/* From now on nothing is sent; flush() tells code when what is confirmed was told. */
__attribute__((format(printf, 3, 4))) static void fail(struct amqp *a, int code, const char *fmt,
                                                       ...)
{
	va_list ap;
	if (a->code)
		return;
	a->code = code;
	va_start(ap, fmt);
	vsnprintf(a->why, sizeof a->why, fmt, ap);
	va_end(ap);
}

/* What an admin can do about the broker's code. */
static const char *advice(int code, bool logged_in)
{
	switch (code) {
	case 403:
		return logged_in ? "; give the user the permission (rabbitmqctl set_permissions)"
		                 : "; check the user and the password";
	case 404:
		return "; make it, or let notifyd declare it anew";
	case 406:
		return "; it exists otherwise: change the option, or delete it on the broker";
	case 530:
		return "; make the vhost, or let the user in (rabbitmqctl set_permissions -p)";
	default:
		return "";
	}
}

static uint64_t size_limit(const char *text)
{
	static const char words[] = "max size ";
	const char *s = strstr(text, words);
	return s ? strtoull(s + sizeof words - 1, NULL, 10) : 0;
}

static void lost(struct amqp *a)
{
	int code = connection_code(a->connection);
	const char *why = connection_why(a->connection);
	const struct confirm_entry *lowest = confirm_lowest(&a->confirm);
	uint64_t limit = code == 406 ? size_limit(why) : 0;

	/* Any of those in flight may be the large one. Told when it is the lowest, which it is
	 * after at most as many tries as there are events before it; each try confirms one. */
	if (limit && lowest && lowest->bytes > limit)
		fail(a, SINK_DROP, "%s: the event has %zu bytes and the broker takes %" PRIu64,
		     a->peer, lowest->bytes, limit);
	else
		fail(a, SINK_RETRY, "%s: %.140s%s", a->peer, why, limit ? "" : advice(code, true));
}

static int report(struct sink *sink, struct amqp *a)
{
	int code = a->code;
	/* A dead letter is written once; the connection is gone all the same. */
	a->code = SINK_RETRY;
	return sink_why(sink, code, "%s", a->why);
}

/* --- open and close --- */

static void amqp_close(struct sink *sink)
{
	struct amqp *a = sink->state;
	sink->state = NULL;
	sink->note[0] = '\0';
	if (!a)
		return;
	connection_close(&a->connection, !a->code && !confirm_count(&a->confirm));
	address_free(&a->address);
	message_free(&a->message);
	free(a);
}

static int connect_to(struct sink *sink, struct amqp *a, const struct address_host *host,
                      const char *password)
{
	char name[160], why[224], exchange_type[16], queue_type[16], machine[65] = "";
	int64_t deadline = connection_now() + a->timeout;
	struct connection_options opt = {
	    .host = host->name,
	    .port = host->port,
	    .vhost = a->address->vhost,
	    .user = a->address->user,
	    .password = password,
	    .name = name,
	    .tls = a->address->tls,
	    .cafile = conf_str(&sink->conf, "cafile"),
	    .certificate = conf_str(&sink->conf, "certificate"),
	    .key = conf_str(&sink->conf, "key"),
	    .heartbeat = (int)(conf_num(&sink->conf, "heartbeat") / 1000),
	    .timeout = a->timeout,
	};
	struct topology topology = {
	    .exchange = a->exchange,
	    .exchange_type = word(exchange_type, sizeof exchange_type, exchange_types,
	                          conf_num(&sink->conf, "exchange_type")),
	    .queue = conf_str(&sink->conf, "queue"),
	    .queue_type = word(queue_type, sizeof queue_type, queue_types,
	                       conf_num(&sink->conf, "queue_type")),
	};
	int code = 0;

	gethostname(machine, sizeof machine - 1);
	snprintf(name, sizeof name, "notifyd %.64s on %s", sink->name, machine);
	if (connection_open(&a->connection, &opt, deadline, &code, why, sizeof why))
		return sink_why(sink, SINK_RETRY, "%s: %.140s%s", a->peer, why,
		                advice(code, false));
	if (topology_declare(&topology, a->connection, deadline))
		return sink_why(sink, SINK_RETRY, "%s: %.140s%s", a->peer,
		                connection_why(a->connection),
		                advice(connection_code(a->connection), true));
	return SINK_OK;
}

static int amqp_open(struct sink *sink)
{
	struct amqp *a = sink->state = calloc(1, sizeof *a);
	struct buf secret = BUF_INIT;

	if (!a)
		return sink_why(sink, SINK_RETRY, "out of memory");
	/* OpenSSL writes without MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
	confirm_init(&a->confirm);
	a->window = WINDOW_FIRST;
	a->exchange = conf_str(&sink->conf, "exchange");
	a->timeout = conf_num(&sink->conf, "timeout");
	int result = credentials(sink, SINK_RETRY, &a->address, &secret);
	if (!result)
		result = tls(sink, SINK_RETRY, a->address);
	if (!result) {
		/* The next host each time: this one may have failed or closed the last. */
		const struct address_host *host =
		    &a->address->hosts[sink->turn++ % a->address->nhosts];
		snprintf(a->peer, sizeof a->peer,
		         strchr(host->name, ':') ? "[%.64s]:%u" : "%.64s:%u", host->name,
		         host->port);
		result = connect_to(sink, a, host, buf_cstr(&secret));
	}
	secret_forget(&secret);
	if (result)
		amqp_close(sink);
	return result;
}

/* --- answers --- */

static void confirmed(struct amqp *a, uint64_t tag, bool multiple, bool ack)
{
	if ((ack ? confirm_ack : confirm_nack)(&a->confirm, tag, multiple))
		fail(a, SINK_RETRY,
		     "%s: the broker confirmed tag %" PRIu64 ", which was never sent", a->peer,
		     tag);
	if (!ack)
		a->refused = true;
}

/* The header that follows basic.return says by message-id which one it was. */
static void returned(struct sink *sink, struct amqp *a, const amqp_frame_t *f)
{
	const amqp_basic_properties_t *properties = f->payload.properties.decoded;
	unsigned char uuid[16];
	uint64_t pos;
	amqp_bytes_t id = {0, NULL};

	a->header_due = false;
	a->body_due = f->payload.properties.body_size;
	if (properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG)
		id = properties->message_id;
	if (conf_num(&sink->conf, "unroutable") == UNROUTABLE_DROP) {
		a->dropped++; /* the ack that follows settles it */
		return;
	}
	if (!id.len || !journal_id_parse(id.bytes, id.len, uuid, &pos) ||
	    memcmp(uuid, sink->uuid, sizeof uuid) || !confirm_return(&a->confirm, pos))
		fail(a, SINK_RETRY, "%s: the broker returned an event that was not sent", a->peer);
	a->refused = true;
}

static void answer(struct sink *sink, struct amqp *a, const amqp_frame_t *f)
{
	void *decoded = f->payload.method.decoded;

	if (f->frame_type == AMQP_FRAME_HEADER && a->header_due) {
		returned(sink, a, f);
	} else if (f->frame_type == AMQP_FRAME_BODY &&
	           f->payload.body_fragment.len <= a->body_due) {
		a->body_due -= f->payload.body_fragment.len;
	} else if (f->frame_type != AMQP_FRAME_METHOD) {
		fail(a, SINK_RETRY, "%s: the broker sent an unexpected frame", a->peer);
	} else if (f->payload.method.id == AMQP_BASIC_ACK_METHOD) {
		const amqp_basic_ack_t *ack = decoded;
		confirmed(a, ack->delivery_tag, ack->multiple, true);
	} else if (f->payload.method.id == AMQP_BASIC_NACK_METHOD) {
		const amqp_basic_nack_t *nack = decoded;
		confirmed(a, nack->delivery_tag, nack->multiple, false);
	} else if (f->payload.method.id == AMQP_BASIC_RETURN_METHOD) {
		a->header_due = true;
	} else {
		fail(a, SINK_RETRY, "%s: the broker sent an unexpected method %08x", a->peer,
		     f->payload.method.id);
	}
}

/* Reads all there is, which keeps the connection alive too. */
static void serve(struct sink *sink, struct amqp *a)
{
	amqp_frame_t f;
	bool blocked = connection_blocked(a->connection);
	int n = 0;

	while (!a->code &&
	       (n = connection_next(a->connection, confirm_count(&a->confirm) > 0, &f)) > 0)
		answer(sink, a, &f);
	if (n < 0)
		lost(a);
	if (blocked || connection_blocked(a->connection))
		a->progress = connection_now(); /* a blocked broker owes nothing */
}

/* --- send and flush --- */

static bool full(const struct amqp *a, size_t more)
{
	size_t n = confirm_count(&a->confirm);
	return a->refused || connection_blocked(a->connection) || n >= a->window ||
	       (n && a->confirm.bytes + more > WINDOW_BYTES) || connection_full(a->connection);
}

static int amqp_send(struct sink *sink, const struct record *rec)
{
	struct amqp *a = sink->state;

	if (a->code)
		return SINK_FULL; /* flush() tells what is confirmed before it tells the failure */
	if (full(a, rec->json.len))
		return SINK_FULL;
	if (message_set(&a->message, sink->uuid, rec))
		return sink_why(sink, SINK_RETRY, "out of memory");
	if (message_properties_max(&a->message) + 20 > connection_frame_max(a->connection))
		return sink_why(sink, SINK_DROP,
		                "its user, owner and mailbox names are too long for "
		                "the headers of an AMQP message");
	amqp_bytes_t body = {rec->json.len, (void *)(uintptr_t)rec->json.s};
	if (connection_publish(a->connection, a->exchange, a->message.key, &a->message.properties,
	                       body))
		return SINK_FULL;
	if (!confirm_count(&a->confirm))
		a->progress = connection_now();
	confirm_add(&a->confirm, rec->pos, rec->next, rec->json.len);
	return SINK_OK;
}

/* True when the lowest were confirmed. */
static bool settle(struct amqp *a, uint64_t *confirmed_r)
{
	size_t before = confirm_count(&a->confirm);
	if (!confirm_settle(&a->confirm, confirmed_r))
		return false;
	a->window += before - confirm_count(&a->confirm);
	if (a->window < WINDOW_MIN)
		a->window = WINDOW_MIN;
	if (a->window > WINDOW_MAX)
		a->window = WINDOW_MAX;
	a->progress = connection_now();
	return true;
}

/* What the broker refused, once all before it is settled; and confirms that never come. */
static void judge(struct sink *sink, struct amqp *a)
{
	const struct confirm_entry *lowest = confirm_lowest(&a->confirm);

	if (!lowest)
		return;
	if (lowest->state == CONFIRM_NACKED)
		fail(a, SINK_RETRY,
		     "%s: the broker refused an event (basic.nack): a queue is full "
		     "(x-overflow reject-publish) or has lost its leader",
		     a->peer);
	else if (lowest->state == CONFIRM_RETURNED)
		fail(a, SINK_RETRY,
		     "%s: no queue takes the event: bind one to exchange %.64s, or set "
		     "notifyd_%s_unroutable: drop",
		     a->peer, a->exchange, sink->name);
	else if (connection_now() - a->progress > STALL * a->timeout)
		fail(a, SINK_RETRY,
		     "%s: the broker is alive but confirmed nothing for %" PRId64
		     " s: does a queue lack a majority of its nodes?",
		     a->peer, STALL * a->timeout / 1000);
}

static void note(struct sink *sink, const struct amqp *a)
{
	const char *blocked = connection_blocked(a->connection);
	int n;
	sink->blocked = blocked != NULL;
	if (blocked)
		n = snprintf(sink->note, sizeof sink->note, "blocked by %.64s: %.50s", a->peer,
		             blocked);
	else
		n = snprintf(sink->note, sizeof sink->note, "connected to %.64s", a->peer);
	if (a->dropped && n > 0 && (size_t)n < sizeof sink->note)
		snprintf(sink->note + n, sizeof sink->note - (size_t)n,
		         ", %" PRIu64 " unroutable dropped", a->dropped);
}

static int amqp_flush(struct sink *sink, int wait_ms, uint64_t *confirmed_r, size_t *inflight_r)
{
	struct amqp *a = sink->state;
	int64_t deadline = wait_ms > 0 ? connection_now() + wait_ms : 0;
	bool was_full = full(a, 0), progress = false;

	for (;;) {
		if (!a->code)
			serve(sink, a);
		progress = settle(a, confirmed_r);
		judge(sink, a);
		int64_t left = deadline ? deadline - connection_now() : 0;
		if (progress || a->code || left <= 0 || (was_full && !full(a, 0)))
			break;
		connection_wait(a->connection, left);
	}
	*inflight_r = confirm_count(&a->confirm);
	note(sink, a);
	return a->code && !progress ? report(sink, a) : SINK_OK;
}

const struct sink_driver sink_amqp = {
    .name = "amqp",
    .help = "publishes events with confirms to an AMQP 0-9-1 exchange (RabbitMQ)",
    .options = options,
    .check = amqp_check,
    .open = amqp_open,
    .send = amqp_send,
    .flush = amqp_flush,
    .close = amqp_close,
};

SINK_MODULE(sink_amqp);
