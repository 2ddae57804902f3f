/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/bus/pci.c - configuration mechanism 1, header registers, BAR mapping, INTx to PIRQ.
 *
 * A function's configuration bytes live in its own state; what follows from them (mapped BARs, the level on
 * the pin) is recomputed by pci_function_settle.  The raw INTx level is kept where PCI 2.3 shows it: status
 * bit 3.
 */
#include "base/bits.h"
#include "monitor/bus/pci.h"

#define ADDRESS_PORT 0xcf8
#define DATA_PORT    0xcfc

#define COMMAND_WRITABLE 0x0547 /* I/O, memory, master, parity, SERR, INTx disable */
#define STATUS_INTX      0x08   /* of the low byte */
#define STATUS_W1C_HIGH  0xf9

/* BARs lie under RAM and chipset regions: a guest that puts one over them does not lose them. */
#define BAR_PRIORITY (-10)

static uint32_t bar_type_bits(const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_IO ? 1 : 0;
}

/* Bits of the BAR at `index` the guest may set: sizing reads them back. */
static uint32_t bar_mask(const struct pci_function *f, unsigned index)
{
	const struct pci_bar *bar = &f->bars[index];

	if (bar->kind == PCI_BAR_NONE || !bar->size)
		return 0;
	return ~(bar->size - 1);
}

static uint8_t writable_at(const struct pci_function *f, unsigned off)
{
	if (off >= PCI_BAR0 && off < PCI_BAR0 + 24)
		return (uint8_t)(bar_mask(f, (off - PCI_BAR0) / 4) >> (8 * (off & 3)));
	return f->writable[off];
}

void pci_function_reset(struct pci_function *f, const struct pci_ids *ids)
{
	uint8_t *c = f->config;

	memset(c, 0, 64);
	le_store(c + PCI_VENDOR_ID, 2, ids->vendor);
	le_store(c + PCI_DEVICE_ID, 2, ids->device);
	c[PCI_REVISION] = ids->revision;
	c[PCI_CLASS_PROG] = ids->class_prog;
	c[PCI_CLASS_SUB] = ids->class_sub;
	c[PCI_CLASS_BASE] = ids->class_base;
	c[PCI_HEADER_TYPE] = ids->header_type;
	le_store(c + PCI_SUBSYS_VENDOR, 2, ids->subsys_vendor);
	le_store(c + PCI_SUBSYS_ID, 2, ids->subsys_id);
	c[PCI_INTERRUPT_PIN] = ids->interrupt_pin;
	for (unsigned i = 0; i < 6; i++)
		le_store(c + PCI_BAR0 + 4 * i, 4, bar_type_bits(&f->bars[i]));
}

/* A function's pin changed: several share a PIRQ, so count. n is devfn. */
static void pin_sink(void *opaque, unsigned n, bool level)
{
	struct pci_bus *bus = opaque;
	const struct pci_function *f = bus->slots[n & 0xff];
	unsigned pin = f->config[PCI_INTERRUPT_PIN], pirq;

	if (pin < 1 || pin > 4)
		return;
	pirq = ((n >> 3) - 1 + pin - 1) & 3;
	if (level ? bus->pin_count[pirq]++ == 0 : --bus->pin_count[pirq] == 0) {
		if (bus->pirq)
			bus->pirq(bus->pirq_opaque, pirq, level);
	}
}

void pci_add(struct pci_bus *bus, struct pci_function *f, uint8_t devfn, const struct pci_ids *ids)
{
	f->bus = bus;
	f->devfn = devfn;
	bus->slots[devfn] = f;
	le_store(f->writable + PCI_COMMAND, 2, COMMAND_WRITABLE);
	f->w1c[PCI_STATUS + 1] = STATUS_W1C_HIGH;
	f->writable[0x0c] = 0xff; /* cache line size */
	f->writable[0x0d] = 0xf8; /* latency timer */
	f->writable[PCI_INTERRUPT_LINE] = 0xff;
	irq_connect(&f->intx, pin_sink, bus, devfn);
	for (unsigned i = 0; i < 6; i++) {
		f->bars[i].handle = -1;
		f->bars[i].mapped = false;
	}
	pci_function_reset(f, ids);
}

/* ---- BARs --------------------------------------------------------------------------------------- */

