/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl.h"
#include "privilege.h"
#include "sinks/apns/payload.h"
#include "stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define BUSY_MS     10000 /* for the sink and others that write */
#define AT_ONCE     500 /* lines of an import between two commits, so that the sink is not held up */
#define TOKEN_SHOWN 8

struct devices {
	struct ctl *ctl;
	const char *command, *sink, *output;
	FILE *file; /* to import from or export to; NULL: none, or not open yet */
	bool json;
	struct names *names;
	struct registry *registry;
	json_t *list; /* of what was found */
};

/* --- which sink --- */

static bool is_apns(const struct ctl *ctl, const char *name)
{
	char key[128];
	const char *type;
	snprintf(key, sizeof key, "notifyd_%.64s_type", name);
	type = conf_get(ctl->conf, NULL, key);
	return type && !strcmp(type, "apns");
}

/* The names of the apns sinks that are on, at most two: more than one is all there is to know. */
static int sinks(const struct ctl *ctl, char names[2][64])
{
	const char *p = conf_str(&ctl->notifyd, "notifyd_sinks");
	int n = 0;
	for (size_t len; p && n < 2; p += len) {
		p += strspn(p, " \t");
		len = strcspn(p, " \t");
		if (!len)
			break;
		snprintf(names[n], 64, "%.*s", (int)(len < 63 ? len : 63), p);
		n += is_apns(ctl, names[n]);
	}
	return n;
}

static int choose(struct devices *d, int argc, char **argv, int at, char only[64])
{
	char names[2][64];
	if (at < argc && is_apns(d->ctl, argv[at]))
		return d->sink = argv[at], EX_OK;
	int n = sinks(d->ctl, names);
	if (n == 1 && at == argc) {
		snprintf(only, 64, "%s", names[0]);
		d->sink = only;
		return EX_OK;
	}
	if (at < argc)
		return ctl_fail(EX_USAGE, "devices: there is no apns sink %s", argv[at]);
	return ctl_fail(EX_USAGE, n ? "devices: say which sink: there are several of type apns"
	                            : "devices: notifyd_sinks names no sink of type apns");
}

static int open_registry(struct devices *d, int how)
{
	const char *aside, *why;
	d->names = names_new(d->ctl->conf);
	if (!d->names)
		return ctl_fail(EX_OSERR, "out of memory");
	if (registry_open(&d->registry, d->ctl->journal, d->sink, d->names, how, BUSY_MS, &aside,
	                  &why) == 0)
		return EX_OK;
	int code = errno;
	if (how == REGISTRY_THERE && code == ENOENT)
		return ctl_fail(EX_NOINPUT, "no device has registered with %s yet", d->sink);
	return ctl_fail(code == EACCES ? EX_NOPERM : EX_IOERR, "%s", why);
}

/* --- as JSON --- */

static void add_mailbox(void *ctx, struct str asked, const struct names_place *place)
{
	json_t *o = json_object();
	json_object_set_new(o, "name", json_stringn(asked.s, asked.len));
	json_object_set_new(o, "owner", json_stringn(place->owner.s, place->owner.len));
	json_object_set_new(o, "mailbox", json_stringn(place->mailbox.s, place->mailbox.len));
	json_array_append_new(ctx, o);
}

static void add_device(void *ctx, const struct device *device, struct str asked)
{
	struct devices *d = ctx;
	const char *why;
	char hash[PAYLOAD_HASH];
	json_t *o = json_object(), *boxes = json_array();
	(void)asked;
	payload_hash(hash, device->token);
	json_object_set_new(o, "id", json_integer(device->id));
	json_object_set_new(o, "kind", json_string(device_kinds[device->kind]));
	json_object_set_new(o, "user", json_string(device->user));
	json_object_set_new(o, "token", json_string(device->token));
	json_object_set_new(o, "hash", json_string(hash));
	json_object_set_new(o, "account", json_string(device->account));
	json_object_set_new(o, "topic", json_string(device->topic));
	json_object_set_new(o, "version", json_integer(device->version));
	json_object_set_new(o, "registered", json_integer(device->registered));
	json_object_set_new(o, "expires", json_integer(device->expires));
	if (device->kind == DEVICE_MAIL)
		registry_mailboxes(d->registry, device->id, add_mailbox, boxes, &why);
	json_object_set_new(o, "mailboxes", boxes);
	json_array_append_new(d->list, o);
}

