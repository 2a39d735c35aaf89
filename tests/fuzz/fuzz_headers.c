/* SPDX-License-Identifier: BSD-3-Clause */
/* A message -> its headers in an event: JSON in ASCII, of bounded size, whatever the bytes are.
 *   clang -g -O1 -D_GNU_SOURCE -DLIBFUZZER -DHAVE_GMIME -I. \
 *     -fsanitize=fuzzer,address,undefined $(pkg-config --cflags --libs gmime-3.0 jansson) \
 *     tests/fuzz/fuzz_headers.c notifyd/headers.c lib/{buf,jtext}.c -o fuzz_headers &&
 *   ./fuzz_headers -dict=tests/fuzz/headers.dict tests/fuzz/headers */
#include "../../lib/jtext.h"
#include "../../notifyd/headers.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct headers *headers;
	struct buf json = BUF_INIT;

	if (!headers && !(headers = headers_new()))
		return 0;
	buf_adds(&json, "{\"messageContent\":{\"6\":\"");
	jtext_escape((struct str){(const char *)data, size}, &json);
	buf_adds(&json, "\"}}");
	struct record rec = {.event = STR("MessageNew"), .json = {json.s, json.len}};
	const struct record *out = headers_add(headers, &rec);
	if (out == &rec || out->json.len > json.len + 16 * size + 256)
		abort();
	for (size_t i = 0; i < out->json.len; i++)
		if (out->json.s[i] < ' ' || (unsigned char)out->json.s[i] > 0x7f)
			abort();
	json_t *tree =
	    json_loadb(out->json.s, out->json.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(json_object_get(json_object_get(tree, "messageHeaders"), "6")))
		abort();
	json_decref(tree);
	buf_free(&json);
	return 0;
}
