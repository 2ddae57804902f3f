/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/block_fault.c - instructions of a block that fault, in every way user code knows.
 *
 * Only such as all processors agree on: one thing is wrong at a time.
 */
#include "tests/cpu/block.h"

#define M(name)   ZYDIS_MNEMONIC_##name
#define NONE      ZYDIS_REGISTER_NONE
#define PICK(a)   ((ZydisMnemonic)(a)[rng_below(b->r, ARRAY_LEN(a))])
#define CHANCE(p) rng_percent(b->r, p)

/* Where an access of `size` bytes that writes, perhaps, is refused. */
static uint64_t bad_address(struct block *b, unsigned size, bool writes)
{
	unsigned part = size > 1 ? 1 + rng_below(b->r, size - 1) : 1;

	switch (rng_below(b->r, b->tc->bits == 64 ? 8 : 6)) {
	case 0: /* nothing there */
		return DATA_BASE + 0x5000 + rng_below(b->r, 0x1000);
	case 1: /* the end of the read-only page */
		return DATA_BASE + 0x3000 - part;
	case 2:
		return writes ? DATA_BASE + 0x2000 + rng_below(b->r, 0xf00) : DATA_BASE - part;
	case 3: /* from writable to read-only */
		return writes && size > 1 ? DATA_BASE + 0x2000 - part : DATA_BASE - part;
	case 4: /* from the stack's end */
		return STACK_BASE + 0x2000 - part;
	case 5:
		return writes && !b->tc->writable ? gen_code_target(b->r) : rng_below(b->r, 0x1000);
	case 6: /* the kernel's half */
		return 0xffff800000000000 + (rng_u64(b->r) & 0xffffff);
	default: /* not canonical */
		return (rng_u64(b->r) & 0x7fffffffffff) | 0x40ull << 56;
	}
}

/* An access through a scratch register, or without one where the address fits. */
static void bad_access(struct block *b)
{
	static const uint16_t two[] = { M(MOV), M(ADD), M(SBB), M(XCHG), M(XADD), M(CMPXCHG), M(MOV),
		M(AND) };
	static const uint16_t one[] = { M(INC), M(NEG), M(NOT), M(POP), M(SETBE) };
	static const uint16_t loads[] = { M(MOV), M(CMP), M(ADC), M(IMUL), M(TEST) };
	unsigned word = block_word(b), size = CHANCE(50) ? word : 4, reg = block_scratch(b), kind;
	block_op value = block_gpr(block_any_gpr(b), size), mem;
	uint64_t at;

	kind = rng_below(b->r, 6);
	at = bad_address(b, size, kind < 3);
	mem = block_mem(size, block_register(reg, word), NONE, 0, (int64_t)rng_below(b->r, 256) - 128);
	if (at >> 31 == 0 && CHANCE(40))
		mem = block_mem(size, NONE, NONE, 0, (int64_t)at);
	else
		block_put(b, M(MOV), 2, block_gpr(reg, word), block_imm((int64_t)at - mem.mem.displacement));
	switch (kind) {
	case 0:
	case 1:
		block_put(b, PICK(two), 2, mem, value);
		break;
	case 2: {
		ZydisMnemonic m = PICK(one);

		mem.mem.size = (ZyanU16)(m == M(POP) ? word : m == M(SETBE) ? 1 : size);
		block_put(b, m, 1, mem);
		break;
	}
	case 3:
		mem.mem.size = (ZyanU16)word;
		block_put(b, CHANCE(70) ? M(PUSH) : M(JMP), 1, mem);
		break;
	case 4:
		mem.mem.size = 16;
		if (!b->integer && at >> 31 == 0) {
			block_put(b, M(MOVUPS), 2, block_reg(ZYDIS_REGISTER_XMM1), mem);
			break;
		}
		mem.mem.size = (ZyanU16)size;
		/* fall through */
	default:
		block_put(b, PICK(loads), 2, block_gpr(block_scratch(b), size), mem);
		break;
	}
}

static void misaligned(struct block *b)
{
	static const uint16_t ops[] = { M(MOVAPS), M(PADDD), M(ADDPS), M(MOVDQA), M(PTEST) };
	uint64_t at = (DATA_BASE + rng_below(b->r, 0x1e00)) | (1 + rng_below(b->r, 15));
	block_op mem = block_mem(16, NONE, NONE, 0, (int64_t)at);

	if (CHANCE(50))
		block_put(b, PICK(ops), 2, block_reg(ZYDIS_REGISTER_XMM3), mem);
	else
		block_put(b, M(MOVAPS), 2, mem, block_reg(ZYDIS_REGISTER_XMM3));
}

static void divide(struct block *b)
{
	unsigned size = CHANCE(50) ? 4 : block_word(b), by = block_scratch(b);

	if (by == 2 || b->reserved & 4 || CHANCE(60)) {
		block_put(b, M(XOR), 2, block_gpr(by, 4), block_gpr(by, 4));
	} else {
		block_put(b, M(MOV), 2, block_gpr(by, 4), block_imm(1));
		block_put(b, M(MOV), 2, block_gpr(2, 4), block_imm(7)); /* the quotient does not fit */
	}
	block_put(b, CHANCE(70) ? M(DIV) : M(IDIV), 1, block_gpr(by, size));
}

void block_fault(struct block *b)
{
	static const uint16_t stops[] = { M(INT3), M(UD2), M(HLT), M(CLI), M(CLTS) };
	unsigned k = rng_below(b->r, 100);

	if (k < 60)
		bad_access(b);
	else if (k < 75)
		divide(b);
	else if (k < 90 && !b->integer)
		misaligned(b);
	else
		block_put(b, PICK(stops), 0);
}
