/* SPDX-License-Identifier: BSD-3-Clause */
#include "inclusion.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* As Cyrus splits and compares the words of an option. */
static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);
	while (*words) {
		while (isspace((unsigned char)*words))
			words++;
		const char *from = words;
		while (*words && !isspace((unsigned char)*words))
			words++;
		if ((size_t)(words - from) == len && memcmp(from, word, len) == 0)
			return true;
	}
	return false;
}

/* A number, in bases of C until Cyrus 3.6, with a unit (64K, 64 KB, 64kiB) from 3.8 on. Below 0,
 * and what is none of these: 0. */
static uint64_t bytes(const char *value)
{
	char *p;
	errno = 0;
	long long n = strtoll(value, &p, 0);
	if (errno || p == value || n < 0)
		return 0;
	while (isspace((unsigned char)*p))
		p++;
	static const char units[] = "kmg";
	const char *unit = *p ? strchr(units, tolower((unsigned char)*p)) : NULL;
	if (unit) {
		for (long i = unit - units; i >= 0; i--) {
			if (n > INT64_MAX / 1024)
				return 0;
			n *= 1024;
		}
		p++;
		if (*p == 'i' || *p == 'I')
			p++;
	}
	if (*p == 'b' || *p == 'B')
		p++;
	return *p ? 0 : (uint64_t)n;
}

void inclusion_read(struct inclusion *i, const struct conf *conf, const char *service)
{
	static const char *const modes[] = {"standard", "message", "header", "body", "headerbody"};
	const struct conf_option *tables[] = {mboxevent_options, NULL};
	struct conf_scope own = {.conf = conf, .service = service, .prefix = "", .tables = tables};
	const char *params = conf_get(conf, service, "event_extra_params");
	const char *mode = conf_get(conf, service, "event_content_inclusion_mode");
	const char *size = conf_get(conf, service, "event_content_size");
	*i = (struct inclusion){
	    .wanted = params && has_word(params, "messageContent"),
	    .size = size ? bytes(size) : 0,
	    .max = (uint64_t)conf_num(&own, "mboxevent_max_content"),
	};
	for (unsigned m = 0; mode && m < sizeof modes / sizeof *modes; m++)
		if (strcmp(mode, modes[m]) == 0)
			i->mode = (enum inclusion_mode)m;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

bool inclusion_part(const struct inclusion *i, uint64_t size, uint64_t header, uint64_t *from_r,
                    uint64_t *len_r)
{
	uint64_t limit = i->size ? i->size : UINT64_MAX, from = 0, len = 0;
	if (!i->wanted)
		return false;
	header = least(header, size);
	switch (i->mode) {
	case INCLUSION_STANDARD:
		if (size > limit)
			return false;
		len = size;
		break;
	case INCLUSION_MESSAGE:
		len = least(size, limit);
		break;
	case INCLUSION_HEADER:
		len = least(header, limit);
		break;
	case INCLUSION_BODY:
		from = header;
		len = least(size - header, limit);
		break;
	case INCLUSION_HEADERBODY:
		len = header + least(size - header, limit);
		break;
	}
	*from_r = from;
	*len_r = least(len, i->max);
	return true;
}

size_t inclusion_whole(const char *s, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		unsigned char lead = (unsigned char)s[len - back];
		if ((lead & 0xc0) == 0x80)
			continue;
		size_t needs = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
		return lead <= 0xf4 && needs > back ? len - back : len;
	}
	return len;
}
