/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/block.c - append instructions to a block, keep its labels and the registers it may use.
 */
#include "tests/cpu/block.h"

#include <stdarg.h>

ZydisRegister block_register(unsigned n, unsigned size)
{
	switch (size) {
	case 1: /* SPL to DIL, not AH to BH, which have a REX-less world of their own */
		return ZydisRegisterEncode(ZYDIS_REGCLASS_GPR8, (ZyanU8)(n < 4 ? n : n + 4));
	case 2:
		return ZydisRegisterEncode(ZYDIS_REGCLASS_GPR16, (ZyanU8)n);
	case 4:
		return ZydisRegisterEncode(ZYDIS_REGCLASS_GPR32, (ZyanU8)n);
	default:
		return ZydisRegisterEncode(ZYDIS_REGCLASS_GPR64, (ZyanU8)n);
	}
}

block_op block_reg(ZydisRegister reg)
{
	block_op op = { .type = ZYDIS_OPERAND_TYPE_REGISTER };

	op.reg.value = reg;
	return op;
}

block_op block_gpr(unsigned n, unsigned size)
{
	return block_reg(block_register(n, size));
}

block_op block_imm(int64_t value)
{
	block_op op = { .type = ZYDIS_OPERAND_TYPE_IMMEDIATE };

	op.imm.s = value;
	return op;
}

block_op block_mem(unsigned size, ZydisRegister base, ZydisRegister index, unsigned scale, int64_t disp)
{
	block_op op = { .type = ZYDIS_OPERAND_TYPE_MEMORY };

	op.mem.base = base;
	op.mem.index = index;
	op.mem.scale = (ZyanU8)(index == ZYDIS_REGISTER_NONE ? 0 : scale);
	op.mem.displacement = disp;
	op.mem.size = (ZyanU16)size;
	return op;
}

bool block_put_bytes(struct block *b, const void *bytes, unsigned len)
{
	struct insn_bytes *i = &b->tc->insns[b->tc->count];

	if (b->tc->count == CASE_INSNS)
		return false;
	*i = (struct insn_bytes){ .len = (uint8_t)len };
	memcpy(i->bytes, bytes, len);
	b->tc->count++;
	b->va += len;
	return true;
}

static bool writes_reserved(const struct block *b, const ZydisDecodedOperand *ops, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		int reg = ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER ? gen_gpr_index(ops[i].reg.value) : -1;

		if (reg >= 0 && ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE && b->reserved >> reg & 1)
			return true;
	}
	return false;
}

bool block_put_decoded(struct block *b, const uint8_t *bytes, const ZydisDecodedInstruction *insn,
	const ZydisDecodedOperand *ops)
{
	if (writes_reserved(b, ops, insn->operand_count) || !block_put_bytes(b, bytes, insn->length))
		return false;
	gen_note_writes(&b->g, insn, ops);
	return true;
}

bool block_put_ops(
	struct block *b, uint64_t prefixes, ZydisMnemonic mnemonic, unsigned count, const block_op *ops)
{
	ZydisEncoderRequest q = { .mnemonic = mnemonic, .prefixes = prefixes };
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand decoded[ZYDIS_MAX_OPERAND_COUNT];
	uint8_t bytes[15];
	ZyanUSize len = sizeof(bytes);

	q.machine_mode = b->g.t->decoder.machine_mode;
	q.operand_count = (ZyanU8)count;
	memcpy(q.operands, ops, count * sizeof(*ops));
	if (!ZYAN_SUCCESS(ZydisEncoderEncodeInstructionAbsolute(&q, bytes, &len, b->va)) ||
		!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&b->g.t->decoder, bytes, len, &insn, decoded)))
		return false;
	return block_put_decoded(b, bytes, &insn, decoded);
}

bool block_put(struct block *b, ZydisMnemonic mnemonic, unsigned count, ...)
{
	block_op ops[ZYDIS_ENCODER_MAX_OPERANDS];
	va_list args;

	va_start(args, count);
	for (unsigned i = 0; i < count; i++)
		ops[i] = va_arg(args, block_op);
	va_end(args);
	return block_put_ops(b, 0, mnemonic, count, ops);
}

unsigned block_label(struct block *b)
{
	unsigned n = b->label_count < BLOCK_LABELS - 1 ? b->label_count++ : BLOCK_LABELS - 1;

	b->label[n] = UINT8_MAX; /* never placed: the end */
	return n;
}

