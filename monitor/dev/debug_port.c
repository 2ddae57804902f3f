/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/debug_port.c - two ports for test guests: one ends the machine, one prints.
 *
 * No state: nothing here survives an access.
 */
#include "monitor/dev/debug_port.h"

#define CONSOLE_HERE 0xe9
#define EXIT_PORTS   4

static uint64_t exit_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque, (void)off, (void)size;
	return 0;
}

static void exit_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct debug_exit *d = opaque;

	(void)off, (void)size;
	d->exit(d->opaque, (unsigned)(v << 1 | 1));
}

static const struct io_ops exit_ops = { exit_read, exit_write };

bool debug_exit_init(struct debug_exit *d, struct physmap *mem, uint16_t port,
	void (*exit)(void *opaque, unsigned status), void *opaque)
{
	struct port_range range = { port, EXIT_PORTS, &exit_ops, d, "debug exit" };

	*d = (struct debug_exit){ mem, exit, opaque };
	return port_add(mem, &range);
}

static uint64_t console_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque, (void)off, (void)size;
	return CONSOLE_HERE;
}

static void console_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct debug_console *d = opaque;

	(void)off, (void)size;
	d->put(d->opaque, (uint8_t)v);
}

static const struct io_ops console_ops = { console_read, console_write };

bool debug_console_init(struct debug_console *d, struct physmap *mem, uint16_t port,
	void (*put)(void *opaque, uint8_t byte), void *opaque)
{
	struct port_range range = { port, 1, &console_ops, d, "debug console" };

	*d = (struct debug_console){ mem, put, opaque };
	return port_add(mem, &range);
}
