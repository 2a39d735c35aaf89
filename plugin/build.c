/* SPDX-License-Identifier: BSD-3-Clause */
/* An event, and its parameters by name. */
#include "build.h"

#include "../lib/flags.h"
#include "../lib/jtext.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void now(struct mbev_event *e)
{
	struct timespec t;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &t);
	e->ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	if (localtime_r(&t.tv_sec, &tm))
		e->offset = (int)(tm.tm_gmtoff / 60);
}

MBEV_EXPORT int mbev_new(struct mbev *handle, const char *event, struct mbev_event **event_r)
{
	int before = errno;
	if (event_r)
		*event_r = NULL;
	if (!handle || !event || !event_r)
		return MBEV_INVAL;
	const struct catalog_event *type = catalog_event(event, strlen(event));
	if (!type)
		return MBEV_EVENT;
	if (!extras_event(&handle->extras, type)) {
		build_count(handle, MBEV_COUNT_SILENT);
		return MBEV_SILENT;
	}
	struct mbev_event *e = calloc(1, sizeof *e);
	if (e && !(e->params = event_new())) {
		free(e);
		e = NULL;
	}
	if (e) {
		e->handle = handle;
		e->type = type;
		if (build_knows(e, PARAM_TIMESTAMP) &&
		    extras_param(&handle->extras, type, PARAM_TIMESTAMP))
			now(e);
	} else {
		build_count(handle, MBEV_COUNT_LOST);
	}
	*event_r = e;
	errno = before;
	return e ? MBEV_OK : MBEV_NOMEM;
}

MBEV_EXPORT void mbev_free(struct mbev_event **event)
{
	int before = errno;
	struct mbev_event *e = event ? *event : NULL;
	if (!e)
		return;
	event_free(&e->params);
	free(e->mailbox.owner);
	free(e->mailbox.path);
	free(e->old_mailbox.owner);
	free(e->old_mailbox.path);
	free(e->specialuse);
	uidset_free(&e->uids);
	uidset_free(&e->old_uids);
	midset_free(&e->mids);
	buf_free(&e->flags);
	buf_free(&e->content);
	while (e->headers) {
		struct build_header *next = e->headers->next;
		buf_free(&e->headers->values);
		free(e->headers);
		e->headers = next;
	}
	while (e->names) {
		struct build_name *next = e->names->next;
		free(e->names);
		e->names = next;
	}
	free(e);
	*event = NULL;
	errno = before;
}

/* Where a value goes. */
struct slot {
	struct str key;
	int param; /* -1: the host's own */
	bool left_out;
	const struct catalog_parameter *row; /* NULL: the host's own */
};

static bool made_of_facts(int param)
{
	switch (param) {
	case PARAM_EVENT:
	case PARAM_URI:
	case PARAM_MAILBOX_ID:
	case PARAM_OLD_MAILBOX_ID:
	case PARAM_TIMESTAMP:
	case PARAM_MESSAGE_CONTENT:
	case PARAM_MESSAGE_HEADERS:
	case PARAM_VND_MBOXEVENT_FORMAT:
	case PARAM_VND_MBOXEVENT_RAW:
		return true;
	default:
		return false;
	}
}

/* Keeps a name of the host's own as long as the event lives. */
static struct str own_name(struct mbev_event *e, const char *name)
{
	size_t len = strlen(name);
	for (const struct build_name *n = e->names; n; n = n->next)
		if (strcmp(n->s, name) == 0)
			return (struct str){n->s, len};
	struct build_name *n = malloc(sizeof *n + len + 1);
	if (!n)
		return (struct str){NULL, 0};
	memcpy(n->s, name, len + 1);
	n->next = e->names;
	e->names = n;
	return (struct str){n->s, len};
}

static bool is_own(const char *name)
{
	if (strncmp(name, "vnd.", 4) != 0 || !name[4])
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name >= 0x7f)
			return false;
	return true;
}

static int find(struct mbev_event *e, const char *name, struct slot *slot_r)
{
	if (!e)
		return MBEV_SILENT;
	if (!name)
		return MBEV_INVAL;
	int p = catalog_param(name, strlen(name));
	*slot_r = (struct slot){.param = p};
	if (p < 0) {
		if (!is_own(name))
			return MBEV_PARAM;
		slot_r->key = own_name(e, name);
		return slot_r->key.s ? MBEV_OK : MBEV_NOMEM;
	}
	if (!build_knows(e, (enum catalog_param)p) || made_of_facts(p))
		return MBEV_PARAM;
	slot_r->row = &catalog_parameters[p];
	slot_r->key = build_str(slot_r->row->name);
	slot_r->left_out = !extras_param(&e->handle->extras, e->type, (enum catalog_param)p);
	return MBEV_OK;
}

/* What a setter returns that has done its work; memory that was short makes the event fail. */
static int done(struct mbev_event *e, int code, int before)
{
	if (e && (code == MBEV_NOMEM || (code == MBEV_OK && event_failed(e->params)))) {
		e->failed = true;
		code = MBEV_NOMEM;
	}
	errno = before;
	return code;
}

