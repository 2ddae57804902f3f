/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/pm.h - PIIX4 power management function (8086:7113): ACPI PM1, timer, GPE0, APM ports.
 *
 * Ports:   64 at PMBASE (config 0x40) while PMREGMISC bit 0 is set; 0xB2, 0xB3.
 * Wiring:  `sci` is ISA interrupt 9.
 * Tables:  for ACPI: PM1a_EVT = PMBASE+0, PM1a_CNT = +4, PM_TMR = +8, GPE0 = +0xC (4 bytes); SMI command
 *          port 0xB2 with the two values below; S5 is SLP_TYP 0.  No SMM: the command sets SCI_EN
 *          directly, and DEVACTB reads as if firmware's SMM set-up had been done.
 * Threads: under the device lock.
 * Theory:  PIIX4 data sheet (290562) 7; ACPI specification 4.8.
 */
#ifndef SERAI_MONITOR_CHIPSET_PM_H
#define SERAI_MONITOR_CHIPSET_PM_H

#include "monitor/bus/pci.h"

#define PM_ACPI_ENABLE  0xf1 /* written to 0xB2 */
#define PM_ACPI_DISABLE 0xf0
#define PM_TIMER_HZ     3579545u
#define PM_DEFAULT_BASE 0x600 /* what SeaBIOS programs; pm_enable uses the same */
#define PM_SCI_IRQ      9

struct pm {
	struct pci_function pci; /* first */
	struct pm_state {
		uint8_t config[256];
		uint64_t seen; /* PM timer ticks up to which overflow is accounted */
		uint16_t sts, en, cnt, gpe_sts, gpe_en;
		uint8_t apm_cnt, apm_sts;
		uint32_t pcntrl, glbsts, devsts, glben, glbctl, devctl, gpo;
	} s;
	struct irq_line sci;
	struct timer timer;
	/* SLP_EN with the S5 type; may be NULL. */
	void (*power_off)(void *opaque);
	void *opaque;
	uint16_t mapped_at; /* PMBASE as claimed, 0: not */
	bool mapped;
};

void pm_init(struct pm *pm, struct pci_bus *bus, uint8_t devfn);

/* PMBASE = PM_DEFAULT_BASE and ACPI on, where no firmware does it (direct kernel boot); after reset. */
void pm_enable(struct pm *pm);

/* The power button: sets PWRBTN_STS, which raises SCI when the guest enabled it. */
void pm_press_power_button(struct pm *pm);

/* A general purpose event, bit 0..15 of GPE0_STS. */
void pm_raise_gpe(struct pm *pm, unsigned bit);

#endif
