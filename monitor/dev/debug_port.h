/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/debug_port.h - two ports for test guests: one ends the machine, one prints. Off unless created.
 *
 * Threads: under the device lock.
 */
#ifndef SERAI_MONITOR_DEV_DEBUG_PORT_H
#define SERAI_MONITOR_DEV_DEBUG_PORT_H

#include "monitor/bus/device.h"

/* A write of v to the exit port asks for process status (v << 1) | 1; the low 8 bits are what a shell sees.
 */
struct debug_exit {
	struct physmap *mem;
	void (*exit)(void *opaque, unsigned status);
	void *opaque;
};

/* A byte written to the console port (0x402, 0xE9) is text; reading answers 0xE9, which says "I am here". */
struct debug_console {
	struct physmap *mem;
	void (*put)(void *opaque, uint8_t byte);
	void *opaque;
};

/* False when the ports (exit: port..port+3; console: port) are taken. */
bool debug_exit_init(struct debug_exit *d, struct physmap *mem, uint16_t port,
	void (*exit)(void *opaque, unsigned status), void *opaque);
bool debug_console_init(struct debug_console *d, struct physmap *mem, uint16_t port,
	void (*put)(void *opaque, uint8_t byte), void *opaque);

#endif
