/* SPDX-License-Identifier: BSD-3-Clause */
#include "event.h"
#include "jtext.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

struct param {
	struct str key;
	const char *json; /* borrowed; NULL: at `at` in the event's text, which may move */
	size_t at, len;
};

/* Parameters stand in the order of their keys at all times. The first bytes of a key beside its
 * index decide most comparisons without a look at the key. */
struct slot {
	uint64_t head;
	size_t param;
};

struct event {
	struct param *params;
	struct slot *slots;
	size_t n_params, n_slots, cap;
	struct buf text; /* string values that were copied */
	bool failed;
};

struct event *event_new(void)
{
	return calloc(1, sizeof(struct event));
}

void event_free(struct event **e)
{
	if (!*e)
		return;
	free((*e)->params);
	free((*e)->slots);
	buf_free(&(*e)->text);
	free(*e);
	*e = NULL;
}

void event_reset(struct event *e)
{
	e->n_params = e->n_slots = 0;
	buf_reset(&e->text);
	e->failed = false;
}

static uint64_t head(struct str key)
{
	uint64_t h = 0;
	if (key.len >= sizeof h) {
		memcpy(&h, key.s, sizeof h);
		return be64toh(h);
	}
	for (size_t i = 0; i < sizeof h; i++)
		h = h << 8 | (i < key.len ? (unsigned char)key.s[i] : 0);
	return h;
}

static int compare(const struct event *e, uint64_t h, struct str key, const struct slot *slot)
{
	if (h != slot->head)
		return h < slot->head ? -1 : 1;
	struct str other = e->params[slot->param].key;
	size_t min = key.len < other.len ? key.len : other.len;
	int c = min ? memcmp(key.s, other.s, min) : 0;
	return c ? c : key.len < other.len ? -1 : key.len > other.len;
}

/* Where key stands, or would stand. */
static size_t find(const struct event *e, struct str key, uint64_t h, bool *found_r)
{
	size_t low = 0, high = e->n_slots;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int c = compare(e, h, key, &e->slots[mid]);
		if (!c) {
			*found_r = true;
			return mid;
		}
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	*found_r = false;
	return low;
}

/* Grows both arrays; n_params is never below n_slots. */
static bool grow(struct event *e)
{
	size_t cap = e->cap ? 2 * e->cap : 64;
	struct param *params = realloc(e->params, cap * sizeof *params);
	if (!params)
		return false;
	e->params = params;
	struct slot *slots = realloc(e->slots, cap * sizeof *slots);
	if (!slots)
		return false;
	e->slots = slots;
	e->cap = cap;
	return true;
}

static void set(struct event *e, struct param param)
{
	uint64_t h = head(param.key);
	bool found;
	size_t at = find(e, param.key, h, &found);
	if (found) {
		e->params[e->slots[at].param] = param;
		return;
	}
	if (e->n_params == e->cap && !grow(e)) {
		e->failed = true;
		return;
	}
	e->params[e->n_params] = param;
	memmove(e->slots + at + 1, e->slots + at, (e->n_slots - at) * sizeof *e->slots);
	e->slots[at] = (struct slot){h, e->n_params++};
	e->n_slots++;
}

void event_set_raw(struct event *e, struct str key, struct str json)
{
	set(e, (struct param){key, json.s, 0, json.len});
}

void event_set_string(struct event *e, struct str key, struct str value)
{
	size_t at = e->text.len;
	event_json_string(&e->text, value);
	set(e, (struct param){key, NULL, at, e->text.len - at});
}

void event_set_copy(struct event *e, struct str key, struct str json)
{
	size_t at = e->text.len;
	buf_add(&e->text, json.s, json.len);
	set(e, (struct param){key, NULL, at, e->text.len - at});
}

void event_set_int(struct event *e, struct str key, int64_t value)
{
	size_t at = e->text.len;
	buf_addi(&e->text, value);
	set(e, (struct param){key, NULL, at, e->text.len - at});
}

static struct str json_of(const struct event *e, const struct param *p)
{
	return (struct str){p->json ? p->json : e->text.s + p->at, p->len};
}

bool event_get(const struct event *e, struct str key, struct str *json_r)
{
	bool found;
	size_t at = find(e, key, head(key), &found);
	if (!found || e->text.failed)
		return false;
	*json_r = json_of(e, &e->params[e->slots[at].param]);
	return true;
}

void event_unset(struct event *e, struct str key)
{
	bool found;
	size_t at = find(e, key, head(key), &found);
	if (!found)
		return;
	e->n_slots--;
	memmove(e->slots + at, e->slots + at + 1, (e->n_slots - at) * sizeof *e->slots);
}

bool event_failed(const struct event *e)
{
	return e->failed || e->text.failed;
}

int event_write(struct event *e, struct buf *out)
{
	if (event_failed(e))
		return -1;
	for (size_t i = 0; i < e->n_slots; i++) {
		const struct param *p = &e->params[e->slots[i].param];
		struct str json = json_of(e, p);
		buf_add(out, i ? ",\"" : "{\"", 2);
		jtext_escape(p->key, out);
		buf_add(out, "\":", 2);
		buf_add(out, json.s, json.len);
	}
	buf_adds(out, e->n_slots ? "}" : "{}");
	return out->failed ? -1 : 0;
}

void event_json_string(struct buf *out, struct str value)
{
	buf_addc(out, '"');
	jtext_escape(value, out);
	buf_addc(out, '"');
}
