/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/multiboot.h - load a multiboot 1 image with its modules.
 *
 * Promise: every length and address in the file is checked; a file cut off anywhere is refused.
 * Theory:  Multiboot Specification 0.6.96; ELF (System V ABI).
 */
#ifndef SERAI_MONITOR_FIRMWARE_MULTIBOOT_H
#define SERAI_MONITOR_FIRMWARE_MULTIBOOT_H

#include "monitor/firmware/boot.h"

#define MULTIBOOT_MODULES 64

/* Cheap: the first 8 KiB hold a valid multiboot header. */
bool multiboot_probe(const uint8_t *data, size_t size);

/* SERAI_ERROR_FORMAT: not one, damaged, or asks for what we do not have; SERAI_ERROR_CONFIG: memory too
 * small. */
bool multiboot_load(struct physmap *mem, const struct boot_memory *map, const struct boot_image *kernel,
	const struct boot_image *modules, unsigned module_count, struct boot_entry *entry, GError **error);

#endif
