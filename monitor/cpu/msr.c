/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/msr.c - model-specific registers that stock kernels touch.
 *
 * SDM volume 4; AMD APM volume 2 appendix A.  Unknown ones raise #GP, as on hardware; kernels probe that way.
 */
#include "monitor/cpu/cpuid.h"
#include "monitor/cpu/segment.h"

#include "base/log.h"

#define MSR_TSC          0x10
#define MSR_TSC_ADJUST   0x3b
#define MSR_SPEC_CTRL    0x48
#define MSR_MTRR_CAP     0xfe
#define MSR_ARCH_CAP     0x10a
#define MSR_MCG_CAP      0x179
#define MSR_MTRR_VAR     0x200
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_EFER         0xc0000080
#define MSR_FS_BASE      0xc0000100
#define MSR_GS_BASE      0xc0000101

#define MCE_BANKS     8
#define EFER_AUTOIBRS (1ull << 21)

/* A register that is nothing but stored bits; `writable` others raise #GP, unless `lenient` drops them. */
struct plain_msr {
	uint32_t msr;
	uint32_t offset; /* in struct vcpu_state; 0: reads as `value` */
	uint64_t writable;
	uint64_t value;
};

#define AT(field) offsetof(struct vcpu_state, field)
#define ALL       UINT64_MAX
#define ZERO(msr)                                                                                            \
	{                                                                                                    \
		msr, 0, 0, 0                                                                                 \
	} /* reads 0, writes are refused */
#define IGNORE(msr)                                                                                          \
	{                                                                                                    \
		msr, 0, ALL, 0                                                                               \
	} /* reads 0, writes vanish */

static const struct plain_msr plain[] = {
	{ 0x174, AT(sysenter_cs), 0xffffffff, 0 },
	{ 0x1a0, AT(misc_enable), ALL, 0 },
	{ 0x1d9, AT(debugctl), 0x3, 0 },
	{ 0x17a, AT(mcg_status), 0x7, 0 },
	{ 0x17b, AT(mcg_ctl), ALL, 0 },
	{ 0xc0000081, AT(star), ALL, 0 },
	{ 0xc0000084, AT(sfmask), 0xffffffff, 0 },
	{ 0xc0000103, AT(tsc_aux), 0xffffffff, 0 },
	{ MSR_SPEC_CTRL, AT(spec_ctrl), 0x7 | 1ull << 10, 0 },
	IGNORE(0x8b), /* microcode revision; writing 0 precedes CPUID on Intel */
	IGNORE(0x49),
	IGNORE(0x10b),
	IGNORE(0x79),      /* IBPB, L1D flush, microcode update trigger */
	{ 0x3a, 0, 0, 1 }, /* feature control: locked, no VMX */
	ZERO(0x17),
	ZERO(0xce),
	ZERO(0x198),
	ZERO(0x1a2),
	ZERO(0x19c),
	ZERO(0x2a),
	ZERO(0x140),
	IGNORE(0x199),
	IGNORE(0x19a),
	IGNORE(0x19b),
	IGNORE(0x1b0),
	/* AMD: configuration registers kernels read or adjust at start */
	IGNORE(0xc0010010),
	IGNORE(0xc001001f),
	IGNORE(0xc0011020),
	IGNORE(0xc0011021),
	IGNORE(0xc0011022),
	IGNORE(0xc0011023),
	IGNORE(0xc0011004),
	IGNORE(0xc0011005),
	IGNORE(0xc0011002),
	IGNORE(0xc0011003),
	IGNORE(0xc001102a),
	IGNORE(0xc001102b),
	IGNORE(0xc001102c),
	IGNORE(0xc0011028),
	IGNORE(0xc0010055),
	IGNORE(0xc0011000),
	IGNORE(0xc00110e3),
	IGNORE(0xc001001a),
	IGNORE(0xc001001d),
	IGNORE(0xc0010016),
	{ 0xc0010015, 0, ALL, 1ull << 24 },            /* HWCR: TSC frequency select */
	{ 0xc0011029, 0, ALL, 1ull << 1 },             /* DE_CFG: LFENCE serializes */
	{ 0xc0010114, 0, ALL, 1ull << 4 | 1ull << 3 }, /* VM_CR: SVM locked off */
	ZERO(0xc0010140),
	ZERO(0xc0010141),
	ZERO(0xc0010061),
	ZERO(0xc0010062),
	ZERO(0xc0010063),
	ZERO(0xc0010064),
	ZERO(0xc0010058),
};

/* Canonical address registers. */
static const struct plain_msr pointers[] = {
	{ 0x175, AT(sysenter_esp), 0, 0 },
	{ 0x176, AT(sysenter_eip), 0, 0 },
	{ 0xc0000082, AT(lstar), 0, 0 },
	{ 0xc0000083, AT(cstar), 0, 0 },
	{ 0xc0000102, AT(kernel_gs_base), 0, 0 },
};

static const struct plain_msr *lookup(const struct plain_msr *table, size_t n, uint32_t msr)
{
	for (size_t k = 0; k < n; k++) {
		if (table[k].msr == msr)
			return &table[k];
	}
	return NULL;
}

static uint64_t *field(struct vcpu *v, const struct plain_msr *m)
{
	return (uint64_t *)((char *)&v->s + m->offset);
}

