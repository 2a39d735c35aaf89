/* SPDX-License-Identifier: BSD-3-Clause */
/* libFuzzer target: any bytes through native_convert(). The first byte chooses the options.
 * What comes out must be one line of ASCII and convert to itself.
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_native.c \
 *     lib/{buf,catalog,event,jtext,mailurl,native}.c -o fuzz_native
 *   ./fuzz_native -dict=tests/fuzz/native.dict NEW tests/fuzz/native */
#include "../../lib/native.h"

#include <stdlib.h>
#include <string.h>

/* Stands in for lib/conf.c: the options are made of one byte. */
struct conf {
	unsigned char bits;
};

const char *conf_get(const struct conf *c, const char *service, const char *key)
{
	(void)service;
	if (strcmp(key, "virtdomains") == 0)
		return c->bits & 1 ? "userid" : "off";
	if (strcmp(key, "defaultdomain") == 0)
		return c->bits & 2 ? "example.org" : NULL;
	return NULL;
}

const struct conf_option mboxevent_options[] = {{.name = NULL}};

int64_t conf_num(const struct conf_scope *s, const char *name)
{
	if (strcmp(name, "mboxevent_modseq") == 0)
		return !!(s->conf->bits & 4);
	return s->conf->bits & 8 ? FORMAT_NATIVE : FORMAT_DOCUMENTED;
}

static void check(const struct record *rec, unsigned bits)
{
	if (rec->json.len < 2 || rec->json.s[0] != '{' || rec->json.s[rec->json.len - 1] != '}')
		abort();
	for (size_t i = 0; i < rec->json.len; i++) {
		unsigned char c = (unsigned char)rec->json.s[i];
		/* as written: tabs between tokens and UTF-8 may stay */
		if (bits & 8 ? c == '\n' || c == '\r' : c < 0x20 || c > 0x7f)
			abort();
	}
	if (!rec->event.len || rec->event.len > 255 || rec->user.len > 1024 ||
	    rec->owner.len > 1024 || rec->mailbox.len > 4096)
		abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static struct native *scratch[16];
	struct conf conf = {size ? data[0] & 15 : 0};
	struct native *n = scratch[conf.bits];
	struct record rec;
	if (!n)
		n = scratch[conf.bits] = native_new(&conf, NULL);
	if (!n || size < 1)
		return 0;
	int code = native_convert(n, (const char *)data + 1, size - 1, &rec);
	if (code == NATIVE_NOMEM)
		abort();
	if (code == NATIVE_DROP)
		return 0;
	check(&rec, conf.bits);
	size_t len = rec.json.len;
	char *first = malloc(len);
	if (!first)
		return 0;
	memcpy(first, rec.json.s, len);
	if (native_convert(n, first, len, &rec) < 0 || rec.json.len != len ||
	    memcmp(rec.json.s, first, len) != 0)
		abort();
	free(first);
	return 0;
}
