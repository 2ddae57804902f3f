/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keyboard controller, PS/2 keyboard and mouse. */
#include "monitor/dev/i8042.h"
#include "tests/unit/rig.h"

struct bench {
	struct rig *r;
	struct i8042 k;
	unsigned resets;
	int a20, leds;
};

static void on_reset(void *opaque)
{
	((struct bench *)opaque)->resets++;
}

static void on_a20(void *opaque, bool on)
{
	((struct bench *)opaque)->a20 = on;
}

static void on_leds(void *opaque, uint8_t leds)
{
	((struct bench *)opaque)->leds = leds;
}

static int setup(void **state)
{
	struct bench *b = g_new0(struct bench, 1);

	b->r = rig_new();
	b->a20 = -1;
	i8042_init(&b->k, &b->r->mem, &b->r->timers, &(struct i8042_lines){ b, on_reset, on_a20, on_leds });
	irq_connect(&b->k.kbd_irq, rig_sink, b->r, 1);
	irq_connect(&b->k.aux_irq, rig_sink, b->r, 12);
	device_reset(&b->k.dev);
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

static int next(struct bench *b)
{
	return rig_in8(b->r, 0x64) & 1 ? rig_in8(b->r, 0x60) : -1;
}

/* As firmware does it: self test, both ports on, interrupts and translation. */
static void program(struct bench *b)
{
	rig_out8(b->r, 0x64, 0xaa);
	assert_int_equal(next(b), 0x55);
	rig_out8(b->r, 0x64, 0x60);
	rig_out8(b->r, 0x60, 0x47);
	assert_int_equal(next(b), -1);
}

static void aux(struct bench *b, uint8_t v)
{
	rig_out8(b->r, 0x64, 0xd4);
	rig_out8(b->r, 0x60, v);
}

static void self_tests(void **state)
{
	struct bench *b = *state;

	assert_int_equal(rig_in8(b->r, 0x64) & 4, 0);
	program(b);
	assert_int_equal(rig_in8(b->r, 0x64) & 0x3c, 0x14);
	rig_out8(b->r, 0x64, 0xab);
	assert_int_equal(next(b), 0);
	rig_out8(b->r, 0x64, 0xa9);
	assert_int_equal(next(b), 0);
	rig_out8(b->r, 0x64, 0x20);
	assert_int_equal(next(b), 0x47);
	rig_out8(b->r, 0x64, 0xa7);
	rig_out8(b->r, 0x64, 0x20);
	assert_int_equal(next(b), 0x67);
	rig_out8(b->r, 0x64, 0xd2);
	rig_out8(b->r, 0x60, 0x99);
	assert_int_equal(next(b), 0x99);
	rig_out8(b->r, 0x64, 0xd3);
	rig_out8(b->r, 0x60, 0x98);
	assert_int_equal(rig_in8(b->r, 0x64) & 0x21, 0x21);
	assert_int_equal(next(b), 0x98);
}

static void keys_are_translated(void **state)
{
	struct bench *b = *state;

	program(b);
	i8042_key(&b->k, 0x1e, true);
	assert_true(b->r->irq[1].level);
	i8042_key(&b->k, 0x1e, false);
	assert_int_equal(next(b), 0x1e);
	assert_true(b->r->irq[1].level);
	assert_int_equal(b->r->irq[1].rises, 3); /* one for the self test's answer, one each */
	assert_int_equal(next(b), 0x9e);
	assert_false(b->r->irq[1].level);
	i8042_key(&b->k, 0xe048, true);
	i8042_key(&b->k, 0xe048, false);
	assert_int_equal(next(b), 0xe0);
	assert_int_equal(next(b), 0x48);
	assert_int_equal(next(b), 0xe0);
	assert_int_equal(next(b), 0xc8);
	i8042_key(&b->k, I8042_KEY_PAUSE, true);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(next(b), ((const uint8_t[]){ 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 })[i]);
	i8042_key(&b->k, 0x41, true);
	assert_int_equal(next(b), 0x41);
	/* Every key survives the way there and back. */
	for (uint16_t key = 1; key <= 0x58; key++) {
		i8042_key(&b->k, key, true);
		assert_int_equal(next(b), key);
	}
	/* Without translation set 2 comes through. */
	rig_out8(b->r, 0x64, 0x60);
	rig_out8(b->r, 0x60, 0x07);
	i8042_key(&b->k, 0x1e, false);
	assert_int_equal(next(b), 0xf0);
	assert_int_equal(next(b), 0x1c);
}

static void keyboard_commands(void **state)
{
	struct bench *b = *state;

	program(b);
	rig_out8(b->r, 0x60, 0xff);
	assert_int_equal(next(b), 0xfa);
	assert_int_equal(next(b), 0xaa);
	rig_out8(b->r, 0x60, 0xed);
	assert_int_equal(next(b), 0xfa);
	rig_out8(b->r, 0x60, 0x05);
	assert_int_equal(next(b), 0xfa);
	assert_int_equal(b->leds, 5);
	rig_out8(b->r, 0x60, 0xf2);
	assert_int_equal(next(b), 0xfa);
	assert_int_equal(next(b), 0xab);
	assert_int_equal(next(b), 0x41); /* 83 as the translation shows it */
	rig_out8(b->r, 0x60, 0xf5);
	assert_int_equal(next(b), 0xfa);
	i8042_key(&b->k, 0x1e, true);
	assert_int_equal(next(b), -1);
	rig_out8(b->r, 0x60, 0xf4);
	assert_int_equal(next(b), 0xfa);
	rig_out8(b->r, 0x60, 0x12);
	assert_int_equal(next(b), 0xfe);
}

static void a_full_queue_loses_whole_keys(void **state)
{
	struct bench *b = *state;
	unsigned makes = 0, breaks = 0;
	int v;

	program(b);
	for (unsigned i = 0; i < 200; i++) {
		i8042_key(&b->k, 0xe048, true);
		i8042_key(&b->k, 0xe048, false);
	}
	while ((v = next(b)) >= 0) {
		assert_int_equal(v, 0xe0);
		v = next(b);
		if (v == 0x48)
			makes++;
		else
			breaks += v == 0xc8;
	}
	assert_true(makes >= 10 && breaks >= 8);
}

static void mouse_with_a_wheel(void **state)
{
	static const uint8_t knock[] = { 200, 100, 80 };
	struct bench *b = *state;

	program(b);
	aux(b, 0xff);
	assert_true(b->r->irq[12].level);
	assert_int_equal(next(b), 0xfa);
	assert_int_equal(next(b), 0xaa);
	assert_int_equal(next(b), 0x00);
	i8042_mouse(&b->k, 5, 5, 0, 0);
	assert_int_equal(next(b), -1); /* not reporting yet */
	for (unsigned i = 0; i < 3; i++) {
		aux(b, 0xf3);
		assert_int_equal(next(b), 0xfa);
		aux(b, knock[i]);
		assert_int_equal(next(b), 0xfa);
	}
	aux(b, 0xf2);
	assert_int_equal(next(b), 0xfa);
	assert_int_equal(next(b), 3);
	aux(b, 0xf4);
	assert_int_equal(next(b), 0xfa);
	i8042_mouse(&b->k, 3, 2, -1, I8042_BUTTON_LEFT);
	assert_int_equal(rig_in8(b->r, 0x64) & 0x21, 0x21);
	assert_int_equal(next(b), 0x29); /* y negative: down */
	assert_int_equal(next(b), 3);
	assert_int_equal(next(b), 0xfe);
	assert_int_equal(next(b), 0xff);
	/* More than a packet holds is sent in several. */
	i8042_mouse(&b->k, 300, 0, 0, I8042_BUTTON_LEFT);
	next(b);
	assert_int_equal(next(b), 255);
	next(b);
	next(b);
	next(b);
	assert_int_equal(next(b), 45);
	next(b);
	next(b);
	aux(b, 0xe9);
	assert_int_equal(next(b), 0xfa);
	assert_int_equal(next(b), 0x24);
}

static void outputs(void **state)
{
	struct bench *b = *state;

	assert_int_equal(b->a20, 1);
	program(b);
	rig_out8(b->r, 0x64, 0xd1);
	rig_out8(b->r, 0x60, 0xdd);
	assert_int_equal(b->a20, 0);
	rig_out8(b->r, 0x64, 0xd0);
	assert_int_equal(next(b) & 3, 1);
	rig_out8(b->r, 0x64, 0xdf);
	assert_int_equal(b->a20, 1);
	rig_out8(b->r, 0x64, 0xfe);
	assert_int_equal(b->resets, 1);
	rig_out8(b->r, 0x64, 0xff);
	assert_int_equal(b->resets, 1);
}

static void golden(void **state)
{
	struct bench *b = *state;

	program(b);
	i8042_key(&b->k, 0x1e, true);
	i8042_key(&b->k, 0x1e, false);
	assert_true(rig_reloads_golden(b->r, &b->k.dev, "i8042-v1"));
	assert_true(b->r->irq[1].level);
	assert_int_equal(next(b), 0x1e);
	assert_int_equal(next(b), 0x9e);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(self_tests),
		T(keys_are_translated),
		T(keyboard_commands),
		T(a_full_queue_loses_whole_keys),
		T(mouse_with_a_wheel),
		T(outputs),
		T(golden),
	};

	return cmocka_run_group_tests_name("i8042", tests, NULL, NULL);
}
