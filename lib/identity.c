/* SPDX-License-Identifier: BSD-3-Clause */
#include "identity.h"

#include "boots.h"
#include "follows.h"
#include "lost.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FILE_NAME "identity"
#define TITLE     "mboxevent-journal "
#define FORMAT    "mboxevent-journal 1\nuuid %s\nformer %s\ninode %llu\n"

static const char hex[] = "0123456789abcdef";

/* By hand, as is journal_id(): each event of a subscription has an id, and snprintf(3) took near
 * a third of the time in which the unix sink sends it. */
static void uuid_text(char text_r[SEGMENT_UUID + 1], const unsigned char u[16])
{
	char *p = text_r;
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[u[i] >> 4];
		*p++ = hex[u[i] & 15];
	}
	*p = '\0';
}

static int identity_read(int dirfd, unsigned char uuid_r[16], unsigned char former_r[16],
                         bool *copy_r)
{
	char text[256], uuid[37], former[37];
	unsigned long long inode;
	struct stat st;
	int fd = openat(dirfd, FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -1;
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	int r = n < 0 ? -1 : fstat(fd, &st);
	close(fd);
	if (r < 0)
		return -1;
	text[n] = '\0';
	if (sscanf(text, "mboxevent-journal 1\nuuid %36s\nformer %36s\ninode %llu", uuid, former,
	           &inode) != 3 ||
	    !segment_uuid_parse(uuid, strlen(uuid), uuid_r) ||
	    !segment_uuid_parse(former, strlen(former), former_r)) {
		unsigned version;
		errno = sscanf(text, TITLE "%u\n", &version) == 1 && version > 1 ? EPROTONOSUPPORT
		                                                                 : EBADMSG;
		return -1;
	}
	*copy_r = inode != (unsigned long long)st.st_ino;
	return 0;
}

int journal_identity(int dirfd, unsigned char uuid_r[16], unsigned char former_r[16])
{
	bool copy;
	return identity_read(dirfd, uuid_r, former_r, &copy);
}

const char *journal_identity_error(int error)
{
	switch (error) {
	case EPROTONOSUPPORT:
		return "its file 'identity' is of a version that this program does not know: "
		       "install the one that made it, or set mboxevent_journal to another "
		       "directory";
	case EBADMSG:
		return "its file 'identity' is damaged: remove it, ids get a new uuid";
	default:
		return strerror(error);
	}
}

static int identity_write(int dirfd, const unsigned char former[16])
{
	unsigned char uuid[16];
	char u[SEGMENT_UUID + 1], f[SEGMENT_UUID + 1], text[256];
	struct stat st;
	if (getrandom(uuid, sizeof uuid, 0) != sizeof uuid)
		return -1;
	uuid[6] = (uuid[6] & 0x0f) | 0x40; /* RFC 4122, 4.4: version 4 */
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	uuid_text(u, uuid);
	uuid_text(f, former);
	unlinkat(dirfd, "." FILE_NAME, 0);
	int fd = openat(dirfd, "." FILE_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	int r = fstat(fd, &st);
	int len = snprintf(text, sizeof text, FORMAT, u, f, (unsigned long long)st.st_ino);
	if (r == 0 && write(fd, text, (size_t)len) != len)
		r = -1;
	if (r == 0)
		r = segment_adopt(dirfd, fd);
	if (r == 0)
		r = fsync(fd);
	if (r == 0)
		r = renameat(dirfd, "." FILE_NAME, dirfd, FILE_NAME);
	if (r == 0)
		r = fsync(dirfd);
	int why = errno;
	close(fd);
	errno = why;
	return r;
}

/* Lock-free appends rest on what local file systems promise of O_APPEND. */
const char *journal_remote(int dirfd)
{
	struct statfs fs;
	if (fstatfs(dirfd, &fs) < 0)
		return NULL;
	switch ((unsigned long)fs.f_type) {
	case NFS_SUPER_MAGIC:
		return "NFS";
	case FUSE_SUPER_MAGIC:
		return "FUSE";
	case 0xff534d42: /* CIFS, not in linux/magic.h */
	case SMB2_SUPER_MAGIC:
		return "SMB";
	case V9FS_MAGIC:
		return "9p";
	case CEPH_SUPER_MAGIC:
		return "Ceph";
	default:
		return NULL;
	}
}

static int subdir(int dirfd, const char *name)
{
	struct stat dir;
	if (mkdirat(dirfd, name, 0700) < 0)
		return errno == EEXIST ? 0 : -1;
	if (fstat(dirfd, &dir) < 0)
		return -1;
	if (geteuid() == 0 && fchownat(dirfd, name, dir.st_uid, dir.st_gid, 0) < 0)
		return -1;
	return fchmodat(dirfd, name, dir.st_mode & 0777, 0);
}

int journal_init(const char *dir, char **why_r)
{
	*why_r = NULL;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		if (asprintf(why_r, "cannot make the journal directory %s: %s", dir,
		             strerror(errno)) < 0)
			*why_r = NULL;
		return -1;
	}
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *fs = dirfd < 0 ? NULL : journal_remote(dirfd);
	unsigned char uuid[16], former[16] = {0};
	bool copy = false;
	int known = -1, settled = 0, r = dirfd < 0 || fs ? -1 : 0;
	/* Before anything is written: it may be another version's. */
	if (r == 0 && (known = identity_read(dirfd, uuid, former, &copy)) < 0 && errno != ENOENT)
		r = -1;
	if (r == 0 &&
	    (subdir(dirfd, "cursors") < 0 || subdir(dirfd, "status") < 0 ||
	     subdir(dirfd, "dead") < 0 || subdir(dirfd, "gone") < 0 || lost_init(dirfd) < 0 ||
	     segment_home(dirfd) < 0 || segment_bounds_init(dirfd) < 0 || boots_init(dirfd) < 0))
		r = -1;
	if (r == 0)
		r = settled = follows_settle(dirfd);
	if (r == 0 && known < 0)
		r = identity_write(dirfd, (unsigned char[16]){0});
	else if (r == 0 && copy)
		r = identity_write(dirfd, uuid);
	if (r < 0) {
		int n = fs ? asprintf(why_r,
		                      "the journal directory %s is on %s: it must be on a local "
		                      "file system (set mboxevent_journal)",
		                      dir, fs)
		           : asprintf(why_r, "cannot set up the journal directory %s: %s", dir,
		                      settled < 0 && errno == EBADMSG
		                          ? "its file follows-v<version> is damaged or gone: see "
		                            "VERSIONS in mboxevent-journal(5)"
		                          : journal_identity_error(errno));
		if (n < 0)
			*why_r = NULL;
	}
	if (dirfd >= 0)
		close(dirfd);
	return r;
}

void journal_id(char id_r[JOURNAL_ID], const unsigned char uuid[16], uint64_t pos)
{
	uuid_text(id_r, uuid);
	id_r[SEGMENT_UUID] = '-';
	journal_id_move(id_r, pos);
	id_r[JOURNAL_ID - 1] = '\0';
}

void journal_id_move(char id[JOURNAL_ID], uint64_t pos)
{
	char *p = id + SEGMENT_UUID + 1;
	for (int shift = 60; shift >= 0; shift -= 4)
		*p++ = hex[pos >> shift & 15];
}

bool journal_id_parse(const char *s, size_t len, unsigned char uuid_r[16], uint64_t *pos_r)
{
	if (len != JOURNAL_ID - 1 || s[SEGMENT_UUID] != '-' ||
	    !segment_uuid_parse(s, SEGMENT_UUID, uuid_r))
		return false;
	*pos_r = 0;
	for (size_t i = SEGMENT_UUID + 1; i < len; i++) {
		int c = s[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		*pos_r = *pos_r << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return true;
}
