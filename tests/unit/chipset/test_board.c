/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host bridge, ISA bridge and power management, on one PCI bus; and the whole chipset wired together. */
#include "monitor/chipset/hpet.h"
#include "monitor/chipset/i440bx.h"
#include "monitor/chipset/ioapic.h"
#include "monitor/chipset/pic.h"
#include "monitor/chipset/piix4.h"
#include "monitor/chipset/pit.h"
#include "monitor/chipset/pm.h"
#include "monitor/chipset/rtc.h"
#include "tests/unit/rig.h"

#include <stdlib.h>

#define ISA_FN (1 << 3)
#define PM_FN  (1 << 3 | 3)
#define NIC_FN (2 << 3)

/* Wires of the rig: 0..15 to the 8259s, 16..39 to the I/O APIC's 24 pins, 40 INTR. */
#define PIN  16
#define INTR 40

struct bench {
	struct rig *r;
	struct pci_bus bus;
	struct i440bx hb;
	struct piix4 isa;
	struct pm pm;
	struct pic pic;
	struct pit pit;
	struct rtc rtc;
	struct hpet hpet;
	struct pci_function nic; /* only its wire */
	struct {
		uint8_t config[256];
	} nic_state;
	uint8_t rom[256 << 10];
	unsigned resets, power_offs, a20_calls;
	bool a20;
};

static void reset_asked(void *opaque)
{
	((struct bench *)opaque)->resets++;
}

static void a20_set(void *opaque, bool on)
{
	struct bench *b = opaque;

	b->a20 = on;
	b->a20_calls++;
}

static void power_off_asked(void *opaque)
{
	((struct bench *)opaque)->power_offs++;
}

static void to_pic(void *opaque, unsigned n, bool level)
{
	struct bench *b = opaque;

	rig_sink(b->r, n, level);
	pic_set_irq(&b->pic, n, level);
}

static const struct pci_ids nic_ids = {
	.vendor = 0x1022, .device = 0x2000, .class_base = 2, .interrupt_pin = 1
};
static const struct device_class nic_class = { .name = "nic" };

static void wire(struct bench *b)
{
	for (unsigned i = 0; i < 16; i++)
		irq_connect(&b->isa.pic[i], to_pic, b, i);
	for (unsigned i = 0; i < 24; i++)
		irq_connect(&b->isa.ioapic[i], rig_sink, b->r, PIN + i);
	b->isa.reset_requested = reset_asked;
	b->isa.a20 = a20_set;
	b->isa.opaque = b;
	b->pm.power_off = power_off_asked;
	b->pm.opaque = b;
	irq_connect(&b->pm.sci, piix4_isa_irq, &b->isa, PM_SCI_IRQ);
	irq_connect(&b->pit.irq, hpet_legacy_in, &b->hpet, 0);
	irq_connect(&b->rtc.irq, hpet_legacy_in, &b->hpet, 1);
	irq_connect(&b->hpet.isa[0], piix4_isa_irq, &b->isa, 0);
	irq_connect(&b->hpet.isa[1], piix4_isa_irq, &b->isa, 8);
	irq_connect(&b->pic.intr, rig_sink, b->r, INTR);
}

static struct device *devices(struct bench *b, unsigned i)
{
	struct device *all[] = { &b->bus.dev, &b->hb.pci.dev, &b->isa.pci.dev, &b->pm.pci.dev, &b->pic.dev,
		&b->pit.dev, &b->rtc.dev, &b->hpet.dev };

	return i < ARRAY_LEN(all) ? all[i] : NULL;
}

static int setup(void **state)
{
	struct bench *b = g_new0(struct bench, 1);

	b->r = rig_new();
	memset(b->rom, 0xbb, sizeof(b->rom));
	pci_bus_init(&b->bus, &b->r->mem, &b->r->timers);
	i440bx_init(&b->hb, &b->bus, 0, I440FX_DEVICE_ID, b->rom, sizeof(b->rom));
	piix4_init(&b->isa, &b->bus, ISA_FN, PIIX3_DEVICE_ID);
	pm_init(&b->pm, &b->bus, PM_FN);
	pic_init(&b->pic, &b->r->mem, &b->r->timers);
	pit_init(&b->pit, &b->r->mem, &b->r->timers);
	rtc_init(&b->rtc, &b->r->mem, &b->r->timers, 1000000000);
	hpet_init(&b->hpet, &b->r->mem, &b->r->timers);
	device_init(&b->nic.dev, &nic_class, "0", &b->r->mem, &b->r->timers);
	b->nic.config = b->nic_state.config;
	pci_add(&b->bus, &b->nic, NIC_FN, &nic_ids);
	wire(b);
	for (unsigned i = 0; devices(b, i); i++)
		device_reset(devices(b, i));
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	rig_free(b->r);
	g_free(b);
	return 0;
}

