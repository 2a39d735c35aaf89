/* SPDX-License-Identifier: BSD-3-Clause */
#include "checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t checksum(const void *s, size_t len)
{
#ifdef CHECKSUM_AVX2
	if (__builtin_cpu_supports("avx2"))
		return checksum_avx2(s, len);
#endif
	return XXH3_64bits(s, len);
}
