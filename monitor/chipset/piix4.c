/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/piix4.c - ISA bridge.
 */
#include "base/bits.h"
#include "monitor/chipset/piix4.h"

#define CFG_PIRQ   0x60
#define PIRQ_OFF   0x80
#define CF9_RESET  0x04
#define P92_RESET  0x01
#define P92_A20    0x02
#define IOAPIC_PCI 16 /* pin of PIRQ A */

/* The level on ISA interrupt n: its own wire, or a PIRQ routed to it. */
static bool isa_level(const struct piix4_state *s, unsigned n)
{
	bool level = s->isa >> n & 1;

	for (unsigned i = 0; i < 4; i++) {
		uint8_t route = s->config[CFG_PIRQ + i];

		if (!(route & PIRQ_OFF) && (route & 15) == n)
			level |= s->pirq >> i & 1;
	}
	return level;
}

static void drive(struct piix4 *p, unsigned n)
{
	bool level = isa_level(&p->s, n);

	irq_set(&p->pic[n], level);
	if (n != 2) /* IRQ 0 comes in on pin 2, as on every PC with an I/O APIC */
		irq_set(&p->ioapic[n ? n : 2], level);
}

static void piix4_settle(struct device *dev)
{
	struct piix4 *p = (struct piix4 *)dev;

	pci_function_settle(&p->pci);
	for (unsigned n = 0; n < 16; n++)
		drive(p, n);
	for (unsigned i = 0; i < 4; i++)
		irq_set(&p->ioapic[IOAPIC_PCI + i], p->s.pirq >> i & 1);
}

void piix4_isa_irq(void *opaque, unsigned n, bool level)
{
	struct piix4 *p = opaque;

	if (n > 15)
		return;
	p->s.isa = (uint16_t)((p->s.isa & ~(1u << n)) | (unsigned)level << n);
	drive(p, n);
}

static void pirq_changed(void *opaque, unsigned pirq, bool level)
{
	struct piix4 *p = opaque;
	uint8_t route = p->s.config[CFG_PIRQ + (pirq & 3)];

	p->s.pirq = (uint8_t)((p->s.pirq & ~(1u << pirq)) | (unsigned)level << pirq);
	irq_set(&p->ioapic[IOAPIC_PCI + (pirq & 3)], level);
	if (!(route & PIRQ_OFF))
		drive(p, route & 15);
}

static void request_reset(struct piix4 *p)
{
	if (p->reset_requested)
		p->reset_requested(p->opaque);
}

/* 0xCF9, offset 1 in the PCI address register: bit 2 going up resets, bit 1 says how hard: all the same here.
 */
static uint64_t cf9_read(void *opaque, uint64_t off, unsigned size)
{
	struct piix4 *p = opaque;

	return off == 1 && size == 1 ? p->s.cf9 : bits_mask_bytes(size);
}

static void cf9_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct piix4 *p = opaque;

	if (off != 1 || size != 1)
		return;
	p->s.cf9 = v & 0x02;
	if (v & CF9_RESET)
		request_reset(p);
}

static uint64_t port92_read(void *opaque, uint64_t off, unsigned size)
{
	(void)off;
	(void)size;
	return ((struct piix4 *)opaque)->s.port92;
}

static void port92_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct piix4 *p = opaque;
	uint8_t old = p->s.port92;

	(void)off;
	(void)size;
	p->s.port92 = (uint8_t)v;
	if ((old ^ v) & P92_A20 && p->a20)
		p->a20(p->opaque, v & P92_A20);
	if (v & ~old & P92_RESET)
		request_reset(p);
}

static uint64_t post_read(void *opaque, uint64_t off, unsigned size)
{
	(void)off;
	(void)size;
	return ((struct piix4 *)opaque)->s.post;
}

static void post_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	(void)off;
	(void)size;
	((struct piix4 *)opaque)->s.post = (uint8_t)v;
}

static const struct io_ops cf9_ops = { cf9_read, cf9_write };
static const struct io_ops port92_ops = { port92_read, port92_write };
static const struct io_ops post_ops = { post_read, post_write };

/* The input wires have not moved. */
static void piix4_reset(struct device *dev)
{
	struct piix4 *p = (struct piix4 *)dev;

	p->s = (struct piix4_state){ .isa = p->s.isa, .pirq = p->s.pirq, .port92 = P92_A20 };
	pci_function_reset(&p->pci, &p->ids);
	le_store(p->s.config + PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	le_store(p->s.config + PCI_STATUS, 2, 0x0200);
	p->s.config[0x4c] = 0x4d;
	p->s.config[0x4e] = 0x03;
	memset(p->s.config + CFG_PIRQ, PIRQ_OFF, 4);
	p->s.config[0x69] = 0x02;
}

static const struct state_field piix4_fields[] = {
	STATE_ARRAY(struct piix4_state, config, 1),
	STATE_FIELD(struct piix4_state, isa, 1),
	STATE_FIELD(struct piix4_state, pirq, 1),
	STATE_FIELD(struct piix4_state, post, 1),
	STATE_FIELD(struct piix4_state, port92, 1),
	STATE_FIELD(struct piix4_state, cf9, 1),
};

static const struct device_class piix4_class = {
	DEVICE_STATE("piix4", 1, struct piix4, piix4_fields),
	.reset = piix4_reset,
	.settle = piix4_settle,
	.keeps_state = true,
};

void piix4_init(struct piix4 *p, struct pci_bus *bus, uint8_t devfn, uint16_t device_id)
{
	struct physmap *mem = bus->dev.mem;
	struct pci_function *f = &p->pci;

	memset(p, 0, sizeof(*p));
	device_init(&f->dev, &piix4_class, "0", mem, bus->dev.timers);
	f->config = p->s.config;
	p->ids = (struct pci_ids){
		.vendor = 0x8086,
		.device = device_id,
		.class_base = 0x06,
		.class_sub = 0x01,
		.header_type = 0x80,
	};
	pci_add(bus, f, devfn, &p->ids);
	memset(f->writable + 0x40, 0xff, 0xc0);
	memset(f->writable + CFG_PIRQ, 0x8f, 4);
	bus->pirq = pirq_changed;
	bus->pirq_opaque = p;
	bus->byte_ops = &cf9_ops;
	bus->byte_opaque = p;
	port_add(mem, &(struct port_range){ 0x80, 1, &post_ops, p, "post" });
	port_add(mem, &(struct port_range){ 0x92, 1, &port92_ops, p, "port 92" });
}
