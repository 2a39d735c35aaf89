/* SPDX-License-Identifier: BSD-3-Clause */
#include "journal.h"

#include "boots.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rescue.h"
#include "room.h"

#define LIMIT_MIN 4096
/* How often a writer follows others to a newer segment before it gives an event up: only very
 * small segments on a very busy machine make it move more than once. */
#define MOVES 1000

/* After a sync that failed for good the next is tried after so long, microseconds: each costs a
 * copy of the segment. */
#define UNSYNCED 5000000

#define KEEP (256 * 1024) /* the most memory kept from record to record */

/* What tells one file from another, also from one that got the inode of a deleted one. Where the
 * file system knows no time of birth, the flags must do: none but a segment is opened with these.
 */
struct mark {
	uint32_t major, minor, links;
	uint64_t ino;
	int64_t born;
	uint32_t born_ns;
};

struct journal {
	char *dir;
	struct journal_options opt;
	struct segment seg;
	int fd; /* the segment, -1 when none is open */
	struct mark mark;
	pid_t pid;          /* whose fd and losses these are: a child opens its own */
	char *here;         /* a page that the kernel empties for a child, so that a fork is seen
	                       without a system call; NULL: not here, getpid(2) tells */
	uint64_t next_base; /* the segment is sealed: go on there; 0 when it is not */
	bool named;         /* opt.sync: the segment's directory entry is on the disk */
	bool doubt;         /* a sync of the segment failed, so none that follows says anything */
	int64_t unsynced;   /* when that could not be mended */
	dev_t dev;          /* the directory that fd is in, */
	ino_t ino;
	time_t looked;   /* and when its path was last seen to lead there, monotonic seconds */
	int64_t refused; /* when a new segment was refused, to ask again only after a while */
	const char *why; /* why it was refused, */
	enum lost_reason barred;        /* and as what that counts */
	bool foreign;                   /* the directory is another version's: not a byte into it */
	enum lost_reason reason;        /* of the last failure */
	unsigned lost;                  /* since the last append that succeeded */
	unsigned unrecorded;            /* of these, not yet in the counter file, */
	unsigned reasons[LOST_REASONS]; /* and as what each is to be counted */
	struct buf record;
};

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* NULL where the kernel can't empty it for a child (before Linux 4.14). */
static char *page_of_here(void)
{
	size_t len = (size_t)sysconf(_SC_PAGESIZE);
	/* cppcheck-suppress invalidFunctionArg ; there is no file */
	char *page = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return NULL;
	/* Emulators take any advice and follow none. */
	if (madvise(page, len, -1) == 0 || madvise(page, len, MADV_WIPEONFORK) < 0) {
		munmap(page, len);
		return NULL;
	}
	*page = 1;
	return page;
}

int journal_open(struct journal **j_r, const char *dir, const struct journal_options *opt,
                 const char **why_r)
{
	struct journal *j = calloc(1, sizeof *j);
	if (!j || !(j->dir = strdup(dir))) {
		free(j);
		*why_r = "out of memory";
		return -1;
	}
	j->opt = *opt;
	j->fd = -1;
	j->pid = getpid();
	j->here = page_of_here();
	*j_r = j;
	return 0;
}

static int mark(int fd, struct mark *m_r)
{
	const int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK;
	struct statx x;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_NLINK | STATX_BTIME, &x) < 0)
		return -1;
	bool known = x.stx_mask & STATX_BTIME;
	if (!known && (fcntl(fd, F_GETFL) & flags) != flags)
		return -1;
	*m_r = (struct mark){.major = x.stx_dev_major,
	                     .minor = x.stx_dev_minor,
	                     .links = x.stx_nlink,
	                     .ino = x.stx_ino,
	                     .born = known ? x.stx_btime.tv_sec : 0,
	                     .born_ns = known ? x.stx_btime.tv_nsec : 0};
	return 0;
}

static bool same(const struct journal *j, struct mark *m_r)
{
	const struct mark *is = &j->mark;
	return j->fd >= 0 && mark(j->fd, m_r) == 0 && m_r->ino == is->ino &&
	       m_r->major == is->major && m_r->minor == is->minor && m_r->born == is->born &&
	       m_r->born_ns == is->born_ns;
}

