/* SPDX-License-Identifier: BSD-3-Clause */
#include "journalconf.h"

void journal_options_conf(struct journal_options *opt_r, const struct conf_scope *scope)
{
	int64_t max = conf_num(scope, "mboxevent_max_size"); /* auto: -1 */
	*opt_r = (struct journal_options){
	    .segment_size = (uint64_t)conf_num(scope, "mboxevent_segment_size"),
	    .max_size = max > 0 ? (uint64_t)max : 0,
	    .min_free = (unsigned)conf_num(scope, "mboxevent_min_free"),
	    .sync = conf_num(scope, "mboxevent_sync") < 0, /* always */
	};
}

int journal_open_conf(const struct conf *conf, const char *service, struct journal **j_r,
                      const char **why_r)
{
	static const struct conf_option *const tables[] = {mboxevent_options, NULL};
	const struct conf_scope scope = {conf, service, "", tables};
	struct journal_options opt;
	journal_options_conf(&opt, &scope);
	return journal_open(j_r, conf_str(&scope, "mboxevent_journal"), &opt, why_r);
}
