/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines of a client of the unix sink. Without libFuzzer: any number of files as arguments.
 *   clang -g -O1 -D_GNU_SOURCE -DLIBFUZZER -fsanitize=fuzzer,address,undefined \
 *     tests/fuzz/fuzz_unix.c notifyd/sinks/unix/request.c lib/{buf,identity,lost,record,segment}.c
 * \ -ljansson -o fuzz_unix && ./fuzz_unix tests/fuzz/unix */
#include "../../notifyd/sinks/unix/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one(const char *line, size_t len)
{
	struct request req;
	struct buf error = BUF_INIT;

	int rc = request_parse(line, len, &req, &error);
	/* a refusal has a reason in one line, acceptance none; a name is a file's name later */
	if ((rc < 0) != (error.len > 0) || memchr(error.s ? error.s : "", '\n', error.len) ||
	    strchr(req.name, '/') || strchr(req.name, '.'))
		abort();
	if (rc == 0 && (req.kind == REQUEST_SUBSCRIBE || req.kind == REQUEST_UNSUBSCRIBE) &&
	    !req.name[0])
		abort();
	request_free(&req);
	buf_free(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data, *end = s + size, *lf;

	for (; size && (lf = memchr(s, '\n', (size_t)(end - s))) != NULL; s = lf + 1)
		one(s, (size_t)(lf - s));
	one(s, (size_t)(end - s));
	return 0;
}

#ifndef LIBFUZZER
int main(int argc, char **argv)
{
	static uint8_t data[1 << 20];

	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "r");
		if (!f) {
			perror(argv[i]);
			return 1;
		}
		size_t n = fread(data, 1, sizeof data, f);
		fclose(f);
		LLVMFuzzerTestOneInput(data, n);
	}
	return 0;
}
#endif
