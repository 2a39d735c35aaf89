/* SPDX-License-Identifier: BSD-3-Clause */
#include "registry.h"
#include "../../aside.h"

#include "../../../lib/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What leads from one version of the file to the next (PRAGMA user_version counts them). A later
 * version of this program appends; what is here never changes. */
static const char *const steps[] = {
    /* 1: devices, and the mailboxes that those of mail watch */
    "CREATE TABLE device (id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL,"
    " token TEXT NOT NULL, account TEXT NOT NULL, user TEXT NOT NULL, topic TEXT NOT NULL,"
    " version INTEGER NOT NULL, registered INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " collection TEXT, UNIQUE (token, kind, account));"
    "CREATE INDEX device_collection ON device (collection) WHERE collection IS NOT NULL;"
    "CREATE INDEX device_expires ON device (expires) WHERE expires > 0;"
    "CREATE TABLE watch (owner TEXT NOT NULL, mailbox TEXT NOT NULL, device INTEGER NOT NULL,"
    " asked TEXT NOT NULL, PRIMARY KEY (owner, mailbox, device)) WITHOUT ROWID;"
    "CREATE INDEX watch_device ON watch (device);",
    /* 2: what is due, and how mailbox names were understood */
    "CREATE TABLE due (device INTEGER NOT NULL, user TEXT NOT NULL, want INTEGER NOT NULL,"
    " at INTEGER NOT NULL, event INTEGER NOT NULL, reason INTEGER NOT NULL,"
    " tries INTEGER NOT NULL, mailboxes TEXT NOT NULL,"
    " PRIMARY KEY (device, user, want)) WITHOUT ROWID;"
    "CREATE TABLE names (options TEXT NOT NULL);"
    "INSERT INTO names VALUES ('');",
};
#define SCHEMA (int)(sizeof steps / sizeof *steps)

#define DEVICE                                                                                     \
	"d.id, d.kind, d.token, d.account, d.user, d.topic, d.version, d.registered, d.expires"

static const char *const queries[] = {
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "SELECT max(registered) FROM device WHERE token = ?1 AND kind = ?2 AND"
    " (account = ?3 OR (kind = 0 AND user = ?4))",
    "DELETE FROM watch WHERE device IN (SELECT id FROM device WHERE token = ?1 AND kind = ?2"
    " AND user = ?3 AND account <> ?4 AND kind = 0)",
    "DELETE FROM device WHERE token = ?1 AND kind = ?2 AND user = ?3 AND account <> ?4"
    " AND kind = 0",
    "INSERT INTO device (kind, token, account, user, topic, version, registered, expires,"
    " collection) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    " ON CONFLICT (token, kind, account) DO UPDATE SET user = excluded.user,"
    " topic = excluded.topic, version = excluded.version, registered = excluded.registered,"
    " expires = excluded.expires",
    "SELECT id FROM device WHERE token = ?1 AND kind = ?2 AND account = ?3",
    "DELETE FROM watch WHERE device = ?1",
    "INSERT OR REPLACE INTO watch VALUES (?1, ?2, ?3, ?4)",
    "SELECT " DEVICE " FROM device d WHERE d.id = ?1",
    "SELECT " DEVICE ", w.asked FROM watch w JOIN device d ON d.id = w.device"
    " WHERE w.owner = ?1 AND w.mailbox = ?2 AND (d.expires = 0 OR d.expires > ?3)",
    "SELECT " DEVICE ", '' FROM device d WHERE d.collection = ?1 AND"
    " (d.expires = 0 OR d.expires > ?2)",
    "SELECT " DEVICE ", '' FROM device d WHERE lower(substr(d.token, 1, length(?1))) = lower(?1)"
    " OR lower(substr(d.account, 1, length(?1))) = lower(?1)"
    " ORDER BY d.user, d.kind, d.account, d.id",
    "SELECT asked, owner, mailbox FROM watch WHERE device = ?1 ORDER BY asked",
    "DELETE FROM device WHERE id = ?1",
    "SELECT o.id FROM device d JOIN device o ON o.token = d.token AND o.kind = d.kind"
    " WHERE d.id = ?1 AND (?2 = 0 OR o.registered < ?2) ORDER BY o.id = ?1 LIMIT 1",
    "SELECT d.id FROM device d WHERE d.expires > 0 AND d.expires <= ?1 LIMIT 1",
    "SELECT kind, count(*) FROM device GROUP BY kind",
    "INSERT INTO due VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (device, user, want)"
    " DO UPDATE SET at = excluded.at, event = excluded.event,"
    " reason = excluded.reason, tries = excluded.tries, mailboxes = excluded.mailboxes",
    "DELETE FROM due WHERE device = ?1 AND user = ?2 AND want = ?3",
    "DELETE FROM due WHERE device = ?1",
    "SELECT device, user, want, at, event, reason, tries, mailboxes FROM due ORDER BY at",
};

