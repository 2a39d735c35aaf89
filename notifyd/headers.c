/* SPDX-License-Identifier: BSD-3-Clause */
/* Fields are found and bounded here; GMime decodes what is in them: RFC 2047, addresses, dates. */
#include "headers.h"

#include <config.h>

#ifndef HAVE_GMIME

const bool headers_built = false;

struct headers *headers_new(void)
{
	return NULL;
}

void headers_free(struct headers **h)
{
	*h = NULL;
}

const struct record *headers_add(struct headers *h, const struct record *rec)
{
	(void)h;
	return rec;
}

#else

#include "../lib/jtext.h"

#include <gmime/gmime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_MAX (4u << 20) /* of JSON that is looked at to find a message's headers */
#define KEEP     (4u << 20) /* of scratch memory, between two events */
#define PIECE    4096       /* of a list of addresses */
#define GROUPS   8          /* of addresses, in each other */

const bool headers_built = true;

struct field {
	struct str name, value;
	size_t index;
};

struct headers {
	GMimeParserOptions *options;
	struct field fields[HEADERS_FIELDS];
	struct field *groups[HEADERS_FIELDS]; /* the first of each name */
	size_t budget;                        /* bytes that the event's values may still have */
	bool cut;                             /* something of this message was left out */
	struct buf text;                      /* a message's beginning */
	struct buf line;                      /* a value as a C string */
	struct buf objects, cuts;             /* the two parameters' JSON */
	struct buf json;
	struct record rec;
};

/* What is done with a value. */
enum form {
	FORM_TEXT,    /* RFC 2047 undone where there is any; else as it came */
	FORM_SUBJECT, /* the same, in one line */
	FORM_TRACE,   /* as it came */
	FORM_ADDRESSES,
	FORM_DATE,
	FORM_TYPE, /* without parameters */
};

static const struct {
	const char *name;
	enum form form;
} forms[] = {
    {"From", FORM_ADDRESSES}, {"To", FORM_ADDRESSES},       {"Cc", FORM_ADDRESSES},
    {"Bcc", FORM_ADDRESSES},  {"Reply-To", FORM_ADDRESSES}, {"Sender", FORM_ADDRESSES},
    {"Date", FORM_DATE},      {"Content-Type", FORM_TYPE},  {"Subject", FORM_SUBJECT},
    {"Received", FORM_TRACE},
};

static enum form form_of(struct str name)
{
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (strlen(forms[i].name) == name.len &&
		    !strncasecmp(forms[i].name, name.s, name.len))
			return forms[i].form;
	return FORM_TEXT;
}

/* --- finding the fields --- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_space(char c)
{
	return is_blank(c) || c == '\r' || c == '\n';
}

/* Length of the line at s without its end; *next_r is where the next one begins. */
static size_t line_length(const char *s, const char *end, const char **next_r)
{
	const char *lf = memchr(s, '\n', (size_t)(end - s));
	*next_r = lf ? lf + 1 : end;
	if (!lf)
		lf = end;
	return (size_t)(lf - s) - (lf > s && lf[-1] == '\r');
}

/* Length of the field name (RFC 5322, 3.6.8) that a line begins with, blanks before the colon
 * allowed as of old; 0 when it is no field. */
static size_t name_length(const char *s, size_t len, size_t *colon_r)
{
	size_t n = 0;
	while (n < len && s[n] > ' ' && s[n] < 0x7f && s[n] != ':')
		n++;
	*colon_r = n;
	while (*colon_r < len && is_blank(s[*colon_r]))
		(*colon_r)++;
	return *colon_r < len && s[*colon_r] == ':' ? n : 0;
}

static struct str trim(struct str s)
{
	while (s.len && is_space(s.s[0])) {
		s.s++;
		s.len--;
	}
	while (s.len && is_space(s.s[s.len - 1]))
		s.len--;
	return s;
}

/* The value within its limits. What is cut off of a list of addresses leaves whole ones. */
static struct str bounded(struct headers *h, struct str value, enum form form)
{
	size_t max = h->budget < HEADERS_FIELD ? h->budget : HEADERS_FIELD;
	if (value.len > max) {
		h->cut = true;
		value.len = max;
		while (value.len && ((unsigned char)value.s[value.len] & 0xc0) == 0x80)
			value.len--;
		if (form == FORM_ADDRESSES) {
			const char *comma = memrchr(value.s, ',', value.len);
			value.len = comma ? (size_t)(comma - value.s) : 0;
		}
	}
	h->budget -= value.len;
	return value;
}

/* The fields up to the first empty line, or to the first that can't be a field: there the body
 * begins. Their number. */
