/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/block_data.c - integer instructions of a block.
 *
 * Flags are the point of much of it: made here, used many instructions later, with memory accesses, pushes
 * and jumps in between that must leave them alone.
 */
#include "tests/cpu/block.h"

#define M(name)   ZYDIS_MNEMONIC_##name
#define NONE      ZYDIS_REGISTER_NONE
#define PICK(a)   ((ZydisMnemonic)(a)[rng_below(b->r, ARRAY_LEN(a))])
#define CHANCE(p) rng_percent(b->r, p)

static unsigned draw_size(struct block *b)
{
	unsigned k = rng_below(b->r, 100);

	if (k < 12)
		return 1;
	if (k < 22)
		return 2;
	return k < 60 ? block_word(b) : 4;
}

/* 15% of bytes are AH to BH. */
static block_op gpr(struct block *b, unsigned n, unsigned size)
{
	if (size == 1 && n < 4 && CHANCE(15))
		return block_reg(ZYDIS_REGISTER_AH + n);
	return block_gpr(n, size);
}

static block_op scratch(struct block *b, unsigned size)
{
	return gpr(b, block_scratch(b), size);
}

static block_op any(struct block *b, unsigned size)
{
	return gpr(b, block_any_gpr(b), size);
}

static block_op immediate(struct block *b, unsigned size)
{
	int64_t v = (int64_t)gen_value(b->r);

	return block_imm(size == 1 || CHANCE(40) ? (int8_t)v : size == 2 ? (int16_t)v : (int32_t)v);
}

/* op a, b in every shape; `lockable`: with a LOCK prefix perhaps where memory is written. */
static bool two(struct block *b, ZydisMnemonic m, unsigned size, bool lockable)
{
	uint64_t prefixes = 0;
	block_op op[2];

	switch (rng_below(b->r, 6)) {
	case 0:
	case 1:
		op[0] = scratch(b, size), op[1] = any(b, size);
		break;
	case 2:
		op[0] = scratch(b, size), op[1] = immediate(b, size);
		break;
	case 3:
		op[0] = scratch(b, size), op[1] = block_operand(b, size, false, &prefixes);
		break;
	case 4:
		op[0] = block_operand(b, size, false, &prefixes), op[1] = any(b, size);
		break;
	default:
		op[0] = block_operand(b, size, false, &prefixes), op[1] = immediate(b, size);
		break;
	}
	if (lockable && op[0].type == ZYDIS_OPERAND_TYPE_MEMORY && CHANCE(10))
		prefixes |= ZYDIS_ATTRIB_HAS_LOCK;
	return block_put_ops(b, prefixes, m, 2, op);
}

static bool one(struct block *b, ZydisMnemonic m, unsigned size, bool lockable)
{
	uint64_t prefixes = 0;
	block_op op = CHANCE(60) ? scratch(b, size) : block_operand(b, size, false, &prefixes);

	if (lockable && op.type == ZYDIS_OPERAND_TYPE_MEMORY && CHANCE(10))
		prefixes |= ZYDIS_ATTRIB_HAS_LOCK;
	return block_put_ops(b, prefixes, m, 1, &op);
}

/* reg, reg or memory */
static bool load(struct block *b, ZydisMnemonic m, unsigned to, unsigned from)
{
	uint64_t prefixes = 0;
	block_op op[2] = { block_gpr(block_scratch(b), to) };

	op[1] = CHANCE(50) ? any(b, from) : block_operand(b, from, false, &prefixes);
	return block_put_ops(b, prefixes, m, 2, op);
}

static bool shift(struct block *b)
{
	static const uint16_t shifts[] = { M(SHL), M(SHR), M(SAR), M(ROL), M(ROR), M(RCL), M(RCR) };
	uint64_t prefixes = 0;
	unsigned size = draw_size(b);
	block_op op[3];

	op[0] = CHANCE(60) ? scratch(b, size) : block_operand(b, size, false, &prefixes);
	op[1] = CHANCE(35)   ? block_reg(ZYDIS_REGISTER_CL)
		: CHANCE(35) ? block_imm(1)
			     : block_imm((int8_t)rng_below(b->r, CHANCE(80) ? 32 : 256));
	if (!CHANCE(15) || size == 1)
		return block_put_ops(b, prefixes, PICK(shifts), 2, op);
	op[2] = op[1];
	op[1] = any(b, size);
	return block_put_ops(b, prefixes, CHANCE(50) ? M(SHLD) : M(SHRD), 3, op);
}

static bool bit_test(struct block *b)
{
	static const uint16_t tests[] = { M(BT), M(BTS), M(BTR), M(BTC) };
	unsigned size = CHANCE(50) ? 4 : block_word(b);
	uint64_t prefixes = 0;
	block_op op[2];

	if (CHANCE(40)) {
		op[0] = scratch(b, size), op[1] = any(b, size);
	} else {
		op[0] = CHANCE(50) ? scratch(b, size) : block_operand(b, size, false, &prefixes);
		op[1] = block_imm((int8_t)rng_below(b->r, 64));
	}
	return block_put_ops(b, prefixes, PICK(tests), 2, op);
}

