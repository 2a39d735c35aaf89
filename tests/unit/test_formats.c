/* SPDX-License-Identifier: BSD-3-Clause */
/* Files that earlier builds wrote, in tests/data/formats, are read whole by this one.
 * usage: test_formats             the test
 *        test_formats --make DIR  a new sample of what this build writes, and what it reads there
 */
#include <config.h>

#include "../../lib/boots.h"
#include "../../lib/cursor.h"
#include "../../notifyd/dead.h"
#include "../../notifyd/gone.h"
#include "../../notifyd/losses.h"
#include "../../notifyd/mailboxes.h"
#include "../../notifyd/sinks/apns/registry.h"
#include "../../notifyd/status.h"

#include "journal_fixture.h"

#include <inttypes.h>
#include <jansson.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const struct mailbox boxes[] = {
    {STR("john@example.org@imap.example.org"), STR("INBOX"), '/'},
    {STR("jane@example.org@imap.example.org"), STR("Archive/2024"), '/'},
    {STR("jane@example.org@imap.example.org"), STR("Entw%C3%BCrfe"), '/'},
};

/* --- what is read, as text --- */

static void put_str(FILE *out, const char *what, struct str s)
{
	fprintf(out, "  %s %zu %.*s\n", what, s.len, (int)s.len, s.len ? s.s : "");
}

static void put_record(FILE *out, const struct record *rec)
{
	fprintf(out, "  next %016" PRIx64 " time %" PRId64 " lost %u flags %u\n", rec->next,
	        rec->time, (unsigned)rec->lost, (unsigned)rec->flags);
	put_str(out, "event", rec->event);
	put_str(out, "user", rec->user);
	put_str(out, "owner", rec->owner);
	put_str(out, "mailbox", rec->mailbox);
	put_str(out, "json", rec->json);
}

static void put_segments(FILE *out, int dirfd)
{
	uint64_t *bases = NULL;
	ssize_t n = segment_list(dirfd, &bases);
	for (ssize_t i = 0; i < n; i++) {
		struct segment seg;
		char uuid[JOURNAL_ID], boot[JOURNAL_ID];
		int fd = segment_open(dirfd, bases[i], O_RDONLY, &seg);
		assert_true(fd >= 0);
		close(fd);
		journal_id(uuid, seg.uuid, seg.limit);
		journal_id(boot, seg.boot, seg.base);
		fprintf(out,
		        "segment %016" PRIx64 " uuid-limit %s boot-base %s created %" PRId64 "\n",
		        bases[i], uuid, boot, seg.created);
	}
	free(bases);
}

static void put_records(FILE *out, const char *dir, const unsigned char uuid[16])
{
	char *why;
	struct record rec;
	struct reader *r = reader_open(dir, 0, &why);
	assert_non_null(r);
	while (reader_next(r, &rec) > 0) {
		char id[JOURNAL_ID];
		journal_id(id, uuid, rec.pos);
		fprintf(out, "record %s\n", id);
		put_record(out, &rec);
	}
	const struct reader_damage *d = reader_damage(r);
	fprintf(out, "end %016" PRIx64 " torn %" PRIu64 " bytes %" PRIu64 " gaps %" PRIu64 "\n",
	        reader_pos(r), d->torn, d->bytes, d->gap);
	reader_close(&r);
}

static void put_cursor(FILE *out, int dirfd, const char *name)
{
	struct cursor_state s;
	char id[JOURNAL_ID];
	assert_int_equal(cursor_peek(dirfd, name, &s), 0);
	journal_id(id, s.uuid, s.pos);
	fprintf(out, "cursor %s %s delivered %" PRIu64 " time %" PRId64 "\n", name, id, s.delivered,
	        s.time);
}

