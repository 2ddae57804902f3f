/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Local APICs and the I/O APIC together, wired as on the board. */
#include "monitor/chipset/ioapic.h"
#include "monitor/chipset/lapic.h"
#include "monitor/chipset/pic.h"
#include "monitor/cpu/vcpu.h"
#include "tests/unit/rig.h"

#include <stdlib.h>

_Static_assert(LAPIC_SIGNAL_INTR == VCPU_INTR && LAPIC_SIGNAL_NMI == VCPU_NMI &&
		       LAPIC_SIGNAL_INIT == VCPU_INIT && LAPIC_SIGNAL_SIPI == VCPU_SIPI,
	"the board hands these through");

/* The locked entry points are what struct vcpu_platform asks for. */
static const struct vcpu_platform platform = {
	.ack_interrupt = lapic_vcpu_ack,
	.apic_read = lapic_vcpu_read,
	.apic_write = lapic_vcpu_write,
	.apic_msr_read = lapic_vcpu_msr_read,
	.apic_msr_write = lapic_vcpu_msr_write,
	.tpr_read = lapic_vcpu_tpr_read,
	.tpr_write = lapic_vcpu_tpr_write,
};

#define CPUS 4

enum {
	ID = 0x20,
	VERSION = 0x30,
	TPR = 0x80,
	PPR = 0xa0,
	EOI = 0xb0,
	LDR = 0xd0,
	DFR = 0xe0,
	SVR = 0xf0,
	ISR = 0x100,
	TMR = 0x180,
	IRR = 0x200,
	ESR = 0x280,
	ICR = 0x300,
	ICR_HIGH = 0x310,
	LVT_T = 0x320,
	LINT0 = 0x350,
	LINT1 = 0x360,
	LVT_E = 0x370,
	INITIAL = 0x380,
	CURRENT = 0x390,
	DIVIDE = 0x3e0,
};

struct bench {
	struct rig *r;
	struct lapic_set set;
	struct ioapic io;
	struct pic pic;
	struct {
		bool intr;
		unsigned nmi, init, sipi;
		uint8_t page;
	} cpu[CPUS];
	uint64_t tsc_offset;
};

static void told(void *opaque, unsigned cpu, uint32_t what, bool raise, uint8_t vector)
{
	struct bench *b = opaque;

	if (what == LAPIC_SIGNAL_INTR)
		b->cpu[cpu].intr = raise;
	if (what == LAPIC_SIGNAL_NMI)
		b->cpu[cpu].nmi++;
	if (what == LAPIC_SIGNAL_INIT)
		b->cpu[cpu].init++;
	if (what == LAPIC_SIGNAL_SIPI) {
		b->cpu[cpu].sipi++;
		b->cpu[cpu].page = vector;
	}
}

static void eoi(void *opaque, unsigned vector)
{
	ioapic_eoi(&((struct bench *)opaque)->io, vector);
}

static int inta(void *opaque)
{
	return pic_ack(&((struct bench *)opaque)->pic);
}

static uint64_t offset(void *opaque, unsigned cpu)
{
	(void)cpu;
	return ((struct bench *)opaque)->tsc_offset;
}

static void pic_intr(void *opaque, unsigned n, bool level)
{
	struct bench *b = opaque;

	lapic_set_intr(&b->set, n, level);
	ioapic_set_irq(&b->io, 0, level);
}

static void put(struct bench *b, unsigned cpu, uint32_t off, uint32_t v)
{
	platform.apic_write(&b->set, cpu, off, v);
}

static uint32_t get(struct bench *b, unsigned cpu, uint32_t off)
{
	return platform.apic_read(&b->set, cpu, off);
}

static int ack(struct bench *b, unsigned cpu)
{
	return platform.ack_interrupt(&b->set, cpu);
}