/* With registers of their own: DX:AX, and flags as they come. */
static bool wide(struct block *b)
{
	static const uint16_t extend[] = { M(CDQ), M(CQO), M(CWDE), M(CDQE), M(CWD), M(CBW) };
	unsigned size = draw_size(b);

	switch (rng_below(b->r, 7)) {
	case 0:
		return one(b, M(MUL), size, false);
	case 1:
		return one(b, M(IMUL), size, false);
	case 2:
		return block_put(b, PICK(extend), 0);
	case 3: /* divides, mostly */
		return (b->reserved & 4) || (block_put(b, M(XOR), 2, block_gpr(2, 4), block_gpr(2, 4)) &&
						    one(b, M(DIV), 4, false));
	case 4:
		return two(b, M(CMPXCHG), size, true);
	case 5:
		return two(b, M(XADD), size, true);
	default:
		return load(b, M(IMUL), size == 1 ? 4 : size, size == 1 ? 4 : size);
	}
}

/* Flags used: cc is anything. */
static bool use_flags(struct block *b)
{
	static const uint16_t moves[] = { M(CMOVB), M(CMOVNB), M(CMOVZ), M(CMOVNZ), M(CMOVBE), M(CMOVNBE),
		M(CMOVS), M(CMOVNS), M(CMOVP), M(CMOVNP), M(CMOVL), M(CMOVNL), M(CMOVLE), M(CMOVNLE),
		M(CMOVO), M(CMOVNO) };
	static const uint16_t sets[] = { M(SETB), M(SETNB), M(SETZ), M(SETNZ), M(SETBE), M(SETNBE), M(SETS),
		M(SETNS), M(SETP), M(SETNP), M(SETL), M(SETNL), M(SETLE), M(SETNLE), M(SETO), M(SETNO) };
	static const uint16_t carries[] = { M(ADC), M(SBB), M(ADC), M(SBB), M(ADCX), M(ADOX) };
	static const uint16_t rotates[] = { M(RCL), M(RCR) };
	unsigned size = CHANCE(50) ? 4 : block_word(b);

	switch (rng_below(b->r, 10)) {
	case 0:
	case 1:
	case 2:
		return load(b, PICK(moves), size, size);
	case 3:
	case 4:
		return one(b, PICK(sets), 1, false);
	case 5:
	case 6:
		return two(b, PICK(carries), size, false);
	case 7:
		return block_put(b, PICK(rotates), 2, scratch(b, size), block_imm(1));
	case 8:
		return !(b->reserved & 1) && block_put(b, M(LAHF), 0);
	default:
		return block_put(b, b->tc->bits == 64 ? M(PUSHFQ) : M(PUSHFD), 0) &&
		       block_put(b, M(POP), 1, block_gpr(block_scratch(b), block_word(b)));
	}
}

static bool make_flags(struct block *b)
{
	static const uint16_t alu[] = { M(ADD), M(SUB), M(CMP), M(CMP), M(TEST), M(AND), M(OR), M(XOR),
		M(ADC), M(SBB) };
	static const uint16_t unary[] = { M(INC), M(DEC), M(NEG) };
	static const uint16_t scan[] = { M(POPCNT), M(LZCNT), M(TZCNT), M(BSF), M(BSR) };
	static const uint16_t single[] = { M(CLC), M(STC), M(CMC), M(SAHF) };

	switch (rng_below(b->r, 12)) {
	case 0:
	case 1:
		return one(b, PICK(unary), draw_size(b), true);
	case 2:
		return shift(b);
	case 3:
		return bit_test(b);
	case 4:
		return load(b, PICK(scan), 4, 4);
	case 5:
		return block_put(b, PICK(single), 0);
	default: {
		ZydisMnemonic m = PICK(alu);

		return two(b, m, draw_size(b), m != M(CMP) && m != M(TEST));
	}
	}
}

static bool neutral(struct block *b)
{
	static const uint16_t bmi[] = { M(SHLX), M(SHRX), M(SARX), M(PDEP), M(PEXT), M(MULX) };
	unsigned size = draw_size(b), word = block_word(b), wide_size = CHANCE(50) ? 4 : word;
	uint64_t prefixes = 0;
	block_op op[3];

	switch (rng_below(b->r, 12)) {
	case 0:
		return load(b, CHANCE(50) ? M(MOVZX) : M(MOVSX), wide_size, 1 + rng_below(b->r, 2));
	case 1:
		op[0] = block_gpr(block_scratch(b), wide_size);
		op[1] = b->base_count && CHANCE(80) ? block_based(b, word, false)
						    : block_mem(word, block_register(block_any_gpr(b), word),
							      block_register(block_scratch(b), word),
							      1u << rng_below(b->r, 4), 5);
		return block_put_ops(b, 0, M(LEA), 2, op);
	case 2:
		return block_put(b, M(BSWAP), 1, scratch(b, wide_size));
	case 3:
		return one(b, M(NOT), size, true);
	case 4:
		op[0] = CHANCE(50) ? scratch(b, size) : block_operand(b, size, false, &prefixes);
		op[1] = scratch(b, size);
		return block_put_ops(b, prefixes, M(XCHG), 2, op);
	case 5:
		for (unsigned i = 0; i < 3; i++)
			op[i] = i ? any(b, wide_size) : scratch(b, wide_size);
		if (CHANCE(40))
			op[1] = block_operand(b, wide_size, false, &prefixes);
		return block_put_ops(b, prefixes, PICK(bmi), 3, op);
	case 6:
		if (!b->integer) {
			block_vector(b);
			return true;
		}
		return block_put(b, M(NOP), 0);
	default:
		return two(b, M(MOV), size, false);
	}
}

