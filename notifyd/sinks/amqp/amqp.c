/* SPDX-License-Identifier: BSD-3-Clause */
/* The amqp sink: every record a message on an exchange, published with confirms.
 *
 *   amqp.c        the driver: window, what to do with an answer
 *   target.c      the options, read and checked
 *   address.c     the URL: hosts, user, vhost
 *   tls.c         certificates and keys, checked before they are used
 *   dial.c        from a host's name to a connection, in bounded time
 *   connection.c  librabbitmq's connection, used without waiting; blocked and closed
 *   topology.c    exchange, queue, bindings; arguments.c their arguments
 *   confirm.c     which delivery-tag is which record, and what is confirmed so far
 *   message.c     properties and headers of a record; key.c its routing key
 */
#include <config.h>

#include "confirm.h"
#include "connection.h"
#include "message.h"
#include "target.h"

#include "../../../lib/identity.h"

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

/* What is remembered over a broken connection. */
struct memory {
	size_t limit; /* the longest body that the broker takes, by its last words; 0: not known */
	unsigned alone; /* it refused one of so many without saying which: they go one by one */
};

struct amqp {
	struct target *target;
	struct connection *connection;
	struct message message;
	struct confirm confirm;
	struct memory *memory;
	char peer[80];
	size_t limit; /* of this connection */
	size_t window;
	int64_t progress;  /* when something was confirmed, or the first one sent after a pause */
	bool header_due;   /* a basic.return came: its header and body follow */
	uint64_t body_due; /* bytes */
	bool refused;      /* a nack or a return came: what is before it settles, no more is sent */
	int code;          /* SINK_RETRY or SINK_DROP once all that was confirmed is told */
	bool slow;         /* see struct sink */
	char why[256];
};

static int amqp_check(struct sink *sink)
{
	struct target *target;
	int result = target_read(&target, sink, -1);
	target_free(&target);
	return result;
}

