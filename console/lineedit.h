/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * console/lineedit.h - typing a line on a raw terminal: echo, backspace, Ctrl-U, one line of history.
 */
#ifndef SERAI_CONSOLE_LINEEDIT_H
#define SERAI_CONSOLE_LINEEDIT_H

#include "base/compiler.h"

#define LINE_MAX_BYTES 256

struct lineedit {
	char line[LINE_MAX_BYTES], last[LINE_MAX_BYTES];
	unsigned len;
	unsigned skip; /* inside an escape sequence: 1 behind ESC, 2 behind ESC [ */
};

enum lineedit_event { LINE_MORE, LINE_READY, LINE_EOF };

/* One typed byte; `echo` gets what to show (at most 3 * LINE_MAX_BYTES bytes, NUL-terminated).  On LINE_READY
 * `line` is the line, valid until the next call. */
enum lineedit_event lineedit_feed(struct lineedit *l, uint8_t byte, char *echo);

#define LINE_ECHO_MAX (3 * LINE_MAX_BYTES + 1)

#endif
