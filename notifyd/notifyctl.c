/* SPDX-License-Identifier: BSD-3-Clause */
/* The admin's tool: what notifyctl(8) says. Each command is a file of its own, ctl_<command>.c. */
#include "config.h"

#include "ctl.h"
#include "privilege.h"
#include "settings.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define DEFAULT_CONF "/etc/imapd.conf"

static const struct ctl_command commands[] = {
    {"tail", "[-f] [--event EVENT] [--user USER] [--since TIME] [--pretty]",
     "Prints events straight from the journal, one JSON object a line; notifyd need not run.\n"
     "  -f, --follow        wait for more; without --since begin with what comes from now on\n"
     "  -e, --event EVENT   only events of this type (may be given several times)\n"
     "  -u, --user USER     only events of this user, or *@DOMAIN (several times)\n"
     "  -s, --since TIME    from this time on: ISO 8601, or how long ago, such as 10m or 2h\n"
     "  -p, --pretty        indented, over several lines\n",
     ctl_tail, true, false},
    {"status", "[--json] [--watch]",
     "Shows the journal, whether notifyd runs, and each sink's state and backlog. Exits 0 when "
     "all\n"
     "is well, 1 when something needs a look.\n"
     "  -j, --json          as one JSON object\n"
     "  -w, --watch         over and over, with rates; q ends it\n",
     ctl_status, true, false},
    {"subscriptions", "[--json] [--remove SINK@NAME]",
     "Lists the durable subscriptions of unix sinks with their backlog.\n"
     "  -j, --json          as a JSON array\n"
     "  -r, --remove SINK@NAME\n"
     "                      forget one that no client has open\n",
     ctl_subscriptions, true, true},
    {"replay", "SINK[@NAME] --since TIME|--from ID",
     "Moves a sink, or a subscription of a unix sink, back: it delivers again from there on. "
     "Works\n"
     "while notifyd runs. What is delivered everywhere is kept for mboxevent_retain.\n"
     "  -s, --since TIME    events appended from this time on: ISO 8601, how long ago, or oldest\n"
     "  -f, --from ID       this event and all after it\n",
     ctl_replay, true, true},
    {"skip", "SINK[@NAME] --to now|ID",
     "Moves a sink, or a subscription of a unix sink, on: what lies before is never delivered to\n"
     "it. Works while notifyd runs.\n"
     "  -t, --to now|ID     go on with what comes from now on, or with this event\n",
     ctl_skip, true, true},
    {"dead-letters", "list SINK [--json] | show|retry|drop SINK ID...|--all",
     "Events that a sink can never deliver, with the reason.\n"
     "list: one a line: when it was given up, id, event, user, reason.\n"
     "show: all that is known of it, as indented JSON.\n"
     "retry: sends them to that sink again, in order; what fails again stays, with the new "
     "reason.\n"
     "When notifyd is down that is done once it runs.\n"
     "drop: deletes them, and says how many.\n"
     "  -a, --all           all there are, instead of IDs\n"
     "  -j, --json          list: each as a JSON object\n",
     ctl_dead, true, true},
    {"journal", "verify | dump [--from ID|POS] [--count N] [--json]",
     "verify: reads all of the journal and prints each damaged place; exits 65 when there is one.\n"
     "dump: prints records with all their facts, one a line.\n"
     "  -f, --from ID|POS   begin with this event, or at this position (hexadecimal)\n"
     "  -n, --count N       at most so many\n"
     "  -j, --json          each as a JSON object\n",
     ctl_journal, true, false},
#ifdef HAVE_APNS
    {"devices",
     "list [--json] [SINK] | show|remove [SINK] DEVICE | export [SINK] --output FILE|- |\n"
     "                  import [SINK] FILE|-",
     "The devices that are registered with an apns sink; SINK may be left out where there is "
     "one.\n"
     "Works while notifyd runs. A DEVICE is the beginning of its token or of its account id.\n"
     "list: all of them, of each user; show: one, and what it watches.\n"
     "remove: one, until it registers again.\n"
     "export: all with their whole tokens, as JSON lines; import: takes such lines.\n"
     "  -j, --json          as a JSON array\n"
     "  -o, --output FILE|- a new file, which others can't read, or the standard output\n",
     ctl_devices, true, false},
#endif
    {"send", "[--verbose] FILE|-",
     "Appends events from JSON lines, native or documented, to the journal. Each line must be an\n"
     "object with a string \"event\"; one that is not is reported and the others are sent.\n"
     "  -v, --verbose       say how many were sent\n",
     ctl_send, true, false},
    {"check", "",
     "Checks the configuration as notifyd -t does, the journal's directory, and what of\n"
     "Cyrus's own settings the events depend on.\n",
     ctl_check, false, false},
    {"doctor", "[--json]",
     "Looks at the configuration as check does, and at what runs: whether the hook is loaded and\n"
     "works in every mail process, who serves the notify socket, the journal, the sinks and\n"
     "whether they can reach their far sides. Each finding says what to do; exits 78 when there\n"
     "is one. Run it as root.\n"
     "  -j, --json          as a JSON array\n",
     ctl_doctor, false, false},
    {"validate", "[--loose] [--verbose] FILE|-",
     "Checks events, one JSON object a line, against the documented form that\n"
     "mboxevent-events(7) describes.\n"
     "  -l, --loose         take keys in any order, white space, and characters not in ASCII\n"
     "  -v, --verbose       say how many were checked\n",
     ctl_validate, false, false},
};

