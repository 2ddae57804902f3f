/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 8254 modes, reading, gates, rates. */
#include "monitor/chipset/pit.h"
#include "tests/unit/rig.h"

#include <stdlib.h>

struct bench {
	struct rig *r;
	struct pit pit;
};

static int setup(void **state)
{
	struct bench *b = g_new0(struct bench, 1);

	b->r = rig_new();
	pit_init(&b->pit, &b->r->mem, &b->r->timers);
	irq_connect(&b->pit.irq, rig_sink, b->r, 0);
	device_reset(&b->pit.dev);
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

/* To the first nanosecond of the tick `n` ticks after the present one. */
static void ticks(struct bench *b, uint64_t n)
{
	uint64_t t = timer_ns_to_ticks(rig_now(b->r), PIT_HZ);

	rig_advance(b->r, timer_ticks_to_ns(t + n, PIT_HZ) - rig_now(b->r));
}

static void load(struct bench *b, unsigned channel, unsigned mode, unsigned count)
{
	rig_out8(b->r, 0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	rig_out8(b->r, (uint16_t)(0x40 + channel), (uint8_t)count);
	rig_out8(b->r, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static unsigned count_of(struct bench *b, unsigned channel)
{
	unsigned low;

	rig_out8(b->r, 0x43, (uint8_t)(channel << 6));
	low = rig_in8(b->r, (uint16_t)(0x40 + channel));
	return low | rig_in8(b->r, (uint16_t)(0x40 + channel)) << 8;
}

static uint8_t status_of(struct bench *b, unsigned channel)
{
	rig_out8(b->r, 0x43, (uint8_t)(0xe0 | 2u << channel));
	return rig_in8(b->r, (uint16_t)(0x40 + channel));
}

static bool out2(struct bench *b)
{
	return rig_in8(b->r, 0x61) & 0x20;
}

static void gate2(struct bench *b, bool level)
{
	rig_out8(b->r, 0x61, level);
}

static void terminal_count(void **state)
{
	struct bench *b = *state;

	load(b, 0, 0, 100);
	assert_false(b->r->irq[0].level);
	assert_int_equal(status_of(b, 0), 0x70); /* OUT low, null count */
	ticks(b, 1);
	assert_int_equal(status_of(b, 0), 0x30);
	assert_int_equal(count_of(b, 0), 100);
	ticks(b, 99);
	assert_int_equal(count_of(b, 0), 1);
	assert_false(b->r->irq[0].level);
	ticks(b, 1); /* N + 1 clocks after the write */
	assert_true(b->r->irq[0].level);
	assert_int_equal(b->r->irq[0].rises, 1);
	ticks(b, 2);
	assert_int_equal(count_of(b, 0), 0xfffe); /* counts on */
	/* the first of two bytes stops it and drives OUT low */
	rig_out8(b->r, 0x40, 10);
	assert_false(b->r->irq[0].level);
	ticks(b, 1000);
	assert_int_equal(b->r->irq[0].rises, 1);
	rig_out8(b->r, 0x40, 0);
	ticks(b, 11);
	assert_int_equal(b->r->irq[0].rises, 2);
	/* the gate suspends */
	gate2(b, false);
	load(b, 2, 0, 50);
	ticks(b, 10);
	assert_int_equal(count_of(b, 2), 50);
	gate2(b, true);
	ticks(b, 20);
	assert_int_equal(count_of(b, 2), 30);
	gate2(b, false);
	ticks(b, 100);
	assert_int_equal(count_of(b, 2), 30);
	assert_false(out2(b));
	gate2(b, true);
	ticks(b, 30);
	assert_true(out2(b));
}

static void one_shot(void **state)
{
	struct bench *b = *state;

	load(b, 2, 1, 20);
	ticks(b, 100);
	assert_true(out2(b)); /* waits for its trigger */
	gate2(b, true);
	ticks(b, 1);
	assert_false(out2(b));
	ticks(b, 10);
	gate2(b, false); /* level does not matter */
	ticks(b, 5);
	gate2(b, true); /* retriggers */
	ticks(b, 20);
	assert_false(out2(b));
	ticks(b, 1);
	assert_true(out2(b));
	/* a new count waits for the next trigger */
	gate2(b, false);
	gate2(b, true);
	ticks(b, 5);
	rig_out8(b->r, 0x42, 100);
	rig_out8(b->r, 0x42, 0);
	ticks(b, 16);
	assert_true(out2(b));
	gate2(b, false);
	gate2(b, true);
	ticks(b, 90);
	assert_false(out2(b));
	ticks(b, 11);
	assert_true(out2(b));
}

static void rate_generator(void **state)
{
	struct bench *b = *state;

	gate2(b, true);
	load(b, 2, 2, 10);
	ticks(b, 1);
	assert_int_equal(count_of(b, 2), 10);
	assert_true(out2(b));
	ticks(b, 9);
	assert_int_equal(count_of(b, 2), 1);
	assert_false(out2(b)); /* low for one clock */
	ticks(b, 1);
	assert_true(out2(b));
	assert_int_equal(count_of(b, 2), 10);
	/* a new count takes over after the period */
	ticks(b, 3);
	rig_out8(b->r, 0x42, 20);
	rig_out8(b->r, 0x42, 0);
	assert_int_equal(count_of(b, 2), 7);
	assert_true(status_of(b, 2) & 0x40);
	ticks(b, 7);
	assert_int_equal(count_of(b, 2), 20);
	assert_false(status_of(b, 2) & 0x40);
	/* gate low: high and stopped; gate rising: from the start */
	ticks(b, 5);
	gate2(b, false);
	assert_true(out2(b));
	ticks(b, 14);
	assert_true(out2(b));
	gate2(b, true);
	ticks(b, 1);
	assert_int_equal(count_of(b, 2), 20);
}

static void square_wave(void **state)
{
	struct bench *b = *state;

	gate2(b, true);
	load(b, 2, 3, 7); /* odd: 4 high, 3 low */
	ticks(b, 1);
	for (unsigned i = 0; i < 21; i++, ticks(b, 1)) {
		assert_int_equal(out2(b), i % 7 < 4);
		assert_int_equal(count_of(b, 2), 6 - 2 * (i % 7 < 4 ? i % 7 : i % 7 - 4));
	}
	/* a count written in the high half takes over with the low one */
	load(b, 2, 3, 100);
	ticks(b, 1 + 10);
	rig_out8(b->r, 0x42, 20);
	rig_out8(b->r, 0x42, 0);
	ticks(b, 39);
	assert_true(out2(b));
	ticks(b, 1);
	assert_false(out2(b));
	ticks(b, 9);
	assert_false(out2(b));
	ticks(b, 1);
	assert_true(out2(b));
}

static void strobes(void **state)
{
	struct bench *b = *state;

	gate2(b, true);
	load(b, 2, 4, 10);
	ticks(b, 10);
	assert_true(out2(b));
	ticks(b, 1);
	assert_false(out2(b));
	ticks(b, 1);
	assert_true(out2(b));
	gate2(b, false);
	load(b, 2, 5, 10);
	ticks(b, 50);
	assert_true(out2(b));
	gate2(b, true);
	ticks(b, 11);
	assert_false(out2(b));
	ticks(b, 1);
	assert_true(out2(b));
}

static void rate_is_exact(void **state)
{
	struct bench *b = *state;

	/* 65536: 18.2065 Hz; in 3600 s exactly floor(3600 * 1193182 / 65536) interrupts */
	load(b, 0, 3, 0);
	rig_advance(b->r, 10);
	b->r->irq[0].rises = 0;
	rig_advance(b->r, 3600ll * 1000000000);
	assert_int_equal(b->r->irq[0].rises, 3600ull * PIT_HZ / 65536);
	/* a main loop 60 ms late: what it missed is lost, the rhythm is not */
	load(b, 0, 2, 11932);
	ticks(b, 1);
	ticks(b, 11932);
	b->r->irq[0].rises = 0;
	rig_advance_late(b->r, timer_ticks_to_ns(11932 * 6 + 5, PIT_HZ));
	assert_int_equal(b->r->irq[0].rises, 1);
	ticks(b, 11932 - 10);
	assert_int_equal(b->r->irq[0].rises, 1);
	ticks(b, 10);
	assert_int_equal(b->r->irq[0].rises, 2);
	assert_true(b->r->irq[0].level); /* held until the next edge */
	/* an edge that is due when the guest touches another channel, or this one again, is not lost */
	load(b, 0, 4, 100);
	b->r->irq[0].rises = 0;
	vclock_set_tsc(&b->r->clock, (uint64_t)rig_now(b->r) + 1000000);
	load(b, 2, 0, 100);
	assert_int_equal(b->r->irq[0].rises, 1);
	load(b, 0, 4, 100);
	ticks(b, 102);
	assert_int_equal(b->r->irq[0].rises, 2);
}

static void bcd_and_latches(void **state)
{
	struct bench *b = *state;

	gate2(b, true);
	rig_out8(b->r, 0x43, 0xb5); /* channel 2, both bytes, mode 2, BCD */
	rig_out8(b->r, 0x42, 0x00);
	rig_out8(b->r, 0x42, 0x10); /* 1000 */
	ticks(b, 1 + 1);
	assert_int_equal(count_of(b, 2), 0x0999);
	ticks(b, 899);
	assert_int_equal(count_of(b, 2), 0x0100);
	/* read-back: status first, then the latched count, though time goes on */
	rig_out8(b->r, 0x43, 0xc8);
	ticks(b, 50);
	rig_out8(b->r, 0x43, 0xd8); /* latching again changes nothing */
	assert_int_equal(rig_in8(b->r, 0x42), 0xb5);
	assert_int_equal(rig_in8(b->r, 0x42), 0x00);
	assert_int_equal(rig_in8(b->r, 0x42), 0x01);
	assert_int_equal(rig_in8(b->r, 0x42), 0x50); /* live */
	assert_int_equal(rig_in8(b->r, 0x42), 0x00);
	/* single-byte modes */
	rig_out8(b->r, 0x43, 0xa4); /* channel 2, high byte, mode 2 */
	rig_out8(b->r, 0x42, 0x12);
	ticks(b, 2);
	assert_int_equal(rig_in8(b->r, 0x42), 0x11);
	rig_out8(b->r, 0x43, 0x94);
	rig_out8(b->r, 0x42, 0x12);
	ticks(b, 2);
	assert_int_equal(rig_in8(b->r, 0x42), 0x11);
	assert_int_equal(rig_in8(b->r, 0x43), 0xff);
}

static void port_61(void **state)
{
	struct bench *b = *state;
	bool first;

	rig_out8(b->r, 0x61, 0xff);
	assert_int_equal(rig_in8(b->r, 0x61) & 0xcf, 0x0f);
	first = rig_in8(b->r, 0x61) & 0x10;
	rig_advance(b->r, 15085);
	assert_int_equal(!!(rig_in8(b->r, 0x61) & 0x10), !first);
}

static void save_and_load(void **state)
{
	struct bench *b = *state;
	unsigned low;

	load(b, 0, 2, 1000);
	gate2(b, true);
	load(b, 2, 3, 5000);
	ticks(b, 400);
	rig_out8(b->r, 0x40, 0xd0); /* half of a new count */
	rig_out8(b->r, 0x43, 0x80); /* channel 2 latched */
	assert_true(rig_reloads_golden(b->r, &b->pit.dev, "pit-v1"));
	rig_out8(b->r, 0x40, 0x07); /* the other half: 2000 */
	low = rig_in8(b->r, 0x42);
	assert_int_equal(low | rig_in8(b->r, 0x42) << 8, 5000 - 2 * 399);
	b->r->irq[0].rises = 0;
	ticks(b, 600);
	assert_int_equal(b->r->irq[0].rises, 0);
	ticks(b, 1);
	assert_int_equal(b->r->irq[0].rises, 1);
	ticks(b, 1999);
	assert_int_equal(b->r->irq[0].rises, 1);
	ticks(b, 1);
	assert_int_equal(b->r->irq[0].rises, 2);
}

static void wild_writes(void **state)
{
	struct bench *b = *state;
	unsigned seed = 3;

	for (unsigned i = 0; i < 50000; i++) {
		uint16_t port = rand_r(&seed) % 8 ? (uint16_t)(0x40 + rand_r(&seed) % 4) : 0x61;

		if (rand_r(&seed) & 1)
			port_write(&b->r->mem, port, 1u << rand_r(&seed) % 3, (uint32_t)rand_r(&seed));
		else
			port_read(&b->r->mem, port, 1u << rand_r(&seed) % 3);
		if (rand_r(&seed) % 4 == 0)
			rig_advance_late(b->r, rand_r(&seed) % 1000000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(terminal_count),
		T(one_shot),
		T(rate_generator),
		T(square_wave),
		T(strobes),
		T(rate_is_exact),
		T(bcd_and_latches),
		T(port_61),
		T(save_and_load),
		T(wild_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
