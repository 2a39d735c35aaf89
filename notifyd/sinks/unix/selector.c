/* SPDX-License-Identifier: BSD-3-Clause */
#include "selector.h"

#include <stdlib.h>
#include <string.h>

struct selector {
	TAILQ_ENTRY(selector) all;
	size_t refs;
	struct filter *filter;
	char *groups, *events, *whom; /* as they were asked for */
	struct memo {
		uint64_t serial; /* of the block */
		size_t n;        /* lines that were decided about */
		uint64_t wanted[BLOCK_LINES / 64];
	} memo[BLOCKS];
};

static void selector_free(struct selector *sel)
{
	filter_free(&sel->filter);
	free(sel->groups);
	free(sel->events);
	free(sel->whom);
	free(sel);
}

struct selector *selector_get(struct selector_list *all, struct request *req, struct buf *error)
{
	const char *groups = buf_cstr(&req->groups), *events = buf_cstr(&req->events),
		   *whom = buf_cstr(&req->users);
	struct selector *sel = NULL;
	char *why = NULL;

	if (req->groups.failed || req->events.failed || req->users.failed)
		goto fail;
	TAILQ_FOREACH(sel, all, all)
	{
		if (strcmp(sel->groups, groups) == 0 && strcmp(sel->events, events) == 0 &&
		    strcmp(sel->whom, whom) == 0) {
			sel->refs++;
			return sel;
		}
	}
	sel = calloc(1, sizeof *sel);
	if (!sel)
		goto fail;
	sel->refs = 1;
	sel->groups = strdup(groups);
	sel->events = strdup(events);
	sel->whom = strdup(whom);
	if (sel->groups && sel->events && sel->whom)
		sel->filter = filter_new(groups, events, whom, NULL, NULL, &why);
	if (!sel->filter)
		goto fail;
	TAILQ_INSERT_TAIL(all, sel, all);
	return sel;

fail:
	buf_addf(error, "subscribe: %s", why ? why : "memory is short; come again later");
	free(why);
	if (sel)
		selector_free(sel);
	return NULL;
}

void selector_put(struct selector_list *all, struct selector **sel)
{
	if (*sel && --(*sel)->refs == 0) {
		TAILQ_REMOVE(all, *sel, all);
		selector_free(*sel);
	}
	*sel = NULL;
}

static bool wants(const struct selector *sel, const struct block_line *line)
{
	const char *s = line->facts;
	struct record rec = {.pos = line->pos};

	rec.event = (struct str){s, line->event};
	rec.user = (struct str){s += line->event, line->user};
	rec.owner = (struct str){s += line->user, line->owner};
	rec.mailbox = (struct str){s + line->owner, line->mailbox};
	return filter_match(sel->filter, &rec);
}

size_t selector_next(struct selector *sel, const struct block *b, size_t i)
{
	if (!sel)
		return i;
	struct memo *memo = &sel->memo[b->slot];
	if (memo->serial != b->serial)
		*memo = (struct memo){.serial = b->serial};
	for (; memo->n < b->n; memo->n++)
		if (wants(sel, &b->lines[memo->n]))
			memo->wanted[memo->n / 64] |= UINT64_C(1) << memo->n % 64;
	while (i < b->n) {
		uint64_t rest = memo->wanted[i / 64] >> i % 64;
		if (rest)
			return i + (size_t)__builtin_ctzll(rest);
		i = (i / 64 + 1) * 64;
	}
	return b->n;
}