#define N_COMMANDS (sizeof commands / sizeof commands[0])

int ctl_fail(int code, const char *fmt, ...)
{
	va_list ap;
	fflush(stdout);
	fputs("notifyctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

static int version(void)
{
	puts("notifyctl (mboxevent) " PACKAGE_VERSION);
	return EX_OK;
}

int ctl_option(const struct ctl *ctl, int opt)
{
	if (opt == 'V')
		return version();
	if (opt != 'h') {
		fprintf(stderr, "Try 'notifyctl %s --help'.\n", ctl->command->name);
		return EX_USAGE;
	}
	printf("Usage: notifyctl [-C imapd.conf] %s %s\n%s"
	       "  -h, --help          show this\n"
	       "  -V, --version       show the version\n",
	       ctl->command->name, ctl->command->args, ctl->command->help);
	return EX_OK;
}

int ctl_finish(int code)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (errno == EPIPE)
		return code;
	return ctl_fail(EX_IOERR, "writing to standard output: %s", strerror(errno));
}

static void usage(FILE *f)
{
	fputs("Usage: notifyctl [-C imapd.conf] COMMAND ...\n", f);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(f, "  %-14s%s\n", commands[i].name, commands[i].args);
	fputs("Options:\n"
	      "  -C, --config FILE   the server's configuration (" DEFAULT_CONF ")\n"
	      "  -h, --help          show this; notifyctl COMMAND --help: more on a command\n"
	      "  -V, --version       show the version\n"
	      "See notifyctl(8).\n",
	      f);
}

static const struct ctl_command *find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help") ||
		    !strcmp(argv[i], "-V") || !strcmp(argv[i], "--version"))
			return true;
	return false;
}

/* A mistake in a sink's options must not keep an admin from looking at the journal: that
 * is for `check` to find. */
static int read_conf(struct ctl *ctl)
{
	static const struct conf_option *const journal[] = {mboxevent_options, NULL};
	static const struct conf_option *const notifyd[] = {notifyd_options, NULL};
	char *why = NULL;
	ctl->conf = conf_read(ctl->conf_path, &why);
	if (!ctl->conf) {
		ctl_fail(EX_CONFIG, "%s", why ? why : "out of memory");
		free(why);
		return EX_CONFIG;
	}
	struct conf_scope scope = {ctl->conf, NULL, "", journal};
	ctl->journal = conf_str(&scope, "mboxevent_journal");
	ctl->notifyd = (struct conf_scope){ctl->conf, NULL, "", notifyd};
	return EX_OK;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	int code = EX_OK;
	/* help must not need a configuration */
	if (ctl->command->conf && !asks_for_help(argc, argv)) {
		code = read_conf(ctl);
		if (!code && ctl->command->owner && privilege_drop_for(ctl->journal) < 0)
			code = ctl_fail(EX_NOPERM, "cannot become the owner of %s: %s",
			                ctl->journal, strerror(errno));
	}
	optind = 0; /* begin anew, for the command's own options */
	if (!code)
		code = ctl->command->run(ctl, argc, argv);
	conf_free(&ctl->conf);
	return ctl_finish(code);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'C'},
	    CTL_OPTIONS,
	};
	struct ctl ctl = {.conf_path = DEFAULT_CONF};
	int opt;
	signal(SIGPIPE, SIG_IGN); /* seen as EPIPE, which ends a command quietly */
	while ((opt = getopt_long(argc, argv, "+C:hV", options, NULL)) != -1) {
		switch (opt) {
		case 'C':
			ctl.conf_path = optarg;
			break;
		case 'h':
			usage(stdout);
			return ctl_finish(EX_OK);
		case 'V':
			return ctl_finish(version());
		default:
			usage(stderr);
			return EX_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return EX_USAGE;
	}
	ctl.command = find(argv[optind]);
	if (!ctl.command) {
		ctl_fail(EX_USAGE, "there is no command %s", argv[optind]);
		usage(stderr);
		return EX_USAGE;
	}
	return run(&ctl, argc - optind, argv + optind);
}
