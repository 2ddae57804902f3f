/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/emit.h - bytes of host code.  SDM volume 2, chapter 2.
 */
#ifndef SERAI_MONITOR_ENGINE_BT_EMIT_H
#define SERAI_MONITOR_ENGINE_BT_EMIT_H

#include "monitor/cpu/vcpu.h"

enum host_reg {
	H_AX,
	H_CX,
	H_DX,
	H_BX,
	H_SP,
	H_BP,
	H_SI,
	H_DI,
	H_8,
	H_9,
	H_10,
	H_11,
	H_12,
	H_13,
	T0, /* scratch */
	T1,
	H_NONE = 0xff
};

enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS };

/* A memory operand: base + (index << scale) + disp, or in the vCPU at disp. */
struct host_mem {
	uint8_t base, index, scale;
	bool vcpu;
	int32_t disp;
};

struct emit {
	uint8_t *start, *at, *end; /* in the write mapping */
	int64_t run_delta;         /* run address - write address */
	bool overflow;
};

void emit_byte(struct emit *e, unsigned b);
void emit_bytes(struct emit *e, const void *p, unsigned n);
void emit_u32(struct emit *e, uint32_t v);
void emit_u64(struct emit *e, uint64_t v);

/* ModRM, SIB and displacement of a register or memory operand. */
void emit_modrm_reg(struct emit *e, unsigned reg, unsigned rm);
void emit_modrm_mem(struct emit *e, unsigned reg, const struct host_mem *m);
/* REX bits for it: W by width, R, X, B. */
unsigned emit_rex_mem(unsigned width, unsigned reg, const struct host_mem *m);

/* [segment] [REX] opcode with a memory operand, one-byte opcode; width 4 or 8. */
void emit_op_mem(struct emit *e, unsigned width, unsigned opcode, unsigned reg, const struct host_mem *m);
/* The same between registers. */
void emit_op_reg(struct emit *e, unsigned width, unsigned opcode, unsigned reg, unsigned rm);

static inline struct host_mem mem_vcpu(size_t offset)
{
	return (struct host_mem){ H_NONE, H_NONE, 0, true, (int32_t)offset };
}

static inline struct host_mem mem_at(unsigned base, int32_t disp)
{
	return (struct host_mem){ (uint8_t)base, H_NONE, 0, false, disp };
}

void emit_load_vcpu(struct emit *e, unsigned width, unsigned reg, size_t offset);
void emit_store_vcpu(struct emit *e, unsigned width, unsigned reg, size_t offset);
/* op reg, gs:[offset] with a one-byte opcode of the r, r/m form, 64 bits wide: OP_ADD and so on. */
void emit_op_vcpu(struct emit *e, unsigned opcode, unsigned reg, size_t offset);
/* mov dword gs:[offset], value; cmp dword or qword gs:[offset], value. */
void emit_set_vcpu(struct emit *e, size_t offset, uint32_t value);
void emit_compare_vcpu(struct emit *e, unsigned width, size_t offset, int8_t value);
enum { OP_ADD = 0x03, OP_OR = 0x0b, OP_AND = 0x23, OP_SUB = 0x2b, OP_XOR = 0x33, OP_CMP = 0x3b, OP_LOAD = 0x8b,
	OP_STORE = 0x89, OP_LEA = 0x8d };

void emit_mov(struct emit *e, unsigned width, unsigned dst, unsigned src);
/* reg <- a byte or word of memory and zeros before it; size 1 or 2. */
void emit_movzx(struct emit *e, unsigned size, unsigned reg, const struct host_mem *m);
/* add, and, cmp … reg, imm by the ModRM extension. */
enum { IMM_ADD = 0, IMM_OR = 1, IMM_AND = 4, IMM_SUB = 5, IMM_XOR = 6, IMM_CMP = 7 };
void emit_imm(struct emit *e, unsigned width, unsigned extension, unsigned reg, int32_t value);
void emit_mov_imm(struct emit *e, unsigned reg, uint64_t value);
void emit_lea(struct emit *e, unsigned width, unsigned reg, const struct host_mem *m);
/* reg <- src rotated right (BMI2: no flags). */
void emit_rorx(struct emit *e, unsigned width, unsigned reg, unsigned src, unsigned count);

/* A near jump to a run address. */
void emit_jmp(struct emit *e, const uint8_t *target);
void emit_jmp_mem(struct emit *e, const struct host_mem *m);
void emit_jmp_reg(struct emit *e, unsigned reg);
/* Behind `before` bytes of what comes now a displacement will lie in one cache line: it can be changed by one store. */
void emit_whole(struct emit *e, unsigned before);
/* A jump whose target is not known yet; returns where its 32-bit displacement is. */
uint8_t *emit_jmp_later(struct emit *e);
uint8_t *emit_jcc_later(struct emit *e, unsigned condition);
void emit_patch(uint8_t *displacement, const uint8_t *target_write);
/* lea reg, [rip + something]; returns where its displacement is, for emit_patch. */
uint8_t *emit_lea_later(struct emit *e, unsigned reg);

static inline const uint8_t *emit_run_address(const struct emit *e, const uint8_t *write_address)
{
	return write_address + e->run_delta;
}

/* All vector registers and MXCSR between the vCPU and the host's registers; avx: 32 bytes each. */
void emit_vectors_load(struct emit *e, bool avx);
void emit_vectors_store(struct emit *e, bool avx);
/* ldmxcsr or stmxcsr gs:[offset]. */
void emit_mxcsr(struct emit *e, bool store, size_t offset);

/* Flags between the host's register and vcpu.cc; T0 is lost. */
void emit_save_flags(struct emit *e);
void emit_load_flags(struct emit *e);

#endif