static int find(struct devices *d, const char *begins)
{
	const char *why;
	d->list = json_array();
	if (registry_each(d->registry, (struct str){begins, strlen(begins)}, add_device, d, &why) <
	    0)
		return ctl_fail(EX_IOERR, "%s", why);
	registry_rest(d->registry);
	return EX_OK;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* --- list and show --- */

static void shorten(json_t *o)
{
	char token[TOKEN_SHOWN + 4];
	snprintf(token, sizeof token, "%.*s...", TOKEN_SHOWN, text(o, "token"));
	json_object_set_new(o, "token", json_string(token));
}

static const char *when(const json_t *o, const char *key, char out[STAMP_SIZE])
{
	int64_t ms = json_integer_value(json_object_get(o, key));
	if (!ms)
		return "never";
	stamp_iso(out, ms * 1000);
	return out;
}

static int list(struct devices *d)
{
	size_t i;
	json_t *o;
	char time[STAMP_SIZE];
	int code = find(d, "");
	if (code)
		return code;
	json_array_foreach(d->list, i, o)
	{
		shorten(o);
	}
	if (d->json) {
		json_dumpf(d->list, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
		putchar('\n');
		return EX_OK;
	}
	if (!json_array_size(d->list)) {
		puts("There are no devices.");
		return EX_OK;
	}
	printf("%-28s %-8s %-12s %-24s %9s  %s\n", "USER", "KIND", "TOKEN", "REGISTERED",
	       "MAILBOXES", "ACCOUNT");
	json_array_foreach(d->list, i, o)
	{
		printf("%-28s %-8s %-12s %-24s %9zu  %s\n", text(o, "user"), text(o, "kind"),
		       text(o, "token"), when(o, "registered", time),
		       json_array_size(json_object_get(o, "mailboxes")), text(o, "account"));
	}
	return EX_OK;
}

/* The one device that `begins` means. */
static int find_one(struct devices *d, const char *begins)
{
	int code = find(d, begins);
	size_t n = json_array_size(d->list);
	if (code || n == 1)
		return code;
	if (!n)
		return ctl_fail(EX_NOINPUT, "no token and no account id begins with that");
	return ctl_fail(EX_USAGE, "%zu devices begin with that: give more of the account id", n);
}

static int show(struct devices *d, const char *begins)
{
	char time[STAMP_SIZE];
	size_t i;
	json_t *box;
	int code = find_one(d, begins);
	if (code)
		return code;
	json_t *o = json_array_get(d->list, 0);
	shorten(o);
	printf("user:       %s\nkind:       %s\ntoken:      %s\nSHA-256:    %s\naccount:    %s\n"
	       "topic:      %s\n",
	       text(o, "user"), text(o, "kind"), text(o, "token"), text(o, "hash"),
	       text(o, "account"), text(o, "topic"));
	printf("registered: %s\n", when(o, "registered", time));
	printf("expires:    %s\n", when(o, "expires", time));
	json_array_foreach(json_object_get(o, "mailboxes"), i, box)
	{
		const char *owner = text(box, "owner");
		printf("mailbox:    %s (%s%s%s)\n", text(box, "name"), text(box, "mailbox"),
		       *owner ? " of " : ", nobody's", owner);
	}
	return EX_OK;
}

static int remove_one(struct devices *d, const char *begins)
{
	const char *why;
	int code = find_one(d, begins);
	if (code)
		return code;
	const json_t *o = json_array_get(d->list, 0);
	if (registry_remove(d->registry, json_integer_value(json_object_get(o, "id")), &why) < 0 ||
	    registry_commit(d->registry, &why) < 0)
		return ctl_fail(EX_TEMPFAIL, "%s", why);
	return EX_OK;
}

/* --- export and import --- */

static int export(struct devices *d)
{
	static const char *const keys[] = {"kind",  "user",    "token",      "account",
	                                   "topic", "version", "registered", "expires"};
	size_t i, k;
	json_t *o, *box;
	FILE *f = d->file;
	if (!f) /* it came just now */
		return ctl_fail(EX_NOINPUT, "no device has registered with %s yet", d->sink);
	int code = find(d, "");
	if (code)
		return code;
	json_array_foreach(d->list, i, o)
	{
		json_t *line = json_object(), *names = json_array();
		for (k = 0; k < sizeof keys / sizeof *keys; k++)
			json_object_set(line, keys[k], json_object_get(o, keys[k]));
		json_array_foreach(json_object_get(o, "mailboxes"), k, box)
		{
			json_array_append(names, json_object_get(box, "name"));
		}
		json_object_set_new(line, "mailboxes", names);
		json_dumpf(line, f, JSON_COMPACT | JSON_ENSURE_ASCII);
		fputc('\n', f);
		json_decref(line);
	}
	if (f == stdout)
		return EX_OK;
	return fflush(f) != 0 || fsync(fileno(f)) < 0
	           ? ctl_fail(EX_IOERR, "%s: %s", d->output, strerror(errno))
	           : EX_OK;
}

/* What is wrong with a line (never what it says), or NULL with the device. */
static const char *read_device(const json_t *o, struct device *d)
{
	struct str token = {text(o, "token"), 0}, account = {text(o, "account"), 0};
	const json_t *registered = json_object_get(o, "registered");
	const char *slash = strrchr(account.s, '/');
	token.len = strlen(token.s);
	account.len = strlen(account.s);
	*d = (struct device){.kind = DEVICE_KINDS, .token = token.s, .account = account.s};
	for (int k = 0; k < DEVICE_KINDS; k++)
		if (!strcmp(text(o, "kind"), device_kinds[k]))
			d->kind = (enum device_kind)k;
	if (d->kind == DEVICE_KINDS)
		return "kind must be mail, caldav or carddav";
	if (!device_token_ok(token))
		return "token must be hexadecimal";
	if (!device_account_ok(account))
		return "account must be an id without blanks";
	if (d->kind != DEVICE_MAIL && (!slash || slash == account.s || !slash[1]))
		return "account must be USER/UNIQUEID";
	d->user = text(o, "user");
	if (!*d->user)
		return "user is missing";
	d->topic = text(o, "topic");
	d->version = (int)json_integer_value(json_object_get(o, "version"));
	d->expires = json_integer_value(json_object_get(o, "expires"));
	d->registered = registered ? json_integer_value(registered) : (int64_t)time(NULL) * 1000;
	return NULL;
}

enum { MAILBOXES_MOST = 1024 };

static int take(struct devices *d, const json_t *o, const char **fault_r, const char **why_r)
{
	struct device device;
	struct str names[MAILBOXES_MOST];
	const json_t *name;
	size_t i, n = 0;
	*fault_r = read_device(o, &device);
	if (*fault_r)
		return 0;
	json_array_foreach(json_object_get(o, "mailboxes"), i, name)
	{
		names[n] = (struct str){json_string_value(name), json_string_length(name)};
		if (names[n].len && ++n == MAILBOXES_MOST)
			break;
	}
	return registry_register(d->registry, &device, names, n, why_r);
}

/* Whoever writes the lines may take his time, in which nobody else could write to the registry:
 * they are all there before the first is taken. */
static size_t read_lines(FILE *f, json_t *lines_r[AT_ONCE])
{
	char *line = NULL;
	size_t room = 0, n = 0;
	ssize_t len;
	while (n < AT_ONCE && (len = getline(&line, &room, f)) >= 0)
		lines_r[n++] = json_loadb(line, (size_t)len, 0, NULL);
	free(line);
	return n;
}

static int import(struct devices *d, const char *path)
{
	json_t *lines[AT_ONCE];
	const char *fault, *why = NULL;
	int code = EX_OK, before = 0, r = 0;
	for (size_t n; r >= 0 && (n = read_lines(d->file, lines)) > 0; before += (int)n) {
		for (size_t i = 0; i < n; i++) {
			fault = lines[i] ? NULL : "not a JSON object";
			if (lines[i] && r >= 0)
				r = take(d, lines[i], &fault, &why);
			json_decref(lines[i]);
			if (fault)
				code = ctl_fail(EX_DATAERR, "%s:%d: %s", path, before + (int)i + 1,
				                fault);
		}
		if (r >= 0)
			r = registry_commit(d->registry, &why);
	}
	return r < 0 ? ctl_fail(EX_TEMPFAIL, "%s", why) : code;
}

/* --- the command --- */

/* The admin's own file, which may be root's. */
static int open_own(struct devices *d, const char *path, bool importing)
{
	char registry[4200];
	if (!strcmp(path, "-")) {
		d->file = importing ? stdin : stdout;
		return EX_OK;
	}
	if (importing) {
		d->file = fopen(path, "re");
		return d->file ? EX_OK : ctl_fail(EX_NOINPUT, "%s: %s", path, strerror(errno));
	}
	/* An empty file is not to be left where there is nothing to export. */
	snprintf(registry, sizeof registry, "%s/" REGISTRY_FILE, d->ctl->journal, d->sink);
	if (access(registry, F_OK) < 0)
		return EX_OK;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	d->file = fd < 0 ? NULL : fdopen(fd, "w");
	return d->file ? EX_OK : ctl_fail(EX_CANTCREAT, "%s: %s", path, strerror(errno));
}

static int run(struct devices *d, const char *word)
{
	bool importing = !strcmp(d->command, "import");
	int code = EX_OK;
	if (importing || d->output)
		code = open_own(d, importing ? word : d->output, importing);
	if (!code && privilege_drop_for(d->ctl->journal) < 0)
		code = ctl_fail(EX_NOPERM, "cannot become the owner of %s: %s", d->ctl->journal,
		                strerror(errno));
	if (!code)
		code = open_registry(d, importing ? REGISTRY_MAKE : REGISTRY_THERE);
	if (code)
		return code;
	if (importing)
		return import(d, word);
	if (!strcmp(d->command, "list"))
		return list(d);
	if (!strcmp(d->command, "show"))
		return show(d, word);
	if (!strcmp(d->command, "remove"))
		return remove_one(d, word);
	return export(d);
}

/* How many words follow the sink; -1: no such command. */
static int words(const char *command)
{
	static const char *const none[] = {"list", "export"}, *const one[] = {"show", "remove",
	                                                                      "import"};
	for (size_t i = 0; i < 2; i++)
		if (!strcmp(command, none[i]))
			return 0;
	for (size_t i = 0; i < 3; i++)
		if (!strcmp(command, one[i]))
			return 1;
	return -1;
}

int ctl_devices(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    {"json", no_argument, NULL, 'j'},
	    {"output", required_argument, NULL, 'o'},
	    CTL_OPTIONS,
	};
	struct devices d = {.ctl = ctl};
	char only[64];
	int opt;
	while ((opt = getopt_long(argc, argv, "jo:hV", options, NULL)) != -1) {
		if (opt == 'j')
			d.json = true;
		else if (opt == 'o')
			d.output = optarg;
		else
			return ctl_option(ctl, opt);
	}
	d.command = optind < argc ? argv[optind++] : "";
	int more = words(d.command);
	if (more < 0)
		return ctl_fail(EX_USAGE, "devices: say list, show, remove, export or import");
	if (argc - optind < more || argc - optind > more + 1)
		return ctl_fail(EX_USAGE, "devices %s: %s", d.command,
		                argc - optind < more ? "something is missing" : "too many words");
	if (!strcmp(d.command, "export") != (d.output != NULL))
		return ctl_fail(EX_USAGE, d.output
		                              ? "devices: --output is for export"
		                              : "devices export: whole tokens are secrets: say "
		                                "where with --output FILE, or --output -");
	int code = choose(&d, argc - more, argv, optind, only);
	if (!code)
		code = run(&d, more ? argv[argc - 1] : "");
	if (d.file && d.file != stdin && d.file != stdout && fclose(d.file) != 0 && !code)
		code = ctl_fail(EX_IOERR, "%s: %s", d.output, strerror(errno));
	json_decref(d.list);
	registry_free(&d.registry);
	names_free(&d.names);
	return code;
}
