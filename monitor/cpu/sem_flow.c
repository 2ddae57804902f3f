/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/sem_flow.c - control flow: jumps, calls, returns, software interrupts, system calls.
 */
#include "monitor/cpu/rows.h"

/* Near branches in 64-bit mode are 64 bits wide whatever the prefixes. */
static unsigned near_size(const struct vcpu *v, const struct insn *i)
{
	return v->code_size == CODE_64 ? 8 : i->opsize;
}

static uint64_t near_target(struct vcpu *v, uint64_t rip, unsigned size)
{
	if (v->code_size == CODE_64) {
		if (unlikely(!is_canonical(rip)))
			cpu_raise_error(v, EXC_GP, 0);
		return rip;
	}
	rip &= bits_mask_bytes(size);
	if (unlikely(rip > v->s.seg[S_CS].limit))
		cpu_raise_error(v, EXC_GP, 0);
	return rip;
}

static int take_relative(struct vcpu *v, const struct insn *i)
{
	v->s.rip = near_target(v, v->s.rip + i->len + (uint64_t)i->disp, i->opsize);
	return INSN_JUMP;
}

static bool less(unsigned cc)
{
	return ((cc >> 15) ^ cc) & 1;
}

#define JCC(name, condition)                                                                                 \
	int insn_##name(struct vcpu *v, const struct insn *i)                                                \
	{                                                                                                    \
		unsigned cc = v->cc;                                                                         \
                                                                                                             \
		return (condition) ? take_relative(v, i) : INSN_NEXT;                                        \
	}

JCC(jo, cc &CC_OF)
JCC(jno, !(cc & CC_OF))
JCC(jb, cc &CC_CF)
JCC(jnb, !(cc & CC_CF))
JCC(jz, cc &CC_ZF)
JCC(jnz, !(cc & CC_ZF))
JCC(jbe, cc &(CC_CF | CC_ZF))
JCC(jnbe, !(cc & (CC_CF | CC_ZF)))
JCC(js, cc &CC_SF)
JCC(jns, !(cc & CC_SF))
JCC(jp, cc &CC_PF)
JCC(jnp, !(cc & CC_PF))
JCC(jl, less(cc))
JCC(jnl, !less(cc))
JCC(jle, less(cc) || (cc & CC_ZF))
JCC(jnle, !less(cc) && !(cc & CC_ZF))

static uint64_t count_mask(const struct insn *i)
{
	return UINT64_MAX >> i->addr_shift;
}

int insn_jcxz(struct vcpu *v, const struct insn *i)
{
	uint64_t mask = i->mnemonic == ZYDIS_MNEMONIC_JCXZ    ? 0xffff
			: i->mnemonic == ZYDIS_MNEMONIC_JECXZ ? 0xffffffffu
							      : UINT64_MAX;

	return v->s.gpr[R_CX] & mask ? INSN_NEXT : take_relative(v, i);
}

int insn_loop(struct vcpu *v, const struct insn *i)
{
	uint64_t mask = count_mask(i);
	uint64_t left = (v->s.gpr[R_CX] - 1) & mask;
	bool zf = v->cc & CC_ZF;
	bool taken =
		left && (i->mnemonic == ZYDIS_MNEMONIC_LOOP || (i->mnemonic == ZYDIS_MNEMONIC_LOOPE) == zf);
	unsigned width = (unsigned)(64 - i->addr_shift) / 8;

	if (taken)
		near_target(v, v->s.rip + i->len + (uint64_t)i->disp, i->opsize);
	gpr_write(v, R_CX, false, width, left);
	return taken ? take_relative(v, i) : INSN_NEXT;
}

uint16_t insn_far_pointer(struct vcpu *v, const struct insn *i, uint64_t *offset)
{
	uint64_t at = insn_linear(v, i, i->opsize + 2u, false);

	*offset = lin_read(v, at, i->opsize, i->seg);
	return (uint16_t)lin_read(v, (at + i->opsize) & v->la_mask, 2, i->seg);
}

/* Far pointer of a far JMP or CALL: immediate, or in memory. */
static uint16_t far_pointer(struct vcpu *v, const struct insn *i, uint64_t *offset)
{
	if (i->flags & INSN_MEM)
		return insn_far_pointer(v, i, offset);
	*offset = i->imm;
	return i->imm2;
}

