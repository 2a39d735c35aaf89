/* SPDX-License-Identifier: BSD-3-Clause */
/* The files of a journal directory: <base, 16 hex digits>.seg, each a header of
 * SEGMENT_HEADER bytes and then records. A position is base + offset in the file.
 * Source of the layout: mboxevent-journal(5).
 *
 * Each major version of the format has segments, with their files `bounds` and `boots`, in a
 * directory of its own, version 1 in the journal's, version N in its vN, and positions of its own:
 * so processes with the hook of one version never meet what they can't read. Everywhere here dirfd
 * is the journal's, and where a segment is follows from its base. */
#ifndef MBEV_SEGMENT_H
#define MBEV_SEGMENT_H

#include "record.h"

#include <sys/types.h>

#define SEGMENT_HEADER 128
/* What this build writes; it reads the one before too. A test builds the one to come. */
#ifndef SEGMENT_VERSION
#define SEGMENT_VERSION 1
#endif
#define SEGMENT_FIRST(version) ((uint64_t)((version)-1) << 56) /* its lowest position */
/* A new boot starts a segment this much higher, so that a power cut which
 * shortens a segment can't give a second event an old position. */
#define SEGMENT_BOOT_GAP (UINT64_C(1) << 40)

struct segment {
	uint64_t base;
	uint64_t limit;  /* bytes after which a writer seals it */
	int64_t created; /* microseconds since 1970 UTC */
	unsigned char uuid[16], boot[16];
};

static inline unsigned segment_version(uint64_t pos)
{
	return 1 + (unsigned)(pos >> 56);
}

/* "<base>.seg", "v2/<base>.seg". */
#define SEGMENT_NAME 25 /* its length at most */
void segment_name(char name_r[SEGMENT_NAME + 1], uint64_t base);

/* The name of a file that is to become it: unlike any other's, in whatever thread or pid namespace.
 * segment_sweep() finds what is left of them. */
#define SEGMENT_TMP 80
void segment_tmp(char name_r[SEGMENT_TMP], uint64_t base);

/* Of another file of a version, below the journal. */
void segment_place(char path_r[SEGMENT_TMP], unsigned version, const char *name);

/* Bases of all segments, in the order in which they are read, malloc'd (free() it): those of the
 * version before, up to where this one follows it (follows.h), then this one's. Their number, or -1
 * with errno. */
ssize_t segment_list(int dirfd, uint64_t **bases_r);

/* This version's alone: all that a writer needs, whatever became of the version before. */
ssize_t segment_list_own(int dirfd, uint64_t **bases_r);

/* Those that processes with the hook of the version before made since: 0 in version 1. */
ssize_t segment_list_older(int dirfd, uint64_t **bases_r);

/* This version's directory, made where it is missing. -1 with errno. */
int segment_home(int dirfd);
/* Brings the names in it to the disk. -1 with errno. */
int segment_sync_names(int dirfd);

/* Opens and checks the header. The descriptor (O_CLOEXEC | flags), or -1 with errno
 * (EPROTONOSUPPORT: of another version; EBADMSG: no segment, or damaged). */
int segment_open(int dirfd, uint64_t base, int flags, struct segment *seg_r);

/* Opens it to read its records even so: they are not worse for a header that is damaged. seg_r then
 * has the base alone. *damaged_r tells. One of another version is refused as by segment_open(). */
int segment_open_records(int dirfd, uint64_t base, struct segment *seg_r, bool *damaged_r);

/* Creates it whole and atomically (a temporary file, then link(2)), with owner, group and
 * mode from the directory. Not synced. 0, 1 when it is there already, -1 with errno. */
int segment_create(int dirfd, const struct segment *seg);

/* Where the segment begins that follows this one, which nobody can append to: it is of another boot
 * or version, or its header is damaged. */
uint64_t segment_beyond(int dirfd, uint64_t base);

/* Offset of the end of its first SEAL among the bytes before `end`; 0 when there is none, -1 with
 * errno. *next_r (NULL allowed) is the base of the segment that follows. Reads only what lies
 * behind the limit. */
ssize_t segment_seal(int fd, const struct segment *seg, off_t end, uint64_t *next_r);

/* Gives a file made in the directory the directory's mode, and its owner and group where the
 * caller is root. -1 with errno. */
int segment_adopt(int dirfd, int fd);

/* Whether the bytes begin something with this magic but another version, whole: what every version
 * keeps is that its number, 4 bytes, follows the magic, then the length, 4 bytes, the last 8 of
 * which are the checksum of all before. So a flipped bit is told from a version. */
bool segment_foreign(const void *head, size_t len, const unsigned char magic_8[8],
                     uint32_t version);

/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", lower case. */
#define SEGMENT_UUID 36
bool segment_uuid_parse(const char *s, size_t len, unsigned char uuid_r[16]);

/* <journal>/bounds, two numbers, preallocated. Below the floor every segment has been deleted: one
 * that is there again was made by a process that slept meanwhile, and is void. The top is the base
 * of about the newest segment ever made, for a directory that was emptied. 0, 0 without the file.
 */
struct segment_bounds {
	uint64_t floor, top;
};
int segment_bounds_init(int dirfd);
void segment_bounds(int dirfd, struct segment_bounds *bounds_r);
/* -1 with errno. The floor, of whatever version, is for the only process that deletes segments. */
int segment_floor(int dirfd, uint64_t floor);
int segment_top(int dirfd, uint64_t top);

/* Deletes what killed processes left of segments below the floor that they were making. */
void segment_sweep(int dirfd, uint64_t floor);

/* This boot's id, all zero where the kernel does not tell. */
void segment_boot(unsigned char boot_r[16]);

#endif
