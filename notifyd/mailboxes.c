/* SPDX-License-Identifier: BSD-3-Clause */
#include "mailboxes.h"
#include "aside.h"

#include "../lib/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCHEMA  1
#define BUSY_MS 1000 /* somebody looks at it with a tool */

/* An account is a row of its own, so that a mailbox costs little more than its name. WAL with
 * synchronous=FULL: a commit is on the disk, at the cost of one sync. */
static const char schema[] =
    "CREATE TABLE account (id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE);"
    "CREATE TABLE mailbox (account INTEGER NOT NULL, name TEXT NOT NULL,"
    " uidvalidity INTEGER NOT NULL, PRIMARY KEY (account, name)) WITHOUT ROWID;"
    "CREATE TABLE owed (id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL);"
    "CREATE TABLE seen (position INTEGER NOT NULL);"
    "INSERT INTO seen VALUES (0);"
    "PRAGMA user_version = 1;";

/* Below `from`: from its name and separator up to, not with, the next character. What goes below
 * itself (A to A/B) must not be deleted as a leftover. */
#define BELOW   "account = ?1 AND name > ?2 AND name < ?3"
#define REST    "CAST(substr(CAST(name AS BLOB), ?5) AS TEXT)"
#define STRANGE " AND NOT (?1 = ?4 AND name > ?5 AND name < ?6)"

static const char *const queries[] = {
    "BEGIN",
    "COMMIT",
    "SELECT id FROM account WHERE url = ?1",
    "INSERT INTO account (url) VALUES (?1)",
    "SELECT uidvalidity FROM mailbox WHERE account = ?1 AND name = ?2",
    "INSERT INTO mailbox VALUES (?1, ?2, ?3)"
    " ON CONFLICT (account, name) DO UPDATE SET uidvalidity = excluded.uidvalidity",
    "UPDATE OR IGNORE mailbox SET account = ?3, name = ?4 WHERE account = ?1 AND name = ?2",
    "DELETE FROM mailbox WHERE account = ?1 AND name = ?2",
    "UPDATE OR IGNORE mailbox SET account = ?4, name = ?6 || " REST
    ", uidvalidity = CASE WHEN ?7 THEN 0 ELSE uidvalidity END WHERE " BELOW,
    "DELETE FROM mailbox WHERE " BELOW STRANGE,
    "UPDATE OR IGNORE mailbox SET account = ?2,"
    " uidvalidity = CASE WHEN ?3 THEN 0 ELSE uidvalidity END WHERE account = ?1",
    "DELETE FROM mailbox WHERE account = ?1",
    "INSERT INTO owed (event) VALUES (?1)",
    "SELECT id, event FROM owed WHERE id > ?1 ORDER BY id LIMIT 1",
    "DELETE FROM owed WHERE id <= ?1",
    "SELECT position FROM seen",
    "UPDATE seen SET position = ?1",
};

enum query {
	BEGIN,
	COMMIT,
	ACCOUNT,
	ADD_ACCOUNT,
	GET,
	PUT,
	MOVE_ONE,
	DELETE_ONE,
	MOVE_BELOW,
	DELETE_BELOW,
	MOVE_ALL,
	DELETE_ALL,
	OWE,
	OWED,
	PAID,
	SEEN,
	SAW,
	QUERIES
};

struct mailboxes {
	sqlite3 *db;
	sqlite3_stmt *statements[QUERIES];
	bool begun;
	uint64_t changes;
	struct buf last; /* the account asked for last, and its id */
	int64_t last_id;
	bool damaged; /* seen after the file was opened */
	char path[4096];
	char why[256];
};

static int fail(struct mailboxes *m, const char **why_r)
{
	int code = m->db ? sqlite3_errcode(m->db) : SQLITE_NOMEM;
	m->damaged |= code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
	snprintf(m->why, sizeof m->why, "%s: %s%s", MAILBOXES_FILE,
	         m->db ? sqlite3_errmsg(m->db) : "out of memory",
	         m->damaged ? "; it becomes " MAILBOXES_FILE
	                      ".damaged, and mailboxes are learnt anew"
	                    : "");
	*why_r = m->why;
	return -1;
}

/* --- statements --- */

static sqlite3_stmt *query(struct mailboxes *m, enum query q)
{
	sqlite3_stmt **s = &m->statements[q];
	if (!*s)
		sqlite3_prepare_v3(m->db, queries[q], -1, SQLITE_PREPARE_PERSISTENT, s, NULL);
	return *s; /* NULL: binding and stepping fail */
}

static void bind_str(sqlite3_stmt *s, int at, struct str value)
{
	sqlite3_bind_text(s, at, value.len ? value.s : "", (int)value.len, SQLITE_STATIC);
}

