/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/sem_flags.c - flag instructions, and the decimal ones a 64-bit host no longer has.
 */
#include "monitor/cpu/rows.h"

int insn_clc(struct vcpu *v, const struct insn *i)
{
	(void)i;
	v->cc &= (uint16_t)~CC_CF;
	return INSN_NEXT;
}

int insn_stc(struct vcpu *v, const struct insn *i)
{
	(void)i;
	v->cc |= CC_CF;
	return INSN_NEXT;
}

int insn_cmc(struct vcpu *v, const struct insn *i)
{
	(void)i;
	v->cc ^= CC_CF;
	return INSN_NEXT;
}

int insn_cld(struct vcpu *v, const struct insn *i)
{
	(void)i;
	v->s.rflags &= ~FLAG_DF;
	return INSN_NEXT;
}

int insn_std(struct vcpu *v, const struct insn *i)
{
	(void)i;
	v->s.rflags |= FLAG_DF;
	return INSN_NEXT;
}

int insn_lahf(struct vcpu *v, const struct insn *i)
{
	(void)i;
	gpr_write(v, R_AX, true, 1, vcpu_get_rflags(v));
	return INSN_NEXT;
}

int insn_sahf(struct vcpu *v, const struct insn *i)
{
	(void)i;
	v->cc = (uint16_t)((v->cc & CC_OF) | (gpr_read(v, R_AX, true, 1) & 0xd5) << 8);
	return INSN_NEXT;
}

int insn_salc(struct vcpu *v, const struct insn *i)
{
	(void)i;
	gpr_write(v, R_AX, false, 1, v->cc & CC_CF ? 0xff : 0);
	return INSN_NEXT;
}

/* SF, ZF and PF of a byte; the rest as given. */
static uint16_t cc_of_byte(uint8_t value, unsigned other)
{
	unsigned cc = other;

	cc |= value & 0x80 ? CC_SF : 0;
	cc |= value == 0 ? CC_ZF : 0;
	cc |= __builtin_parity(value) ? 0 : CC_PF;
	return (uint16_t)cc;
}

static int decimal_adjust(struct vcpu *v, bool subtract)
{
	uint8_t old = (uint8_t)v->s.gpr[R_AX], al = old;
	bool cf = v->cc & CC_CF, af = v->cc & CC_AF, carry = false;

	if ((al & 0xf) > 9 || af) {
		carry = cf || (subtract ? al < 6 : al > 0xf9);
		al = (uint8_t)(subtract ? al - 6 : al + 6);
		af = true;
	} else {
		af = false;
	}
	if (old > 0x99 || cf) {
		al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
		carry = true;
	} else if (!subtract) {
		carry = false;
	}
	gpr_write(v, R_AX, false, 1, al);
	v->cc = cc_of_byte(al, (carry ? CC_CF : 0) | (af ? CC_AF : 0));
	return INSN_NEXT;
}

int insn_daa(struct vcpu *v, const struct insn *i)
{
	(void)i;
	return decimal_adjust(v, false);
}

int insn_das(struct vcpu *v, const struct insn *i)
{
	(void)i;
	return decimal_adjust(v, true);
}

static int ascii_adjust(struct vcpu *v, int direction)
{
	uint16_t ax = (uint16_t)v->s.gpr[R_AX];
	bool adjust = (ax & 0xf) > 9 || (v->cc & CC_AF);

	if (adjust)
		ax = (uint16_t)(ax + direction * 0x106);
	ax &= 0xff0f;
	gpr_write(v, R_AX, false, 2, ax);
	v->cc = cc_of_byte((uint8_t)ax, adjust ? CC_CF | CC_AF : 0);
	return INSN_NEXT;
}

int insn_aaa(struct vcpu *v, const struct insn *i)
{
	(void)i;
	return ascii_adjust(v, 1);
}

int insn_aas(struct vcpu *v, const struct insn *i)
{
	(void)i;
	return ascii_adjust(v, -1);
}

int insn_aam(struct vcpu *v, const struct insn *i)
{
	uint8_t al = (uint8_t)v->s.gpr[R_AX], base = (uint8_t)i->imm;

	if (!base)
		cpu_raise(v, EXC_DE);
	gpr_write(v, R_AX, false, 2, (uint16_t)(al / base) << 8 | al % base);
	v->cc = cc_of_byte(al % base, 0);
	return INSN_NEXT;
}

int insn_aad(struct vcpu *v, const struct insn *i)
{
	uint8_t al = (uint8_t)v->s.gpr[R_AX], add = (uint8_t)(gpr_read(v, R_AX, true, 1) * (i->imm & 0xff));
	uint16_t cc;

	/* The flags the manual leaves undefined are those of the addition inside. */
	__asm__("addb %2, %1\n\tlahf\n\tseto %%al" : "=&a"(cc), "+&q"(al) : "q"(add) : "cc");
	gpr_write(v, R_AX, false, 2, al);
	v->cc = cc;
	return INSN_NEXT;
}

/* CLI and STI: IOPL decides; STI holds interrupts off for one more instruction when it opens them. */
static void check_iopl(struct vcpu *v)
{
	if (v->protected_mode && v->cpl > bits_get(v->s.rflags, 13, 12))
		cpu_raise_error(v, EXC_GP, 0);
}

int insn_cli(struct vcpu *v, const struct insn *i)
{
	(void)i;
	check_iopl(v);
	v->s.rflags &= ~FLAG_IF;
	return INSN_NEXT;
}

int insn_sti(struct vcpu *v, const struct insn *i)
{
	(void)i;
	check_iopl(v);
	if (v->s.rflags & FLAG_IF)
		return INSN_NEXT;
	v->s.rflags |= FLAG_IF;
	if (atomic_load(&v->pending))
		atomic_store(&v->attention, 1);
	return INSN_SHADOW;
}

int insn_clac(struct vcpu *v, const struct insn *i)
{
	(void)i;
	if (v->cpl)
		cpu_raise(v, EXC_UD);
	v->s.rflags &= ~FLAG_AC;
	tlb_select_view(v);
	return INSN_NEXT;
}

int insn_stac(struct vcpu *v, const struct insn *i)
{
	(void)i;
	if (v->cpl)
		cpu_raise(v, EXC_UD);
	v->s.rflags |= FLAG_AC;
	tlb_select_view(v);
	return INSN_NEXT;
}