/* ---- host bridge -------------------------------------------------------------------------------- */

static void shadow(void **state)
{
	struct bench *b = *state;
	uint8_t *ram = b->r->ram.base;

	assert_int_equal(rig_pci_read(b->r, 0, 0, 4), 0x12378086);
	assert_int_equal(rig_pci_read(b->r, 0, 0x2c, 4), 0x11001af4);
	/* after reset all goes to the bus, where the ROM is (here as far down as it reaches) */
	assert_int_equal(rig_read(b->r, 0xffff0, 1), 0xbb);
	assert_int_equal(rig_read(b->r, 0xe0000, 1), 0xbb);
	assert_int_equal(rig_read(b->r, 0xdffff, 1), 0xff);
	rig_write(b->r, 0xf1234, 1, 0x11);
	assert_int_equal(ram[0xf1234], 0);
	assert_int_equal(b->rom[sizeof(b->rom) - 0x100000 + 0xf1234], 0xbb);
	/* write-only: the BIOS copies itself */
	rig_pci_write(b->r, 0, 0x59, 1, 0x20);
	rig_write(b->r, 0xf1234, 1, 0x11);
	assert_int_equal(rig_read(b->r, 0xf1234, 1), 0xbb);
	assert_int_equal(ram[0xf1234], 0x11);
	/* read and write, then read-only */
	rig_pci_write(b->r, 0, 0x59, 1, 0xff);
	assert_int_equal(rig_pci_read(b->r, 0, 0x59, 1), 0x30);
	assert_int_equal(rig_read(b->r, 0xf1234, 1), 0x11);
	rig_pci_write(b->r, 0, 0x59, 1, 0x10);
	rig_write(b->r, 0xf1234, 1, 0x22);
	assert_int_equal(rig_read(b->r, 0xf1234, 1), 0x11);
	/* one 16 KiB segment each nibble: 0x5d high is DC000 */
	rig_pci_write(b->r, 0, 0x5d, 1, 0x30);
	rig_write(b->r, 0xdbfff, 1, 0x33);
	rig_write(b->r, 0xdc000, 1, 0x44);
	rig_write(b->r, 0xe0000, 1, 0x55);
	assert_int_equal(ram[0xdbfff], 0);
	assert_int_equal(ram[0xdc000], 0x44);
	assert_int_equal(ram[0xe0000], 0);
	/* DMA sees the same */
	assert_int_equal(phys_read_le(&b->r->mem, 0xdbfff, 2), 0x44ff);
	assert_true(rig_reloads_golden(b->r, &b->hb.pci.dev, "i440bx-v1"));
	assert_int_equal(rig_read(b->r, 0xdc000, 1), 0x44);
	device_reset(&b->hb.pci.dev);
	assert_int_equal(rig_read(b->r, 0xdc000, 1), 0xff);
	i440bx_shadow_all(&b->hb);
	rig_write(b->r, 0xe0000, 1, 0x66);
	assert_int_equal(rig_read(b->r, 0xe0000, 1), 0x66);
	/* SMRAM: locked once, locked until reset */
	rig_pci_write(b->r, 0, 0x72, 1, 0x4a);
	assert_int_equal(rig_pci_read(b->r, 0, 0x72, 1), 0x4a);
	rig_pci_write(b->r, 0, 0x72, 1, 0x5a);
	assert_int_equal(rig_pci_read(b->r, 0, 0x72, 1), 0x1a);
	rig_pci_write(b->r, 0, 0x72, 1, 0x02);
	assert_int_equal(rig_pci_read(b->r, 0, 0x72, 1), 0x1a);
}

/* ---- ISA bridge --------------------------------------------------------------------------------- */

