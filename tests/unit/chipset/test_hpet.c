/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HPET: counter, comparators, routing, legacy replacement. */
#include "monitor/chipset/hpet.h"
#include "tests/unit/rig.h"

#include <stdlib.h>

/* Wires of the rig: 0..23 I/O APIC pins, 30 and 31 ISA interrupts 0 and 8. */
#define ISA 30

#define CONFIG   0x10
#define STATUS   0x20
#define COUNTER  0xf0
#define T_CFG(n) (0x100u + 0x20u * (n))
#define T_CMP(n) (0x108u + 0x20u * (n))

#define LEVEL    0x02u
#define ENABLE   0x04u
#define PERIODIC 0x08u
#define VAL_SET  0x40u
#define MODE32   0x100u

struct bench {
	struct rig *r;
	struct hpet hpet;
};

static int setup(void **state)
{
	struct bench *b = g_new0(struct bench, 1);

	b->r = rig_new();
	hpet_init(&b->hpet, &b->r->mem, &b->r->timers);
	for (unsigned i = 0; i < 24; i++)
		irq_connect(&b->hpet.pin[i], rig_sink, b->r, i);
	irq_connect(&b->hpet.isa[0], rig_sink, b->r, ISA);
	irq_connect(&b->hpet.isa[1], rig_sink, b->r, ISA + 1);
	device_reset(&b->hpet.dev);
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

static uint64_t get(struct bench *b, unsigned off)
{
	return rig_read(b->r, HPET_BASE + off, 8);
}

static void put(struct bench *b, unsigned off, uint64_t v)
{
	rig_write(b->r, HPET_BASE + off, 8, v);
}

static void put32(struct bench *b, unsigned off, uint32_t v)
{
	rig_write(b->r, HPET_BASE + off, 4, v);
}

static void counter_runs(void **state)
{
	struct bench *b = *state;

	assert_int_equal(get(b, 0) >> 32, 10000000);
	assert_int_equal(get(b, 0) & 0xffff, 0xa201);
	assert_int_equal(get(b, T_CFG(0)) >> 32, HPET_PINS);
	assert_int_equal(get(b, COUNTER), 0);
	rig_advance(b->r, 1000);
	assert_int_equal(get(b, COUNTER), 0); /* halted */
	put(b, COUNTER, 0xfffffff0);
	put(b, CONFIG, 1);
	rig_advance(b->r, 320);
	assert_int_equal(get(b, COUNTER), 0x100000010);
	assert_int_equal(rig_read(b->r, HPET_BASE + COUNTER, 4), 0x10);
	assert_int_equal(rig_read(b->r, HPET_BASE + COUNTER + 4, 4), 1);
	put(b, CONFIG, 0);
	rig_advance(b->r, 1000);
	assert_int_equal(get(b, COUNTER), 0x100000010);
	put32(b, COUNTER + 4, 7); /* half of it */
	assert_int_equal(get(b, COUNTER), 0x700000010);
	put(b, CONFIG, UINT64_MAX);
	assert_int_equal(get(b, CONFIG), 3);
}

static void one_shot(void **state)
{
	struct bench *b = *state;

	put(b, CONFIG, 1);
	put(b, T_CFG(2), 21 << 9 | ENABLE);
	put(b, T_CMP(2), 1000);
	rig_advance(b->r, 9999);
	assert_int_equal(b->r->irq[21].rises, 0);
	rig_advance(b->r, 1);
	assert_int_equal(b->r->irq[21].rises, 1);
	assert_false(b->r->irq[21].level);
	assert_int_equal(get(b, STATUS), 0); /* edge: no status */
	rig_advance(b->r, 1000000);
	assert_int_equal(b->r->irq[21].rises, 1);
	put(b, T_CMP(2), 500); /* past: not for 5800 years */
	rig_advance(b->r, 1000000);
	assert_int_equal(b->r->irq[21].rises, 1);
	/* 32 bits: wraps */
	put(b, COUNTER, 0xffffff00);
	put(b, T_CFG(2), 21 << 9 | ENABLE | MODE32);
	put(b, T_CMP(2), 0x100);
	rig_advance(b->r, 0x200 * 10);
	assert_int_equal(b->r->irq[21].rises, 2);
}

static void level_triggered(void **state)
{
	struct bench *b = *state;

	put(b, CONFIG, 1);
	put(b, T_CFG(1), 22 << 9 | ENABLE | LEVEL);
	put(b, T_CMP(1), 100);
	rig_advance(b->r, 1000);
	assert_true(b->r->irq[22].level);
	assert_int_equal(get(b, STATUS), 2);
	put(b, STATUS, 5);
	assert_true(b->r->irq[22].level);
	put(b, STATUS, 2);
	assert_false(b->r->irq[22].level);
	/* disabled: the status tells, the wire does not */
	put(b, T_CFG(1), 22 << 9 | LEVEL);
	put(b, T_CMP(1), 300);
	rig_advance(b->r, 3000);
	assert_int_equal(get(b, STATUS), 2);
	assert_false(b->r->irq[22].level);
	put(b, T_CFG(1), 22 << 9 | LEVEL | ENABLE);
	assert_true(b->r->irq[22].level);
}

static void periodic(void **state)
{
	struct bench *b = *state;

	/* as Linux does: 32-bit writes, first the match, then the period */
	put(b, CONFIG, 1);
	put32(b, T_CFG(0), 20 << 9 | ENABLE | PERIODIC | VAL_SET | MODE32);
	put32(b, T_CMP(0), 50000);
	put32(b, T_CMP(0), 10000);
	rig_advance(b->r, 499999);
	assert_int_equal(b->r->irq[20].rises, 0);
	rig_advance(b->r, 1);
	assert_int_equal(b->r->irq[20].rises, 1);
	assert_int_equal(get(b, T_CMP(0)), 60000);
	rig_advance(b->r, 1000000);
	assert_int_equal(b->r->irq[20].rises, 11);
	rig_advance_late(b->r, 350000); /* late: one interrupt, same rhythm */
	assert_int_equal(b->r->irq[20].rises, 12);
	rig_advance(b->r, 50000);
	assert_int_equal(b->r->irq[20].rises, 13);
	/* exact over an hour */
	b->r->irq[20].rises = 0;
	put32(b, T_CMP(0), 100000000); /* 1 s, from the next match on */
	rig_advance(b->r, 3600ll * 1000000000);
	assert_int_equal(b->r->irq[20].rises, 3600);
	/* a period of one tick does not hang the main loop */
	put32(b, T_CFG(0), 20 << 9 | ENABLE | PERIODIC | VAL_SET | MODE32);
	put32(b, T_CMP(0), (uint32_t)get(b, COUNTER) + 10);
	put32(b, T_CMP(0), 1);
	rig_advance(b->r, 1000000);
	assert_in_range(b->r->irq[20].rises, 3600, 3600 + 100);
}

static void legacy_replacement(void **state)
{
	struct bench *b = *state;

	hpet_legacy_in(&b->hpet, 0, true); /* the PIT passes through */
	assert_true(b->r->irq[ISA].level);
	hpet_legacy_in(&b->hpet, 1, true);
	assert_true(b->r->irq[ISA + 1].level);
	put(b, T_CFG(0), ENABLE);
	put(b, T_CMP(0), 100);
	put(b, T_CFG(1), ENABLE);
	put(b, T_CMP(1), 200);
	put(b, CONFIG, 3);
	assert_false(b->r->irq[ISA].level);
	assert_false(b->r->irq[ISA + 1].level);
	hpet_legacy_in(&b->hpet, 0, false);
	hpet_legacy_in(&b->hpet, 0, true);
	assert_false(b->r->irq[ISA].level); /* and is cut off */
	rig_advance(b->r, 1000);
	assert_true(b->r->irq[ISA].level); /* held for the 8259 */
	assert_false(b->r->irq[ISA + 1].level);
	assert_true(rig_reloads_golden(b->r, &b->hpet.dev, "hpet-v1"));
	assert_true(b->r->irq[ISA].level);
	rig_advance(b->r, 1000);
	assert_true(b->r->irq[ISA + 1].level);
	put(b, CONFIG, 1);
	assert_true(b->r->irq[ISA].level); /* the PIT's level again */
	hpet_legacy_in(&b->hpet, 0, false);
	assert_false(b->r->irq[ISA].level);
}

static void save_and_load(void **state)
{
	struct bench *b = *state;

	put(b, CONFIG, 1);
	put(b, T_CFG(2), 23 << 9 | ENABLE | PERIODIC | VAL_SET);
	put(b, T_CMP(2), 10000);
	rig_advance(b->r, 150000);
	b->r->irq[23].rises = 0;
	assert_true(rig_reloads(b->r, &b->hpet.dev));
	rig_advance(b->r, 49999);
	assert_int_equal(b->r->irq[23].rises, 0);
	rig_advance(b->r, 1);
	assert_int_equal(b->r->irq[23].rises, 1);
}

static void wild_writes(void **state)
{
	struct bench *b = *state;
	unsigned seed = 9;

	for (unsigned i = 0; i < 50000; i++) {
		unsigned size = 1u << rand_r(&seed) % 4, off = (unsigned)rand_r(&seed) % 0x200 & ~(size - 1);
		uint64_t v = (uint64_t)rand_r(&seed) << 34 ^ (uint64_t)rand_r(&seed) << 10 ^
			     (uint64_t)rand_r(&seed);

		if (rand_r(&seed) % 3)
			rig_write(b->r, HPET_BASE + off, size, v >> (rand_r(&seed) & 63));
		else
			rig_read(b->r, HPET_BASE + off, size);
		if (rand_r(&seed) % 8 == 0)
			put(b, CONFIG, 1);
		rig_advance_late(b->r, rand_r(&seed) % 100000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(counter_runs),
		T(one_shot),
		T(level_triggered),
		T(periodic),
		T(legacy_replacement),
		T(save_and_load),
		T(wild_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
