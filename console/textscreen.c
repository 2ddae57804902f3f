/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "console/textscreen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct out {
	char *text;
	size_t len, room;
	int attr; /* as the terminal has it now; -1: unknown */
	int column, row;
};

static void emit(struct out *o, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void emit(struct out *o, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (o->room - o->len < 64) {
		char *more = realloc(o->text, o->room * 2 + 256);

		if (!more)
			return;
		o->text = more;
		o->room = o->room * 2 + 256;
	}
	va_start(ap, fmt);
	n = vsnprintf(o->text + o->len, o->room - o->len, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < o->room - o->len)
		o->len += (size_t)n;
}

static void emit_char(struct out *o, uint32_t c)
{
	if (c < 0x20 || c == 0x7f)
		c = ' ';
	if (c < 0x80)
		emit(o, "%c", (int)c);
	else if (c < 0x800)
		emit(o, "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 63)));
	else
		emit(o, "%c%c%c", (int)(0xe0 | (c >> 12 & 15)), (int)(0x80 | (c >> 6 & 63)),
			(int)(0x80 | (c & 63)));
}

/* VGA colour order to ANSI's: red and blue change places. */
static unsigned ansi(unsigned colour)
{
	return (colour & 2) | (colour & 1) << 2 | (colour >> 2 & 1);
}

static void emit_attr(struct out *o, uint8_t attr)
{
	if (o->attr == attr)
		return;
	o->attr = attr;
	emit(o, "\033[%u;%um", (attr & 8 ? 90u : 30u) + ansi(attr), 40u + ansi(attr >> 4));
}

static void emit_cell(struct out *o, int row, int column, const struct textcell *c)
{
	if (o->row != row || o->column != column)
		emit(o, "\033[%d;%dH", row + 1, column + 1);
	emit_attr(o, c->attr);
	emit_char(o, c->ch);
	o->row = row;
	o->column = column + 1;
}

char *textscreen_draw(const struct textscreen *old, const struct textscreen *now, size_t *len)
{
	struct out o = { .attr = -1, .row = -1, .column = -1 };
	bool fresh = old->columns != now->columns || old->rows != now->rows;

	if (fresh)
		emit(&o, "\033[0m\033[2J");
	for (unsigned r = 0; r < now->rows && r < SCREEN_ROWS; r++)
		for (unsigned c = 0; c < now->columns && c < SCREEN_COLUMNS; c++)
			if (fresh || old->cell[r][c].ch != now->cell[r][c].ch ||
				old->cell[r][c].attr != now->cell[r][c].attr)
				emit_cell(&o, (int)r, (int)c, &now->cell[r][c]);
	if (o.len || old->cursor_column != now->cursor_column || old->cursor_row != now->cursor_row) {
		if (now->cursor_column >= 0 && now->cursor_row >= 0)
			emit(&o, "\033[0m\033[%d;%dH\033[?25h", now->cursor_row + 1, now->cursor_column + 1);
		else
			emit(&o, "\033[0m\033[?25l");
	}
	*len = o.len;
	return o.text;
}
