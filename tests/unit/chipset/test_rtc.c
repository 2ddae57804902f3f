/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MC146818: time, formats, interrupts, CMOS. */
#include "monitor/chipset/rtc.h"
#include "tests/unit/rig.h"

#include <stdlib.h>

#define SECOND 1000000000ll
#define UTC    951868799ll /* 2000-02-29 23:59:59, a Tuesday */

struct bench {
	struct rig *r;
	struct rtc rtc;
};

static int setup(void **state)
{
	struct bench *b = g_new0(struct bench, 1);

	b->r = rig_new();
	rtc_init(&b->rtc, &b->r->mem, &b->r->timers, UTC);
	irq_connect(&b->rtc.irq, rig_sink, b->r, 8);
	device_reset(&b->rtc.dev);
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

static uint8_t get(struct bench *b, uint8_t index)
{
	rig_out8(b->r, 0x70, index);
	return rig_in8(b->r, 0x71);
}

static void put(struct bench *b, uint8_t index, uint8_t v)
{
	rig_out8(b->r, 0x70, index);
	rig_out8(b->r, 0x71, v);
}

static void calendar(void **state)
{
	struct bench *b = *state;

	assert_int_equal(get(b, 0), 0x59);
	assert_int_equal(get(b, 4), 0x23);
	assert_int_equal(get(b, 6), 3);
	assert_int_equal(get(b, 7), 0x29);
	assert_int_equal(get(b, 8), 0x02);
	assert_int_equal(get(b, 9), 0x00);
	assert_int_equal(get(b, 0x32), 0x20);
	rig_advance(b->r, SECOND);
	assert_int_equal(get(b, 0), 0);
	assert_int_equal(get(b, 4), 0);
	assert_int_equal(get(b, 7), 1);
	assert_int_equal(get(b, 8), 3);
	assert_int_equal(get(b, 0x0d), 0x80);
}

static void formats(void **state)
{
	struct bench *b = *state;

	put(b, 0x0b, 0x06); /* binary, 24 h */
	assert_int_equal(get(b, 4), 23);
	assert_int_equal(get(b, 0), 59);
	assert_int_equal(get(b, 0x32), 20);
	put(b, 0x0b, 0x00); /* BCD, 12 h */
	assert_int_equal(get(b, 4), 0x91);
	rig_advance(b->r, SECOND);
	assert_int_equal(get(b, 4), 0x12); /* midnight is 12 AM */
	rig_advance(b->r, 12 * 3600 * SECOND);
	assert_int_equal(get(b, 4), 0x92);
	put(b, 0x0b, 0x04);
	rig_advance(b->r, 3600 * SECOND);
	assert_int_equal(get(b, 4), 0x81);
}

static void setting(void **state)
{
	struct bench *b = *state;

	rig_advance(b->r, SECOND / 4);
	put(b, 0x0b, 0x82); /* SET */
	put(b, 0, 0x58);
	put(b, 2, 0x59);
	put(b, 4, 0x23);
	put(b, 7, 0x31);
	put(b, 8, 0x12);
	put(b, 9, 0x99);
	put(b, 0x32, 0x19);
	rig_advance(b->r, 10 * SECOND);
	assert_int_equal(get(b, 0), 0x58); /* held */
	assert_false(get(b, 0x0a) & 0x80);
	put(b, 0x0b, 0x02);
	rig_advance(b->r, SECOND);
	assert_int_equal(get(b, 0), 0x59);
	rig_advance(b->r, SECOND);
	assert_int_equal(get(b, 9), 0x00);
	assert_int_equal(get(b, 0x32), 0x20);
	/* one register while it runs */
	put(b, 2, 0x30);
	assert_int_equal(get(b, 2), 0x30);
	assert_int_equal(get(b, 0), 0x00);
	/* the divider's reset: half a second to the first update */
	put(b, 0x0a, 0x76);
	put(b, 0, 0x10);
	rig_advance(b->r, 5 * SECOND);
	put(b, 0x0a, 0x26);
	rig_advance(b->r, SECOND / 2 - 1000);
	assert_int_equal(get(b, 0), 0x10);
	rig_advance(b->r, 2000);
	assert_int_equal(get(b, 0), 0x11);
}

static void update_in_progress(void **state)
{
	struct bench *b = *state;

	assert_false(get(b, 0x0a) & 0x80);
	rig_advance(b->r, SECOND - 300000);
	assert_true(get(b, 0x0a) & 0x80);
	rig_advance(b->r, 300000);
	assert_false(get(b, 0x0a) & 0x80);
}

static void periodic(void **state)
{
	struct bench *b = *state;

	put(b, 0x0a, 0x26); /* 1024 Hz */
	put(b, 0x0b, 0x42);
	rig_advance(b->r, 976563);
	assert_true(b->r->irq[8].level);
	assert_int_equal(get(b, 0x0c), 0xc0);
	assert_false(b->r->irq[8].level);
	assert_int_equal(get(b, 0x0c), 0);
	b->r->irq[8].rises = 0;
	for (unsigned i = 0; i < 2048; i++) {
		while (!b->r->irq[8].level)
			rig_advance(b->r, b->r->timers.head->deadline - rig_now(b->r));
		get(b, 0x0c);
	}
	assert_in_range(rig_now(b->r), 2 * SECOND, 2 * SECOND + 1000000); /* no drift */
	/* without reading C there is one interrupt, not many */
	b->r->irq[8].rises = 0;
	rig_advance(b->r, SECOND);
	assert_int_equal(b->r->irq[8].rises, 1);
	/* flags come without their enables too, but no interrupt */
	put(b, 0x0b, 0x02);
	assert_false(b->r->irq[8].level);
	get(b, 0x0c);
	rig_advance(b->r, 2000000);
	assert_int_equal(get(b, 0x0c) & 0xc0, 0x40);
}

static void alarm_and_update(void **state)
{
	struct bench *b = *state;

	put(b, 1, 0x05);
	put(b, 3, 0x01);
	put(b, 5, 0x00);
	put(b, 0x0b, 0x22);
	rig_advance(b->r, SECOND + 64 * SECOND);
	assert_false(b->r->irq[8].level);
	rig_advance(b->r, SECOND);
	assert_true(b->r->irq[8].level);
	assert_int_equal(get(b, 0x0c) & 0xb0, 0xb0);
	rig_advance(b->r, 86399 * SECOND);
	assert_false(b->r->irq[8].level);
	rig_advance(b->r, SECOND);
	assert_true(b->r->irq[8].level);
	get(b, 0x0c);
	put(b, 3, 0xff); /* any minute, any hour: every minute */
	put(b, 5, 0xc0);
	rig_advance(b->r, 60 * SECOND);
	assert_true(b->r->irq[8].level);
	get(b, 0x0c);
	put(b, 1, 0x77); /* never */
	rig_advance(b->r, 200000 * SECOND);
	assert_false(b->r->irq[8].level);
	/* update-ended, once a second; SET clears its enable */
	get(b, 0x0c);
	put(b, 0x0b, 0x12);
	rig_advance(b->r, SECOND);
	assert_true(b->r->irq[8].level);
	assert_int_equal(get(b, 0x0c) & 0x90, 0x90);
	put(b, 0x0b, 0x92);
	assert_int_equal(get(b, 0x0b), 0x82);
}

static void cmos_and_reset(void **state)
{
	struct bench *b = *state;

	put(b, 0x0f, 0x05);
	put(b, 0x8e, 0x33); /* bit 7 is the NMI mask, not the address */
	assert_true(rtc_nmi_masked(&b->rtc));
	rig_out8(b->r, 0x72, 0x10);
	rig_out8(b->r, 0x73, 0x77);
	assert_int_equal(rtc_cmos_get(&b->rtc, 0x90), 0x77);
	assert_int_equal(rtc_cmos_get(&b->rtc, 0x10), 0);
	put(b, 0x0b, 0x72);
	rig_advance(b->r, 2 * SECOND);
	assert_true(b->r->irq[8].level);
	device_reset(&b->rtc.dev);
	assert_false(b->r->irq[8].level);
	assert_int_equal(get(b, 0x0f), 0x05);
	assert_int_equal(get(b, 0x0e), 0x33);
	assert_int_equal(get(b, 0x0b), 0x02);
	assert_int_equal(get(b, 0), 0x01); /* and the time went on */
	rtc_set_memory(&b->rtc, 3ull << 30, 5ull << 30);
	assert_int_equal(get(b, 0x15) | get(b, 0x16) << 8, 640);
	assert_int_equal(get(b, 0x17) | get(b, 0x18) << 8, 0xffff);
	assert_int_equal((uint64_t)(get(b, 0x34) | get(b, 0x35) << 8) * 65536 + (16 << 20), 3ull << 30);
	assert_int_equal(
		(uint64_t)(get(b, 0x5b) | get(b, 0x5c) << 8 | get(b, 0x5d) << 16) * 65536, 5ull << 30);
	rtc_set_memory(&b->rtc, 8ull << 20, 0);
	assert_int_equal(get(b, 0x30) | get(b, 0x31) << 8, 7 * 1024);
	assert_int_equal(get(b, 0x34) | get(b, 0x35), 0);
	rtc_set_boot(&b->rtc, 4, 3, 2, 1);
	assert_int_equal(get(b, 0x5f), 3);
	assert_int_equal(get(b, 0x3d), 0x23);
	assert_int_equal(get(b, 0x38), 0x11);
	rtc_set_floppies(&b->rtc, 4, 0);
	assert_int_equal(get(b, 0x10), 0x40);
	assert_int_equal(get(b, 0x14), 0x07);
	rtc_set_utc(&b->rtc, 0);
	assert_int_equal(get(b, 9), 0x70);
}

static void save_and_load(void **state)
{
	struct bench *b = *state;

	put(b, 1, 0x20);
	put(b, 3, 0xff);
	put(b, 5, 0xff);
	put(b, 0x0b, 0x62);
	rig_advance(b->r, 1500000);
	assert_true(rig_reloads_golden(b->r, &b->rtc.dev, "rtc-v1"));
	assert_true(b->r->irq[8].level);
	assert_int_equal(get(b, 0x0c) & 0xf0, 0xc0);
	put(b, 0x0b, 0x22);
	rig_advance(b->r, 20 * SECOND);
	assert_false(b->r->irq[8].level);
	rig_advance(b->r, SECOND);
	assert_true(b->r->irq[8].level);
}

static void wild_writes(void **state)
{
	struct bench *b = *state;
	unsigned seed = 5;

	for (unsigned i = 0; i < 50000; i++) {
		uint8_t index = rand_r(&seed) & 1 ? (uint8_t)(rand_r(&seed) % 16) : (uint8_t)rand_r(&seed);

		if (rand_r(&seed) % 3)
			put(b, index, (uint8_t)rand_r(&seed));
		else
			get(b, index);
		port_write(&b->r->mem, (uint16_t)(0x70 + rand_r(&seed) % 4), 1u << rand_r(&seed) % 3,
			(uint32_t)rand_r(&seed));
		if (rand_r(&seed) % 4 == 0)
			rig_advance_late(b->r, rand_r(&seed) % 100000000 * 100ll);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(calendar),
		T(formats),
		T(setting),
		T(update_in_progress),
		T(periodic),
		T(alarm_and_update),
		T(cmos_and_reset),
		T(save_and_load),
		T(wild_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