/* Where the guest wants BAR `index`; false: nowhere (decoding off, never programmed, or being sized). */
static bool bar_wanted(const struct pci_function *f, unsigned index, uint32_t *address)
{
	const struct pci_bar *bar = &f->bars[index];
	uint16_t command = (uint16_t)le_load(f->config + PCI_COMMAND, 2);
	uint64_t end;

	if (bar->kind == PCI_BAR_NONE || !bar->size)
		return false;
	if (!(command & (bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return false;
	*address = (uint32_t)le_load(f->config + PCI_BAR0 + 4 * index, 4) & bar_mask(f, index);
	end = (uint64_t)*address + bar->size;
	if (bar->kind == PCI_BAR_IO)
		return *address && end <= 0x10000;
	return *address && end < 0x100000000ull;
}

static struct phys_region bar_region(const struct pci_bar *bar, uint32_t address)
{
	return (struct phys_region){
		.gpa = address,
		.size = bar->size,
		.rd = bar->memory,
		.wr = bar->memory,
		.ops = bar->ops,
		.opaque = bar->opaque,
		.priority = BAR_PRIORITY,
		.name = bar->name,
	};
}

static void bar_unmap(struct pci_function *f, struct pci_bar *bar)
{
	struct phys_region hidden = { .name = bar->name };

	if (!bar->mapped)
		return;
	if (bar->kind == PCI_BAR_IO)
		port_remove(f->dev.mem, (uint16_t)bar->mapped_at);
	else
		physmap_update(f->dev.mem, bar->handle, &hidden);
	bar->mapped = false;
}

/* A port conflict leaves the BAR unmapped; the next settle tries again. */
static void bar_map(struct pci_function *f, struct pci_bar *bar, uint32_t address)
{
	struct phys_region region = bar_region(bar, address);
	struct port_range range = { (uint16_t)address, (uint16_t)bar->size, bar->ops, bar->opaque,
		bar->name };

	if (bar->kind == PCI_BAR_IO) {
		bar->mapped = port_add(f->dev.mem, &range);
	} else if (bar->handle >= 0) {
		physmap_update(f->dev.mem, bar->handle, &region);
		bar->mapped = true;
	} else {
		bar->handle = physmap_add(f->dev.mem, &region);
		bar->mapped = bar->handle >= 0;
	}
	bar->mapped_at = address;
}

void pci_function_settle(struct pci_function *f)
{
	uint16_t command = (uint16_t)le_load(f->config + PCI_COMMAND, 2);

	physmap_begin(f->dev.mem);
	for (unsigned i = 0; i < 6; i++) {
		struct pci_bar *bar = &f->bars[i];
		uint32_t address = 0;
		bool want = bar_wanted(f, i, &address);

		if (bar->mapped && (!want || bar->mapped_at != address))
			bar_unmap(f, bar);
		if (want && !bar->mapped)
			bar_map(f, bar, address);
	}
	physmap_commit(f->dev.mem);
	irq_set(&f->intx, (f->config[PCI_STATUS] & STATUS_INTX) && !(command & PCI_COMMAND_INTX_OFF));
}

void pci_set_intx(struct pci_function *f, bool level)
{
	uint16_t command = (uint16_t)le_load(f->config + PCI_COMMAND, 2);

	f->config[PCI_STATUS] =
		(uint8_t)(level ? f->config[PCI_STATUS] | STATUS_INTX : f->config[PCI_STATUS] & ~STATUS_INTX);
	irq_set(&f->intx, level && !(command & PCI_COMMAND_INTX_OFF));
}

/* ---- configuration accesses --------------------------------------------------------------------- */

uint32_t pci_config_read(struct pci_function *f, unsigned off, unsigned size)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint32_t)f->config[(off + i) & 0xff] << (8 * i);
	return v;
}

void pci_config_write(struct pci_function *f, unsigned off, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size; i++) {
		unsigned at = (off + i) & 0xff;
		uint8_t v = (uint8_t)(value >> (8 * i)), w = writable_at(f, at);

		f->config[at] = (uint8_t)(((f->config[at] & ~w) | (v & w)) & ~(v & f->w1c[at]));
	}
	if (f->config_written)
		f->config_written(f, off, size);
	pci_function_settle(f);
	device_settle(&f->dev);
}

/* The function the address latch names; NULL: none, or the latch is not enabled. */
static struct pci_function *target(const struct pci_bus *bus)
{
	if (!(bus->s.address & 0x80000000) || bits_get(bus->s.address, 23, 16))
		return NULL;
	return bus->slots[bits_get(bus->s.address, 15, 8)];
}

static uint64_t address_read(void *opaque, uint64_t off, unsigned size)
{
	struct pci_bus *bus = opaque;

	if (off == 0 && size == 4)
		return bus->s.address;
	return bus->byte_ops ? bus->byte_ops->read(bus->byte_opaque, off, size) : bits_mask_bytes(size);
}

static void address_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct pci_bus *bus = opaque;

	if (off == 0 && size == 4)
		bus->s.address = (uint32_t)value & 0x80fffffc;
	else if (bus->byte_ops)
		bus->byte_ops->write(bus->byte_opaque, off, size, value);
}

static uint64_t data_read(void *opaque, uint64_t off, unsigned size)
{
	struct pci_bus *bus = opaque;
	struct pci_function *f = target(bus);

	return f ? pci_config_read(f, (bus->s.address & 0xfc) + (unsigned)off, size) : bits_mask_bytes(size);
}

static void data_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct pci_bus *bus = opaque;
	struct pci_function *f = target(bus);

	if (f)
		pci_config_write(f, (bus->s.address & 0xfc) + (unsigned)off, size, (uint32_t)value);
}

static const struct io_ops address_ops = { address_read, address_write };
static const struct io_ops data_ops = { data_read, data_write };

static const struct state_field bus_fields[] = {
	STATE_FIELD(struct pci_bus_state, address, 1),
};

static const struct device_class pci_bus_class = {
	DEVICE_STATE("pci", 1, struct pci_bus, bus_fields),
};

void pci_bus_init(struct pci_bus *bus, struct physmap *mem, struct timer_queue *timers)
{
	memset(bus, 0, sizeof(*bus));
	device_init(&bus->dev, &pci_bus_class, "0", mem, timers);
	port_add(mem, &(struct port_range){ ADDRESS_PORT, 4, &address_ops, bus, "pci address" });
	port_add(mem, &(struct port_range){ DATA_PORT, 4, &data_ops, bus, "pci data" });
}
