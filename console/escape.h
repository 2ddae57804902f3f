/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * console/escape.h - Ctrl-A and a key: commands to us among the bytes meant for the guest.
 */
#ifndef SERAI_CONSOLE_ESCAPE_H
#define SERAI_CONSOLE_ESCAPE_H

#include "base/compiler.h"

enum escape_command { ESCAPE_NONE, ESCAPE_QUIT, ESCAPE_PROMPT, ESCAPE_SCREEN, ESCAPE_BREAK, ESCAPE_HELP };

struct escape {
	bool pending; /* Ctrl-A was typed */
};

/*
 * One typed byte.  Returns a command, or ESCAPE_NONE with *n bytes (0..2) for the guest in out: Ctrl-A Ctrl-A
 * is one Ctrl-A, Ctrl-A and an unknown key are both passed on.
 */
enum escape_command escape_feed(struct escape *e, uint8_t byte, uint8_t out[2], unsigned *n);

extern const char escape_help[];

#endif
