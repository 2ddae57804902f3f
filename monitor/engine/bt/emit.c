/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/emit.c - bytes of host code.
 */
#include "monitor/engine/bt/bt.h"

#include "monitor/cpu/fpu.h"

void emit_byte(struct emit *e, unsigned b)
{
	if (e->at < e->end)
		*e->at++ = (uint8_t)b;
	else
		e->overflow = true;
}

void emit_bytes(struct emit *e, const void *p, unsigned n)
{
	for (const uint8_t *q = p; n; n--)
		emit_byte(e, *q++);
}

void emit_u32(struct emit *e, uint32_t v)
{
	emit_bytes(e, &v, 4);
}

void emit_u64(struct emit *e, uint64_t v)
{
	emit_bytes(e, &v, 8);
}

/* gs: [REX] op modrm(00 reg 100) sib(00 100 101) disp32: an absolute address under the segment. */
static void vcpu_form(struct emit *e, unsigned width, unsigned opcode, unsigned reg, size_t offset)
{
	unsigned rex = (width == 8 ? 0x48 : 0x40) | (reg & 8) >> 1;

	emit_byte(e, 0x65);
	if (rex != 0x40)
		emit_byte(e, rex);
	emit_byte(e, opcode);
	emit_byte(e, (reg & 7) << 3 | 4);
	emit_byte(e, 0x25);
	emit_u32(e, (uint32_t)offset);
}

void emit_load_vcpu(struct emit *e, unsigned width, unsigned reg, size_t offset)
{
	vcpu_form(e, width, 0x8b, reg, offset);
}

void emit_store_vcpu(struct emit *e, unsigned width, unsigned reg, size_t offset)
{
	vcpu_form(e, width, 0x89, reg, offset);
}

void emit_op_vcpu(struct emit *e, unsigned opcode, unsigned reg, size_t offset)
{
	vcpu_form(e, 8, opcode, reg, offset);
}

void emit_mov(struct emit *e, unsigned width, unsigned dst, unsigned src)
{
	unsigned rex = (width == 8 ? 0x48 : 0x40) | (src & 8) >> 1 | (dst & 8) >> 3;

	if (rex != 0x40)
		emit_byte(e, rex);
	emit_byte(e, 0x89);
	emit_byte(e, 0xc0 | (src & 7) << 3 | (dst & 7));
}

void emit_mov_imm(struct emit *e, unsigned reg, uint64_t value)
{
	if (value >> 32 == 0) {
		if (reg & 8)
			emit_byte(e, 0x41);
		emit_byte(e, 0xb8 | (reg & 7));
		emit_u32(e, (uint32_t)value);
	} else if ((uint64_t)(int32_t)value == value) {
		emit_byte(e, 0x48 | (reg & 8) >> 3);
		emit_byte(e, 0xc7);
		emit_byte(e, 0xc0 | (reg & 7));
		emit_u32(e, (uint32_t)value);
	} else {
		emit_byte(e, 0x48 | (reg & 8) >> 3);
		emit_byte(e, 0xb8 | (reg & 7));
		emit_u64(e, value);
	}
}

void emit_lea(struct emit *e, unsigned width, unsigned reg, unsigned base, unsigned index, unsigned scale,
	int32_t disp)
{
	unsigned rex = (width == 8 ? 0x48 : 0x40) | (reg & 8) >> 1;

	if (index != H_NONE)
		rex |= (index & 8) >> 2;
	if (base != H_NONE)
		rex |= (base & 8) >> 3;
	if (rex != 0x40)
		emit_byte(e, rex);
	emit_byte(e, 0x8d);
	if (base == H_NONE) { /* mod 00, SIB base 101: disp32 alone */
		emit_byte(e, (reg & 7) << 3 | 4);
		emit_byte(e, scale << 6 | (index == H_NONE ? 4u : index & 7) << 3 | 5);
	} else { /* mod 10: disp32, always through a SIB byte */
		emit_byte(e, 0x80 | (reg & 7) << 3 | 4);
		emit_byte(e, scale << 6 | (index == H_NONE ? 4u : index & 7) << 3 | (base & 7));
	}
	emit_u32(e, (uint32_t)disp);
}