static int setup(void **state)
{
	struct bench *b = g_new0(struct bench, 1);

	b->r = rig_new();
	lapic_set_init(&b->set, CPUS, 1, &b->r->mem, &b->r->timers);
	ioapic_init(&b->io, &b->r->mem, &b->r->timers);
	pic_init(&b->pic, &b->r->mem, &b->r->timers);
	b->set.wires = (struct lapic_wires){ b, told, eoi, inta, offset };
	b->io.deliver = lapic_deliver;
	b->io.deliver_opaque = &b->set;
	irq_connect(&b->pic.intr, pic_intr, b, 0);
	device_reset(&b->pic.dev);
	device_reset(&b->io.dev);
	for (unsigned i = 0; i < CPUS; i++) {
		device_reset(&b->set.cpu[i].dev);
		put(b, i, SVR, 0x1ff);
	}
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	lapic_set_destroy(&b->set);
	rig_free(b->r);
	g_free(b);
	return 0;
}

static void send(struct bench *b, unsigned from, uint32_t dest, uint32_t low)
{
	put(b, from, ICR_HIGH, dest << 24);
	put(b, from, ICR, low);
}

static bool msr_put(struct bench *b, unsigned cpu, uint32_t msr, uint64_t v)
{
	return platform.apic_msr_write(&b->set, cpu, msr, v);
}

static uint64_t msr_get(struct bench *b, unsigned cpu, uint32_t msr)
{
	uint64_t v = ~0ull;

	assert_true(platform.apic_msr_read(&b->set, cpu, msr, &v));
	return v;
}

/* ---- local APIC --------------------------------------------------------------------------------- */

static void reset_values(void **state)
{
	struct bench *b = *state;

	device_reset(&b->set.cpu[1].dev);
	assert_int_equal(get(b, 1, ID), 1u << 24);
	assert_int_equal(get(b, 1, VERSION) & 0xff00ff, 0x050015);
	assert_int_equal(get(b, 1, SVR), 0xff);
	assert_int_equal(get(b, 1, DFR), 0xffffffff);
	assert_int_equal(get(b, 1, LINT0), 0x10000);
	assert_int_equal(msr_get(b, 1, 0x1b), 0xfee00800);
	assert_int_equal(msr_get(b, 0, 0x1b), 0xfee00900);
	/* software-disabled: LVT stays masked, fixed interrupts are not taken */
	put(b, 1, LVT_T, 0x20);
	assert_int_equal(get(b, 1, LVT_T), 0x10020);
	send(b, 0, 1, 0x4040);
	assert_false(b->cpu[1].intr);
}

static void priorities(void **state)
{
	struct bench *b = *state;

	send(b, 1, 0, 0x4031);
	send(b, 1, 0, 0x4052);
	send(b, 1, 0, 0x4033);
	assert_true(b->cpu[0].intr);
	assert_int_equal(get(b, 0, IRR + 0x10), 1u << 0x11 | 1u << 0x13);
	assert_int_equal(get(b, 0, IRR + 0x20), 1u << 0x12);
	assert_int_equal(ack(b, 0), 0x52);
	assert_int_equal(get(b, 0, ISR + 0x20), 1u << 0x12);
	assert_int_equal(get(b, 0, PPR), 0x50);
	assert_false(b->cpu[0].intr);
	assert_int_equal(ack(b, 0), -1);
	send(b, 1, 0, 0x4058); /* same class: waits */
	assert_false(b->cpu[0].intr);
	send(b, 1, 0, 0x4060);
	assert_int_equal(ack(b, 0), 0x60);
	put(b, 0, EOI, 0);
	put(b, 0, EOI, 0);
	assert_int_equal(ack(b, 0), 0x58);
	put(b, 0, EOI, 0);
	platform.tpr_write(&b->set, 0, 3);
	assert_int_equal(get(b, 0, TPR), 0x30);
	assert_int_equal(platform.tpr_read(&b->set, 0), 3);
	assert_false(b->cpu[0].intr); /* class 3 is not above 3 */
	platform.tpr_write(&b->set, 0, 2);
	assert_true(b->cpu[0].intr);
	assert_int_equal(ack(b, 0), 0x33);
	put(b, 0, EOI, 0);
	assert_int_equal(ack(b, 0), 0x31);
	put(b, 0, EOI, 0);
	put(b, 0, EOI, 0); /* one too many is nothing */
	assert_false(b->cpu[0].intr);
}

