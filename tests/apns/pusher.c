/* SPDX-License-Identifier: BSD-3-Clause */
/* Pushes by the apns sink's client what it is told to: lines of JSON in, lines of JSON out.
 *   in   {"push":REF, "token", "topic", "type", "priority", "expiration", "collapse_id", "payload"}
 *        {"clock":SECONDS}    that the clock is ahead from now on
 *   out  {"answer":REF, "outcome", "status", "reason", "timestamp_ms", "retry_after_ms"}
 *        {"condition", "words", "streams", "inflight", "connects"}   whenever one of the first
 * three changes
 *        {"never":REF}
 * --count N [--rate N] [--devices N] [--seconds N]: pushes to devices in turn as quickly as it can
 * or as often as told, and says how it went in one line. */
#include "../../notifyd/sinks/apns/client.h"

#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define WAITING 4096 /* pushes read and not yet taken */

static const char *const outcomes[] = {
    [APNS_DELIVERED] = "delivered", [APNS_GONE] = "gone",
    [APNS_BAD_TOKEN] = "bad token", [APNS_NOT_FOR_TOPIC] = "not for topic",
    [APNS_DROP] = "drop",           [APNS_BACK_OFF] = "back off",
    [APNS_AGAIN] = "again",         [APNS_TOPIC_REFUSED] = "topic refused",
};

static const char *const conditions[] = {
    [APNS_IDLE] = "idle",       [APNS_CONNECTING] = "connecting", [APNS_CONNECTED] = "connected",
    [APNS_WAITING] = "waiting", [APNS_REFUSED] = "refused",
};

static struct {
	json_t *waiting[WAITING];
	size_t first, n;
	int64_t clock_offset;
	size_t answered, delivered;
	int64_t ended; /* the input */
} world;

static int64_t shifted_clock(void)
{
	return time(NULL) + world.clock_offset;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(j);
}

static void answered(void *ctx, void *ref, const struct apns_answer *a)
{
	(void)ctx;
	world.answered++;
	say(json_pack("{s:I, s:s, s:i, s:s, s:I, s:I}", "answer", (json_int_t)(intptr_t)ref,
	              "outcome", outcomes[a->outcome], "status", a->status, "reason", a->reason,
	              "timestamp_ms", (json_int_t)a->timestamp_ms, "retry_after_ms",
	              (json_int_t)a->retry_after_ms));
}

static int submit(struct apns_client *c, json_t *j)
{
	struct apns_push p = {.push_type = "background", .topic = apns_client_topic(c)};
	json_int_t ref = 0, expiration = 0;
	const char *payload = "";

	json_unpack(j, "{s:I, s:s, s?s, s?s, s?i, s?I, s?s, s?s}", "push", &ref, "token", &p.token,
	            "topic", &p.topic, "type", &p.push_type, "priority", &p.priority, "expiration",
	            &expiration, "collapse_id", &p.collapse_id, "payload", &payload);
	p.expiration = expiration;
	p.payload = payload;
	p.len = strlen(payload);
	p.ref = (void *)(intptr_t)ref;
	int r = p.token && p.topic ? apns_client_submit(c, &p) : APNS_NEVER;
	if (r == APNS_NEVER)
		say(json_pack("{s:I}", "never", ref));
	return r;
}

static void take(const char *line)
{
	json_error_t e;
	json_t *j = json_loads(line, 0, &e);

	if (!j) {
		fprintf(stderr, "pusher: %s\n", e.text);
		exit(1);
	}
	if (json_object_get(j, "clock")) {
		world.clock_offset = json_integer_value(json_object_get(j, "clock"));
		json_decref(j);
	} else if (world.n < WAITING) {
		world.waiting[(world.first + world.n++) % WAITING] = j;
	}
}

