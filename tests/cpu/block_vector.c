/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/block_vector.c - vector instructions of a block, chosen for what they share with integer code:
 * memory, flags, general registers, the upper halves; and forms from the whole opcode map.
 */
#include "tests/cpu/block.h"

#include "tests/cpu/compare.h"

#define M(name)   ZYDIS_MNEMONIC_##name
#define PICK(a)   ((ZydisMnemonic)(a)[rng_below(b->r, ARRAY_LEN(a))])
#define CHANCE(p) rng_percent(b->r, p)

static block_op vector(struct block *b, unsigned size)
{
	unsigned n = rng_below(b->r, b->tc->bits == 64 && CHANCE(60) ? 16 : 8);

	return block_reg((size == 32 ? ZYDIS_REGISTER_YMM0 : ZYDIS_REGISTER_XMM0) + n);
}

static bool sse_two(struct block *b)
{
	static const uint16_t ops[] = { M(PADDD), M(PSUBB), M(PXOR), M(POR), M(PAND), M(PCMPEQD), M(PSHUFB),
		M(PMULLD), M(PUNPCKLBW), M(ADDPS), M(MULPD), M(SUBPD), M(MINPS), M(CVTDQ2PS), M(PMADDWD),
		M(PMAXSW), M(PAVGB), M(XORPS), M(ANDPD), M(PTEST), M(PSADBW), M(CVTTPS2DQ) };
	uint64_t prefixes = 0;
	block_op op[2] = { vector(b, 16) };

	op[1] = CHANCE(60) ? vector(b, 16) : block_operand(b, 16, true, &prefixes);
	return block_put_ops(b, prefixes, PICK(ops), 2, op);
}

/* The scalar ones; half of them compare into the flags. */
static bool sse_scalar(struct block *b)
{
	static const uint16_t single[] = { M(ADDSS), M(SUBSS), M(UCOMISS), M(COMISS), M(CVTSS2SD),
		M(SQRTSS) };
	static const uint16_t wide[] = { M(ADDSD), M(MULSD), M(UCOMISD), M(COMISD), M(CVTSD2SS), M(DIVSD) };
	unsigned size = CHANCE(50) ? 4 : 8;
	uint64_t prefixes = 0;
	block_op op[2] = { vector(b, 16) };

	op[1] = CHANCE(50) ? vector(b, 16) : block_operand(b, size, false, &prefixes);
	return block_put_ops(b, prefixes, size == 4 ? PICK(single) : PICK(wide), 2, op);
}

static bool avx_three(struct block *b)
{
	static const uint16_t ops[] = { M(VPADDD), M(VPXOR), M(VADDPS), M(VANDPS), M(VPSHUFB), M(VPCMPEQB),
		M(VMULPD), M(VPSUBQ), M(VUNPCKHPS), M(VPMULUDQ), M(VFMADD231PS) };
	unsigned size = CHANCE(50) ? 32 : 16;
	uint64_t prefixes = 0;
	block_op op[3] = { vector(b, size), vector(b, size) };

	op[2] = CHANCE(55) ? vector(b, size) : block_operand(b, size, CHANCE(30), &prefixes);
	return block_put_ops(b, prefixes, PICK(ops), 3, op);
}

static bool move(struct block *b)
{
	static const struct {
		uint16_t mnemonic;
		uint8_t size;
		bool aligned, reg; /* between registers, too */
	} moves[] = {
		{ M(MOVAPS), 16, true, true },
		{ M(MOVDQA), 16, true, true },
		{ M(MOVUPS), 16, false, true },
		{ M(MOVDQU), 16, false, true },
		{ M(MOVQ), 8, false, true },
		{ M(MOVD), 4, false, false },
		{ M(MOVSS), 4, false, true },
		{ M(MOVSD), 8, false, true },
		{ M(MOVLPS), 8, false, false },
		{ M(MOVHPD), 8, false, false },
		{ M(VMOVUPS), 32, false, true },
		{ M(VMOVDQU), 16, false, true },
		{ M(VMOVAPS), 32, true, true },
		{ M(VMOVDQA), 16, true, true },
		{ M(VMOVQ), 8, false, true },
	};
	unsigned k = rng_below(b->r, ARRAY_LEN(moves));
	unsigned wide = MAX_OF(moves[k].size, 16);
	uint64_t prefixes = 0;
	block_op op[2] = { vector(b, wide), vector(b, wide) };

	if (!moves[k].reg || CHANCE(80))
		op[rng_below(b->r, 2)] = block_operand(b, moves[k].size, moves[k].aligned, &prefixes);
	return block_put_ops(b, prefixes, moves[k].mnemonic, 2, op);
}

