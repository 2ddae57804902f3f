/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 8259A behaviour, by the data sheet. */
#include "monitor/chipset/pic.h"
#include "tests/unit/rig.h"

struct bench {
	struct rig *r;
	struct pic pic;
};

/* As a PC's BIOS does: vectors 0x08 and 0x70, edge-triggered, nothing masked. */
static void program(struct rig *r, uint8_t icw4_master, uint8_t icw4_slave)
{
	rig_out8(r, 0x20, 0x11);
	rig_out8(r, 0x21, 0x08);
	rig_out8(r, 0x21, 0x04);
	rig_out8(r, 0x21, icw4_master);
	rig_out8(r, 0xa0, 0x11);
	rig_out8(r, 0xa1, 0x70);
	rig_out8(r, 0xa1, 0x02);
	rig_out8(r, 0xa1, icw4_slave);
}

static int setup(void **state)
{
	struct bench *b = g_new0(struct bench, 1);

	b->r = rig_new();
	pic_init(&b->pic, &b->r->mem, &b->r->timers);
	irq_connect(&b->pic.intr, rig_sink, b->r, 0);
	device_reset(&b->pic.dev);
	program(b->r, 1, 1);
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

static void up(struct bench *b, unsigned n)
{
	pic_set_irq(&b->pic, n, true);
}

static void down(struct bench *b, unsigned n)
{
	pic_set_irq(&b->pic, n, false);
}

static bool intr(struct bench *b)
{
	return b->r->irq[0].level;
}

static void priorities(void **state)
{
	struct bench *b = *state;

	up(b, 5);
	up(b, 3);
	assert_true(intr(b));
	assert_int_equal(pic_ack(&b->pic), 0x0b);
	assert_false(intr(b)); /* 5 is lower than 3, which is in service */
	up(b, 1);
	assert_true(intr(b)); /* 1 is higher: nests */
	assert_int_equal(pic_ack(&b->pic), 0x09);
	rig_out8(b->r, 0x20, 0x0b);
	assert_int_equal(rig_in8(b->r, 0x20), 0x0a); /* ISR */
	rig_out8(b->r, 0x20, 0x0a);
	assert_int_equal(rig_in8(b->r, 0x20), 0x20); /* IRR */
	rig_out8(b->r, 0x20, 0x20);                  /* ends 1, the highest */
	assert_false(intr(b));
	rig_out8(b->r, 0x20, 0x63); /* specific: ends 3 */
	assert_true(intr(b));
	assert_int_equal(pic_ack(&b->pic), 0x0d);
	rig_out8(b->r, 0x20, 0x20);
	assert_false(intr(b)); /* edges: lines still high ask for nothing */
}

static void cascade(void **state)
{
	struct bench *b = *state;

	up(b, 12);
	up(b, 8);
	assert_int_equal(pic_ack(&b->pic), 0x70);
	assert_false(intr(b));
	up(b, 5); /* below the cascade, which serves */
	assert_false(intr(b));
	rig_out8(b->r, 0xa0, 0x20);
	assert_false(intr(b)); /* the master still has input 2 in service */
	rig_out8(b->r, 0x20, 0x20);
	assert_true(intr(b));
	assert_int_equal(pic_ack(&b->pic), 0x74);
	rig_out8(b->r, 0xa0, 0x20);
	rig_out8(b->r, 0x20, 0x20);
	assert_int_equal(pic_ack(&b->pic), 0x0d);
}

static void special_fully_nested(void **state)
{
	struct bench *b = *state;

	program(b->r, 0x11, 1);
	up(b, 12);
	assert_int_equal(pic_ack(&b->pic), 0x74);
	up(b, 8); /* higher within the slave: passes the master's own in-service bit */
	assert_true(intr(b));
	assert_int_equal(pic_ack(&b->pic), 0x70);
}

static void spurious(void **state)
{
	struct bench *b = *state;

	up(b, 4);
	down(b, 4); /* gone before INTA */
	assert_false(intr(b));
	assert_int_equal(pic_ack(&b->pic), 0x0f);
	rig_out8(b->r, 0x20, 0x0b);
	assert_int_equal(rig_in8(b->r, 0x20), 0); /* no service bit for a spurious 7 */
	/* the slave's: seen while the master has latched input 2 */
	up(b, 10);
	rig_out8(b->r, 0xa1, 0xff);
	assert_false(intr(b));
	assert_int_equal(pic_ack(&b->pic), 0x0f);
}

static void masks(void **state)
{
	struct bench *b = *state;

	rig_out8(b->r, 0x21, 0x02);
	assert_int_equal(rig_in8(b->r, 0x21), 0x02);
	up(b, 1);
	assert_false(intr(b));
	rig_out8(b->r, 0x21, 0); /* the edge was latched */
	assert_true(intr(b));
	/* special mask mode: what serves no longer blocks lower ones once masked */
	assert_int_equal(pic_ack(&b->pic), 0x09);
	up(b, 6);
	assert_false(intr(b));
	rig_out8(b->r, 0x21, 0x02);
	assert_false(intr(b));
	rig_out8(b->r, 0x20, 0x68);
	assert_true(intr(b));
	assert_int_equal(pic_ack(&b->pic), 0x0e);
	rig_out8(b->r, 0x20, 0x20); /* non-specific EOI passes over the masked one */
	rig_out8(b->r, 0x20, 0x0b);
	assert_int_equal(rig_in8(b->r, 0x20), 0x02);
	rig_out8(b->r, 0x20, 0x48); /* and off again */
}

static void rotation(void **state)
{
	struct bench *b = *state;

	up(b, 3);
	assert_int_equal(pic_ack(&b->pic), 0x0b);
	rig_out8(b->r, 0x20, 0xa0); /* rotate on EOI: 3 is lowest, 4 highest */
	down(b, 3);
	up(b, 3);
	up(b, 0);
	up(b, 4);
	assert_int_equal(pic_ack(&b->pic), 0x0c);
	rig_out8(b->r, 0x20, 0x20);
	assert_int_equal(pic_ack(&b->pic), 0x08);
	rig_out8(b->r, 0x20, 0x20);
	assert_int_equal(pic_ack(&b->pic), 0x0b);
	rig_out8(b->r, 0x20, 0x20);
	rig_out8(b->r, 0x20, 0xc7); /* set priority: 7 lowest again */
	down(b, 0);
	up(b, 0);
	down(b, 4);
	up(b, 4);
	assert_int_equal(pic_ack(&b->pic), 0x08);
}

static void automatic_eoi(void **state)
{
	struct bench *b = *state;

	program(b->r, 3, 1);
	up(b, 3);
	up(b, 6);
	assert_int_equal(pic_ack(&b->pic), 0x0b);
	assert_true(intr(b)); /* nothing in service */
	assert_int_equal(pic_ack(&b->pic), 0x0e);
	rig_out8(b->r, 0x20, 0x80); /* rotate in automatic EOI mode */
	down(b, 3);
	up(b, 3);
	assert_int_equal(pic_ack(&b->pic), 0x0b);
	down(b, 3);
	up(b, 3);
	down(b, 6);
	up(b, 6);
	assert_int_equal(pic_ack(&b->pic), 0x0e); /* 3 had become the lowest */
}

static void level_triggered(void **state)
{
	struct bench *b = *state;

	rig_out8(b->r, 0x4d1, 0xff);
	assert_int_equal(rig_in8(b->r, 0x4d1), 0xde); /* 8 and 13 cannot */
	rig_out8(b->r, 0x4d0, 0x20);
	up(b, 5);
	assert_int_equal(pic_ack(&b->pic), 0x0d);
	rig_out8(b->r, 0x20, 0x20);
	assert_true(intr(b)); /* still high: again */
	down(b, 5);
	assert_false(intr(b));
	up(b, 11);
	assert_int_equal(pic_ack(&b->pic), 0x73);
	rig_out8(b->r, 0xa0, 0x20);
	rig_out8(b->r, 0x20, 0x20);
	assert_true(intr(b));
	assert_int_equal(pic_ack(&b->pic), 0x73);
	down(b, 11);
	rig_out8(b->r, 0xa0, 0x20);
	rig_out8(b->r, 0x20, 0x20);
	assert_false(intr(b));
}

static void polling(void **state)
{
	struct bench *b = *state;

	up(b, 6);
	rig_out8(b->r, 0x20, 0x0c);
	assert_int_equal(rig_in8(b->r, 0x20), 0x86);
	assert_false(intr(b));
	rig_out8(b->r, 0x20, 0x0c);
	assert_int_equal(rig_in8(b->r, 0x21), 0x00); /* lower ones wait; either port answers */
	rig_out8(b->r, 0x20, 0x0b);
	assert_int_equal(rig_in8(b->r, 0x20), 0x40);
}

static void initialisation(void **state)
{
	struct bench *b = *state;

	rig_out8(b->r, 0x21, 0xff);
	up(b, 3);
	rig_out8(b->r, 0x20, 0x11);
	assert_false(intr(b));
	rig_out8(b->r, 0x21, 0x20);
	rig_out8(b->r, 0x21, 0x04);
	rig_out8(b->r, 0x21, 0x01);
	assert_false(intr(b)); /* the edge sense was reset: a new edge is needed */
	assert_int_equal(rig_in8(b->r, 0x21), 0);
	down(b, 3);
	up(b, 3);
	assert_int_equal(pic_ack(&b->pic), 0x23);
}

/* In the middle of nested service, with one request waiting. */
static void save_and_load(void **state)
{
	struct bench *b = *state;

	up(b, 12);
	pic_ack(&b->pic);
	up(b, 1);
	up(b, 6);
	assert_true(rig_reloads_golden(b->r, &b->pic.dev, "pic-v1"));
	assert_true(intr(b));
	assert_int_equal(pic_ack(&b->pic), 0x09);
	rig_out8(b->r, 0x20, 0x20);
	rig_out8(b->r, 0xa0, 0x20);
	rig_out8(b->r, 0x20, 0x20);
	assert_int_equal(pic_ack(&b->pic), 0x0e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(priorities),
		T(cascade),
		T(special_fully_nested),
		T(spurious),
		T(masks),
		T(rotation),
		T(automatic_eoi),
		T(level_triggered),
		T(polling),
		T(initialisation),
		T(save_and_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