static void routing(void **state)
{
	struct bench *b = *state;
	struct rig_wire *w = b->r->irq;

	/* slot 2, INTA: PIRQ B; not routed after reset, but on pin 17 */
	pci_set_intx(&b->nic, true);
	assert_true(w[PIN + 17].level);
	for (unsigned i = 0; i < 16; i++)
		assert_false(w[i].level);
	rig_pci_write(b->r, ISA_FN, 0x61, 1, 0x0b);
	assert_true(w[11].level);
	assert_true(w[PIN + 11].level);
	/* shared with an ISA device: the wire is the OR */
	piix4_isa_irq(&b->isa, 11, true);
	pci_set_intx(&b->nic, false);
	assert_true(w[11].level);
	assert_false(w[PIN + 17].level);
	piix4_isa_irq(&b->isa, 11, false);
	assert_false(w[11].level);
	pci_set_intx(&b->nic, true);
	rig_pci_write(b->r, ISA_FN, 0x61, 1, 0x0a);
	assert_false(w[11].level);
	assert_true(w[10].level);
	assert_true(rig_reloads_golden(b->r, &b->isa.pci.dev, "piix4-v1"));
	assert_true(w[10].level);
	rig_pci_write(b->r, ISA_FN, 0x61, 1, 0x80);
	assert_false(w[10].level);
	/* IRQ 0 is pin 2 */
	piix4_isa_irq(&b->isa, 0, true);
	assert_true(w[0].level);
	assert_true(w[PIN + 2].level);
	assert_false(w[PIN].level);
}

static void reset_and_ports(void **state)
{
	struct bench *b = *state;

	rig_out8(b->r, 0xcf9, 0x02);
	assert_int_equal(b->resets, 0);
	rig_out8(b->r, 0xcf9, 0x06);
	assert_int_equal(b->resets, 1);
	assert_int_equal(rig_in8(b->r, 0xcf9), 0x02);
	rig_out32(b->r, 0xcf8, 0x80000604); /* the PCI address latch is another matter */
	assert_int_equal(b->resets, 1);
	assert_int_equal(rig_in32(b->r, 0xcf8), 0x80000604);
	rig_out8(b->r, 0x92, 0x00);
	assert_int_equal(b->a20_calls, 1);
	assert_false(b->a20);
	assert_int_equal(rig_in8(b->r, 0x92), 0x00);
	rig_out8(b->r, 0x92, 0x02);
	assert_true(b->a20);
	rig_out8(b->r, 0x92, 0x03);
	assert_int_equal(b->resets, 2);
	rig_out8(b->r, 0x92, 0x03); /* only the edge counts */
	assert_int_equal(b->resets, 2);
	rig_out8(b->r, 0x80, 0x5a);
	assert_int_equal(rig_in8(b->r, 0x80), 0x5a);
}

/* ---- power management --------------------------------------------------------------------------- */

