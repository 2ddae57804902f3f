/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/sem_stack.c - PUSH and POP in all forms, flags on the stack, frames; and MOV, LEA, segment
 * registers.
 */
#include "monitor/cpu/rows.h"

/* Stack items are 8 bytes in 64-bit mode unless 16-bit is asked for. */
static unsigned item_size(const struct vcpu *v, const struct insn *i)
{
	return v->code_size == CODE_64 && i->opsize == 4 ? 8 : i->opsize;
}

static bool is_segment_form(const struct insn *i, unsigned k)
{
	return i->seg_operand & (1u << k);
}

/* Intel leaves the upper half of a 32-bit slot as it was (SDM volume 2, PUSH). */
static int push_segment(struct vcpu *v, const struct insn *i, unsigned size)
{
	uint64_t sp = (v->s.gpr[R_SP] - size) & stack_mask(v);

	mem_write(v, S_SS, sp, size == 4 && v->cpuid->intel ? 2 : size, v->s.seg[i->r[0]].selector);
	stack_set(v, sp);
	return INSN_NEXT;
}

int insn_push(struct vcpu *v, const struct insn *i)
{
	unsigned size = item_size(v, i);
	uint64_t value;

	if (is_segment_form(i, 0))
		return push_segment(v, i, size);
	if (i->r[0] == OP_NONE && !(i->flags & INSN_MEM))
		value = i->imm;
	else
		value = op_read(v, i, 0, size);
	stack_push(v, size, value);
	return INSN_NEXT;
}

/* Loading SS holds off interrupts and traps for one instruction (SDM 6.8.3). */
static void shadow(struct vcpu *v)
{
	v->s.irq_shadow = SHADOW_MOV_SS;
	atomic_store(&v->attention, 1);
}

/* Intel reads no more of the slot than the selector. */
static int pop_segment(struct vcpu *v, const struct insn *i, unsigned size)
{
	uint16_t selector = (uint16_t)stack_peek(v, v->cpuid->intel ? 2 : size, 0);
	uint64_t sp = v->s.gpr[R_SP] + size;
	uint64_t mask = stack_mask(v);

	seg_load(v, i->r[0], selector);
	v->s.gpr[R_SP] = mask == 0xffff ? (v->s.gpr[R_SP] & ~mask) | (sp & mask) : sp & mask;
	if (i->r[0] == S_SS)
		shadow(v);
	return INSN_NEXT;
}

int insn_pop(struct vcpu *v, const struct insn *i)
{
	unsigned size = item_size(v, i);
	uint64_t value, old_sp = v->s.gpr[R_SP], off;

	if (is_segment_form(i, 0))
		return pop_segment(v, i, size);
	value = stack_peek(v, size, 0);
	if (i->r[0] != OP_NONE) {
		stack_set(v, old_sp + size);
		gpr_write(v, i->r[0], false, size, value);
		return INSN_NEXT;
	}
	/* An address made from SP uses the value after the pop. */
	stack_set(v, old_sp + size);
	off = insn_offset(v, i);
	v->s.gpr[R_SP] = old_sp;
	mem_write(v, i->seg, off, size, value);
	stack_set(v, old_sp + size);
	return INSN_NEXT;
}

int insn_pusha(struct vcpu *v, const struct insn *i)
{
	unsigned size = i->opsize;
	uint64_t sp = v->s.gpr[R_SP], mask = stack_mask(v);

	for (unsigned k = 0; k < 8; k++) {
		sp = (sp - size) & mask;
		mem_write(v, S_SS, sp, size, v->s.gpr[k]);
	}
	stack_set(v, sp);
	return INSN_NEXT;
}

int insn_popa(struct vcpu *v, const struct insn *i)
{
	unsigned size = i->opsize;

	/* Registers change as they are read; SP last, so that a fault in the middle can be started over. */
	for (unsigned k = 0; k < 8; k++) {
		uint64_t value = stack_peek(v, size, (uint64_t)k * size);

		if (7 - k != R_SP)
			gpr_write(v, 7 - k, false, size, value);
	}
	stack_set(v, v->s.gpr[R_SP] + 8u * size);
	return INSN_NEXT;
}

static void check_v86_iopl(struct vcpu *v)
{
	if (v->v86 && bits_get(v->s.rflags, 13, 12) != 3)
		cpu_raise_error(v, EXC_GP, 0);
}

