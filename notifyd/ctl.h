/* SPDX-License-Identifier: BSD-3-Clause */
/* What the commands of notifyctl share. */
#ifndef NOTIFYD_CTL_H
#define NOTIFYD_CTL_H

#include "../lib/conf.h"

#include <sys/types.h>

struct ctl {
	const char *conf_path;
	const struct ctl_command *command;
	/* Unset for a command that reads the configuration itself: */
	struct conf *conf;
	struct conf_scope notifyd; /* notifyd_options */
	const char *journal;       /* its directory */
};

struct ctl_command {
	const char *name;
	const char *args; /* "[-f] [--event E]" */
	const char *help; /* what it does, in a few lines ended by a line feed */
	/* argv[0] is the command. Returns an exit code. */
	int (*run)(struct ctl *ctl, int argc, char **argv);
	bool conf; /* whether it is to be read first */
	/* It writes in the journal's directory alone, where the mail server's user may have put a
	 * link to a file of root's: root becomes that user for it. */
	bool owner;
};

int ctl_tail(struct ctl *ctl, int argc, char **argv);
int ctl_status(struct ctl *ctl, int argc, char **argv);
int ctl_subscriptions(struct ctl *ctl, int argc, char **argv);
int ctl_send(struct ctl *ctl, int argc, char **argv);
int ctl_check(struct ctl *ctl, int argc, char **argv);
int ctl_journal(struct ctl *ctl, int argc, char **argv);
int ctl_dead(struct ctl *ctl, int argc, char **argv);
int ctl_replay(struct ctl *ctl, int argc, char **argv);
int ctl_skip(struct ctl *ctl, int argc, char **argv);
int ctl_devices(struct ctl *ctl, int argc, char **argv);
int ctl_validate(struct ctl *ctl, int argc, char **argv);
int ctl_doctor(struct ctl *ctl, int argc, char **argv);

/* Who holds notifyd's lock on the journal; 0: nobody, -1: somebody whose pid can't be seen from
 * here. */
pid_t ctl_lock_holder(int journalfd);

/* Exit code of `status` when something needs a look; others are those of sysexits.h. */
#define CTL_ATTENTION 1

/* "notifyctl: ..." on stderr; returns code. */
int ctl_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For what getopt_long() found besides a command's own options: 'h' prints its help to stdout
 * (0), 'V' the version (0), anything else a hint to stderr (EX_USAGE). The exit code. */
int ctl_option(const struct ctl *ctl, int opt);
/* Rows for every command's table. */
#define CTL_OPTIONS                                                                                \
	{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},                     \
	{                                                                                          \
		NULL, 0, NULL, 0                                                                   \
	}

/* Ends a command that wrote to stdout: `code`, or EX_IOERR when not all of it could be
 * written; a reader that went away (EPIPE) is no error. */
int ctl_finish(int code);

#endif
