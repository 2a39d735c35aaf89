/* SPDX-License-Identifier: BSD-3-Clause */
/* Forced into boots.c, journal.c, rescue.c, segment.c, cursor.c and keeper.c: at every system call
 * that changes what is on the disk the power may fail, and boot id and uptime are the torture's
 * own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* Before (after: 0) and after such a call. */
void power(const char *call, int after);
/* Whether the disk takes nothing this once. */
int power_fails(void);
int power_uptime(struct timespec *t_r);
const char *power_path(const char *path);

#define AROUND(type, what, name, ...)                                                              \
	({                                                                                         \
		power(what, 0);                                                                    \
		type result_ = name(__VA_ARGS__);                                                  \
		power(what, 1);                                                                    \
		result_;                                                                           \
	})
/* Of the clocks that the program asks for only this one is of a boot. */
#define clock_gettime(clock, t)                                                                    \
	((clock) == CLOCK_BOOTTIME ? power_uptime(t) : clock_gettime(clock, t))
#define open(path, ...) open(power_path(path), __VA_ARGS__)
/* by its length: a SEAL, a segment's header, an event */
#define write(fd, s, n)                                                                            \
	AROUND(ssize_t, (n) == 48 ? "seal" : (n) == 128 ? "header" : "append", write, fd, s, n)
/* likewise: a bound, a boot's beginning, a cursor's slot */
#define pwrite(fd, s, n, at)                                                                       \
	AROUND(ssize_t, (n) == 8 ? "bounds" : (n) == 40 ? "boots" : "cursor", pwrite, fd, s, n, at)
#define linkat(...)   AROUND(int, "link", linkat, __VA_ARGS__)
#define unlinkat(...) AROUND(int, "delete", unlinkat, __VA_ARGS__)
#define renameat(...) AROUND(int, "rename", renameat, __VA_ARGS__)
#define fdatasync(...)                                                                             \
	(power_fails() ? (errno = EIO, -1) : AROUND(int, "fdatasync", fdatasync, __VA_ARGS__))
#define fsync(...) AROUND(int, "fsync", fsync, __VA_ARGS__)
