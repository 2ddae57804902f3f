/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/fpu.c - saving, restoring and gating of x87, SSE and AVX state.
 */
#include "monitor/cpu/fpu.h"

#include "monitor/cpu/rows.h"

_Noreturn void fpu_refuse(struct vcpu *v, unsigned classes)
{
	unsigned closed = v->fpu_closed & classes;
	uint64_t cr0 = v->s.cr0, cr4 = v->s.cr4;
	bool real = !v->protected_mode || v->v86;

	if (closed & FPU_VEX)
		cpu_raise(v, EXC_UD);
	if ((closed & FPU_AVX) && (real || !(cr4 & CR4_OSXSAVE) ||
					  (v->s.xcr0 & (XCR0_SSE | XCR0_AVX)) != (XCR0_SSE | XCR0_AVX)))
		cpu_raise(v, EXC_UD);
	if ((closed & FPU_SSE) && ((cr0 & CR0_EM) || !(cr4 & CR4_OSFXSR)))
		cpu_raise(v, EXC_UD);
	if ((closed & FPU_MMX) && (cr0 & CR0_EM))
		cpu_raise(v, EXC_UD);
	cpu_raise(v, EXC_NM);
}

static uint32_t host_mxcsr_mask(void)
{
	uint8_t image[FX_SIZE] __attribute__((aligned(16))) = { 0 };
	uint32_t mask;

	__asm__ volatile("fxsave64 %0" : "=m"(image));
	mask = (uint32_t)le_load(image + FX_MXCSR_MASK, 4);
	return mask ? mask : 0xffbf;
}

void fpu_reset(struct vcpu *v)
{
	uint8_t *x = v->s.xsave.bytes;

	memset(x, 0, sizeof(v->s.xsave.bytes));
	le_store(x + FX_FCW, 2, 0x40);
	x[FX_FTW] = 0xff; /* abridged: tag word 0x5555, zero in every register */
	le_store(x + FX_MXCSR, 4, 0x1f80);
	le_store(x + FX_MXCSR_MASK, 4, host_mxcsr_mask());
	x[XS_HEADER] = XCR0_ALL;
}

void fpu_get_vector(const struct vcpu *v, unsigned n, uint8_t out[32])
{
	memcpy(out, v->s.xsave.bytes + FX_XMM + 16 * n, 16);
	memcpy(out + 16, v->s.xsave.bytes + XS_AVX + 16 * n, 16);
}

void fpu_set_vector(struct vcpu *v, unsigned n, const uint8_t in[32])
{
	memcpy(v->s.xsave.bytes + FX_XMM + 16 * n, in, 16);
	memcpy(v->s.xsave.bytes + XS_AVX + 16 * n, in + 16, 16);
}

static void check_mxcsr(struct vcpu *v, uint32_t value)
{
	if (value & ~(uint32_t)le_load(v->s.xsave.bytes + FX_MXCSR_MASK, 4))
		cpu_raise_error(v, EXC_GP, 0);
}

int insn_ldmxcsr(struct vcpu *v, const struct insn *i)
{
	uint32_t value;

	fpu_require(v, i->fpu);
	value = (uint32_t)op_read(v, i, 0, 4);
	check_mxcsr(v, value);
	le_store(v->s.xsave.bytes + FX_MXCSR, 4, value);
	return INSN_NEXT;
}

int insn_stmxcsr(struct vcpu *v, const struct insn *i)
{
	fpu_require(v, i->fpu);
	op_write(v, i, 0, 4, fpu_mxcsr(v));
	return INSN_NEXT;
}

/* ---- FXSAVE, FXRSTOR
 * ---------------------------------------------------------------------------------------------------- */

static uint64_t image_address(struct vcpu *v, const struct insn *i, unsigned len, unsigned align, bool write)
{
	uint64_t la = insn_linear(v, i, len, write);

	if (la & (align - 1))
		cpu_raise_error(v, EXC_GP, 0);
	/* Images are moved in pieces, so the first one's page counts before the end of a flat segment does. */
	if (v->la_mask == UINT64_MAX && !is_canonical(la + len - 1))
		cpu_raise_error(v, i->seg == S_SS ? EXC_SS : EXC_GP, 0);
	lin_direct(v, la, 16, write ? TLB_WRITE : TLB_READ, i->seg);
	return la;
}

static void fx_gate(struct vcpu *v)
{
	if (v->s.cr0 & CR0_EM)
		cpu_raise(v, EXC_UD);
	if (v->s.cr0 & CR0_TS)
		cpu_raise(v, EXC_NM);
}

static unsigned visible_xmm(const struct vcpu *v)
{
	return v->code_size == CODE_64 ? 16 : 8;
}