enum query {
	BEGIN_READ,
	BEGIN_WRITE,
	COMMIT,
	NEWEST,
	UNWATCH_OLD,
	DELETE_OLD,
	PUT,
	FIND,
	UNWATCH,
	WATCH,
	GET,
	WATCHERS,
	COLLECTION,
	EACH,
	MAILBOXES,
	DELETE,
	VOID,
	EXPIRED,
	COUNT,
	PUT_DUE,
	DELETE_DUE,
	DELETE_DUES,
	DUES,
	QUERIES
};

struct registry {
	sqlite3 *db;
	sqlite3_stmt *statements[QUERIES];
	struct names *names;
	bool own;   /* the sink's; others leave the file where it is, which the sink has open */
	bool alien; /* it was made for other names, which the sink may still go by */
	bool reading, writing;
	bool failed;  /* half a change may be there: it must not be committed */
	bool damaged; /* seen after the file was opened */
	struct buf token;
	char file[128], path[4096], why[320];
};

static int fail(struct registry *r, const char **why_r)
{
	int code = r->db ? sqlite3_errcode(r->db) : SQLITE_NOMEM;
	r->failed = true;
	r->damaged |= code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
	snprintf(r->why, sizeof r->why, "%s: %.100s%s", r->file,
	         r->db ? sqlite3_errmsg(r->db) : "out of memory",
	         !r->damaged ? ""
	         : r->own    ? "; it is moved aside, and devices are forgotten until they register "
	                       "again"
	                     : "; it is damaged: notifyd moves it aside when it next opens it");
	*why_r = r->why;
	return -1;
}

/* --- statements --- */

static sqlite3_stmt *query(struct registry *r, enum query q)
{
	sqlite3_stmt **s = &r->statements[q];
	if (!*s)
		sqlite3_prepare_v3(r->db, queries[q], -1, SQLITE_PREPARE_PERSISTENT, s, NULL);
	return *s; /* NULL: binding and stepping fail */
}

static void bind_str(sqlite3_stmt *s, int at, struct str value)
{
	sqlite3_bind_text(s, at, value.len ? value.s : "", (int)value.len, SQLITE_STATIC);
}

static void bind_text(sqlite3_stmt *s, int at, const char *value)
{
	sqlite3_bind_text(s, at, value, -1, SQLITE_STATIC);
}

/* SQLITE_ROW or SQLITE_DONE; else fail() comes. */
static int step(sqlite3_stmt *s)
{
	return s ? sqlite3_step(s) : SQLITE_ERROR;
}

/* Runs one that returns no row. */
static int run(struct registry *r, sqlite3_stmt *s, const char **why_r)
{
	int code = step(s), ret = code == SQLITE_DONE ? 0 : fail(r, why_r);
	sqlite3_reset(s);
	return ret;
}

/* All reads of a batch are one transaction, which costs the locks once. */
static int begin_read(struct registry *r, const char **why_r)
{
	if (r->reading || r->writing)
		return 0;
	if (run(r, query(r, BEGIN_READ), why_r) < 0)
		return -1;
	r->reading = true;
	return 0;
}

/* One that read before can't become a writer when somebody else wrote since. */
static int begin_write(struct registry *r, const char **why_r)
{
	if (r->writing)
		return 0;
	registry_rest(r);
	if (run(r, query(r, BEGIN_WRITE), why_r) < 0)
		return -1;
	r->writing = true;
	return 0;
}

bool registry_unsettled(const struct registry *r)
{
	return r->writing;
}

