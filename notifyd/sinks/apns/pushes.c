/* SPDX-License-Identifier: BSD-3-Clause */
#include "apns.h"

#include "../../log.h"
#include "payload.h"

#include <stdio.h>
#include <string.h>

#define HOLD_MS      300000 /* after a topic was refused, or nearly all tokens were bad */
#define TELL_MS      30000  /* after the journal did not take an event */
#define BACK_OFF_MS  1000   /* of a device, doubling */
#define BACK_OFF_MAX 3600000
#define PATIENCE     3  /* tries that are the connection's matter alone */
#define BAD_TOKENS   20 /* in a row, and none that was good: it is not the tokens */
#define REPORT_MS    60000

/* At most one line in REPORT_MS, however many devices fail. */
static void report(struct apns *a, const struct apns_answer *answer, const char *what)
{
	int64_t now = apns_now_ms();
	if (a->count.told && now - a->count.told < REPORT_MS) {
		a->count.untold++;
		return;
	}
	log_incident(LOG_LEVEL_WARNING, a->sink->name, LOG_NOPOS, "%d %.60s: %s%s", answer->status,
	             answer->reason, what,
	             a->count.untold ? "; more failed since the last such line" : "");
	a->count.told = now;
	a->count.untold = 0;
}

static int broken(struct apns *a, const char *why)
{
	a->broken = true;
	return sink_why(a->sink, SINK_RETRY, "%s", why);
}

/* --- events --- */

static int tell(struct apns *a, struct due *d, int64_t now)
{
	struct device device, *whose = NULL;
	const char *why;
	if (now < a->tell) {
		gather_put_off(a->gather, d, a->tell);
		return SINK_OK;
	}
	if (d->device) {
		int r = registry_get(a->registry, d->device, &device, &why);
		if (r < 0)
			return broken(a, why);
		if (!r) {
			gather_done(a->gather, d);
			return SINK_OK;
		}
		whose = &device;
	}
	if (announce_due(a->announce, d, whose, &why) == 0) {
		gather_done(a->gather, d);
		return SINK_OK;
	}
	log_incident(LOG_LEVEL_WARNING, a->sink->name, LOG_NOPOS, "PushDue events wait: %s", why);
	a->tell = now + TELL_MS;
	gather_put_off(a->gather, d, a->tell);
	return SINK_OK;
}

/* --- pushes --- */

struct spelling {
	struct buf *out;
	struct str user, name;
	bool found;
};

static void on_mailbox(void *ctx, struct str asked, const struct names_place *place)
{
	struct spelling *s = ctx;
	if (s->found || place->owner.len != s->user.len || place->mailbox.len != s->name.len ||
	    memcmp(place->owner.s, s->user.s, s->user.len) != 0 ||
	    memcmp(place->mailbox.s, s->name.s, s->name.len) != 0)
		return;
	buf_add(s->out, asked.s, asked.len);
	s->found = true;
}

/* The names as the device spells them. */
static int spell(struct apns *a, const struct device *d, const struct due *due, struct str *names_r)
{
	struct buf *out = &a->texts[1];
	const char *p = due->mailboxes.s, *end, *why;
	buf_reset(out);
	*names_r = (struct str){"", 0};
	if (!a->hashes || !due->mailboxes.len || (due->reason & REASON_MANY))
		return 0;
	end = p + due->mailboxes.len;
	for (const char *stop; p < end && (stop = memchr(p, '\n', (size_t)(end - p)));
	     p = stop + 1) {
		struct spelling s = {
		    out, {d->user, strlen(d->user)}, {p, (size_t)(stop - p)}, false};
		if (registry_mailboxes(a->registry, d->id, on_mailbox, &s, &why) < 0)
			return broken(a, why);
		if (!s.found)
			buf_add(out, p, (size_t)(stop - p));
		buf_addc(out, '\n');
	}
	*names_r = (struct str){out->s, out->len};
	return 0;
}

static int submit(struct apns *a, struct due *d, const struct device *device, int64_t wall,
                  int *taken_r)
{
	char collapse[PAYLOAD_COLLAPSE];
	struct buf *payload = &a->texts[0];
	struct str names;
	struct apns_push push = {
	    .token = device->token,
	    .topic = a->topics[device->kind],
	    .push_type = "background",
	    .priority = device->kind == DEVICE_MAIL ? 0 : 5,
	    .expiration = (d->event + a->expiration) / 1000,
	    .collapse_id = collapse,
	    .ref = d,
	};
	if (spell(a, device, d, &names) < 0)
		return SINK_RETRY;
	buf_reset(payload);
	payload_write(payload, device, names, d->event, wall);
	if (payload->len > APNS_PAYLOAD_MAX && names.len) {
		buf_reset(payload);
		payload_write(payload, device, STR(""), d->event, wall);
	}
	if (payload->failed || a->texts[1].failed)
		return sink_why(a->sink, SINK_RETRY, "out of memory");
	payload_collapse(collapse, device);
	push.payload = payload->s;
	push.len = payload->len;
	*taken_r = apns_client_submit(a->client, &push);
	return SINK_OK;
}

