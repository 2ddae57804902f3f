/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "console/escape.h"

#define CTRL_A 0x01

const char escape_help[] = "\nCtrl-A x  end the VM          Ctrl-A c  monitor prompt\n"
			   "Ctrl-A s  print the screen    Ctrl-A b  send a break\n"
			   "Ctrl-A h  this help           Ctrl-A Ctrl-A  a Ctrl-A for the guest\n";

enum escape_command escape_feed(struct escape *e, uint8_t byte, uint8_t out[2], unsigned *n)
{
	static const struct {
		char key;
		enum escape_command command;
	} keys[] = {
		{ 'x', ESCAPE_QUIT },
		{ 'c', ESCAPE_PROMPT },
		{ 's', ESCAPE_SCREEN },
		{ 'b', ESCAPE_BREAK },
		{ 'h', ESCAPE_HELP },
		{ '?', ESCAPE_HELP },
	};

	*n = 0;
	if (!e->pending) {
		e->pending = byte == CTRL_A;
		if (!e->pending)
			out[(*n)++] = byte;
		return ESCAPE_NONE;
	}
	e->pending = false;
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		if (byte == keys[i].key || (byte ^ 0x20) == keys[i].key)
			return keys[i].command;
	out[(*n)++] = CTRL_A;
	if (byte != CTRL_A)
		out[(*n)++] = byte;
	return ESCAPE_NONE;
}
