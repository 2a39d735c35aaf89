/* SPDX-License-Identifier: BSD-3-Clause */
/* Two layers: a lexer that takes bytes as they come (strings, brackets, line end), and the little
 * grammar of nested lists above it. Source: imap/dlist.c and imap/imapparse.c of Cyrus 3.6.1. */
#include "dlist.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX  8
#define TEXT_MAX   ((size_t)DLIST_LITERAL_MAX + (64u << 10))
#define KEEP_BYTES (64u << 10) /* memory kept from one request to the next */

enum lex {
	LEX_BETWEEN,
	LEX_ATOM,
	LEX_QUOTED,
	LEX_ESCAPE,  /* after a backslash in a quoted string */
	LEX_PERCENT, /* only "(" may follow */
	LEX_LENGTH,  /* inside {n} */
	LEX_PLUS,    /* after {n+ */
	LEX_LENGTH_CR,
	LEX_LENGTH_LF,
	LEX_LITERAL,
	LEX_CR,
};

enum field {
	FIELD_METHOD,
	FIELD_CLASS,
	FIELD_PRIORITY,
	FIELD_USER,
	FIELD_MAILBOX,
	FIELD_MESSAGE,
	FIELD_FILEPATH,
	FIELD_STRINGS, /* those above are strings */
	FIELD_OPTIONS = FIELD_STRINGS,
	FIELD_UNKNOWN,
};

static const char *const field_names[] = {
    [FIELD_METHOD] = "METHOD",     [FIELD_CLASS] = "CLASS",     [FIELD_PRIORITY] = "PRIORITY",
    [FIELD_USER] = "USER",         [FIELD_MAILBOX] = "MAILBOX", [FIELD_MESSAGE] = "MESSAGE",
    [FIELD_FILEPATH] = "FILEPATH", [FIELD_OPTIONS] = "OPTIONS",
};

/* A place in `text`, which moves as it grows. */
struct span {
	size_t at, len;
	bool set;
};

struct level {
	bool pairs; /* %( ): keys and values by turns */
	bool key;   /* a key is next */
};

struct dlist {
	enum lex lex;
	struct buf text; /* the strings of the request that matter, one after the other */
	size_t start;    /* of the string being read */
	size_t left;     /* of a literal: its length so far, then what is to come */
	bool digits, plus;

	struct level level[DEPTH_MAX];
	unsigned depth;
	bool begun, whole, ended; /* ended: DLIST_REQUEST was returned */
	enum field field;         /* whose value is read at depth 1 */
	struct span string[FIELD_STRINGS], options;
	unsigned nopt;
	struct datagram request;
};

static void begin(struct dlist *d)
{
	if (d->text.cap > KEEP_BYTES)
		buf_free(&d->text);
	*d = (struct dlist){.text = d->text, .level = {{.pairs = true, .key = true}}};
	buf_reset(&d->text);
}

struct dlist *dlist_new(void)
{
	struct dlist *d = calloc(1, sizeof *d);
	if (d)
		begin(d);
	return d;
}

void dlist_free(struct dlist **d)
{
	if (!*d)
		return;
	buf_free(&(*d)->text);
	free(*d);
	*d = NULL;
}

bool dlist_partial(const struct dlist *d)
{
	return d->begun;
}

size_t dlist_size(const struct dlist *d)
{
	return sizeof *d + d->text.cap;
}

const struct datagram *dlist_request(const struct dlist *d)
{
	return &d->request;
}

/* --- grammar: NULL, or what is wrong --- */

static bool text_is(const struct dlist *d, const char *word)
{
	size_t len = d->text.len - d->start;
	return len == strlen(word) && (!len || !memcmp(d->text.s + d->start, word, len));
}

static enum field field_of(const struct dlist *d)
{
	for (int f = 0; f < FIELD_UNKNOWN; f++)
		if (text_is(d, field_names[f]))
			return (enum field)f;
	return FIELD_UNKNOWN;
}

static const char *got_key(struct dlist *d)
{
	if (!d->depth && !text_is(d, "NOTIFY"))
		return "it is no NOTIFY";
	if (d->depth == 1)
		d->field = field_of(d);
	d->text.len = d->start;
	d->level[d->depth].key = false;
	return NULL;
}

