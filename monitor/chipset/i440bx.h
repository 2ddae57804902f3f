/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/i440bx.h - the 440FX/440BX host bridge: PAM shadowing of 0xC0000..0xFFFFF, SMRAM register.
 *
 * Owns:    the physical map of 0xC0000..0xFFFFF (13 regions); the board maps all other RAM, the ROM below
 *          4 GiB and the VGA window at 0xA0000.
 * Threads: under the device lock.
 * Not here: SMM, which this machine does not have: SMRAM keeps its bits, and opening it changes nothing.
 * Theory:  82441FX data sheet (290549) 3.2; 82443BX data sheet (290633) 3.3.
 */
#ifndef SERAI_MONITOR_CHIPSET_I440BX_H
#define SERAI_MONITOR_CHIPSET_I440BX_H

#include "monitor/bus/pci.h"

#define I440FX_DEVICE_ID 0x1237 /* the one SeaBIOS 1.16 knows how to unlock */
#define I440BX_DEVICE_ID 0x7190
#define I440BX_SEGMENTS  13

struct i440bx {
	struct pci_function pci; /* first */
	struct i440bx_state {
		uint8_t config[256];
	} s;
	struct pci_ids ids;
	uint8_t *rom; /* whose end shows below 1 MiB; NULL: nothing */
	uint32_t rom_size;
	int region[I440BX_SEGMENTS];
};

/*
 * device_id is one of the two above.  `rom` (not owned, rom_size a multiple of 16 KiB) is the BIOS image,
 * whose last 128 KiB show from 0xE0000 on where PAM sends reads to the bus; NULL for none.
 */
void i440bx_init(struct i440bx *hb, struct pci_bus *bus, uint8_t devfn, uint16_t device_id, uint8_t *rom,
	uint32_t rom_size);

/* All of 0xC0000..0xFFFFF to RAM, where no firmware does it (direct kernel boot); after reset. */
void i440bx_shadow_all(struct i440bx *hb);

#endif
