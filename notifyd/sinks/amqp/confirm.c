/* SPDX-License-Identifier: BSD-3-Clause */
#include "confirm.h"

static struct confirm_entry *at(struct confirm *c, uint64_t tag)
{
	return &c->entries[tag % CONFIRM_MAX];
}

void confirm_init(struct confirm *c)
{
	c->low = c->end = 1;
	c->bytes = 0;
}

bool confirm_add(struct confirm *c, uint64_t pos, uint64_t next, size_t bytes)
{
	if (c->end - c->low == CONFIRM_MAX)
		return false;
	*at(c, c->end++) = (struct confirm_entry){.pos = pos, .next = next, .bytes = bytes};
	c->bytes += bytes;
	return true;
}

static int answer(struct confirm *c, uint64_t tag, bool multiple, enum confirm_state state)
{
	if (multiple && !tag)
		tag = c->end - 1;
	if ((!tag && !multiple) || tag >= c->end)
		return -1;
	for (uint64_t t = multiple || tag < c->low ? c->low : tag; t <= tag; t++) {
		struct confirm_entry *e = at(c, t);
		if (e->state == CONFIRM_WAITING)
			e->state = state;
	}
	return 0;
}

int confirm_ack(struct confirm *c, uint64_t tag, bool multiple)
{
	return answer(c, tag, multiple, CONFIRM_ACKED);
}

int confirm_nack(struct confirm *c, uint64_t tag, bool multiple)
{
	return answer(c, tag, multiple, CONFIRM_NACKED);
}

/* Positions rise with tags. */
static struct confirm_entry *find(struct confirm *c, uint64_t pos)
{
	uint64_t low = c->low, high = c->end;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (at(c, middle)->pos < pos)
			low = middle + 1;
		else
			high = middle;
	}
	return low < c->end && at(c, low)->pos == pos ? at(c, low) : NULL;
}

bool confirm_return(struct confirm *c, uint64_t pos)
{
	struct confirm_entry *e = find(c, pos);
	if (!e || e->state != CONFIRM_WAITING)
		return false;
	e->state = CONFIRM_RETURNED;
	return true;
}

bool confirm_settle(struct confirm *c, uint64_t *next_r)
{
	uint64_t before = c->low;
	for (; c->low < c->end && at(c, c->low)->state == CONFIRM_ACKED; c->low++) {
		*next_r = at(c, c->low)->next;
		c->bytes -= at(c, c->low)->bytes;
	}
	return c->low != before;
}

const struct confirm_entry *confirm_lowest(const struct confirm *c)
{
	return c->low < c->end ? &c->entries[c->low % CONFIRM_MAX] : NULL;
}

void confirm_skip(struct confirm *c)
{
	c->bytes -= at(c, c->low++)->bytes;
}

size_t confirm_count(const struct confirm *c)
{
	return (size_t)(c->end - c->low);
}