static unsigned receivers(struct bench *b, unsigned vector)
{
	unsigned set = 0;

	for (unsigned i = 0; i < CPUS; i++) {
		if (b->cpu[i].intr && ack(b, i) == (int)vector) {
			set |= 1u << i;
			put(b, i, EOI, 0);
		}
	}
	return set;
}

static void destinations(void **state)
{
	struct bench *b = *state;

	send(b, 0, 2, 0x4040);
	assert_int_equal(receivers(b, 0x40), 4);
	send(b, 0, 0xff, 0x4041);
	assert_int_equal(receivers(b, 0x41), 0xf);
	send(b, 1, 0, 0x44042); /* self */
	assert_int_equal(receivers(b, 0x42), 2);
	send(b, 1, 0, 0x84043);
	assert_int_equal(receivers(b, 0x43), 0xf);
	send(b, 1, 0, 0xc4044);
	assert_int_equal(receivers(b, 0x44), 0xd);
	/* flat logical */
	for (unsigned i = 0; i < CPUS; i++)
		put(b, i, LDR, 1u << (24 + i));
	send(b, 0, 0x0a, 0x4845);
	assert_int_equal(receivers(b, 0x45), 0xa);
	/* clusters: CPUs 0, 1 in cluster 1, 2, 3 in cluster 2 */
	for (unsigned i = 0; i < CPUS; i++) {
		put(b, i, DFR, 0x0fffffff);
		put(b, i, LDR, (0x10u * (1 + i / 2) + (1u << (i & 1))) << 24);
	}
	send(b, 0, 0x23, 0x4846);
	assert_int_equal(receivers(b, 0x46), 0xc);
	send(b, 0, 0x11, 0x4847);
	assert_int_equal(receivers(b, 0x47), 1);
	send(b, 0, 0xf2, 0x4848);
	assert_int_equal(receivers(b, 0x48), 0xa);
}

static void lowest_priority(void **state)
{
	struct bench *b = *state;
	unsigned seen = 0;

	for (unsigned i = 0; i < CPUS; i++) {
		put(b, i, LDR, 1u << (24 + i));
		put(b, i, TPR, i == 2 ? 0 : 0x20);
	}
	send(b, 0, 0xff, 0x4950);
	assert_int_equal(receivers(b, 0x50), 4);
	put(b, 2, TPR, 0x20);
	for (unsigned i = 0; i < CPUS; i++) {
		send(b, 0, 0xff, 0x4951);
		seen |= receivers(b, 0x51);
	}
	assert_int_equal(seen, 0xf); /* ties go round */
	/* MSI, lowest priority, logical */
	assert_true(lapic_msi(&b->set, 0xfee0600c, 0x0152));
	assert_int_equal(__builtin_popcount(receivers(b, 0x52)), 1);
	assert_true(lapic_msi(&b->set, 0xfee03000, 0x0053));
	assert_int_equal(receivers(b, 0x53), 8);
	assert_false(lapic_msi(&b->set, 0xfee09000, 0x0053)); /* nobody */
}

