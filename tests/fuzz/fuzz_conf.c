/* SPDX-License-Identifier: BSD-3-Clause */
/* imapd.conf from any bytes: conf_read() takes or refuses it with a reason, and what it took
 * reads back the same from conf_dump(). Without libFuzzer: any number of files as arguments.
 *   clang -g -O1 -D_GNU_SOURCE -DLIBFUZZER -fsanitize=fuzzer,address,undefined \
 *     tests/fuzz/fuzz_conf.c lib/conf.c lib/confcheck.c lib/nearest.c lib/options.c lib/buf.c \
 *     -o fuzz_conf && ./fuzz_conf tests/fuzz/conf */
#include "../../lib/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static const struct conf_option *const tables[] = {mboxevent_options, NULL};

static void expect(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "fuzz_conf: %s\n", what);
	abort();
}

static void count(void *ctx, const char *error)
{
	expect(error && *error && !strchr(error, '\n'), "an error line");
	(*(int *)ctx)++;
}

static void same(const struct conf *a, const struct conf *b)
{
	const struct conf_entry *ea, *eb;
	size_t n = conf_entries(a, &ea);

	expect(conf_entries(b, &eb) == n, "as many entries");
	for (; n; n--, ea++, eb++) {
		expect(!strcmp(ea->key, eb->key) && !strcmp(ea->value, eb->value),
		       "the same entry");
		expect(*ea->value && ea->line > 0, "a value and a line");
		expect(conf_get(b, NULL, ea->key) == eb->value, "found by its key");
	}
}

static struct conf *read_fd(int fd, char **why_r)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return conf_read(path, why_r);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
	struct conf *c, *again;
	int errors = 0;
	char *why;

	if (in < 0 || out < 0 || write(in, data, size) != (ssize_t)size)
		abort();
	c = read_fd(in, &why);
	expect(!c == !!why, "a reason just where it failed");
	free(why);
	if (c) {
		struct conf_scope s = {c, "imap", "", tables};

		expect(conf_check(&s, "mboxevent_", NULL, count, &errors) == errors, "the count");
		for (const struct conf_option *row = mboxevent_options; row->name; row++) {
			expect(conf_str(&s, row->name), "a value or the default");
			conf_num(&s, row->name);
		}
		expect(conf_dump(c, out) == 0, "the dump");
		again = read_fd(out, &why);
		expect(again, why ? why : "the dump reads back");
		same(c, again);
		conf_free(&again);
	}
	conf_free(&c);
	close(in);
	close(out);
	return 0;
}

#ifndef LIBFUZZER
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "r");
		static unsigned char data[4 << 20];
		size_t n;

		if (!f) {
			perror(argv[i]);
			return 1;
		}
		n = fread(data, 1, sizeof(data), f);
		fclose(f);
		LLVMFuzzerTestOneInput(data, n);
	}
	return 0;
}
#endif
