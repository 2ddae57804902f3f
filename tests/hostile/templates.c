/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/hostile/templates.c - code that gets somewhere before it fails: common instructions with plausible
 * operands, pointers loaded just before they are used, loops that run hot, stores into code.
 */
#include "tests/hostile/world.h"

#include <string.h>

#define CHANCE(p) rng_percent(r, p)

struct code {
	uint8_t *page;
	unsigned at;
	const struct world *w;
	struct rng *r;
	unsigned bits;
};

static void byte(struct code *c, unsigned b)
{
	if (c->at < 4096)
		c->page[c->at++] = (uint8_t)b;
}

static void value(struct code *c, unsigned size, uint64_t v)
{
	for (unsigned i = 0; i < size; i++)
		byte(c, (unsigned)(v >> 8 * i & 0xff));
}

static uint64_t code_address(struct code *c)
{
	uint64_t base = c->bits == 16 ? 0 : GPA(PAGE_CODE);

	return base + rng_below(c->r, GPA(CODE_PAGES));
}

/* mov reg, address */
static void load_pointer(struct code *c, unsigned reg)
{
	uint64_t v = rng_percent(c->r, 15) ? code_address(c) : wild_address(c->w, c->r);

	if (c->bits == 64) {
		byte(c, 0x48 | reg >> 3);
		byte(c, 0xb8 | (reg & 7));
		value(c, 8, v);
	} else {
		byte(c, 0xb8 | (reg & 7));
		value(c, c->bits / 8, v);
	}
}

/* Near itself, or somewhere in the code: self-modification as soon as the instruction writes. */
static void code_operand(struct code *c, unsigned reg)
{
	struct rng *r = c->r;

	if (c->bits == 16) {
		byte(c, 0x06 | reg << 3);
		value(c, 2, rng_below(r, 0x10000));
		return;
	}
	byte(c, 0x05 | reg << 3);
	if (c->bits == 64)
		value(c, 4, rng_below(r, CHANCE(70) ? 0x80 : 0x1000) - (CHANCE(50) ? 0x40u : 0));
	else
		value(c, 4, code_address(c));
}

static void modrm(struct code *c, unsigned reg, int base)
{
	struct rng *r = c->r;
	unsigned rm = base >= 0 ? (unsigned)base & 7 : rng_below(r, 8);
	unsigned mod = base >= 0 && CHANCE(60) ? 0 : rng_below(r, 3);

	if (base < 0 && CHANCE(45)) {
		byte(c, 0xc0 | reg << 3 | rm);
		return;
	}
	if (base < 0 && CHANCE(15)) {
		code_operand(c, reg);
		return;
	}
	if (rm == 5 && mod == 0 && c->bits != 16)
		mod = 1;
	byte(c, mod << 6 | reg << 3 | rm);
	if (rm == 4 && c->bits != 16)
		byte(c, CHANCE(60) ? 0x24 : rng_below(r, 256));
	if (mod == 1)
		byte(c, CHANCE(60) ? rng_below(r, 48) - 24u : rng_below(r, 256));
	if (mod == 2)
		value(c, c->bits == 16 ? 2 : 4, CHANCE(80) ? rng_below(r, 0x2000) - 0x1000u : rng_u64(r));
}