/* Between general and vector registers. */
static bool across(struct block *b)
{
	static const uint16_t masks[] = { M(PMOVMSKB), M(MOVMSKPS), M(CVTTSD2SI), M(CVTSS2SI), M(VPMOVMSKB) };
	unsigned word = block_word(b), size = CHANCE(50) ? 4 : word;
	block_op g = block_gpr(block_scratch(b), size), any = block_gpr(block_any_gpr(b), size);
	ZydisMnemonic move = size == 8 ? M(MOVQ) : M(MOVD);

	switch (rng_below(b->r, 7)) {
	case 0:
		return block_put(b, move, 2, vector(b, 16), any);
	case 1:
		return block_put(b, move, 2, g, vector(b, 16));
	case 2:
		return block_put(b, M(CVTSI2SD), 2, vector(b, 16), any);
	case 3:
		return block_put(b, size == 8 ? M(PINSRQ) : M(PINSRD), 3, vector(b, 16), any,
			block_imm((int8_t)rng_below(b->r, 4)));
	case 4:
		return block_put(b, size == 8 ? M(PEXTRQ) : M(PEXTRD), 3, g, vector(b, 16),
			block_imm((int8_t)rng_below(b->r, 4)));
	case 5:
		return block_put(b, M(PCMPISTRI), 3, vector(b, 16), vector(b, 16),
			block_imm((int8_t)rng_below(b->r, 128)));
	default:
		return block_put(b, PICK(masks), 2, block_gpr(block_scratch(b), 4), vector(b, 16));
	}
}

void block_vector(struct block *b)
{
	bool ok = false;

	for (unsigned tries = 0; tries < 8 && !ok; tries++) {
		unsigned k = rng_below(b->r, 100);

		ok = k < 30   ? move(b)
		     : k < 50 ? sse_two(b)
		     : k < 65 ? avx_three(b)
		     : k < 80 ? sse_scalar(b)
		     : k < 97 ? across(b)
			      : block_put(b, M(VZEROUPPER), 0);
	}
}

/* Where what a fault leaves differs from model to model (undefined.c), or a block would lose its way. */
static bool unfit(const struct block *b, const struct drawn *d)
{
	bool repeats =
		d->insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);

	if (d->insn.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || repeats ||
		d->insn.meta.isa_ext == ZYDIS_ISA_EXT_AVX2GATHER)
		return true;
	switch (d->insn.meta.category) {
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_CALL:
		return true;
	default:
		break;
	}
	for (unsigned i = 0; i < d->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &d->ops[i];

		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		/* Pushed, the upper half of the slot is written by some and left alone by others. */
		if (ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return true;
		if (gen_gpr_index(op->reg.value) == R_SP_INDEX &&
			op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE && b->calls)
			return true;
	}
	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_PAUSE:     /* with REX.B an exchange on AMD */
	case ZYDIS_MNEMONIC_VCVTPS2PH: /* MXCSR, likewise */
		return true;
	default:
		return false;
	}
}

void block_form(struct block *b)
{
	struct gen *g = &b->g;

	for (unsigned tries = 0; tries < 8; tries++) {
		struct cpu_state *s = &b->tc->init;
		struct gen before = *g;
		unsigned patches = b->tc->patch_count;
		uint64_t gpr[16];
		struct drawn d;

		memcpy(gpr, s->gpr, sizeof(gpr));
		if (!gen_draw(g, &d, false))
			return;
		if (!unfit(b, &d) && gen_operands(g, &d.insn, d.ops, d.bytes, b->va) &&
			block_put_decoded(b, d.bytes, &d.insn, d.ops))
			return;
		/* What it wanted of the start state is not needed after all; the random stream goes on. */
		g->pinned = before.pinned;
		b->tc->patch_count = patches;
		memcpy(s->gpr, gpr, sizeof(gpr));
	}
}
