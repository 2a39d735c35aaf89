/* SPDX-License-Identifier: BSD-3-Clause */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX ((size_t)64 << 10)

static int refuse(char **why_r, const char *path, const char *why)
{
	char text[1200];

	snprintf(text, sizeof(text), "%.800s %s", path, why);
	*why_r = strdup(text);
	return -1;
}

static int refuse_errno(char **why_r, const char *path)
{
	char text[256];

	snprintf(text, sizeof(text), "can't be read: %s%s", strerror(errno),
	         errno == EACCES ? "; it must belong to the user of notifyd" : "");
	return refuse(why_r, path, text);
}

static int read_into(int fd, const char *path, struct buf *out, char **why_r)
{
	char text[SECRET_MAX + 1]; /* whole at once: a buffer that grew would leave copies */
	size_t len = 0;
	ssize_t n;
	int r = -1;

	do {
		n = read(fd, text + len, sizeof(text) - len);
		if (n > 0)
			len += (size_t)n;
	} while ((n > 0 && len < sizeof(text)) || (n < 0 && errno == EINTR));
	if (n < 0) {
		refuse_errno(why_r, path);
	} else if (len > SECRET_MAX) {
		refuse(why_r, path, "is longer than 64 KiB");
	} else {
		if (len && text[len - 1] == '\n')
			len--;
		if (len && text[len - 1] == '\r')
			len--;
		buf_add(out, text, len);
		if (!len)
			refuse(why_r, path, "is empty");
		else if (out->failed)
			refuse(why_r, path, "could not be kept: memory is short");
		else
			r = 0;
	}
	explicit_bzero(text, sizeof(text));
	return r;
}

int secret_read(const char *path, struct buf *out, char **why_r)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r;

	*why_r = NULL;
	if (fd < 0)
		return refuse_errno(why_r, path);
	if (fstat(fd, &st) < 0)
		r = refuse_errno(why_r, path);
	else if (!S_ISREG(st.st_mode))
		r = refuse(why_r, path, "is not a regular file");
	else if (st.st_mode & (S_IROTH | S_IWOTH))
		r = refuse(why_r, path, "holds a secret that others can read: chmod o= it");
	else
		r = read_into(fd, path, out, why_r);
	close(fd);
	return r;
}

void secret_forget(struct buf *b)
{
	if (b->s)
		explicit_bzero(b->s, b->cap);
	buf_free(b);
}
