/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/acpi.h - the ACPI tables of this board, relocatable.
 *
 * Promise: what the tables say is what the chipset does: the numbers come from the caller's description of
 * it. Theory:  ACPI specification 6.4, chapter 5; IA-PC HPET specification 1.0a.
 */
#ifndef SERAI_MONITOR_FIRMWARE_ACPI_H
#define SERAI_MONITOR_FIRMWARE_ACPI_H

#include "monitor/mem/physmap.h"

#include <glib.h>

struct acpi_board {
	unsigned cpus, cores_per_socket;
	uint64_t below_4g, above_4g; /* RAM */
	uint16_t pm_base; /* PM1a event block; control +4, timer +8, GPE0 +0xc */
	uint16_t smi_port;
	uint8_t acpi_enable, acpi_disable;
	uint8_t sci_irq;
	uint64_t hpet_base; /* 0: none */
	uint64_t ioapic_base;
	bool com1, com2, floppy;
	uint32_t pci_memory; /* first address of the PCI window that ends at 0xFEBFFFFF */
};

/* A place in `tables` that holds the offset of a byte of `tables`, to become its address. */
struct acpi_pointer {
	uint32_t at;
	uint8_t size; /* 4 or 8 */
};

struct acpi_table {
	uint32_t at, length; /* its checksum is at `at` + 9; the FACS has none and is not listed */
};

struct acpi_tables {
	GByteArray *tables;
	uint8_t rsdp[36]; /* RSDT at 16 and XSDT at 24 as offsets into `tables` */
	struct acpi_pointer pointer[32];
	unsigned pointers;
	struct acpi_table table[16];
	unsigned count;
};

void acpi_build(struct acpi_tables *t, const struct acpi_board *board);
void acpi_free(struct acpi_tables *t);

/* Tables into memory at `base` (64-byte aligned), the RSDP at `rsdp` (16-byte aligned), addresses and
 * checksums final. */
void acpi_place(struct acpi_tables *t, struct physmap *mem, uint32_t base, uint32_t rsdp);

/* The same as a script for firmware: QEMU's "etc/table-loader" file (docs/specs/acpi_loader), for files named
 * etc/acpi/tables and etc/acpi/rsdp. */
GByteArray *acpi_loader_script(const struct acpi_tables *t);

#endif