static void start_up(void **state)
{
	struct bench *b = *state;

	put(b, 1, LDR, 0x02000000);
	put(b, 1, LVT_E, 0x33);
	put(b, 1, ID, 0x05000000);
	send(b, 0, 5, 0x4500); /* INIT */
	assert_int_equal(b->cpu[1].init, 1);
	assert_int_equal(get(b, 1, SVR), 0xff);
	assert_int_equal(get(b, 1, LDR), 0);
	assert_int_equal(get(b, 1, LVT_E), 0x10000);
	assert_int_equal(get(b, 1, ID), 0x05000000); /* kept */
	send(b, 0, 5, 0x8500);                       /* de-assert: nothing */
	assert_int_equal(b->cpu[1].init, 1);
	send(b, 0, 5, 0x4699);
	assert_int_equal(b->cpu[1].sipi, 1);
	assert_int_equal(b->cpu[1].page, 0x99);
	send(b, 0, 0, 0xc4500); /* all others */
	assert_int_equal(b->cpu[0].init, 0);
	assert_int_equal(b->cpu[3].init, 1);
	send(b, 0, 2, 0x4400);
	assert_int_equal(b->cpu[2].nmi, 1);
}

static void errors(void **state)
{
	struct bench *b = *state;

	put(b, 0, LVT_E, 0x35);
	send(b, 0, 1, 0x4005); /* illegal vector */
	assert_int_equal(get(b, 0, ESR), 0);
	put(b, 0, ESR, 0);
	assert_int_equal(get(b, 0, ESR), 0x20);
	assert_int_equal(ack(b, 0), 0x35);
	put(b, 0, EOI, 0);
	put(b, 0, ESR, 0);
	assert_int_equal(get(b, 0, ESR), 0);
	lapic_msi(&b->set, 0xfee00000, 0x0003);
	put(b, 0, ESR, 0);
	assert_int_equal(get(b, 0, ESR), 0x40);
}

static void timer_counts(void **state)
{
	struct bench *b = *state;

	put(b, 0, DIVIDE, 0xb); /* by 1: 1 ns */
	put(b, 0, LVT_T, 0x40);
	put(b, 0, INITIAL, 1000000);
	rig_advance(b->r, 400000);
	assert_int_equal(get(b, 0, CURRENT), 600000);
	put(b, 0, DIVIDE, 0x3); /* by 16: goes on from there */
	assert_int_equal(get(b, 0, CURRENT), 600000);
	rig_advance(b->r, 1600000);
	assert_int_equal(get(b, 0, CURRENT), 500000);
	assert_false(b->cpu[0].intr);
	rig_advance(b->r, 8000000);
	assert_int_equal(get(b, 0, CURRENT), 0);
	assert_int_equal(ack(b, 0), 0x40);
	put(b, 0, EOI, 0);
	rig_advance(b->r, 100000000);
	assert_false(b->cpu[0].intr); /* once */
	/* periodic, without drift though the main loop is late */
	put(b, 0, DIVIDE, 0xb);
	put(b, 0, LVT_T, 0x20041);
	put(b, 0, INITIAL, 1000000);
	rig_advance_late(b->r, 3500000);
	assert_int_equal(ack(b, 0), 0x41);
	put(b, 0, EOI, 0);
	assert_int_equal(get(b, 0, CURRENT), 500000);
	rig_advance(b->r, 499999);
	assert_false(b->cpu[0].intr);
	rig_advance(b->r, 1);
	assert_true(b->cpu[0].intr);
	assert_int_equal(ack(b, 0), 0x41);
	put(b, 0, EOI, 0);
	put(b, 0, INITIAL, 0); /* stops */
	rig_advance(b->r, 5000000);
	assert_false(b->cpu[0].intr);
	/* masked: counts, does not interrupt; a 1 ns period does not hang the loop */
	put(b, 0, LVT_T, 0x30041);
	put(b, 0, INITIAL, 1);
	rig_advance(b->r, 1000000);
	assert_false(b->cpu[0].intr);
}