int registry_commit(struct registry *r, const char **why_r)
{
	if (r->failed) {
		*why_r = r->why;
		return -1;
	}
	if (!r->writing) {
		registry_rest(r);
		return 0;
	}
	if (run(r, query(r, COMMIT), why_r) < 0)
		return -1;
	r->writing = false;
	return 0;
}

void registry_rest(struct registry *r)
{
	sqlite3_reset(r->statements[GET]); /* its row was lent until now */
	sqlite3_stmt *s = r->reading ? query(r, COMMIT) : NULL;
	if (s) {
		step(s);
		sqlite3_reset(s);
	}
	r->reading = false;
}

/* --- the file --- */

static int execute(struct registry *r, const char *sql)
{
	return sqlite3_exec(r->db, sql, NULL, NULL, NULL);
}

static int version(struct registry *r, int *version_r)
{
	sqlite3_stmt *s;
	int code = sqlite3_prepare_v2(r->db, "PRAGMA user_version", -1, &s, NULL);
	if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW)
		*version_r = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return code == SQLITE_ROW ? SQLITE_OK : code;
}

/* Owner and mode are those of the journal's directory; SQLite gives its other files the same. */
static int create(const char *dir, const char *path, int flags)
{
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = dirfd < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	int ret = fd < 0 ? -1 : flags ? segment_adopt(dirfd, fd) : 0;
	int code = errno;
	if (fd >= 0)
		close(fd);
	if (dirfd >= 0)
		close(dirfd);
	errno = code;
	return ret;
}

static int migrate(struct registry *r, int from)
{
	char text[64];
	int code = execute(r, "BEGIN IMMEDIATE"), now = from;
	if (code == SQLITE_OK) /* somebody may have been quicker */
		code = version(r, &now);
	for (int v = now; code == SQLITE_OK && v < SCHEMA; v++)
		code = execute(r, steps[v]);
	if (code == SQLITE_OK && now < SCHEMA) {
		snprintf(text, sizeof text, "PRAGMA user_version = %d", SCHEMA);
		code = execute(r, text);
	}
	return code == SQLITE_OK ? execute(r, "COMMIT") : code;
}

/* SQLITE_OK, SQLITE_CORRUPT, SQLITE_MISMATCH (of a later version), or another code. */
static int open_file(struct registry *r, int busy_ms)
{
	int v = 0, code = sqlite3_open_v2(r->path, &r->db,
	                                  SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code != SQLITE_OK)
		return code;
	sqlite3_busy_timeout(r->db, busy_ms);
	code = version(r, &v);
	if (code == SQLITE_OK && v > SCHEMA)
		return SQLITE_MISMATCH;
	if (code == SQLITE_OK)
		code = execute(r, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
		                  "PRAGMA cache_size = -32768; PRAGMA journal_size_limit = "
		                  "16777216;");
	if (code == SQLITE_OK && v < SCHEMA)
		code = migrate(r, v);
	/* Tables that are not there: damage too. */
	for (int q = 0; code == SQLITE_OK && q < QUERIES; q++)
		if (!query(r, (enum query)q))
			code = sqlite3_errcode(r->db) == SQLITE_ERROR ? SQLITE_CORRUPT
			                                              : sqlite3_errcode(r->db);
	return code == SQLITE_NOTADB ? SQLITE_CORRUPT : code;
}

static void close_file(struct registry *r)
{
	for (int q = 0; q < QUERIES; q++) {
		sqlite3_finalize(r->statements[q]);
		r->statements[q] = NULL;
	}
	sqlite3_close(r->db);
	r->db = NULL;
}

/* 1 when the file was made for these names; 0; -1. */
static int is_for_names(struct registry *r, const char **why_r)
{
	sqlite3_stmt *same;
	int code =
	    sqlite3_prepare_v2(r->db, "SELECT 1 FROM names WHERE options = ?1", -1, &same, NULL);
	if (code == SQLITE_OK) {
		bind_text(same, 1, names_options(r->names));
		code = step(same);
	}
	sqlite3_finalize(same);
	return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : fail(r, why_r);
}