static void put_letters(FILE *out, int dirfd)
{
	struct dead *d;
	struct dead_summary s;
	struct letter l;
	assert_int_equal(dead_summary(dirfd, "mq", &s), 0);
	fprintf(out, "letters waiting %" PRIu64 " asked %" PRIu64 " since %" PRId64 "\n", s.waiting,
	        s.asked, s.since);
	assert_int_equal(dead_open(&d, dirfd, "mq", false), 0);
	struct letter_walk *w = letter_walk(dead_dir(d), 0, true);
	while (letter_walk_next(w, &l) > 0) {
		char id[JOURNAL_ID];
		journal_id(id, l.uuid, l.rec.pos);
		fprintf(out,
		        "letter %s serial %" PRIu64 " died %" PRId64
		        " state %c attempts %u tried %" PRId64 "\n  why %s\n",
		        id, l.serial, l.died, l.state, (unsigned)l.attempts, l.tried, l.why);
		put_record(out, &l.rec);
	}
	fprintf(out, "letters passed over %" PRIu64 " bytes\n", letter_walk_damage(w));
	letter_walk_close(&w);
	dead_close(&d);
}

static void put_status(FILE *out, const char *dir)
{
	static const char *const keys[] = {"version",   "state",    "since",    "started",
	                                   "delivered", "dropped",  "position", "updated",
	                                   "error",     "errorTime"};
	char text[STATUS_SIZE + 1];
	assert_int_equal(status_read(dir, "mq", text), 0);
	json_t *status = json_loads(text, 0, NULL);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const json_t *value = json_object_get(status, keys[i]);
		char *s = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(16));
		fprintf(out, "status %s %s\n", keys[i], s ? s : "is missing");
		free(s);
	}
	json_decref(status);
}

static void put_mailboxes(FILE *out, const char *dir)
{
	struct mailboxes *m;
	const char *aside, *why = "";
	uint64_t seen;
	if (mailboxes_open(&m, dir, &aside, &why) < 0)
		fail_msg("%s", why);
	fprintf(out, "mailboxes: %s\n", aside ? aside : "read");
	for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
		uint32_t uidvalidity = 0;
		int known = mailboxes_get(m, &boxes[i], &uidvalidity, &why);
		fprintf(out, "mailbox %s %s: %d %u\n", boxes[i].account.s, boxes[i].name.s, known,
		        (unsigned)uidvalidity);
	}
	struct str json;
	for (int64_t id = 0; mailboxes_owed(m, id, &id, &json, &why) > 0;)
		fprintf(out, "owed %" PRId64 " %.*s\n", id, (int)json.len, json.s);
	assert_int_equal(mailboxes_seen(m, &seen, &why), 0);
	fprintf(out, "seen %016" PRIx64 "\n", seen);
	mailboxes_free(&m);
}

static const unsigned char a_boot[16] = "a sample's boot";

static void put_boots(FILE *out, int dirfd)
{
	struct boots boots;
	if (faccessat(dirfd, "boots", F_OK, 0) < 0)
		return;
	boots_read(dirfd, a_boot, &boots);
	fprintf(out, "boots known %d first %016" PRIx64 " above %016" PRIx64 "\n", boots.known,
	        boots.first, boots.above);
}

#ifdef HAVE_APNS
static void put_device(void *ctx, const struct device *d, struct str asked)
{
	(void)asked;
	fprintf(ctx,
	        "device %s %s account %s user %s topic %s version %d registered %" PRId64
	        " expires %" PRId64 "\n",
	        device_kinds[d->kind], d->token, d->account, d->user, d->topic, d->version,
	        d->registered, d->expires);
}

static void put_mailbox(void *ctx, struct str asked, const struct names_place *place)
{
	(void)place;
	fprintf(ctx, "  asked %.*s\n", (int)asked.len, asked.s);
}

static void put_due(void *ctx, const struct registry_due *due)
{
	fprintf(ctx,
	        "due %u device %" PRId64 " user %s at %" PRId64 " event %" PRId64
	        " reason %u tries %u mailboxes %zu\n",
	        due->want, due->device, due->user, due->at, due->event, due->reason, due->tries,
	        strlen(due->mailboxes));
}

/* The registry of a sink, with what names come to where altnamespace is on. */
struct devices {
	struct conf *conf;
	struct names *names;
	struct registry *registry;
};

