/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/sem_vector.c - the vector instructions whose memory accesses depend on their data: masked moves
 * and gathers (elements that are masked off do not fault), and VZEROALL, VZEROUPPER.
 */
#include "monitor/cpu/fpu.h"
#include "monitor/cpu/rows.h"

int insn_vzeroupper(struct vcpu *v, const struct insn *i)
{
	unsigned n = v->code_size == CODE_64 ? 16 : 8;

	fpu_require(v, FPU_AVX);
	memset(v->s.xsave.bytes + XS_AVX, 0, 16 * n);
	if (i->mnemonic == ZYDIS_MNEMONIC_VZEROALL)
		memset(v->s.xsave.bytes + FX_XMM, 0, 16 * n);
	return INSN_NEXT;
}

static bool element_selected(const uint8_t *mask, unsigned k, unsigned size)
{
	return mask[k * size + size - 1] & 0x80;
}

static unsigned masked_element(const struct insn *i)
{
	return i->mnemonic == ZYDIS_MNEMONIC_VMASKMOVPD || i->mnemonic == ZYDIS_MNEMONIC_VPMASKMOVQ ? 8 : 4;
}

int insn_vmaskmov(struct vcpu *v, const struct insn *i)
{
	unsigned size = masked_element(i), count = i->vl / size;
	bool store = i->flags & INSN_WRITE;
	uint8_t mask[32], data[32] = { 0 };
	/* An element past the end of the address size: at its bottom on AMD, in the one operand on Intel. */
	uint64_t wrap = v->cpuid->intel ? v->la_mask : UINT64_MAX >> i->addr_shift, off;

	fpu_require(v, FPU_AVX);
	fpu_get_vector(v, i->vectors[1], mask);
	if (store)
		fpu_get_vector(v, i->vectors[2], data);
	off = insn_offset(v, i);
	for (unsigned pass = store ? 0 : 1; pass < 2; pass++) {
		for (unsigned k = 0; k < count; k++) {
			uint64_t la;

			if (!element_selected(mask, k, size))
				continue;
			la = (off + k * size) & wrap;
			la = seg_linear(v, i->seg, la, size, store);
			if (!store)
				le_store(data + k * size, size, lin_read(v, la, size, i->seg));
			else if (pass == 0)
				lin_probe_write(v, la, size, i->seg);
			else
				lin_write(v, la, size, le_load(data + k * size, size), i->seg);
		}
	}
	if (!store)
		fpu_set_vector(v, i->vectors[0], data);
	return INSN_NEXT;
}

/* As every MMX instruction does first: top of stack 0, all registers valid.  The image is in stack order. */
static void enter_mmx(struct vcpu *v)
{
	uint8_t old[8][16], *x = v->s.xsave.bytes;
	unsigned top = (x[FX_FSW + 1] >> 3) & 7;

	if (fpu_exception_pending(v))
		cpu_raise(v, EXC_MF);
	memcpy(old, x + FX_ST, sizeof(old));
	for (unsigned k = 0; k < 8; k++)
		memcpy(x + FX_ST + 16 * k, old[(k - top) & 7], 16);
	x[FX_FTW] = 0xff;
	x[FX_FSW + 1] &= 0xc7;
}

/* MASKMOVQ, MASKMOVDQU, VMASKMOVDQU: bytes of operand 0 where operand 1 has its sign, to DS:rDI. */
int insn_maskmov_bytes(struct vcpu *v, const struct insn *i)
{
	bool mmx = i->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ;
	unsigned count = mmx ? 8 : 16;
	uint64_t off = v->s.gpr[R_DI] << i->addr_shift >> i->addr_shift;
	uint8_t data[32], mask[32];

	fpu_require(v, i->fpu);
	if (mmx) {
		enter_mmx(v);
		memcpy(data, v->s.xsave.bytes + FX_ST + 16 * i->vectors[0], 8);
		memcpy(mask, v->s.xsave.bytes + FX_ST + 16 * i->vectors[1], 8);
	} else {
		fpu_get_vector(v, i->vectors[0], data);
		fpu_get_vector(v, i->vectors[1], mask);
	}
	/* Whatever the mask, the operand as a whole must be writable. */
	lin_probe_write(v, seg_linear(v, i->seg, off, count, true), count, i->seg);
	for (unsigned k = 0; k < count; k++) {
		if (mask[k] & 0x80)
			lin_write(v, seg_linear(v, i->seg, off + k, 1, true), 1, data[k], i->seg);
	}
	return INSN_NEXT;
}

/* What a gather's mnemonic says: sizes of index and data. */
static void gather_sizes(const struct insn *i, unsigned *index, unsigned *data)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_VGATHERDPS:
	case ZYDIS_MNEMONIC_VPGATHERDD:
		*index = 4, *data = 4;
		break;
	case ZYDIS_MNEMONIC_VGATHERDPD:
	case ZYDIS_MNEMONIC_VPGATHERDQ:
		*index = 4, *data = 8;
		break;
	case ZYDIS_MNEMONIC_VGATHERQPS:
	case ZYDIS_MNEMONIC_VPGATHERQD:
		*index = 8, *data = 4;
		break;
	default:
		*index = 8, *data = 8;
		break;
	}
}

int insn_gather(struct vcpu *v, const struct insn *i)
{
	unsigned isize, dsize, count, mask_reg = i->vectors[2], index_reg = i->imm2;
	uint8_t dest[32], mask[32], index[32];
	uint64_t base;

	fpu_require(v, FPU_AVX);
	if (i->vectors[0] == mask_reg || i->vectors[0] == index_reg || mask_reg == index_reg)
		cpu_raise(v, EXC_UD);
	gather_sizes(i, &isize, &dsize);
	count = i->vl / MAX_OF(isize, dsize);
	fpu_get_vector(v, i->vectors[0], dest);
	fpu_get_vector(v, mask_reg, mask);
	fpu_get_vector(v, index_reg, index);
	base = (&v->s.gpr[0])[i->base] + (uint64_t)i->disp;
	/* What a fault leaves: on Intel a mask of whole elements (SDM volume 2, VGATHERDPD) and, once an
	 * element has come, the destination cleared beyond the vector; on AMD what was there. */
	for (unsigned k = 0; v->cpuid->intel && k < sizeof(mask) / dsize; k++)
		memset(mask + k * dsize, k < i->vl / dsize && element_selected(mask, k, dsize) ? 0xff : 0,
			dsize);
	for (unsigned k = 0; k < count; k++) {
		uint64_t off = base + (bits_sext(le_load(index + k * isize, isize), isize) << i->scale);

		if (!element_selected(mask, k, dsize)) {
			memset(mask + k * dsize, 0, dsize);
			continue;
		}
		fpu_set_vector(v, i->vectors[0], dest);
		fpu_set_vector(v, mask_reg, mask);
		off = off << i->addr_shift >> i->addr_shift;
		le_store(dest + k * dsize, dsize,
			lin_read(v, seg_linear(v, i->seg, off, dsize, false), dsize, i->seg));
		memset(mask + k * dsize, 0, dsize);
		if (v->cpuid->intel)
			memset(dest + i->vl, 0, sizeof(dest) - i->vl);
	}
	memset(dest + count * dsize, 0, 32 - count * dsize);
	memset(mask, 0, sizeof(mask));
	fpu_set_vector(v, i->vectors[0], dest);
	fpu_set_vector(v, mask_reg, mask);
	return INSN_NEXT;
}
