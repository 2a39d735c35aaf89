/* SPDX-License-Identifier: BSD-3-Clause */
/* Arguments of a queue or an exchange, as words name=value. A value is an integer or a boolean
 * (true, false) where it looks like one, else a string; in double quotes it is a string always. */
#ifndef NOTIFYD_AMQP_ARGUMENTS_H
#define NOTIFYD_AMQP_ARGUMENTS_H

#include <amqp.h>
#include <stdbool.h>

#define ARGUMENTS_MAX 32

struct arguments {
	amqp_table_entry_t entries[ARGUMENTS_MAX];
	int n;
	char *text; /* what they borrow from */
};

/* words: NULL for none. 0, or -1 with *why_r malloc'd. Release with arguments_free() either way. */
int arguments_parse(struct arguments *a, const char *words, char **why_r);
void arguments_free(struct arguments *a);

bool arguments_have(const struct arguments *a, const char *name);

/* A string; borrowed. There must be room: arguments_parse() leaves it for one. */
void arguments_add(struct arguments *a, const char *name, const char *value);

amqp_table_t arguments_table(struct arguments *a);

#endif
