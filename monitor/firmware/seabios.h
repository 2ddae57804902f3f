/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/seabios.h - give SeaBIOS (a QEMU build, as Debian ships it) what it reads through fw_cfg.
 *
 * Theory: QEMU's docs/specs/fw_cfg; SeaBIOS's docs/Runtime_config.md.
 */
#ifndef SERAI_MONITOR_FIRMWARE_SEABIOS_H
#define SERAI_MONITOR_FIRMWARE_SEABIOS_H

#include "monitor/firmware/acpi.h"
#include "monitor/firmware/boot.h"
#include "monitor/firmware/smbios.h"

#define SEABIOS_PATH       "/usr/share/seabios/bios-256k.bin"
#define SEABIOS_VGA_PATH   "/usr/share/seabios/vgabios-stdvga.bin"
#define FIRMWARE_IMAGE_MAX (16u << 20)

/* Where items and files go: the board's fw_cfg device. */
struct firmware_sink {
	void *opaque;
	bool (*item)(void *opaque, uint16_t key, const void *data, uint32_t len, GError **error);
	bool (*file)(void *opaque, const char *name, const void *data, uint32_t len, GError **error);
};

/* A BIOS image: a multiple of 64 KiB, page aligned in memory (free()). */
bool seabios_read(const char *path, uint8_t **rom, uint32_t *size, GError **error);

/* `vga_rom` goes in under `vga_name`; vga_size 0: none. */
struct seabios_config {
	const struct boot_memory *map;
	const struct acpi_tables *acpi;
	const struct smbios_board *smbios;
	unsigned cpus;
	const uint8_t *vga_rom;
	uint32_t vga_size;
	const char *vga_name;
};

bool seabios_configure(const struct firmware_sink *sink, const struct seabios_config *c, GError **error);

#endif
