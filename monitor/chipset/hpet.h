/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/hpet.h - high precision event timers: 64-bit counter, three comparators, at 0xFED00000.
 *
 * Wiring:  the PIT's and the RTC's interrupt lines pass through here, because legacy replacement takes
 *          their place: connect them to hpet_legacy_in (n = 0 PIT, 1 RTC), and isa[0], isa[1] to ISA
 *          interrupts 0 and 8.  pin[n] drives I/O APIC pin n; the timers offer only 20..23 (HPET_PINS).
 * Threads: under the device lock.
 * Theory:  IA-PC HPET specification 1.0a.
 */
#ifndef SERAI_MONITOR_CHIPSET_HPET_H
#define SERAI_MONITOR_CHIPSET_HPET_H

#include "monitor/bus/device.h"

#define HPET_BASE      0xfed00000ull
#define HPET_PERIOD_FS 10000000u /* 100 MHz */
#define HPET_TIMERS    3
#define HPET_PINS      0x00f00000u

struct hpet {
	struct device dev;
	struct hpet_state {
		uint64_t config;  /* bit 0 run, bit 1 legacy replacement */
		uint64_t isr;     /* level-triggered interrupts active */
		uint64_t counter; /* main counter while stopped */
		uint64_t start;   /* while running: tick of virtual time (10 ns) minus counter, modulo 2^64 */
		uint64_t timer_config[HPET_TIMERS];
		uint64_t comparator[HPET_TIMERS];
		uint64_t period[HPET_TIMERS]; /* periodic mode: last value written to the comparator */
		uint64_t seen[HPET_TIMERS]; /* counter value up to which this timer's matches are accounted */
		uint8_t legacy_in[2];       /* levels of PIT and RTC */
		uint8_t legacy_out[2];      /* edge-triggered: wires held high since the last edge */
		uint8_t reserved[4];
	} s;
	struct irq_line isa[2];
	struct irq_line pin[24];
	struct timer timer[HPET_TIMERS];
	int region;
};

void hpet_init(struct hpet *hpet, struct physmap *mem, struct timer_queue *timers);

/* irq_sink_fn; opaque is the struct hpet, n 0: the PIT's OUT0, 1: the RTC's IRQ. */
void hpet_legacy_in(void *opaque, unsigned n, bool level);

#endif
