/* SPDX-License-Identifier: BSD-3-Clause */
#include "aside.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

int move_aside(const char *path)
{
	static const char *const beside[] = {"-wal", "-shm"};
	char other[4200];
	snprintf(other, sizeof other, "%s.damaged", path);
	if (rename(path, other) < 0)
		return -1;
	for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
		snprintf(other, sizeof other, "%s%s", path, beside[i]);
		if (unlink(other) < 0 && errno != ENOENT)
			return -1;
	}
	return 0;
}
