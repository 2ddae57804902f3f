/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/pic.c - dual 8259A.
 *
 * Each chip is an index 0 (master) or 1 (slave) into the state's arrays.  The slave's request is input 2 of
 * the master: a wire inside, recomputed by settle.  Priorities are numbers 0 (highest) to 7, rotated by
 * `lowest`.
 */
#include "monitor/chipset/pic.h"

#define ICW1_IC4  0x01
#define ICW1_SNGL 0x02
#define ICW1_LTIM 0x08
#define ICW1      0x10
#define OCW3      0x08
#define ICW4_AEOI 0x02
#define ICW4_SFNM 0x10
#define CASCADE   2

/* Position of input n in the present priority order: 0 is highest. */
static unsigned rank(const struct pic_state *s, unsigned chip, unsigned n)
{
	return (n - s->lowest[chip] - 1) & 7;
}

/* Highest-priority input of a set, 8 for none. */
static unsigned highest(const struct pic_state *s, unsigned chip, uint8_t set)
{
	for (unsigned i = 0; i < 8 && set; i++) {
		unsigned n = (s->lowest[chip] + 1 + i) & 7;

		if (set & (1u << n))
			return n;
	}
	return 8;
}

static uint8_t level_inputs(const struct pic_state *s, unsigned chip)
{
	return s->icw1[chip] & ICW1_LTIM ? 0xff : s->elcr[chip];
}

/* What the guest reads as IRR: edge latches and level inputs. */
static uint8_t requests(const struct pic_state *s, unsigned chip)
{
	uint8_t level = level_inputs(s, chip);

	return (uint8_t)((s->irr[chip] & ~level) | (s->lines[chip] & level));
}

/* The input this chip asks its master (or the CPU) to serve now, 8 for none. */
static unsigned requested(const struct pic_state *s, unsigned chip)
{
	uint8_t serving = s->isr[chip];
	unsigned n, busy;

	if (s->init_step[chip])
		return 8;
	n = highest(s, chip, requests(s, chip) & ~s->imr[chip]);
	if (n == 8)
		return 8;
	if (s->special_mask[chip])
		serving &= ~s->imr[chip];
	/* Special fully nested: a slave in service does not block its own further requests. */
	if (chip == 0 && s->icw4[0] & ICW4_SFNM)
		serving &= ~(1u << CASCADE);
	busy = highest(s, chip, serving);
	return busy == 8 || rank(s, chip, n) < rank(s, chip, busy) ? n : 8;
}

/* An input's level; edges set the latch, and a falling line withdraws an edge not yet acknowledged. */
static void drive(struct pic_state *s, unsigned chip, unsigned n, bool level)
{
	uint8_t bit = (uint8_t)(1u << n);

	if (level && !(s->lines[chip] & bit)) {
		s->lines[chip] |= bit;
		s->irr[chip] |= bit;
	} else if (!level) {
		s->lines[chip] &= ~bit;
		s->irr[chip] &= ~bit;
	}
}

static void pic_settle(struct device *dev)
{
	struct pic *pic = (struct pic *)dev;

	drive(&pic->s, 0, CASCADE, requested(&pic->s, 1) != 8);
	irq_set(&pic->intr, requested(&pic->s, 0) != 8);
}

void pic_set_irq(void *opaque, unsigned n, bool level)
{
	struct pic *pic = opaque;

	if (n > 15 || n == CASCADE)
		return;
	drive(&pic->s, n >> 3, n & 7, level);
	pic_settle(&pic->dev);
}

/* One chip's INTA: request n becomes in service. */
static void acknowledge(struct pic_state *s, unsigned chip, unsigned n)
{
	uint8_t bit = (uint8_t)(1u << n);

	if (!(level_inputs(s, chip) & bit))
		s->irr[chip] &= ~bit;
	if (!(s->icw4[chip] & ICW4_AEOI))
		s->isr[chip] |= bit;
	else if (s->rotate_aeoi[chip])
		s->lowest[chip] = (uint8_t)n;
}

