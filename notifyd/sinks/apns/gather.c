/* SPDX-License-Identifier: BSD-3-Clause */
#include "gather.h"

#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

struct gather {
	struct due **table; /* a power of two */
	size_t size, count;
	struct due **heap; /* those that wait, the earliest first */
	size_t waiting, room;
	size_t urgent;
	unsigned epoch;
	TAILQ_HEAD(due_list, due) ready[WANTS], changed;
};

struct gather *gather_new(void)
{
	struct gather *g = calloc(1, sizeof *g);
	if (!g)
		return NULL;
	g->size = 1024;
	g->table = calloc(g->size, sizeof *g->table);
	for (int w = 0; w < WANTS; w++)
		TAILQ_INIT(&g->ready[w]);
	TAILQ_INIT(&g->changed);
	if (!g->table)
		gather_free(&g);
	return g;
}

static void free_due(struct due *d)
{
	buf_free(&d->mailboxes);
	free(d->user);
	free(d);
}

void gather_free(struct gather **gp)
{
	struct gather *g = *gp;
	struct due *d;
	*gp = NULL;
	if (!g)
		return;
	for (size_t i = 0; g->table && i < g->size; i++)
		while ((d = g->table[i]) != NULL) {
			g->table[i] = d->next;
			free_due(d);
		}
	free(g->table);
	free(g->heap);
	free(g);
}

/* --- by device or user --- */

static struct due **find(const struct gather *g, enum gather_want want, int64_t device,
                         const char *user)
{
	uint64_t h = device ? XXH3_64bits(&device, sizeof device) : XXH3_64bits(user, strlen(user));
	struct due **at = &g->table[(h + want) & (g->size - 1)];
	while (*at &&
	       ((*at)->device != device || (*at)->want != want || strcmp((*at)->user, user) != 0))
		at = &(*at)->next;
	return at;
}

/* Without memory lists become longer. */
static void grow(struct gather *g)
{
	struct gather bigger = {.size = g->size * 2};
	bigger.table = calloc(bigger.size, sizeof *bigger.table);
	if (!bigger.table)
		return;
	for (size_t i = 0; i < g->size; i++)
		for (struct due *d = g->table[i], *next; d; d = next) {
			struct due **at = find(&bigger, d->want, d->device, d->user);
			next = d->next;
			d->next = NULL;
			*at = d;
		}
	free(g->table);
	g->table = bigger.table;
	g->size = bigger.size;
}

static struct due *make(struct gather *g, enum gather_want want, int64_t device, const char *user)
{
	if (g->count + 1 > g->room) {
		size_t room = g->room ? g->room * 2 : 1024;
		struct due **heap = realloc(g->heap, room * sizeof *heap);
		if (!heap)
			return NULL;
		g->heap = heap;
		g->room = room;
	}
	struct due *d = calloc(1, sizeof *d);
	char *copy = strdup(user);
	if (!d || !copy) {
		free(d);
		free(copy);
		return NULL;
	}
	d->want = want;
	d->device = device;
	d->user = copy;
	if (++g->count > g->size)
		grow(g);
	*find(g, want, device, user) = d;
	return d;
}

static void drop(struct gather *g, struct due *d)
{
	struct due **at = find(g, d->want, d->device, d->user);
	*at = d->next;
	g->count--;
	free_due(d);
}

/* --- by time: a binary heap with room for all --- */

static void place(struct gather *g, size_t at, struct due *d)
{
	g->heap[at] = d;
	d->place = at;
}

