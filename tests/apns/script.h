/* SPDX-License-Identifier: BSD-3-Clause */
/* What the server answers instead of 200, told by a test on the control port: a line of JSON, a
 * line back ({} or {"error":"..."}).
 *   {"device":HEX or "*", "answers":[ANSWER...], "repeat":true}   one a push, in order; repeat: the
 *        last for ever; * is for devices without answers of their own
 *   {"goaway_after":N, "reason":...}   after N more pushes, which it processes; none later
 *   {"close_after":N}                  the connection is cut with the Nth push from now
 *   {"max_streams":N}                  SETTINGS to all connections, and new ones
 *   {"clock_offset":S}                 how far this server's clock is ahead
 *   {"forget":true}                    all of the above but max_streams
 *   {"stats":true}   "most" streams open at once, since it was told to forget, and counts
 * ANSWER: {"status", "reason", "timestamp", "retry_after", "delay_ms", "body" (as it is, instead of
 * the usual JSON), "action": "never", "reset" (with "code") or "close"}. A push that the server
 * would refuse anyway is refused, whatever the script says. */
#ifndef TESTS_APNS_SCRIPT_H
#define TESTS_APNS_SCRIPT_H

#include <jansson.h>
#include <stdint.h>

struct script {
	json_t *devices;
	int64_t goaway_after, close_after; /* pushes from now; -1: never */
	char reason[64];
};

void script_forget(struct script *s);

/* 0; 1: the command is none of the script's; -1 it makes no sense. */
int script_command(struct script *s, json_t *command);

/* What is next for this device: borrowed until the next call; NULL: 200. */
const json_t *script_next(struct script *s, const char *device);

#endif
