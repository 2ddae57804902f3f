/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/linux.h - load a Linux bzImage and enter it by the 32-bit boot protocol.
 *
 * Promise: every length and address in the file is checked; a file cut off anywhere is refused.
 * Theory:  Linux's Documentation/arch/x86/boot.rst, protocols 2.02 to 2.15.
 */
#ifndef SERAI_MONITOR_FIRMWARE_LINUX_H
#define SERAI_MONITOR_FIRMWARE_LINUX_H

#include "monitor/firmware/boot.h"

/* Cheap: the file says it is a Linux kernel. */
bool linux_probe(const uint8_t *data, size_t size);

/*
 * Kernel (its `arguments` are the command line), optional initrd (NULL), zero page and GDT into memory;
 * `rsdp` is the address of the ACPI root pointer or 0.  SERAI_ERROR_FORMAT: not a kernel, damaged, or of a
 * kind that cannot be entered this way; SERAI_ERROR_CONFIG: memory too small, command line too long.
 */
bool linux_load(struct physmap *mem, const struct boot_memory *map, const struct boot_image *kernel,
	const struct boot_image *initrd, uint64_t rsdp, struct boot_entry *entry, GError **error);

#endif
