/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/ps2.h - between the keyboard controller and what is plugged into it.  Private to i8042.c and
 * ps2.c.
 */
#ifndef SERAI_MONITOR_DEV_PS2_H
#define SERAI_MONITOR_DEV_PS2_H

#include "monitor/dev/i8042.h"

/* Append a byte; false when full. */
bool ps2_put(struct i8042_queue *q, uint8_t byte);

/* The set 2 make code of a set 1 make code; 0: there is none. */
uint8_t ps2_set2_of(uint8_t set1);

/* Power-on state of keyboard and mouse. */
void ps2_reset(struct i8042_state *s);

/* A byte from the host to the device. */
void ps2_keyboard_write(struct i8042 *k, uint8_t v);
void ps2_mouse_write(struct i8042_state *s, uint8_t v);

void ps2_keyboard_key(struct i8042_state *s, uint16_t key, bool down);
void ps2_mouse_move(struct i8042_state *s, int dx, int dy, int dz, unsigned buttons);

/* Queue a movement packet if there is news, reporting is on and the queue has gone empty. */
void ps2_mouse_report(struct i8042_state *s);

#endif
