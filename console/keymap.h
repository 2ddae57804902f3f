/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * console/keymap.h - what a terminal sends for a key, as presses on a US keyboard.
 *
 * Key numbers are set 1 make codes, extended ones 0xe0xx.
 */
#ifndef SERAI_CONSOLE_KEYMAP_H
#define SERAI_CONSOLE_KEYMAP_H

#include "base/compiler.h"

typedef void keymap_key_fn(void *opaque, uint16_t key, bool down);

struct keymap {
	uint8_t sequence[8];
	unsigned len; /* of an escape sequence begun */
};

/* One byte from the terminal; presses and releases go to fn. */
void keymap_feed(struct keymap *k, uint8_t byte, keymap_key_fn *fn, void *opaque);

/* No byte came for a while: an escape begun was the Esc key. */
void keymap_idle(struct keymap *k, keymap_key_fn *fn, void *opaque);

#endif
