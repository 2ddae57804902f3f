/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/piix4.h - the ISA bridge: interrupt routing, reset control, port 0x92, POST code.
 *
 * Ports:   0x80, 0x92, 0xCF9 (through the PCI bus's byte_ops).
 * Wiring:  ISA devices drive piix4_isa_irq (irq_sink_fn, n = 0..15); piix4_init makes itself the PCI bus's
 *          pirq listener.  Outputs, each the OR of everyone on that wire:
 *            pic[0..15]    for the 8259s;
 *            ioapic[0..23] pin 2 is IRQ 0; 1 and 3..15 the ISA interrupts (with PIRQs routed there by
 *                          0x60..0x63); 16..19 PIRQ A..D; 0 is not driven: the board joins it to the
 *                          8259's INTR.
 *          PCI slot s, pin p (1 = INTA) is PIRQ (s - 1 + p - 1) mod 4.
 * Threads: under the device lock.
 * Not here: ELCR (pic.c); the A20 gate's effect: A20 is always on, the setting only reads back.
 * Theory:  PIIX3 (290550) and PIIX4 (290562) data sheets.
 */
#ifndef SERAI_MONITOR_CHIPSET_PIIX4_H
#define SERAI_MONITOR_CHIPSET_PIIX4_H

#include "monitor/bus/pci.h"

#define PIIX3_DEVICE_ID 0x7000
#define PIIX4_DEVICE_ID 0x7110

struct piix4 {
	struct pci_function pci; /* first */
	struct piix4_state {
		uint8_t config[256];
		uint16_t isa; /* levels of the ISA inputs */
		uint8_t pirq; /* levels of PIRQ A..D */
		uint8_t post; /* port 0x80 */
		uint8_t port92;
		uint8_t cf9;
	} s;
	struct pci_ids ids;
	struct irq_line pic[16];
	struct irq_line ioapic[24];
	/* A full reset of the machine was asked for (0xCF9, port 0x92); the board does it later. */
	void (*reset_requested)(void *opaque);
	void (*a20)(void *opaque, bool on); /* may be NULL */
	void *opaque;
};

void piix4_init(struct piix4 *isa, struct pci_bus *bus, uint8_t devfn, uint16_t device_id);

/* irq_sink_fn; opaque is the struct piix4. */
void piix4_isa_irq(void *opaque, unsigned n, bool level);

#endif