static size_t find_fields(struct headers *h, struct str text)
{
	const char *s = text.s, *end = s + text.len, *next;
	size_t n = 0;

	for (bool first = true; s < end; first = false, s = next) {
		size_t colon, len = line_length(s, end, &next);
		size_t name = name_length(s, len, &colon);
		if (!name && first && len >= 5 && !memcmp(s, "From ", 5))
			continue; /* of an mbox */
		if (!name)
			break;
		struct str value = {s + colon + 1, 0};
		while (next < end && is_blank(*next))
			line_length(next, end, &next);
		value.len = (size_t)(next - value.s);
		if (n == HEADERS_FIELDS || !h->budget) {
			h->cut = true;
			break;
		}
		struct str key = {s, name};
		if (name > HEADERS_FIELD) {
			h->cut = true;
			continue;
		}
		h->budget -= name < h->budget ? name : h->budget;
		h->fields[n] = (struct field){key, bounded(h, trim(value), form_of(key)), n};
		n++;
	}
	return n;
}

/* --- decoding --- */

/* The value as a C string in one line (RFC 5322, 2.2.3). */
static const char *one_line(struct headers *h, struct str value)
{
	const char *p = value.s, *end = p + value.len;
	buf_reset(&h->line);
	while (p < end) {
		const char *run = p;
		while (p < end && *p && *p != '\r' && *p != '\n')
			p++;
		buf_add(&h->line, run, (size_t)(p - run));
		if (p == end)
			break;
		const char *q = p;
		if (!*p) {
			buf_adds(&h->line, "\xef\xbf\xbd");
			p++;
			continue;
		}
		q += *q == '\r' && q + 1 < end && q[1] == '\n';
		if (q + 1 < end && *q == '\n' && is_blank(q[1]))
			p = q + 1; /* a fold */
		else
			buf_addc(&h->line, *p++);
	}
	return buf_cstr(&h->line);
}

/* A NUL, which many JSON readers refuse, goes the way of bytes that are no text. */
static void add_string(struct buf *out, struct str s)
{
	const char *p = s.s, *end = p + s.len;
	buf_addc(out, '"');
	while (p < end) {
		const char *nul = memchr(p, '\0', (size_t)(end - p));
		const char *stop = nul ? nul : end;
		jtext_escape((struct str){p, (size_t)(stop - p)}, out);
		if (nul)
			buf_adds(out, "\\ufffd");
		p = nul ? nul + 1 : end;
	}
	buf_addc(out, '"');
}

static void add_cstring(struct buf *out, const char *s)
{
	add_string(out, (struct str){s, strlen(s)});
}

static bool has_encoded(struct str value)
{
	return value.len && memmem(value.s, value.len, "=?", 2);
}

static void add_decoded(struct headers *h, struct str value)
{
	char *text = g_mime_utils_header_decode_text(h->options, one_line(h, value));
	add_cstring(&h->objects, text ? text : "");
	g_free(text);
}

static void add_date(struct headers *h, struct str value)
{
	GDateTime *date = g_mime_utils_header_decode_date(one_line(h, value));
	GDateTime *utc = date ? g_date_time_to_utc(date) : NULL;
	char iso[32];
	if (utc) {
		snprintf(iso, sizeof iso, "%04d-%02d-%02dT%02d:%02d:%02dZ",
		         g_date_time_get_year(utc), g_date_time_get_month(utc),
		         g_date_time_get_day_of_month(utc), g_date_time_get_hour(utc),
		         g_date_time_get_minute(utc), g_date_time_get_second(utc));
		add_cstring(&h->objects, iso);
		g_date_time_unref(utc);
	} else {
		add_string(&h->objects, value);
	}
	if (date)
		g_date_time_unref(date);
}

static void add_value(struct headers *h, struct str value, enum form form)
{
	if (form == FORM_DATE) {
		add_date(h, value);
	} else if (form == FORM_TYPE) {
		/* parameters, or a comment */
		for (size_t i = 0; i < value.len; i++)
			if (value.s[i] == ';' || value.s[i] == '(')
				value.len = i;
		add_string(&h->objects, trim(value));
	} else if (form != FORM_TRACE && has_encoded(value)) {
		add_decoded(h, value);
	} else if (form == FORM_SUBJECT) {
		one_line(h, value);
		add_string(&h->objects, (struct str){h->line.s, h->line.len});
	} else {
		add_string(&h->objects, value);
	}
}

/* A line break that was hidden in an encoded word must not split what shows it. */
static void add_tame(struct buf *line, const char *s)
{
	for (; *s; s++)
		buf_addc(line, (unsigned char)*s < ' ' || *s == 0x7f ? ' ' : *s);
}

