/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_apns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_apns fake_apns;

struct apns_client {
	struct {
		void *ref;
		size_t push;
	} flying[FAKE_PUSHES];
	size_t n;
};

int apns_client_check(const struct apns_client_options *o, char **why_r)
{
	if (o->certificate || o->token_key)
		return 0;
	*why_r = strdup("no certificate");
	return -1;
}

int apns_client_open(struct apns_client **c_r, const struct apns_client_options *o, char **why_r)
{
	*c_r = NULL;
	if (apns_client_check(o, why_r) < 0)
		return -1;
	fake_apns.opens++;
	*c_r = calloc(1, sizeof **c_r);
	return *c_r ? 0 : -1;
}

void apns_client_close(struct apns_client **c)
{
	free(*c);
	*c = NULL;
}

const char *apns_client_topic(const struct apns_client *c)
{
	(void)c;
	return fake_apns.topic;
}

static void copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

int apns_client_submit(struct apns_client *c, const struct apns_push *p)
{
	if (fake_apns.state != APNS_OK)
		return fake_apns.state;
	if ((fake_apns.room && c->n >= fake_apns.room) || c->n == FAKE_PUSHES)
		return APNS_FULL;
	struct fake_push *f = &fake_apns.pushes[fake_apns.n % FAKE_PUSHES];
	copy(f->token, sizeof f->token, p->token);
	copy(f->topic, sizeof f->topic, p->topic);
	copy(f->push_type, sizeof f->push_type, p->push_type);
	copy(f->collapse, sizeof f->collapse, p->collapse_id);
	snprintf(f->payload, sizeof f->payload, "%.*s", (int)p->len, p->payload);
	f->priority = p->priority;
	f->expiration = p->expiration;
	c->flying[c->n].ref = p->ref;
	c->flying[c->n++].push = fake_apns.n++ % FAKE_PUSHES;
	return APNS_OK;
}

size_t apns_client_step(struct apns_client *c, int wait_ms, apns_answer_fn answer, void *ctx)
{
	size_t n = c->n;
	(void)wait_ms;
	if (fake_apns.hold)
		return n;
	for (size_t i = 0; i < n; i++) {
		struct apns_answer a = {.outcome = APNS_DELIVERED, .status = 200, .reason = ""};
		if (fake_apns.answer)
			a = fake_apns.answer(&fake_apns.pushes[c->flying[i].push]);
		answer(ctx, c->flying[i].ref, &a);
	}
	c->n -= n;
	memmove(c->flying, c->flying + n, c->n * sizeof *c->flying);
	return c->n;
}

int apns_client_poll(const struct apns_client *c, short *events_r)
{
	(void)c;
	*events_r = 0;
	return -1;
}

void apns_client_state(struct apns_client *c, struct apns_state *s_r)
{
	*s_r = (struct apns_state){.condition = APNS_CONNECTED, .inflight = c->n, .words = "fake"};
}

int apns_client_probe(struct apns_client *c, char *why, size_t size)
{
	(void)c;
	snprintf(why, size, "fake");
	return 0;
}