/* Runs one that returns no row. */
static int run(struct mailboxes *m, sqlite3_stmt *s, const char **why_r)
{
	int r = s ? sqlite3_step(s) : SQLITE_ERROR;
	if (r != SQLITE_DONE) {
		fail(m, why_r);
		sqlite3_reset(s);
		return -1;
	}
	sqlite3_reset(s);
	return 0;
}

/* A read too: all of a batch are one transaction, which costs the locks once. */
static int begin(struct mailboxes *m, const char **why_r)
{
	if (m->begun)
		return 0;
	if (run(m, query(m, BEGIN), why_r) < 0)
		return -1;
	m->begun = true;
	return 0;
}

/* 1 with the account's id; 0: there is none, and `make` is false. */
static int account(struct mailboxes *m, struct str url, bool make, int64_t *id_r,
                   const char **why_r)
{
	if (m->last_id && m->last.len == url.len && !memcmp(m->last.s, url.s, url.len)) {
		*id_r = m->last_id;
		return 1;
	}
	if (begin(m, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(m, ACCOUNT);
	bind_str(s, 1, url);
	int r = s ? sqlite3_step(s) : SQLITE_ERROR;
	if (r == SQLITE_ROW)
		*id_r = sqlite3_column_int64(s, 0);
	else if (r != SQLITE_DONE)
		fail(m, why_r);
	sqlite3_reset(s);
	if (r == SQLITE_DONE && !make)
		return 0;
	if (r == SQLITE_DONE) {
		s = query(m, ADD_ACCOUNT);
		bind_str(s, 1, url);
		if (run(m, s, why_r) < 0)
			return -1;
		*id_r = sqlite3_last_insert_rowid(m->db);
		m->changes++;
	} else if (r != SQLITE_ROW) {
		return -1;
	}
	buf_reset(&m->last);
	buf_add(&m->last, url.s, url.len);
	m->last_id = m->last.failed ? 0 : *id_r;
	return 1;
}

/* --- the file --- */

static int execute(struct mailboxes *m, const char *sql)
{
	return sqlite3_exec(m->db, sql, NULL, NULL, NULL);
}

static int version(struct mailboxes *m, int *version_r)
{
	sqlite3_stmt *s;
	int r = sqlite3_prepare_v2(m->db, "PRAGMA user_version", -1, &s, NULL);
	if (r == SQLITE_OK && (r = sqlite3_step(s)) == SQLITE_ROW)
		*version_r = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return r == SQLITE_ROW ? SQLITE_OK : r;
}

/* Owner and mode are those of the journal's directory; SQLite gives its other files the same. */
static int create(const char *dir, const char *path)
{
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = dirfd < 0 ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? -1 : segment_adopt(dirfd, fd);
	if (fd >= 0)
		close(fd);
	if (dirfd >= 0)
		close(dirfd);
	return r;
}

/* SQLITE_OK, SQLITE_CORRUPT (damaged, or another version), or another code. */
static int open_file(struct mailboxes *m, const char *path)
{
	int v = 0,
	    r = sqlite3_open_v2(path, &m->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (r != SQLITE_OK)
		return r;
	sqlite3_busy_timeout(m->db, BUSY_MS);
	r = version(m, &v);
	if (r == SQLITE_OK)
		r = execute(m, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
		               "PRAGMA cache_size = -16384; PRAGMA journal_size_limit = 16777216;");
	if (r == SQLITE_OK && v == 0) {
		r = execute(m, "BEGIN IMMEDIATE");
		if (r == SQLITE_OK)
			r = execute(m, schema);
		if (r == SQLITE_OK)
			r = execute(m, "COMMIT");
	} else if (r == SQLITE_OK && v != SCHEMA) {
		r = SQLITE_CORRUPT;
	}
	/* What a process committed as it was killed may not be on disk, and would not be written
	 * again: a checkpoint syncs it. */
	if (r == SQLITE_OK)
		r = execute(m, "PRAGMA wal_checkpoint(PASSIVE)");
	/* Tables that are not there: damage too. */
	for (int q = 0; r == SQLITE_OK && q < QUERIES; q++)
		if (!query(m, (enum query)q))
			r = sqlite3_errcode(m->db) == SQLITE_ERROR ? SQLITE_CORRUPT
			                                           : sqlite3_errcode(m->db);
	return r == SQLITE_NOTADB ? SQLITE_CORRUPT : r;
}

static void close_file(struct mailboxes *m)
{
	for (int q = 0; q < QUERIES; q++) {
		sqlite3_finalize(m->statements[q]);
		m->statements[q] = NULL;
	}
	sqlite3_close(m->db);
	m->db = NULL;
}

int mailboxes_open(struct mailboxes **m_r, const char *dir, const char **aside_r,
                   const char **why_r)
{
	static char no_memory[] = "out of memory";
	struct mailboxes *m = *m_r = calloc(1, sizeof *m);

	*aside_r = NULL;
	if (!m) {
		*why_r = no_memory;
		return -1;
	}
	const char *path = m->path;
	snprintf(m->path, sizeof m->path, "%s/" MAILBOXES_FILE, dir);
	for (int tries = 0;; tries++) {
		if (create(dir, path) < 0) {
			snprintf(m->why, sizeof m->why, "cannot make %.180s: %s", path,
			         strerror(errno));
			*why_r = m->why;
			return -1;
		}
		int r = open_file(m, path);
		if (r == SQLITE_OK)
			return 0;
		if (r != SQLITE_CORRUPT || tries)
			return fail(m, why_r);
		close_file(m);
		if (move_aside(path) < 0) {
			snprintf(m->why, sizeof m->why,
			         "%.160s is damaged and can't be moved aside: %s", path,
			         strerror(errno));
			*why_r = m->why;
			return -1;
		}
		*aside_r =
		    MAILBOXES_FILE " was damaged or of another version and is now " MAILBOXES_FILE
				   ".damaged; mailboxes are learnt anew";
	}
}

void mailboxes_free(struct mailboxes **mp)
{
	struct mailboxes *m = *mp;
	*mp = NULL;
	if (!m)
		return;
	close_file(m);
	/* Opening reads little of it: what is wrong further in would come up each time. */
	if (m->damaged)
		move_aside(m->path);
	buf_free(&m->last);
	free(m);
}

uint64_t mailboxes_changes(const struct mailboxes *m)
{
	return m->changes;
}

int mailboxes_commit(struct mailboxes *m, const char **why_r)
{
	if (!m->begun)
		return 0;
	sqlite3_reset(query(m, OWED)); /* a row may be lent still */
	if (run(m, query(m, COMMIT), why_r) < 0)
		return -1;
	m->begun = false;
	m->changes = 0;
	return 0;
}

/* --- the journal --- */

int mailboxes_seen(struct mailboxes *m, uint64_t *pos_r, const char **why_r)
{
	sqlite3_stmt *s = query(m, SEEN);
	int r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		*pos_r = (uint64_t)sqlite3_column_int64(s, 0);
	else
		fail(m, why_r);
	sqlite3_reset(s);
	return r == SQLITE_ROW ? 0 : -1;
}

int mailboxes_saw(struct mailboxes *m, uint64_t pos, const char **why_r)
{
	if (begin(m, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(m, SAW);
	sqlite3_bind_int64(s, 1, (sqlite3_int64)pos);
	return run(m, s, why_r);
}

/* --- mailboxes --- */

int mailboxes_get(struct mailboxes *m, const struct mailbox *box, uint32_t *uidvalidity_r,
                  const char **why_r)
{
	int64_t id;
	int r = account(m, box->account, false, &id, why_r);
	if (r <= 0 || begin(m, why_r) < 0)
		return r <= 0 ? r : -1;
	sqlite3_stmt *s = query(m, GET);
	sqlite3_bind_int64(s, 1, id);
	bind_str(s, 2, box->name);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		*uidvalidity_r = (uint32_t)sqlite3_column_int64(s, 0);
	else if (r != SQLITE_DONE)
		fail(m, why_r);
	sqlite3_reset(s);
	return r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0 : -1;
}

int mailboxes_put(struct mailboxes *m, const struct mailbox *box, uint32_t uidvalidity,
                  const char **why_r)
{
	int64_t id;
	if (begin(m, why_r) < 0 || account(m, box->account, true, &id, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(m, PUT);
	sqlite3_bind_int64(s, 1, id);
	bind_str(s, 2, box->name);
	sqlite3_bind_int64(s, 3, uidvalidity);
	m->changes++;
	return run(m, s, why_r);
}

static bool is_inbox(const struct mailbox *box)
{
	return box->name.len == 5 && !memcmp(box->name.s, "INBOX", 5);
}

static int move_all(struct mailboxes *m, int64_t from, int64_t to, bool forget, const char **why_r)
{
	sqlite3_stmt *s = query(m, MOVE_ALL);
	sqlite3_bind_int64(s, 1, from);
	sqlite3_bind_int64(s, 2, to);
	sqlite3_bind_int(s, 3, forget);
	if (run(m, s, why_r) < 0)
		return -1;
	s = query(m, DELETE_ALL);
	sqlite3_bind_int64(s, 1, from);
	return run(m, s, why_r);
}

static int move_one(struct mailboxes *m, int64_t from, struct str from_name, int64_t to,
                    struct str to_name, const char **why_r)
{
	sqlite3_stmt *s = query(m, MOVE_ONE);
	sqlite3_bind_int64(s, 1, from);
	bind_str(s, 2, from_name);
	sqlite3_bind_int64(s, 3, to);
	bind_str(s, 4, to_name);
	if (run(m, s, why_r) < 0)
		return -1;
	s = query(m, DELETE_ONE);
	sqlite3_bind_int64(s, 1, from);
	bind_str(s, 2, from_name);
	return run(m, s, why_r);
}

/* The names between which all below a mailbox are. false when memory is short. */
static bool range(const struct mailbox *box, struct buf *low, struct buf *high)
{
	buf_add(low, box->name.s, box->name.len);
	buf_addc(low, box->separator);
	buf_add(high, box->name.s, box->name.len);
	buf_addc(high, (char)(box->separator + 1));
	return !low->failed && !high->failed;
}

static struct str contents(const struct buf *b)
{
	return (struct str){b->s, b->len};
}

static int move_below(struct mailboxes *m, int64_t from, const struct mailbox *from_box, int64_t to,
                      const struct mailbox *to_box, bool forget, const char **why_r)
{
	struct buf low = BUF_INIT, high = BUF_INIT, to_low = BUF_INIT, to_high = BUF_INIT;
	int r = -1;
	if (!range(from_box, &low, &high) || !range(to_box, &to_low, &to_high)) {
		*why_r = "out of memory";
		goto done;
	}
	sqlite3_stmt *s = query(m, MOVE_BELOW);
	sqlite3_bind_int64(s, 1, from);
	bind_str(s, 2, contents(&low));
	bind_str(s, 3, contents(&high));
	sqlite3_bind_int64(s, 4, to);
	sqlite3_bind_int64(s, 5, (int64_t)low.len + 1); /* substr() counts from 1 */
	bind_str(s, 6, contents(&to_low));
	sqlite3_bind_int(s, 7, forget);
	r = run(m, s, why_r);
	if (r < 0)
		goto done;
	s = query(m, DELETE_BELOW);
	sqlite3_bind_int64(s, 1, from);
	bind_str(s, 2, contents(&low));
	bind_str(s, 3, contents(&high));
	sqlite3_bind_int64(s, 4, to);
	bind_str(s, 5, contents(&to_low));
	bind_str(s, 6, contents(&to_high));
	r = run(m, s, why_r);
done:
	buf_free(&low);
	buf_free(&high);
	buf_free(&to_low);
	buf_free(&to_high);
	return r;
}

int mailboxes_rename(struct mailboxes *m, const struct mailbox *from, const struct mailbox *to,
                     bool forget, const char **why_r)
{
	int64_t from_id, to_id;
	int r = account(m, from->account, false, &from_id, why_r);
	if (r <= 0)
		return r;
	if (begin(m, why_r) < 0 || account(m, to->account, true, &to_id, why_r) < 0)
		return -1;
	m->changes++;
	/* An owner's inbox has no name of its own in the paths of what is below it. */
	if (is_inbox(from) && is_inbox(to))
		return from_id == to_id ? 0 : move_all(m, from_id, to_id, forget, why_r);
	if (move_one(m, from_id, from->name, to_id, to->name, why_r) < 0)
		return -1;
	if (is_inbox(from) || is_inbox(to))
		return 0;
	return move_below(m, from_id, from, to_id, to, forget, why_r);
}

/* --- events to be appended --- */

int mailboxes_owe(struct mailboxes *m, struct str json, const char **why_r)
{
	if (begin(m, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(m, OWE);
	bind_str(s, 1, json);
	m->changes++;
	return run(m, s, why_r);
}

int mailboxes_owed(struct mailboxes *m, int64_t after, int64_t *id_r, struct str *json_r,
                   const char **why_r)
{
	if (begin(m, why_r) < 0)
		return -1;
	sqlite3_stmt *s = query(m, OWED);
	sqlite3_reset(s); /* the row before was lent */
	sqlite3_bind_int64(s, 1, after);
	int r = sqlite3_step(s);
	if (r == SQLITE_ROW) {
		*id_r = sqlite3_column_int64(s, 0);
		json_r->s = (const char *)sqlite3_column_text(s, 1);
		json_r->len = (size_t)sqlite3_column_bytes(s, 1);
		return 1;
	}
	if (r != SQLITE_DONE)
		fail(m, why_r);
	sqlite3_reset(s);
	return r == SQLITE_DONE ? 0 : -1;
}

int mailboxes_paid(struct mailboxes *m, int64_t id, const char **why_r)
{
	if (begin(m, why_r) < 0)
		return -1;
	sqlite3_reset(query(m, OWED));
	sqlite3_stmt *s = query(m, PAID);
	sqlite3_bind_int64(s, 1, id);
	m->changes++;
	return run(m, s, why_r);
}