/* One that is ready. *more_r: false when the client takes no more now. */
static int push(struct apns *a, struct due *d, int64_t now, int64_t wall, bool *more_r)
{
	struct device device;
	const char *why;
	int r = registry_get(a->registry, d->device, &device, &why), taken = APNS_WAIT;
	if (r < 0)
		return broken(a, why);
	bool old = d->event + a->expiration <= wall;
	a->count.old += r && old;
	if (!r || old || !a->topics[device.kind] || (device.expires && device.expires <= wall)) {
		gather_done(a->gather, d);
		return SINK_OK;
	}
	if (a->hold[device.kind] > now) {
		gather_put_off(a->gather, d, a->hold[device.kind]);
		return SINK_OK;
	}
	if (submit(a, d, &device, wall, &taken) < 0)
		return SINK_RETRY;
	if (taken == APNS_OK) {
		gather_take(a->gather, d);
		a->flying++;
	} else if (taken == APNS_NEVER) {
		report(a, &(struct apns_answer){.reason = "not sent"},
		       "a push can't be sent to a device of this registration");
		a->count.dropped++;
		gather_done(a->gather, d);
	} else {
		*more_r = false;
	}
	return SINK_OK;
}

int pushes_send(struct apns *a)
{
	int64_t now = apns_now_ms(), wall = apns_wall_ms();
	struct due *d;
	bool more = !a->renew;
	gather_ripen(a->gather, now);
	while ((d = gather_ready(a->gather, WANT_EVENT)) != NULL)
		if (!a->announce)
			gather_done(a->gather, d);
		else if (tell(a, d, now) < 0)
			return SINK_RETRY;
	while (more && (d = gather_ready(a->gather, WANT_PUSH)) != NULL)
		if (!a->client)
			gather_done(a->gather, d);
		else if (push(a, d, now, wall, &more) < 0)
			return SINK_RETRY;
	return SINK_OK;
}

/* --- answers --- */

static int64_t pause_of(unsigned tries)
{
	int64_t ms = BACK_OFF_MS;
	while (tries-- > 1 && ms < BACK_OFF_MAX)
		ms *= 2;
	return ms < BACK_OFF_MAX ? ms : BACK_OFF_MAX;
}

static void again(struct apns *a, struct due *d, int64_t ms)
{
	/* A retry is no reason to forget what is written down: tries and time are. */
	gather_put_off(a->gather, d, apns_now_ms() + ms);
}

static void remove_device(struct apns *a, const struct due *d, int64_t before)
{
	const char *why;
	int n = registry_void(a->registry, d->device, before, &why);
	if (n < 0)
		broken(a, why);
	else
		a->count.removed += (uint64_t)n;
}

/* It may be the wrong one of production and sandbox, which must not cost all registrations. */
static void bad_token(struct apns *a, struct due *d, const struct apns_answer *answer)
{
	if (a->delivered || ++a->bad_tokens <= BAD_TOKENS) {
		remove_device(a, d, 0);
		report(a, answer, "the device is removed");
		gather_done(a->gather, d);
		return;
	}
	int64_t now = apns_now_ms();
	if (a->hold[DEVICE_MAIL] <= now)
		log_incident(LOG_LEVEL_ERROR, a->sink->name, LOG_NOPOS,
		             "%d tokens in a row were bad, and none was good: no more devices are "
		             "removed and pushes wait; is notifyd_%s_url the right one of "
		             "production and sandbox?",
		             BAD_TOKENS, a->sink->name);
	for (int k = 0; k < DEVICE_KINDS; k++)
		a->hold[k] = now + HOLD_MS;
	again(a, d, HOLD_MS);
}

static void topic_refused(struct apns *a, struct due *d, const struct apns_answer *answer)
{
	struct device device;
	const char *why;
	int r = registry_get(a->registry, d->device, &device, &why);
	int64_t now = apns_now_ms();
	if (r < 0)
		broken(a, why);
	if (r > 0 && a->hold[device.kind] <= now) {
		log_incident(LOG_LEVEL_ERROR, a->sink->name, LOG_NOPOS,
		             "%d %.60s: no pushes for topic %s with this certificate or key; "
		             "trying again in %d minutes",
		             answer->status, answer->reason, a->topics[device.kind],
		             HOLD_MS / 60000);
		a->hold[device.kind] = now + HOLD_MS;
	}
	again(a, d, HOLD_MS);
}

static void on_answer(void *ctx, void *ref, const struct apns_answer *answer)
{
	struct apns *a = ctx;
	struct due *d = ref;
	int64_t ms;
	a->flying--;
	switch (answer->outcome) {
	case APNS_DELIVERED:
		a->count.pushed++;
		a->bad_tokens = 0;
		a->delivered = true;
		a->progress = apns_now_ms();
		gather_done(a->gather, d);
		break;
	case APNS_GONE:
		remove_device(a, d, answer->timestamp_ms);
		gather_done(a->gather, d);
		break;
	case APNS_BAD_TOKEN:
		bad_token(a, d, answer);
		break;
	case APNS_NOT_FOR_TOPIC:
		report(a, answer, "the device is kept; it registered for another topic");
		a->count.dropped++;
		gather_done(a->gather, d);
		break;
	case APNS_BACK_OFF:
		ms = pause_of(++d->tries);
		again(a, d, answer->retry_after_ms > ms ? answer->retry_after_ms : ms);
		break;
	case APNS_AGAIN:
		d->tries++;
		again(a, d, d->tries < PATIENCE ? 0 : pause_of(d->tries - PATIENCE + 1));
		break;
	case APNS_TOPIC_REFUSED:
		topic_refused(a, d, answer);
		break;
	case APNS_DROP:
		report(a, answer, "the push is dropped");
		a->count.dropped++;
		gather_done(a->gather, d);
		break;
	}
}

int pushes_step(struct apns *a, int wait_ms)
{
	apns_client_step(a->client, wait_ms, on_answer, a);
	return a->broken ? SINK_RETRY : SINK_OK;
}
