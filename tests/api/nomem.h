/* SPDX-License-Identifier: BSD-3-Clause */
/* Included before all of the API's code: its allocators are the test's. */
#ifndef TESTS_NOMEM_H
#define TESTS_NOMEM_H

#include <stdlib.h>
#include <string.h>

void *nomem_malloc(size_t size);
void *nomem_calloc(size_t n, size_t size);
void *nomem_realloc(void *p, size_t size);
char *nomem_strdup(const char *s);
char *nomem_strndup(const char *s, size_t n);

#ifndef NOMEM_ITSELF
#undef strdup
#undef strndup
#define malloc  nomem_malloc
#define calloc  nomem_calloc
#define realloc nomem_realloc
#define strdup  nomem_strdup
#define strndup nomem_strndup
#endif

#endif
