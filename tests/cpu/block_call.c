/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/block_call.c - calls of a block, with returns that match them and returns that do not.
 */
#include "tests/cpu/block.h"

#define M(name)   ZYDIS_MNEMONIC_##name
#define NONE      ZYDIS_REGISTER_NONE
#define CHANCE(p) rng_percent(b->r, p)
#define JMP       0xebu
#define JZ        0x74u
#define CALL      0xe8u

static block_op stack_top(const struct block *b, int disp)
{
	return block_mem(block_word(b), block_register(R_SP_INDEX, block_word(b)), NONE, 0, disp);
}

static void body(struct block *b, unsigned n)
{
	b->depth++;
	b->calls++;
	block_region(b, 1 + rng_below(b->r, MAX_OF(n, 1)));
	b->calls--;
	b->depth--;
}

static void call(struct block *b, unsigned target)
{
	unsigned reg;

	if (CHANCE(70)) {
		block_jump(b, CALL, true, target);
		return;
	}
	reg = block_scratch(b);
	block_load_label(b, reg, target);
	if (CHANCE(50)) { /* through memory */
		block_op slot =
			block_mem(block_word(b), NONE, NONE, 0, (int64_t)case_mem_address(block_slot(b, 8)));

		block_put(b, M(MOV), 2, slot, block_gpr(reg, block_word(b)));
		block_put(b, M(CALL), 1, slot);
	} else {
		block_put(b, M(CALL), 1, block_gpr(reg, block_word(b)));
	}
}

/* call sub; jmp after; sub: ...; ret; after: - with arguments taken off the stack, perhaps. */
static void plain_call(struct block *b, unsigned n)
{
	unsigned sub = block_label(b), after = block_label(b), args = CHANCE(20) ? 1 + rng_below(b->r, 2) : 0;

	for (unsigned i = 0; i < args; i++)
		block_put(b, M(PUSH), 1, block_gpr(block_any_gpr(b), block_word(b)));
	call(b, sub);
	if (!args && CHANCE(30)) /* the same one from another place */
		block_jump(b, CALL, true, sub);
	block_jump(b, JMP, CHANCE(30), after);
	block_here(b, sub);
	body(b, n);
	if (args)
		block_put(b, M(RET), 1, block_imm((int64_t)(args * block_word(b))));
	else
		block_put(b, M(RET), 0);
	block_here(b, after);
}

/* A subroutine that calls itself, deeper than a stack of return addresses is, sometimes. */
static void recursion(struct block *b, unsigned n)
{
	int c = block_reserve(b, -1);
	unsigned sub = block_label(b), out = block_label(b), after = block_label(b);
	block_op reg;

	if (c < 0) {
		plain_call(b, n);
		return;
	}
	reg = block_gpr((unsigned)c, 4);
	b->reserved &= (uint16_t) ~(1u << c);
	block_put(b, M(MOV), 2, reg, block_imm(1 + (int64_t)rng_below(b->r, b->loops ? 4 : 40)));
	b->reserved |= (uint16_t)(1u << c);
	block_jump(b, CALL, true, sub);
	block_jump(b, JMP, CHANCE(30), after);
	block_here(b, sub);
	b->loops += 2; /* its body runs as often as a loop's */
	body(b, n / 2);
	b->reserved &= (uint16_t) ~(1u << c);
	block_put(b, M(DEC), 1, reg);
	block_jump(b, JZ, CHANCE(30), out);
	b->reserved |= (uint16_t)(1u << c);
	block_jump(b, CALL, true, sub);
	if (CHANCE(50))
		body(b, 2);
	b->loops -= 2;
	block_here(b, out);
	block_put(b, M(RET), 0);
	block_here(b, after);
	b->reserved &= (uint16_t) ~(1u << c);
}

/* Returns to where no call came from. */
static void stray_return(struct block *b, unsigned n)
{
	unsigned out = block_label(b), sub = block_label(b), reg = block_scratch(b), word = block_word(b);

	switch (rng_below(b->r, 4)) {
	case 0: /* a jump made of PUSH and RET */
		block_load_label(b, reg, out);
		block_put(b, M(PUSH), 1, block_gpr(reg, word));
		block_put(b, M(RET), 0);
		break;
	case 1: /* the return address is looked at, as position-independent code did */
		block_jump(b, CALL, true, sub);
		if (CHANCE(50))
			block_region(b, 1);
		block_here(b, sub);
		block_put(b, M(POP), 1, block_gpr(block_scratch(b), word));
		block_here(b, out);
		return;
	case 2: /* and replaced */
		block_jump(b, CALL, true, sub);
		block_region(b, 1 + rng_below(b->r, 2));
		block_here(b, sub);
		body(b, n / 2);
		block_load_label(b, reg, out);
		block_put(b, M(MOV), 2, stack_top(b, 0), block_gpr(reg, word));
		block_put(b, M(RET), 0);
		break;
	default: /* dropped: one level is skipped */
		block_jump(b, CALL, true, sub);
		block_jump(b, JMP, true, out);
		block_here(b, sub);
		reg = block_label(b);
		block_jump(b, CALL, true, reg);
		block_region(b, 1);
		block_here(b, reg);
		body(b, n / 2);
		if (CHANCE(50))
			block_put(b, M(LEA), 2, block_gpr(R_SP_INDEX, word), stack_top(b, (int)word));
		else
			block_put(b, M(ADD), 2, block_gpr(R_SP_INDEX, word), block_imm(word));
		block_put(b, M(RET), 0);
		break;
	}
	if (CHANCE(50))
		block_region(b, 1 + rng_below(b->r, 2));
	block_here(b, out);
}

void block_call(struct block *b, unsigned n)
{
	unsigned k = rng_below(b->r, 100);

	if (k < 55)
		plain_call(b, n);
	else if (k < 70)
		recursion(b, n);
	else
		stray_return(b, n);
}