/* Opcodes with ModRM and the size of their immediate: z is 2 or 4. */
static const struct {
	uint8_t escape, opcode, immediate;
} common[] = { { 0, 0x00, 0 }, { 0, 0x01, 0 }, { 0, 0x03, 0 }, { 0, 0x11, 0 }, { 0, 0x13, 0 }, { 0, 0x19, 0 },
	{ 0, 0x21, 0 }, { 0, 0x29, 0 }, { 0, 0x2b, 0 }, { 0, 0x31, 0 }, { 0, 0x39, 0 }, { 0, 0x3b, 0 },
	{ 0, 0x63, 0 }, { 0, 0x69, 'z' }, { 0, 0x6b, 1 }, { 0, 0x80, 1 }, { 0, 0x81, 'z' }, { 0, 0x83, 1 },
	{ 0, 0x84, 0 }, { 0, 0x85, 0 }, { 0, 0x86, 0 }, { 0, 0x87, 0 }, { 0, 0x88, 0 }, { 0, 0x89, 0 },
	{ 0, 0x89, 0 }, { 0, 0x8a, 0 }, { 0, 0x8b, 0 }, { 0, 0x8b, 0 }, { 0, 0x8d, 0 }, { 0, 0x8e, 0 },
	{ 0, 0x8f, 0 }, { 0, 0xc0, 1 }, { 0, 0xc1, 1 }, { 0, 0xc6, 1 }, { 0, 0xc7, 'z' }, { 0, 0xd1, 0 },
	{ 0, 0xd3, 0 }, { 0, 0xd9, 0 }, { 0, 0xdd, 0 }, { 0, 0xdf, 0 }, { 0, 0xf6, 0 }, { 0, 0xf7, 0 },
	{ 0, 0xfe, 0 }, { 0, 0xff, 0 }, { 0, 0xff, 0 }, { 15, 0x10, 0 }, { 15, 0x11, 0 }, { 15, 0x28, 0 },
	{ 15, 0x29, 0 }, { 15, 0x2a, 0 }, { 15, 0x2c, 0 }, { 15, 0x2e, 0 }, { 15, 0x44, 0 }, { 15, 0x4c, 0 },
	{ 15, 0x58, 0 }, { 15, 0x6e, 0 }, { 15, 0x6f, 0 }, { 15, 0x7e, 0 }, { 15, 0x7f, 0 }, { 15, 0x95, 0 },
	{ 15, 0xa3, 0 }, { 15, 0xab, 0 }, { 15, 0xa5, 0 }, { 15, 0xae, 0 }, { 15, 0xaf, 0 }, { 15, 0xb1, 0 },
	{ 15, 0xb6, 0 }, { 15, 0xbe, 0 }, { 15, 0xba, 1 }, { 15, 0xc1, 0 }, { 15, 0xc7, 0 }, { 15, 0xd6, 0 },
	{ 15, 0xe7, 0 }, { 15, 0xef, 0 }, { 15, 0xc6, 1 }, { 15, 0x70, 1 }, { 15, 0xb2, 0 },
	{ 15, 0xf7, 0 } };

/* Rare ones, most of them the supervisor's. */
static const struct {
	uint8_t escape, opcode;
} rare_ones[] = { { 15, 0x00 }, { 15, 0x01 }, { 15, 0x20 }, { 15, 0x21 }, { 15, 0x22 }, { 15, 0x23 },
	{ 15, 0x02 }, { 15, 0x03 }, { 15, 0x0d }, { 15, 0xae }, { 15, 0xc7 }, { 15, 0xb2 }, { 0, 0x62 },
	{ 0, 0xc4 }, { 0, 0xc5 } };

static void prefixes(struct code *c)
{
	static const uint8_t some[] = { 0x66, 0x66, 0xf2, 0xf3, 0x64, 0x65, 0x67, 0xf0, 0x2e, 0x36 };
	struct rng *r = c->r;

	while (CHANCE(18))
		byte(c, some[rng_below(r, sizeof(some))]);
	if (c->bits == 64 && CHANCE(55))
		byte(c, 0x40 | rng_below(r, 16));
}

static void with_modrm(struct code *c)
{
	struct rng *r = c->r;
	unsigned k = rng_below(r, ARRAY_LEN(common)), size = common[k].immediate;
	int base = -1;

	if (CHANCE(45)) { /* a pointer first */
		base = (int)rng_below(r, 8);
		load_pointer(c, (unsigned)base);
	}
	prefixes(c);
	if (common[k].escape)
		byte(c, common[k].escape);
	byte(c, common[k].opcode);
	modrm(c, rng_below(r, 8), base);
	if (size)
		value(c, size == 'z' ? (c->bits == 16 ? 2 : 4) : size, rng_u64(r));
}