/* Whether j->fd is still the segment: Cyrus daemons close every descriptor above 2 and
 * reuse the numbers, and a foreign file must never be written. */
static bool ours(const struct journal *j)
{
	struct mark m;
	return same(j, &m) && m.links > 0;
}

/* Whether the path leads to another directory by now: what went on into the one that was moved away
 * would be read by nobody. Asked once a second, on a clock that takes no system call. Where the
 * path leads nowhere (not made anew yet; rights given up since) the descriptor is as good as
 * before. */
static bool moved(struct journal *j)
{
	struct timespec t;
	struct stat st;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	if (t.tv_sec == j->looked)
		return false;
	j->looked = t.tv_sec;
	return stat(j->dir, &st) == 0 && S_ISDIR(st.st_mode) &&
	       (st.st_dev != j->dev || st.st_ino != j->ino);
}

static void forget(struct journal *j)
{
	struct mark m;
	if (same(j, &m))
		close(j->fd);
	j->fd = -1;
	j->next_base = 0;
}

void journal_close(struct journal **j)
{
	if (!*j)
		return;
	forget(*j);
	if ((*j)->here)
		munmap((*j)->here, (size_t)sysconf(_SC_PAGESIZE));
	buf_free(&(*j)->record);
	free((*j)->dir);
	free(*j);
	*j = NULL;
}

/* In a child the parent's descriptor is not used, nor are the parent's losses told again. */
static void inherit(struct journal *j)
{
	if (j->here ? *j->here : j->pid == getpid())
		return;
	forget(j);
	j->lost = j->unrecorded = 0;
	memset(j->reasons, 0, sizeof j->reasons);
	j->pid = getpid();
	if (j->here)
		*j->here = 1;
}