static void acpi(void **state)
{
	struct bench *b = *state;
	struct rig_wire *sci = &b->r->irq[9];

	/* as SeaBIOS sets it up */
	assert_int_equal(rig_pci_read(b->r, PM_FN, 0, 4), 0x71138086);
	assert_int_equal(rig_pci_read(b->r, PM_FN, 0x58, 4), 0x02000000);
	rig_pci_write(b->r, PM_FN, 0x40, 4, 0x601);
	assert_int_equal(rig_in16(b->r, 0x604), 0xffff);
	rig_pci_write(b->r, PM_FN, 0x80, 1, 1);
	assert_int_equal(rig_in16(b->r, 0x604), 0);
	rig_out8(b->r, 0xb2, PM_ACPI_ENABLE);
	assert_int_equal(rig_in16(b->r, 0x604), 1);
	/* the button */
	pm_press_power_button(&b->pm);
	assert_false(sci->level);
	rig_out16(b->r, 0x602, 0x0100);
	assert_true(sci->level);
	assert_int_equal(rig_in16(b->r, 0x600), 0x0100);
	rig_out8(b->r, 0xb2, PM_ACPI_DISABLE);
	assert_false(sci->level);
	rig_out8(b->r, 0xb2, PM_ACPI_ENABLE);
	rig_out16(b->r, 0x600, 0x0001); /* another bit */
	assert_true(sci->level);
	rig_out16(b->r, 0x600, 0x0100);
	assert_false(sci->level);
	/* a general purpose event, by bytes */
	pm_raise_gpe(&b->pm, 9);
	rig_out8(b->r, 0x60f, 0x02);
	assert_true(sci->level);
	rig_out8(b->r, 0x60d, 0x02);
	assert_false(sci->level);
	/* sleep: S5 switches off, anything else is over at once */
	rig_out16(b->r, 0x604, 1 << 10 | 0x2001);
	assert_int_equal(b->power_offs, 0);
	assert_int_equal(rig_in16(b->r, 0x600) & 0x8000, 0x8000);
	assert_int_equal(rig_in16(b->r, 0x604), 1 << 10 | 1); /* SLP_EN reads 0 */
	rig_out16(b->r, 0x604, 0x2001);
	assert_int_equal(b->power_offs, 1);
	/* moving and closing the window */
	rig_pci_write(b->r, PM_FN, 0x40, 4, 0xb001);
	assert_int_equal(rig_in16(b->r, 0x604), 0xffff);
	assert_int_equal(rig_in16(b->r, 0xb004), 1);
	assert_true(rig_reloads_golden(b->r, &b->pm.pci.dev, "piix4-pm-v1"));
	assert_int_equal(rig_in16(b->r, 0xb004), 1);
	device_reset(&b->pm.pci.dev);
	assert_int_equal(rig_in16(b->r, 0xb004), 0xffff);
	pm_enable(&b->pm);
	assert_int_equal(rig_in16(b->r, PM_DEFAULT_BASE + 4), 1);
}

static void pm_timer(void **state)
{
	struct bench *b = *state;
	uint32_t first;

	pm_enable(&b->pm);
	first = rig_in32(b->r, 0x608);
	rig_advance(b->r, 1000000000);
	assert_int_equal(rig_in32(b->r, 0x608) - first, PM_TIMER_HZ);
	/* bit 23 changes after 2^23 ticks */
	rig_out16(b->r, 0x602, 1);
	rig_advance(b->r, timer_ticks_to_ns(1u << 23, PM_TIMER_HZ) - rig_now(b->r) - 1);
	assert_false(b->r->irq[9].level);
	rig_advance(b->r, 1);
	assert_true(b->r->irq[9].level);
	assert_int_equal(rig_in32(b->r, 0x608), 1u << 23);
	rig_out16(b->r, 0x600, 1);
	assert_false(b->r->irq[9].level);
	rig_advance(b->r, timer_ticks_to_ns(1u << 24, PM_TIMER_HZ) - rig_now(b->r));
	assert_true(b->r->irq[9].level);
	assert_int_equal(rig_in32(b->r, 0x608), 0); /* 24 bits */
	/* not enabled: the status is there when one looks */
	rig_out16(b->r, 0x602, 0);
	rig_out16(b->r, 0x600, 1);
	rig_advance(b->r, 2400000000ll);
	assert_int_equal(rig_in16(b->r, 0x600) & 1, 1);
}

/* ---- all together ------------------------------------------------------------------------------- */

static void tick_reaches_the_cpu(void **state)
{
	struct bench *b = *state;

	rig_out8(b->r, 0x20, 0x11);
	rig_out8(b->r, 0x21, 0x20);
	rig_out8(b->r, 0x21, 0x04);
	rig_out8(b->r, 0x21, 0x01);
	rig_out8(b->r, 0x43, 0x34);
	rig_out8(b->r, 0x40, 0xa9);
	rig_out8(b->r, 0x40, 0x04); /* 1193: 1 ms */
	for (unsigned i = 0; i < 100; i++) {
		while (!b->r->irq[INTR].level)
			rig_advance(b->r, 10000);
		assert_int_equal(pic_ack(&b->pic), 0x20);
		rig_out8(b->r, 0x20, 0x20);
	}
	assert_in_range(rig_now(b->r), 98900000, 100100000);
	assert_int_equal(b->r->irq[PIN + 2].rises, 100);
}

/* Every device saved in one stream, everything reset, loaded in any order: no edge is invented, none is lost.
 */
