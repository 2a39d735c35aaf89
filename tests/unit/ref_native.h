/* SPDX-License-Identifier: BSD-3-Clause */
/* The conversion of lib/native.c once more, plainly, on a jansson tree. URLs are
 * converted by lib/mailurl.c, which has tests of its own. */
#ifndef TESTS_REF_NATIVE_H
#define TESTS_REF_NATIVE_H

#include "../../lib/mailurl.h"

#include <jansson.h>

/* A new object; NULL where the event is not to be understood. */
json_t *ref_native(const struct mailurl_names *names, const json_t *event);

#endif