/* Without REX.W instruction and data pointers are 32 bits with (deprecated, zero) selectors. */
static void narrow_pointers(uint8_t *image)
{
	le_store(image + FX_FIP + 4, 4, 0);
	le_store(image + FX_FDP + 4, 4, 0);
}

int insn_fxsave(struct vcpu *v, const struct insn *i)
{
	uint8_t image[FX_SIZE];
	uint64_t la;

	fx_gate(v);
	la = image_address(v, i, FX_SIZE, 16, true);
	memcpy(image, v->s.xsave.bytes, FX_SIZE);
	if (i->mnemonic != ZYDIS_MNEMONIC_FXSAVE64)
		narrow_pointers(image);
	/* The last 48 bytes are software's, and so are registers this mode does not have. */
	lin_probe_write(v, la, FX_SIZE, i->seg);
	lin_write_bytes(v, la, image, FX_XMM + 16 * visible_xmm(v), i->seg);
	return INSN_NEXT;
}

static void restore_x87(struct vcpu *v, const uint8_t *image)
{
	unsigned fcw, fsw;

	memcpy(v->s.xsave.bytes, image, FX_MXCSR);
	memcpy(v->s.xsave.bytes + FX_ST, image + FX_ST, FX_XMM - FX_ST);
	for (unsigned k = 0; k < 8; k++)
		memset(v->s.xsave.bytes + FX_ST + 16 * k + 10, 0, 6);
	v->s.xsave.bytes[FX_FTW + 1] = 0;
	/* Reserved control bits read back as 0, bit 6 as 1; the opcode has eleven bits. */
	fcw = (unsigned)(le_load(image + FX_FCW, 2) & 0x1f3f) | 0x40;
	le_store(v->s.xsave.bytes + FX_FCW, 2, fcw);
	/* The error summary and B follow from flags and masks. */
	fsw = (unsigned)le_load(image + FX_FSW, 2) & 0x7f7f;
	le_store(v->s.xsave.bytes + FX_FSW, 2, fsw | (fsw & ~fcw & 0x3f ? 0x8080 : 0));
	v->s.xsave.bytes[FX_FOP + 1] &= 7;
}

int insn_fxrstor(struct vcpu *v, const struct insn *i)
{
	uint8_t image[FX_SIZE];
	uint64_t la;

	fx_gate(v);
	la = image_address(v, i, FX_SIZE, 16, false);
	lin_read_bytes(v, la, image, FX_SIZE, i->seg);
	check_mxcsr(v, (uint32_t)le_load(image + FX_MXCSR, 4));
	if (i->mnemonic != ZYDIS_MNEMONIC_FXRSTOR64)
		narrow_pointers(image);
	restore_x87(v, image);
	memcpy(v->s.xsave.bytes + FX_MXCSR, image + FX_MXCSR, 4);
	memcpy(v->s.xsave.bytes + FX_XMM, image + FX_XMM, 16 * visible_xmm(v));
	return INSN_NEXT;
}

/* ---- XSAVE family
 * -------------------------------------------------------------------------------------------------------- */

static uint64_t requested(const struct vcpu *v)
{
	return ((v->s.gpr[R_DX] << 32) | (v->s.gpr[R_AX] & 0xffffffffu)) & v->s.xcr0;
}

static void xsave_gate(struct vcpu *v)
{
	if (!(v->s.cr4 & CR4_OSXSAVE))
		cpu_raise(v, EXC_UD);
	if (v->s.cr0 & CR0_TS)
		cpu_raise(v, EXC_NM);
}

static bool is_compact(const struct insn *i)
{
	return i->mnemonic == ZYDIS_MNEMONIC_XSAVEC || i->mnemonic == ZYDIS_MNEMONIC_XSAVEC64;
}

int insn_xsave(struct vcpu *v, const struct insn *i)
{
	uint64_t rfbm, la, old_bv = 0;
	uint8_t image[FX_SIZE], header[16] = { 0 };
	unsigned xmm = visible_xmm(v);

	xsave_gate(v);
	rfbm = requested(v);
	la = image_address(v, i, XS_SIZE, 64, true);
	lin_probe_write(v, la, XS_SIZE, i->seg);
	if (!is_compact(i))
		old_bv = lin_read(v, la + XS_HEADER, 8, i->seg);
	memcpy(image, v->s.xsave.bytes, FX_SIZE);
	if (i->opsize != 8)
		narrow_pointers(image);
	if (rfbm & XCR0_X87) {
		lin_write_bytes(v, la, image, FX_MXCSR, i->seg);
		lin_write_bytes(v, la + FX_ST, image + FX_ST, FX_XMM - FX_ST, i->seg);
	}
	if (rfbm & (XCR0_SSE | XCR0_AVX))
		lin_write_bytes(v, la + FX_MXCSR, image + FX_MXCSR, 8, i->seg);
	if (rfbm & XCR0_SSE)
		lin_write_bytes(v, la + FX_XMM, image + FX_XMM, 16 * xmm, i->seg);
	if (rfbm & XCR0_AVX)
		lin_write_bytes(v, la + XS_AVX, v->s.xsave.bytes + XS_AVX, 16 * xmm, i->seg);
	le_store(header, 8, (old_bv & ~rfbm) | rfbm);
	le_store(header + 8, 8, is_compact(i) ? 1ull << 63 | rfbm : 0);
	lin_write_bytes(v, la + XS_HEADER, header, is_compact(i) ? 16 : 8, i->seg);
	return INSN_NEXT;
}

