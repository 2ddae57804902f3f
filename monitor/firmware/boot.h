/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/boot.h - where memory lies, and how a directly loaded image is entered.
 *
 * Guest-physical layout of this board:
 *   0          .. 640 KiB    RAM, the last KiB of it the EBDA
 *   640 KiB    .. 1 MiB      VGA, option ROMs, BIOS (RAM under it through PAM)
 *   1 MiB      .. 3 GiB      RAM, as far as it goes
 *   4 GiB      ..            the rest of RAM
 *
 * Threads: before the vCPUs run, or while they are parked.
 */
#ifndef SERAI_MONITOR_FIRMWARE_BOOT_H
#define SERAI_MONITOR_FIRMWARE_BOOT_H

#include "monitor/mem/physmap.h"

#define BOOT_LOW_RAM_MAX 0xc0000000ull
#define BOOT_4G          0x100000000ull
#define BOOT_EBDA        0x9fc00u
#define BOOT_TABLES      0xe0000u /* ACPI and SMBIOS tables when no BIOS puts them there; to 1 MiB */
#define BOOT_TABLES_SIZE 0x20000u
#define BOOT_GDT         0x00000800u
#define BOOT_STACK       0x00007c00u
#define BOOT_RANGES      8

enum { BOOT_RAM = 1, BOOT_RESERVED = 2 };

struct boot_range {
	uint64_t base, size;
	uint32_t type;
};

struct boot_memory {
	uint64_t below_4g; /* end of RAM below 4 GiB */
	uint64_t above_4g; /* bytes of RAM from 4 GiB on */
	struct boot_range e820[BOOT_RANGES];
	unsigned count;
};

/* The map for `ram_bytes` (at least 1 MiB) of RAM, as an operating system without a BIOS wants it. */
void boot_memory_init(struct boot_memory *m, uint64_t ram_bytes);

/* Registers at the first instruction: 32-bit protected mode, paging off, interrupts off, flat segments from
 * the GDT at `gdt`: code selector 0x10, data 0x18. */
struct boot_entry {
	uint32_t eip, esp, eax, ebx, esi;
	uint32_t gdt, gdt_limit;
};

/* Write that GDT and the BIOS data area's few words, and fill the fields they decide. */
void boot_entry_init(struct boot_entry *e, struct physmap *mem);

/* An image given by a person, with what follows it: a Linux kernel's command line, a module's arguments. */
struct boot_image {
	const char *name; /* for messages */
	const uint8_t *data;
	size_t size;
	const char *arguments; /* may be NULL */
};

#endif
