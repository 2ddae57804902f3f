/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/apic.h - what I/O APIC, message-signalled interrupts and local APICs say to each other.
 *
 * Threads: under the device lock.
 * Theory:  Intel SDM volume 3A, chapter 11 (APIC); 82093AA data sheet.
 */
#ifndef SERAI_MONITOR_CHIPSET_APIC_H
#define SERAI_MONITOR_CHIPSET_APIC_H

#include "base/compiler.h"

enum apic_mode {
	APIC_FIXED = 0,
	APIC_LOWEST = 1,
	APIC_SMI = 2,
	APIC_NMI = 4,
	APIC_INIT = 5,
	APIC_SIPI = 6,
	APIC_EXTINT = 7,
};

struct apic_message {
	uint32_t dest; /* physical APIC ID or logical set; 0xff (8-bit senders) is everybody */
	bool logical;
	uint8_t mode;   /* enum apic_mode */
	uint8_t vector; /* for SIPI the start page */
	bool level;     /* trigger mode; an EOI goes back to the I/O APIC */
	bool asserted;  /* ExtINT follows the wire: false takes the request back */
};

/* True when at least one local APIC took it. */
typedef bool apic_deliver_fn(void *opaque, const struct apic_message *msg);

#endif