/* Where the next open() goes. */
static const struct address_host *turn(struct sink *sink, const struct target *t)
{
	const struct address_host *host = &t->address->hosts[sink->turn % t->address->nhosts];
	snprintf(sink->next, sizeof sink->next, strchr(host->name, ':') ? "[%.64s]:%u" : "%.64s:%u",
	         host->name, host->port);
	return host;
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

/* What an admin can do about the broker's code; NULL where nothing but time helps. */
static const char *advice(const struct amqp *a, int code, bool logged_in)
{
	switch (code) {
	case CONNECTION_DISTRUST:
		return "";
	case AMQP_ACCESS_REFUSED:
		if (logged_in)
			return "; give the user the permission (rabbitmqctl set_permissions)";
		return a->target->external
		           ? "; SASL EXTERNAL takes a plugin of the broker's "
		             "(rabbitmq_auth_mechanism_ssl) and a user of the certificate's name"
		           : "; check the user and the password";
	case AMQP_NOT_FOUND:
		return "; make it, or let notifyd declare it anew";
	case AMQP_RESOURCE_LOCKED:
		return "; another connection has it for itself: choose another name";
	case AMQP_PRECONDITION_FAILED:
		return "; it exists otherwise: change the option, or delete it on the broker";
	case AMQP_COMMAND_INVALID:
	case AMQP_NOT_IMPLEMENTED:
		return "; change the option, or enable the plugin it takes";
	case AMQP_INVALID_PATH:
	case AMQP_NOT_ALLOWED:
		return "; make the vhost, or let the user in (rabbitmqctl set_permissions -p)";
	default:
		return NULL;
	}
}

static size_t size_limit(const char *text)
{
	static const char words[] = "max size ";
	const char *s = strstr(text, words);
	return s ? strtoul(s + sizeof words - 1, NULL, 10) : 0;
}

/* One of those in flight is too large, or wrong otherwise, for the broker. Sent again, it is found
 * by its size, or else by going alone. */
static void poisoned(struct amqp *a, const char *why)
{
	size_t n = confirm_count(&a->confirm);
	size_t limit = size_limit(why);

	if (!limit && n == 1) {
		fail(a, SINK_DROP, "%s: %.200s", a->peer, why);
		return;
	}
	a->memory->limit = limit;
	a->memory->alone = limit ? 0 : (unsigned)n;
	fail(a, SINK_RETRY, "%s: %.200s", a->peer, why);
}

static void lost(struct amqp *a)
{
	int code = connection_code(a->connection);
	const char *why = connection_why(a->connection);

	if ((code == AMQP_PRECONDITION_FAILED || code == AMQP_CONTENT_TOO_LARGE) &&
	    confirm_count(&a->confirm)) {
		poisoned(a, why);
		return;
	}
	const char *what = advice(a, code, true);
	/* An exchange that was deleted is declared anew. */
	a->slow = what && !(code == AMQP_NOT_FOUND && a->target->topology.declare);
	fail(a, SINK_RETRY, "%s: %.140s%s", a->peer, why, what ? what : "");
}

static int report(struct sink *sink, struct amqp *a)
{
	int code = a->code;
	/* A dead letter is written once; the connection is gone all the same. */
	a->code = SINK_RETRY;
	sink->slow = a->slow;
	return sink_why(sink, code, "%s", a->why);
}

/* --- open and close --- */

static void amqp_close(struct sink *sink)
{
	struct amqp *a = sink->state;
	sink->state = NULL;
	sink->note[0] = '\0';
	sink->blocked = false;
	if (!a)
		return;
	connection_close(&a->connection, !a->code && !confirm_count(&a->confirm));
	target_free(&a->target);
	message_free(&a->message);
	free(a);
}

/* probe: declares nothing; what is to be declared may be missing. */
static int connect_to(struct sink *sink, struct amqp *a, const struct address_host *host,
                      bool probe)
{
	struct target *t = a->target;
	char name[160], why[224], machine[65] = "";
	int64_t deadline = connection_now() + t->timeout;
	struct connection_options opt = {
	    .host = host->name,
	    .port = host->port,
	    .vhost = t->address->vhost,
	    .user = t->address->user,
	    .password = t->external ? NULL : buf_cstr(&t->password),
	    .name = name,
	    .tls = t->address->tls,
	    .cafile = t->cafile,
	    .certificate = t->certificate,
	    .key = t->key,
	    .heartbeat = t->heartbeat,
	    .timeout = t->timeout,
	};
	int code = 0;
	bool logged_in;

	gethostname(machine, sizeof machine - 1);
	snprintf(name, sizeof name, "notifyd %.64s on %s", sink->name, machine);
	logged_in = !connection_open(&a->connection, &opt, deadline, &code, why, sizeof why);
	if (logged_in && ((probe && t->topology.declare) ||
	                  !topology_declare(&t->topology, a->connection, deadline)))
		return SINK_OK;
	if (logged_in) {
		code = connection_code(a->connection);
		snprintf(why, sizeof why, "%s", connection_why(a->connection));
	}
	const char *what = advice(a, code, logged_in);
	sink->slow = what;
	if (probe && !what)
		what = "; see that the broker runs there, or mend the sink's option url";
	return sink_why(sink, SINK_RETRY, "%s: %.140s%s", a->peer, why, what ? what : "");
}

static int start(struct sink *sink, bool probe)
{
	struct amqp *a = sink->state = calloc(1, sizeof *a);

	if (!sink->kept)
		sink->kept = calloc(1, sizeof(struct memory));
	if (!a || !sink->kept)
		return sink_why(sink, SINK_RETRY, "out of memory");
	/* OpenSSL writes without MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
	confirm_init(&a->confirm);
	a->window = WINDOW_FIRST;
	a->memory = sink->kept;
	int result = target_read(&a->target, sink, SINK_RETRY);
	sink->slow = result;
	if (!result) {
		a->message.template = a->target->routing_key;
		a->message.server = a->target->server;
		a->message.bare = a->target->bare;
		a->message.with_id = a->target->with_id;
		/* The next host each time: this one may have failed or closed the last. A probe has
		 * but one time, in which one of them must answer. */
		size_t tries = probe ? a->target->address->nhosts : 1;
		if (probe && a->target->timeout > SINK_PROBE_MS)
			a->target->timeout = SINK_PROBE_MS;
		a->target->timeout /= (int64_t)tries;
		do {
			const struct address_host *host = turn(sink, a->target);
			snprintf(a->peer, sizeof a->peer, "%s", sink->next);
			sink->turn++;
			connection_close(&a->connection, false);
			result = connect_to(sink, a, host, probe);
		} while (result && --tries);
		turn(sink, a->target);
	}
	if (result) {
		amqp_close(sink);
		return result;
	}
	a->limit = a->memory->limit;
	a->memory->limit = 0; /* the broker's may be raised until the next time */
	return SINK_OK;
}