static void sift(struct gather *g, size_t at, struct due *d)
{
	while (at && g->heap[(at - 1) / 2]->at > d->at) {
		place(g, at, g->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		size_t child = at * 2 + 1;
		if (child + 1 < g->waiting && g->heap[child + 1]->at < g->heap[child]->at)
			child++;
		if (child >= g->waiting || g->heap[child]->at >= d->at)
			break;
		place(g, at, g->heap[child]);
		at = child;
	}
	place(g, at, d);
}

static void wait(struct gather *g, struct due *d, int64_t at)
{
	d->state = DUE_WAITS;
	d->at = at;
	g->waiting++;
	sift(g, g->waiting - 1, d);
}

static void stop_waiting(struct gather *g, struct due *d)
{
	struct due *last = g->heap[--g->waiting];
	if (last != d)
		sift(g, d->place, last);
}

/* --- states --- */

static bool is_urgent(const struct due *d)
{
	return d->state != DUE_WAITS && !d->stored && !d->over;
}

static void change(struct gather *g, struct due *d)
{
	if (!d->changed) {
		TAILQ_INSERT_TAIL(&g->changed, d, change);
		d->epoch = g->epoch;
	}
	d->changed = true;
}

static void make_ready(struct gather *g, struct due *d)
{
	d->state = DUE_READY;
	g->urgent += is_urgent(d);
	TAILQ_INSERT_TAIL(&g->ready[d->want], d, ready);
}

static void leave(struct gather *g, struct due *d)
{
	g->urgent -= is_urgent(d);
	if (d->state == DUE_READY)
		TAILQ_REMOVE(&g->ready[d->want], d, ready);
}

/* Names of what is under way are not looked through: they may be due again. */
static bool has_mailbox(const struct due *d, struct str name)
{
	const char *p = d->mailboxes.s + d->taken_mailboxes,
		   *end = d->mailboxes.s + d->mailboxes.len;
	while (p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		if ((size_t)(stop - p) == name.len && memcmp(p, name.s, name.len) == 0)
			return true;
		p = stop + 1;
	}
	return false;
}

static bool add_mailbox(struct due *d, struct str name)
{
	if (!name.len || (d->reason & REASON_MANY) || memchr(name.s, '\n', name.len) ||
	    (d->mailboxes.len && has_mailbox(d, name)))
		return false;
	if (d->n_mailboxes >= GATHER_MAILBOXES) {
		d->reason |= REASON_MANY;
		return true;
	}
	d->n_mailboxes++;
	buf_add(&d->mailboxes, name.s, name.len);
	buf_addc(&d->mailboxes, '\n');
	return true;
}

struct due *gather_add(struct gather *g, enum gather_want want, int64_t device, const char *user,
                       int64_t at, int64_t event, unsigned reason, struct str mailbox)
{
	struct due *d = *find(g, want, device, user);
	bool fresh = !d || d->over, differs = fresh;
	if (!d && !(d = make(g, want, device, user)))
		return NULL;
	if (fresh) {
		buf_reset(&d->mailboxes);
		d->n_mailboxes = d->tries = d->reason = d->taken_reason = 0;
		d->event = d->again = 0;
		d->taken_mailboxes = 0;
		d->over = false;
		wait(g, d, at);
	} else if (d->state == DUE_TAKEN) {
		differs = !d->again || at < d->again;
		if (differs)
			d->again = at;
	} else if (d->state == DUE_WAITS && at < d->at && !d->tries) {
		stop_waiting(g, d);
		wait(g, d, at);
		differs = true;
	}
	differs |= (d->reason | reason) != d->reason;
	d->reason |= reason;
	differs |= add_mailbox(d, mailbox);
	if (event > d->event) {
		/* How old it is needs no care: within a minute it is not written down anew. */
		differs |= event - d->event >= 60000;
		d->event = event;
	}
	if (differs)
		change(g, d);
	return d;
}

void gather_ripen(struct gather *g, int64_t now)
{
	while (g->waiting && g->heap[0]->at <= now) {
		struct due *d = g->heap[0];
		stop_waiting(g, d);
		make_ready(g, d);
	}
}

struct due *gather_ready(struct gather *g, enum gather_want want)
{
	return TAILQ_FIRST(&g->ready[want]);
}

void gather_take(struct gather *g, struct due *d)
{
	TAILQ_REMOVE(&g->ready[d->want], d, ready);
	d->state = DUE_TAKEN;
	d->again = 0;
	d->taken_mailboxes = d->mailboxes.len;
	d->n_mailboxes = 0;
	d->taken_reason = d->reason;
	d->reason = 0;
}

/* What was under way is to be done again, with what came since: each name once, and no more than
 * are kept of any entry. */
static void give_back(struct due *d)
{
	size_t len = d->mailboxes.len;
	d->taken_mailboxes = 0;
	d->n_mailboxes = 0;
	d->mailboxes.len = 0;
	for (size_t at = 0, next; at < len; at = next) {
		const char *p = d->mailboxes.s + at;
		struct str name = {p, (size_t)((const char *)memchr(p, '\n', len - at) - p)};
		next = at + name.len + 1;
		if (d->mailboxes.len && has_mailbox(d, name))
			continue;
		if (d->n_mailboxes == GATHER_MAILBOXES) {
			d->reason |= REASON_MANY;
			break;
		}
		d->n_mailboxes++;
		memmove(d->mailboxes.s + d->mailboxes.len, p, name.len + 1);
		d->mailboxes.len += name.len + 1;
	}
	d->reason |= d->taken_reason;
	d->taken_reason = 0;
	d->again = 0;
}

void gather_put_off(struct gather *g, struct due *d, int64_t at)
{
	leave(g, d);
	if (d->state == DUE_TAKEN)
		give_back(d);
	wait(g, d, at);
	change(g, d);
}

void gather_done(struct gather *g, struct due *d)
{
	int64_t again = d->state == DUE_TAKEN ? d->again : 0;
	leave(g, d);
	d->tries = 0;
	change(g, d);
	if (again) {
		if (d->taken_mailboxes)
			memmove(d->mailboxes.s, d->mailboxes.s + d->taken_mailboxes,
			        d->mailboxes.len - d->taken_mailboxes);
		d->mailboxes.len -= d->taken_mailboxes;
		d->taken_reason = 0;
		give_back(d);
		wait(g, d, again);
		return;
	}
	d->over = true;
	d->state = DUE_WAITS;
	if (!d->stored) /* nobody knows of it */
		gather_settled(g, d);
}

unsigned gather_epoch(struct gather *g)
{
	return g->epoch++;
}

struct due *gather_changed(struct gather *g, unsigned epoch)
{
	struct due *d = TAILQ_FIRST(&g->changed);
	return d && (int)(epoch - d->epoch) >= 0 ? d : NULL;
}

void gather_settled(struct gather *g, struct due *d)
{
	TAILQ_REMOVE(&g->changed, d, change);
	d->changed = false;
	if (d->over) {
		drop(g, d);
		return;
	}
	g->urgent -= is_urgent(d);
	d->stored = true;
}

size_t gather_count(const struct gather *g)
{
	return g->count;
}

size_t gather_urgent(const struct gather *g)
{
	return g->urgent;
}
