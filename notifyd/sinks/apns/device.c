/* SPDX-License-Identifier: BSD-3-Clause */
#include "device.h"

#include <string.h>

const char *const device_kinds[DEVICE_KINDS] = {"mail", "caldav", "carddav"};

bool device_token_ok(struct str token)
{
	if (token.len < 2 || token.len > 400)
		return false;
	for (size_t i = 0; i < token.len; i++)
		if (!memchr("0123456789abcdefABCDEF", token.s[i], 22))
			return false;
	return true;
}

bool device_account_ok(struct str account)
{
	if (!account.len || account.len > 1024)
		return false;
	for (size_t i = 0; i < account.len; i++)
		if ((unsigned char)account.s[i] <= ' ' || account.s[i] == 0x7f)
			return false;
	return true;
}