/* The header's reserved parts and format; returns whether it is compacted. */
static bool check_header(struct vcpu *v, const uint8_t *h)
{
	uint64_t bv = le_load(h, 8), comp = le_load(h + 8, 8);
	bool compact = comp >> 63;
	unsigned reserved = 16;

	if ((bv & ~v->s.xcr0) ||
		(compact ? ((comp & ~(1ull << 63)) & ~v->s.xcr0) || (bv & ~comp) : comp != 0))
		cpu_raise_error(v, EXC_GP, 0);
	for (unsigned end = compact ? 64 : 24; reserved < end; reserved++) {
		if (h[reserved])
			cpu_raise_error(v, EXC_GP, 0);
	}
	return compact;
}

int insn_xrstor(struct vcpu *v, const struct insn *i)
{
	uint8_t image[XS_SIZE], *x = v->s.xsave.bytes;
	unsigned xmm = visible_xmm(v);
	uint64_t rfbm, bv, la;
	bool compact;

	xsave_gate(v);
	rfbm = requested(v);
	la = image_address(v, i, XS_HEADER + 64, 64, false);
	lin_read_bytes(v, la, image, XS_HEADER + 64, i->seg);
	compact = check_header(v, image + XS_HEADER);
	bv = le_load(image + XS_HEADER, 8);
	if (rfbm & bv & XCR0_AVX)
		lin_read_bytes(v, la + XS_AVX, image + XS_AVX, 16 * xmm, i->seg);
	if (compact ? rfbm & bv & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX))
		check_mxcsr(v, (uint32_t)le_load(image + FX_MXCSR, 4));
	if (i->opsize != 8)
		narrow_pointers(image);
	if (rfbm & XCR0_X87) {
		if (!(bv & XCR0_X87)) {
			memset(image, 0, FX_MXCSR);
			memset(image + FX_ST, 0, FX_XMM - FX_ST);
			le_store(image + FX_FCW, 2, 0x37f);
		}
		restore_x87(v, image);
	}
	if (compact ? rfbm & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX)) {
		if (compact && !(bv & XCR0_SSE))
			le_store(image + FX_MXCSR, 4, 0x1f80);
		memcpy(x + FX_MXCSR, image + FX_MXCSR, 4);
	}
	if (rfbm & XCR0_SSE) {
		if (!(bv & XCR0_SSE))
			memset(image + FX_XMM, 0, 256);
		memcpy(x + FX_XMM, image + FX_XMM, 16 * xmm);
	}
	if (rfbm & XCR0_AVX) {
		if (!(bv & XCR0_AVX))
			memset(image + XS_AVX, 0, 256);
		memcpy(x + XS_AVX, image + XS_AVX, 16 * xmm);
	}
	return INSN_NEXT;
}

int insn_xgetbv(struct vcpu *v, const struct insn *i)
{
	uint32_t n = (uint32_t)v->s.gpr[R_CX];

	(void)i;
	if (!(v->s.cr4 & CR4_OSXSAVE))
		cpu_raise(v, EXC_UD);
	if (n > 1)
		cpu_raise_error(v, EXC_GP, 0);
	v->s.gpr[R_AX] = v->s.xcr0; /* 1: in use; we do not track initial states, so all that is enabled */
	v->s.gpr[R_DX] = 0;
	return INSN_NEXT;
}

int insn_xsetbv(struct vcpu *v, const struct insn *i)
{
	uint64_t value = (v->s.gpr[R_DX] << 32) | (v->s.gpr[R_AX] & 0xffffffffu);

	(void)i;
	if (!(v->s.cr4 & CR4_OSXSAVE))
		cpu_raise(v, EXC_UD);
	if (v->cpl || (uint32_t)v->s.gpr[R_CX] || (value & ~XCR0_ALL) || !(value & XCR0_X87) ||
		((value & XCR0_AVX) && !(value & XCR0_SSE)))
		cpu_raise_error(v, EXC_GP, 0);
	v->s.xcr0 = value;
	cpu_update_fpu(v);
	return INSN_NEXT;
}