/* False at its end. */
static bool read_input(void)
{
	static char text[1 << 16];
	static size_t len;
	ssize_t n;

	while ((n = read(0, text + len, sizeof(text) - len - 1)) > 0) {
		char *line = text, *end;
		len += (size_t)n;
		text[len] = '\0';
		for (; (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			take(line);
		}
		len = (size_t)(text + len - line);
		memmove(text, line, len);
	}
	return n != 0;
}

static void tell_state(struct apns_client *c)
{
	static char before[1024];
	char after[1024];
	struct apns_state s;

	apns_client_state(c, &s);
	snprintf(after, sizeof(after), "%s %s %zu", conditions[s.condition], s.words, s.streams);
	if (!strcmp(before, after))
		return;
	memcpy(before, after, sizeof(before));
	say(json_pack("{s:s, s:s, s:I, s:I, s:I}", "condition", conditions[s.condition], "words",
	              s.words, "streams", (json_int_t)s.streams, "inflight", (json_int_t)s.inflight,
	              "connects", (json_int_t)s.connects));
}

static void converse(struct apns_client *c)
{
	bool open = true;
	size_t inflight = 0;

	fcntl(0, F_SETFL, O_NONBLOCK);
	while (open || world.n || inflight) {
		if (open)
			open = read_input();
		while (world.n) {
			json_t *j = world.waiting[world.first];
			int r = submit(c, j);
			if (r > 0)
				break;
			json_decref(j);
			world.first = (world.first + 1) % WAITING;
			world.n--;
		}
		tell_state(c);
		inflight = apns_client_step(c, 5, answered, NULL);
		tell_state(c);
	}
}

/* --- speed --- */

struct run {
	json_int_t count, rate, devices;
	const char *topic;
};

static void counted(void *ctx, void *ref, const struct apns_answer *a)
{
	(void)ctx;
	(void)ref;
	world.answered++;
	world.delivered += a->outcome == APNS_DELIVERED;
	if (a->outcome != APNS_DELIVERED && world.answered - world.delivered == 1)
		fprintf(stderr, "pusher: %s: %s\n", outcomes[a->outcome], a->reason);
}

/* getrusage()'s figure begins with that of the process which started this one. */
static json_int_t most_memory_kb(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb = 0;

	while (f && fgets(line, sizeof(line), f) && sscanf(line, "VmHWM: %ld", &kb) != 1)
		;
	if (f)
		fclose(f);
	return kb;
}

static void run(struct apns_client *c, const struct run *run)
{
	char token[65],
	    payload[] = "{\"aps\":{\"account-id\":\"E8CD34AD-98D6-4489-90BB-613F586C67C9\"}}";
	struct apns_push p = {.token = token,
	                      .topic = run->topic ? run->topic : apns_client_topic(c),
	                      .push_type = "background",
	                      .collapse_id = "E8CD34AD-98D6-4489-90BB-613F586C67C9",
	                      .expiration = time(NULL) + 86400,
	                      .payload = payload,
	                      .len = sizeof(payload) - 1};
	struct apns_state s;
	struct rusage u;
	size_t most = 0, inflight;
	json_int_t sent = 0;
	double start = 0, t;

	for (;;) {
		t = now();
		json_int_t due = start == 0  ? 1
		                 : run->rate ? (json_int_t)((t - start) * (double)run->rate)
		                             : run->count;
		while (sent < run->count && sent < due) {
			snprintf(token, sizeof(token), "%064llx", (long long)(sent % run->devices));
			int r = apns_client_submit(c, &p);
			if (r == APNS_NEVER)
				exit(1);
			if (r != APNS_OK)
				break;
			sent++;
			/* Connecting is not what is measured. */
			if (start == 0)
				start = t;
		}
		inflight = apns_client_step(c, 1, counted, NULL);
		if (inflight > most)
			most = inflight;
		if (world.answered == (size_t)run->count)
			break;
	}
	t = now() - start;
	getrusage(RUSAGE_SELF, &u);
	apns_client_state(c, &s);
	say(json_pack("{s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:f}", "delivered",
	              (json_int_t)world.delivered, "seconds", t, "rate", (double)run->count / t,
	              "most_inflight", (json_int_t)most, "streams", (json_int_t)s.streams,
	              "memory_kb", most_memory_kb(), "connects", (json_int_t)s.connects, "cpu",
	              (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	                  (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6));
}

static const struct option options[] = {
    {"url", 1, NULL, 'u'},      {"cafile", 1, NULL, 'a'},    {"certificate", 1, NULL, 'c'},
    {"key", 1, NULL, 'k'},      {"token-key", 1, NULL, 'j'}, {"key-id", 1, NULL, 'i'},
    {"team-id", 1, NULL, 'd'},  {"timeout", 1, NULL, 't'},   {"retry-max", 1, NULL, 'r'},
    {"inflight", 1, NULL, 'f'}, {"count", 1, NULL, 'n'},     {"rate", 1, NULL, 'e'},
    {"devices", 1, NULL, 'v'},  {"topic", 1, NULL, 'o'},     {"check", 0, NULL, 'x'},
    {"clock", 1, NULL, 'l'},    {NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
	struct apns_client_options o = {
	    .timeout = 30000, .retry_max = 60000, .inflight = 1000, .clock = shifted_clock};
	struct run bench = {.devices = 100000};
	struct apns_client *c;
	bool check = false;
	char *why;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'u':
			o.url = optarg;
			break;
		case 'a':
			o.cafile = optarg;
			break;
		case 'c':
			o.certificate = optarg;
			break;
		case 'k':
			o.key = optarg;
			break;
		case 'j':
			o.token_key = optarg;
			break;
		case 'i':
			o.key_id = optarg;
			break;
		case 'd':
			o.team_id = optarg;
			break;
		case 't':
			o.timeout = atoll(optarg);
			break;
		case 'r':
			o.retry_max = atoll(optarg);
			break;
		case 'f':
			o.inflight = (size_t)atoll(optarg);
			break;
		case 'n':
			bench.count = atoll(optarg);
			break;
		case 'e':
			bench.rate = atoll(optarg);
			break;
		case 'v':
			bench.devices = atoll(optarg);
			break;
		case 'o':
			bench.topic = optarg;
			break;
		case 'l':
			world.clock_offset = atoll(optarg);
			break;
		case 'x':
			check = true;
			break;
		default:
			return 64;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	if (check ? apns_client_check(&o, &why) : apns_client_open(&c, &o, &why)) {
		fprintf(stderr, "%s\n", why ? why : "memory is short");
		free(why);
		return 1;
	}
	if (check)
		return 0;
	if (bench.count)
		run(c, &bench);
	else
		converse(c);
	apns_client_close(&c);
	return 0;
}
