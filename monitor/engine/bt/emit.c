/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/engine/bt/emit.h"

#include "monitor/cpu/fpu.h"

void emit_byte(struct emit *e, unsigned b)
{
	if (likely(e->at < e->end))
		*e->at++ = (uint8_t)b;
	else
		e->overflow = true;
}

void emit_bytes(struct emit *e, const void *p, unsigned n)
{
	if (unlikely((size_t)(e->end - e->at) < n)) {
		e->overflow = true;
		return;
	}
	memcpy(e->at, p, n);
	e->at += n;
}

void emit_u32(struct emit *e, uint32_t v)
{
	emit_bytes(e, &v, 4);
}

void emit_u64(struct emit *e, uint64_t v)
{
	emit_bytes(e, &v, 8);
}

void emit_modrm_reg(struct emit *e, unsigned reg, unsigned rm)
{
	emit_byte(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void emit_modrm_mem(struct emit *e, unsigned reg, const struct host_mem *m)
{
	bool sib = m->index != H_NONE || (m->base & 7) == H_SP || m->base == H_NONE;
	unsigned mod, rm = (reg & 7) << 3;

	if (m->base == H_NONE) { /* mod 00, SIB base 101: displacement alone */
		emit_byte(e, rm | 4);
		emit_byte(e, (unsigned)m->scale << 6 | (m->index == H_NONE ? 4u : m->index & 7u) << 3 | 5);
		emit_u32(e, (uint32_t)m->disp);
		return;
	}
	mod = m->disp == 0 && (m->base & 7) != H_BP ? 0 : m->disp == (int8_t)m->disp ? 1 : 2;
	emit_byte(e, mod << 6 | rm | (sib ? 4u : m->base & 7u));
	if (sib)
		emit_byte(e, (unsigned)m->scale << 6 | (m->index == H_NONE ? 4u : m->index & 7u) << 3 |
				     (m->base & 7u));
	if (mod == 1)
		emit_byte(e, (uint8_t)m->disp);
	else if (mod == 2)
		emit_u32(e, (uint32_t)m->disp);
}

unsigned emit_rex_mem(unsigned width, unsigned reg, const struct host_mem *m)
{
	unsigned rex = (width == 8 ? 8u : 0) | (reg & 8) >> 1;

	if (m->index != H_NONE)
		rex |= (m->index & 8u) >> 2;
	if (m->base != H_NONE)
		rex |= (m->base & 8u) >> 3;
	return rex;
}

static void emit_rex(struct emit *e, unsigned rex)
{
	if (rex)
		emit_byte(e, 0x40 | rex);
}

void emit_op_mem(struct emit *e, unsigned width, unsigned opcode, unsigned reg, const struct host_mem *m)
{
	if (m->vcpu)
		emit_byte(e, 0x65);
	emit_rex(e, emit_rex_mem(width, reg, m));
	emit_byte(e, opcode);
	emit_modrm_mem(e, reg, m);
}

void emit_op_reg(struct emit *e, unsigned width, unsigned opcode, unsigned reg, unsigned rm)
{
	emit_rex(e, (width == 8 ? 8u : 0) | (reg & 8) >> 1 | (rm & 8) >> 3);
	emit_byte(e, opcode);
	emit_modrm_reg(e, reg, rm);
}

void emit_load_vcpu(struct emit *e, unsigned width, unsigned reg, size_t offset)
{
	struct host_mem m = mem_vcpu(offset);

	emit_op_mem(e, width, OP_LOAD, reg, &m);
}

void emit_store_vcpu(struct emit *e, unsigned width, unsigned reg, size_t offset)
{
	struct host_mem m = mem_vcpu(offset);

	emit_op_mem(e, width, OP_STORE, reg, &m);
}

void emit_op_vcpu(struct emit *e, unsigned opcode, unsigned reg, size_t offset)
{
	struct host_mem m = mem_vcpu(offset);

	emit_op_mem(e, 8, opcode, reg, &m);
}

void emit_set_vcpu(struct emit *e, size_t offset, uint32_t value)
{
	struct host_mem m = mem_vcpu(offset);

	emit_op_mem(e, 4, 0xc7, 0, &m);
	emit_u32(e, value);
}

void emit_compare_vcpu(struct emit *e, unsigned width, size_t offset, int8_t value)
{
	struct host_mem m = mem_vcpu(offset);

	emit_op_mem(e, width, 0x83, IMM_CMP, &m);
	emit_byte(e, (uint8_t)value);
}

void emit_mov(struct emit *e, unsigned width, unsigned dst, unsigned src)
{
	emit_op_reg(e, width, OP_STORE, src, dst);
}

void emit_imm(struct emit *e, unsigned width, unsigned extension, unsigned reg, int32_t value)
{
	bool small = value == (int8_t)value;

	emit_op_reg(e, width, small ? 0x83 : 0x81, extension, reg);
	if (small)
		emit_byte(e, (uint8_t)value);
	else
		emit_u32(e, (uint32_t)value);
}

void emit_mov_imm(struct emit *e, unsigned reg, uint64_t value)
{
	if (value >> 32 == 0) {
		emit_rex(e, (reg & 8) >> 3);
		emit_byte(e, 0xb8 | (reg & 7));
		emit_u32(e, (uint32_t)value);
	} else if ((uint64_t)(int32_t)value == value) {
		emit_op_reg(e, 8, 0xc7, 0, reg);
		emit_u32(e, (uint32_t)value);
	} else {
		emit_rex(e, 8 | (reg & 8) >> 3);
		emit_byte(e, 0xb8 | (reg & 7));
		emit_u64(e, value);
	}
}

void emit_movzx(struct emit *e, unsigned size, unsigned reg, const struct host_mem *m)
{
	if (m->vcpu)
		emit_byte(e, 0x65);
	emit_rex(e, emit_rex_mem(4, reg, m));
	emit_byte(e, 0x0f), emit_byte(e, size == 1 ? 0xb6 : 0xb7);
	emit_modrm_mem(e, reg, m);
}

void emit_lea(struct emit *e, unsigned width, unsigned reg, const struct host_mem *m)
{
	if (m->index == H_NONE && m->disp == 0 && m->base == reg && width == 8)
		return;
	if (m->index == H_NONE && m->disp == 0 && m->base != H_NONE)
		emit_mov(e, width, reg, m->base);
	else
		emit_op_mem(e, width, OP_LEA, reg, m);
}

void emit_rorx(struct emit *e, unsigned width, unsigned reg, unsigned src, unsigned count)
{
	emit_byte(e, 0xc4);
	emit_byte(e, (reg & 8 ? 0u : 0x80u) | 0x40 | (src & 8 ? 0u : 0x20u) | 3);
	emit_byte(e, width == 8 ? 0xfb : 0x7b);
	emit_byte(e, 0xf0);
	emit_modrm_reg(e, reg, src);
	emit_byte(e, count);
}

void emit_jmp(struct emit *e, const uint8_t *target)
{
	emit_byte(e, 0xe9);
	emit_u32(e, (uint32_t)(target - (emit_run_address(e, e->at) + 4)));
}

void emit_jmp_mem(struct emit *e, const struct host_mem *m)
{
	emit_op_mem(e, 4, 0xff, 4, m);
}

void emit_jmp_reg(struct emit *e, unsigned reg)
{
	emit_op_reg(e, 4, 0xff, 4, reg);
}

void emit_whole(struct emit *e, unsigned before)
{
	while (((uintptr_t)e->at + before) % 64 > 60 && !e->overflow)
		emit_byte(e, 0x90);
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

uint8_t *emit_lea_later(struct emit *e, unsigned reg)
{
	uint8_t *at;

	emit_rex(e, 8 | (reg & 8) >> 1);
	emit_byte(e, OP_LEA);
	emit_byte(e, (reg & 7) << 3 | 5);
	at = e->at;
	emit_u32(e, 0);
	return at;
}

/* After an overflow the places are not all there: the block is thrown away. */
void emit_patch(uint8_t *displacement, const uint8_t *target_write)
{
	le_store(displacement, 4, (uint64_t)(target_write - (displacement + 4)));
}

/* mov t0, rax; lahf; seto al; mov gs:[cc], ax; mov rax, t0: none of them changes a flag. */
void emit_save_flags(struct emit *e)
{
	static const uint8_t lahf_seto[] = { 0x9f, 0x0f, 0x90, 0xc0 };
	struct host_mem cc = mem_vcpu(offsetof(struct vcpu, cc));

	emit_mov(e, 8, T0, H_AX);
	emit_bytes(e, lahf_seto, sizeof(lahf_seto));
	emit_byte(e, 0x66);
	emit_op_mem(e, 4, OP_STORE, H_AX, &cc);
	emit_mov(e, 8, H_AX, T0);
}

/* movzx eax, word gs:[cc]; add al, 127 (OF from bit 0); sahf; with RAX kept in T0 */
void emit_load_flags(struct emit *e)
{
	static const uint8_t add_sahf[] = { 0x04, 0x7f, 0x9e };

	emit_mov(e, 8, T0, H_AX);
	emit_byte(e, 0x65), emit_byte(e, 0x0f), emit_byte(e, 0xb7), emit_byte(e, 0x04), emit_byte(e, 0x25);
	emit_u32(e, offsetof(struct vcpu, cc));
	emit_bytes(e, add_sahf, sizeof(add_sahf));
	emit_mov(e, 8, H_AX, T0);
}

#define X_AT(off) (offsetof(struct vcpu, s.xsave) + (size_t)(off))

/* (v)movups xmm, gs:[..] or back; mixed with AVX the old form costs a transition each time. */
static void emit_vector_low(struct emit *e, bool store, bool avx, unsigned n)
{
	struct host_mem m = mem_vcpu(X_AT(FX_XMM + 16 * n));

	emit_byte(e, 0x65);
	if (avx) {
		emit_byte(e, 0xc5), emit_byte(e, n & 8 ? 0x78 : 0xf8);
	} else {
		emit_rex(e, (n & 8) >> 1);
		emit_byte(e, 0x0f);
	}
	emit_byte(e, store ? 0x11 : 0x10);
	emit_modrm_mem(e, n, &m);
}

/* vinsertf128 ymm, ymm, gs:[..], 1 or vextractf128 gs:[..], ymm, 1 */
static void emit_vector_high(struct emit *e, bool store, unsigned n)
{
	struct host_mem m = mem_vcpu(X_AT(XS_AVX + 16 * n));

	emit_byte(e, 0x65);
	emit_byte(e, 0xc4), emit_byte(e, (n & 8 ? 0u : 0x80u) | 0x63);
	emit_byte(e, store ? 0x7d : (~n & 15) << 3 | 5), emit_byte(e, store ? 0x19 : 0x18);
	emit_modrm_mem(e, n, &m);
	emit_byte(e, 1);
}

void emit_mxcsr(struct emit *e, bool store, size_t offset)
{
	struct host_mem m = mem_vcpu(offset);

	emit_byte(e, 0x65), emit_byte(e, 0x0f), emit_byte(e, 0xae);
	emit_modrm_mem(e, store ? 3 : 2, &m);
}

static void store_vectors(struct emit *e, bool avx)
{
	static const uint8_t vzeroupper[] = { 0xc5, 0xf8, 0x77 };

	for (unsigned n = 0; n < 16; n++) {
		if (avx)
			emit_vector_high(e, true, n);
		emit_vector_low(e, true, avx, n);
	}
	if (avx)
		emit_bytes(e, vzeroupper, sizeof(vzeroupper));
}

static void load_vectors(struct emit *e, bool avx)
{
	for (unsigned n = 0; n < 16; n++) {
		emit_vector_low(e, false, avx, n);
		if (avx)
			emit_vector_high(e, false, n);
	}
}

/* XMM0 <- XMM0 or the upper half of register n. */
static void or_upper(struct emit *e, unsigned n)
{
	struct host_mem m = mem_vcpu(X_AT(XS_AVX + 16 * n));

	emit_byte(e, 0x65), emit_byte(e, 0x0f), emit_byte(e, 0x56); /* orps */
	emit_modrm_mem(e, 0, &m);
}

/*
 * Upper halves that are all zero must not be loaded: the processor would take them for used, and every SSE instruction
 * from then on would have to merge.
 */
void emit_vectors_load(struct emit *e, bool avx)
{
	static const uint8_t xorps[] = { 0x0f, 0x57, 0xc0 };
	static const uint8_t ptest[] = { 0x66, 0x0f, 0x38, 0x17, 0xc0 };
	uint8_t *clean, *done;

	emit_mxcsr(e, false, X_AT(FX_MXCSR));
	if (!avx) {
		load_vectors(e, false);
		return;
	}
	emit_bytes(e, xorps, sizeof(xorps));
	for (unsigned n = 0; n < 16; n++)
		or_upper(e, n);
	emit_bytes(e, ptest, sizeof(ptest));
	clean = emit_jcc_later(e, CC_E);
	load_vectors(e, true);
	done = emit_jmp_later(e);
	emit_patch(clean, e->at);
	load_vectors(e, false);
	emit_patch(done, e->at);
}

/* RAX, RCX and RDX are lost. */
void emit_vectors_store(struct emit *e, bool avx)
{
	static const uint8_t in_use[] = { 0xb9, 1, 0, 0, 0, /* mov ecx, 1 */
		0x0f, 0x01, 0xd0,                           /* xgetbv */
		0xa8, 4 };                                  /* test al, 4 */
	static const uint8_t xorps[] = { 0x0f, 0x57, 0xc0 };
	uint8_t *clean, *done;

	emit_mxcsr(e, true, X_AT(FX_MXCSR));
	emit_mxcsr(e, false, offsetof(struct vcpu, host_mxcsr));
	if (!avx) {
		store_vectors(e, false);
		return;
	}
	emit_bytes(e, in_use, sizeof(in_use));
	clean = emit_jcc_later(e, CC_E);
	store_vectors(e, true);
	done = emit_jmp_later(e);
	emit_patch(clean, e->at);
	store_vectors(e, false);
	emit_bytes(e, xorps, sizeof(xorps));
	for (unsigned n = 0; n < 16; n++) {
		struct host_mem m = mem_vcpu(X_AT(XS_AVX + 16 * n));

		emit_byte(e, 0x65), emit_byte(e, 0x0f), emit_byte(e, 0x11); /* movups */
		emit_modrm_mem(e, 0, &m);
	}
	emit_patch(done, e->at);
}
