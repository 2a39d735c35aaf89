/* SPDX-License-Identifier: BSD-3-Clause */
#include "kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BEGIN "\n.\\\" BEGIN "
#define END   ".\\\" END\n"
#define WIDTH 76

void kept_text(struct buf *out, const char *s)
{
	size_t column = 0;

	while (*s) {
		size_t len = strcspn(s, " ");
		bool full = len && s[len - 1] == '.' && s[len] == ' ' && s[len + 1] >= 'A' &&
		            s[len + 1] <= 'Z';

		if (column && column + 1 + len > WIDTH) {
			buf_addc(out, '\n');
			column = 0;
		} else if (column) {
			buf_addc(out, ' ');
		}
		if (!column && (*s == '.' || *s == '\''))
			buf_adds(out, "\\&");
		for (size_t i = 0; i < len; i++)
			if (s[i] == '\\')
				buf_adds(out, "\\e");
			else
				buf_addc(out, s[i]);
		column += len + 1;
		if (full) {
			buf_addc(out, '\n');
			column = 0;
		}
		s += len;
		s += strspn(s, " ");
	}
	if (column)
		buf_addc(out, '\n');
}

const char *kept_path(const char *name)
{
	static char path[4096];
	const char *top = getenv("srcdir");

	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", name);
	return path;
}

bool kept_slurp(const char *path, struct buf *b)
{
	char block[4096];
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		return false;
	while ((n = fread(block, 1, sizeof(block), f)))
		buf_add(b, block, n);
	fclose(f);
	return true;
}

/* The file with its sections made anew. */
static void renew(const char *page, bool whole, kept_make *make, struct buf *out)
{
	const char *begin, *end;

	if (whole) {
		make("", out);
		return;
	}
	while ((begin = strstr(page, BEGIN))) {
		const char *name = begin + strlen(BEGIN), *rows = strchr(name, '\n');
		char section[64];

		end = rows ? strstr(rows, END) : NULL;
		if (!end)
			break;
		rows++;
		snprintf(section, sizeof(section), "%.*s", (int)(rows - 1 - name), name);
		buf_add(out, page, (size_t)(rows - page));
		if (!make(section, out))
			buf_add(out, rows, (size_t)(end - rows));
		page = end;
	}
	buf_adds(out, page);
}

bool kept_has(const char *page, const char *section)
{
	char line[128];

	snprintf(line, sizeof(line), BEGIN "%s\n", section);
	return strstr(page, line);
}

void kept_compare(const char *path, bool whole, kept_make *make)
{
	struct buf page = BUF_INIT, made = BUF_INIT;
	const char *a, *b;
	int line = 1;

	if (!kept_slurp(path, &page))
		fail_msg("can't read %s", path);
	renew(buf_cstr(&page), whole, make, &made);
	a = buf_cstr(&page);
	b = buf_cstr(&made);
	for (; *a && *a == *b; a++, b++)
		line += *a == '\n';
	if (*a != *b)
		fail_msg("%s:%d: the tables in the code say otherwise; run man/update", path, line);
	buf_free(&page);
	buf_free(&made);
}

int kept_update(const char *path, bool whole, kept_make *make)
{
	struct buf page = BUF_INIT, made = BUF_INIT;
	FILE *f;
	int r = 1;

	if (!kept_slurp(path, &page) && !whole) {
		perror(path);
		return 1;
	}
	renew(buf_cstr(&page), whole, make, &made);
	f = fopen(path, "w");
	if (!f || fwrite(made.s, 1, made.len, f) != made.len)
		perror(path);
	else
		r = 0;
	if (f && fclose(f)) {
		perror(path);
		r = 1;
	}
	buf_free(&page);
	buf_free(&made);
	return r;
}