static void tsc_deadline(void **state)
{
	struct bench *b = *state;
	uint64_t now = vclock_tsc(&b->r->clock);

	b->tsc_offset = 5000; /* this vCPU's TSC is ahead */
	assert_true(msr_put(b, 0, 0x6e0, now + 10000));
	assert_int_equal(msr_get(b, 0, 0x6e0), 0); /* not in deadline mode: ignored */
	put(b, 0, LVT_T, 0x40042);
	assert_true(msr_put(b, 0, 0x6e0, now + 10000));
	assert_int_equal(msr_get(b, 0, 0x6e0), now + 10000);
	rig_advance(b->r, 4999);
	assert_false(b->cpu[0].intr);
	rig_advance(b->r, 2);
	assert_int_equal(ack(b, 0), 0x42);
	put(b, 0, EOI, 0);
	assert_int_equal(msr_get(b, 0, 0x6e0), 0);
	msr_put(b, 0, 0x6e0, 1); /* past: at once */
	assert_int_equal(ack(b, 0), 0x42);
	put(b, 0, EOI, 0);
	msr_put(b, 0, 0x6e0, now + 100000);
	msr_put(b, 0, 0x6e0, 0); /* disarmed */
	rig_advance(b->r, 1000000);
	assert_false(b->cpu[0].intr);
	msr_put(b, 0, 0x6e0, UINT64_MAX / 2);
	put(b, 0, LVT_T, 0x42); /* leaving the mode disarms too */
	assert_int_equal(msr_get(b, 0, 0x6e0), 0);
}

static void x2apic(void **state)
{
	struct bench *b = *state;
	uint64_t v;

	assert_false(platform.apic_msr_read(&b->set, 2, 0x802, &v)); /* not in xAPIC mode */
	assert_false(msr_put(b, 2, 0x1b, 0xfee00400));               /* x2APIC without enable */
	assert_false(msr_put(b, 2, 0x1b, 0xfee00801));               /* reserved */
	for (unsigned i = 0; i < CPUS; i++)
		assert_true(msr_put(b, i, 0x1b, msr_get(b, i, 0x1b) | 0xc00));
	assert_false(msr_put(b, 2, 0x1b, 0xfee00800)); /* back only through disabled */
	assert_int_equal(get(b, 2, ID), 0xffffffff);   /* nothing at the address */
	assert_int_equal(msr_get(b, 2, 0x802), 2);
	assert_int_equal(msr_get(b, 2, 0x80d), 1u << 2);
	assert_true(msr_put(b, 0, 0x830, 2ull << 32 | 0x4061));
	assert_int_equal(ack(b, 2), 0x61);
	assert_false(msr_put(b, 2, 0x80b, 1)); /* EOI takes only 0 */
	assert_true(msr_put(b, 2, 0x80b, 0));
	assert_true(msr_put(b, 0, 0x830, 0x0000000aull << 32 | 0x4862)); /* cluster 0, CPUs 1 and 3 */
	assert_int_equal(ack(b, 1), 0x62);
	assert_int_equal(ack(b, 3), 0x62);
	assert_true(msr_put(b, 2, 0x83f, 0x63)); /* self */
	assert_int_equal(ack(b, 2), 0x63);
	assert_true(msr_put(b, 0, 0x830, 0xffffffffull << 32 | 0x4064));
	assert_true(b->cpu[0].intr);
	/* reserved bits, read-only, write-only and missing registers */
	assert_false(msr_put(b, 2, 0x808, 0x100));
	assert_false(msr_put(b, 2, 0x802, 0));
	assert_false(platform.apic_msr_read(&b->set, 2, 0x80b, &v));
	assert_false(platform.apic_msr_read(&b->set, 2, 0x80e, &v));
	assert_false(platform.apic_msr_read(&b->set, 2, 0x831, &v));
	assert_false(msr_put(b, 2, 0x8ff, 0));
	assert_false(msr_put(b, 2, 0x839, 0));
	/* the deadline timer needs no x2APIC */
	assert_true(msr_put(b, 2, 0x1b, 0xfee00000));
	assert_int_equal(msr_get(b, 2, 0x1b), 0xfee00000);
	assert_false(msr_put(b, 2, 0x1b, 0xfee00c00)); /* disabled to x2APIC */
	assert_true(msr_put(b, 2, 0x1b, 0xfee00800));
	assert_int_equal(get(b, 2, SVR), 0xff);
}

