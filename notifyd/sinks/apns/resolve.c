/* SPDX-License-Identifier: BSD-3-Clause */
#include "resolve.h"

#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

struct resolve {
	uv_loop_t loop;
	uv_getaddrinfo_t request;
	struct addrinfo *list;
	int status;
	bool pending;
};

static void done(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct resolve *r = request->data;

	r->pending = false;
	r->status = status;
	r->list = list;
}

struct resolve *resolve_open(void)
{
	struct resolve *r = calloc(1, sizeof(*r));

	if (r && uv_loop_init(&r->loop)) {
		free(r);
		r = NULL;
	}
	return r;
}

static void drop_list(struct resolve *r)
{
	uv_freeaddrinfo(r->list);
	r->list = NULL;
}

void resolve_close(struct resolve **rp)
{
	struct resolve *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	if (r->pending) {
		uv_cancel((uv_req_t *)&r->request);
		uv_run(&r->loop, UV_RUN_NOWAIT);
	}
	if (r->pending)
		return;
	drop_list(r);
	uv_loop_close(&r->loop);
	free(r);
}

int resolve_start(struct resolve *r, const char *host, const char *port, const char **why_r)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	                                      .ai_flags = AI_ADDRCONFIG};

	if (r->pending)
		return 0;
	drop_list(r);
	r->request.data = r;
	int status = uv_getaddrinfo(&r->loop, &r->request, done, host, port, &hints);
	if (status) {
		*why_r = uv_strerror(status);
		return -1;
	}
	r->pending = true;
	return 0;
}

int resolve_look(struct resolve *r, const struct addrinfo **list_r, const char **why_r)
{
	if (r->pending)
		uv_run(&r->loop, UV_RUN_NOWAIT);
	if (r->pending)
		return 0;
	if (r->status || !r->list) {
		*why_r = r->status ? uv_strerror(r->status) : "it has no address";
		return -1;
	}
	*list_r = r->list;
	return 1;
}

int resolve_fd(const struct resolve *r)
{
	return uv_backend_fd(&r->loop);
}
