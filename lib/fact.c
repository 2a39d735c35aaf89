/* SPDX-License-Identifier: BSD-3-Clause */
#include "fact.h"
#include "jtext.h"

#include <string.h>

struct str fact(char *to, size_t max, struct str s)
{
	const char *p = s.s, *end = p + s.len;
	size_t len = 0;
	while (p < end) {
		if (*p >= 0x20 && *p < 0x7f) {
			if (len == max)
				break;
			to[len++] = *p++;
			continue;
		}
		uint32_t c;
		unsigned used = jtext_utf8(p, end, &c);
		bool bad = !used || c < 0x20 || (c >= 0x7f && c < 0xa0);
		struct str as = bad ? STR("\xef\xbf\xbd") : (struct str){p, used};
		if (len + as.len > max)
			break;
		memcpy(to + len, as.s, as.len);
		len += as.len;
		p += used ? used : 1;
	}
	return (struct str){to, len};
}