/* MTRRs: fixed ones by address, variable pairs; NULL: not one. */
static uint64_t *mtrr(struct vcpu *v, uint32_t msr)
{
	static const uint16_t fixed[] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d,
		0x26e, 0x26f };

	if (msr >= MSR_MTRR_VAR && msr < MSR_MTRR_VAR + ARRAY_LEN(v->s.mtrr_var))
		return &v->s.mtrr_var[msr - MSR_MTRR_VAR];
	if (msr == 0x2ff)
		return &v->s.mtrr_def_type;
	for (size_t k = 0; k < ARRAY_LEN(fixed); k++) {
		if (fixed[k] == msr)
			return &v->s.mtrr_fixed[k];
	}
	return NULL;
}

static bool memory_type_valid(uint64_t type)
{
	return type <= 1 || (type >= 4 && type <= 6);
}

static bool write_mtrr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	uint64_t *m = mtrr(v, msr);

	if (msr == 0x2ff) {
		if ((value & ~0xcffull) || !memory_type_valid(value & 0xff))
			return false;
	} else if (msr >= 0x250) {
		for (unsigned k = 0; k < 8; k++) {
			if (!memory_type_valid((value >> 8 * k) & 0xff))
				return false;
		}
	} else if (value >> v->phys_bits) {
		return false;
	}
	*m = value;
	return true;
}

static bool write_pat(struct vcpu *v, uint64_t value)
{
	for (unsigned k = 0; k < 8; k++) {
		uint64_t type = (value >> 8 * k) & 0xff;

		if (!memory_type_valid(type) && type != 7)
			return false;
	}
	v->s.pat = value;
	return true;
}

static bool write_efer(struct vcpu *v, uint64_t value)
{
	const uint64_t known = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_AUTOIBRS;

	if (value & ~known)
		return false;
	if (((value ^ v->s.efer) & EFER_LME) && (v->s.cr0 & CR0_PG))
		return false;
	value = (value & ~EFER_LMA) | (v->s.efer & EFER_LMA);
	if ((value ^ v->s.efer) & EFER_NXE)
		tlb_flush_all(v);
	v->s.efer = value;
	return true;
}

static bool is_apic(uint32_t msr)
{
	return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE || (msr >= 0x800 && msr <= 0x8ff);
}

bool msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	const struct plain_msr *m = lookup(plain, ARRAY_LEN(plain), msr);

	if (!m)
		m = lookup(pointers, ARRAY_LEN(pointers), msr);
	if (m) {
		*value = m->offset ? *field(v, m) : m->value;
		return true;
	}
	if (mtrr(v, msr)) {
		*value = *mtrr(v, msr);
		return true;
	}
	if (msr >= 0x400 && msr < 0x400 + ARRAY_LEN(v->s.mc_bank)) {
		*value = v->s.mc_bank[msr - 0x400];
		return true;
	}
	if (is_apic(msr))
		return v->platform->apic_msr_read(v->platform->opaque, v->index, msr, value);
	switch (msr) {
	case MSR_TSC:
		*value = vcpu_outside(v, vcpu_tsc(v));
		return true;
	case MSR_TSC_ADJUST:
		*value = v->s.tsc_adjust;
		return true;
	case MSR_MTRR_CAP:
		*value = 0x508; /* eight variable ranges, fixed ranges, write combining */
		return true;
	case MSR_ARCH_CAP:
		*value = v->arch_capabilities;
		return true;
	case MSR_MCG_CAP:
		*value = 1ull << 8 | MCE_BANKS;
		return true;
	case 0x277:
		*value = v->s.pat;
		return true;
	case MSR_EFER:
		*value = v->s.efer;
		return true;
	case MSR_FS_BASE:
		*value = v->s.seg[S_FS].base;
		return true;
	case MSR_GS_BASE:
		*value = v->s.seg[S_GS].base;
		return true;
	default:
		log_debug("cpu", "rdmsr 0x%x: unknown, #GP at rip 0x%llx", msr, (unsigned long long)v->s.rip);
		return false;
	}
}

bool msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	const struct plain_msr *m = lookup(plain, ARRAY_LEN(plain), msr);

	if (m) {
		if (value & ~m->writable)
			return false;
		if (m->offset)
			*field(v, m) = value;
		return true;
	}
	m = lookup(pointers, ARRAY_LEN(pointers), msr);
	if (m) {
		if (!is_canonical(value))
			return false;
		*field(v, m) = value;
		return true;
	}
	if (mtrr(v, msr))
		return write_mtrr(v, msr, value);
	if (msr >= 0x400 && msr < 0x400 + ARRAY_LEN(v->s.mc_bank)) {
		v->s.mc_bank[msr - 0x400] = value;
		return true;
	}
	if (is_apic(msr)) {
		if (!v->platform->apic_msr_write(v->platform->opaque, v->index, msr, value))
			return false;
		if (msr == MSR_APIC_BASE) {
			v->s.apic_base = value;
			tlb_flush_all(v); /* its page appears or moves */
		}
		return true;
	}
	switch (msr) {
	case MSR_TSC: {
		uint64_t delta = value - vcpu_outside(v, vcpu_tsc(v));

		v->s.tsc_offset += delta;
		v->s.tsc_adjust += delta;
		return true;
	}
	case MSR_TSC_ADJUST:
		v->s.tsc_offset += value - v->s.tsc_adjust;
		v->s.tsc_adjust = value;
		return true;
	case 0x277:
		return write_pat(v, value);
	case MSR_EFER:
		return write_efer(v, value);
	case MSR_FS_BASE:
	case MSR_GS_BASE: {
		unsigned seg = msr == MSR_FS_BASE ? S_FS : S_GS;

		if (!is_canonical(value))
			return false;
		v->s.seg[seg].base = value;
		cpu_update_mode(v);
		return true;
	}
	default:
		log_debug("cpu", "wrmsr 0x%x = 0x%llx: unknown, #GP", msr, (unsigned long long)value);
		return false;
	}
}