static void without_modrm(struct code *c)
{
	static const uint8_t plain[] = { 0x50, 0x51, 0x53, 0x55, 0x58, 0x59, 0x5b, 0x5d, 0x90, 0x91, 0x98,
		0x99, 0x9c, 0x9d, 0x9e, 0x9f, 0xa4, 0xa5, 0xa6, 0xaa, 0xab, 0xad, 0xae, 0xf5, 0xf8, 0xf9,
		0xfc, 0xfd, 0xc9, 0xd7, 0x60, 0x61, 0x06, 0x1f };
	static const uint8_t rare[] = { 0xf4, 0xfa, 0xfb, 0xcf, 0xcb, 0xcc, 0xce, 0xec, 0xed, 0xee, 0xef,
		0x6c, 0x6f, 0xf1 };
	static const uint8_t rare2[] = { 0x05, 0x06, 0x08, 0x09, 0x0b, 0x30, 0x31, 0x32, 0x34, 0x35, 0x07,
		0xa2, 0xaa, 0x77, 0x0a };
	struct rng *r = c->r;

	if (CHANCE(90)) {
		if (CHANCE(20))
			byte(c, 0xf3);
		prefixes(c);
		byte(c, plain[rng_below(r, sizeof(plain))]);
	} else if (CHANCE(50)) {
		byte(c, rare[rng_below(r, sizeof(rare))]);
	} else {
		byte(c, 0x0f);
		byte(c, rare2[rng_below(r, sizeof(rare2))]);
	}
}

static void branch(struct code *c)
{
	struct rng *r = c->r;
	unsigned k = rng_below(r, 100), near = rng_below(r, 90) - 30u;

	if (k < 55) {
		byte(c, 0x70 | rng_below(r, 16));
		byte(c, near);
	} else if (k < 62) {
		byte(c, 0xeb);
		byte(c, near);
	} else if (k < 72) {
		byte(c, 0x0f);
		byte(c, 0x80 | rng_below(r, 16));
		value(c, c->bits == 16 ? 2 : 4, rng_below(r, 0x2000) - 0x1000u);
	} else if (k < 84) {
		byte(c, CHANCE(70) ? 0xe8 : 0xe9);
		value(c, c->bits == 16 ? 2 : 4, rng_below(r, 0x2000) - 0x1000u);
	} else if (k < 90) {
		byte(c, 0xe0 | rng_below(r, 4));
		byte(c, near);
	} else if (k < 95) {
		load_pointer(c, 0);
		byte(c, 0xff);
		byte(c, CHANCE(50) ? 0xe0 : 0xd0);
	} else {
		byte(c, CHANCE(70) ? 0xc3 : 0xc2);
	}
}

static void privileged(struct code *c)
{
	struct rng *r = c->r;
	unsigned k = rng_below(r, ARRAY_LEN(rare_ones));

	prefixes(c);
	if (rare_ones[k].escape)
		byte(c, rare_ones[k].escape);
	byte(c, rare_ones[k].opcode);
	modrm(c, rng_below(r, 8), -1);
}

static void any(struct code *c)
{
	struct rng *r = c->r;
	unsigned k = rng_below(r, 100);

	if (k < 66)
		with_modrm(c);
	else if (k < 82)
		without_modrm(c);
	else if (k < 98)
		branch(c);
	else
		privileged(c);
}

/* mov ecx, n; ...; dec ecx; jnz: hot, if nothing in it gets in the way. */
static void loop(struct code *c)
{
	struct rng *r = c->r;
	unsigned n = 1 + rng_below(r, 6), head;

	byte(c, 0xb9);
	value(c, c->bits == 16 ? 2 : 4, 10 + rng_below(r, 400));
	head = c->at;
	for (unsigned i = 0; i < n; i++) {
		if (CHANCE(80))
			with_modrm(c);
		else
			any(c);
	}
	if (c->at - head > 120)
		return;
	byte(c, 0xff), byte(c, 0xc9);
	byte(c, 0x75);
	byte(c, head - (c->at + 1));
}

void template_page(struct world *w, struct rng *r, uint8_t page[4096])
{
	struct code c = { .page = page, .w = w, .r = r, .bits = world_bits(w) };

	while (c.at < 4096) {
		if (CHANCE(10))
			loop(&c);
		else
			any(&c);
	}
}
