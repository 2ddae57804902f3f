/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/block_operand.c - memory operands of a block: through its base registers at many displacements,
 * the stack pointer, FS and GS, or plain addresses; some lie across the ends of pages.
 */
#include "tests/cpu/block.h"

#define NONE      ZYDIS_REGISTER_NONE
#define CHANCE(p) rng_percent(b->r, p)

static uint64_t data_address(struct block *b, unsigned size, bool aligned)
{
	uint64_t at = DATA_BASE + rng_below(b->r, 0x1e80);

	if (aligned)
		return at & ~(uint64_t)(size - 1);
	return CHANCE(15) ? DATA_BASE + 0x1000 - rng_below(b->r, size + 1) : at;
}

block_op block_based(struct block *b, unsigned size, bool aligned)
{
	/* Only the first keeps its alignment (wander). */
	const struct block_base *k = &b->base[aligned ? 0 : rng_below(b->r, b->base_count)];
	unsigned spread = k->edge ? 24 : CHANCE(80) ? 0x60 : 0x200;
	int64_t disp = (int64_t)rng_below(b->r, 2 * spread) - spread;
	ZydisRegister reg = block_register(k->reg, block_word(b));

	if (CHANCE(15))
		disp = 0;
	if (aligned)
		return block_mem(
			size, reg, NONE, 0, disp - (int64_t)((k->start + (uint64_t)disp) & (size - 1)));
	if (b->counter >= 0 && CHANCE(25))
		return block_mem(size, reg, block_register((unsigned)b->counter, block_word(b)),
			1u << rng_below(b->r, 4), disp);
	return block_mem(size, reg, NONE, 0, disp);
}

/* Through FS or GS, where they have a base that can be counted with. */
static bool segmented(struct block *b, unsigned size, uint64_t *prefixes, block_op *op)
{
	bool fs = CHANCE(50);
	uint16_t sel = b->tc->init.sel[fs ? SEL_I_FS : SEL_I_GS];
	ZydisRegister seg = fs ? ZYDIS_REGISTER_FS : ZYDIS_REGISTER_GS;

	if (b->tc->bits == 32 && sel != 7 && sel != 23)
		return false;
	*prefixes |= fs ? ZYDIS_ATTRIB_HAS_SEGMENT_FS : ZYDIS_ATTRIB_HAS_SEGMENT_GS;
	*op = block_mem(
		size, NONE, NONE, 0, (int32_t)(data_address(b, size, false) - seg_base_of(b->tc, seg)));
	return true;
}

block_op block_operand(struct block *b, unsigned size, bool aligned, uint64_t *prefixes)
{
	unsigned k = rng_below(b->r, 100);
	ZydisRegister rip = b->tc->bits == 64 && CHANCE(70) ? ZYDIS_REGISTER_RIP : NONE;
	block_op op;

	if (k < 66 && b->base_count)
		return block_based(b, size, aligned);
	if (k < 78 && !aligned) /* return addresses lie above, in a subroutine */
		return block_mem(size, block_register(R_SP_INDEX, block_word(b)), NONE, 0,
			(int64_t)rng_below(b->r, 0x48) - (b->calls ? 0x50 : 0));
	if (k < 86 && !aligned && segmented(b, size, prefixes, &op))
		return op;
	if (k < 90 && !aligned && (b->tc->writable || CHANCE(10))) /* beside the code */
		return block_mem(size, rip, NONE, 0,
			CODE_BASE + b->tc->code_off - 32 + rng_below(b->r, 33 - MIN_OF(size, 32)));
	return block_mem(size, rip, NONE, 0, (int64_t)data_address(b, size, aligned));
}