/* ---- with the I/O APIC and the 8259 ------------------------------------------------------------- */

static void redirect(struct bench *b, unsigned pin, uint64_t entry)
{
	rig_write(b->r, IOAPIC_BASE, 4, 0x11 + 2 * pin);
	rig_write(b->r, IOAPIC_BASE + 0x10, 4, entry >> 32);
	rig_write(b->r, IOAPIC_BASE, 4, 0x10 + 2 * pin);
	rig_write(b->r, IOAPIC_BASE + 0x10, 4, (uint32_t)entry);
}

static uint32_t entry_low(struct bench *b, unsigned pin)
{
	rig_write(b->r, IOAPIC_BASE, 4, 0x10 + 2 * pin);
	return (uint32_t)rig_read(b->r, IOAPIC_BASE + 0x10, 4);
}

static void io_registers(void **state)
{
	struct bench *b = *state;

	rig_write(b->r, IOAPIC_BASE, 4, 1);
	assert_int_equal(rig_read(b->r, IOAPIC_BASE + 0x10, 4), 0x00170020);
	rig_write(b->r, IOAPIC_BASE, 4, 0);
	rig_write(b->r, IOAPIC_BASE + 0x10, 4, 0xffffffff);
	assert_int_equal(rig_read(b->r, IOAPIC_BASE + 0x10, 4), 0x0f000000);
	assert_int_equal(entry_low(b, 5), 0x10000);
	redirect(b, 5, UINT64_MAX);
	assert_int_equal(entry_low(b, 5), 0x1afff); /* status bits are read-only */
	rig_write(b->r, IOAPIC_BASE, 4, 0xff);
	assert_int_equal(rig_read(b->r, IOAPIC_BASE + 0x10, 4), 0);
}

static void edges(void **state)
{
	struct bench *b = *state;

	ioapic_set_irq(&b->io, 4, true); /* masked: lost */
	redirect(b, 4, 1ull << 56 | 0x34);
	assert_false(b->cpu[1].intr);
	ioapic_set_irq(&b->io, 4, false);
	ioapic_set_irq(&b->io, 4, true);
	assert_int_equal(ack(b, 1), 0x34);
	put(b, 1, EOI, 0);
	assert_false(b->cpu[1].intr);
	assert_int_equal(get(b, 1, TMR + 0x10), 0);
}

static void levels(void **state)
{
	struct bench *b = *state;

	redirect(b, 16, 2ull << 56 | 0xa000 | 0x45);
	ioapic_set_irq(&b->io, 16, true);
	assert_true(entry_low(b, 16) & 0x4000);
	assert_int_equal(ack(b, 2), 0x45);
	assert_int_equal(get(b, 2, TMR + 0x20), 1u << 5);
	assert_false(b->cpu[2].intr);
	put(b, 2, EOI, 0); /* still asserted: comes again */
	assert_true(b->cpu[2].intr);
	assert_int_equal(ack(b, 2), 0x45);
	ioapic_set_irq(&b->io, 16, false);
	put(b, 2, EOI, 0);
	assert_false(b->cpu[2].intr);
	assert_false(entry_low(b, 16) & 0x4000);
	/* directed EOI: broadcast suppressed, the I/O APIC's own register ends it */
	put(b, 2, SVR, 0x11ff);
	ioapic_set_irq(&b->io, 16, true);
	ack(b, 2);
	ioapic_set_irq(&b->io, 16, false);
	put(b, 2, EOI, 0);
	assert_true(entry_low(b, 16) & 0x4000);
	rig_write(b->r, IOAPIC_BASE + 0x40, 4, 0x45);
	assert_false(entry_low(b, 16) & 0x4000);
	/* edge mode and back clears a stuck remote IRR */
	ioapic_set_irq(&b->io, 16, true);
	ack(b, 2);
	ioapic_set_irq(&b->io, 16, false);
	put(b, 2, EOI, 0);
	redirect(b, 16, 2ull << 56 | 0x10045);
	assert_false(entry_low(b, 16) & 0x4000);
	/* asserted while masked: delivered at unmasking */
	redirect(b, 16, 2ull << 56 | 0x18045);
	ioapic_set_irq(&b->io, 16, true);
	assert_false(b->cpu[2].intr);
	redirect(b, 16, 2ull << 56 | 0x8045);
	assert_true(b->cpu[2].intr);
}

