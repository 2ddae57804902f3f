/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/block_gen.c - a block from its seed and number: where it lies, what it starts from, what fills
 * it.
 */
#include "tests/cpu/block.h"

#include "monitor/cpu/arch.h"
#include "tests/cpu/xstate.h"

#define CHANCE(p) rng_percent(b->r, p)

static void place(struct block *b)
{
	unsigned k = rng_below(b->r, 100);

	/* gen_code_target() points between the first and the second, which stays int3. */
	if (k < 60)
		b->tc->code_off = 32 + rng_below(b->r, 0x3e0);
	else if (k < 90)
		b->tc->code_off = CASE_PAGE - 1 - rng_below(b->r, 0xe0);
	else if (k < 95)
		b->tc->code_off = CASE_PAGE;
	else /* to the very end, perhaps */
		b->tc->code_off = CODE_BYTES - 1 - rng_below(b->r, 300);
	b->va = CODE_BASE + b->tc->code_off;
}

static void draw_bases(struct block *b)
{
	static const uint32_t ends[] = { 0x1000, 0x1000, 0x1000, 0x2000, 0x3000, 0 };

	b->base_count = 1 + rng_below(b->r, b->tc->bits == 64 ? BLOCK_BASES : 2);
	for (unsigned i = 0; i < b->base_count; i++) {
		struct block_base *k = &b->base[i];

		k->reg = (uint8_t)block_reserve(b, -1);
		k->edge = i > 0 && CHANCE(60);
		k->start = DATA_BASE + 0x300 + rng_below(b->r, 0x1900);
		if (k->edge)
			k->start = DATA_BASE + ends[rng_below(b->r, b->faults ? 6 : 3)] +
				   rng_below(b->r, 16) - 8;
		if (k->edge && CHANCE(15))
			k->start = STACK_BASE + 0x1000 + rng_below(b->r, 16) - 8;
		b->tc->init.gpr[k->reg] = k->start;
		b->g.pinned |= (uint16_t)(1u << k->reg);
	}
}

/* The case's state is random; this takes out what would end nearly every block at once. */
static void draw_state(struct block *b, bool ldt)
{
	struct cpu_state *s = &b->tc->init;

	gen_cpu_state(b->r, b->tc->bits, ldt, s);
	s->sel[SEL_I_SS] = SEL_DS;
	if (b->tc->bits == 32)
		s->sel[SEL_I_DS] = s->sel[SEL_I_ES] = SEL_DS;
	s->gpr[R_SP_INDEX] = STACK_BASE + 0x1000 + (rng_below(b->r, 0xc00) & ~15u);
	if (CHANCE(12))
		s->gpr[R_SP_INDEX] = STACK_BASE + 0x1000 + rng_below(b->r, 64); /* runs across the middle */
	if (b->faults && CHANCE(20))
		s->gpr[R_SP_INDEX] = CHANCE(50) ? STACK_BASE + rng_below(b->r, 64)
						: STACK_BASE + 0x2000 - rng_below(b->r, 64);
	if (CHANCE(10))
		s->gpr[R_SP_INDEX] += rng_below(b->r, 8);
	if (!CHANCE(10))
		s->rflags &= ~FLAG_TF;
	if (!CHANCE(15))
		xstate_reset(s->xsave);
	for (unsigned i = 0; i < (b->tc->bits == 64 ? 16 : 8); i++) {
		gen_vector(b->r, s->xsave + XS_XMM(i));
		gen_vector(b->r, s->xsave + XS_YMMH(i));
	}
	b->integer = s->rflags & (FLAG_AC | FLAG_TF);
}

static void straight(struct block *b)
{
	unsigned k = rng_below(b->r, 100);

	if (k < 46)
		block_integer(b);
	else if (k < 58)
		block_far_flags(b);
	else if (k < 66)
		block_stack_run(b);
	else if (b->integer)
		block_integer(b);
	else if (k < 82)
		block_vector(b);
	else
		block_form(b);
}

void block_region(struct block *b, unsigned n)
{
	unsigned end = b->tc->count + n;

	while (b->tc->count < end && b->tc->count < b->limit) {
		unsigned k = rng_below(b->r, 100), before = b->tc->count, left = end - b->tc->count;

		if (k < 22 && left > 2)
			block_flow(b, left);
		else if (k < 34 && left > 2 && b->tc->writable)
			block_smc(b, left);
		else if (k < 38 && b->faults && (!b->loops || CHANCE(10)))
			block_fault(b);
		else
			straight(b);
		if (b->tc->count == before && CHANCE(10)) /* nothing fits */
			break;
	}
}

void gen_block_case(
	const struct form_table *t, const struct gen_options *o, uint64_t number, struct test_case *tc)
{
	struct block b = {
		.g = { .t = t, .rng = rng_for(o->seed, number), .tc = tc, .calm = true, .tame = true },
		.tc = tc,
		.counter = -1,
		.next_slot = 2 * CASE_PAGE - 16
	};

	memset(tc, 0, sizeof(*tc));
	tc->number = number;
	tc->bits = t->bits;
	tc->block = true;
	b.r = &b.g.rng;
	tc->writable = rng_percent(b.r, 30);
	tc->precise = rng_percent(b.r, 40);
	tc->views = rng_percent(b.r, 50);
	b.faults = rng_percent(b.r, 35);
	b.limit = 5 + rng_below(b.r, 46);
	place(&b);
	draw_state(&b, o->ldt);
	draw_bases(&b);
	block_region(&b, b.limit);
	block_finish(&b);
	tc->init.rip = case_insn_address(tc, 0);
}
