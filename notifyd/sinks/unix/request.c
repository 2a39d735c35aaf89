/* SPDX-License-Identifier: BSD-3-Clause */
#include "request.h"

#include "../../../lib/journal.h"

#include <jansson.h>
#include <string.h>

#define QUOTED 64 /* bytes of the client's text that an error repeats */

static int refuse(struct buf *error, const char *what)
{
	buf_adds(error, what);
	return -1;
}

static void quote(struct buf *out, const char *s, size_t len)
{
	buf_addc(out, '\'');
	for (size_t i = 0; i < len && i < QUOTED; i++)
		buf_addc(out, (unsigned char)s[i] < ' ' || s[i] == 0x7f ? '?' : s[i]);
	if (len > QUOTED)
		buf_adds(out, "...");
	buf_addc(out, '\'');
}

static int parse_version(const json_t *v, struct buf *error)
{
	if (json_is_integer(v) && json_integer_value(v) == 1)
		return 0;
	return refuse(error, "v: this notifyd speaks version 1; send \"v\":1");
}

static int parse_name(const char *key, const json_t *v, char name_r[REQUEST_NAME + 1],
                      struct buf *error)
{
	const char *s = json_string_value(v);
	size_t len = json_string_length(v);

	if (s && len >= 1 && len <= REQUEST_NAME &&
	    strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len) {
		memcpy(name_r, s, len + 1);
		return 0;
	}
	buf_adds(error, key);
	buf_adds(error, ": ");
	if (s) {
		quote(error, s, len);
		buf_adds(error, " ");
	}
	return refuse(error, "is no name; use a string of 1 to 64 of a-z 0-9 _ -");
}

static int parse_id(const char *key, const json_t *v, struct request *req, struct buf *error)
{
	const char *s = json_string_value(v);

	if (s && journal_id_parse(s, json_string_length(v), req->uuid, &req->pos))
		return 0;
	buf_adds(error, key);
	buf_adds(error, ": ");
	if (s) {
		quote(error, s, json_string_length(v));
		buf_adds(error, " ");
	}
	return refuse(error, "is no id; send the \"id\" of a line that you received");
}

static int parse_from(const json_t *v, struct request *req, struct buf *error)
{
	const char *s = json_string_value(v);

	if (s && strcmp(s, "oldest") == 0)
		req->from = FROM_OLDEST;
	else if (s && strcmp(s, "newest") == 0)
		req->from = FROM_NEWEST;
	else if (s && journal_id_parse(s, json_string_length(v), req->uuid, &req->pos))
		req->from = FROM_ID;
	else {
		buf_adds(error, "from: ");
		if (s) {
			quote(error, s, json_string_length(v));
			buf_adds(error, " ");
		}
		return refuse(error, "is no place to start; send \"oldest\", \"newest\" or an id");
	}
	return 0;
}

/* An array of words into one string of words, as the options of a sink are written. */
static int parse_words(const char *key, const json_t *v, struct buf *words, struct buf *error)
{
	if (!json_is_array(v)) {
		buf_adds(error, key);
		return refuse(error, ": must be an array of strings");
	}
	if (json_array_size(v) == 0) {
		buf_adds(error, key);
		return refuse(error, ": the array is empty; leave it out to get all");
	}
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *word = json_array_get(v, i);
		const char *s = json_string_value(word);
		size_t len = json_string_length(word);

		bool blank = !s || len == 0;
		for (size_t k = 0; !blank && k < len; k++)
			blank = (unsigned char)s[k] <= ' ' || s[k] == 0x7f;
		if (blank) {
			buf_addf(error, "%s[%zu]: ", key, i);
			return refuse(error, "must be a string, not empty, without white space");
		}
		if (words->len)
			buf_addc(words, ' ');
		buf_add(words, s, len);
	}
	return 0;
}

static int parse_key(const char *key, const json_t *v, struct request *req, struct buf *error)
{
	bool subscribing = req->kind == REQUEST_SUBSCRIBE;

	if (strcmp(key, "v") == 0)
		return parse_version(v, error);
	if (strcmp(key, "subscribe") == 0 || strcmp(key, "unsubscribe") == 0)
		return parse_name(key, v, req->name, error);
	if (strcmp(key, "ack") == 0)
		return parse_id(key, v, req, error);
	if (subscribing && strcmp(key, "from") == 0)
		return parse_from(v, req, error);
	if (subscribing && strcmp(key, "events") == 0)
		return parse_words(key, v, &req->events, error);
	if (subscribing && strcmp(key, "groups") == 0)
		return parse_words(key, v, &req->groups, error);
	if (subscribing && strcmp(key, "users") == 0)
		return parse_words(key, v, &req->users, error);

	buf_adds(error, "unknown key ");
	quote(error, key, strlen(key));
	switch (req->kind) {
	case REQUEST_ACK:
		return refuse(error, "; beside ack only v is known");
	case REQUEST_UNSUBSCRIBE:
		return refuse(error, "; beside unsubscribe only v is known");
	default:
		return refuse(error, "; known are v, subscribe, from, events, groups, users");
	}
}

static int parse_object(json_t *object, struct request *req, struct buf *error)
{
	const char *key;
	json_t *v;

	bool subscribe = json_object_get(object, "subscribe") != NULL;
	bool ack = json_object_get(object, "ack") != NULL;
	bool unsubscribe = json_object_get(object, "unsubscribe") != NULL;

	if (subscribe + ack + unsubscribe != 1)
		return refuse(error, "request: needs exactly one of the keys subscribe, ack, "
		                     "unsubscribe");
	req->kind = subscribe ? REQUEST_SUBSCRIBE : ack ? REQUEST_ACK : REQUEST_UNSUBSCRIBE;
	if (subscribe && !json_object_get(object, "v"))
		return refuse(error, "v: is missing; send \"v\":1");

	json_object_foreach(object, key, v)
	{
		if (parse_key(key, v, req, error) < 0)
			return -1;
	}
	if (req->groups.failed || req->events.failed || req->users.failed)
		return refuse(error, "request: memory is short; come again later");
	return 0;
}

int request_parse(const char *line, size_t len, struct request *req_r, struct buf *error)
{
	*req_r = (struct request){.kind = REQUEST_LIVE};

	if (len && line[len - 1] == '\r')
		len--;
	if (!len)
		return 0;
	if (len > REQUEST_LINE) {
		buf_addf(error, "request: longer than %d bytes", REQUEST_LINE);
		return -1;
	}

	json_error_t where;
	json_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
	if (!json) {
		buf_addf(error, "request: no valid JSON at byte %d: %s; ", where.position,
		         where.text);
		return refuse(error, "send one JSON object in one line, or an empty line "
		                     "for live events");
	}
	int rc = json_is_object(json) ? parse_object(json, req_r, error)
	                              : refuse(error, "request: must be a JSON object");
	json_decref(json);
	return rc;
}

void request_free(struct request *req)
{
	buf_free(&req->groups);
	buf_free(&req->events);
	buf_free(&req->users);
}
