/* SPDX-License-Identifier: BSD-3-Clause */
#include "record.h"

#include "checksum.h"

#include <endian.h>
#include <string.h>

/* Offsets in the 48-byte header; all numbers little-endian. The checksum covers
 * everything behind itself. */
enum {
	AT_MAGIC = 0,
	AT_CHECKSUM = 8,
	AT_LENGTH = 16,
	AT_KIND = 20,
	AT_EVENT = 21,
	AT_FLAGS = 22,
	AT_TIME = 24,
	AT_LOST = 32,
	AT_USER = 36,
	AT_OWNER = 38,
	AT_MAILBOX = 40,
	AT_JSON = 44,
};

const unsigned char record_magic[8] = {0xff, 0x00, 'm', 'b', 'e', 'v', 0x00, 0xff};

static void put16(char *p, uint16_t n)
{
	n = htole16(n);
	memcpy(p, &n, sizeof n);
}

static void put32(char *p, uint32_t n)
{
	n = htole32(n);
	memcpy(p, &n, sizeof n);
}

static void put64(char *p, uint64_t n)
{
	n = htole64(n);
	memcpy(p, &n, sizeof n);
}

static uint16_t get16(const char *p)
{
	uint16_t n;
	memcpy(&n, p, sizeof n);
	return le16toh(n);
}

static uint32_t get32(const char *p)
{
	uint32_t n;
	memcpy(&n, p, sizeof n);
	return le32toh(n);
}

static uint64_t get64(const char *p)
{
	uint64_t n;
	memcpy(&n, p, sizeof n);
	return le64toh(n);
}

int record_encode(struct buf *out, enum record_kind kind, const struct record *rec, int64_t time)
{
	static const struct record none;
	if (!rec)
		rec = &none;
	if (rec->event.len > UINT8_MAX || rec->user.len > UINT16_MAX ||
	    rec->owner.len > UINT16_MAX || rec->mailbox.len > RECORD_MAX ||
	    rec->json.len > RECORD_MAX)
		return -1;
	size_t len = RECORD_HEADER + rec->event.len + rec->user.len + rec->owner.len +
	             rec->mailbox.len + rec->json.len;
	if (len > RECORD_MAX)
		return -1;

	char h[RECORD_HEADER] = {0};
	memcpy(h + AT_MAGIC, record_magic, sizeof record_magic);
	put32(h + AT_LENGTH, (uint32_t)len);
	h[AT_KIND] = (char)kind;
	h[AT_EVENT] = (char)rec->event.len;
	put16(h + AT_FLAGS, rec->flags);
	put64(h + AT_TIME, (uint64_t)time);
	put32(h + AT_LOST, rec->lost);
	put16(h + AT_USER, (uint16_t)rec->user.len);
	put16(h + AT_OWNER, (uint16_t)rec->owner.len);
	put32(h + AT_MAILBOX, (uint32_t)rec->mailbox.len);
	put32(h + AT_JSON, (uint32_t)rec->json.len);

	size_t at = out->len;
	buf_add(out, h, sizeof h);
	buf_add(out, rec->event.s, rec->event.len);
	buf_add(out, rec->user.s, rec->user.len);
	buf_add(out, rec->owner.s, rec->owner.len);
	buf_add(out, rec->mailbox.s, rec->mailbox.len);
	buf_add(out, rec->json.s, rec->json.len);
	if (out->failed)
		return -1;
	put64(out->s + at + AT_CHECKSUM, checksum(out->s + at + AT_LENGTH, len - AT_LENGTH));
	return 0;
}

int record_decode(const char *s, size_t len, struct record *rec_r, size_t *need_r)
{
	*need_r = RECORD_HEADER;
	if (len < sizeof record_magic)
		return memcmp(s, record_magic, len) ? RECORD_BAD : RECORD_SHORT;
	if (memcmp(s, record_magic, sizeof record_magic) != 0)
		return RECORD_BAD;
	if (len < RECORD_HEADER)
		return RECORD_SHORT;

	size_t total = get32(s + AT_LENGTH), event = (unsigned char)s[AT_EVENT];
	size_t user = get16(s + AT_USER), owner = get16(s + AT_OWNER);
	size_t mailbox = get32(s + AT_MAILBOX), json = get32(s + AT_JSON);
	int kind = s[AT_KIND];
	if (total > RECORD_MAX || (kind != RECORD_EVENT && kind != RECORD_SEAL) ||
	    total != RECORD_HEADER + event + user + owner + mailbox + json)
		return RECORD_BAD;
	*need_r = total;
	if (len < total)
		return RECORD_SHORT;
	if (get64(s + AT_CHECKSUM) != checksum(s + AT_LENGTH, total - AT_LENGTH))
		return RECORD_BAD;

	*rec_r = (struct record){
	    .time = (int64_t)get64(s + AT_TIME),
	    .lost = get32(s + AT_LOST),
	    .flags = get16(s + AT_FLAGS),
	};
	s += RECORD_HEADER;
	rec_r->event = (struct str){s, event};
	rec_r->user = (struct str){s += event, user};
	rec_r->owner = (struct str){s += user, owner};
	rec_r->mailbox = (struct str){s += owner, mailbox};
	rec_r->json = (struct str){s += mailbox, json};
	return kind;
}

size_t record_resync(const char *s, size_t len, size_t from)
{
	while (from < len) {
		const char *p = memchr(s + from, record_magic[0], len - from);
		if (!p)
			return len;
		from = (size_t)(p - s);
		size_t magic = len - from < sizeof record_magic ? len - from : sizeof record_magic;
		if (memcmp(p, record_magic, magic) == 0)
			return from;
		from++;
	}
	return len;
}
