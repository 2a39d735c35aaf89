/* SPDX-License-Identifier: BSD-3-Clause */
/* A notify() that does nothing, to preload: what a Cyrus could do without events at best. */

__attribute__((visibility("default"))) void notify(const char *method, const char *class,
                                                   const char *priority, const char *user,
                                                   const char *mailbox, int nopt,
                                                   const char **options, const char *message,
                                                   const char *fname);

void notify(const char *method, const char *class, const char *priority, const char *user,
            const char *mailbox, int nopt, const char **options, const char *message,
            const char *fname)
{
	(void)method;
	(void)class;
	(void)priority;
	(void)user;
	(void)mailbox;
	(void)nopt;
	(void)options;
	(void)message;
	(void)fname;
}
