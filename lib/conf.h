/* SPDX-License-Identifier: BSD-3-Clause */
/* imapd.conf as Cyrus reads it (lib/libconfig.c of Cyrus IMAP 3.6), and typed
 * access to options that are rows of a table: the checker, the man page and the
 * code read the same rows. Also used inside mail processes: never aborts, never
 * prints. */
#ifndef MBEV_CONF_H
#define MBEV_CONF_H

#include "buf.h"

struct conf;

/* One line that was read. Borrowed from the conf. key is lower case. */
struct conf_entry {
	const char *key, *value, *file;
	int line;
};

/* Reads path and what it includes. NULL with *why_r malloc'd: "file:line: what is wrong"
 * (NULL where there is no memory even for that). Never blocks; refuses what is not a regular file.
 */
struct conf *conf_read(const char *path, char **why_r);
void conf_free(struct conf **c);

/* The value of key for a service ("imap", "lmtpunix"; NULL for none): <service>_<key>, else
 * <key>, else NULL. Borrowed. */
const char *conf_get(const struct conf *c, const char *service, const char *key);

/* All entries in file order; their number. */
size_t conf_entries(const struct conf *c, const struct conf_entry **entries_r);

/* Writes the entries as one flat imapd.conf that conf_read() reads back alike.
 * 0, or -1 with errno. */
int conf_dump(const struct conf *c, int fd);

enum conf_type {
	CONF_STRING,
	CONF_PATH,   /* absolute */
	CONF_SWITCH, /* yes no on off 1 0 t f true false -> 1 or 0 */
	CONF_INT,
	CONF_DURATION, /* 200ms 10s 5m 2h 7d -> milliseconds; a bare number counts in `unit` */
	CONF_SIZE,     /* 64M 1G 4096 -> bytes */
	CONF_MODE,     /* 0660, octal */
	CONF_ENUM,     /* one of choices -> its index */
	CONF_LIST,     /* words separated by white space */
};

/* One option. For a duration or a size, `words` (e.g. "always|never") are accepted beside
 * numbers: they read as -1, -2, ... */
struct conf_option {
	const char *name; /* whole ("mboxevent_journal") or, in a sink's table, what follows the
	                     prefix ("path" for notifyd_local_path) */
	enum conf_type type;
	const char *def;   /* as one would write it; NULL: none, the option may stay unset */
	int64_t min, max;  /* inclusive, in the type's base unit; both 0: any */
	const char *words; /* ENUM: the choices, "classic|quorum|stream" */
	const char *unit;  /* for the man page and bare numbers: "s", "ms", "bytes", NULL */
	const char *help;  /* one sentence */
};

/* A table seen through a prefix: notifyd_<sink>_ for a sink, "" for whole names. */
struct conf_scope {
	const struct conf *conf;
	const char *service; /* or NULL */
	const char *prefix;
	const struct conf_option *const *tables; /* each ended by a row with name NULL; NULL ends */
};

/* Values of a row's option, the default where it is not set or not valid (conf_check() told
 * of that). name must be a row: otherwise 0 or NULL. Borrowed strings. */
const char *conf_str(const struct conf_scope *s, const char *name);
int64_t conf_num(const struct conf_scope *s, const char *name);
bool conf_isset(const struct conf_scope *s, const char *name);

/* Parses a value by its row. 0 with *n_r (untouched for strings), or -1 with what is allowed
 * in `allowed` (e.g. "a duration from 10ms to 1h, or always"). */
int conf_parse(const struct conf_option *row, const char *value, int64_t *n_r, struct buf *allowed);

/* Checks every entry whose key (after an optional <service>_) begins with the scope's prefix
 * and `family` ("mboxevent_", "notifyd_"): unknown names, wrong types, ranges. Calls fn once an
 * error with "file:line: notifyd_mq_prot: unknown option; nearest is notifyd_mq_port" or
 * "file:line: mboxevent_sync: '5x': must be ...". skip(whole key) true leaves a key to another
 * scope (NULL: none). Returns the number of errors. */
int conf_check(const struct conf_scope *s, const char *family,
               bool (*skip)(void *ctx, const char *key), void (*fn)(void *ctx, const char *error),
               void *ctx);

/* mboxevent_* : what the hook and notifyd share (lib/options.c). */
extern const struct conf_option mboxevent_options[];
enum { FORMAT_DOCUMENTED, FORMAT_NATIVE }; /* what mboxevent_format reads as */

#endif
