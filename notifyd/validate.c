/* SPDX-License-Identifier: BSD-3-Clause */
#include "validate.h"

#include "../lib/flags.h"
#include "../lib/jtext.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct validate {
	regex_t patterns[CATALOG_N_FORMS];
	int compiled; /* of them, those without a pattern too */
	regex_t unowned;
	struct buf event, parameter, what;
};

/* One event being checked. */
struct run {
	struct validate *v;
	const struct catalog_event *type;
	const json_t *event;
	validate_report *report;
	void *ctx;
	unsigned faults;
};

struct validate *validate_new(void)
{
	struct validate *v = calloc(1, sizeof *v);
	if (!v)
		return NULL;
	if (regcomp(&v->unowned, CATALOG_UNOWNED, REG_EXTENDED | REG_NOSUB) != 0) {
		free(v);
		return NULL;
	}
	for (; v->compiled < CATALOG_N_FORMS; v->compiled++) {
		const char *pattern = catalog_forms[v->compiled].pattern;
		if (pattern &&
		    regcomp(&v->patterns[v->compiled], pattern, REG_EXTENDED | REG_NOSUB) != 0) {
			validate_free(&v);
			return NULL;
		}
	}
	return v;
}

void validate_free(struct validate **v)
{
	if (!*v)
		return;
	for (int i = 0; i < (*v)->compiled; i++)
		if (catalog_forms[i].pattern)
			regfree(&(*v)->patterns[i]);
	regfree(&(*v)->unowned);
	buf_free(&(*v)->event);
	buf_free(&(*v)->parameter);
	buf_free(&(*v)->what);
	free(*v);
	*v = NULL;
}

/* The first of a text that may be long and hold anything. */
static const char *shown(struct buf *b, struct str s)
{
	enum { MOST = 100 };
	bool cut = s.len > MOST;
	for (s.len = cut ? MOST : s.len; cut && ((unsigned char)s.s[s.len] & 0xc0) == 0x80; s.len--)
		;
	buf_reset(b);
	jtext_escape(s, b);
	if (cut)
		buf_adds(b, "...");
	for (size_t i = 0; i < b->len; i++)
		if (b->s[i] == 0x7f)
			b->s[i] = '?';
	return buf_cstr(b);
}

static struct str str(const char *s)
{
	return (struct str){s, strlen(s)};
}

static struct str string_of(const json_t *value)
{
	return (struct str){json_string_value(value), json_string_length(value)};
}

