/* SPDX-License-Identifier: BSD-3-Clause */
/* Forced into journal.c and segment.c: before every system call of the append path a
 * writer may be stopped for a while or killed. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

void chaos(void);

#define openat(...)   (chaos(), openat(__VA_ARGS__))
#define open(...)     (chaos(), open(__VA_ARGS__))
#define write(...)    (chaos(), write(__VA_ARGS__))
#define lseek(...)    (chaos(), lseek(__VA_ARGS__))
#define pread(...)    (chaos(), pread(__VA_ARGS__))
#define linkat(...)   (chaos(), linkat(__VA_ARGS__))
#define unlinkat(...) (chaos(), unlinkat(__VA_ARGS__))
#define readdir(x)    (chaos(), readdir(x))
#define fstatat(...)  (chaos(), fstatat(__VA_ARGS__))
