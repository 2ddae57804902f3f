/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/system.c - instructions of kernels that are too frequent to go through C: flags, interrupts, time.
 *
 * Each does the common case inline and leaves the rest to its semantics (site_if).
 */
#include "monitor/engine/bt/build.h"

#include "monitor/cpu/arch.h"

#define RFLAGS  offsetof(struct vcpu, s.rflags)
#define CC      offsetof(struct vcpu, cc)
#define PENDING offsetof(struct vcpu, pending)

/* op reg, imm32 on the low half; the upper one is cleared. */
static void imm32(struct build *u, unsigned extension, unsigned reg, uint32_t value)
{
	emit_imm(&u->e, 4, extension, reg, (int32_t)value);
}

/* shl or shr reg, count, 32 bits */
static void shift(struct build *u, bool left, unsigned reg, unsigned count)
{
	emit_op_reg(&u->e, 4, 0xc1, left ? 4 : 5, reg);
	emit_byte(&u->e, count);
}

/* reg <- 16 bits of the vCPU */
static void load_word(struct build *u, unsigned reg, size_t offset)
{
	struct host_mem m = mem_vcpu(offset);

	emit_movzx(&u->e, 2, reg, &m);
}

void system_pushf(struct build *u, const struct op *o)
{
	struct emit *e = &u->e;
	struct host_mem m;

	flags_to_memory(u, STATUS);
	m = access_emit(u, o, 0);
	flags_clobbered(u, STATUS);
	emit_store_vcpu(e, 8, H_AX, offsetof(struct vcpu, bt.temp));
	load_word(u, H_AX, CC);
	emit_mov(e, 4, T0, H_AX);
	shift(u, false, H_AX, 8);
	imm32(u, IMM_AND, H_AX, 0xd5);
	imm32(u, IMM_AND, T0, 1);
	shift(u, true, T0, 11);
	emit_op_reg(e, 4, OP_OR, T0, H_AX);
	emit_load_vcpu(e, 4, H_AX, RFLAGS);
	imm32(u, IMM_AND, H_AX, ~(uint32_t)(FLAGS_STATUS | FLAG_RF | FLAG_VM));
	emit_op_reg(e, 4, OP_OR, T0, H_AX);
	emit_load_vcpu(e, 8, H_AX, offsetof(struct vcpu, bt.temp));
	emit_op_mem(e, u->width, OP_STORE, T0, &m);
	u->sp_pending -= (int)u->width;
}

/* What POPF may change here without more ado. */
static uint32_t popf_easy(const struct build *u)
{
	return FLAGS_STATUS | (u->mode & BT_SUPER ? FLAG_IF : 0);
}

void system_popf(struct build *u, const struct op *o)
{
	struct host_mem rflags = mem_vcpu(RFLAGS), m, cc = mem_vcpu(CC);
	struct emit *e = &u->e;
	uint8_t *masked;

	flags_clobbered(u, o->live_in);
	flush_sp(u);
	m = access_emit(u, o, 0);
	flags_clobbered(u, o->live_in);
	emit_op_mem(e, 8, OP_LOAD, T0, &m); /* all of it: it may lie on two pages */
	emit_mov(e, 4, T0, T0);
	t1_lost(u);
	emit_mov(e, 4, T1, T0);
	emit_op_mem(e, 4, OP_XOR, T1, &rflags);
	imm32(u, IMM_AND, T1, ~popf_easy(u));
	site_if(u, CC_NE, o)->here = true;
	if (u->mode & BT_SUPER) { /* interrupts that waited come through C */
		emit_op_reg(e, 4, 0xf7, 0, T0); /* test t0, IF */
		emit_u32(e, FLAG_IF);
		masked = emit_jcc_later(e, CC_E);
		emit_compare_vcpu(e, 4, PENDING, 0);
		site_if(u, CC_NE, o)->here = true;
		emit_patch(masked, e->at);
	}
	emit_store_vcpu(e, 8, T0, RFLAGS);
	emit_mov(e, 4, T1, T0);
	shift(u, true, T1, 8);
	imm32(u, IMM_AND, T1, 0xd500);
	shift(u, false, T0, 11);
	imm32(u, IMM_AND, T0, 1);
	emit_op_reg(e, 4, OP_OR, T0, T1);
	emit_byte(e, 0x66);
	emit_op_mem(e, 4, OP_STORE, T0, &cc);
	u->sp_pending += (int)u->width;
	u->flags = FLAGS_MEMORY;
}

void system_cli(struct build *u, const struct op *o)
{
	struct host_mem rflags = mem_vcpu(RFLAGS);

	flags_clobbered(u, o->live_in);
	emit_op_mem(&u->e, 4, 0x81, IMM_AND, &rflags);
	emit_u32(&u->e, ~(uint32_t)FLAG_IF);
}

/* The next instruction comes before any interrupt: it must be in this block. */
void system_sti(struct build *u, const struct op *o)
{
	struct host_mem rflags = mem_vcpu(RFLAGS);

	flags_clobbered(u, o->live_in);
	flush_sp(u);
	t1_lost(u);
	emit_compare_vcpu(&u->e, 4, PENDING, 0);
	site_if(u, CC_NE, o)->here = true;
	emit_op_mem(&u->e, 4, 0x81, IMM_OR, &rflags);
	emit_u32(&u->e, FLAG_IF);
}

