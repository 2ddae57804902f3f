/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * console/textscreen.h - draw a PC text screen on an ANSI terminal, only what changed.
 */
#ifndef SERAI_CONSOLE_TEXTSCREEN_H
#define SERAI_CONSOLE_TEXTSCREEN_H

#include "base/compiler.h"

#define SCREEN_COLUMNS 132
#define SCREEN_ROWS    60

struct textcell {
	uint32_t ch;  /* Unicode */
	uint8_t attr; /* VGA attribute: foreground, background << 4 */
};

struct textscreen {
	struct textcell cell[SCREEN_ROWS][SCREEN_COLUMNS];
	unsigned columns, rows;
	int cursor_column, cursor_row; /* -1: hidden */
};

/* Bytes that turn a terminal showing `old` into one showing `now`; old with columns == 0: unknown. malloc'ed,
 * *len bytes; NULL when nothing changed. */
char *textscreen_draw(const struct textscreen *old, const struct textscreen *now, size_t *len);

#endif
