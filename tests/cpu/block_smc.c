/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/block_smc.c - code of a block that changes other code of it.
 *
 * Always by the rule that makes it architecture and not chance (SDM volume 3A, 9.1.3): a jump that is taken
 * lies between the store and what it changed.  What can become of the changed instruction is harmless:
 * another immediate, another operation of the same shape, another condition, another of the block's labels.
 */
#include "tests/cpu/block.h"
#include "base/bits.h"

#define M(name)   ZYDIS_MNEMONIC_##name
#define NONE      ZYDIS_REGISTER_NONE
#define CHANCE(p) rng_percent(b->r, p)
#define JMP       0xebu

/* What is changed, `size` bytes at `at` of these, and how. */
struct victim {
	uint8_t bytes[8], len, at, size;
	enum { ANYTHING, OPERATION, CONDITION, UNARY, WHOLE } kind;
	unsigned reg, label;
};

/* Two instructions of two bytes, or one of three and a NOP: either may become the other. */
static uint32_t four_bytes(struct block *b)
{
	static const uint8_t ops[] = { 0x01, 0x29, 0x31, 0x89, 0x11, 0x39 };
	uint32_t out = 0;

	for (unsigned i = 0; i < 4; i += 2) {
		unsigned reg = block_scratch(b);

		b->g.written |= (uint16_t)(1u << reg);
		if (b->tc->bits == 64 && i == 0 && CHANCE(50))
			return 0x48u | reg >> 3 | (uint32_t)ops[rng_below(b->r, sizeof(ops))] << 8 |
			       (0xc0u | rng_below(b->r, 8) << 3 | (reg & 7)) << 16 | 0x90u << 24;
		if (reg >= 8) /* no REX here: NOP */
			out |= 0x9090u << 8 * i;
		else
			out |= (ops[rng_below(b->r, sizeof(ops))] | (0xc0u | rng_below(b->r, 8) << 3 | reg)
									    << 8)
			       << 8 * i;
	}
	return out;
}

static void draw_victim(struct block *b, struct victim *v)
{
	unsigned reg = block_scratch(b), n = 0;
	bool wide = b->tc->bits == 64;

	*v = (struct victim){ .reg = reg, .label = block_label(b), .size = 1 };
	if (wide)
		v->bytes[n++] = (uint8_t)(0x40 | (CHANCE(50) ? 8 : 0) | reg >> 3);
	switch (rng_below(b->r, 6)) {
	case 0: /* mov reg, imm32: the immediate or a byte of it */
		v->bytes[0] &= 0x41;
		v->bytes[n] = (uint8_t)(0xb8 | (reg & 7));
		v->at = (uint8_t)(n + 1), v->size = CHANCE(50) ? 4 : 1, v->len = (uint8_t)(n + 5);
		break;
	case 1: /* op reg, imm8: the immediate */
		v->bytes[n] = 0x83;
		v->bytes[n + 1] = (uint8_t)(0xc0 | rng_below(b->r, 8) << 3 | (reg & 7));
		v->at = (uint8_t)(n + 2), v->len = (uint8_t)(n + 3);
		break;
	case 2: /* op reg, reg */
		v->bytes[n] = 0x01;
		v->bytes[n + 1] = (uint8_t)(0xc0 | rng_below(b->r, 8) << 3 | (reg & 7));
		v->at = (uint8_t)n, v->kind = OPERATION, v->len = (uint8_t)(n + 2);
		break;
	case 3: /* jcc over an instruction */
		v->bytes[0] = (uint8_t)(0x70 | rng_below(b->r, 16)), v->bytes[1] = 0;
		v->kind = CONDITION, v->len = 2;
		break;
	case 4: /* inc or dec */
		v->bytes[n] = 0xff;
		v->bytes[n + 1] = (uint8_t)(0xc0 | rng_below(b->r, 2) << 3 | (reg & 7));
		v->at = (uint8_t)(n + 1), v->kind = UNARY, v->len = (uint8_t)(n + 2);
		break;
	default:
		le_store(v->bytes, 4, four_bytes(b));
		v->kind = WHOLE, v->size = v->len = 4;
		break;
	}
}

static unsigned put_victim(struct block *b, const struct victim *v, unsigned out)
{
	b->g.written |= (uint16_t)(1u << v->reg);
	block_here(b, v->label);
	if (block_put_bytes(b, v->bytes, v->len) && v->kind == CONDITION)
		block_fix(b, FIX_RELATIVE, b->tc->count - 1, 1, 1, out);
	return b->tc->count - 1;
}