/* `Name <addr>` each, those in groups too. */
static void add_addresses(struct headers *h, InternetAddressList *list, bool *more, unsigned depth)
{
	int n = internet_address_list_length(list);
	for (int i = 0; i < n; i++) {
		InternetAddress *a = internet_address_list_get_address(list, i);
		if (INTERNET_ADDRESS_IS_GROUP(a)) {
			InternetAddressList *members =
			    internet_address_group_get_members(INTERNET_ADDRESS_GROUP(a));
			if (members && depth)
				add_addresses(h, members, more, depth - 1);
			continue;
		}
		const char *name = internet_address_get_name(a);
		const char *addr = internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(a));
		bool both = name && *name && addr && *addr;
		buf_reset(&h->line);
		add_tame(&h->line, name ? name : "");
		buf_adds(&h->line, both ? " <" : "");
		add_tame(&h->line, addr ? addr : "");
		buf_adds(&h->line, both ? ">" : "");
		if (!h->line.len)
			continue;
		if (*more)
			buf_addc(&h->objects, ',');
		*more = true;
		add_string(&h->objects, (struct str){h->line.s, h->line.len});
	}
}

/* Length of the piece of a list to be parsed at once: GMime's time grows with the square of what
 * is no address. It ends behind a comma between two addresses. */
static size_t piece_length(struct str list)
{
	bool quoted = false;
	for (size_t i = 0; i < list.len; i++) {
		if (list.s[i] == '\\')
			i++;
		else if (list.s[i] == '"')
			quoted = !quoted;
		else if (list.s[i] == ',' && !quoted && i >= PIECE)
			return i + 1;
	}
	return list.len;
}

/* What holds no address at all is kept as a text. */
static void add_address_field(struct headers *h, struct str value, bool *more)
{
	while (value.len) {
		struct str piece = {value.s, piece_length(value)};
		value.s += piece.len;
		value.len -= piece.len;
		InternetAddressList *list =
		    internet_address_list_parse(h->options, one_line(h, piece));
		if (list && internet_address_list_length(list)) {
			add_addresses(h, list, more, GROUPS);
		} else {
			if (*more)
				buf_addc(&h->objects, ',');
			*more = true;
			add_decoded(h, piece);
		}
		if (list)
			g_object_unref(list);
	}
}

/* --- the object --- */

static int by_name(const void *a, const void *b)
{
	const struct field *x = a, *y = b;
	size_t min = x->name.len < y->name.len ? x->name.len : y->name.len;
	int c = strncasecmp(x->name.s, y->name.s, min);
	if (!c)
		c = (x->name.len > y->name.len) - (x->name.len < y->name.len);
	return c ? c : (x->index > y->index) - (x->index < y->index);
}

static bool same_name(const struct field *x, const struct field *y)
{
	return x->name.len == y->name.len && !strncasecmp(x->name.s, y->name.s, x->name.len);
}

