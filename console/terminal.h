/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * console/terminal.h - the person's terminal in raw mode, and back again whatever happens.
 *
 * Promise: terminal_restore may be called at any time, also from a signal handler, and more than once.
 */
#ifndef SERAI_CONSOLE_TERMINAL_H
#define SERAI_CONSOLE_TERMINAL_H

#include "base/compiler.h"

#include <signal.h>
#include <termios.h>

struct terminal {
	struct termios saved;
	volatile sig_atomic_t raw; /* saved is to be put back */
	volatile sig_atomic_t
		drawn; /* the text display owns the screen: cursor and colours are to be put back */
};

/* Raw mode, unless standard input is no terminal (false) or we are in the background. */
bool terminal_enter(struct terminal *t);
void terminal_restore(struct terminal *t);

/* Standard input is a terminal that another job has at the moment: reading would stop us. */
bool terminal_background(void);

#endif