static void devices_open(struct devices *v, const char *dir, int how)
{
	char path[256], *fault = NULL;
	const char *aside, *why = "";
	snprintf(path, sizeof path, "%s.conf", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs("altnamespace: yes\n", f);
	fclose(f);
	v->conf = conf_read(path, &fault);
	unlink(path);
	assert_non_null(v->conf);
	v->names = names_new(v->conf);
	assert_non_null(v->names);
	if (registry_open(&v->registry, dir, "phones", v->names, how, 1000, &aside, &why) < 0)
		fail_msg("%s", why);
	assert_null(aside);
}

static void devices_close(struct devices *v)
{
	registry_free(&v->registry);
	names_free(&v->names);
	conf_free(&v->conf);
}

static void put_devices(FILE *out, const char *dir)
{
	struct devices v;
	const char *why = "";
	devices_open(&v, dir, REGISTRY_THERE);
	assert_int_equal(registry_each(v.registry, (struct str){"", 0}, put_device, out, &why), 0);
	for (int64_t id = 1; id < 4; id++)
		assert_int_equal(registry_mailboxes(v.registry, id, put_mailbox, out, &why), 0);
	assert_int_equal(registry_due_each(v.registry, put_due, out, &why), 0);
	devices_close(&v);
}
#endif

/* Everything; uuid: as the journal's ids are at first. */
static void put_all(FILE *out, const char *dir, const unsigned char uuid[16])
{
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct segment_bounds bounds;
	struct gone g;
	uint64_t lost[LOST_REASONS];
	assert_true(dirfd >= 0);
	segment_bounds(dirfd, &bounds);
	fprintf(out, "bounds floor %016" PRIx64 " top %016" PRIx64 "\n", bounds.floor, bounds.top);
	fprintf(out, "lost %" PRIu64 "\n", lost_total(dirfd));
	assert_int_equal(lost_read(dirfd, lost), 0);
	for (int i = LOST_UNKNOWN + 1; i < LOST_REASONS; i++)
		if (lost[i])
			fprintf(out, "  %s %" PRIu64 "\n", losses[i].name, lost[i]);
	put_segments(out, dirfd);
	put_records(out, dir, uuid);
	put_cursor(out, dirfd, "mq");
	put_cursor(out, dirfd, "events@laptop");
	gone_read(dirfd, "mq", &g);
	fprintf(out,
	        "gone times %" PRIu64 " bytes %" PRIu64 " from %" PRIx64 " to %" PRIx64
	        " last %" PRIu64 " time %" PRId64 "\n",
	        g.times, g.bytes, g.from, g.to, g.last, g.time);
	put_letters(out, dirfd);
	put_status(out, dir);
	put_mailboxes(out, dir);
	put_boots(out, dirfd);
	close(dirfd);
}

/* --- what is written --- */

static void make_journal(const char *dir)
{
	static const struct record kinds[] = {
	    {.event = STR("MessageNew"),
	     .user = STR("jane@example.org"),
	     .owner = STR("john@example.org"),
	     .mailbox = STR("Archive/2024"),
	     .json = STR("{\"event\":\"MessageNew\",\"uidset\":\"7\"}")},
	    {.flags = RECORD_NATIVE,
	     .event = STR("vnd.cmu.MessageCopy"),
	     .user = STR("john"),
	     .owner = STR("john"),
	     .mailbox = STR("INBOX"),
	     .json = STR("{\"event\":\"vnd.cmu.MessageCopy\"}")},
	    {.event = STR("Login"), .user = STR("john"), .json = STR("{\"event\":\"Login\"}")},
	    {.event = STR("MailboxCreate"),
	     .user = STR("j\xc3\xbcrgen"),
	     .mailbox = STR("Gemeinsam/Entw\xc3\xbcrfe"),
	     .json = STR("{\"event\":\"MailboxCreate\"}")},
	    {.event = STR("X"), .json = STR("{}")},
	};
	struct journal *j;
	const char *why = "";
	char path[512];
	assert_int_equal(journal_open(&j, dir, &fixture_options, &why), 0);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (i == 2) {
			journal_lost(j, LOST_NO_SPACE, 1);
			journal_lost(j, LOST_MAX_SIZE, 2);
		}
		if (journal_append(j, &kinds[i], NULL, &why) < 0)
			fail_msg("%s", why);
		if (i == 3) { /* one that was killed, or had no space */
			snprintf(path, sizeof path, "%s/%016x.seg", dir, 0);
			int fd = open(path, O_WRONLY | O_APPEND);
			assert_true(fd >= 0);
			assert_int_equal(write(fd, record_magic, 7), 7);
			close(fd);
		}
	}
	/* Over the limit, twice the least there can be, and into the next segment. */
	char json[1200] = "{\"pad\":\"";
	memset(json + 8, 'x', sizeof json - 10);
	memcpy(json + sizeof json - 2, "\"}", 2);
	struct record pad = {.event = STR("MessageRead"), .json = {json, sizeof json}};
	for (int i = 0; i < 8; i++)
		if (journal_append(j, &pad, NULL, &why) < 0)
			fail_msg("%s", why);
	journal_close(&j);
}

