/* SPDX-License-Identifier: BSD-3-Clause */
/* The hook as a mail process meets it: preloaded before a library that stands where
 * Cyrus's stands. $HOOK names the shared object. Each test runs in a process of its own, as the
 * hook reads its configuration once. */
#ifndef TESTS_HOOK_PRELOADED_H
#define TESTS_HOOK_PRELOADED_H

#include "../unit/journal_fixture.h"
#include "stock.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char conf_path[96];

static inline void configure(const char *more)
{
	snprintf(conf_path, sizeof conf_path, "%s/imapd.conf", fixture_dir);
	FILE *f = fopen(conf_path, "w");
	assert_non_null(f);
	fprintf(f,
	        "configdirectory: /tmp\nmboxevent_journal: %s\nmboxevent_segment_size: 64K\n"
	        "mboxevent_min_free: 0\n%s",
	        fixture_dir, more);
	fclose(f);
	config_filename = conf_path;
	config_ident = "imap";
}

static inline void event(const char *json)
{
	notify("mboxevent", "EVENT", NULL, NULL, NULL, 0, NULL, json, NULL);
}

/* A test that runs in a child: assertions that fail there end it with another code. */
#define IN_CHILD(name)                                                                             \
	static void name##_child(void);                                                            \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		pid_t pid = fork();                                                                \
		if (pid == 0) {                                                                    \
			name##_child();                                                            \
			_exit(0);                                                                  \
		}                                                                                  \
		int status;                                                                        \
		assert_int_equal(waitpid(pid, &status, 0), pid);                                   \
		assert_int_equal(status, 0);                                                       \
	}                                                                                          \
	static void name##_child(void)

/* Starts the program again with the hook before everything else. Call it first in main(). */
static inline int preload(const char *name)
{
	const char *hook = getenv("HOOK"), *preload = getenv("LD_PRELOAD");
	if (hook && !(preload && strstr(preload, hook))) {
		setenv("LD_PRELOAD", hook, 1);
		execl("/proc/self/exe", name, NULL);
	}
	if (!hook)
		fprintf(stderr, "%s: HOOK must name the hook's shared object\n", name);
	return hook ? 0 : -1;
}

#endif