static int amqp_open(struct sink *sink)
{
	return start(sink, false);
}

static int amqp_probe(struct sink *sink)
{
	int result = start(sink, true);
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
	if (!id.len || !journal_id_parse(id.bytes, id.len, uuid, &pos) ||
	    memcmp(uuid, sink->uuid, sizeof uuid) || !confirm_return(&a->confirm, pos))
		fail(a, SINK_RETRY, "%s: the broker returned an event that was not sent", a->peer);
	if (a->target->unroutable == UNROUTABLE_RETRY)
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

/* Whether so many bytes more would be too much, whatever room the socket has. */
static bool enough(const struct amqp *a, size_t more)
{
	size_t n = confirm_count(&a->confirm);
	return a->refused || connection_blocked(a->connection) || n >= a->window ||
	       (n && a->confirm.bytes + more > WINDOW_BYTES);
}

static bool full(const struct amqp *a)
{
	return enough(a, 0) || connection_full(a->connection);
}

/* SINK_OK, or the verdict on a record that can't go out. */
static int begin(struct sink *sink, struct amqp *a, const struct record *rec)
{
	size_t len = message_body_len(&a->message, rec);
	if (enough(a, len))
		return SINK_FULL;
	if (a->limit && len > a->limit)
		return sink_why(sink, SINK_DROP,
		                "%s: the event has %zu bytes and the broker takes %zu", a->peer,
		                len, a->limit);
	if (message_set(&a->message, sink->uuid, rec))
		return sink_why(sink, SINK_RETRY, "out of memory");
	size_t properties_max = message_properties_max(&a->message);
	if (properties_max + 20 > connection_frame_max(a->connection))
		return sink_why(sink, SINK_DROP,
		                "its user, owner and mailbox names are too long for "
		                "the headers of an AMQP message");
	return connection_publish(a->connection, a->target->topology.exchange, a->message.key,
	                          &a->message.properties, properties_max, a->message.body)
	           ? SINK_FULL
	           : SINK_OK;
}

static int amqp_send(struct sink *sink, const struct record *rec)
{
	struct amqp *a = sink->state;
	int r;

	if (a->code)
		return SINK_FULL; /* flush() tells what is confirmed before it tells the failure */
	/* The record that SINK_FULL was said of comes again. */
	if (connection_midway(a->connection))
		r = connection_go_on(a->connection) ? SINK_FULL : SINK_OK;
	else
		r = begin(sink, a, rec);
	if (r != SINK_OK)
		return r;
	if (!confirm_count(&a->confirm))
		a->progress = connection_now();
	confirm_add(&a->confirm, rec->pos, rec->next, message_body_len(&a->message, rec));
	return SINK_OK;
}

static void grow(struct amqp *a, size_t settled)
{
	a->progress = connection_now();
	a->memory->alone -= settled < a->memory->alone ? (unsigned)settled : a->memory->alone;
	if (a->memory->alone)
		return;
	a->window += settled;
	if (a->window < WINDOW_MIN)
		a->window = WINDOW_MIN;
	if (a->window > WINDOW_MAX)
		a->window = WINDOW_MAX;
}

static bool came_back(const struct amqp *a, enum unroutable policy)
{
	const struct confirm_entry *lowest = confirm_lowest(&a->confirm);
	return lowest && lowest->state == CONFIRM_RETURNED && a->target->unroutable == policy;
}

/* True when the lowest were confirmed, or came back and are to be dropped. */
static bool settle(struct sink *sink, struct amqp *a, uint64_t *confirmed_r)
{
	size_t before = confirm_count(&a->confirm);
	confirm_settle(&a->confirm, confirmed_r);
	while (came_back(a, UNROUTABLE_DROP)) {
		*confirmed_r = confirm_lowest(&a->confirm)->next;
		confirm_skip(&a->confirm);
		sink->discarded++;
		confirm_settle(&a->confirm, confirmed_r);
	}
	if (confirm_count(&a->confirm) == before)
		return false;
	grow(a, before - confirm_count(&a->confirm));
	return true;
}

/* The lowest one can't be delivered: to the worker, and no longer this connection's. */
static int drop(struct amqp *a, uint64_t *confirmed_r)
{
	*confirmed_r = confirm_lowest(&a->confirm)->pos;
	confirm_skip(&a->confirm);
	grow(a, 1);
	return SINK_DROP;
}

/* It is a dead letter. */
static bool homeless(const struct amqp *a)
{
	return came_back(a, UNROUTABLE_DEAD_LETTER);
}

/* What the broker refused, once all before it is settled; and confirms that never come. */
static void judge(struct sink *sink, struct amqp *a)
{
	const struct confirm_entry *lowest = confirm_lowest(&a->confirm);

	if (!lowest || homeless(a))
		return;
	if (lowest->state == CONFIRM_NACKED)
		fail(a, SINK_RETRY,
		     "%s: the broker refused an event (basic.nack): a queue is full "
		     "(x-overflow reject-publish) or has lost its leader",
		     a->peer);
	else if (lowest->state == CONFIRM_RETURNED)
		fail(a, SINK_RETRY,
		     "%s: no queue takes the event: bind one to exchange %.64s, or set "
		     "notifyd_%s_unroutable",
		     a->peer, a->target->topology.exchange, sink->name);
	else if (connection_now() - a->progress > STALL * a->target->timeout)
		fail(a, SINK_RETRY,
		     "%s: the broker is alive but confirmed nothing for %" PRId64
		     " s: does a queue lack a majority of its nodes?",
		     a->peer, STALL * a->target->timeout / 1000);
}

static void note(struct sink *sink, const struct amqp *a)
{
	const char *blocked = connection_blocked(a->connection);
	int n;
	sink->blocked = blocked != NULL;
	if (blocked)
		n = snprintf(sink->note, sizeof sink->note,
		             "connected to %.40s, blocked by the broker: %.40s", a->peer, blocked);
	else
		n = snprintf(sink->note, sizeof sink->note, "connected to %.64s", a->peer);
	if (sink->discarded && n > 0 && (size_t)n < sizeof sink->note)
		snprintf(sink->note + n, sizeof sink->note - (size_t)n,
		         ", %" PRIu64 " unroutable dropped", sink->discarded);
}

static int amqp_flush(struct sink *sink, int wait_ms, uint64_t *confirmed_r, size_t *inflight_r)
{
	struct amqp *a = sink->state;
	int64_t deadline = wait_ms > 0 ? connection_now() + wait_ms : 0;
	bool was_full = full(a), progress = false;

	for (;;) {
		if (!a->code)
			serve(sink, a);
		progress = settle(sink, a, confirmed_r);
		judge(sink, a);
		int64_t left = deadline ? deadline - connection_now() : 0;
		if (progress || a->code || homeless(a) || left <= 0 || (was_full && !full(a)))
			break;
		connection_wait(a->connection, left);
	}
	int result = SINK_OK;
	if (!progress && homeless(a)) {
		result = drop(a, confirmed_r);
		sink_why(sink, result, "%s: no queue is bound for it at exchange %.64s", a->peer,
		         a->target->topology.exchange);
	} else if (!progress && a->code) {
		if (a->code == SINK_DROP && confirm_lowest(&a->confirm))
			drop(a, confirmed_r);
		else
			a->code = SINK_RETRY;
		result = report(sink, a);
	}
	*inflight_r = confirm_count(&a->confirm);
	note(sink, a);
	return result;
}

const struct sink_driver sink_amqp = {
    .name = "amqp",
    .help = "publishes events with confirms to an AMQP 0-9-1 exchange (RabbitMQ)",
    .options = target_options,
    .check = amqp_check,
    .open = amqp_open,
    .probe = amqp_probe,
    .send = amqp_send,
    .flush = amqp_flush,
    .close = amqp_close,
};

SINK_MODULE(sink_amqp);