int pic_ack(struct pic *pic)
{
	struct pic_state *s = &pic->s;
	unsigned n = requested(s, 0), vector;

	if (n == 8) {
		vector = s->base[0] | 7;
	} else if (n != CASCADE) {
		acknowledge(s, 0, n);
		vector = s->base[0] | n;
	} else {
		unsigned m = requested(s, 1);

		acknowledge(s, 0, CASCADE);
		if (m != 8)
			acknowledge(s, 1, m);
		vector = s->base[1] | (m == 8 ? 7 : m);
		/* The slave's INT falls during INTA, and rises for its next request: a new edge. */
		drive(s, 0, CASCADE, false);
	}
	pic_settle(&pic->dev);
	return (int)vector;
}

static void start_init(struct pic_state *s, unsigned chip, uint8_t v)
{
	s->icw1[chip] = v;
	s->init_step[chip] = 2;
	s->irr[chip] = 0;
	s->isr[chip] = 0;
	s->imr[chip] = 0;
	s->lowest[chip] = 7;
	s->read_isr[chip] = 0;
	s->poll[chip] = 0;
	s->special_mask[chip] = 0;
	s->rotate_aeoi[chip] = 0;
	s->icw3[chip] = chip == 0 ? 1u << CASCADE : CASCADE;
	s->icw4[chip] = 0;
}

/* OCW2: bits 7..5 rotate, specific, EOI; bits 2..0 the input of the specific forms. */
static void command_eoi(struct pic_state *s, unsigned chip, uint8_t v)
{
	bool rotate = v & 0x80, specific = v & 0x40, eoi = v & 0x20;
	uint8_t serving = s->isr[chip];
	unsigned n = v & 7;

	if (!eoi && !specific) { /* rotate in automatic EOI mode: set or clear */
		s->rotate_aeoi[chip] = rotate;
		return;
	}
	if (!eoi) { /* set priority; 010 is no operation */
		if (rotate)
			s->lowest[chip] = (uint8_t)n;
		return;
	}
	if (!specific) {
		if (s->special_mask[chip])
			serving &= ~s->imr[chip];
		n = highest(s, chip, serving);
		if (n == 8)
			return;
	}
	s->isr[chip] &= ~(1u << n);
	if (rotate)
		s->lowest[chip] = (uint8_t)n;
}

static void command_write(struct pic_state *s, unsigned chip, uint8_t v)
{
	if (v & ICW1) {
		start_init(s, chip, v);
		return;
	}
	if (!(v & OCW3)) {
		command_eoi(s, chip, v);
		return;
	}
	if (v & 0x40)
		s->special_mask[chip] = v >> 5 & 1;
	s->poll[chip] = v >> 2 & 1;
	if (v & 0x02)
		s->read_isr[chip] = v & 1;
}

static void data_write(struct pic_state *s, unsigned chip, uint8_t v)
{
	bool single = s->icw1[chip] & ICW1_SNGL, wants_icw4 = s->icw1[chip] & ICW1_IC4;

	switch (s->init_step[chip]) {
	case 2:
		s->base[chip] = v & 0xf8;
		s->init_step[chip] = !single ? 3 : wants_icw4 ? 4 : 0;
		break;
	case 3:
		s->icw3[chip] = v;
		s->init_step[chip] = wants_icw4 ? 4 : 0;
		break;
	case 4:
		s->icw4[chip] = v;
		s->init_step[chip] = 0;
		break;
	default:
		s->imr[chip] = v;
	}
}

/* Poll word: bit 7 a request is there, bits 2..0 which; reading it is the acknowledge. */
static uint8_t poll_read(struct pic_state *s, unsigned chip)
{
	unsigned n = requested(s, chip);

	s->poll[chip] = 0;
	if (n == 8)
		return 0;
	acknowledge(s, chip, n);
	if (chip == 1)
		drive(s, 0, CASCADE, false);
	return (uint8_t)(0x80 | n);
}

/* The opaque of the ports is the struct pic; the chip follows from which ops. */
static uint64_t chip_read(struct pic *pic, unsigned chip, uint64_t off)
{
	struct pic_state *s = &pic->s;
	uint8_t v;

	if (s->poll[chip]) {
		v = poll_read(s, chip);
		pic_settle(&pic->dev);
		return v;
	}
	if (off)
		return s->imr[chip];
	return s->read_isr[chip] ? s->isr[chip] : requests(s, chip);
}

static void chip_write(struct pic *pic, unsigned chip, uint64_t off, uint8_t v)
{
	if (off)
		data_write(&pic->s, chip, v);
	else
		command_write(&pic->s, chip, v);
	pic_settle(&pic->dev);
}

