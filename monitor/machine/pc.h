/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/pc.h - the board: every chip of a 440BX PC, and the wires between them.
 *
 * Owns:    RAM, the physical map, the clock, the timer queue, all devices.
 * Threads: everything under pc->mem.lock once vCPUs run; init and destroy before and after.
 * Not here: vCPUs and their threads (machine.h), back ends (console), what a request from a device leads to.
 */
#ifndef SERAI_MONITOR_MACHINE_PC_H
#define SERAI_MONITOR_MACHINE_PC_H

#include "monitor/chipset/hpet.h"
#include "monitor/chipset/i440bx.h"
#include "monitor/chipset/ioapic.h"
#include "monitor/chipset/lapic.h"
#include "monitor/chipset/pic.h"
#include "monitor/chipset/piix4.h"
#include "monitor/chipset/pit.h"
#include "monitor/chipset/pm.h"
#include "monitor/chipset/rtc.h"
#include "monitor/dev/backdoor.h"
#include "monitor/dev/debug_port.h"
#include "monitor/dev/dma8237.h"
#include "monitor/dev/floppy.h"
#include "monitor/dev/fw_cfg.h"
#include "monitor/dev/i8042.h"
#include "monitor/dev/ide.h"
#include "monitor/dev/uart.h"
#include "monitor/dev/vga.h"
#include "monitor/firmware/acpi.h"
#include "monitor/firmware/boot.h"
#include "monitor/firmware/smbios.h"
#include "monitor/machine/config.h"

#define PC_DEVICES 96

/* What devices ask of the machine; called under the device lock, on any thread. */
struct pc_requests {
	void *opaque;
	void (*reset)(void *opaque);
	void (*power_off)(void *opaque);
	void (*exit)(void *opaque, unsigned status);
	void (*console)(void *opaque, uint8_t byte); /* debug console */
	void (*signal)(void *opaque, unsigned cpu, uint32_t what, bool raise, uint8_t vector);
	uint64_t (*tsc_offset)(void *opaque, unsigned cpu);
	void (*rearm)(void *opaque, int64_t deadline);
	void (*map_changed)(void *opaque);
	void (*code_written)(void *opaque, uint64_t ram_offset, uint64_t len);
	image_deliver_fn *deliver;
};

struct pc {
	const struct machine_config *config;
	struct pc_requests ask;
	struct vclock clock;
	struct ram ram;
	struct boot_memory map;
	struct physmap mem;
	struct timer_queue timers;

	struct pci_bus pci;
	struct i440bx host;
	struct piix4 isa;
	struct ide ide;
	struct pm pm;
	struct vga vga;
	struct pic pic;
	struct ioapic ioapic;
	struct lapic_set lapics;
	struct pit pit;
	struct rtc rtc;
	struct hpet hpet;
	struct dma8237 dma;
	struct i8042 kbd;
	struct uart com[2];
	struct floppy floppy;
	struct fw_cfg fw_cfg;
	struct debug_exit debug_exit;
	struct debug_console debug_console;
	struct backdoor backdoor;
	struct device *devices[PC_DEVICES]; /* in the order of reset and save */
	unsigned device_count;

	struct image *images[6]; /* four IDE places, two floppies */
	uint8_t *bios;
	uint32_t bios_size;
	struct acpi_tables acpi;
	struct smbios_board smbios;
	bool lock_made, vga_made, lapics_made, fw_cfg_made, ide_made;
};

/* PCI places. */
enum { PC_SLOT_HOST = 0x00, PC_SLOT_ISA = 0x08, PC_SLOT_IDE = 0x09, PC_SLOT_PM = 0x0b, PC_SLOT_VGA = 0x10 };

/* Build it all; nothing is reset yet.  On failure call pc_destroy.  serial[n]: where COMn+1 leads, or NULL.
 */
bool pc_init(struct pc *pc, const struct machine_config *config, const struct pc_requests *ask,
	const struct uart_backend *const serial[2], GError **error);

/* After the vCPU threads ended and every completion was finished. */
void pc_destroy(struct pc *pc);

/* Reset of all devices, and the firmware's memory (CMOS) set. Under the lock. */
void pc_reset(struct pc *pc);

/* Leave the devices as a BIOS would, for a kernel that is entered directly; tables into memory.  WITHOUT the
 * lock, vCPUs parked.  Returns the address of the ACPI root pointer. */
uint32_t pc_post(struct pc *pc);

#endif