static enum dead_verdict judge(void *ctx, const struct letter *l)
{
	(void)ctx;
	return l->serial == 2 ? DEAD_RETRY : l->serial == 3 ? DEAD_DROP : DEAD_KEEP;
}

static void make_dead(int dirfd, const unsigned char uuid[16], const char *dir)
{
	struct dead *d;
	struct letter l;
	struct record rec;
	char *why;
	bool asked;
	assert_int_equal(dead_open(&d, dirfd, "mq", true), 0);
	assert_int_equal(dead_begin(d, uuid, 1 << 20, &asked), 0);
	struct reader *r = reader_open(dir, 0, &why);
	for (int i = 0; i < 4 && reader_next(r, &rec) > 0; i++)
		assert_int_equal(dead_letter(d, &rec, "404 NOT_FOUND: no exchange 'mail'"), 0);
	reader_close(&r);
	assert_int_equal(dead_sync(d), 0);
	struct letter_walk *w = letter_walk(dead_dir(d), 0, false);
	assert_int_equal(letter_walk_next(w, &l), 1);
	assert_int_equal(dead_failed(d, &l, "403 ACCESS_REFUSED"), 0);
	letter_walk_close(&w);
	assert_int_equal(dead_judge(d, judge, NULL), 0);
	dead_close(&d);
}

static void make_mailboxes(const char *dir)
{
	struct mailboxes *m;
	const char *aside, *why = "";
	assert_int_equal(mailboxes_open(&m, dir, &aside, &why), 0);
	assert_int_equal(mailboxes_put(m, &boxes[0], 1763800000, &why), 0);
	assert_int_equal(mailboxes_put(m, &boxes[1], 4294967295u, &why), 0);
	assert_int_equal(mailboxes_owe(m, STR("{\"event\":\"MailboxReset\"}"), &why), 0);
	assert_int_equal(mailboxes_saw(m, 0x1a2b0, &why), 0);
	assert_int_equal(mailboxes_commit(m, &why), 0);
	mailboxes_free(&m);
}

#ifdef HAVE_APNS
static void make_devices(const char *dir)
{
	static const struct device devices[] = {
	    {.kind = DEVICE_MAIL,
	     .token = "2918390218931890821908309283098109381029309829018310983092892829",
	     .account = "E8CD34AD-98D6-4489-90BB-613F586C67C9",
	     .user = "john@example.org",
	     .topic = "com.apple.mobilemail",
	     .version = 2,
	     .registered = 1763800000123},
	    {.kind = DEVICE_CALDAV,
	     .token = "00ff390218931890821908309283098109381029309829018310983092892829",
	     .account = "jane@example.org/a3bc",
	     .user = "jane@example.org",
	     .topic = "com.apple.calendar",
	     .registered = 1763800000456,
	     .expires = 1763900000456},
	};
	static const struct str asked[] = {STR("INBOX"), STR("Entw&APw-rfe")};
	struct registry_due due = {.want = 1,
	                           .device = 1,
	                           .user = "",
	                           .at = 1763800030000,
	                           .event = 1763800000000,
	                           .reason = 2,
	                           .tries = 1,
	                           .mailboxes = "INBOX\n"};
	struct devices v;
	const char *why = "";
	devices_open(&v, dir, REGISTRY_MAKE);
	assert_int_equal(registry_register(v.registry, &devices[0], asked, 2, &why), 1);
	assert_int_equal(registry_register(v.registry, &devices[1], NULL, 0, &why), 1);
	assert_int_equal(registry_due_put(v.registry, &due, &why), 0);
	assert_int_equal(registry_commit(v.registry, &why), 0);
	devices_close(&v);
}
#endif

