/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/block_leave.c - flags made by plain arithmetic, and read only behind a jump, a call or a return.
 *
 * Nobody can tell there what made them.  Often it all goes round, so that an engine that remembers where jumps lead has
 * come to do so.
 */
#include "tests/cpu/block.h"

#define M(name)   ZYDIS_MNEMONIC_##name
#define NONE      ZYDIS_REGISTER_NONE
#define CHANCE(p) rng_percent(b->r, p)
#define JMP       0xebu
#define JNZ       0x75u
#define CALL      0xe8u

static block_op immediate(struct block *b, unsigned size)
{
	int64_t v = (int64_t)gen_value(b->r);

	return block_imm(size == 1 || CHANCE(40) ? (int8_t)v : size == 2 ? (int16_t)v : (int32_t)v);
}

static void make(struct block *b)
{
	static const uint16_t pure[] = { M(CMP), M(TEST) };
	static const uint16_t two[] = { M(CMP), M(TEST), M(SUB), M(ADD), M(AND), M(OR), M(XOR) };
	unsigned size = CHANCE(15) ? 1u + rng_below(b->r, 2) : CHANCE(50) ? 4 : block_word(b);
	block_op reg = block_gpr(block_scratch(b), size);
	block_op other = CHANCE(60) ? block_gpr(block_any_gpr(b), size) : immediate(b, size);

	if (CHANCE(10))
		block_put(b, M(NEG), 1, reg);
	else if (CHANCE(12))
		block_put(b, (ZydisMnemonic)pure[rng_below(b->r, 2)], 2, block_gpr(R_SP_INDEX, block_word(b)),
			block_gpr(block_any_gpr(b), block_word(b)));
	else if (CHANCE(15) && b->base_count)
		block_put(b, (ZydisMnemonic)two[4 + rng_below(b->r, 3)], 2, reg, block_based(b, size, false));
	else
		block_put(b, (ZydisMnemonic)two[rng_below(b->r, ARRAY_LEN(two))], 2, reg, other);
}

static void gap(struct block *b)
{
	for (unsigned n = rng_below(b->r, 4); n-- > 0;)
		block_neutral(b);
}

static void read_all(struct block *b)
{
	if (CHANCE(30))
		block_neutral(b);
	block_put(b, block_word(b) == 8 ? M(PUSHFQ) : M(PUSHFD), 0);
	block_put(b, M(POP), 1, block_gpr(block_scratch(b), block_word(b)));
}

static void jump(struct block *b)
{
	unsigned out = block_label(b), reg = block_scratch(b);
	bool direct = CHANCE(60), first = CHANCE(50);

	if (!direct && first)
		block_load_label(b, reg, out);
	b->reserved |= (uint16_t)(direct ? 0 : 1u << reg);
	make(b);
	gap(b);
	if (!direct && !first) {
		b->reserved &= (uint16_t)~(1u << reg);
		block_load_label(b, reg, out);
	}
	if (direct)
		block_jump(b, CHANCE(70) ? JMP : 0x70 + rng_below(b->r, 16), true, out);
	else
		block_put(b, M(JMP), 1, block_gpr(reg, block_word(b)));
	b->reserved &= (uint16_t)~(direct ? 0 : 1u << reg);
	gap(b);
	block_here(b, out);
	read_all(b);
}

/* A subroutine as compilers end it: the frame goes, registers come back, RET. */
static void subroutine(struct block *b)
{
	unsigned sub = block_label(b), after = block_label(b), word = block_word(b), pushed[3];
	unsigned pushes = rng_below(b->r, 4), frame = CHANCE(60) ? word * (1 + rng_below(b->r, 4)) : 0;
	block_op sp = block_gpr(R_SP_INDEX, word);

	make(b);
	gap(b);
	block_jump(b, CALL, true, sub);
	read_all(b);
	block_jump(b, JMP, true, after);
	block_here(b, sub);
	if (CHANCE(50))
		read_all(b);
	for (unsigned n = 0; n < pushes; n++)
		block_put(b, M(PUSH), 1, block_gpr(pushed[n] = block_scratch(b), word));
	if (frame)
		block_put(b, M(SUB), 2, sp, block_imm((int64_t)frame));
	gap(b);
	make(b);
	gap(b);
	if (frame)
		block_put(b, M(ADD), 2, sp, block_imm((int64_t)frame));
	while (pushes)
		block_put(b, M(POP), 1, block_gpr(pushed[--pushes], word));
	block_put(b, M(RET), 0);
	block_here(b, after);
}

void block_leave(struct block *b)
{
	int c = b->loops < 1 && CHANCE(60) ? block_reserve(b, -1) : -1;
	unsigned head = block_label(b);
	block_op count = block_gpr((unsigned)(c < 0 ? 0 : c), 4);

	if (c >= 0) {
		b->reserved &= (uint16_t)~(1u << c);
		block_put(b, M(MOV), 2, count, block_imm(10 + (int64_t)rng_below(b->r, 20)));
		b->reserved |= (uint16_t)(1u << c);
	}
	block_here(b, head);
	b->loops++;
	b->depth++;
	if (CHANCE(50))
		jump(b);
	else
		subroutine(b);
	b->depth--;
	b->loops--;
	if (c < 0)
		return;
	b->reserved &= (uint16_t)~(1u << c);
	block_put(b, M(DEC), 1, count);
	block_jump(b, JNZ, true, head);
}