static int set_absent(struct mbev_event *e, const struct slot *slot)
{
	struct str json = STR("null");
	if (slot->row && slot->row->type == CATALOG_STRING_OR_FALSE)
		json = STR("false");
	else if (slot->row && slot->row->type != CATALOG_STRING_OR_NULL)
		return MBEV_INVAL;
	event_set_raw(e->params, slot->key, json);
	return MBEV_OK;
}

static bool takes_string(const struct slot *slot)
{
	return !slot->row || slot->row->type == CATALOG_STRING ||
	       slot->row->type == CATALOG_STRING_OR_NULL ||
	       slot->row->type == CATALOG_STRING_OR_FALSE;
}

static int set_text(struct mbev_event *e, const char *name, const char *value, size_t len)
{
	struct slot slot;
	int code = find(e, name, &slot);
	if (code != MBEV_OK)
		return code;
	if (!takes_string(&slot))
		return MBEV_TYPE;
	if (!value)
		return set_absent(e, &slot);
	struct str text = {value, len};
	switch (slot.param) {
	case PARAM_UIDSET:
	case PARAM_VND_CMU_OLD_UIDSET:
		return build_uids(e, (enum catalog_param)slot.param, text);
	case PARAM_FLAG_NAMES:
		return build_flags(e, text, true);
	default:
		break;
	}
	if (slot.row && !build_fits(slot.row->form, text))
		return MBEV_INVAL;
	if (!slot.left_out)
		event_set_string(e->params, slot.key, text);
	return MBEV_OK;
}

MBEV_EXPORT int mbev_set_string(struct mbev_event *event, const char *name, const char *value)
{
	int before = errno;
	return done(event, set_text(event, name, value, value ? strlen(value) : 0), before);
}

MBEV_EXPORT int mbev_set_bytes(struct mbev_event *event, const char *name, const void *value,
                               size_t len)
{
	int before = errno;
	if (event && !value && len)
		return MBEV_INVAL;
	return done(event, set_text(event, name, value ? value : "", len), before);
}

MBEV_EXPORT int mbev_set_int(struct mbev_event *event, const char *name, int64_t value)
{
	int before = errno;
	struct slot slot;
	int code = find(event, name, &slot);
	if (code == MBEV_OK && slot.row && slot.row->type != CATALOG_INT)
		code = MBEV_TYPE;
	if (code == MBEV_OK && slot.row && !build_fits_int(slot.row->form, value))
		code = MBEV_INVAL;
	if (code == MBEV_OK && !slot.left_out)
		event_set_int(event->params, slot.key, value);
	return done(event, code, before);
}

static int set_mids(struct mbev_event *e, const char *const *values, size_t n)
{
	midset_reset(&e->mids);
	for (size_t i = 0; i < n; i++)
		if (!midset_add(&e->mids, build_str(values[i])))
			return MBEV_NOMEM;
	return MBEV_OK;
}

static int set_array(struct mbev_event *e, const char *name, const char *const *values, size_t n)
{
	struct slot slot;
	struct buf json = BUF_INIT;
	int code = find(e, name, &slot);
	if (code != MBEV_OK)
		return code;
	if (slot.row && slot.row->type != CATALOG_STRINGS)
		return MBEV_TYPE;
	if (n && !values)
		return MBEV_INVAL;
	for (size_t i = 0; i < n; i++)
		if (!values[i] || (slot.row && !build_fits(slot.row->form, build_str(values[i]))))
			return MBEV_INVAL;
	if (slot.left_out)
		return MBEV_OK;
	if (slot.param == PARAM_VND_CMU_MIDSET)
		return set_mids(e, values, n);
	buf_addc(&json, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(&json, ',');
		event_json_string(&json, build_str(values[i]));
	}
	buf_addc(&json, ']');
	if (json.failed)
		code = MBEV_NOMEM;
	else
		event_set_copy(e->params, slot.key, (struct str){json.s, json.len});
	buf_free(&json);
	return code;
}

MBEV_EXPORT int mbev_set_strings(struct mbev_event *event, const char *name,
                                 const char *const *values, size_t n)
{
	int before = errno;
	return done(event, set_array(event, name, values, n), before);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int set_json(struct mbev_event *e, const char *name, struct str json)
{
	struct slot slot;
	struct buf clean = BUF_INIT;
	int code = find(e, name, &slot);
	if (code != MBEV_OK)
		return code;
	if (slot.row && slot.row->type != CATALOG_OBJECT)
		return MBEV_TYPE;
	while (json.len && is_blank(json.s[0])) {
		json.s++;
		json.len--;
	}
	while (json.len && is_blank(json.s[json.len - 1]))
		json.len--;
	bool valid = json.len && jtext_clean(json, &clean);
	if (clean.failed)
		code = MBEV_NOMEM;
	else if (!valid || (slot.row && json.s[0] != '{'))
		code = MBEV_INVAL;
	else if (!slot.left_out)
		event_set_copy(e->params, slot.key, (struct str){clean.s, clean.len});
	buf_free(&clean);
	return code;
}

MBEV_EXPORT int mbev_set_json(struct mbev_event *event, const char *name, const char *json,
                              size_t len)
{
	int before = errno;
	if (event && !json)
		return MBEV_INVAL;
	return done(event, set_json(event, name, (struct str){json, len}), before);
}
