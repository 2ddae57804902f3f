/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/insn.h - one decoded guest instruction, and what to do with it.
 *
 * Zydis knows encodings, operands, their actions and the flags each instruction touches.  Our own table
 * (rows.c) has a row only where an instruction is not plain data processing.  Plain ones (plain.c says which)
 * have no semantics here: an engine runs them on the host CPU over the guest's registers.  What is neither
 * raises #UD.
 */
#ifndef SERAI_MONITOR_CPU_INSN_H
#define SERAI_MONITOR_CPU_INSN_H

#include "monitor/cpu/access.h"

#include <Zydis/Zydis.h>

struct insn;

/*
 * Carry out one instruction.  INSN_NEXT: go on behind it (the caller advances RIP); INSN_JUMP: RIP is set,
 * look anew; INSN_SHADOW: as NEXT, but no interrupt before the next instruction is done (STI); INSN_AGAIN: a repeated
 * one was interrupted, RIP is still its own and it does not count as carried out.
 */
typedef int insn_fn(struct vcpu *v, const struct insn *i);
enum { INSN_NEXT, INSN_JUMP, INSN_SHADOW, INSN_AGAIN };

/* gpr[] indices that stand for something else. */
#define GPR_RIP  16
#define GPR_NONE 17

#define OP_NONE 0xff /* in insn.r: this operand is memory, an immediate or absent */

#define INSN_MEM   0x01u /* has an explicit memory operand */
#define INSN_LOCK  0x02u
#define INSN_REP   0x04u /* F3 */
#define INSN_REPNE 0x08u /* F2 */
#define INSN_HIGH0 0x10u /* operand 0 is AH, CH, DH or BH */
#define INSN_HIGH1 0x20u
#define INSN_READ  0x40u /* reads its memory operand */
#define INSN_WRITE 0x80u /* writes it */

/* What must be enabled for it (bits of vcpu.fpu_closed). */
#define FPU_NONE 0x00u
#define FPU_X87  0x01u
#define FPU_MMX  0x02u
#define FPU_SSE  0x04u
#define FPU_AVX  0x08u
#define FPU_VEX  0x10u /* VEX-coded on general registers: protected mode only */
#define FPU_WAIT 0x20u /* FWAIT: CR0.MP and TS */

struct insn {
	insn_fn *exec;
	union {
		void *thunk;             /* an engine's own: host code of a plain instruction */
		const struct insn *link; /* an engine's own: what a local branch leads to, once known */
	};
	int64_t disp; /* of the memory operand; or of a relative branch, from the next instruction */
	uint64_t imm; /* immediate, sign-extended; far pointers: offset, selector in imm2 */
	uint16_t mnemonic;
	uint16_t imm2;
	uint8_t len;
	uint8_t opsize;             /* effective operand size, bytes */
	uint8_t addr_shift;         /* address size as 64 - bits: 0, 32, 48 */
	uint8_t seg;                /* S_* of the memory operand */
	uint8_t base, index, scale; /* gpr[base] + (gpr[index] << scale) + disp */
	uint8_t memsize;            /* bytes of the memory operand */
	uint8_t r[2];               /* register numbers of operands 0 and 1: GPR, segment, CR, DR or vector */
	uint8_t flags;              /* INSN_* */
	uint8_t fpu;                /* FPU_* */
	uint8_t vl;                 /* vector length, bytes; 0 for others */
	uint8_t vectors[4];         /* vector numbers of operands 0..3, for the few vector rows */
	bool far;                   /* CALL, JMP, RET through CS */
	uint8_t align;              /* the memory operand must be aligned to so many bytes; 0: need not */
	uint8_t seg_operand;        /* bit k: operand k is a segment register */
	union {
		uint8_t system_operand; /* MOV CR, DR: bit k: operand k is the system register */
		uint8_t port_size;      /* IN, OUT: bytes */
	};
	uint8_t local; /* an engine's own: a near branch whose target lies in the same page of code */
};

enum decode_result {
	DECODE_OK,
	DECODE_MORE,    /* the bytes end inside the instruction */
	DECODE_INVALID, /* #UD */
	DECODE_LONG,    /* over 15 bytes: #GP */
};

/* Zydis's own account, for who builds host code from it. */
struct decoded {
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/*
 * Decode the bytes at `code`; fills *i but for thunk, with exec from the rows, NULL when the instruction is
 * plain. An instruction the guest's CPUID does not have is DECODE_INVALID.  Pure; any thread.
 */
enum decode_result insn_decode(
	const uint8_t *code, size_t len, enum cpu_code_size size, struct insn *i, struct decoded *d);

/* Zydis set up as insn_decode uses it, by enum cpu_code_size. */
extern const ZydisDecoder insn_decoders[];

/* Is it plain data processing: registers, flags, immediates and at most one memory operand in, the same out?
 */
bool insn_is_plain(const struct decoded *d);

/* The row's function, NULL: no row. */
insn_fn *insn_row(ZydisMnemonic mnemonic);

/* An instruction that does nothing but raise #UD. */
insn_fn insn_undefined;

/* Number of a general register 0..15 and its width; false: not one.  *high: AH..BH. */
bool insn_gpr(ZydisRegister reg, uint8_t *number, bool *high);

/* ---- what semantics are written with
 * ------------------------------------------------------------------------------ */

static inline uint64_t insn_offset(const struct vcpu *v, const struct insn *i)
{
	const uint64_t *r = &v->s.gpr[0];
	uint64_t off = r[i->base] + (r[i->index] << i->scale) + (uint64_t)i->disp;

	return off << i->addr_shift >> i->addr_shift;
}

static inline uint64_t insn_linear(struct vcpu *v, const struct insn *i, unsigned len, bool write)
{
	return seg_linear(v, i->seg, insn_offset(v, i), len, write);
}

/* General registers by width: a 32-bit write clears the upper half, narrower ones keep the rest. */
static inline uint64_t gpr_read(const struct vcpu *v, unsigned n, bool high, unsigned size)
{
	uint64_t r = v->s.gpr[n];

	return (high ? r >> 8 : r) & bits_mask_bytes(size);
}

static inline void gpr_write(struct vcpu *v, unsigned n, bool high, unsigned size, uint64_t value)
{
	uint64_t *r = &v->s.gpr[n];

	if (size == 8)
		*r = value;
	else if (size == 4)
		*r = (uint32_t)value;
	else if (size == 2)
		*r = (*r & ~0xffffull) | (uint16_t)value;
	else if (high)
		*r = (*r & ~0xff00ull) | (value & 0xff) << 8;
	else
		*r = (*r & ~0xffull) | (value & 0xff);
}

/* Operand k, register or memory, zero-extended. */
static inline uint64_t op_read(struct vcpu *v, const struct insn *i, unsigned k, unsigned size)
{
	if (i->r[k] != OP_NONE)
		return gpr_read(v, i->r[k], i->flags & (INSN_HIGH0 << k), size);
	return lin_read(v, insn_linear(v, i, size, false), size, i->seg);
}

static inline void op_write(struct vcpu *v, const struct insn *i, unsigned k, unsigned size, uint64_t value)
{
	if (i->r[k] != OP_NONE)
		gpr_write(v, i->r[k], i->flags & (INSN_HIGH0 << k), size, value);
	else
		lin_write(v, insn_linear(v, i, size, true), size, value, i->seg);
}

#endif
