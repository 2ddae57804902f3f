/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Register tables, timers, PCI functions. */
#include "monitor/bus/pci.h"
#include "tests/unit/rig.h"

/* ---- registers ---------------------------------------------------------------------------------- */

struct toy {
	struct device dev;
	struct toy_state {
		uint32_t control;
		uint16_t status;
		uint8_t id;
		uint8_t reserved;
	} s;
	struct irq_line irq;
};

static const struct reg toy_regs[] = {
	{ 0, "CONTROL", REG_AT(struct toy_state, control), 0x100, 0xff0000ff, 0 },
	{ 4, "STATUS", REG_AT(struct toy_state, status), 0, 0x0f00, 0x00f0 },
	{ 6, "ID", REG_AT(struct toy_state, id), 0x42, 0, 0 },
};

static const struct state_field toy_fields[] = {
	STATE_FIELD(struct toy_state, control, 1),
	STATE_FIELD(struct toy_state, status, 1),
	STATE_FIELD(struct toy_state, id, 1),
	STATE_FIELD(struct toy_state, reserved, 1),
};

static void toy_settle(struct device *dev)
{
	struct toy *t = (struct toy *)dev;

	irq_set(&t->irq, t->s.status & 0xf0);
}

static const struct device_class toy_class = {
	DEVICE_STATE("toy", 1, struct toy, toy_fields),
	DEVICE_REGS(toy_regs),
	.settle = toy_settle,
};

static void registers(void **state)
{
	struct rig *r = rig_new();
	struct toy t = { 0 };

	(void)state;
	device_init(&t.dev, &toy_class, "0", &r->mem, &r->timers);
	irq_connect(&t.irq, rig_sink, r, 1);
	device_reset(&t.dev);
	assert_int_equal(device_reg_read(&t.dev, 0, 8), 0x0042000000000100);
	device_reg_write(&t.dev, 0, 4, 0xffffffff);
	assert_int_equal(t.s.control, 0xff0001ff);
	device_reg_write(&t.dev, 3, 1, 0x12); /* one byte of four */
	assert_int_equal(t.s.control, 0x120001ff);
	t.s.status = 0x00f1;
	device_settle(&t.dev);
	assert_true(r->irq[1].level);
	device_reg_write(&t.dev, 5, 1, 0xff); /* the other byte: no flag is cleared */
	assert_int_equal(t.s.status, 0x0ff1);
	device_reg_write(&t.dev, 3, 4, 0x4230ff77); /* straddles three registers */
	assert_int_equal(t.s.control, 0x770001ff);
	assert_int_equal(t.s.status, 0x0001);
	assert_int_equal(t.s.id, 0x42);
	assert_false(r->irq[1].level);
	assert_true(rig_reloads(r, &t.dev));
	rig_free(r);
}

/* ---- timers ------------------------------------------------------------------------------------- */

struct tick {
	struct timer timer;
	struct rig *rig;
	int64_t at[8];
	unsigned count;
	int64_t again; /* re-arm this much later */
};

static void ticked(void *opaque)
{
	struct tick *t = opaque;

	t->at[t->count++ & 7] = rig_now(t->rig);
	if (t->again)
		timer_arm(&t->timer, t->timer.deadline + t->again);
}

static int64_t rearmed;

static void note_rearm(void *opaque, int64_t deadline)
{
	(void)opaque;
	rearmed = deadline;
}

static void timers(void **state)
{
	struct rig *r = rig_new();
	struct tick a = { .rig = r }, b = { .rig = r, .again = 30 };

	(void)state;
	r->timers.rearm = note_rearm;
	timer_init(&a.timer, &r->timers, ticked, &a);
	timer_init(&b.timer, &r->timers, ticked, &b);
	timer_arm(&a.timer, 100);
	assert_int_equal(rearmed, 100);
	timer_arm(&b.timer, 50);
	assert_int_equal(rearmed, 50);
	rig_advance(r, 120);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.at[0], 100);
	assert_int_equal(b.count, 3); /* 50, 80, 110 */
	assert_false(a.timer.armed);
	timer_cancel(&b.timer);
	assert_int_equal(rearmed, INT64_MAX);
	/* a device stuck in the past does not keep the main loop */
	b.count = 0;
	b.again = -1;
	timer_arm(&b.timer, 0);
	assert_true(timer_run_due(&r->timers) < 0);
	assert_true(b.count >= 100 && b.count < 100000);
	timer_cancel(&b.timer);
	for (uint64_t n = 1; n < 5000000000ull; n = n * 7 + 1)
		assert_int_equal(timer_ns_to_ticks(timer_ticks_to_ns(n, 1193182), 1193182), n);
	rig_free(r);
}

/* ---- PCI ---------------------------------------------------------------------------------------- */

struct card {
	struct pci_function pci;
	struct card_state {
		uint8_t config[256];
		uint32_t last;
	} s;
	uint8_t memory[8192];
};

static const struct pci_ids card_ids = {
	.vendor = 0x1234, .device = 0x5678, .class_base = 2, .interrupt_pin = 1
};

static void card_reset(struct device *dev)
{
	pci_function_reset((struct pci_function *)dev, &card_ids);
}

static void card_settle(struct device *dev)
{
	pci_function_settle((struct pci_function *)dev);
}

static const struct state_field card_fields[] = {
	STATE_ARRAY(struct card_state, config, 1),
	STATE_FIELD(struct card_state, last, 1),
};

static const struct device_class card_class = {
	DEVICE_STATE("card", 1, struct card, card_fields),
	.reset = card_reset,
	.settle = card_settle,
};

static uint64_t card_read(void *opaque, uint64_t off, unsigned size)
{
	(void)size;
	return ((struct card *)opaque)->s.last + off;
}

