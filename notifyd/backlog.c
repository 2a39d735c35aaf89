/* SPDX-License-Identifier: BSD-3-Clause */
#include "backlog.h"

#include "../lib/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct gathering {
	int dir;
	struct backlog *list;
	size_t n;
	bool failed;
};

static void gather(void *ctx, const char *name)
{
	struct gathering *g = ctx;
	struct cursor_state state;
	/* Those of notifyd's own for what the older hook appends are no place in what is read. */
	if (name[0] == '-')
		return;
	if (g->failed || cursor_peek(g->dir, name, &state) < 0)
		return;
	struct backlog *list = realloc(g->list, (g->n + 1) * sizeof *list);
	char *copy = list ? strdup(name) : NULL;
	if (list)
		g->list = list;
	if (!copy) {
		g->failed = true;
		return;
	}
	const char *at = strchr(copy, '@');
	list[g->n++] = (struct backlog){
	    .name = copy,
	    .sub = at ? at + 1 : NULL,
	    .sink_len = at ? (size_t)(at - copy) : strlen(copy),
	    .delivered = state.delivered,
	    .used = state.time,
	    .lag = {.pos = state.pos},
	};
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct backlog *)a)->name, ((const struct backlog *)b)->name);
}

static int measure(const char *journal, struct backlog *list, size_t n, char **why_r)
{
	struct lag *lags = calloc(n ? n : 1, sizeof *lags);
	if (!lags) {
		*why_r = NULL;
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		lags[i] = list[i].lag;
	int r = lag_measure(journal, lags, n, why_r);
	for (size_t i = 0; i < n; i++)
		list[i].lag = lags[i];
	free(lags);
	return r;
}

int backlog_read(const char *journal, struct backlog **list_r, size_t *n_r, char **why_r)
{
	struct gathering g = {.dir = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	*list_r = NULL;
	*n_r = 0;
	if (g.dir < 0) {
		if (asprintf(why_r, "the journal %s: %s", journal, strerror(errno)) < 0)
			*why_r = NULL;
		return -1;
	}
	if (cursor_each(g.dir, gather, &g) < 0 && errno != ENOENT)
		g.failed = true;
	close(g.dir);
	if (g.n)
		qsort(g.list, g.n, sizeof *g.list, by_name);
	*why_r = NULL;
	if (g.failed || measure(journal, g.list, g.n, why_r) < 0) {
		if (!*why_r &&
		    asprintf(why_r, "the cursors in %s: %s", journal, strerror(errno)) < 0)
			*why_r = NULL;
		backlog_free(&g.list, g.n);
		return -1;
	}
	*list_r = g.list;
	*n_r = g.n;
	return 0;
}

void backlog_free(struct backlog **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((*list)[i].name);
	free(*list);
	*list = NULL;
}