int insn_pushf(struct vcpu *v, const struct insn *i)
{
	check_v86_iopl(v);
	stack_push(v, item_size(v, i), vcpu_get_rflags(v) & ~(FLAG_VM | FLAG_RF));
	return INSN_NEXT;
}

int insn_popf(struct vcpu *v, const struct insn *i)
{
	unsigned size = item_size(v, i);
	uint64_t mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT, value;

	check_v86_iopl(v);
	if (size > 2)
		mask |= FLAG_AC | FLAG_ID;
	if (v->cpl == 0)
		mask |= FLAG_IOPL;
	if (v->cpl <= bits_get(v->s.rflags, 13, 12) || !v->protected_mode)
		mask |= FLAG_IF;
	value = stack_peek(v, size, 0);
	stack_set(v, v->s.gpr[R_SP] + size);
	cpu_set_flags(v, value & ~FLAG_RF, mask | FLAG_RF);
	return INSN_NEXT;
}

int insn_enter(struct vcpu *v, const struct insn *i)
{
	unsigned size = item_size(v, i), level = i->imm2 & 31;
	uint64_t mask = stack_mask(v), sp = v->s.gpr[R_SP], frame, bp = v->s.gpr[R_BP];

	sp = (sp - size) & mask;
	mem_write(v, S_SS, sp, size, bp);
	/* With a 16-bit stack the upper half of ESP is part of the frame pointer all the same. */
	frame = mask == 0xffff ? (v->s.gpr[R_SP] & ~mask) | sp : sp;
	for (unsigned k = 1; k < level; k++) {
		bp = (bp - size) & mask;
		sp = (sp - size) & mask;
		mem_write(v, S_SS, sp, size, mem_read(v, S_SS, bp, size));
	}
	if (level) {
		sp = (sp - size) & mask;
		mem_write(v, S_SS, sp, size, frame);
	}
	sp = (sp - (i->imm & 0xffff)) & mask;
	/* The new top must be writable, or the whole instruction faults (SDM ENTER). */
	lin_probe_write(v, seg_linear(v, S_SS, sp, size, true), size, S_SS);
	gpr_write(v, R_BP, false, size, frame);
	stack_set(v, sp);
	return INSN_NEXT;
}

int insn_leave(struct vcpu *v, const struct insn *i)
{
	unsigned size = item_size(v, i);
	uint64_t mask = stack_mask(v), bp = v->s.gpr[R_BP];
	uint64_t value = mem_read(v, S_SS, bp & mask, size);

	stack_set(v, bp + size);
	gpr_write(v, R_BP, false, size, value);
	return INSN_NEXT;
}

/* ---- MOV
 * -------------------------------------------------------------------------------------------------------------
 */

static int mov_segment(struct vcpu *v, const struct insn *i)
{
	if (is_segment_form(i, 0)) {
		if (i->r[0] == S_CS || i->r[0] > S_GS)
			cpu_raise(v, EXC_UD);
		seg_load(v, i->r[0], (uint16_t)op_read(v, i, 1, 2));
		if (i->r[0] == S_SS)
			shadow(v);
		return INSN_NEXT;
	}
	if (i->r[1] > S_GS)
		cpu_raise(v, EXC_UD);
	op_write(v, i, 0, i->flags & INSN_MEM ? 2 : i->opsize, v->s.seg[i->r[1]].selector);
	return INSN_NEXT;
}

int insn_mov(struct vcpu *v, const struct insn *i)
{
	unsigned size = i->opsize;

	if (unlikely(i->seg_operand))
		return mov_segment(v, i);
	if (i->flags & INSN_MEM) {
		if (i->r[0] != OP_NONE)
			gpr_write(v, i->r[0], i->flags & INSN_HIGH0, size, op_read(v, i, 1, size));
		else
			op_write(v, i, 0, size,
				i->r[1] == OP_NONE ? i->imm
						   : gpr_read(v, i->r[1], i->flags & INSN_HIGH1, size));
		return INSN_NEXT;
	}
	gpr_write(v, i->r[0], i->flags & INSN_HIGH0, size,
		i->r[1] == OP_NONE ? i->imm : gpr_read(v, i->r[1], i->flags & INSN_HIGH1, size));
	return INSN_NEXT;
}