static void make_cursor(int dirfd, const char *name, uint64_t pos)
{
	struct cursor *c;
	char *why;
	bool made;
	assert_int_equal(cursor_open(&c, dirfd, name, 0x80, &made, &why), 0);
	assert_int_equal(cursor_set(c, pos, pos / 7), 0);
	cursor_close(&c);
}

static void make(void **state)
{
	const char *dir = *state;
	char *why, path[256];
	unsigned char uuid[16], former[16];
	struct rlimit rl, little = {16 << 10, RLIM_INFINITY};
	snprintf(path, sizeof path, "%s/journal", dir);
	if (mkdir(dir, 0700) < 0 || journal_init(path, &why) < 0)
		fail_msg("%s: is it there already?", dir);
	int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(journal_identity(dirfd, uuid, former), 0);
	/* The smallest segments there can be. */
	getrlimit(RLIMIT_FSIZE, &rl);
	little.rlim_max = rl.rlim_max;
	setrlimit(RLIMIT_FSIZE, &little);
	make_journal(path);
	setrlimit(RLIMIT_FSIZE, &rl);
	make_cursor(dirfd, "mq", 0x1a2b0);
	make_cursor(dirfd, "events@laptop", UINT64_C(0x10000000080));
	assert_int_equal(gone_add(dirfd, "mq", 0x100, 0x900, 0x700), 0);
	assert_int_equal(gone_add(dirfd, "mq", 0x1000, 0x1100, 0x100), 0);
	make_dead(dirfd, uuid, path);
	struct status *s = status_open(path, "mq");
	status_state(s, "retrying in %d s", 8);
	status_error(s, "connection refused");
	status_count(s, 17, 3, 0x1a2b0);
	status_flush(s);
	status_close(&s);
	make_mailboxes(path);
	assert_int_equal(boots_begin(dirfd, a_boot, UINT64_C(0x30000000000)), 0);
	close(dirfd);
	char text[256];
	snprintf(text, sizeof text, "%s/expected", dir);
	FILE *out = fopen(text, "w");
	assert_non_null(out);
	put_all(out, path, uuid);
	assert_int_equal(fclose(out), 0);
#ifdef HAVE_APNS
	make_devices(path);
	snprintf(text, sizeof text, "%s/expected-devices", dir);
	out = fopen(text, "w");
	assert_non_null(out);
	put_devices(out, path);
	assert_int_equal(fclose(out), 0);
#endif
}

/* --- the test --- */

static void run(const char *fmt, const char *a, const char *b)
{
	char command[4096];
	snprintf(command, sizeof command, fmt, a, b);
	assert_int_equal(system(command), 0);
}

/* The lines that differ first are told. */
static void same_text(const char *sample, const char *want_path, const char *got_path)
{
	FILE *want = fopen(want_path, "r"), *got = fopen(got_path, "r");
	char a[4096], b[4096];
	assert_true(want && got);
	for (int line = 1;; line++) {
		bool more = fgets(a, sizeof a, want), too = fgets(b, sizeof b, got);
		if (more != too || (more && strcmp(a, b) != 0))
			fail_msg("sample %s: expected:%d: %.200s, but now it reads: %.200s", sample,
			         line, more ? a : "the end", too ? b : "the end");
		if (!more)
			break;
	}
	fclose(want);
	fclose(got);
}

