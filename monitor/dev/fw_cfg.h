/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/fw_cfg.h - the firmware configuration device SeaBIOS and OVMF read their instructions from.
 *
 * Ports 0x510 (selector), 0x511 (data), 0x514..0x51B (DMA address, big-endian).
 *
 * Owns:    copies of all items.
 * Threads: under the device lock.
 * Theory:  QEMU's docs/specs/fw_cfg (the interface), SeaBIOS's documentation of its runtime files.
 */
#ifndef SERAI_MONITOR_DEV_FW_CFG_H
#define SERAI_MONITOR_DEV_FW_CFG_H

#include "monitor/bus/device.h"

/* Keys the firmware knows beside files; values little-endian. */
#define FW_CFG_RAM_SIZE     0x0003
#define FW_CFG_NOGRAPHIC    0x0004
#define FW_CFG_NB_CPUS      0x0005
#define FW_CFG_KERNEL_ADDR  0x0007
#define FW_CFG_KERNEL_SIZE  0x0008
#define FW_CFG_INITRD_ADDR  0x000a
#define FW_CFG_INITRD_SIZE  0x000b
#define FW_CFG_BOOT_DEVICE  0x000c
#define FW_CFG_NUMA         0x000d
#define FW_CFG_BOOT_MENU    0x000e
#define FW_CFG_MAX_CPUS     0x000f
#define FW_CFG_KERNEL_ENTRY 0x0010
#define FW_CFG_KERNEL_DATA  0x0011
#define FW_CFG_INITRD_DATA  0x0012
#define FW_CFG_CMDLINE_ADDR 0x0013
#define FW_CFG_CMDLINE_SIZE 0x0014
#define FW_CFG_CMDLINE_DATA 0x0015
#define FW_CFG_SETUP_ADDR   0x0016
#define FW_CFG_SETUP_SIZE   0x0017
#define FW_CFG_SETUP_DATA   0x0018
#define FW_CFG_FILE_FIRST   0x0020
#define FW_CFG_FILES        128
#define FW_CFG_NAME_MAX     56     /* with its NUL */
#define FW_CFG_ARCH_LOCAL   0x8000 /* x86: ACPI_TABLES +0, SMBIOS +1, IRQ0_OVERRIDE +2, E820 +3 */

struct fw_cfg_state {
	uint64_t dma_address; /* high half as written so far */
	uint32_t offset;      /* in the selected item */
	uint16_t selector;
	uint8_t pad[2];
};

struct fw_cfg_item {
	uint16_t key;
	char name[FW_CFG_NAME_MAX]; /* "": not a file */
	uint8_t *data;
	uint32_t size;
	bool writable; /* by DMA */
};

struct fw_cfg {
	struct device dev;
	struct fw_cfg_state s;
	struct fw_cfg_item *items;
	unsigned count;
	bool directory_stale;
};

void fw_cfg_init(struct fw_cfg *f, struct physmap *mem, struct timer_queue *timers);
void fw_cfg_destroy(struct fw_cfg *f);

/*
 * Give an item or a file its contents (copied); one of the same key or name is replaced.  False
 * (SERAI_ERROR_CONFIG) when the name is too long or the directory is full.  Keys 0, 1 and 0x19 are the
 * device's own.
 */
bool fw_cfg_add_item(struct fw_cfg *f, uint16_t key, const void *data, uint32_t len, GError **error);
bool fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, uint32_t len, GError **error);

/* Numbers and strings (with their NUL), for short. */
void fw_cfg_add_u16(struct fw_cfg *f, uint16_t key, uint16_t v);
void fw_cfg_add_u32(struct fw_cfg *f, uint16_t key, uint32_t v);
void fw_cfg_add_u64(struct fw_cfg *f, uint16_t key, uint64_t v);

/* The bytes of a file as they are now (the guest may have written a writable one); NULL: no such file. */
const uint8_t *fw_cfg_file(struct fw_cfg *f, const char *name, uint32_t *len);

/* Let the guest write this file by DMA. False: no such file. */
bool fw_cfg_set_writable(struct fw_cfg *f, const char *name);

extern const struct device_class fw_cfg_class;

#endif