__attribute__((format(printf, 3, 4))) static void fault(struct run *r, const char *parameter,
                                                        const char *fmt, ...)
{
	struct str name = string_of(json_object_get(r->event, "event"));
	char what[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	r->faults++;
	r->report(r->ctx, name.len ? shown(&r->v->event, name) : NULL, parameter, what);
}

static const char *type_name(const json_t *value)
{
	static const char *const names[] = {
	    [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",  [JSON_STRING] = "a string",
	    [JSON_INTEGER] = "a number", [JSON_REAL] = "a fraction", [JSON_TRUE] = "true",
	    [JSON_FALSE] = "false",      [JSON_NULL] = "null",
	};
	return names[json_typeof(value)];
}

/* Which form a parameter has in this event. */
static enum catalog_form form_of(const struct run *r, int p)
{
	enum catalog_form form = catalog_parameters[p].form;
	return form == FORM_URI ? r->type->uri : form;
}

static bool fits(const struct run *r, enum catalog_form form, const char *s, size_t len)
{
	if (form == FORM_NAME)
		return true; /* known, or there would be no check */
	if (!catalog_forms[form].pattern)
		return true;
	if (form == FORM_TEXT)
		return len > 0;
	/* a NUL would end what the pattern sees */
	return strlen(s) == len && regexec(&r->v->patterns[form], s, 0, NULL, 0) == 0;
}

/* The numbers in a string's pattern may still be too large. */
static bool in_range(enum catalog_form form, const char *s)
{
	bool numbers = form == FORM_UIDSET || form == FORM_UID_KEYS || form == FORM_UIDVALIDITY;
	for (; numbers && *s; s += strcspn(s, ",:"), s += *s != '\0')
		if (strtoll(s, NULL, 10) > catalog_forms[FORM_UID].most)
			return false;
	return true;
}

static bool is_url(enum catalog_form form)
{
	return form == FORM_NAME_URL || form == FORM_MAILBOX_URL || form == FORM_MESSAGE_URL;
}

static bool check_string(struct run *r, int p, const json_t *value)
{
	enum catalog_form form = form_of(r, p);
	const char *name = catalog_parameters[p].name, *s = json_string_value(value);
	if (!fits(r, form, s, json_string_length(value))) {
		fault(r, name, "must be %s, not \"%s\"", catalog_forms[form].words,
		      shown(&r->v->what, string_of(value)));
		return false;
	}
	if (!in_range(form, s)) {
		fault(r, name, "has a number above 4294967295");
		return false;
	}
	if (is_url(form) && regexec(&r->v->unowned, s, 0, NULL, 0) == 0) {
		fault(r, name, "must name the owner before the server, not \"%s\"",
		      shown(&r->v->what, str(s)));
		return false;
	}
	return true;
}

static void check_int(struct run *r, int p, const json_t *value)
{
	const struct catalog_form_row *form = &catalog_forms[catalog_parameters[p].form];
	json_int_t n = json_integer_value(value);
	if (n < form->least || n > form->most)
		fault(r, catalog_parameters[p].name, "must be %s, not %lld", form->words,
		      (long long)n);
}

static void check_strings(struct run *r, int p, const json_t *value)
{
	for (size_t i = 0; i < json_array_size(value); i++) {
		const json_t *item = json_array_get(value, i);
		if (!json_is_string(item)) {
			fault(r, catalog_parameters[p].name, "must hold strings, not %s",
			      type_name(item));
			return;
		}
		if (!check_string(r, p, item))
			return;
	}
}

static void check_uids(struct run *r, int p, const json_t *value, bool strings)
{
	const char *name = catalog_parameters[p].name, *key;
	json_t *member;
	json_object_foreach((json_t *)value, key, member)
	{
		if (!fits(r, FORM_UID_KEYS, key, strlen(key)) || !in_range(FORM_UID_KEYS, key))
			fault(r, name, "has the key \"%s\", which is no UID",
			      shown(&r->v->what, str(key)));
		if (strings ? !json_is_string(member) : !json_is_object(member))
			fault(r, name, "must hold %s, not %s", strings ? "strings" : "objects",
			      type_name(member));
	}
}

static bool has_type(enum catalog_type type, const json_t *value)
{
	switch (type) {
	case CATALOG_STRING:
		return json_is_string(value);
	case CATALOG_INT:
		return json_is_integer(value);
	case CATALOG_STRINGS:
		return json_is_array(value);
	case CATALOG_STRING_OR_NULL:
		return json_is_string(value) || json_is_null(value);
	case CATALOG_STRING_OR_FALSE:
		return json_is_string(value) || json_is_false(value);
	case CATALOG_UID_STRINGS:
	case CATALOG_UID_OBJECTS:
	case CATALOG_OBJECT:
		return json_is_object(value);
	}
	return false;
}

static void check_value(struct run *r, int p, const json_t *value)
{
	static const char *const words[] = {
	    [CATALOG_STRING] = "a string",
	    [CATALOG_INT] = "a whole number",
	    [CATALOG_STRINGS] = "an array of strings",
	    [CATALOG_STRING_OR_NULL] = "a string or null",
	    [CATALOG_STRING_OR_FALSE] = "a string or false",
	    [CATALOG_UID_STRINGS] = "an object of strings",
	    [CATALOG_UID_OBJECTS] = "an object of objects",
	    [CATALOG_OBJECT] = "an object",
	};
	enum catalog_type type = catalog_parameters[p].type;
	if (!has_type(type, value)) {
		fault(r, catalog_parameters[p].name, "must be %s, not %s", words[type],
		      type_name(value));
		return;
	}
	if (json_is_string(value))
		check_string(r, p, value);
	else if (type == CATALOG_INT)
		check_int(r, p, value);
	else if (type == CATALOG_STRINGS)
		check_strings(r, p, value);
	else if (type == CATALOG_UID_STRINGS || type == CATALOG_UID_OBJECTS)
		check_uids(r, p, value, type == CATALOG_UID_STRINGS);
}

static const char *text_of(const struct run *r, const char *name)
{
	const char *s = json_string_value(json_object_get(r->event, name));
	return s ? s : "";
}

static bool is_event(const struct run *r, const char *name)
{
	return strcmp(r->type->name, name) == 0;
}

/* System flags have the case of RFC 3501, and FlagsSet leaves two to events of their own. */
static void check_flags(struct run *r)
{
	struct str list = str(text_of(r, "flagNames")), flag;
	struct buf *right = &r->v->what;
	while (flags_next(&list, &flag)) {
		buf_reset(right);
		if (!flags_add(right, flag))
			continue; /* told already */
		if (right->len != flag.len || memcmp(right->s, flag.s, flag.len) != 0)
			fault(r, "flagNames", "must spell it %s", buf_cstr(right));
		else if (is_event(r, "FlagsSet") && !strcmp(buf_cstr(right), "\\Deleted"))
			fault(r, "flagNames", "has \\Deleted, which is MessageTrash");
		else if (is_event(r, "FlagsSet") && !strcmp(buf_cstr(right), "\\Seen"))
			fault(r, "flagNames", "has \\Seen, which is MessageRead");
	}
}

/* More than its pattern says: it must be one that can be parsed. */
static void check_address(struct run *r)
{
	const char *ip = text_of(r, "clientIP");
	struct in6_addr address;
	char host[INET6_ADDRSTRLEN + 1] = "";
	size_t len = strcspn(ip, "%");
	memcpy(host, ip, len < sizeof host ? len : sizeof host - 1);
	if (fits(r, FORM_ADDRESS, ip, strlen(ip)) && inet_pton(AF_INET, host, &address) != 1 &&
	    inet_pton(AF_INET6, host, &address) != 1)
		fault(r, "clientIP", "must be %s, not \"%s\"", catalog_forms[FORM_ADDRESS].words,
		      shown(&r->v->what, str(ip)));
}

/* What one parameter says about another. */
static void check_together(struct run *r)
{
	if (json_object_get(r->event, "modseq") && strpbrk(text_of(r, "uidset"), ",:"))
		fault(r, "modseq", "is there although uidset names several messages");
	if (is_event(r, "MessageNew") && json_object_get(r->event, "messageContent") &&
	    !json_object_get(r->event, "uidset"))
		fault(r, "uidset", "is missing: it is there when messageContent is");
	check_flags(r);
	check_address(r);
}

static void check_parameters(struct run *r)
{
	for (int p = 0; p < CATALOG_N_PARAMS; p++) {
		const char *name = catalog_parameters[p].name;
		const json_t *value = json_object_get(r->event, name);
		if (!value) {
			if (catalog_has(&r->type->required, p))
				fault(r, name, "is missing");
		} else if (!catalog_has(&r->type->required, p) &&
		           !catalog_has(&r->type->optional, p)) {
			fault(r, name, "does not belong to this event");
		} else {
			check_value(r, p, value);
		}
	}
}

/* Bytes of a key as it stands in the text, its escapes undone. */
static struct str key_bytes(struct buf *b, struct str key)
{
	buf_reset(b);
	jtext_decode(key, b);
	return (struct str){buf_cstr(b), b->len};
}

static int compare(struct str a, struct str b)
{
	int c = memcmp(a.s, b.s, a.len < b.len ? a.len : b.len);
	return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* The text is known to be a JSON object. */
static void check_spelling(struct run *r, struct str text)
{
	struct buf keys[2] = {BUF_INIT, BUF_INIT};
	struct jtext j;
	struct str key, value, before = STR(""), now;
	int more = -1;
	bool sorted = true;
	if (jtext_open(&j, text)) {
		for (int n = 0; (more = jtext_next(&j, &key, &value)) > 0; n++) {
			now = key_bytes(&keys[n % 2], key);
			if (n && sorted && compare(before, now) > 0) {
				sorted = false;
				fault(r, NULL, "is not canonical: %s stands before %s",
				      shown(&r->v->what, before), shown(&r->v->parameter, now));
			}
			before = now;
		}
	}
	if (more < 0)
		fault(r, NULL, "is not canonical: it has white space around it");
	else if (j.form == JTEXT_LOOSE)
		fault(r, NULL,
		      "is not canonical: it has white space between its tokens, or "
		      "characters that are not ASCII");
	else if (j.form == JTEXT_UNFIT)
		fault(r, NULL, "is not canonical: it has what strict readers refuse");
	buf_free(&keys[0]);
	buf_free(&keys[1]);
}

unsigned validate_event(struct validate *v, struct str text, bool exact, validate_report *report,
                        void *ctx)
{
	struct run r = {.v = v, .report = report, .ctx = ctx};
	json_error_t error;
	json_t *event =
	    json_loadb(text.s, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!event) {
		fault(&r, NULL, "column %d: %s", error.column, shown(&v->what, str(error.text)));
		return r.faults;
	}
	r.event = event;
	const json_t *name = json_object_get(event, "event");
	if (!json_is_object(event)) {
		fault(&r, NULL, "is not a JSON object but %s", type_name(event));
	} else if (!strcmp(text_of(&r, "vnd.mboxevent.format"), "native")) {
		fault(&r, "vnd.mboxevent.format",
		      "says that it is as the server wrote it, since it was not understood");
	} else if (!json_is_string(name)) {
		fault(&r, "event", name ? "must be a string, not %s" : "is missing",
		      name ? type_name(name) : "");
	} else {
		r.type = catalog_event(json_string_value(name), json_string_length(name));
		if (!r.type) {
			fault(&r, "event", "is not the name of an event");
		} else {
			check_parameters(&r);
			check_together(&r);
		}
		if (exact)
			check_spelling(&r, text);
	}
	json_decref(event);
	return r.faults;
}
