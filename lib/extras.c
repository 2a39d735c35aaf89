/* SPDX-License-Identifier: BSD-3-Clause */
#include "extras.h"
#include "flags.h"

#include <stdlib.h>
#include <string.h>

static struct str words(const char *s)
{
	return (struct str){s ? s : "", s ? strlen(s) : 0};
}

static void ignore(struct buf *ignored, const char *option, struct str word)
{
	if (!ignored->len)
		buf_addf(ignored, "%s: %.*s is not one of its values, and is ignored", option,
		         word.len < 100 ? (int)word.len : 100, word.s);
}

/* These two are case-sensitive, as in Cyrus; a value replaces the default. */
static void read_groups(struct extras *x, const char *value, struct buf *ignored)
{
	struct str list = words(value ? value : "message mailbox"), word;
	while (flags_next(&list, &word)) {
		unsigned bit = catalog_group_bit(word.s, word.len);
		if (!bit || bit == GROUP_OTHER || bit == GROUP_PUSH)
			ignore(ignored, "event_groups", word);
		else
			x->groups |= bit;
	}
}

static void read_params(struct extras *x, const char *value, struct buf *ignored)
{
	struct str list = words(value ? value : CATALOG_EXTRA_DEFAULT), word;
	struct catalog_params set;
	while (flags_next(&list, &word)) {
		if (!catalog_extra(word.s, word.len, &set))
			ignore(ignored, "event_extra_params", word);
		x->params.bits[0] |= set.bits[0];
		x->params.bits[1] |= set.bits[1];
	}
}

int extras_read(struct extras *x, const struct conf *conf, const char *service, struct buf *ignored)
{
	static const struct conf_option *const tables[] = {mboxevent_options, NULL};
	const struct conf_scope own = {conf, service, "", tables};
	const char *specialuse = conf_get(conf, service, "event_exclude_specialuse");
	const char *flags = conf_get(conf, service, "event_exclude_flags");
	*x = (struct extras){.notifies = conf_get(conf, service, "event_notifier") != NULL,
	                     .modseq = conf_num(&own, "mboxevent_modseq") != 0};
	read_groups(x, conf_get(conf, service, "event_groups"), ignored);
	read_params(x, conf_get(conf, service, "event_extra_params"), ignored);
	inclusion_read(&x->inclusion, conf, service);
	x->specialuse = strdup(specialuse ? specialuse : "\\Junk");
	x->flags = strdup(flags ? flags : "");
	if (!x->specialuse || !x->flags) {
		extras_free(x);
		return -1;
	}
	x->inboxes = flags_has(words(x->specialuse), STR("ALL"));
	return 0;
}

void extras_free(struct extras *x)
{
	free(x->flags);
	free(x->specialuse);
	x->flags = x->specialuse = NULL;
}

bool extras_event(const struct extras *x, const struct catalog_event *type)
{
	bool modseq = strcmp(type->name, "MailboxModseq") == 0;
	return x->notifies && (x->groups & type->groups) && (!modseq || x->modseq);
}

bool extras_param(const struct extras *x, const struct catalog_event *type, enum catalog_param p)
{
	return !catalog_has(&type->switched, p) || catalog_has(&x->params, p);
}

bool extras_flag_excluded(const struct extras *x, struct str flag)
{
	return flags_has(words(x->flags), flag);
}

bool extras_mailbox_excluded(const struct extras *x, struct str specialuse, bool inbox)
{
	struct str word, list, excluded;
	if (x->inboxes && !inbox)
		return true;
	while (flags_next(&specialuse, &word))
		for (list = words(x->specialuse); flags_next(&list, &excluded);)
			if (word.len == excluded.len && memcmp(word.s, excluded.s, word.len) == 0)
				return true;
	return false;
}
