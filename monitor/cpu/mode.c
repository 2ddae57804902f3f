/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/mode.c - what the vCPU's mode follows from, and the control registers that change it.
 */
#include "monitor/cpu/debug.h"
#include "monitor/cpu/insn.h"
#include "monitor/cpu/segment.h"

uint64_t vcpu_get_rflags(const struct vcpu *v)
{
	return (v->s.rflags & ~FLAGS_STATUS) | ((v->cc >> 8) & 0xd5) | (uint64_t)(v->cc & CC_OF) << 11 |
	       FLAG_ONE;
}

void vcpu_set_rflags(struct vcpu *v, uint64_t rflags)
{
	v->s.rflags = rflags | FLAG_ONE;
	v->cc = (uint16_t)((rflags & 0xd5) << 8 | (rflags & FLAG_OF) >> 11);
}

void cpu_set_flags(struct vcpu *v, uint64_t value, uint64_t mask)
{
	uint64_t old = vcpu_get_rflags(v);
	uint64_t now = (old & ~mask) | (value & mask);

	vcpu_set_rflags(v, now);
	if ((old ^ now) & FLAG_VM)
		cpu_update_mode(v);
	if ((old ^ now) & FLAG_AC)
		tlb_select_view(v);
	if (((now & FLAG_IF) && atomic_load(&v->pending)) || (now & (FLAG_TF | FLAG_RF)))
		atomic_store(&v->attention, 1);
}

/* Is adding the base all there is to an access through this segment, read or write? */
static bool is_plain(const struct vcpu *v, unsigned seg)
{
	const struct segment *s = &v->s.seg[seg];

	if (v->code_size == CODE_64)
		return true;
	if (s->limit != 0xffffffffu)
		return false;
	if (!v->protected_mode)
		return true;
	return (s->attr & (SEG_P | SEG_S | 0xe)) == (SEG_P | SEG_S | 2) && (s->selector & ~3u);
}

void cpu_update_fpu(struct vcpu *v)
{
	uint64_t cr0 = v->s.cr0, cr4 = v->s.cr4;
	bool real = !v->protected_mode || v->v86;
	bool ts = cr0 & CR0_TS, em = cr0 & CR0_EM;
	uint8_t closed = 0;

	if (ts || em)
		closed |= FPU_X87 | FPU_MMX;
	if (ts || em || !(cr4 & CR4_OSFXSR))
		closed |= FPU_SSE;
	if (ts || real || !(cr4 & CR4_OSXSAVE) ||
		(v->s.xcr0 & (XCR0_SSE | XCR0_AVX)) != (XCR0_SSE | XCR0_AVX))
		closed |= FPU_AVX;
	if (real)
		closed |= FPU_VEX;
	if (ts && (cr0 & CR0_MP))
		closed |= FPU_WAIT;
	v->fpu_closed = closed;
}

void cpu_update_mode(struct vcpu *v)
{
	const struct segment *cs = &v->s.seg[S_CS];

	v->protected_mode = v->s.cr0 & CR0_PE;
	v->v86 = v->protected_mode && (v->s.rflags & FLAG_VM);
	v->long_mode = v->s.efer & EFER_LMA;
	if (v->long_mode && (cs->attr & SEG_L))
		v->code_size = CODE_64;
	else
		v->code_size = cs->attr & SEG_DB ? CODE_32 : CODE_16;
	v->cs_flat = v->code_size == CODE_64 || cs->limit == 0xffffffffu;
	v->cpl = !v->protected_mode ? 0 : v->v86 ? 3 : (uint8_t)bits_get(v->s.seg[S_SS].attr, 6, 5);
	v->la_mask = v->code_size == CODE_64 ? UINT64_MAX : 0xffffffffu;
	v->seg_plain = 0;
	for (unsigned seg = S_ES; seg <= S_GS; seg++) {
		v->seg_base[seg] = v->code_size == CODE_64 && seg < S_FS ? 0 : v->s.seg[seg].base;
		v->seg_plain |= (uint8_t)(is_plain(v, seg) << seg);
	}
	cpu_update_fpu(v);
	tlb_select_view(v);
}