void system_rdtsc(struct build *u, const struct op *o)
{
	static const uint8_t join[] = { 0x48, 0xc1, 0xe2, 32, /* shl rdx, 32 */
		0x48, 0x09, 0xd0 };                           /* or rax, rdx */
	static const uint8_t split[] = { 0x48, 0x89, 0xc2,    /* mov rdx, rax */
		0x48, 0xc1, 0xea, 32,                         /* shr rdx, 32 */
		0x89, 0xc0 };                                 /* mov eax, eax */
	struct emit *e = &u->e;

	flags_clobbered(u, o->live_in);
	emit_bytes(e, o->code, o->i.len);
	emit_bytes(e, join, sizeof(join));
	emit_op_vcpu(e, OP_ADD, H_AX, offsetof(struct vcpu, bt.tsc_ahead));
	emit_bytes(e, split, sizeof(split));
	if (o->d.in.mnemonic == ZYDIS_MNEMONIC_RDTSCP)
		emit_load_vcpu(e, 4, H_CX, offsetof(struct vcpu, s.tsc_aux));
}

void system_cld(struct build *u, const struct op *o)
{
	struct host_mem rflags = mem_vcpu(RFLAGS);

	flags_clobbered(u, o->live_in);
	emit_op_mem(&u->e, 4, 0x81, IMM_AND, &rflags);
	emit_u32(&u->e, ~(uint32_t)FLAG_DF);
}

/* It counts, and C looks at it when it has counted enough. */
void system_pause(struct build *u, const struct op *o)
{
	struct host_mem pauses = mem_vcpu(offsetof(struct vcpu, pauses));
	struct emit *e = &u->e;

	flags_clobbered(u, o->live_in);
	flush_sp(u);
	t1_lost(u);
	emit_byte(e, 0xf3), emit_byte(e, 0x90); /* pause */
	emit_op_mem(e, 4, 0x83, IMM_SUB, &pauses);
	emit_byte(e, 1);
	site_if(u, CC_S, o)->here = true;
}

/* The other view's tables, as tlb_select_view() would choose them. */
void system_smap(struct build *u, const struct op *o)
{
	struct host_mem rflags = mem_vcpu(RFLAGS), view = mem_vcpu(offsetof(struct vcpu, view));
	bool open = o->d.in.mnemonic == ZYDIS_MNEMONIC_STAC;
	enum tlb_view which = open ? TLB_SUPER_OPEN : TLB_SUPER_CLOSED;
	struct emit *e = &u->e;

	flags_clobbered(u, o->live_in);
	t1_lost(u);
	emit_op_mem(e, 4, 0x81, open ? IMM_OR : IMM_AND, &rflags);
	emit_u32(e, open ? (uint32_t)FLAG_AC : ~(uint32_t)FLAG_AC);
	for (unsigned kind = TLB_READ; kind <= TLB_WRITE; kind++) {
		emit_load_vcpu(e, 8, T0, offsetof(struct vcpu, tlb_super) + 8 * (2 * which + kind));
		emit_store_vcpu(e, 8, T0, offsetof(struct vcpu, tlb_data) + 8 * kind);
	}
	emit_byte(e, 0x65), emit_byte(e, 0xc6); /* mov byte gs:[view], which */
	emit_modrm_mem(e, 0, &view);
	emit_byte(e, which);
}

void system_swapgs(struct build *u, const struct op *o)
{
	const size_t hidden = offsetof(struct vcpu, s.seg) + S_GS * sizeof(struct segment) +
			      offsetof(struct segment, base);
	struct emit *e = &u->e;

	(void)o;
	t1_lost(u);
	emit_load_vcpu(e, 8, T0, offsetof(struct vcpu, s.kernel_gs_base));
	emit_load_vcpu(e, 8, T1, hidden);
	emit_store_vcpu(e, 8, T0, hidden);
	emit_store_vcpu(e, 8, T0, offsetof(struct vcpu, seg_base) + 8 * S_GS);
	emit_store_vcpu(e, 8, T1, offsetof(struct vcpu, s.kernel_gs_base));
}

void system_mov_from(struct build *u, const struct op *o)
{
	static const uint16_t cr[] = { [0] = offsetof(struct vcpu, s.cr0), [2] = offsetof(struct vcpu, s.cr2),
		[3] = offsetof(struct vcpu, s.cr3), [4] = offsetof(struct vcpu, s.cr4) };
	unsigned to = o->i.r[0], n = o->i.r[1], reg = in_memory(to) ? T0 : to;

	if (o->i.seg_operand)
		load_word(u, reg, offsetof(struct vcpu, s.seg) + n * sizeof(struct segment) +
				  offsetof(struct segment, selector));
	else
		emit_load_vcpu(&u->e, u->width, reg, cr[n]);
	if (in_memory(to))
		emit_store_vcpu(&u->e, 8, reg, GPR_OFFSET(to));
}