/* A string is whole: text from start on. */
static const char *got_string(struct dlist *d, bool nil)
{
	struct level *l = &d->level[d->depth];
	size_t len = d->text.len - d->start;
	if (d->text.failed)
		return "out of memory";
	if (d->whole)
		return "something follows its end";
	if (l->key)
		return got_key(d);
	if (!d->depth)
		return "NOTIFY is not followed by %(";
	if (d->depth == 1 && d->field < FIELD_STRINGS && !d->string[d->field].set) {
		if (!nil)
			d->string[d->field] = (struct span){d->start, len, true};
	} else if (d->depth == 2 && !l->pairs && d->field == FIELD_OPTIONS) {
		if (len && memchr(d->text.s + d->start, '\0', len))
			return "an option holds a NUL";
		if (nil) /* a datagram knows empty ones only */
			d->text.len = d->start;
		buf_addc(&d->text, '\0');
		d->nopt++;
	} else {
		d->text.len = d->start;
	}
	l->key = l->pairs;
	return NULL;
}

static const char *got_open(struct dlist *d, bool pairs)
{
	if (d->whole)
		return "something follows its end";
	if (d->level[d->depth].key)
		return "a list stands where a key is due";
	if (!d->depth && !pairs)
		return "NOTIFY is not followed by %(";
	if (d->depth + 1 == DEPTH_MAX)
		return "lists are nested too deep";
	if (d->depth == 1 && d->field == FIELD_OPTIONS && !pairs) {
		d->options.at = d->text.len;
		d->nopt = 0;
	}
	d->level[++d->depth] = (struct level){pairs, pairs};
	return NULL;
}

static const char *got_close(struct dlist *d)
{
	if (!d->depth)
		return "a bracket closes that none opened";
	if (d->level[d->depth].pairs && !d->level[d->depth].key)
		return "a key has no value";
	if (d->depth == 2 && !d->level[2].pairs && d->field == FIELD_OPTIONS)
		d->options.len = d->text.len - d->options.at;
	struct level *l = &d->level[--d->depth];
	l->key = l->pairs;
	d->whole = !d->depth;
	return NULL;
}

static struct str resolve(const struct dlist *d, const struct span *span)
{
	if (!span->set)
		return (struct str){NULL, 0};
	return (struct str){span->len ? d->text.s + span->at : "", span->len};
}

static const char *got_end(struct dlist *d)
{
	if (!d->whole)
		return "its line ends too early";
	if (d->text.failed)
		return "out of memory";
	d->request = (struct datagram){
	    .method = resolve(d, &d->string[FIELD_METHOD]),
	    .class = resolve(d, &d->string[FIELD_CLASS]),
	    .priority = resolve(d, &d->string[FIELD_PRIORITY]),
	    .user = resolve(d, &d->string[FIELD_USER]),
	    .mailbox = resolve(d, &d->string[FIELD_MAILBOX]),
	    .message = resolve(d, &d->string[FIELD_MESSAGE]),
	    .fname = resolve(d, &d->string[FIELD_FILEPATH]),
	    .nopt = d->nopt,
	};
	if (d->nopt)
		d->request.options = (struct str){d->text.s + d->options.at, d->options.len};
	return NULL;
}

/* --- lexer --- */

static bool ends_atom(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '(' || c == ')' || c == '"';
}

static const char *between(struct dlist *d, char c)
{
	d->start = d->text.len;
	switch (c) {
	case ' ':
	case '\t':
		return NULL;
	case '\r':
		d->lex = LEX_CR;
		return NULL;
	case '(':
		return got_open(d, false);
	case ')':
		return got_close(d);
	case '%':
		d->lex = LEX_PERCENT;
		return NULL;
	case '"':
		d->lex = LEX_QUOTED;
		return NULL;
	case '{':
		d->lex = LEX_LENGTH;
		d->left = 0;
		d->digits = d->plus = false;
		return NULL;
	default:
		if ((unsigned char)c < 0x20 || c == 0x7f)
			return "a control character stands outside of strings";
		d->lex = LEX_ATOM;
		buf_addc(&d->text, c);
		return NULL;
	}
}

