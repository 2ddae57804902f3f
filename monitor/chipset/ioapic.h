/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/ioapic.h - one I/O APIC with 24 inputs at 0xFEC00000, version 0x20 (EOI register).
 *
 * Wiring:  inputs by ioapic_set_irq (irq_sink_fn); messages leave through `deliver` (lapic_deliver fits).
 *          On this board pin 0 is the 8259's INTR (ExtINT), 1 and 3..15 the ISA interrupts, 2 the timer
 *          (IRQ 0), 16..19 PIRQ A..D, 20..23 the HPET.
 *          An input is "asserted" or not: polarity is kept for the guest to read back, not applied again.
 * Threads: under the device lock.
 * Theory:  82093AA data sheet (290566).
 */
#ifndef SERAI_MONITOR_CHIPSET_IOAPIC_H
#define SERAI_MONITOR_CHIPSET_IOAPIC_H

#include "monitor/bus/device.h"
#include "monitor/chipset/apic.h"

#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_PINS 24

struct ioapic {
	struct device dev;
	struct ioapic_state {
		uint64_t redir[IOAPIC_PINS];
		uint32_t irr;   /* edge requests not yet delivered */
		uint32_t lines; /* input levels */
		uint32_t id;    /* bits 27..24 */
		uint8_t index;
		uint8_t reserved[3];
	} s;
	apic_deliver_fn *deliver;
	void *deliver_opaque;
	uint32_t extint; /* pins whose ExtINT is asserted at the local APICs, derived */
	int region;
};

/* `id` is the APIC ID the firmware tables name. Set `deliver` before device_reset. */
void ioapic_init(struct ioapic *io, struct physmap *mem, struct timer_queue *timers);

/* irq_sink_fn; opaque is the struct ioapic, n the pin. */
void ioapic_set_irq(void *opaque, unsigned n, bool level);

/* A local APIC's EOI broadcast for a level-triggered vector; opaque is the struct ioapic. */
void ioapic_eoi(void *opaque, unsigned vector);

#endif
