/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

struct report {
	json_t *list; /* NULL: print each as it comes */
	unsigned errors, warnings;
};

static void found(void *ctx, bool error, const char *line)
{
	struct report *r = ctx;

	*(error ? &r->errors : &r->warnings) += 1;
	if (r->list)
		json_array_append_new(r->list,
		                      json_pack("{s:s, s:s}", "severity",
		                                error ? "error" : "warning", "finding", line));
	else
		printf("%s: %s\n", error ? "error" : "warning", line);
}

static void say(const struct doctor *d, bool error, const char *fmt, va_list ap)
{
	char line[2048];

	vsnprintf(line, sizeof(line), fmt, ap);
	d->found(d->ctx, error, line);
}

void doctor_error(const struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(d, true, fmt, ap);
	va_end(ap);
}

void doctor_warning(const struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(d, false, fmt, ap);
	va_end(ap);
}

static void ignore(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
}

int ctl_doctor(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"json", no_argument, NULL, 'j'},
	    CTL_OPTIONS,
	};
	struct report r = {0};
	struct settings *settings = NULL;
	int opt;

	while ((opt = getopt_long(argc, argv, "jhV", options, NULL)) != -1) {
		if (opt != 'j')
			return ctl_option(ctl, opt);
		r.list = json_array();
	}
	if (optind < argc)
		return ctl_fail(EX_USAGE, "doctor: '%s' is not understood", argv[optind]);

	check_configuration(ctl->conf_path, found, &r);
	/* With a configuration that is not good nothing runs as it says; that comes first. */
	if (settings_load(&settings, ctl->conf_path, ignore, NULL) == 0) {
		struct doctor d = {
		    .conf_path = ctl->conf_path,
		    .settings = settings,
		    .journal = open(conf_str(&settings->mboxevent, "mboxevent_journal"),
		                    O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		    .found = found,
		    .ctx = &r,
		};

		doctor_hook(&d);
		doctor_socket(&d);
		if (d.journal >= 0)
			doctor_journal(&d);
		doctor_sinks(&d);
		if (d.journal >= 0)
			close(d.journal);
	}
	settings_free(&settings);
	if (r.list) {
		json_dumpf(r.list, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(r.list);
	} else {
		printf("%u errors, %u warnings\n", r.errors, r.warnings);
	}
	return r.errors || r.warnings ? EX_CONFIG : EX_OK;
}