static void program_pic(struct bench *b)
{
	rig_out8(b->r, 0x20, 0x11);
	rig_out8(b->r, 0x21, 0x08);
	rig_out8(b->r, 0x21, 0x04);
	rig_out8(b->r, 0x21, 0x01);
}

static void virtual_wire(void **state)
{
	struct bench *b = *state;

	program_pic(b);
	/* through LINT0 of the bootstrap processor, as after power-on */
	pic_set_irq(&b->pic, 3, true);
	assert_true(b->cpu[0].intr);
	assert_false(b->cpu[1].intr);
	send(b, 1, 0, 0x4070);
	assert_int_equal(ack(b, 0), 0x70); /* the local APIC's own come first */
	assert_int_equal(ack(b, 0), 0x0b);
	assert_false(b->cpu[0].intr);
	rig_out8(b->r, 0x20, 0x20);
	/* masked in LINT0 */
	put(b, 0, LINT0, 0x10700);
	pic_set_irq(&b->pic, 4, true);
	assert_false(b->cpu[0].intr);
	/* through I/O APIC pin 0 to CPU 3 */
	redirect(b, 0, 3ull << 56 | 0x700);
	assert_true(b->cpu[3].intr);
	assert_int_equal(ack(b, 3), 0x0c);
	assert_false(b->cpu[3].intr);
	rig_out8(b->r, 0x20, 0x20);
	/* masking the pin takes a request back */
	pic_set_irq(&b->pic, 1, true);
	assert_true(b->cpu[3].intr);
	redirect(b, 0, 3ull << 56 | 0x10700);
	assert_false(b->cpu[3].intr);
	/* a disabled APIC lets the 8259 through to CPU 0 */
	msr_put(b, 0, 0x1b, 0xfee00100);
	assert_true(b->cpu[0].intr);
	assert_int_equal(ack(b, 0), 0x09);
}

static void local_pins(void **state)
{
	struct bench *b = *state;

	lapic_set_nmi(&b->set, 0, true);
	lapic_set_nmi(&b->set, 0, true);
	assert_int_equal(b->cpu[0].nmi, 1);
	assert_int_equal(b->cpu[1].nmi, 0);
	put(b, 1, LINT1, 0x400);
	lapic_set_nmi(&b->set, 0, false);
	lapic_set_nmi(&b->set, 0, true);
	assert_int_equal(b->cpu[0].nmi, 2);
	assert_int_equal(b->cpu[1].nmi, 1);
	/* LINT0 as a level-triggered fixed interrupt */
	put(b, 0, LINT0, 0x8048);
	lapic_set_intr(&b->set, 0, true);
	assert_int_equal(ack(b, 0), 0x48);
	assert_true(get(b, 0, LINT0) & 0x4000);
	put(b, 0, EOI, 0);
	assert_int_equal(ack(b, 0), 0x48);
	lapic_set_intr(&b->set, 0, false);
	put(b, 0, EOI, 0);
	assert_false(b->cpu[0].intr);
	assert_false(get(b, 0, LINT0) & 0x4000);
}