/* The widths that make up most of all instructions, each a straight line. */
int insn_mov_load64(struct vcpu *v, const struct insn *i)
{
	v->s.gpr[i->r[0]] = lin_read(v, insn_linear(v, i, 8, false), 8, i->seg);
	return INSN_NEXT;
}

int insn_mov_load32(struct vcpu *v, const struct insn *i)
{
	v->s.gpr[i->r[0]] = lin_read(v, insn_linear(v, i, 4, false), 4, i->seg);
	return INSN_NEXT;
}

int insn_mov_store64(struct vcpu *v, const struct insn *i)
{
	lin_write(v, insn_linear(v, i, 8, true), 8, v->s.gpr[i->r[1]], i->seg);
	return INSN_NEXT;
}

int insn_mov_store32(struct vcpu *v, const struct insn *i)
{
	lin_write(v, insn_linear(v, i, 4, true), 4, v->s.gpr[i->r[1]], i->seg);
	return INSN_NEXT;
}

int insn_mov_reg64(struct vcpu *v, const struct insn *i)
{
	v->s.gpr[i->r[0]] = v->s.gpr[i->r[1]];
	return INSN_NEXT;
}

int insn_mov_reg32(struct vcpu *v, const struct insn *i)
{
	v->s.gpr[i->r[0]] = (uint32_t)v->s.gpr[i->r[1]];
	return INSN_NEXT;
}

/* MOV has many shapes; give the common ones a function of their own. */
insn_fn *insn_mov_specialize(const struct insn *i)
{
	bool wide = i->opsize == 8;

	if (i->seg_operand || (i->opsize != 4 && i->opsize != 8))
		return insn_mov;
	if (!(i->flags & INSN_MEM)) {
		if (i->r[0] == OP_NONE || i->r[1] == OP_NONE)
			return insn_mov;
		return wide ? insn_mov_reg64 : insn_mov_reg32;
	}
	if (i->r[0] != OP_NONE)
		return wide ? insn_mov_load64 : insn_mov_load32;
	if (i->r[1] != OP_NONE)
		return wide ? insn_mov_store64 : insn_mov_store32;
	return insn_mov;
}

int insn_lea(struct vcpu *v, const struct insn *i)
{
	gpr_write(v, i->r[0], false, i->opsize, insn_offset(v, i));
	return INSN_NEXT;
}

/* LDS LES LFS LGS LSS: offset, then selector. */
int insn_load_far(struct vcpu *v, const struct insn *i)
{
	static const struct {
		uint16_t mnemonic;
		uint8_t seg;
	} which[] = {
		{ ZYDIS_MNEMONIC_LDS, S_DS },
		{ ZYDIS_MNEMONIC_LES, S_ES },
		{ ZYDIS_MNEMONIC_LFS, S_FS },
		{ ZYDIS_MNEMONIC_LGS, S_GS },
		{ ZYDIS_MNEMONIC_LSS, S_SS },
	};
	uint64_t off;
	uint16_t selector = insn_far_pointer(v, i, &off);

	for (size_t k = 0; k < ARRAY_LEN(which); k++) {
		if (which[k].mnemonic == i->mnemonic)
			seg_load(v, which[k].seg, selector);
	}
	gpr_write(v, i->r[0], false, i->opsize, off);
	return INSN_NEXT;
}

int insn_xlat(struct vcpu *v, const struct insn *i)
{
	uint64_t off = v->s.gpr[R_BX] + (v->s.gpr[R_AX] & 0xff);

	off = off << i->addr_shift >> i->addr_shift;
	gpr_write(v, R_AX, false, 1, mem_read(v, i->seg, off, 1));
	return INSN_NEXT;
}

/* F3 REX.B 90: PAUSE on Intel, XCHG r8,rAX on AMD. */
int insn_pause_r8(struct vcpu *v, const struct insn *i)
{
	uint64_t a = v->s.gpr[R_AX], b = v->s.gpr[R_8];

	if (v->cpuid->intel)
		return insn_pause(v, i);
	gpr_write(v, R_AX, false, i->opsize, b);
	gpr_write(v, R_8, false, i->opsize, a);
	return INSN_NEXT;
}

int insn_nop(struct vcpu *v, const struct insn *i)
{
	(void)v;
	(void)i;
	return INSN_NEXT;
}
