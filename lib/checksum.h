/* SPDX-License-Identifier: BSD-3-Clause */
/* The checksum of records: XXH3-64, with the processor's AVX2 where it has that. Each reader takes
 * it of every byte of the journal. */
#ifndef MBEV_CHECKSUM_H
#define MBEV_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t checksum(const void *s, size_t len);

/* GCC alone can build a file for AVX2 from inside it. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CHECKSUM_AVX2
uint64_t checksum_avx2(const void *s, size_t len);
#endif

#endif