void cpu_update_code(struct vcpu *v)
{
	if (v->code_size != CODE_64 || !(v->s.seg[S_CS].attr & SEG_L)) {
		cpu_update_mode(v);
		return;
	}
	v->cpl = (uint8_t)bits_get(v->s.seg[S_SS].attr, 6, 5);
	tlb_select_view(v);
}

void vcpu_settle(struct vcpu *v)
{
	v->s.zero = 0;
	vcpu_set_rflags(v, v->s.rflags);
	cpu_update_mode(v);
	v->event.vector = -1;
	v->delivering = -1;
	tlb_flush_all(v);
	v->region_cache.size = 0;
	atomic_store(&v->attention, 1);
}

/* Entering and leaving IA-32e mode is a consequence of CR0.PG with EFER.LME (SDM 9.8.5). */
static void update_lma(struct vcpu *v)
{
	if ((v->s.efer & EFER_LME) && (v->s.cr0 & CR0_PG))
		v->s.efer |= EFER_LMA;
	else
		v->s.efer &= ~EFER_LMA;
}

void cpu_write_cr0(struct vcpu *v, uint64_t value)
{
	uint64_t old = v->s.cr0, diff;

	if (value >> 32)
		cpu_raise_error(v, EXC_GP, 0);
	value = (value & (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |
				 CR0_PG)) |
		CR0_ET;
	diff = old ^ value;
	if (((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
		cpu_raise_error(v, EXC_GP, 0);
	if ((diff & CR0_PG) && (value & CR0_PG)) {
		if (v->s.efer & EFER_LME) {
			if (!(v->s.cr4 & CR4_PAE) || (v->s.seg[S_CS].attr & SEG_L))
				cpu_raise_error(v, EXC_GP, 0);
		} else if ((v->s.cr4 & CR4_PAE) && !paging_pdptes_valid(v, v->s.cr3)) {
			cpu_raise_error(v, EXC_GP, 0);
		}
	}
	if ((diff & CR0_PG) && !(value & CR0_PG) && (v->code_size == CODE_64 || (v->s.cr4 & CR4_PCIDE)))
		cpu_raise_error(v, EXC_GP, 0);
	v->s.cr0 = value;
	if (diff & CR0_PG)
		update_lma(v);
	cpu_update_mode(v);
	if (diff & (CR0_PG | CR0_PE | CR0_WP))
		tlb_flush_all(v);
}

void cpu_write_cr3(struct vcpu *v, uint64_t value)
{
	bool keep = (v->s.cr4 & CR4_PCIDE) && (value >> 63);

	if (v->s.cr4 & CR4_PCIDE)
		value &= ~(1ull << 63);
	if (v->long_mode ? (value >> v->phys_bits) != 0 : false)
		cpu_raise_error(v, EXC_GP, 0);
	if (!v->long_mode && (v->s.cr0 & CR0_PG) && (v->s.cr4 & CR4_PAE) && !paging_pdptes_valid(v, value))
		cpu_raise_error(v, EXC_GP, 0);
	v->s.cr3 = value;
	tlb_switch(v, value & 0xfff, keep);
}

void cpu_write_cr4(struct vcpu *v, uint64_t value)
{
	const uint64_t known = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |
			       CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE |
			       CR4_OSXSAVE | CR4_SMEP | CR4_SMAP;
	uint64_t diff = v->s.cr4 ^ value;

	if (value & ~known)
		cpu_raise_error(v, EXC_GP, 0);
	if (v->long_mode && !(value & CR4_PAE))
		cpu_raise_error(v, EXC_GP, 0);
	if ((diff & CR4_PCIDE) && (value & CR4_PCIDE) && (!v->long_mode || (v->s.cr3 & 0xfff)))
		cpu_raise_error(v, EXC_GP, 0);
	if ((diff & CR4_PAE) && (value & CR4_PAE) && (v->s.cr0 & CR0_PG) && !v->long_mode &&
		!paging_pdptes_valid(v, v->s.cr3))
		cpu_raise_error(v, EXC_GP, 0);
	v->s.cr4 = value;
	cpu_update_mode(v);
	if (diff & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP))
		tlb_flush_all(v);
}