/* Operands are drawn blindly, so now and then there is no such instruction. */
static void until(struct block *b, bool (*put)(struct block *b))
{
	for (unsigned tries = 0; tries < 8 && !put(b); tries++)
		;
}

void block_neutral(struct block *b)
{
	until(b, neutral);
}

/* A base register moves on, as pointers in loops do. */
static bool wander(struct block *b)
{
	static const int8_t steps[] = { 8, 8, 16, 32, 64, -32, 4, 1 };
	struct block_base *k = &b->base[rng_below(b->r, MAX_OF(b->base_count, 1))];
	int64_t step = k == b->base ? (CHANCE(70) ? 32 : -64) : steps[rng_below(b->r, ARRAY_LEN(steps))];
	uint16_t reserved = b->reserved;
	block_op reg = block_gpr(k->reg, block_word(b));
	bool ok;

	if (!b->base_count || (k->edge && !b->faults))
		return false;
	b->reserved &= (uint16_t) ~(1u << k->reg);
	ok = CHANCE(50) ? block_put(b, M(ADD), 2, reg, block_imm(step))
			: block_put(b, M(LEA), 2, reg,
				  block_mem(block_word(b), block_register(k->reg, block_word(b)), NONE, 0,
					  step));
	b->reserved = reserved;
	return ok;
}

void block_integer(struct block *b)
{
	unsigned k = rng_below(b->r, 100);

	if (k < 32)
		until(b, make_flags);
	else if (k < 62)
		until(b, neutral);
	else if (k < 82)
		until(b, use_flags);
	else if (k < 92)
		until(b, wide);
	else if (k < 97)
		until(b, wander);
	else
		block_put(b, CHANCE(50) ? M(CLD) : M(STD), 0);
}

void block_far_flags(struct block *b)
{
	unsigned n = rng_below(b->r, 6), label;

	until(b, make_flags);
	for (unsigned i = 0; i < n; i++)
		until(b, neutral);
	if (CHANCE(40)) {
		label = block_label(b);
		block_jump(b, CHANCE(60) ? 0x70 + rng_below(b->r, 16) : 0xeb, CHANCE(40), label);
		if (CHANCE(50))
			until(b, neutral);
		if (CHANCE(30))
			until(b, make_flags);
		block_here(b, label);
	}
	n = 1 + rng_below(b->r, 3);
	for (unsigned i = 0; i < n; i++) {
		until(b, use_flags);
		if (CHANCE(50))
			until(b, neutral);
	}
}

/* PUSHF, a change of what lies there, POPF; flags that matter to the CPU itself stay as they are. */
static void push_flags(struct block *b)
{
	bool wide_flags = b->tc->bits == 64;
	block_op top = block_mem(2, block_register(R_SP_INDEX, block_word(b)), NONE, 0, 0);

	block_put(b, wide_flags ? M(PUSHFQ) : M(PUSHFD), 0);
	if (CHANCE(60))
		block_put(b, M(XOR), 2, top, block_imm((int16_t)(rng_u64(b->r) & 0xcd5)));
	if (CHANCE(40))
		until(b, make_flags);
	block_put(b, wide_flags ? M(POPFQ) : M(POPFD), 0);
}

void block_stack_run(struct block *b)
{
	unsigned n = 1 + rng_below(b->r, 5), size = CHANCE(85) ? block_word(b) : 2;

	if (CHANCE(20)) {
		push_flags(b);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		uint64_t prefixes = 0;
		block_op op = CHANCE(60)               ? block_gpr(block_any_gpr(b), size)
			      : CHANCE(50) && size > 2 ? immediate(b, size)
						       : block_operand(b, size, false, &prefixes);

		if (!block_put_ops(b, prefixes, M(PUSH), 1, &op))
			block_put(b, M(PUSH), 1, block_gpr(block_any_gpr(b), size));
	}
	if (CHANCE(50))
		until(b, CHANCE(50) ? neutral : make_flags);
	for (unsigned i = 0; i < n; i++) {
		uint64_t prefixes = 0;
		block_op op = CHANCE(75) ? block_gpr(block_scratch(b), size)
					 : block_operand(b, size, false, &prefixes);

		if (!block_put_ops(b, prefixes, M(POP), 1, &op))
			block_put(b, M(POP), 1, block_gpr(block_scratch(b), size));
	}
}
