/* SPDX-License-Identifier: BSD-3-Clause */
/* What the torture programs share: TAP, a directory and a file system of their own (in a mount
 * namespace that goes with the process), journals in it. */
#ifndef TESTS_TORTURE_SCRATCH_H
#define TESTS_TORTURE_SCRATCH_H

#include "../../lib/identity.h"
#include "../../lib/journal.h"
#include "../../lib/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int tap_n, tap_failed;

static inline void __attribute__((format(printf, 2, 3))) tap(bool good, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	printf("%sok %d - ", good ? "" : "not ", ++tap_n);
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
	va_end(ap);
	tap_failed += !good;
}

static inline void tap_skip(const char *what, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_n, what, why);
	fflush(stdout);
}

static inline int tap_end(void)
{
	printf("1..%d\n", tap_n);
	return tap_failed ? 1 : 0;
}

static inline int __attribute__((format(printf, 1, 2))) shell(const char *fmt, ...)
{
	char command[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(command, sizeof command, fmt, ap);
	va_end(ap);
	return system(command);
}

static char scratch[64], scratch_mnt[96], scratch_img[96];

/* Makes $TMPDIR/mboxevent-torture-*; NULL, or why there can be no mounts. */
static inline const char *scratch_make(void)
{
	const char *tmp = getenv("TMPDIR");
	if (!tmp || strlen(tmp) > 30)
		tmp = "/tmp";
	snprintf(scratch, sizeof scratch, "%s/mboxevent-torture-XXXXXX", tmp);
	if (!mkdtemp(scratch)) {
		printf("Bail out! cannot make %s\n", scratch);
		exit(1);
	}
	snprintf(scratch_mnt, sizeof scratch_mnt, "%s/mnt", scratch);
	snprintf(scratch_img, sizeof scratch_img, "%s/ext4.img", scratch);
	if (mkdir(scratch_mnt, 0755) < 0)
		return "cannot make a directory";
	if (geteuid() != 0)
		return "mounting needs root";
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "no mount namespace of its own here";
	return NULL;
}

static inline void scratch_remove(void)
{
	umount2(scratch_mnt, MNT_DETACH);
	if (shell("rm -rf %s", scratch) != 0)
		printf("# %s stays\n", scratch);
}

/* An ext4 of `mb` MB in a file, mounted by a loop device. */
static inline bool scratch_ext4(int mb, const char *mkfs, const char *options)
{
	return shell("PATH=$PATH:/usr/sbin:/sbin; truncate -s 0 %s && truncate -s %dM %s && "
	             "mkfs.ext4 -q -F %s %s >/dev/null 2>&1 && mount -o loop%s %s %s 2>/dev/null",
	             scratch_img, mb, scratch_img, mkfs, scratch_img, options, scratch_img,
	             scratch_mnt) == 0;
}

static inline bool scratch_again(void)
{
	return shell("PATH=$PATH:/usr/sbin:/sbin; mount -o loop %s %s", scratch_img, scratch_mnt) ==
	       0;
}

static inline bool scratch_umount(void)
{
	for (int i = 0; i < 100; i++) {
		if (umount(scratch_mnt) == 0)
			return true;
		usleep(10000);
	}
	return false;
}

/* {"n":N,...} of writer `who`, pad bytes long at least. 0 or -1. */
static inline int put_event(struct journal *j, int who, int n, size_t pad, uint64_t *pos_r,
                            const char **why_r)
{
	static char json[70000];
	char user[16];
	if (pad > sizeof json - 64)
		pad = sizeof json - 64;
	int len = snprintf(json, sizeof json, "{\"n\":%d,\"p\":\"", n);
	memset(json + len, 'x', pad);
	memcpy(json + (size_t)len + pad, "\"}", 3);
	snprintf(user, sizeof user, "%d", who);
	struct record rec = {.event = STR("MessageNew"),
	                     .user = {user, strlen(user)},
	                     .mailbox = STR("INBOX"),
	                     .json = {json, (size_t)len + pad + 2}};
	return journal_append(j, &rec, pos_r, why_r);
}

static inline int event_who(const struct record *rec)
{
	return atoi(rec->user.s);
}

static inline int event_n(const struct record *rec)
{
	return atoi(rec->json.s + 5);
}

/* $MBOXEVENT_SEED, else the time; printed. */
static inline uint64_t seed_make(void)
{
	const char *env = getenv("MBOXEVENT_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 10) : (uint64_t)time(NULL);
	printf("# MBOXEVENT_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

static inline unsigned chance_of(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(*seed >> 33);
}

#endif
