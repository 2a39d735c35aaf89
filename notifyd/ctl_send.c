/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"
#include "privilege.h"

#include "../lib/journalconf.h"
#include "../lib/native.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct send {
	const char *name; /* of the file, for errors */
	unsigned long line, sent, dropped, refused;
	struct journal *journal;
	struct native *native;
};

static void refuse(struct send *s, const char *why)
{
	fprintf(stderr, "%s:%lu: %s\n", s->name, s->line, why);
	s->refused++;
}

/* Whether the line is an event at all; told when not. */
static bool valid(struct send *s, const char *line, size_t len)
{
	char why[sizeof((json_error_t *)0)->text + 64];
	json_error_t error;
	json_t *json = json_loadb(line, len, 0, &error);
	if (!json) {
		snprintf(why, sizeof why, "column %d: %s", error.column, error.text);
		refuse(s, why);
		return false;
	}
	const json_t *event = json_object_get(json, "event");
	bool ok = json_is_string(event) && json_string_length(event) > 0;
	if (!json_is_object(json))
		refuse(s, "it is not a JSON object");
	else if (!ok)
		refuse(s, "it has no string \"event\"");
	json_decref(json);
	return ok;
}

/* 0, or an exit code when it makes no sense to go on. */
static int send_line(struct send *s, const char *line, size_t len)
{
	struct record rec = {0};
	const char *why = NULL;
	if (!valid(s, line, len))
		return 0;
	switch (native_convert(s->native, line, len, &rec)) {
	case NATIVE_DROP:
		s->dropped++;
		return 0;
	case NATIVE_NOMEM:
		return ctl_fail(EX_OSERR, "%s:%lu: out of memory", s->name, s->line);
	}
	if (journal_append(s->journal, &rec, NULL, &why) < 0)
		return ctl_fail(EX_CANTCREAT,
		                "%s:%lu: the event could not be appended: %s; "
		                "nothing from this line on was sent",
		                s->name, s->line, why);
	s->sent++;
	return 0;
}

static int send_file(struct send *s, FILE *f)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int code = 0;
	while (!code && (n = getline(&line, &size, f)) >= 0) {
		size_t len = (size_t)n;
		s->line++;
		while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			len--;
		if (len > RECORD_MAX)
			refuse(s, "it is longer than 32 MB");
		else if (len)
			code = send_line(s, line, len);
	}
	free(line);
	if (!code && ferror(f))
		code = ctl_fail(EX_IOERR, "%s: %s", s->name, strerror(errno));
	return code;
}

static int send_all(struct send *s, struct ctl *ctl, const char *path)
{
	const char *why = "out of memory";
	bool input = !strcmp(path, "-");
	FILE *f = input ? stdin : fopen(path, "re");
	int code = EX_OSERR;
	if (!f)
		return ctl_fail(EX_NOINPUT, "%s: %s", path, strerror(errno));
	s->name = input ? "standard input" : path;
	/* What it reads may be root's; what it makes is the journal's owner's. */
	if (privilege_drop_for(ctl->journal) < 0) {
		if (!input)
			fclose(f);
		return ctl_fail(EX_NOPERM, "cannot become the owner of %s: %s", ctl->journal,
		                strerror(errno));
	}
	s->native = native_new(ctl->conf, NULL);
	if (!s->native || journal_open_conf(ctl->conf, NULL, &s->journal, &why) < 0)
		ctl_fail(code, "%s", why);
	else
		code = send_file(s, f);
	if (!input)
		fclose(f);
	journal_close(&s->journal);
	native_free(&s->native);
	return code;
}

int ctl_send(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"verbose", no_argument, NULL, 'v'},
	    CTL_OPTIONS,
	};
	struct send s = {0};
	bool verbose = false;
	int opt;
	while ((opt = getopt_long(argc, argv, "vhV", options, NULL)) != -1) {
		if (opt != 'v')
			return ctl_option(ctl, opt);
		verbose = true;
	}
	if (argc - optind != 1)
		return ctl_fail(EX_USAGE, "send: exactly one FILE, or - for standard input");
	int code = send_all(&s, ctl, argv[optind]);
	if (verbose || s.refused)
		fprintf(stderr,
		        "notifyctl: %lu sent, %lu refused, %lu left out by mboxevent_modseq\n",
		        s.sent, s.refused, s.dropped);
	return code ? code : s.refused ? EX_DATAERR : EX_OK;
}
