/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/pit.h - the 8254 interval timer and port 0x61.
 *
 * Ports:   0x40..0x43, 0x61.
 * Wiring:  `irq` is OUT0.
 * Promise: nothing ticks: counts are computed from the virtual clock, so channel 0 does not drift however
 *          late the main loop is.
 * Threads: under the device lock.
 * Theory:  Intel 8254 data sheet (231164).
 */
#ifndef SERAI_MONITOR_CHIPSET_PIT_H
#define SERAI_MONITOR_CHIPSET_PIT_H

#include "monitor/bus/device.h"

#define PIT_HZ 1193182u

struct pit {
	struct device dev;
	struct pit_state {
		uint64_t start[3];      /* PIT tick at which the count now running was loaded */
		uint64_t paused[3];     /* ticks counted when the gate went low */
		uint64_t pending_at[3]; /* tick at which `pending` takes over; UINT64_MAX: at a trigger */
		uint64_t edge;          /* tick of OUT0's next rising edge, UINT64_MAX: none */
		uint32_t count[3];      /* being counted: 1..65536 (BCD: ..10000), 0: never loaded */
		uint32_t pending[3];    /* written, not yet loaded; 0: none */
		uint16_t latch[3];      /* count latched for reading */
		uint8_t latched[3];     /* bytes of it still to read */
		uint8_t status[3], status_latched[3];
		uint8_t mode[3], bcd[3], rw[3];      /* control word; rw 1 low byte, 2 high, 3 both */
		uint8_t read_high[3], write_high[3]; /* rw 3: the next byte is the high one */
		uint8_t write_low[3];
		uint8_t gate[3];
		uint8_t armed[3]; /* modes 1 and 5: triggered; others: loaded */
		uint8_t port61;   /* bits 0..3 as written */
	} s;
	struct irq_line irq;
	struct timer timer;
};

void pit_init(struct pit *pit, struct physmap *mem, struct timer_queue *timers);

#endif