/* What is watched is what the options made of it when it was asked for. */
static int translate_again(struct registry *r, const char **why_r)
{
	sqlite3_stmt *all, *same;
	int is = is_for_names(r, why_r);
	if (is)
		return is < 0 ? -1 : 0;
	if (begin_write(r, why_r) < 0)
		return -1;
	int code =
	    execute(r, "CREATE TEMP TABLE asked AS SELECT w.device, w.asked, d.user FROM watch w"
	               " JOIN device d ON d.id = w.device; DELETE FROM watch;");
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(r->db, "SELECT device, asked, user FROM asked", -1, &all,
		                          NULL);
	if (code != SQLITE_OK)
		return fail(r, why_r);
	while ((code = step(all)) == SQLITE_ROW) {
		struct names_place place;
		const char *asked = (const char *)sqlite3_column_text(all, 1);
		const char *user = (const char *)sqlite3_column_text(all, 2);
		sqlite3_stmt *s = query(r, WATCH);
		if (!asked || !user ||
		    !names_translate(r->names, (struct str){user, strlen(user)},
		                     (struct str){asked, strlen(asked)}, &place))
			continue;
		bind_str(s, 1, place.owner);
		bind_str(s, 2, place.mailbox);
		sqlite3_bind_int64(s, 3, sqlite3_column_int64(all, 0));
		bind_text(s, 4, asked);
		if (run(r, s, why_r) < 0)
			break;
	}
	sqlite3_finalize(all);
	if (code != SQLITE_DONE || execute(r, "DROP TABLE asked") != SQLITE_OK)
		return fail(r, why_r);
	code = sqlite3_prepare_v2(r->db, "UPDATE names SET options = ?1", -1, &same, NULL);
	if (code == SQLITE_OK) {
		bind_text(same, 1, names_options(r->names));
		code = step(same);
	}
	sqlite3_finalize(same);
	return code == SQLITE_DONE ? registry_commit(r, why_r) : fail(r, why_r);
}

/* A process that was killed may have left what it wrote and did not sync: it is read as any other,
 * found to be there already, and lost in a power cut all the same. A checkpoint syncs it first. */
