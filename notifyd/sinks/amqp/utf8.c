/* SPDX-License-Identifier: BSD-3-Clause */
#include "utf8.h"

size_t utf8_sequence(const unsigned char *s, size_t len)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n;
	if (*s < 0x80)
		return 1;
	if (*s >= 0xc2 && *s <= 0xdf) {
		n = 2;
	} else if (*s >= 0xe0 && *s <= 0xef) {
		n = 3;
		if (*s == 0xe0)
			low = 0xa0;
		else if (*s == 0xed)
			high = 0x9f;
	} else if (*s >= 0xf0 && *s <= 0xf4) {
		n = 4;
		if (*s == 0xf0)
			low = 0x90;
		else if (*s == 0xf4)
			high = 0x8f;
	} else {
		return 0;
	}
	if (len < n || s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}
