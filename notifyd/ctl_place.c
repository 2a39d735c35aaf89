/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl_place.h"

#include "ctl.h"

#include "../lib/identity.h"
#include "../lib/journal.h"
#include "../lib/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static bool is_set(const unsigned char uuid[16])
{
	static const unsigned char none[16];
	return memcmp(uuid, none, 16) != 0;
}

int ctl_place_id(int dirfd, const char *s, bool bare, uint64_t *pos_r)
{
	unsigned char uuid[16], own[16], former[16];
	if (bare && *s && strlen(s) <= 16 && strspn(s, "0123456789abcdefABCDEF") == strlen(s)) {
		*pos_r = strtoull(s, NULL, 16);
		return EX_OK;
	}
	if (!journal_id_parse(s, strlen(s), uuid, pos_r))
		return ctl_fail(EX_USAGE, "'%s' is no event's id%s", s,
		                bare ? " and no position in hexadecimal" : "");
	if (journal_identity(dirfd, own, former) < 0)
		return ctl_fail(EX_IOERR, "the journal's identity: %s",
		                journal_identity_error(errno));
	if (memcmp(uuid, own, 16) != 0 && (memcmp(uuid, former, 16) != 0 || !is_set(former)))
		return ctl_fail(EX_NOINPUT, "%s is the id of an event in another journal", s);
	return EX_OK;
}

/* Opens reader and identity; NULL with *code_r. */
static struct reader *begin(const char *journal, uint64_t pos, struct place *p_r, int *code_r)
{
	unsigned char former[16];
	char *why = NULL;
	int dir = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? -1 : journal_identity(dir, p_r->uuid, former);
	int e = errno;
	if (dir >= 0)
		close(dir);
	if (r < 0) {
		*code_r = ctl_fail(e == EACCES ? EX_NOPERM : EX_NOINPUT, "the journal %s: %s",
		                   journal, journal_identity_error(e));
		return NULL;
	}
	struct reader *reader = reader_open(journal, pos, &why);
	if (!reader)
		*code_r = ctl_fail(EX_NOINPUT, "%s", why ? why : "out of memory");
	free(why);
	return reader;
}

int ctl_place_find(const char *journal, uint64_t pos, int64_t since, struct place *p_r)
{
	int code = EX_OK, got;
	struct reader *r = begin(journal, pos, p_r, &code);
	if (!r)
		return code;
	struct record rec;
	while ((got = reader_next(r, &rec)) > 0 && rec.time < since)
		;
	if (got < 0)
		code = ctl_fail(EX_IOERR, "reading the journal: %s", reader_why(r));
	p_r->pos = got > 0 ? rec.pos : reader_pos(r);
	p_r->time = got > 0 ? rec.time : 0;
	reader_close(&r);
	return code;
}

int ctl_place_end(const char *journal, struct place *p_r)
{
	int code = EX_OK, got, dir = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* The newest segment; events go on coming while it is read. */
	uint64_t end = dir < 0 ? 0 : journal_end(dir);
	uint64_t from = dir < 0 ? 0 : reader_since(dir, INT64_MAX);
	if (dir >= 0)
		close(dir);
	struct reader *r = begin(journal, from, p_r, &code);
	if (!r)
		return code;
	struct record rec;
	while ((got = reader_next(r, &rec)) > 0 && rec.next < end)
		;
	if (got < 0)
		code = ctl_fail(EX_IOERR, "reading the journal: %s", reader_why(r));
	p_r->pos = reader_pos(r);
	p_r->time = 0;
	reader_close(&r);
	return code;
}
