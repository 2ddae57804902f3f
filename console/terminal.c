/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "console/terminal.h"

#include <unistd.h>

bool terminal_background(void)
{
	pid_t owner = tcgetpgrp(STDIN_FILENO); /* -1: no terminal, or one without job control */

	return owner > 0 && owner != getpgrp();
}

bool terminal_enter(struct terminal *t)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || terminal_background())
		return false;
	if (!t->raw && tcgetattr(STDIN_FILENO, &t->saved) < 0)
		return false;
	raw = t->saved;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* our own lines end in a bare newline; a guest's CR LF is not harmed */
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		return false;
	t->raw = 1;
	return true;
}

void terminal_restore(struct terminal *t)
{
	/* Colours off, cursor shown, scrolling region whole, below the picture. */
	static const char reset[] = "\033[0m\033[?25h\033[r\033[999;1H\n";

	/* Another job's terminal is as that job wants it, and setting it would stop us (SIGTTOU). */
	if (terminal_background())
		t->drawn = t->raw = 0;
	if (t->drawn) {
		t->drawn = 0;
		if (write(STDOUT_FILENO, reset, sizeof(reset) - 1) < 0)
			t->drawn = 0;
	}
	if (t->raw) {
		t->raw = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &t->saved);
	}
}
