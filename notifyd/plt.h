/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether a shared object's calls of a function can be taken over by a preloaded one: its dynamic
 * relocations name it (ELF, System V gABI chapter 5). A static or -Bsymbolic build has none. */
#ifndef NOTIFYD_PLT_H
#define NOTIFYD_PLT_H

/* 1, 0, or -1 with errno (ENOEXEC: no object of this machine's kind, or a damaged one). */
int plt_calls(const char *path, const char *symbol);

#endif
