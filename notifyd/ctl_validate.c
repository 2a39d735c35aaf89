/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"
#include "validate.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct lines {
	const char *name; /* of the file */
	unsigned long line, events, wrong;
	bool exact;
	struct validate *validate;
};

static void report(void *ctx, const char *event, const char *parameter, const char *what)
{
	const struct lines *l = ctx;
	printf("%s:%lu: ", l->name, l->line);
	if (event)
		printf("%s: ", event);
	if (parameter)
		printf("%s: ", parameter);
	puts(what);
}

static int read_lines(struct lines *l, FILE *f)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	while ((n = getline(&line, &size, f)) >= 0) {
		size_t len = (size_t)n;
		if (len && line[len - 1] == '\n')
			len--;
		l->line++;
		l->events++;
		if (validate_event(l->validate, (struct str){line, len}, l->exact, report, l))
			l->wrong++;
	}
	free(line);
	if (ferror(f))
		return ctl_fail(EX_IOERR, "%s: %s", l->name, strerror(errno));
	if (!feof(f))
		return ctl_fail(EX_OSERR, "%s: %s", l->name, strerror(errno));
	return EX_OK;
}

int ctl_validate(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"loose", no_argument, NULL, 'l'},
	    {"verbose", no_argument, NULL, 'v'},
	    CTL_OPTIONS,
	};
	struct lines l = {.exact = true};
	bool verbose = false;
	int opt;
	while ((opt = getopt_long(argc, argv, "lvhV", options, NULL)) != -1) {
		if (opt == 'l')
			l.exact = false;
		else if (opt == 'v')
			verbose = true;
		else
			return ctl_option(ctl, opt);
	}
	if (argc - optind != 1)
		return ctl_fail(EX_USAGE, "validate: exactly one FILE, or - for standard input");
	l.name = argv[optind];
	bool input = !strcmp(l.name, "-");
	FILE *f = input ? stdin : fopen(l.name, "re");
	if (!f)
		return ctl_fail(EX_NOINPUT, "%s: %s", l.name, strerror(errno));
	l.validate = validate_new();
	int code = l.validate ? read_lines(&l, f) : ctl_fail(EX_OSERR, "%s", strerror(ENOMEM));
	validate_free(&l.validate);
	if (!input)
		fclose(f);
	if (verbose)
		fprintf(stderr, "notifyctl: %lu events, %lu of them not in the documented form\n",
		        l.events, l.wrong);
	return code ? code : l.wrong ? EX_DATAERR : EX_OK;
}