static int opendir_fd(const struct journal *j)
{
	return open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Bytes that a new segment may grow to, or 0 with *why_r when there is no room for one. */
static uint64_t room(struct journal *j, int dirfd, const uint64_t *bases, ssize_t n,
                     const char **why_r)
{
	struct room room;
	if (room_measure(dirfd, &j->opt, bases, n, &room) < 0) {
		j->reason = lost_reason(errno);
		*why_r = "cannot ask for the room of the journal's file system";
		return 0;
	}
	uint64_t limit = room.segment;
	/* A segment that its writers can't fill would never be sealed. */
	struct rlimit rl;
	if (getrlimit(RLIMIT_FSIZE, &rl) == 0 && rl.rlim_cur / 2 < limit)
		limit = rl.rlim_cur / 2;
	if (limit < LIMIT_MIN) {
		j->reason = LOST_FILE_SIZE_LIMIT;
		*why_r = "this process's file size limit is too small for a journal";
		return 0;
	}
	room.segment = limit;
	const char *refusal = room_refusal(&room, &j->reason);
	if (refusal)
		*why_r = refusal;
	return refusal ? 0 : limit;
}

/* What a process that closed them writes to its standard output or error must not land in the
 * journal. */
static int above_stdio(int fd)
{
	if (fd > STDERR_FILENO)
		return fd;
	int up = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return up;
}

static int use(struct journal *j, int dirfd, int fd, const struct segment *seg, const char **why_r)
{
	struct stat st, dir;
	fd = above_stdio(fd);
	if (fd < 0) {
		j->reason = LOST_DESCRIPTORS;
		*why_r = "no descriptor is left for the journal's segment";
		return -1;
	}
	if (mark(fd, &j->mark) < 0 || fstat(fd, &st) < 0 || fstat(dirfd, &dir) < 0) {
		close(fd);
		j->reason = LOST_OTHER;
		*why_r = "cannot stat the journal's segment";
		return -1;
	}
	j->fd = fd;
	j->seg = *seg;
	j->dev = dir.st_dev;
	j->ino = dir.st_ino;
	j->named = j->doubt = false;
	j->next_base = 0;
	if ((uint64_t)st.st_size > seg->limit)
		segment_seal(fd, seg, st.st_size, &j->next_base);
	return 0;
}

/* Whether no power cut can have shortened it: it was made since this kernel started. */
static bool this_boot(const struct segment *seg, const unsigned char boot[16],
                      const struct boots *boots)
{
	static const unsigned char unknown[16];
	if (memcmp(seg->boot, unknown, 16) == 0 || memcmp(boot, unknown, 16) == 0) {
		if (boots_since_start(seg->created))
			return true;
	} else if (memcmp(seg->boot, boot, 16) == 0) {
		return true;
	}
	/* Made by a process that sees another boot id (a container), but later than one of ours. */
	return boots->known && seg->base >= boots->first;
}

/* Ends a segment whose writers may be alive although they see another boot id: containers on this
 * kernel. It is sealed with a gap behind, so that they and we come to the same base. Should they be
 * dead all the same, nothing may be appended where they did: what is to be made is then in their
 * name, and left in turn. 1 with what is to be made; 0: not on this file system; -1. */
static int leave(int fd, const struct segment *seg, const struct boots *boots,
                 struct segment *new_r)
{
	uint32_t gaps = 1;
	uint64_t next = 0;
	if (boots->above > seg->base + 1)
		gaps += (uint32_t)((boots->above - seg->base) / SEGMENT_BOOT_GAP + 1);
	ssize_t end = segment_retire(fd, seg, gaps, &next);
	if (end < 0)
		return errno == EOPNOTSUPP ? 0 : -1;
	new_r->base = next;
	bool theirs = next - seg->base - (uint64_t)end < SEGMENT_BOOT_GAP;
	bool begun = boots->above > next && !(boots->known && boots->first == next);
	if (theirs || begun)
		memcpy(new_r->boot, seg->boot, sizeof new_r->boot);
	return 1;
}

/* Opens the newest segment, or starts the one that follows. at_least: the base a new one must
 * have when the newest is below it (it is sealed); 0: not known. */
static int attach(struct journal *j, uint64_t at_least, const char **why_r)
{
	uint64_t *bases = NULL;
	int fd = -1, dirfd = opendir_fd(j), r = -1;
	j->foreign = false;
	j->reason = dirfd < 0 ? lost_reason(errno) : LOST_OTHER;
	*why_r = "the journal's segments change faster than this process can follow";
	if (dirfd < 0) {
		*why_r = errno == ENOENT
		             ? "the journal directory is missing: start notifyd, which makes it"
		             : "cannot open the journal directory (permissions? descriptors?)";
		return -1;
	}
	for (int tries = 0; tries < MOVES; tries++) {
		free(bases);
		struct segment_bounds bounds;
		struct boots boots;
		struct segment seg;
		struct segment new = {.created = now()};
		segment_boot(new.boot);
		/* before the list: what is made later is not in it */
		segment_bounds(dirfd, &bounds);
		boots_read(dirfd, new.boot, &boots);
		ssize_t n = segment_list_own(dirfd, &bases);
		if (n < 0) {
			bases = NULL;
			j->reason = lost_reason(errno);
			*why_r = "cannot read the journal directory";
			break;
		}
		uint64_t newest = n ? bases[n - 1] : 0;
		uint64_t above = 0;  /* the boot's first segment must not lie below this */
		bool begins = false; /* it is that */
		if (!n && segment_home(dirfd) < 0) {
			j->reason = lost_reason(errno);
			*why_r = "cannot make the journal's directory for segments (permissions? "
				 "space?)";
			break;
		}
		if (!n || newest < bounds.floor) {
			/* The first; or somebody, a power cut even, took segments away. The one at
			 * the floor was there, and none is deleted but behind a newer one. */
			above = bounds.top > bounds.floor ? bounds.top : bounds.floor;
			new.base = above      ? above + SEGMENT_BOOT_GAP
			           : at_least ? at_least
			                      : SEGMENT_FIRST(SEGMENT_VERSION);
			begins = true;
		} else if (newest >= at_least) {
			fd = segment_open(dirfd, newest, O_RDWR | O_APPEND, &seg);
			int why = errno;
			segment_bounds(dirfd, &bounds);
			if (fd >= 0 && newest < bounds.floor) {
				/* Deleted since it was looked for, and made again by one that
				 * slept: void. */
				close(fd);
				continue;
			}
			if (fd >= 0 && this_boot(&seg, new.boot, &boots)) {
				r = use(j, dirfd, fd, &seg, why_r);
				break;
			}
			if (fd < 0 && why == ENOENT)
				continue; /* trimmed, so there is a newer one */
			if (fd < 0 && why != EBADMSG && why != EPROTONOSUPPORT) {
				j->reason = lost_reason(why);
				*why_r = "cannot open the journal's newest segment (permissions?)";
				break;
			}
			int left = fd >= 0 && boots_since_start(seg.created)
			               ? leave(fd, &seg, &boots, &new)
			               : 0;
			if (fd >= 0)
				close(fd);
			if (left < 0) {
				j->reason = lost_reason(errno);
				*why_r = "cannot seal the segment of another boot (no space?)";
				break;
			}
			if (!left) {
				new.base = segment_beyond(dirfd, newest);
				above = newest + 1;
				begins = true;
			}
		} else {
			new.base = at_least;
		}
		/* All processes of a boot must come to the same base. Where others on this kernel
		 * are about to begin, theirs is made in their name, and left for ours. */
		if (begins && boots.known && boots.first >= above) {
			new.base = boots.first;
		} else if (begins && boots.beside && boots.beside_first >= above) {
			new.base = boots.beside_first;
			memcpy(new.boot, boots.beside_boot, sizeof new.boot);
		} else if (begins && boots.above && new.base < boots.above + SEGMENT_BOOT_GAP) {
			new.base = boots.above + SEGMENT_BOOT_GAP;
		}
		new.limit = room(j, dirfd, bases, n, why_r);
		if (!new.limit)
			break;
		unsigned char former[16];
		if (journal_identity(dirfd, new.uuid, former) < 0) {
			j->foreign = errno == EPROTONOSUPPORT;
			if (j->foreign) {
				j->reason = LOST_VERSION;
				*why_r = "the journal directory is of a version that this hook "
					 "does not know: install the one that made it, or set "
					 "mboxevent_journal to another directory";
				break;
			}
			memset(new.uuid, 0, sizeof new.uuid);
		}
		/* First on the disk: others may append to it before its name is there, and after a
		 * power cut their positions must not come again. */
		begins |= new.base - newest >= SEGMENT_BOOT_GAP;
		if (begins && boots_begin(dirfd, new.boot, new.base) < 0) {
			j->reason = lost_reason(errno);
			*why_r = "cannot write the journal's file 'boots' (permissions? disk?)";
			break;
		}
		int made = segment_create(dirfd, &new);
		if (made < 0) {
			j->reason = lost_reason(errno);
			*why_r = errno == ENOSPC || errno == EDQUOT
			             ? "no room for a new journal segment"
			             : "cannot make a journal segment (permissions?)";
			break;
		}
		if (made == 0) {
			/* Was this process stopped, between its look at the directory and its
			 * link(2), so long that others have filled and notifyd has deleted the very
			 * segment it has now made again? */
			segment_bounds(dirfd, &bounds);
			if (new.base < bounds.floor) {
				char name[SEGMENT_NAME + 1];
				segment_name(name, new.base);
				unlinkat(dirfd, name, 0);
			} else {
				segment_top(dirfd, new.base + 1);
			}
		}
	}
	free(bases);
	close(dirfd);
	return r;
}

/* Makes j->fd a segment that is not known to be sealed. */
static int ready(struct journal *j, const char **why_r)
{
	if (j->fd >= 0 && (!ours(j) || moved(j)))
		forget(j);
	if (j->fd >= 0 && !j->next_base)
		return 0;
	/* A journal with no room is asked again ten times a second, not once an event. */
	int64_t t = now();
	if (j->refused && t >= j->refused && t - j->refused < 100000) {
		*why_r = j->why;
		j->reason = j->barred;
		return -1;
	}
	j->refused = 0;
	for (int tries = 0; tries < MOVES; tries++) {
		uint64_t at_least = j->fd >= 0 ? j->next_base : 0;
		struct journal old = *j;
		if (attach(j, at_least, why_r) < 0) {
			j->refused = t;
			j->why = *why_r;
			j->barred = j->reason;
			return -1;
		}
		if (old.fd >= 0)
			close(old.fd);
		if (!j->next_base)
			return 0;
	}
	j->reason = LOST_OTHER;
	*why_r = "the journal's segments change faster than this process can follow";
	return -1;
}

/* write() that never raises SIGXFSZ. The limit may be set at any time, prlimit(1). */
static ssize_t put(const struct journal *j, const char *s, size_t len)
{
	struct rlimit rl;
	bool limited = getrlimit(RLIMIT_FSIZE, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY;
	sigset_t xfsz, before;
	if (limited) {
		sigemptyset(&xfsz);
		sigaddset(&xfsz, SIGXFSZ);
		pthread_sigmask(SIG_BLOCK, &xfsz, &before);
	}
	ssize_t n;
	do
		n = write(j->fd, s, len);
	while (n < 0 && errno == EINTR);
	if (limited) {
		int why = errno;
		if (n < 0 && why == EFBIG && !sigismember(&before, SIGXFSZ))
			sigtimedwait(&xfsz, NULL, &(struct timespec){0, 0});
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		errno = why;
	}
	return n;
}

static const char *put_error(int e)
{
	switch (e) {
	case ENOSPC:
		return "no space left for the journal";
	case EDQUOT:
		return "the disk quota of the journal's owner is used up";
	case EFBIG:
		return "the journal's segment exceeds this process's file size limit";
	case EROFS:
		return "the journal's file system is read-only";
	case EIO:
		return "input/output error on the journal's file system";
	default:
		return "cannot write to the journal";
	}
}

/* Appends one encoded record. The offset of its end, or -1. */
static off_t append(struct journal *j, const struct buf *record, const char **why_r)
{
	/* A short write (a full disk, a signal) is never continued: what others appended may lie
	 * in between. The whole record goes again; readers skip the torn piece. */
	for (int tries = 0; tries < 3; tries++) {
		ssize_t n = put(j, record->s, record->len);
		if (n < 0) {
			j->reason = lost_reason(errno);
			*why_r = put_error(errno);
			return -1;
		}
		if ((size_t)n == record->len)
			return lseek(j->fd, 0, SEEK_CUR);
	}
	j->reason = LOST_NO_SPACE;
	*why_r = put_error(ENOSPC);
	return -1;
}

static int seal(struct journal *j)
{
	struct buf record = BUF_INIT;
	const char *why;
	off_t end = -1;
	if (record_encode(&record, RECORD_SEAL, NULL, now()) == 0)
		end = append(j, &record, &why);
	buf_free(&record);
	/* Another writer's may be the first. */
	return end >= 0 && segment_seal(j->fd, &j->seg, end, &j->next_base) > 0 ? 0 : -1;
}

/* The segment's directory entry, of which its maker may not have been told yet that it is on the
 * disk. */
static int sync_name(const struct journal *j, int dirfd)
{
	char name[SEGMENT_NAME + 1];
	struct stat st;
	struct mark m;
	segment_name(name, j->seg.base);
	bool here = fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == j->mark.ino;
	/* Else it was delivered and deleted, or a copy has its place (rescue.h); or the directory
	 * was moved away, and this is another. */
	if (!here && (!same(j, &m) || m.links))
		return -1;
	return segment_sync_names(dirfd);
}

/* Brings what was appended to the disk: 0, or 1 with *why_r: it is not known to be there. */
static int sync_append(struct journal *j, const char **why_r)
{
	int64_t t = now();
	*why_r = "the disk did not take it; a power cut may lose what is in the journal";
	if (j->unsynced && t >= j->unsynced && t - j->unsynced < UNSYNCED)
		return 1;
	int r = j->doubt ? -1 : fdatasync(j->fd);
	if (r == 0 && j->named) {
		j->unsynced = 0;
		return 0;
	}
	int dirfd = opendir_fd(j);
	if (r < 0) {
		j->doubt = true;
		r = dirfd < 0 ? -1 : segment_rescue(dirfd, j->fd, &j->seg);
		if (r == 0) /* what is open is not what has the name any more */
			forget(j);
	} else {
		r = dirfd < 0 ? -1 : sync_name(j, dirfd);
		j->named = r == 0;
	}
	if (dirfd >= 0)
		close(dirfd);
	j->unsynced = r == 0 ? 0 : t;
	return r == 0 ? 0 : 1;
}

/* As journal_offer(). */
static int store(struct journal *j, const struct record *rec, uint64_t *pos_r, const char **why_r)
{
	buf_reset(&j->record);
	struct record r = *rec;
	r.lost += j->lost;
	if (record_encode(&j->record, RECORD_EVENT, &r, r.time ? r.time : now()) < 0) {
		j->reason = j->record.failed ? LOST_MEMORY : LOST_TOO_LARGE;
		*why_r = j->record.failed ? "out of memory" : "the event is longer than 32 MB";
		return -1;
	}
	for (int tries = 0; tries < MOVES; tries++) {
		if (ready(j, why_r) < 0)
			return -1;
		off_t end = append(j, &j->record, why_r);
		if (end < 0)
			return -1;
		off_t start = end - (off_t)j->record.len;
		if ((uint64_t)end > j->seg.limit) {
			ssize_t sealed = segment_seal(j->fd, &j->seg, start, &j->next_base);
			if (sealed < 0) {
				j->reason = lost_reason(errno);
				*why_r = "cannot read the journal's segment back";
				return -1;
			}
			if (sealed > 0) /* nobody reads behind a SEAL */
				continue;
		}
		*pos_r = j->seg.base + (uint64_t)start;
		int r = j->opt.sync ? sync_append(j, why_r) : 0;
		/* When the SEAL can't be written (a full disk), the next writer tries. */
		if (j->fd >= 0 && (uint64_t)end > j->seg.limit)
			seal(j);
		return r;
	}
	j->reason = LOST_OTHER;
	*why_r = "the journal's segments change faster than this process can follow";
	return -1;
}

int journal_offer(struct journal *j, const struct record *rec, uint64_t *pos_r, const char **why_r)
{
	int before = errno, r;
	uint64_t pos;
	inherit(j);
	r = store(j, rec, &pos, why_r);
	if (r >= 0) {
		j->lost = 0;
		if (pos_r)
			*pos_r = pos;
		if (j->unrecorded)
			journal_lost(j, LOST_UNKNOWN, 0);
	}
	if (j->record.cap > KEEP)
		buf_free(&j->record);
	errno = before;
	return r;
}

int journal_append(struct journal *j, const struct record *rec, uint64_t *pos_r, const char **why_r)
{
	struct record fresh = *rec;
	fresh.time = 0;
	fresh.lost = 0;
	int r = journal_offer(j, &fresh, pos_r, why_r);
	if (r < 0)
		journal_lost(j, j->reason, 1);
	return r;
}

void journal_lost(struct journal *j, enum lost_reason reason, unsigned n)
{
	int before = errno;
	inherit(j);
	j->lost += n;
	j->unrecorded += n;
	j->reasons[reason] += n;
	struct rlimit rl; /* with hardly any room in files at all, counting would raise SIGXFSZ */
	bool may = getrlimit(RLIMIT_FSIZE, &rl) == 0 && rl.rlim_cur >= LIMIT_MIN;
	int dirfd = may && !j->foreign ? opendir_fd(j) : -1;
	if (dirfd >= 0) {
		for (int i = 0; i < LOST_REASONS; i++) {
			if (!j->reasons[i] ||
			    lost_add(dirfd, (enum lost_reason)i, j->reasons[i]) < 0)
				continue;
			j->unrecorded -= j->reasons[i];
			j->reasons[i] = 0;
		}
		close(dirfd);
	}
	errno = before;
}

unsigned journal_lost_pending(const struct journal *j)
{
	return j->lost;
}
