/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/i8042.h - the keyboard controller with a PS/2 keyboard and a PS/2 wheel mouse behind it.
 *
 * Threads: under the device lock.
 * Theory:  IBM PS/2 Hardware Interface Technical Reference, keyboard and auxiliary device controller.
 */
#ifndef SERAI_MONITOR_DEV_I8042_H
#define SERAI_MONITOR_DEV_I8042_H

#include "monitor/bus/device.h"

#define I8042_QUEUE 64 /* power of two */

struct i8042_queue {
	uint8_t data[I8042_QUEUE];
	uint8_t head, count;
};

/* Key numbers are set 1 make codes, as PC consoles send them: 0x01..0x7f, extended ones 0xe0xx. */
#define I8042_KEY_PAUSE        0xe11d
#define I8042_KEY_PRINT_SCREEN 0xe037

#define I8042_BUTTON_LEFT   1
#define I8042_BUTTON_RIGHT  2
#define I8042_BUTTON_MIDDLE 4

/* Where the controller's output port leads; any may be NULL. */
struct i8042_lines {
	void *opaque;
	void (*reset)(void *opaque); /* pulse of output port bit 0: the processors' reset */
	void (*a20)(void *opaque,
		bool on); /* output port bit 1, heard when it changes and after reset and load */
	void (*leds)(void *opaque, uint8_t leds); /* 1 scroll, 2 num, 4 caps */
};

struct i8042_state {
	/* controller */
	uint8_t status; /* system flag, command/data, output full and aux bits kept here */
	uint8_t mode;   /* command byte */
	uint8_t outport;
	uint8_t output;      /* output buffer */
	uint8_t output_from; /* enum in i8042.c: nothing, keyboard, mouse, controller */
	uint8_t command;     /* a command waits for its data byte, 0: none */
	uint8_t ram[32];
	/* keyboard */
	uint8_t kbd_command, kbd_scanning, kbd_set, kbd_leds, kbd_rate;
	/* mouse */
	uint8_t aux_command, aux_status, aux_resolution, aux_rate, aux_id, aux_knock, aux_wrap, aux_buttons;
	uint8_t aux_last_buttons; /* as last reported */
	int32_t aux_dx, aux_dy, aux_dz;
	struct i8042_queue kbd, aux, own; /* own: answers of the controller itself */
};

struct i8042 {
	struct device dev;
	struct i8042_state s;
	struct irq_line kbd_irq; /* 1 */
	struct irq_line aux_irq; /* 12 */
	struct i8042_lines lines;
	int a20_driven; /* -1: never */
};

/* Claim ports 0x60 and 0x64.  lines is copied; NULL: none. */
void i8042_init(
	struct i8042 *k, struct physmap *mem, struct timer_queue *timers, const struct i8042_lines *lines);

/* A key goes down or up (down again: autorepeat, which the console does). */
void i8042_key(struct i8042 *k, uint16_t key, bool down);

/* The mouse moved: right and down positive, wheel towards the person positive; buttons as they are now. */
void i8042_mouse(struct i8042 *k, int dx, int dy, int dz, unsigned buttons);

/* Port 0x92 changed A20: keeps the output port's bit 1 in step (does not call lines.a20). */
void i8042_note_a20(struct i8042 *k, bool on);

extern const struct device_class i8042_class;

#endif