static int by_bytes(struct str a, struct str b)
{
	int c = memcmp(a.s, b.s, a.len < b.len ? a.len : b.len);
	return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int by_spelling(const void *a, const void *b)
{
	return by_bytes((*(struct field *const *)a)->name, (*(struct field *const *)b)->name);
}

/* All fields of a name, spelled as the first. */
static void add_group(struct headers *h, const struct field *f, const struct field *end)
{
	enum form form = form_of(f->name);
	const struct field *last = f;
	while (last + 1 < end && same_name(f, last + 1))
		last++;
	bool array = form == FORM_ADDRESSES || last > f, more = false;

	add_string(&h->objects, f->name);
	buf_adds(&h->objects, array ? ":[" : ":");
	for (; f <= last; f++) {
		if (form == FORM_ADDRESSES) {
			add_address_field(h, f->value, &more);
			continue;
		}
		if (more)
			buf_addc(&h->objects, ',');
		more = true;
		add_value(h, f->value, form);
	}
	if (array)
		buf_addc(&h->objects, ']');
}

static void add_message(struct headers *h, struct str text)
{
	size_t n = find_fields(h, text), n_groups = 0;

	qsort(h->fields, n, sizeof *h->fields, by_name);
	for (size_t i = 0; i < n; i++)
		if (!i || !same_name(&h->fields[i - 1], &h->fields[i]))
			h->groups[n_groups++] = &h->fields[i];
	qsort(h->groups, n_groups, sizeof *h->groups, by_spelling);
	buf_addc(&h->objects, '{');
	for (size_t i = 0; i < n_groups; i++) {
		if (i)
			buf_addc(&h->objects, ',');
		add_group(h, h->groups[i], h->fields + n);
	}
	buf_addc(&h->objects, '}');
}

/* The JSON string up to the message's empty line, as far as that is easily seen. */
static struct str beginning(struct headers *h, struct str string)
{
	static const char crlf2[] = "\\r\\n\\r\\n";
	size_t len = string.len - 1; /* without the last quote */
	const char *at = memmem(string.s, len, crlf2, sizeof crlf2 - 1);
	if (at)
		len = (size_t)(at - string.s) + sizeof crlf2 - 1;
	if (len > TEXT_MAX) {
		/* not within an escape: the last backslashes are left out */
		for (len = TEXT_MAX; memchr(string.s + len - 12, '\\', 12); len--)
			if (len < TEXT_MAX / 2)
				break;
		h->cut = true;
	}
	return (struct str){string.s, len + 1};
}

/* The headers of every message of messageContent. false when it is no such object. */
static bool add_messages(struct headers *h, struct str content)
{
	struct jtext j;
	struct str uid, text;
	bool more = false, more_cuts = false;
	int next;

	if (!jtext_open(&j, content))
		return false;
	h->budget = HEADERS_EVENT;
	buf_adds(&h->objects, "{");
	while ((next = jtext_next(&j, &uid, &text)) > 0) {
		if (!jtext_is_string(text))
			continue;
		h->cut = false;
		buf_reset(&h->text);
		jtext_decode(beginning(h, text), &h->text);
		if (more)
			buf_addc(&h->objects, ',');
		more = true;
		buf_add(&h->objects, uid.s, uid.len);
		buf_addc(&h->objects, ':');
		add_message(h, (struct str){h->text.len ? h->text.s : "", h->text.len});
		if (!h->cut)
			continue;
		buf_addc(&h->cuts, more_cuts ? ',' : '[');
		more_cuts = true;
		buf_add(&h->cuts, uid.s, uid.len);
	}
	buf_addc(&h->objects, '}');
	if (more_cuts)
		buf_addc(&h->cuts, ']');
	return next == 0;
}

/* --- the event --- */

static bool find(struct str json, struct str key, struct str *value_r)
{
	struct jtext j;
	struct str k;
	if (!jtext_open(&j, json))
		return false;
	while (jtext_next(&j, &k, value_r) > 0)
		if (k.len == key.len && !memcmp(k.s, key.s, key.len))
			return true;
	return false;
}

/* The event's members with the new ones where their names belong. */
static void splice(struct headers *h, struct str json)
{
	const struct {
		struct str key;
		const struct buf *value;
	} adds[] = {{STR("\"messageHeaders\""), &h->objects},
	            {STR("\"vnd.mboxevent.headersCut\""), &h->cuts}};
	size_t next = 0, n = h->cuts.len ? 2 : 1;
	struct jtext j;
	struct str key, value;
	char before = '{';

	jtext_open(&j, json);
	for (bool more = true; more;) {
		more = jtext_next(&j, &key, &value) > 0;
		for (; next < n && (!more || by_bytes(adds[next].key, key) < 0); next++) {
			buf_addc(&h->json, before);
			buf_add(&h->json, adds[next].key.s, adds[next].key.len);
			buf_addc(&h->json, ':');
			buf_add(&h->json, adds[next].value->s, adds[next].value->len);
			before = ',';
		}
		if (!more)
			break;
		buf_addc(&h->json, before);
		buf_add(&h->json, key.s, key.len);
		buf_addc(&h->json, ':');
		buf_add(&h->json, value.s, value.len);
		before = ',';
	}
	buf_addc(&h->json, '}');
}

static void empty(struct buf *b)
{
	if (b->cap > KEEP)
		buf_free(b);
	buf_reset(b);
}

const struct record *headers_add(struct headers *h, const struct record *rec)
{
	static const struct str content_key = STR("\"messageContent\"");
	struct str content, there;

	if (!h || !memmem(rec->json.s, rec->json.len, content_key.s, content_key.len) ||
	    !find(rec->json, content_key, &content) ||
	    find(rec->json, STR("\"messageHeaders\""), &there))
		return rec;
	empty(&h->text);
	empty(&h->line);
	empty(&h->objects);
	empty(&h->cuts);
	empty(&h->json);
	if (!add_messages(h, content))
		return rec;
	splice(h, rec->json);
	if (h->text.failed || h->line.failed || h->objects.failed || h->cuts.failed ||
	    h->json.failed)
		return rec;
	h->rec = *rec;
	h->rec.json = (struct str){h->json.s, h->json.len};
	return &h->rec;
}

/* GLib's own words would go to stderr, a line for each odd mail. */
static void silence(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
	(void)domain;
	(void)level;
	(void)message;
	(void)data;
}

struct headers *headers_new(void)
{
	static bool started;
	struct headers *h = calloc(1, sizeof *h);
	if (!h)
		return NULL;
	if (!started) {
		g_log_set_default_handler(silence, NULL);
		g_mime_init();
		started = true;
	}
	h->options = g_mime_parser_options_new();
	return h;
}

void headers_free(struct headers **hp)
{
	struct headers *h = *hp;
	*hp = NULL;
	if (!h)
		return;
	g_mime_parser_options_free(h->options);
	buf_free(&h->text);
	buf_free(&h->line);
	buf_free(&h->objects);
	buf_free(&h->cuts);
	buf_free(&h->json);
	free(h);
}

#endif