/* The copy goes on where the sample was: with a uuid of its own, since it is a copy. */
static void go_on(const char *sample)
{
	unsigned char uuid[16], former[16], was[16];
	struct cursor *c;
	struct cursor_state before;
	struct dead *d;
	char *why = NULL;
	bool made, asked;
	uint64_t end = journal_end(fixture_fd);
	assert_int_equal(journal_identity(fixture_fd, was, former), 0);
	if (journal_init(fixture_dir, &why) < 0)
		fail_msg("sample %s: %s", sample, why);
	assert_int_equal(journal_identity(fixture_fd, uuid, former), 0);
	assert_memory_not_equal(uuid, was, 16);
	assert_memory_equal(former, was, 16);

	assert_int_equal(cursor_peek(fixture_fd, "mq", &before), 0);
	assert_int_equal(cursor_open(&c, fixture_fd, "mq", 1, &made, &why), 0);
	assert_false(made);
	assert_null(why);
	assert_int_equal(cursor_get(c)->pos, before.pos);
	cursor_close(&c);

	assert_int_equal(dead_open(&d, fixture_fd, "mq", false), 0);
	assert_int_equal(dead_begin(d, was, 1 << 20, &asked), 0);
	assert_true(asked);
	dead_close(&d);

	struct journal *j = fixture_journal();
	struct reader *r = fixture_reader(end);
	struct record rec;
	uint64_t pos = fixture_append(j, 0, 1);
	assert_true(pos >= end);
	assert_int_equal(reader_next(r, &rec), 1);
	assert_int_equal(rec.pos, pos);
	assert_int_equal(fixture_n(&rec), 1);
	reader_close(&r);
	journal_close(&j);
}

static void test_sample(const char *dir, const char *sample)
{
	char path[1024], expected[1100], got[128];
	unsigned char uuid[16], former[16];
	snprintf(path, sizeof path, "%s/%s", dir, sample);
	snprintf(expected, sizeof expected, "%s/expected", path);
	assert_int_equal(fixture_setup(NULL), 0);
	fixture_empty(fixture_dir);
	run("cp -R '%s/journal/.' %s", path, fixture_dir);
	run("chmod -R u+rwX,go= %s%s", fixture_dir, "");
	/* Should it have got the inode of the sample, it must get another. */
	run("cd %s && if grep -qx \"inode $(stat -c %%i identity)\" identity; then "
	    "cp identity x && mv x identity; fi%s",
	    fixture_dir, "");
	if (journal_identity(fixture_fd, uuid, former) < 0)
		fail_msg("sample %s: its identity is not read", sample);
	snprintf(got, sizeof got, "%s.read", fixture_dir);
	FILE *out = fopen(got, "w");
	assert_non_null(out);
	put_all(out, fixture_dir, uuid);
	assert_int_equal(fclose(out), 0);
	same_text(sample, expected, got);
#ifdef HAVE_APNS
	snprintf(expected, sizeof expected, "%s/expected-devices", path);
	if (access(expected, F_OK) == 0) {
		out = fopen(got, "w");
		assert_non_null(out);
		put_devices(out, fixture_dir);
		assert_int_equal(fclose(out), 0);
		same_text(sample, expected, got);
	}
#endif
	go_on(sample);
	unlink(got);
	fixture_teardown(NULL);
}

static void test_formats(void **state)
{
	(void)state;
	const char *top = getenv("TOP_SRCDIR");
	char dir[512];
	int samples = 0;
	snprintf(dir, sizeof dir, "%s/tests/data/formats", top ? top : ".");
	DIR *d = opendir(dir);
	const struct dirent *e;
	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		char path[1024];
		struct stat st;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (e->d_name[0] == '.' || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
			continue;
		test_sample(dir, e->d_name);
		samples++;
	}
	closedir(d);
	assert_true(samples > 0);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {cmocka_unit_test(test_formats)};
	if (argc == 3 && strcmp(argv[1], "--make") == 0)
		tests[0] = (struct CMUnitTest)cmocka_unit_test_prestate(make, argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