static int settle_former(struct registry *r, const char **why_r)
{
	int code = sqlite3_wal_checkpoint_v2(r->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return code == SQLITE_OK || code == SQLITE_BUSY ? 0 : fail(r, why_r);
}

static int begin_use(struct registry *r, const char **why_r)
{
	if (r->own)
		return settle_former(r, why_r) < 0 ? -1 : translate_again(r, why_r);
	int is = is_for_names(r, why_r);
	r->alien = is == 0;
	return is < 0 ? -1 : 0;
}

int registry_open(struct registry **r_r, const char *dir, const char *sink, struct names *names,
                  int how, int busy_ms, const char **aside_r, const char **why_r)
{
	static char no_memory[] = "out of memory";
	struct registry *r = *r_r = calloc(1, sizeof *r);

	*aside_r = NULL;
	if (!r) {
		errno = ENOMEM;
		*why_r = no_memory;
		return -1;
	}
	r->names = names;
	r->own = how == REGISTRY_OWN;
	snprintf(r->file, sizeof r->file, REGISTRY_FILE, sink);
	snprintf(r->path, sizeof r->path, "%s/%s", dir, r->file);
	for (int tries = 0;; tries++) {
		if (create(dir, r->path, how == REGISTRY_THERE ? 0 : O_CREAT) < 0) {
			int code = errno;
			snprintf(r->why, sizeof r->why, "cannot open %.180s: %s", r->path,
			         strerror(code));
			errno = code;
			*why_r = r->why;
			return -1;
		}
		int code = open_file(r, busy_ms);
		if (code == SQLITE_OK)
			return begin_use(r, why_r);
		errno = EIO;
		if (code == SQLITE_MISMATCH) {
			snprintf(r->why, sizeof r->why,
			         "%s is of a later version of this program: use that, or move the "
			         "file away and let devices register again",
			         r->file);
			*why_r = r->why;
			return -1;
		}
		if (code != SQLITE_CORRUPT || tries || !r->own) {
			r->damaged |= code == SQLITE_CORRUPT;
			return fail(r, why_r);
		}
		close_file(r);
		if (move_aside(r->path) < 0) {
			snprintf(r->why, sizeof r->why,
			         "%.160s is damaged and can't be moved aside: %s", r->path,
			         strerror(errno));
			*why_r = r->why;
			return -1;
		}
		*aside_r = "the registry of devices was damaged and is now beside it, as .damaged; "
			   "devices are forgotten until they register again";
	}
}

void registry_free(struct registry **rp)
{
	struct registry *r = *rp;
	*rp = NULL;
	if (!r)
		return;
	close_file(r);
	/* Opening reads little of it: what is wrong further in would come up each time. */
	if (r->damaged && r->own)
		move_aside(r->path);
	buf_free(&r->token);
	free(r);
}

/* --- devices --- */

static const char *column(sqlite3_stmt *s, int at)
{
	const char *text = (const char *)sqlite3_column_text(s, at);
	return text ? text : "";
}

static void read_device(sqlite3_stmt *s, struct device *d)
{
	int kind = sqlite3_column_int(s, 1);
	*d = (struct device){
	    .id = sqlite3_column_int64(s, 0),
	    .kind = kind > 0 && kind < DEVICE_KINDS ? (enum device_kind)kind : DEVICE_MAIL,
	    .token = column(s, 2),
	    .account = column(s, 3),
	    .user = column(s, 4),
	    .topic = column(s, 5),
	    .version = sqlite3_column_int(s, 6),
	    .registered = sqlite3_column_int64(s, 7),
	    .expires = sqlite3_column_int64(s, 8),
	};
}

static int watch(struct registry *r, int64_t id, const char *user, struct str asked,
                 const char **why_r)
{
	struct names_place place;
	sqlite3_stmt *s = query(r, WATCH);
	if (!names_translate(r->names, (struct str){user, strlen(user)}, asked, &place))
		return 0;
	bind_str(s, 1, place.owner);
	bind_str(s, 2, place.mailbox);
	sqlite3_bind_int64(s, 3, id);
	bind_str(s, 4, asked);
	return run(r, s, why_r);
}

/* 1 when there is none, or an older one; 0; -1. */
static int is_news(struct registry *r, const struct device *d, const char *token,
                   const char **why_r)
{
	sqlite3_stmt *s = query(r, NEWEST);
	bind_text(s, 1, token);
	sqlite3_bind_int(s, 2, (int)d->kind);
	bind_text(s, 3, d->account);
	bind_text(s, 4, d->user);
	int code = step(s), ret = 0;
	if (code != SQLITE_ROW)
		ret = fail(r, why_r);
	else
		ret = sqlite3_column_type(s, 0) == SQLITE_NULL ||
		      sqlite3_column_int64(s, 0) <= d->registered;
	sqlite3_reset(s);
	return ret;
}

/* The account id of an account changes, the token does not. A phone with accounts of several users
 * has several rows. */
static int remove_old(struct registry *r, const struct device *d, const char *token,
                      const char **why_r)
{
	for (int q = UNWATCH_OLD; q <= DELETE_OLD; q++) {
		sqlite3_stmt *s = query(r, (enum query)q);
		bind_text(s, 1, token);
		sqlite3_bind_int(s, 2, (int)d->kind);
		bind_text(s, 3, d->user);
		bind_text(s, 4, d->account);
		if (run(r, s, why_r) < 0)
			return -1;
	}
	return 0;
}

static int put(struct registry *r, const struct device *d, const char *token, int64_t *id_r,
               const char **why_r)
{
	const char *slash = d->kind == DEVICE_MAIL ? NULL : strrchr(d->account, '/');
	sqlite3_stmt *s = query(r, PUT);
	sqlite3_bind_int(s, 1, (int)d->kind);
	bind_text(s, 2, token);
	bind_text(s, 3, d->account);
	bind_text(s, 4, d->user);
	bind_text(s, 5, d->topic);
	sqlite3_bind_int(s, 6, d->version);
	sqlite3_bind_int64(s, 7, d->registered);
	sqlite3_bind_int64(s, 8, d->expires);
	if (slash)
		bind_text(s, 9, slash + 1);
	else
		sqlite3_bind_null(s, 9);
	if (run(r, s, why_r) < 0)
		return -1;
	s = query(r, FIND);
	bind_text(s, 1, token);
	sqlite3_bind_int(s, 2, (int)d->kind);
	bind_text(s, 3, d->account);
	int code = step(s), ret = 0;
	if (code == SQLITE_ROW)
		*id_r = sqlite3_column_int64(s, 0);
	else
		ret = fail(r, why_r);
	sqlite3_reset(s);
	return ret;
}

int registry_register(struct registry *r, const struct device *d, const struct str *mailboxes,
                      size_t n_mailboxes, const char **why_r)
{
	static const struct str inbox = {"INBOX", 5};
	int64_t id = 0;
	buf_reset(&r->token);
	for (const char *p = d->token; *p; p++)
		buf_addc(&r->token, (char)(*p >= 'A' && *p <= 'F' ? *p + 32 : *p));
	const char *token = buf_cstr(&r->token);
	if (r->token.failed) {
		*why_r = "out of memory";
		return -1;
	}
	if (begin_write(r, why_r) < 0)
		return -1;
	int news = is_news(r, d, token, why_r);
	if (news <= 0)
		return news;
	if (r->alien && execute(r, "UPDATE names SET options = ''") != SQLITE_OK)
		return fail(r, why_r); /* so that the sink translates it when it next opens it */
	r->alien = false;
	if (remove_old(r, d, token, why_r) < 0 || put(r, d, token, &id, why_r) < 0)
		return -1;
	if (d->kind != DEVICE_MAIL)
		return 1;
	sqlite3_stmt *s = query(r, UNWATCH);
	sqlite3_bind_int64(s, 1, id);
	if (run(r, s, why_r) < 0)
		return -1;
	for (size_t i = 0; i < n_mailboxes; i++)
		if (watch(r, id, d->user, mailboxes[i], why_r) < 0)
			return -1;
	if (!n_mailboxes && watch(r, id, d->user, inbox, why_r) < 0)
		return -1;
	return 1;
}

int registry_get(struct registry *r, int64_t id, struct device *d_r, const char **why_r)
{
	if (begin_read(r, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(r, GET);
	sqlite3_reset(s); /* its row was lent until now */
	sqlite3_bind_int64(s, 1, id);
	int code = step(s);
	if (code == SQLITE_ROW) {
		read_device(s, d_r);
		return 1;
	}
	int ret = code == SQLITE_DONE ? 0 : fail(r, why_r);
	sqlite3_reset(s);
	return ret;
}

/* Hands the devices of a statement that is bound to fn. */
static int hand(struct registry *r, sqlite3_stmt *s, registry_fn *fn, void *ctx, const char **why_r)
{
	int code;
	while ((code = step(s)) == SQLITE_ROW) {
		struct device d;
		const char *asked = column(s, 9);
		read_device(s, &d);
		fn(ctx, &d, (struct str){asked, strlen(asked)});
	}
	int ret = code == SQLITE_DONE ? 0 : fail(r, why_r);
	sqlite3_reset(s);
	return ret;
}

int registry_watchers(struct registry *r, struct str owner, struct str mailbox, int64_t now,
                      registry_fn *fn, void *ctx, const char **why_r)
{
	if (begin_read(r, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(r, WATCHERS);
	bind_str(s, 1, owner);
	bind_str(s, 2, mailbox);
	sqlite3_bind_int64(s, 3, now);
	return hand(r, s, fn, ctx, why_r);
}

int registry_collection(struct registry *r, struct str unique_id, int64_t now, registry_fn *fn,
                        void *ctx, const char **why_r)
{
	if (begin_read(r, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(r, COLLECTION);
	bind_str(s, 1, unique_id);
	sqlite3_bind_int64(s, 2, now);
	return hand(r, s, fn, ctx, why_r);
}

int registry_each(struct registry *r, struct str begins, registry_fn *fn, void *ctx,
                  const char **why_r)
{
	if (begin_read(r, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(r, EACH);
	bind_str(s, 1, begins);
	return hand(r, s, fn, ctx, why_r);
}

int registry_mailboxes(struct registry *r, int64_t id, registry_mailbox_fn *fn, void *ctx,
                       const char **why_r)
{
	if (begin_read(r, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(r, MAILBOXES);
	int code;
	sqlite3_bind_int64(s, 1, id);
	while ((code = step(s)) == SQLITE_ROW) {
		const char *asked = column(s, 0), *owner = column(s, 1), *name = column(s, 2);
		struct names_place place = {{owner, strlen(owner)}, {name, strlen(name)}};
		fn(ctx, (struct str){asked, strlen(asked)}, &place);
	}
	int ret = code == SQLITE_DONE ? 0 : fail(r, why_r);
	sqlite3_reset(s);
	return ret;
}

int registry_remove(struct registry *r, int64_t id, const char **why_r)
{
	static const enum query all[] = {UNWATCH, DELETE_DUES, DELETE};
	int n = 0;
	sqlite3_reset(r->statements[GET]);
	if (begin_write(r, why_r) < 0)
		return -1;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		sqlite3_stmt *s = query(r, all[i]);
		sqlite3_bind_int64(s, 1, id);
		if (run(r, s, why_r) < 0)
			return -1;
		n = sqlite3_changes(r->db); /* of the last */
	}
	return n > 0;
}

/* Removes what a statement that is bound finds, one by one. How many. */
static int remove_each(struct registry *r, sqlite3_stmt *s, const char **why_r)
{
	int n = 0, code;
	while ((code = step(s)) == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(s, 0);
		sqlite3_reset(s);
		if (registry_remove(r, id, why_r) < 0)
			return -1;
		n++;
	}
	sqlite3_reset(s);
	return code == SQLITE_DONE ? n : fail(r, why_r);
}

int registry_void(struct registry *r, int64_t id, int64_t before, const char **why_r)
{
	/* The one that is asked about comes last: it is what the others are found by. */
	sqlite3_stmt *s = query(r, VOID);
	if (begin_write(r, why_r) < 0)
		return -1;
	sqlite3_bind_int64(s, 1, id);
	sqlite3_bind_int64(s, 2, before);
	return remove_each(r, s, why_r);
}

int registry_expire(struct registry *r, int64_t now, const char **why_r)
{
	sqlite3_stmt *s = query(r, EXPIRED);
	if (begin_write(r, why_r) < 0)
		return -1;
	sqlite3_bind_int64(s, 1, now);
	return remove_each(r, s, why_r);
}

int registry_count(struct registry *r, int64_t counts_r[DEVICE_KINDS], const char **why_r)
{
	if (begin_read(r, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(r, COUNT);
	int code;
	for (int k = 0; k < DEVICE_KINDS; k++)
		counts_r[k] = 0;
	while ((code = step(s)) == SQLITE_ROW) {
		int kind = sqlite3_column_int(s, 0);
		if (kind >= 0 && kind < DEVICE_KINDS)
			counts_r[kind] = sqlite3_column_int64(s, 1);
	}
	int ret = code == SQLITE_DONE ? 0 : fail(r, why_r);
	sqlite3_reset(s);
	return ret;
}

/* --- what is due --- */

int registry_due_put(struct registry *r, const struct registry_due *due, const char **why_r)
{
	if (begin_write(r, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(r, PUT_DUE);
	sqlite3_bind_int64(s, 1, due->device);
	bind_text(s, 2, due->user);
	sqlite3_bind_int64(s, 3, due->want);
	sqlite3_bind_int64(s, 4, due->at);
	sqlite3_bind_int64(s, 5, due->event);
	sqlite3_bind_int64(s, 6, due->reason);
	sqlite3_bind_int64(s, 7, due->tries);
	bind_text(s, 8, due->mailboxes);
	return run(r, s, why_r);
}

int registry_due_remove(struct registry *r, unsigned want, int64_t device, const char *user,
                        const char **why_r)
{
	if (begin_write(r, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(r, DELETE_DUE);
	sqlite3_bind_int64(s, 1, device);
	bind_text(s, 2, user);
	sqlite3_bind_int64(s, 3, want);
	return run(r, s, why_r);
}

int registry_due_each(struct registry *r, registry_due_fn *fn, void *ctx, const char **why_r)
{
	if (begin_read(r, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(r, DUES);
	int code;
	while ((code = step(s)) == SQLITE_ROW) {
		struct registry_due due = {
		    .device = sqlite3_column_int64(s, 0),
		    .user = column(s, 1),
		    .want = (unsigned)sqlite3_column_int64(s, 2),
		    .at = sqlite3_column_int64(s, 3),
		    .event = sqlite3_column_int64(s, 4),
		    .reason = (unsigned)sqlite3_column_int64(s, 5),
		    .tries = (unsigned)sqlite3_column_int64(s, 6),
		    .mailboxes = column(s, 7),
		};
		fn(ctx, &due);
	}
	int ret = code == SQLITE_DONE ? 0 : fail(r, why_r);
	sqlite3_reset(s);
	return ret;
}