static void whole_chipset_reloads(void **state)
{
	struct bench *b = *state;

	rig_pci_write(b->r, ISA_FN, 0x61, 1, 0x0b);
	for (unsigned order = 0; order < 2; order++) {
		struct state_writer *w = state_writer_new();
		struct state_reader *reader;
		const uint8_t *data;
		unsigned count = 0;
		size_t len;
		int vector;

		/* an edge waiting on IRQ 3, whose wire is high; IRQ 4's edge was served, its wire still high
		 */
		rig_out8(b->r, 0x20, 0x11);
		rig_out8(b->r, 0x21, 0x20);
		rig_out8(b->r, 0x21, 0x04);
		rig_out8(b->r, 0x21, 0x01);
		piix4_isa_irq(&b->isa, 3, false);
		piix4_isa_irq(&b->isa, 4, false);
		piix4_isa_irq(&b->isa, 4, true);
		vector = pic_ack(&b->pic);
		assert_int_equal(vector, 0x24);
		rig_out8(b->r, 0x20, 0x20);
		piix4_isa_irq(&b->isa, 3, true);
		for (unsigned i = 0; devices(b, i); i++, count++)
			device_save(devices(b, i), w);
		/* the machine goes on and becomes something else */
		pic_ack(&b->pic);
		piix4_isa_irq(&b->isa, 3, false);
		piix4_isa_irq(&b->isa, 4, false);
		rig_out8(b->r, 0x21, 0xff);
		data = state_writer_bytes(w, &len);
		reader = state_reader_new(data, len, NULL);
		for (unsigned i = 0; i < count; i++)
			assert_true(device_load(devices(b, order ? count - 1 - i : i), reader, NULL));
		assert_true(state_reader_finish(reader, NULL));
		assert_true(b->r->irq[INTR].level);
		assert_int_equal(pic_ack(&b->pic), 0x23);
		rig_out8(b->r, 0x20, 0x20);
		assert_false(b->r->irq[INTR].level);
		state_reader_free(reader);
		state_writer_free(w);
	}
}

static void wild_writes(void **state)
{
	struct bench *b = *state;
	unsigned seed = 11;

	for (unsigned i = 0; i < 100000; i++) {
		unsigned size = 1u << rand_r(&seed) % 3;
		uint32_t v = (uint32_t)rand_r(&seed) << 8 ^ (uint32_t)rand_r(&seed);
		static const uint8_t fns[] = { 0, ISA_FN, PM_FN, NIC_FN, 0x55 };

		switch (rand_r(&seed) % 4) {
		case 0:
			rig_pci_write(b->r, fns[rand_r(&seed) % 5], (uint8_t)rand_r(&seed), size, v);
			break;
		case 1:
			port_write(&b->r->mem, (uint16_t)rand_r(&seed), size, v);
			break;
		case 2:
			port_write(&b->r->mem, (uint16_t)(rand_r(&seed) % 0x100), size, v);
			break;
		case 3:
			port_read(&b->r->mem, (uint16_t)(0x600 + rand_r(&seed) % 64), size);
			rig_write(b->r, 0xc0000 + (unsigned)rand_r(&seed) % 0x3ff00, size, v);
			break;
		}
		if (rand_r(&seed) % 16 == 0)
			rig_advance_late(b->r, rand_r(&seed) % 1000000);
	}
}

static void use_all(void *opaque)
{
	struct bench *b = opaque;

	for (unsigned port = 0; port < 0x100; port++)
		rig_in8(b->r, (uint16_t)port);
	for (unsigned off = 0; off < 0x200; off += 8)
		rig_read(b->r, HPET_BASE + off, 8);
	for (unsigned i = 0; i < 20; i++)
		rig_advance_late(b->r, 1000000);
	rig_out8(b->r, 0x40, 0x12);
	rig_out8(b->r, 0x42, 0x34);
	rig_out8(b->r, 0x61, 0x01);
	rig_out8(b->r, 0x20, 0x20);
	pic_ack(&b->pic);
	rig_pci_write(b->r, PM_FN, 0x80, 1, 1);
}

static void hostile_states(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; devices(b, i); i++)
		rig_loads_hostile(b->r, devices(b, i), 300, use_all, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(shadow),
		T(routing),
		T(reset_and_ports),
		T(acpi),
		T(pm_timer),
		T(tick_reaches_the_cpu),
		T(whole_chipset_reloads),
		T(wild_writes),
		T(hostile_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