static const char *length(struct dlist *d, char c)
{
	if (c >= '0' && c <= '9') {
		d->left = d->left * 10 + (size_t)(c - '0');
		d->digits = true;
		if (d->left > DLIST_LITERAL_MAX || d->text.len + d->left > TEXT_MAX)
			return "a literal is larger than 32 MB";
		return NULL;
	}
	if (!d->digits || (c != '+' && c != '}'))
		return "a literal has no length";
	d->plus = c == '+';
	d->lex = d->plus ? LEX_PLUS : LEX_LENGTH_CR;
	return NULL;
}

static const char *quoted(struct dlist *d, char c)
{
	if (c == '\r' || c == '\n' || c == '\0')
		return "a quoted string has no end";
	if (d->lex == LEX_QUOTED && c == '"') {
		d->lex = LEX_BETWEEN;
		return got_string(d, false);
	}
	if (d->lex == LEX_QUOTED && c == '\\') {
		d->lex = LEX_ESCAPE;
		return NULL;
	}
	d->lex = LEX_QUOTED;
	buf_addc(&d->text, c);
	return NULL;
}

/* Takes one byte in any state but LEX_LITERAL. */
static const char *step(struct dlist *d, char c)
{
	switch (d->lex) {
	case LEX_ATOM:
		if (!ends_atom(c)) {
			if ((unsigned char)c < 0x20 || c == 0x7f)
				return "a control character stands outside of strings";
			buf_addc(&d->text, c);
			return NULL;
		}
		d->lex = LEX_BETWEEN;
		const char *why = got_string(d, text_is(d, "NIL"));
		return why ? why : between(d, c);
	case LEX_QUOTED:
	case LEX_ESCAPE:
		return quoted(d, c);
	case LEX_PERCENT:
		d->lex = LEX_BETWEEN;
		return c == '(' ? got_open(d, true) : "% is not followed by (";
	case LEX_LENGTH:
		return length(d, c);
	case LEX_PLUS:
		d->lex = LEX_LENGTH_CR;
		return c == '}' ? NULL : "a literal has no length";
	case LEX_LENGTH_CR:
		d->lex = LEX_LENGTH_LF;
		return c == '\r' ? NULL : "a literal's length is not followed by a line end";
	case LEX_LENGTH_LF:
		if (c != '\n')
			return "a literal's length is not followed by a line end";
		d->lex = d->left ? LEX_LITERAL : LEX_BETWEEN;
		return d->left ? NULL : got_string(d, false);
	case LEX_CR:
		return c == '\n' ? got_end(d) : "CR is not followed by LF";
	default:
		return between(d, c);
	}
}

static const char *literal(struct dlist *d, const char *s, size_t len)
{
	buf_add(&d->text, s, len);
	d->left -= len;
	if (d->left)
		return NULL;
	d->lex = LEX_BETWEEN;
	return got_string(d, false);
}

int dlist_feed(struct dlist *d, const char *s, size_t len, size_t *used_r, const char **why_r)
{
	const char *p = s, *end = s + len, *why = NULL;
	if (d->ended)
		begin(d);
	while (p < end && !why) {
		bool header = d->lex == LEX_LENGTH_LF;
		d->begun = true;
		if (d->lex == LEX_LITERAL) {
			size_t n = (size_t)(end - p) < d->left ? (size_t)(end - p) : d->left;
			why = literal(d, p, n);
			p += n;
			continue;
		}
		bool cr = d->lex == LEX_CR;
		why = step(d, *p++);
		if (!why && d->text.len > TEXT_MAX)
			why = "it is larger than 32 MB";
		if (!why && cr) {
			d->begun = false;
			d->ended = true;
			*used_r = (size_t)(p - s);
			return DLIST_REQUEST;
		}
		if (!why && header && d->lex == LEX_LITERAL && !d->plus && p == end) {
			*used_r = len;
			return DLIST_GOAHEAD;
		}
	}
	if (why || d->text.failed) {
		*why_r = why ? why : "out of memory";
		return DLIST_BAD;
	}
	*used_r = len;
	return DLIST_MORE;
}