int insn_jmp(struct vcpu *v, const struct insn *i)
{
	unsigned size;
	uint64_t offset;

	if (i->far) {
		uint16_t selector = far_pointer(v, i, &offset);

		far_jump(v, selector, offset, i->opsize, i->len);
		return INSN_JUMP;
	}
	if (!(i->flags & INSN_MEM) && i->r[0] == OP_NONE)
		return take_relative(v, i);
	size = near_size(v, i);
	v->s.rip = near_target(v, op_read(v, i, 0, size), size);
	return INSN_JUMP;
}

int insn_call(struct vcpu *v, const struct insn *i)
{
	unsigned size = near_size(v, i);
	uint64_t offset, target;

	if (i->far) {
		uint16_t selector = far_pointer(v, i, &offset);

		far_call(v, selector, offset, i->opsize, i->len);
		return INSN_JUMP;
	}
	if (!(i->flags & INSN_MEM) && i->r[0] == OP_NONE)
		target = v->s.rip + i->len + (uint64_t)i->disp;
	else
		target = op_read(v, i, 0, size);
	target = near_target(v, target, size);
	stack_push(v, size, v->s.rip + i->len);
	v->s.rip = target;
	return INSN_JUMP;
}

int insn_ret(struct vcpu *v, const struct insn *i)
{
	unsigned size = near_size(v, i);
	uint64_t target;

	if (i->far) {
		far_return(v, i->opsize, (unsigned)(i->imm & 0xffff));
		return INSN_JUMP;
	}
	target = near_target(v, stack_peek(v, size, 0), size);
	stack_set(v, v->s.gpr[R_SP] + size + (i->imm & 0xffff));
	v->s.rip = target;
	return INSN_JUMP;
}

int insn_iret(struct vcpu *v, const struct insn *i)
{
	interrupt_return(v, i->mnemonic == ZYDIS_MNEMONIC_IRETQ   ? 8
			    : i->mnemonic == ZYDIS_MNEMONIC_IRETD ? 4
								  : 2);
	return INSN_JUMP;
}

int insn_int(struct vcpu *v, const struct insn *i)
{
	if (v->v86 && bits_get(v->s.rflags, 13, 12) != 3) /* INT3 and INTO do not ask for IOPL */
		cpu_raise_error(v, EXC_GP, 0);
	cpu_raise_software(v, (int)(i->imm & 0xff), i->len);
}

int insn_int3(struct vcpu *v, const struct insn *i)
{
	cpu_raise_software(v, EXC_BP, i->len);
}

int insn_into(struct vcpu *v, const struct insn *i)
{
	if (v->cc & CC_OF)
		cpu_raise_software(v, EXC_OF, i->len);
	return INSN_NEXT;
}

/* ICEBP: a trap, not subject to the gate's DPL; DR6 is left alone. */
int insn_int1(struct vcpu *v, const struct insn *i)
{
	v->event = (struct cpu_event){ .vector = EXC_DB, .trap = true, .advance = i->len };
	_longjmp(v->recover, 1);
}

int insn_undefined(struct vcpu *v, const struct insn *i)
{
	(void)i;
	cpu_raise(v, EXC_UD);
}

int insn_bound(struct vcpu *v, const struct insn *i)
{
	unsigned size = i->opsize;
	uint64_t off = insn_offset(v, i);
	int64_t low = (int64_t)bits_sext(mem_read(v, i->seg, off, size), size);
	int64_t high = (int64_t)bits_sext(mem_read(v, i->seg, off + size, size), size);
	int64_t index = (int64_t)bits_sext(gpr_read(v, i->r[0], false, size), size);

	if (index < low || index > high)
		cpu_raise(v, EXC_BR);
	return INSN_NEXT;
}

/* ---- fast system calls
 * ---------------------------------------------------------------------------------------------- */

static struct segment flat_code(uint16_t selector, unsigned dpl, bool wide)
{
	return (struct segment){ .limit = 0xffffffffu,
		.selector = selector,
		.attr = (uint16_t)(0x1b | SEG_P | SEG_G | dpl << SEG_DPL_SHIFT | (wide ? SEG_L : SEG_DB)) };
}

static struct segment flat_stack(uint16_t selector, unsigned dpl)
{
	return (struct segment){ .limit = 0xffffffffu,
		.selector = selector,
		.attr = (uint16_t)(0x13 | SEG_P | SEG_G | SEG_DB | dpl << SEG_DPL_SHIFT) };
}

static void enter(struct vcpu *v, const struct segment *cs, const struct segment *ss, uint64_t rip)
{
	v->s.seg[S_CS] = *cs;
	v->s.seg[S_SS] = *ss;
	v->s.rip = rip;
	cpu_update_code(v);
}