void emit_jmp(struct emit *e, const uint8_t *target)
{
	emit_byte(e, 0xe9);
	emit_u32(e, (uint32_t)(target - (emit_run_address(e, e->at) + 4)));
}

uint8_t *emit_jmp_later(struct emit *e)
{
	uint8_t *at;

	emit_byte(e, 0xe9);
	at = e->at;
	emit_u32(e, 0);
	return at;
}

uint8_t *emit_jcc_later(struct emit *e, unsigned condition)
{
	uint8_t *at;

	emit_byte(e, 0x0f);
	emit_byte(e, 0x80 | condition);
	at = e->at;
	emit_u32(e, 0);
	return at;
}

void emit_patch(uint8_t *displacement, const uint8_t *target_write)
{
	le_store(displacement, 4, (uint64_t)(target_write - (displacement + 4)));
}

/* lahf; seto al; mov gs:[cc], ax: none of them changes a flag. */
void emit_save_flags(struct emit *e)
{
	emit_byte(e, 0x9f);
	emit_byte(e, 0x0f), emit_byte(e, 0x90), emit_byte(e, 0xc0);
	emit_byte(e, 0x65), emit_byte(e, 0x66), emit_byte(e, 0x89), emit_byte(e, 0x04), emit_byte(e, 0x25);
	emit_u32(e, offsetof(struct vcpu, cc));
}

/* movzx eax, word gs:[cc]; add al, 127 (OF from bit 0); sahf */
void emit_load_flags(struct emit *e)
{
	emit_byte(e, 0x65), emit_byte(e, 0x0f), emit_byte(e, 0xb7), emit_byte(e, 0x04), emit_byte(e, 0x25);
	emit_u32(e, offsetof(struct vcpu, cc));
	emit_byte(e, 0x04), emit_byte(e, 0x7f);
	emit_byte(e, 0x9e);
}

#define X_AT(off) (offsetof(struct vcpu, s.xsave) + (size_t)(off))

/* movups xmm, gs:[..] or back */
void emit_vector_low(struct emit *e, bool store, unsigned n)
{
	emit_byte(e, 0x65);
	if (n & 8)
		emit_byte(e, 0x44);
	emit_byte(e, 0x0f), emit_byte(e, store ? 0x11 : 0x10);
	emit_byte(e, (n & 7) << 3 | 4), emit_byte(e, 0x25);
	emit_u32(e, (uint32_t)X_AT(FX_XMM + 16 * n));
}

/* vinsertf128 ymm, ymm, gs:[..], 1 or vextractf128 gs:[..], ymm, 1 */
void emit_vector_high(struct emit *e, bool store, unsigned n)
{
	emit_byte(e, 0x65);
	emit_byte(e, 0xc4), emit_byte(e, (n & 8 ? 0u : 0x80u) | 0x63);
	emit_byte(e, store ? 0x7d : (~n & 15) << 3 | 5), emit_byte(e, store ? 0x19 : 0x18);
	emit_byte(e, (n & 7) << 3 | 4), emit_byte(e, 0x25);
	emit_u32(e, (uint32_t)X_AT(XS_AVX + 16 * n));
	emit_byte(e, 1);
}

void emit_vzeroupper(struct emit *e)
{
	emit_byte(e, 0xc5), emit_byte(e, 0xf8), emit_byte(e, 0x77);
}

void emit_mxcsr(struct emit *e, bool store, size_t offset)
{
	emit_byte(e, 0x65), emit_byte(e, 0x0f), emit_byte(e, 0xae);
	emit_byte(e, (store ? 3u : 2u) << 3 | 4), emit_byte(e, 0x25);
	emit_u32(e, (uint32_t)offset);
}
