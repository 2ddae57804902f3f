/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/uart.h - a 16550A serial port.
 *
 * Threads: under the device lock.
 * Theory:  National Semiconductor PC16550D data sheet.
 */
#ifndef SERAI_MONITOR_DEV_UART_H
#define SERAI_MONITOR_DEV_UART_H

#include "monitor/bus/device.h"

#define UART_FIFO 16

/* The other end of the cable.  Called under the device lock; must not block. */
struct uart_backend {
	void *opaque;
	/* Takes up to len bytes, returns how many; fewer: the port keeps the rest until uart_writable. NULL:
	 * swallow. */
	size_t (*write)(void *opaque, const uint8_t *bytes, size_t len);
	/* The receiver has room again after uart_receive took less than offered; may be NULL. */
	void (*receive_ready)(void *opaque);
};

struct uart_state {
	uint8_t ier, fcr, lcr, mcr, msr, lsr, scr, dll, dlm;
	uint8_t thr_ipending;    /* "transmitter empty" is waiting to be seen */
	uint8_t timeout_pending; /* character timeout is waiting to be seen */
	uint8_t starved;         /* uart_receive had to refuse bytes */
	uint8_t rx_count, rx_head;
	uint8_t tx_count;
	uint8_t rx[UART_FIFO], rx_error[UART_FIFO]; /* byte and its LSR error bits */
	uint8_t tx[UART_FIFO];
	uint64_t timeout_at; /* virtual ns of the character timeout, 0: none */
};

struct uart {
	struct device dev;
	struct uart_state s;
	struct irq_line irq; /* COM1: 4, COM2: 3 */
	struct uart_backend backend;
	struct timer timeout, retry;
	bool in_settle;
};

/* Claim ports port..port+7 (0x3F8, 0x2F8, ...).  backend is copied; NULL: nothing is plugged in. */
void uart_init(struct uart *u, const char *instance, struct physmap *mem, struct timer_queue *timers,
	uint16_t port, const struct uart_backend *backend);

/* Bytes that uart_receive would take now. */
size_t uart_can_receive(const struct uart *u);

/* Bytes arrive from the line; returns how many fitted, offer the rest again after receive_ready. */
size_t uart_receive(struct uart *u, const uint8_t *bytes, size_t len);

/* A break condition on the line. */
void uart_receive_break(struct uart *u);

/* The back end takes bytes again. */
void uart_writable(struct uart *u);

extern const struct device_class uart_class;

#endif