int insn_syscall(struct vcpu *v, const struct insn *i)
{
	uint16_t base = (uint16_t)(v->s.star >> 32);
	struct segment cs, ss;
	uint64_t flags = vcpu_get_rflags(v);

	if (!v->protected_mode || !(v->s.efer & EFER_SCE) || v->v86)
		cpu_raise(v, EXC_UD);
	cs = flat_code(base & 0xfffc, 0, v->long_mode);
	ss = flat_stack((uint16_t)((base & 0xfffc) + 8), 0);
	v->s.gpr[R_CX] = v->s.rip + i->len;
	if (!v->long_mode) {
		v->s.gpr[R_CX] &= 0xffffffffu;
		cpu_set_flags(v, 0, FLAG_IF | FLAG_RF | FLAG_VM);
		enter(v, &cs, &ss, v->s.star & 0xffffffffu);
		return INSN_JUMP;
	}
	v->s.gpr[R_11] = flags & ~FLAG_RF;
	enter(v, &cs, &ss, v->code_size == CODE_64 ? v->s.lstar : v->s.cstar);
	cpu_set_flags(v, 0, v->s.sfmask | FLAG_RF);
	return INSN_JUMP;
}

int insn_sysret(struct vcpu *v, const struct insn *i)
{
	uint16_t base = (uint16_t)(v->s.star >> 48);
	struct segment cs, ss = flat_stack((uint16_t)((base + 8) | 3), 3);
	bool wide = i->opsize == 8;
	uint64_t rip = v->s.gpr[R_CX];

	if (!(v->s.efer & EFER_SCE) || !v->protected_mode)
		cpu_raise(v, EXC_UD);
	if (v->cpl)
		cpu_raise_error(v, EXC_GP, 0);
	if (wide && !is_canonical(rip))
		cpu_raise_error(v, EXC_GP, 0);
	cs = flat_code((uint16_t)((base + (wide ? 16 : 0)) | 3), 3, wide);
	if (v->long_mode)
		cpu_set_flags(v, v->s.gpr[R_11], 0x3c7fd7);
	else
		cpu_set_flags(v, FLAG_IF, FLAG_IF);
	enter(v, &cs, &ss, wide ? rip : rip & 0xffffffffu);
	/* Unlike IRET's, a TF that comes back traps at once, as if the system call were one instruction. */
	if (v->s.rflags & FLAG_TF) {
		v->s.dr[6] |= DR6_BS;
		v->event = (struct cpu_event){ .vector = EXC_DB, .trap = true };
		_longjmp(v->recover, 1);
	}
	return INSN_JUMP;
}

int insn_sysenter(struct vcpu *v, const struct insn *i)
{
	struct segment cs, ss;
	uint16_t base = (uint16_t)(v->s.sysenter_cs & 0xfffc);

	(void)i;
	if (!v->protected_mode || !base)
		cpu_raise_error(v, EXC_GP, 0);
	cs = flat_code(base, 0, v->long_mode);
	ss = flat_stack((uint16_t)(base + 8), 0);
	cpu_set_flags(v, 0, FLAG_VM | FLAG_IF);
	enter(v, &cs, &ss, v->long_mode ? v->s.sysenter_eip : v->s.sysenter_eip & 0xffffffffu);
	v->s.gpr[R_SP] = v->long_mode ? v->s.sysenter_esp : v->s.sysenter_esp & 0xffffffffu;
	return INSN_JUMP;
}

int insn_sysexit(struct vcpu *v, const struct insn *i)
{
	uint16_t base = (uint16_t)(v->s.sysenter_cs & 0xfffc);
	bool wide = i->opsize == 8;
	struct segment cs, ss;
	uint64_t rip = v->s.gpr[R_DX], sp = v->s.gpr[R_CX];

	if (!v->protected_mode || !base || v->cpl)
		cpu_raise_error(v, EXC_GP, 0);
	if (wide && (!is_canonical(rip) || !is_canonical(sp)))
		cpu_raise_error(v, EXC_GP, 0);
	cs = flat_code((uint16_t)((base + (wide ? 32 : 16)) | 3), 3, wide);
	ss = flat_stack((uint16_t)((base + (wide ? 40 : 24)) | 3), 3);
	enter(v, &cs, &ss, wide ? rip : rip & 0xffffffffu);
	v->s.gpr[R_SP] = wide ? sp : sp & 0xffffffffu;
	return INSN_JUMP;
}
