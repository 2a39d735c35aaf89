/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a fuzz target without libFuzzer over files and directories of files: `make check` replays
 * the corpora with it. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static unsigned long done;

static int replay(const char *path)
{
	FILE *f = fopen(path, "r");
	struct stat st;
	if (!f || fstat(fileno(f), &st) < 0) {
		perror(path);
		return -1;
	}
	/* exactly as large as the file: a sanitizer sees a read beyond */
	size_t size = (size_t)st.st_size;
	unsigned char *data = malloc(size ? size : 1);
	if (!data || fread(data, 1, size, f) != size) {
		perror(path);
		fclose(f);
		free(data);
		return -1;
	}
	fclose(f);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	done++;
	return 0;
}

static int replay_all(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *e;
	int r = 0;
	if (!d)
		return replay(path);
	while (!r && (e = readdir(d)) != NULL) {
		char file[PATH_MAX];
		snprintf(file, sizeof file, "%s/%s", path, e->d_name);
		if (e->d_name[0] != '.')
			r = replay(file);
	}
	closedir(d);
	return r;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (replay_all(argv[i]) < 0)
			return 1;
	printf("%lu inputs\n", done);
	return 0;
}
