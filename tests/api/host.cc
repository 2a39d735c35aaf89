// SPDX-License-Identifier: BSD-3-Clause
// The smallest host, in C++: one delivery. Usage: host IMAPD.CONF
#include <mbev.h>

#include <cstdio>

int main(int argc, char **argv)
{
	struct mbev *handle = NULL;
	struct mbev_event *event = NULL;
	char why[256];
	if (argc != 2 || mbev_abi() != MBEV_ABI)
		return 2;
	if (mbev_open(argv[1], "lmtp", &handle, why, sizeof why) != MBEV_OK) {
		std::fprintf(stderr, "%s\n", why);
		return 1;
	}
	if (*why)
		std::fprintf(stderr, "%s\n", why);
	mbev_new(handle, "MessageNew", &event);
	mbev_set_mailbox(event, "john@example.org", "INBOX", 1424683682);
	mbev_set_string(event, "user", "john@example.org");
	mbev_add_message(event, 6, "<a8486f5d@example.org>");
	mbev_set_int(event, "messageSize", 976);
	mbev_set_time(event, static_cast<int64_t>(1413804854) * 1000 + 966, 120);
	mbev_set_int(event, "pid", 2340);
	int code = mbev_emit(&event, why, sizeof why);
	if (code != MBEV_OK)
		std::fprintf(stderr, "%s: %s\n", mbev_strerror(code), why);
	mbev_close(&handle);
	return code != MBEV_OK;
}