void block_here(struct block *b, unsigned label)
{
	b->label[label] = (uint8_t)b->tc->count;
}

void block_fix(
	struct block *b, enum fixup_kind kind, unsigned where, unsigned at, unsigned size, unsigned label)
{
	if (b->fixup_count < BLOCK_FIXUPS)
		b->fixup[b->fixup_count++] = (struct block_fixup){ (uint8_t)kind, (uint8_t)label,
			(uint8_t)size, (uint8_t)where, (uint8_t)at };
}

void block_jump(struct block *b, unsigned opcode, bool near, unsigned label)
{
	uint8_t bytes[6] = { (uint8_t)opcode };
	unsigned n = 1;

	if (opcode == 0xe8 || (near && opcode == 0xeb)) {
		bytes[0] = opcode == 0xe8 ? 0xe8 : 0xe9;
		near = true;
	} else if (near && opcode < 0x80) {
		bytes[0] = 0x0f;
		bytes[1] = (uint8_t)(opcode + 0x10);
		n = 2;
	} else {
		near = false;
	}
	if (block_put_bytes(b, bytes, n + (near ? 4 : 1)))
		block_fix(b, FIX_RELATIVE, b->tc->count - 1, n, near ? 4 : 1, label);
}

void block_load_label(struct block *b, unsigned reg, unsigned label)
{
	uint8_t rex = 0x40, lea[7] = { 0x48, 0x8d, 0x05 }, mov[6];
	unsigned n = 0;

	b->g.written |= (uint16_t)(1u << reg);
	if (b->tc->bits == 64 && rng_percent(b->r, 50)) {
		lea[0] |= (uint8_t)(reg >> 3 << 2);
		lea[2] |= (uint8_t)((reg & 7) << 3);
		if (block_put_bytes(b, lea, 7))
			block_fix(b, FIX_RELATIVE, b->tc->count - 1, 3, 4, label);
		return;
	}
	if (reg >= 8)
		mov[n++] = rex | 1;
	mov[n++] = (uint8_t)(0xb8 | (reg & 7));
	memset(mov + n, 0, sizeof(mov) - n);
	if (block_put_bytes(b, mov, n + 4))
		block_fix(b, FIX_ABSOLUTE, b->tc->count - 1, n, 4, label);
}

/* Out of an 8-bit displacement's reach: to the next instruction. */
static void fix_relative(struct test_case *tc, const struct block_fixup *f, uint64_t target)
{
	int64_t rel = (int64_t)(target - case_insn_address(tc, f->where + 1u));

	if (f->size == 1 && rel != (int8_t)rel)
		rel = 0;
	memcpy(tc->insns[f->where].bytes + f->at, &rel, f->size);
}

void block_finish(struct block *b)
{
	struct test_case *tc = b->tc;

	for (unsigned i = 0; i < b->fixup_count; i++) {
		const struct block_fixup *f = &b->fixup[i];
		uint64_t target = f->add + case_insn_address(tc, MIN_OF(b->label[f->label], tc->count));

		switch (f->kind) {
		case FIX_RELATIVE:
			fix_relative(tc, f, target);
			break;
		case FIX_ABSOLUTE:
			memcpy(tc->insns[f->where].bytes + f->at, &target, f->size);
			break;
		case FIX_GPR:
			tc->init.gpr[f->where] = target;
			break;
		default:
			memcpy(tc->patches[f->where].bytes + f->at, &target, f->size);
			break;
		}
	}
}

unsigned block_any_gpr(struct block *b)
{
	return rng_below(b->r, b->tc->bits == 64 ? 16 : 8);
}

unsigned block_scratch(struct block *b)
{
	unsigned n;

	do
		n = block_any_gpr(b);
	while (n == R_SP_INDEX || b->reserved >> n & 1);
	return n;
}

int block_reserve(struct block *b, int wanted)
{
	unsigned total = b->tc->bits == 64 ? 16 : 8, reserved = 0, n;

	for (unsigned i = 0; i < total; i++)
		reserved += b->reserved >> i & 1;
	if (total - reserved < 4 || (wanted >= 0 && b->reserved >> wanted & 1))
		return -1;
	n = wanted >= 0 ? (unsigned)wanted : block_scratch(b);
	b->reserved |= (uint16_t)(1u << n);
	return (int)n;
}

uint32_t block_slot(struct block *b, unsigned size)
{
	b->next_slot -= (size + 7) & ~7u;
	return b->next_slot;
}