/* A vector in service, one waiting, a periodic timer in mid-period, a level interrupt not yet ended. */
static void save_and_load(void **state)
{
	struct bench *b = *state;

	put(b, 0, LVT_T, 0x20041);
	put(b, 0, DIVIDE, 0xb);
	put(b, 0, INITIAL, 1000000);
	redirect(b, 16, 0xa000 | 0x85);
	ioapic_set_irq(&b->io, 16, true);
	assert_int_equal(ack(b, 0), 0x85);
	send(b, 1, 0, 0x4070);
	rig_advance(b->r, 300000);
	assert_true(rig_reloads_golden(b->r, &b->set.cpu[0].dev, "lapic-v1"));
	assert_true(rig_reloads_golden(b->r, &b->io.dev, "ioapic-v1"));
	assert_false(b->cpu[0].intr);
	assert_int_equal(get(b, 0, CURRENT), 700000);
	ioapic_set_irq(&b->io, 16, false);
	put(b, 0, EOI, 0);
	assert_int_equal(ack(b, 0), 0x70);
	put(b, 0, EOI, 0);
	rig_advance(b->r, 699999);
	assert_false(b->cpu[0].intr);
	rig_advance(b->r, 1);
	assert_int_equal(ack(b, 0), 0x41);
}

static void wild_writes(void **state)
{
	struct bench *b = *state;
	unsigned seed = 7;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned cpu = (unsigned)rand_r(&seed) % CPUS;
		uint64_t v = (uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed) << 11 ^
			     (uint64_t)rand_r(&seed),
			 out;

		switch (rand_r(&seed) % 6) {
		case 0:
			put(b, cpu, (uint32_t)rand_r(&seed) & 0xff0, (uint32_t)v);
			break;
		case 1:
			msr_put(b, cpu, 0x800 + ((uint32_t)rand_r(&seed) & 0xff), v >> (rand_r(&seed) & 63));
			break;
		case 2:
			redirect(b, (unsigned)rand_r(&seed) % 24, v);
			break;
		case 3:
			ioapic_set_irq(&b->io, (unsigned)rand_r(&seed) % 26, v & 1);
			break;
		case 4:
			ack(b, cpu);
			get(b, cpu, (uint32_t)rand_r(&seed) & 0xfff);
			platform.apic_msr_read(&b->set, cpu, 0x800 + ((uint32_t)rand_r(&seed) & 0xff), &out);
			break;
		case 5:
			msr_put(b, cpu, rand_r(&seed) & 1 ? 0x6e0 : 0x1b,
				v >> (rand_r(&seed) & 63) & 0xfee00fff);
			rig_advance_late(b->r, rand_r(&seed) % 100000);
			break;
		}
	}
}

static void use_all(void *opaque)
{
	struct bench *b = opaque;

	for (uint32_t off = 0; off < 0x400; off += 16)
		get(b, 0, off);
	for (unsigned i = 0; i < 20; i++)
		rig_advance_late(b->r, 1000000);
	for (unsigned i = 0; i < 24; i++) {
		ioapic_set_irq(&b->io, i, true);
		ioapic_set_irq(&b->io, i, false);
	}
	ack(b, 0);
	put(b, 0, EOI, 0);
	put(b, 0, DIVIDE, 3);
	send(b, 0, 0xff, 0x4940);
}

static void hostile_states(void **state)
{
	struct bench *b = *state;

	rig_loads_hostile(b->r, &b->set.cpu[0].dev, 1000, use_all, b);
	rig_loads_hostile(b->r, &b->io.dev, 1000, use_all, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(reset_values),
		T(priorities),
		T(destinations),
		T(lowest_priority),
		T(start_up),
		T(errors),
		T(timer_counts),
		T(tsc_deadline),
		T(x2apic),
		T(io_registers),
		T(edges),
		T(levels),
		T(virtual_wire),
		T(local_pins),
		T(save_and_load),
		T(wild_writes),
		T(hostile_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
