/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/config.h - what a .vmx says, checked and in the board's terms.
 *
 * Owns:    its strings.
 * Promise: everything that can be refused without touching a disk is refused here, naming the key.
 */
#ifndef SERAI_MONITOR_MACHINE_CONFIG_H
#define SERAI_MONITOR_MACHINE_CONFIG_H

#include "base/log.h"
#include "monitor/engine/engine.h"
#include "vm/vmx.h"

#define MACHINE_CPUS_MAX 32

enum drive_kind { DRIVE_NONE, DRIVE_DISK, DRIVE_CDROM };

struct drive_config {
	enum drive_kind kind;
	char *path; /* NULL: a drive without medium */
};

struct serial_config {
	bool present;
	char *type; /* as chardev_open wants it */
	char *path;
};

struct machine_config {
	char *name, *vmx_path;
	uint64_t ram_bytes;
	unsigned cpus, cores_per_socket;
	const struct engine *engine;
	struct engine_options engine_options;
	char *trace; /* NULL: nothing is traced */
	uint64_t trace_from, trace_count;
	char *kernel, *append;
	GPtrArray *initrds; /* "FILE" or "FILE ARGUMENTS" */
	struct drive_config ide[2][2];
	struct drive_config floppy[2];
	struct serial_config serial[2];
	uint8_t boot_order[3]; /* as rtc_set_boot: 1 floppy, 2 disk, 3 CD */
	bool text_display, no_reboot, triple_fault_resets, mitigations, mwait;
	uint16_t exit_port, console_port; /* 0: off */
	uint8_t uuid[16];
	char *bios_path, *vga_bios_path;
	enum log_level log_level;
};

bool machine_config_read(struct machine_config *c, const struct vmx *vmx, GError **error);
void machine_config_free(struct machine_config *c);

#endif
