/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/smbios.h - the SMBIOS 2.8 tables of this board.
 *
 * Theory: DMTF DSP0134 2.8.
 */
#ifndef SERAI_MONITOR_FIRMWARE_SMBIOS_H
#define SERAI_MONITOR_FIRMWARE_SMBIOS_H

#include "base/compiler.h"

#include <glib.h>

#define SMBIOS_ANCHOR_SIZE 31

struct smbios_board {
	unsigned sockets, cores_per_socket;
	uint64_t ram_bytes, below_4g;
	unsigned mhz;
	uint8_t uuid[16]; /* as text would spell it, first byte first */
	const char *version;
};

/* The structures, and the anchor that points at `address` (0: firmware fills address and checksums in). */
GByteArray *smbios_build(const struct smbios_board *b, uint32_t address, uint8_t anchor[SMBIOS_ANCHOR_SIZE]);

#endif