static void card_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	(void)size;
	((struct card *)opaque)->s.last = (uint32_t)(v + off);
}

static const struct io_ops card_ops = { card_read, card_write };

static void card_init(struct card *c, struct pci_bus *bus, uint8_t devfn, const char *name)
{
	memset(c, 0, sizeof(*c));
	device_init(&c->pci.dev, &card_class, name, bus->dev.mem, bus->dev.timers);
	c->pci.config = c->s.config;
	c->pci.bars[0] = (struct pci_bar){
		.kind = PCI_BAR_IO, .size = 32, .ops = &card_ops, .opaque = c, .name = "io"
	};
	c->pci.bars[1] = (struct pci_bar){
		.kind = PCI_BAR_MEM32, .size = 4096, .ops = &card_ops, .opaque = c, .name = "mmio"
	};
	c->pci.bars[2] =
		(struct pci_bar){ .kind = PCI_BAR_MEM32, .size = 8192, .memory = c->memory, .name = "vram" };
	pci_add(bus, &c->pci, devfn, &card_ids);
}

static void note_pirq(void *opaque, unsigned pirq, bool level)
{
	rig_sink(opaque, pirq, level);
}

static void pci(void **state)
{
	struct rig *r = rig_new();
	struct pci_bus bus;
	struct card c, d;

	(void)state;
	pci_bus_init(&bus, &r->mem, &r->timers);
	bus.pirq = note_pirq;
	bus.pirq_opaque = r;
	card_init(&c, &bus, 3 << 3, "0");
	card_init(&d, &bus, 7 << 3, "1");
	device_reset(&bus.dev);
	device_reset(&c.pci.dev);
	device_reset(&d.pci.dev);
	assert_int_equal(rig_pci_read(r, 3 << 3, 0, 4), 0x56781234);
	assert_int_equal(rig_pci_read(r, 4 << 3, 0, 4), 0xffffffff);
	rig_pci_write(r, 3 << 3, 0, 4, 0); /* read-only */
	assert_int_equal(rig_pci_read(r, 3 << 3, 2, 2), 0x5678);
	/* sizing */
	rig_pci_write(r, 3 << 3, 0x10, 4, 0xffffffff);
	assert_int_equal(rig_pci_read(r, 3 << 3, 0x10, 4), 0xffffffe1);
	rig_pci_write(r, 3 << 3, 0x18, 4, 0xffffffff);
	assert_int_equal(rig_pci_read(r, 3 << 3, 0x18, 4), 0xffffe000);
	rig_pci_write(r, 3 << 3, 0x1c, 4, 0xffffffff);
	assert_int_equal(rig_pci_read(r, 3 << 3, 0x1c, 4), 0);
	/* mapping follows address and command */
	rig_pci_write(r, 3 << 3, 0x10, 4, 0xc001);
	rig_pci_write(r, 3 << 3, 0x14, 4, 0xe0000000);
	rig_pci_write(r, 3 << 3, 0x18, 4, 0xe0004000);
	assert_int_equal(rig_in32(r, 0xc004), 0xffffffff);
	rig_pci_write(r, 3 << 3, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	rig_out32(r, 0xc004, 100);
	assert_int_equal(rig_read(r, 0xe0000000, 4), 104);
	rig_write(r, 0xe0005ffc, 4, 0xcafe);
	assert_int_equal(c.memory[8188], 0xfe);
	rig_pci_write(r, 3 << 3, 0x10, 4, 0xd001);
	assert_int_equal(rig_in8(r, 0xc004), 0xff);
	assert_int_equal(rig_in8(r, 0xd000), 104);
	/* a BAR over RAM does not take it away; sizing with decoding on maps nothing */
	rig_pci_write(r, 3 << 3, 0x18, 4, 0);
	rig_pci_write(r, 3 << 3, 0x14, 4, 0x1000);
	rig_write(r, 0x1000, 4, 7);
	assert_int_equal(r->ram.base[0x1000], 7);
	rig_pci_write(r, 3 << 3, 0x14, 4, 0xffffffff);
	assert_int_equal(rig_read(r, 0xfffff000, 4), 0xffffffff);
	rig_pci_write(r, 3 << 3, 0x14, 4, 0xe0000000);
	/* INTx: slots 3 and 7 share PIRQ C; the wire is the OR; the disable bit holds it back */
	pci_set_intx(&c.pci, true);
	pci_set_intx(&d.pci, true);
	assert_true(r->irq[2].level);
	pci_set_intx(&c.pci, false);
	assert_true(r->irq[2].level);
	rig_pci_write(r, 7 << 3, PCI_COMMAND, 2, PCI_COMMAND_INTX_OFF);
	assert_false(r->irq[2].level);
	assert_int_equal(rig_pci_read(r, 7 << 3, PCI_STATUS, 1) & 8, 8);
	rig_pci_write(r, 7 << 3, PCI_COMMAND, 2, 0);
	assert_int_equal(r->irq[2].rises, 2);
	/* load maps again what reset unmapped, and the wire is where it was */
	assert_true(rig_reloads(r, &c.pci.dev));
	assert_int_equal(rig_read(r, 0xe0000000, 4), 104);
	assert_int_equal(rig_in8(r, 0xd000), 104);
	assert_true(rig_reloads(r, &d.pci.dev));
	assert_true(r->irq[2].level);
	device_reset(&c.pci.dev);
	device_reset(&d.pci.dev);
	assert_false(r->irq[2].level);
	assert_int_equal(rig_in8(r, 0xd000), 0xff);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers),
		cmocka_unit_test(timers),
		cmocka_unit_test(pci),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
