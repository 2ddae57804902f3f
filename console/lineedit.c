/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "console/lineedit.h"

#include <string.h>

static char *rub_out(struct lineedit *l, char *echo)
{
	if (!l->len)
		return echo;
	l->len--;
	memcpy(echo, "\b \b", 3);
	return echo + 3;
}

/* The arrow up brings the last line back. */
static char *recall(struct lineedit *l, char *echo)
{
	strcpy(l->line, l->last);
	l->len = (unsigned)strlen(l->line);
	return stpcpy(stpcpy(echo, "\r\033[K(serai) "), l->line);
}

static bool in_sequence(struct lineedit *l, uint8_t byte, char **echo)
{
	if (!l->skip)
		return false;
	if (l->skip == 1) {
		l->skip = byte == '[' ? 2 : 0;
	} else if (byte >= 0x40) {
		l->skip = 0;
		if (byte == 'A')
			*echo = recall(l, *echo);
	}
	return true;
}

static enum lineedit_event finish(struct lineedit *l, char *echo)
{
	l->line[l->len] = 0;
	if (l->len)
		strcpy(l->last, l->line);
	l->len = 0;
	strcpy(echo, "\n");
	return LINE_READY;
}

enum lineedit_event lineedit_feed(struct lineedit *l, uint8_t byte, char *echo)
{
	char *p = echo;

	if (in_sequence(l, byte, &p)) {
		*p = 0;
		return LINE_MORE;
	}
	switch (byte) {
	case '\r':
	case '\n':
		return finish(l, echo);
	case 4: /* Ctrl-D */
		*p = 0;
		return l->len ? LINE_MORE : LINE_EOF;
	case 3: /* Ctrl-C drops the line */
	case 21:
		while (l->len)
			p = rub_out(l, p);
		break;
	case 8:
	case 127:
		p = rub_out(l, p);
		break;
	case 27:
		l->skip = 1;
		break;
	default:
		if (byte >= 32 && l->len < LINE_MAX_BYTES - 1) {
			l->line[l->len++] = (char)byte;
			*p++ = (char)byte;
		}
	}
	*p = 0;
	return LINE_MORE;
}