/* A two-byte access is two accesses, low port first. */
static uint64_t master_read(void *opaque, uint64_t off, unsigned size)
{
	uint64_t v = chip_read(opaque, 0, off);

	return size == 1 ? v : v | chip_read(opaque, 0, 1) << 8;
}

static void master_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	chip_write(opaque, 0, off, (uint8_t)v);
	if (size > 1)
		chip_write(opaque, 0, 1, (uint8_t)(v >> 8));
}

static uint64_t slave_read(void *opaque, uint64_t off, unsigned size)
{
	uint64_t v = chip_read(opaque, 1, off);

	return size == 1 ? v : v | chip_read(opaque, 1, 1) << 8;
}

static void slave_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	chip_write(opaque, 1, off, (uint8_t)v);
	if (size > 1)
		chip_write(opaque, 1, 1, (uint8_t)(v >> 8));
}

static const struct io_ops master_ops = { master_read, master_write };
static const struct io_ops slave_ops = { slave_read, slave_write };

/* Not level-triggered: timer, keyboard, cascade, RTC, coprocessor (PIIX4 4.1.6). */
static const struct reg pic_regs[] = {
	{ 0, "ELCR1", offsetof(struct pic_state, elcr), 1, 0, 0xf8, 0 },
	{ 1, "ELCR2", offsetof(struct pic_state, elcr) + 1, 1, 0, 0xde, 0 },
};

static const struct state_field pic_fields[] = {
	STATE_ARRAY(struct pic_state, lines, 1),
	STATE_ARRAY(struct pic_state, irr, 1),
	STATE_ARRAY(struct pic_state, imr, 1),
	STATE_ARRAY(struct pic_state, isr, 1),
	STATE_ARRAY(struct pic_state, elcr, 1),
	STATE_ARRAY(struct pic_state, base, 1),
	STATE_ARRAY(struct pic_state, icw3, 1),
	STATE_ARRAY(struct pic_state, icw4, 1),
	STATE_ARRAY(struct pic_state, icw1, 1),
	STATE_ARRAY(struct pic_state, init_step, 1),
	STATE_ARRAY(struct pic_state, lowest, 1),
	STATE_ARRAY(struct pic_state, read_isr, 1),
	STATE_ARRAY(struct pic_state, poll, 1),
	STATE_ARRAY(struct pic_state, special_mask, 1),
	STATE_ARRAY(struct pic_state, rotate_aeoi, 1),
};

static bool pic_check(const void *state, GError **error)
{
	const struct pic_state *s = state;

	for (unsigned i = 0; i < 2; i++) {
		if (s->init_step[i] > 4 || s->init_step[i] == 1 || s->lowest[i] > 7 || s->base[i] & 7)
			return fail(error, SERAI_ERROR_STATE, "8259 %u: impossible initialisation state", i);
	}
	return true;
}

/* Wires outlast a reset: their drivers have not moved. Until ICW1 no vector is right, so all is masked. */
static void pic_reset(struct device *dev)
{
	struct pic_state *s = &((struct pic *)dev)->s;

	for (unsigned i = 0; i < 2; i++) {
		uint8_t lines = s->lines[i];

		start_init(s, i, 0);
		s->lines[i] = lines;
		s->imr[i] = 0xff;
		s->init_step[i] = 0;
		s->base[i] = 0;
	}
}

static const struct device_class pic_class = {
	DEVICE_STATE("pic", 1, struct pic, pic_fields),
	.state.check = pic_check,
	DEVICE_REGS(pic_regs),
	.reset = pic_reset,
	.settle = pic_settle,
	.keeps_state = true,
};

void pic_init(struct pic *pic, struct physmap *mem, struct timer_queue *timers)
{
	memset(pic, 0, sizeof(*pic));
	device_init(&pic->dev, &pic_class, "0", mem, timers);
	port_add(mem, &(struct port_range){ 0x20, 2, &master_ops, pic, "pic master" });
	port_add(mem, &(struct port_range){ 0xa0, 2, &slave_ops, pic, "pic slave" });
	port_add(mem, &(struct port_range){ 0x4d0, 2, &device_reg_ops, pic, "elcr" });
}
