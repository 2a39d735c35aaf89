/* SPDX-License-Identifier: BSD-3-Clause */
/* notifyd: fans the journal out to sinks. */
#include "ingest.h"
#include "log.h"
#include "metrics.h"
#include "settings.h"
#include "supervisor.h"
#include "worker.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>

#include <config.h>

#define DEFAULT_CONF "/etc/imapd.conf"

static void usage(FILE *out)
{
	fputs("usage: notifyd [-C imapd.conf] [-t]\n"
	      "\n"
	      "Reads the mboxevent journal and delivers its events to the sinks named in\n"
	      "imapd.conf. Stays in the foreground; ends on SIGTERM, reloads on SIGHUP.\n"
	      "\n"
	      "  -C, --config FILE  configuration (default " DEFAULT_CONF ")\n"
	      "  -t, --test         check the configuration and exit: 0 good, 78 not\n"
	      "  -h, --help         this text\n"
	      "  -V, --version      version\n"
	      "\n"
	      "See notifyd(8), mboxevent.conf(5).\n",
	      out);
}

static void print_error(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "notifyd: %s\n", line);
}

/* As top and ps -o comm show it: 15 characters. */
static void name_process(const char *what)
{
	char name[16];
	snprintf(name, sizeof name, "notifyd:%s", what);
	prctl(PR_SET_NAME, name);
}

int main(int argc, char **argv)
{
	/* The last three are how the supervisor starts its children: descriptor 3 is the link, 4
	 * the configuration, 5 ingest's socket or the tally. */
	enum { WORKER = 256, INGEST, METRICS };
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'C'},
	    {"test", no_argument, NULL, 't'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {"worker", required_argument, NULL, WORKER},
	    {"ingest", required_argument, NULL, INGEST},
	    {"metrics", no_argument, NULL, METRICS},
	    {NULL, 0, NULL, 0},
	};
	const char *conf = DEFAULT_CONF, *worker = NULL, *ingest = NULL;
	bool test = false, metrics = false;
	int c;
	while ((c = getopt_long(argc, argv, "C:thV", options, NULL)) != -1) {
		switch (c) {
		case 'C':
			conf = optarg;
			break;
		case 't':
			test = true;
			break;
		case 'h':
			usage(stdout);
			return EX_OK;
		case 'V':
			puts("notifyd (" PACKAGE_NAME ") " PACKAGE_VERSION);
			return EX_OK;
		case WORKER:
			worker = optarg;
			break;
		case INGEST:
			ingest = optarg;
			break;
		case METRICS:
			metrics = true;
			break;
		default:
			usage(stderr);
			return EX_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "notifyd: %s: no arguments are taken\n", argv[optind]);
		usage(stderr);
		return EX_USAGE;
	}
	if (worker) {
		name_process(worker);
		return worker_main(conf, worker, 3);
	}
	if (ingest) {
		name_process("ingest");
		bool dlist = strcmp(ingest, "dlist") == 0;
		return ingest_main(conf, 3, dlist ? -1 : 5, dlist ? 5 : -1);
	}
#ifdef HAVE_MICROHTTPD
	if (metrics) {
		name_process("metrics");
		return metrics_main(conf, 3, 5);
	}
#else
	(void)metrics; /* settings refuse notifyd_metrics */
#endif

	struct settings *settings;
	if (settings_load(&settings, conf, print_error, NULL) < 0)
		return EX_CONFIG;
	if (test) {
		printf("%s: good\n", conf);
		settings_free(&settings);
		return EX_OK;
	}
	return supervisor_main(conf, settings);
}
