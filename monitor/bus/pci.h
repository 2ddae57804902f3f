/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/bus/pci.h - conventional PCI: configuration space, BARs, INTx, through ports 0xCF8/0xCFC.
 *
 * PCI Local Bus Specification 3.0, chapter 6.  A PCI function embeds `struct pci_function` instead of `struct device`;
 * its configuration bytes are part of its own state, so it needs no second record.
 *
 * Threads: under the device lock.
 */
#ifndef SERAI_MONITOR_BUS_PCI_H
#define SERAI_MONITOR_BUS_PCI_H

#include "monitor/bus/device.h"

#define PCI_VENDOR_ID      0x00
#define PCI_DEVICE_ID      0x02
#define PCI_COMMAND        0x04
#define PCI_STATUS         0x06
#define PCI_REVISION       0x08
#define PCI_CLASS_PROG     0x09
#define PCI_CLASS_SUB      0x0a
#define PCI_CLASS_BASE     0x0b
#define PCI_HEADER_TYPE    0x0e
#define PCI_BAR0           0x10
#define PCI_SUBSYS_VENDOR  0x2c
#define PCI_SUBSYS_ID      0x2e
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN  0x3d

#define PCI_COMMAND_IO     0x0001
#define PCI_COMMAND_MEMORY 0x0002
#define PCI_COMMAND_MASTER 0x0004
#define PCI_COMMAND_INTX_OFF 0x0400

struct pci_bus;
struct pci_function;

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32 };

/* A base address register; the bus maps and unmaps it as the guest programs it. */
struct pci_bar {
	enum pci_bar_kind kind;
	uint32_t size;            /* power of two; memory at least 4 KiB, ports at least 4 */
	const struct io_ops *ops;
	void *opaque;
	uint8_t *memory;          /* host memory for a RAM-like BAR (a frame buffer), else NULL */
	const char *name;
	/* the bus's own */
	uint32_t mapped_at;
	bool mapped;
	int handle;
};

struct pci_function {
	struct device dev;     /* first */
	struct pci_bus *bus;
	uint8_t devfn;
	uint8_t *config;       /* 256 bytes inside the function's own state */
	uint8_t writable[256]; /* bits the guest may write; BARs and command handled by the bus */
	uint8_t w1c[256];
	struct pci_bar bars[6];
	struct irq_line intx;  /* this function's pin, connected by the bus */
	/* Told after a configuration write touched off..off+size-1; may be NULL. */
	void (*config_written)(struct pci_function *f, unsigned off, unsigned size);
};

/* What is fixed in a function's header. */
struct pci_ids {
	uint16_t vendor, device;
	uint8_t class_base, class_sub, class_prog, revision;
	uint16_t subsys_vendor, subsys_id;
	uint8_t interrupt_pin; /* 0: none, 1: INTA */
	uint8_t header_type;   /* 0x80: more functions in this slot */
};

struct pci_bus {
	struct device dev; /* class "pci": holds the address latch at 0xCF8 */
	struct pci_bus_state {
		uint32_t address;
	} s;
	struct pci_function *slots[256]; /* by devfn */
	uint8_t pin_count[4];            /* functions asserting each of PIRQ A..D, derived */
	/* A PIRQ (0..3 = A..D) changed level; the chipset routes it. */
	void (*pirq)(void *opaque, unsigned pirq, bool level);
	void *pirq_opaque;
	/* Byte and word accesses to 0xCF8..0xCFB (offsets 0..3): the chipset's reset control register; may be NULL. */
	const struct io_ops *byte_ops;
	void *byte_opaque;
};

void pci_bus_init(struct pci_bus *bus, struct physmap *mem, struct timer_queue *timers);

/* Fill header and writable masks of a function whose dev and config are set, and put it at devfn (slot << 3 | fn). */
void pci_add(struct pci_bus *bus, struct pci_function *f, uint8_t devfn, const struct pci_ids *ids);

/* The function's reset: header back to `ids`, BARs unprogrammed.  Call from the class's reset. */
void pci_function_reset(struct pci_function *f, const struct pci_ids *ids);

/* Re-map BARs and re-drive INTx from configuration bytes.  Call from the class's settle. */
void pci_function_settle(struct pci_function *f);

/* Drive the function's INTx pin (COMMAND.INTX_OFF applies). Slot s, pin p reaches PIRQ (s - 1 + p - 1) mod 4. */
void pci_set_intx(struct pci_function *f, bool level);

/* Configuration space from the host's side (board set-up without firmware): as the guest's access, masks applied. */
uint32_t pci_config_read(struct pci_function *f, unsigned off, unsigned size);
void pci_config_write(struct pci_function *f, unsigned off, unsigned size, uint32_t value);

#endif
