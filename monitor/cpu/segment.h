/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/segment.h - descriptors, segment loads, control transfers between segments, tasks.
 *
 * Intel SDM volume 3A chapters 3 (descriptors), 5 (privilege checks), 6 (gates), 7 (tasks).
 * All may leave through cpu_raise; nothing is committed before the last check.
 */
#ifndef SERAI_MONITOR_CPU_SEGMENT_H
#define SERAI_MONITOR_CPU_SEGMENT_H

#include "monitor/cpu/access.h"

/* Descriptor types: system ones (S = 0). */
enum {
	DESC_TSS16 = 1,
	DESC_LDT = 2,
	DESC_TSS16_BUSY = 3,
	DESC_CALL16 = 4,
	DESC_TASK = 5,
	DESC_INT16 = 6,
	DESC_TRAP16 = 7,
	DESC_TSS32 = 9,
	DESC_TSS32_BUSY = 11,
	DESC_CALL32 = 12,
	DESC_INT32 = 14,
	DESC_TRAP32 = 15,
};

struct descriptor {
	uint64_t raw;
	uint64_t at;        /* its linear address */
	uint32_t base_high; /* long-mode system descriptors */
};

static inline unsigned desc_type(const struct descriptor *d)
{
	return (unsigned)bits_get(d->raw, 43, 40);
}

static inline unsigned desc_dpl(const struct descriptor *d)
{
	return (unsigned)bits_get(d->raw, 46, 45);
}

static inline bool desc_is_segment(const struct descriptor *d)
{
	return d->raw & (1ull << 44);
}

static inline bool desc_is_code(const struct descriptor *d)
{
	return (d->raw & (3ull << 43)) == (3ull << 43);
}

static inline bool desc_is_conforming(const struct descriptor *d)
{
	return desc_is_code(d) && (d->raw & (1ull << 42));
}

static inline bool desc_is_present(const struct descriptor *d)
{
	return d->raw & (1ull << 47);
}

/* Read the descriptor a selector names; false: null, or beyond its table (nothing raised). */
bool desc_fetch(struct vcpu *v, uint16_t selector, struct descriptor *d);

/* The hidden part that a descriptor gives. */
struct segment desc_segment(const struct descriptor *d, uint16_t selector);

/* Set the accessed bit in memory if it is clear. */
void desc_touch(struct vcpu *v, struct descriptor *d);

/* MOV, POP, LxS into ES SS DS FS GS with all checks. */
void seg_load(struct vcpu *v, unsigned seg, uint16_t selector);

/* Real and virtual-8086 mode: base is the selector shifted. */
void seg_load_real(struct vcpu *v, unsigned seg, uint16_t selector);

/* Put a segment in place and recompute what depends on it. */
void seg_set(struct vcpu *v, unsigned seg, const struct segment *s);

void seg_load_ldt(struct vcpu *v, uint16_t selector);
void seg_load_tr(struct vcpu *v, uint16_t selector);

/* Checks for SS at a new privilege level; raises `vector` with the selector; returns the segment. */
struct segment seg_check_stack(struct vcpu *v, uint16_t selector, unsigned cpl, int vector);

/* SS:ESP (or RSP) for a privilege level out of the TSS. */
void tss_stack(struct vcpu *v, unsigned cpl, uint16_t *ss, uint64_t *sp);

/* Far control transfers; `size` is the operand size in bytes, `len` the instruction's length. RIP is set. */
void far_jump(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size, unsigned len);
void far_call(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size, unsigned len);
void far_return(struct vcpu *v, unsigned size, unsigned release);
void interrupt_return(struct vcpu *v, unsigned size);

/* Load CS and the instruction pointer; checks limit and canonical form. */
void cs_commit(struct vcpu *v, const struct segment *cs, uint64_t rip, unsigned cpl);

enum task_switch { TASK_JUMP, TASK_CALL, TASK_RETURN, TASK_EVENT };
/* d: the TSS descriptor (type and presence not yet checked); next_rip is saved in the old TSS. */
void task_switch(
	struct vcpu *v, uint16_t selector, struct descriptor *d, enum task_switch why, uint64_t next_rip);

/* May a port be used: IOPL or the TSS's permission map; raises #GP(0). */
void io_check(struct vcpu *v, uint16_t port, unsigned size);

/* ---- stack
 * --------------------------------------------------------------------------------------------------------------
 */

/* SP arithmetic wraps at this mask: 64, 32 or 16 bits by mode and SS.B. */
static inline uint64_t stack_mask(const struct vcpu *v)
{
	if (v->code_size == CODE_64)
		return UINT64_MAX;
	return v->s.seg[S_SS].attr & SEG_DB ? 0xffffffffu : 0xffffu;
}

static inline void stack_set(struct vcpu *v, uint64_t sp)
{
	uint64_t mask = stack_mask(v);

	v->s.gpr[R_SP] = mask == 0xffff ? (v->s.gpr[R_SP] & ~mask) | (sp & mask) : sp & mask;
}

static inline void stack_push(struct vcpu *v, unsigned size, uint64_t value)
{
	uint64_t sp = (v->s.gpr[R_SP] - size) & stack_mask(v);

	mem_write(v, S_SS, sp, size, value);
	stack_set(v, sp);
}

/* The n-th item from the top, without popping. */
static inline uint64_t stack_peek(struct vcpu *v, unsigned size, uint64_t byte_offset)
{
	return mem_read(v, S_SS, (v->s.gpr[R_SP] + byte_offset) & stack_mask(v), size);
}

/* ---- events and mode (event.c, mode.c)
 * -------------------------------------------------------------------------------- */

/* INT n and the like: back to the loop, which delivers it. */
_Noreturn void cpu_raise_software(struct vcpu *v, int vector, unsigned len);

/* After a raise: fold v->event into what was being delivered; false: triple fault. */
bool cpu_escalate(struct vcpu *v);

/* Deliver v->event through the IVT or IDT; may raise. */
void cpu_deliver(struct vcpu *v);

/* CR0, CR4, EFER, CS, SS or RFLAGS.VM changed: recompute mode, bases, FPU access, TLB view. */
void cpu_update_mode(struct vcpu *v);
/* The same where nothing but CS and SS did: from 64-bit code to 64-bit code only the privilege changes. */
void cpu_update_code(struct vcpu *v);
void cpu_update_fpu(struct vcpu *v);

/* Replace the flags in `mask`, with all consequences. */
void cpu_set_flags(struct vcpu *v, uint64_t value, uint64_t mask);

/* Control registers with their checks. */
void cpu_write_cr0(struct vcpu *v, uint64_t value);
void cpu_write_cr3(struct vcpu *v, uint64_t value);
void cpu_write_cr4(struct vcpu *v, uint64_t value);

#endif