/* Something of the kind that was there. */
static int64_t new_value(struct block *b, const struct victim *v)
{
	static const uint8_t ops[] = { 0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39, 0x89, 0x85 };

	switch (v->kind) {
	case OPERATION:
		return (int8_t)ops[rng_below(b->r, sizeof(ops))];
	case CONDITION:
		return CHANCE(20) ? (int8_t)JMP : (int8_t)(0x70 | rng_below(b->r, 16));
	case UNARY:
		return (int8_t)(v->bytes[v->at] ^ (CHANCE(80) ? 8 : 0));
	case WHOLE:
		return (int32_t)four_bytes(b);
	default:
		return v->size == 4 ? (int32_t)gen_value(b->r) : (int8_t)rng_u64(b->r);
	}
}

/* Operations on memory under which the byte stays one of its kind. */
static ZydisMnemonic draw_change(struct block *b, const struct victim *v, int64_t *value)
{
	static const uint16_t any[] = { M(ADD), M(XOR), M(SUB), M(AND), M(OR) };

	if (v->kind == ANYTHING && CHANCE(40))
		return (ZydisMnemonic)any[rng_below(b->r, ARRAY_LEN(any))];
	if (v->kind == UNARY && CHANCE(40)) {
		*value = 8;
		return M(XOR);
	}
	/* Of the eight operations none is a prefix or an escape; a jump on the opposite condition. */
	if (v->kind == OPERATION && CHANCE(30)) {
		*value = (int8_t)(rng_below(b->r, 8) << 3);
		return M(XOR);
	}
	return M(MOV);
}

/* The store; its address is filled in at the end.  Returns its number or -1. */
static int put_store(struct block *b, const struct victim *v)
{
	ZydisRegister rip = b->tc->bits == 64 && CHANCE(60) ? ZYDIS_REGISTER_RIP : NONE;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	struct insn_bytes *i = &b->tc->insns[b->tc->count];
	int64_t value = new_value(b, v);
	ZydisMnemonic m = draw_change(b, v, &value);

	if (!block_put(b, m, 2, block_mem(v->size, rip, NONE, 0, CODE_BASE), block_imm(value)) ||
		!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&b->g.t->decoder, i->bytes, i->len, &insn, ops)))
		return -1;
	block_fix(b, rip == NONE ? FIX_ABSOLUTE : FIX_RELATIVE, b->tc->count - 1, insn.raw.disp.offset, 4,
		v->label);
	b->fixup[b->fixup_count - 1].add = v->at;
	return (int)b->tc->count - 1;
}

/* The shrinker may take these only after the store. */
static void keep(struct block *b, unsigned from, unsigned to, int store)
{
	for (unsigned i = from; i < to && store >= 0; i++)
		b->tc->insns[i].kept_for = (uint8_t)(store + 1);
}

/* Code further on. */
static void later(struct block *b, unsigned n)
{
	unsigned behind = block_label(b), out = block_label(b), jump, at;
	struct victim v;
	int store;

	draw_victim(b, &v);
	store = put_store(b, &v);
	jump = b->tc->count;
	block_jump(b, JMP, CHANCE(40), behind);
	keep(b, jump, b->tc->count, store);
	if (CHANCE(40))
		block_region(b, 1 + rng_below(b->r, 2));
	block_here(b, behind);
	if (CHANCE(40))
		block_region(b, 1 + rng_below(b->r, MAX_OF(n / 2, 1)));
	at = put_victim(b, &v, out);
	keep(b, at, at + 1, store);
	block_neutral(b);
	block_here(b, out);
}

/* Earlier code, which a loop comes to again. */
static void earlier(struct block *b, unsigned n)
{
	int c = block_reserve(b, -1), store;
	unsigned head = block_label(b), out = block_label(b), at, end;
	struct victim v;
	block_op reg;

	if (c < 0)
		return;
	reg = block_gpr((unsigned)c, 4);
	b->reserved &= (uint16_t) ~(1u << c);
	block_put(b, M(MOV), 2, reg, block_imm(2 + (int64_t)rng_below(b->r, 4)));
	b->reserved |= (uint16_t)(1u << c);
	b->loops++;
	b->depth++;
	block_here(b, head);
	draw_victim(b, &v);
	at = put_victim(b, &v, out);
	if (CHANCE(60))
		block_neutral(b);
	block_here(b, out);
	block_region(b, 1 + rng_below(b->r, MAX_OF(n / 2, 1)));
	store = put_store(b, &v);
	if (CHANCE(50))
		block_region(b, 1);
	b->reserved &= (uint16_t) ~(1u << c);
	end = b->tc->count;
	block_put(b, M(DEC), 1, reg);
	block_jump(b, 0x75, CHANCE(30), head);
	keep(b, at, at + 1, store);
	keep(b, end, b->tc->count, store);
	b->depth--;
	b->loops--;
}

void block_smc(struct block *b, unsigned n)
{
	if (b->depth < 3 && CHANCE(55))
		earlier(b, n);
	else
		later(b, n);
}
