/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/build.c - one block: decode, choose, emit.
 *
 * The hot path is emitted in order; what is rarely taken (TLB misses, exits) is remembered and emitted behind
 * it.
 */
#include "monitor/engine/bt/bt.h"

#include "monitor/cpu/rows.h"

/* Where the guest's flags are: only in vcpu.cc, only in the host's register, or in both. */
enum flags_at { FLAGS_MEMORY, FLAGS_HOST, FLAGS_BOTH };

/* How much of each vector register is in the host's: nothing, the low 16 bytes, all 32. */
enum { VECTOR_NONE, VECTOR_LOW, VECTOR_ALL };

struct vectors {
	uint8_t valid[16]; /* in the host's register */
	uint8_t dirty[16]; /* and not in vcpu */
};

/* Cold code to come: a jump to it waits at `from`. */
struct cold {
	uint8_t *from;
	uint8_t *back;                /* slow: where the block goes on */
	struct bt_site *site;         /* slow path of this instruction; NULL: an exit */
	int64_t target;               /* exit: offset of the next instruction from the page's start */
	struct vectors before, after; /* registers to store on the way out, and to load on the way back */
	bool look_up; /* exit: the mode may have changed, so nothing may be assumed of what comes next */
};

struct build {
	struct vcpu *v;
	struct bt *b;
	struct code_page *page;
	struct emit e;
	unsigned mode, width;   /* BT_64 or BT_32; 8 or 4: of the stack and of addresses */
	unsigned start, offset; /* of the instruction being translated, in the page */
	unsigned count;
	enum flags_at flags;
	struct vectors vectors;
	bool used_upper; /* of vector registers: Intel's wants VZEROUPPER */
	bool ended;
	struct cold cold[2 * BT_BLOCK_MAX + 4];
	unsigned cold_count;
	struct decoded d;
	const uint8_t *code;
};

#define GPR_OFFSET(n) (offsetof(struct vcpu, s.gpr) + 8 * (size_t)(n))

static struct cold *add_cold(struct build *u, uint8_t *from)
{
	struct cold *c = &u->cold[u->cold_count];

	if (u->cold_count + 1 < ARRAY_LEN(u->cold))
		u->cold_count++;
	else
		u->e.overflow = true;
	*c = (struct cold){ .from = from, .before = u->vectors };
	return c;
}

/* The block goes on here after the slow path, with what is in registers now. */
static void come_back(struct build *u, struct cold *c)
{
	c->back = u->e.at;
	c->after = u->vectors;
}

/* ---- vector registers
 * ------------------------------------------------------------------------------------------------ */

static void store_vectors(struct emit *e, const struct vectors *x)
{
	for (unsigned n = 0; n < 16; n++) {
		if (x->dirty[n])
			emit_vector_low(e, true, n);
		if (x->dirty[n] == VECTOR_ALL)
			emit_vector_high(e, true, n);
	}
}

static bool has_dirty(const struct vectors *x)
{
	for (unsigned n = 0; n < 16; n++) {
		if (x->dirty[n])
			return true;
	}
	return false;
}

static void load_vectors(struct emit *e, const struct vectors *x)
{
	for (unsigned n = 0; n < 16; n++) {
		if (x->valid[n])
			emit_vector_low(e, false, n);
		if (x->valid[n] == VECTOR_ALL)
			emit_vector_high(e, false, n);
	}
}

/* vcpu has them all, the host's registers count for nothing. */
static void vectors_to_memory(struct build *u)
{
	store_vectors(&u->e, &u->vectors);
	u->vectors = (struct vectors){ 0 };
}

/* Registers the instruction uses are there, to the width it needs. */
static void vectors_used(struct build *u, uint16_t used, unsigned level)
{
	for (unsigned n = 0; n < 16; n++) {
		uint8_t *valid = &u->vectors.valid[n];

		if (!(used & (1u << n)))
			continue;
		if (*valid == VECTOR_NONE)
			emit_vector_low(&u->e, false, n);
		if (*valid < VECTOR_ALL && level == VECTOR_ALL)
			emit_vector_high(&u->e, false, n);
		*valid = (uint8_t)MAX_OF(*valid, level);
	}
}

static void vectors_written(struct build *u, uint16_t written, unsigned level)
{
	for (unsigned n = 0; n < 16; n++) {
		if (written & (1u << n))
			u->vectors.dirty[n] = (uint8_t)MAX_OF(u->vectors.dirty[n], level);
	}
}

/* ---- flags
 * ----------------------------------------------------------------------------------------------------------
 */

/* vcpu.cc is up to date; the host's flags stay as they are. */
static void flags_to_memory(struct build *u)
{
	if (u->flags == FLAGS_HOST) {
		emit_save_flags(&u->e);
		u->flags = FLAGS_BOTH;
	}
}

static void flags_to_host(struct build *u)
{
	if (u->flags == FLAGS_MEMORY) {
		emit_load_flags(&u->e);
		u->flags = FLAGS_BOTH;
	}
}

/* The host's flags are about to be lost. */
static void flags_clobbered(struct build *u)
{
	flags_to_memory(u);
	u->flags = FLAGS_MEMORY;
}

static void flags_used(struct build *u, struct flags_use use)
{
	if (use.in)
		flags_to_host(u);
}

static void flags_given(struct build *u, struct flags_use use)
{
	if (use.out)
		u->flags = FLAGS_HOST;
}

/* ---- sites
 * ------------------------------------------------------------------------------------------------------------
 */

static struct bt_site *make_site(struct build *u, const struct insn *i)
{
	struct bt_site *s = &u->b->sites[u->b->site_used];

	if (u->b->site_used >= BT_SITES_MAX) {
		u->e.overflow = true;
		return u->b->sites;
	}
	u->b->site_used++;
	s->insn = *i;
	s->offset = u->offset;
	if (!s->insn.exec && !interp_bind_plain(&u->b->in, &s->insn, &u->d, u->code))
		u->e.overflow = true;
	return s;
}

/* Jump (jne, by what was just compared) to the interpreter's way of doing this instruction. */
static struct cold *slow_if(struct build *u, unsigned condition, struct bt_site *site)
{
	struct cold *c = add_cold(u, emit_jcc_later(&u->e, condition));

	c->site = site;
	return c;
}

/* This instruction always runs through its semantics. */
static void emit_call_site(struct build *u, const struct insn *i)
{
	struct cold *c;

	flags_clobbered(u);
	c = add_cold(u, emit_jmp_later(&u->e));
	c->site = make_site(u, i);
	u->vectors = (struct vectors){ 0 };
	come_back(u, c);
}

/* ---- addresses and the TLB
 * ------------------------------------------------------------------------------------------ */

/* The linear address of memory operand i in R14; the flags must be free.  `linear`: add the segment's base.
 */
static void emit_address(struct build *u, const struct insn *i, bool linear)
{
	struct emit *e = &u->e;
	unsigned width = i->addr_shift ? 4 : 8, base = H_NONE, index = H_NONE;
	int64_t disp = i->disp;

	if (i->base == GPR_RIP) {
		emit_load_vcpu(e, 8, H_14, offsetof(struct vcpu, bt.page));
		base = H_14;
		disp += u->offset;
	} else if (i->base != GPR_NONE) {
		base = guest_reg(e, i->base, H_14);
	}
	if (i->index != GPR_NONE)
		index = guest_reg(e, i->index, H_13);
	emit_lea(e, width, H_14, base, index, i->scale, (int32_t)disp);
	if (linear && (i->seg == S_FS || i->seg == S_GS)) {
		emit_op_vcpu(e, 0x03, H_14, offsetof(struct vcpu, seg_base) + 8 * i->seg);
		if (u->width == 4)
			emit_mov(e, 4, H_14, H_14);
	}
}

/* Can the address be made inline? */
static bool address_possible(const struct build *u, const struct insn *i)
{
	int64_t disp = i->disp + (i->base == GPR_RIP ? u->offset : 0);

	if (i->addr_shift == 48 || disp != (int32_t)disp)
		return false;
	if (u->width == 8)
		return true;
	if (i->seg == S_FS)
		return u->mode & BT_PLAIN_FS;
	if (i->seg == S_GS)
		return u->mode & BT_PLAIN_GS;
	return i->seg == S_DS || i->seg == S_SS;
}

/* R14 linear -> host address, or off to the slow path. */
static struct cold *emit_tlb(struct build *u, unsigned size, enum tlb_kind kind, struct bt_site *site)
{
	static const uint8_t index[] = {
		0x45, 0x89, 0xf5,    /* mov r13d, r14d */
		0x41, 0xc1, 0xed, 8, /* shr r13d, 8 */
		0x41, 0x81, 0xe5,    /* and r13d, imm32 */
	};
	static const uint8_t mask[] = { 0x48, 0x25, 0x00, 0xf0, 0xff, 0xff }; /* and rax, -4096 */
	static const uint8_t compare[] = { 0x49, 0x3b, 0x45, 0x00 };          /* cmp rax, [r13] */
	static const uint8_t add[] = { 0x4d, 0x03, 0x75, 0x08 };              /* add r14, [r13 + 8] */
	struct cold *c;

	_Static_assert(PAGE_SHIFT - 8 == 4 && sizeof(struct tlb_entry) == 16, "the shift above");
	emit_bytes(&u->e, index, sizeof(index));
	emit_u32(&u->e, (TLB_SIZE - 1) << 4);
	emit_op_vcpu(&u->e, 0x03, H_13, offsetof(struct vcpu, tlb_data) + 8 * kind);
	emit_lea(&u->e, 8, H_AX, H_14, H_NONE, 0, (int32_t)size - 1);
	emit_bytes(&u->e, mask, sizeof(mask));
	emit_op_vcpu(&u->e, 0x0b, H_AX, offsetof(struct vcpu, asid));
	emit_bytes(&u->e, compare, sizeof(compare));
	c = slow_if(u, 5, site);
	emit_bytes(&u->e, add, sizeof(add));
	return c;
}

/* mov to or from [r14], 4 or 8 bytes. */
static void emit_memory(struct build *u, bool store, unsigned width, unsigned reg)
{
	emit_byte(&u->e, (width == 8 ? 0x49u : 0x41u) | (reg & 8) >> 1);
	emit_byte(&u->e, store ? 0x89 : 0x8b);
	emit_byte(&u->e, (reg & 7) << 3 | (H_14 & 7));
}

static void write_guest(struct build *u, unsigned n, unsigned width, unsigned from)
{
	if (guest_in_memory(n)) {
		if (width == 4)
			emit_mov(&u->e, 4, from, from);
		emit_store_vcpu(&u->e, 8, from, GPR_OFFSET(n));
	} else {
		emit_mov(&u->e, width, guest_home(n), from);
	}
}

/* ---- leaving the block
 * ----------------------------------------------------------------------------------------------- */

static void leave_vectors(struct build *u)
{
	vectors_to_memory(u);
	if (u->used_upper)
		emit_vzeroupper(&u->e);
}

/* To the code at offset `target` from this page's start. */
static void emit_exit(struct build *u, int64_t target)
{
	flags_to_memory(u);
	leave_vectors(u);
	add_cold(u, emit_jmp_later(&u->e))->target = target;
	u->ended = true;
}

/* To the address in R14. */
static void emit_indirect(struct build *u)
{
	leave_vectors(u);
	emit_jmp(&u->e, u->b->indirect);
	u->ended = true;
}

/* Is the address in `reg` canonical?  R13 is lost. */
static void emit_canonical(struct build *u, unsigned reg, struct bt_site *site)
{
	static const uint8_t extend[] = { 0x49, 0xc1, 0xe5, 16, 0x49, 0xc1, 0xfd,
		16 }; /* shl r13,16; sar r13,16 */

	if (u->width == 4)
		return;
	emit_mov(&u->e, 8, H_13, reg);
	emit_bytes(&u->e, extend, sizeof(extend));
	emit_byte(&u->e, 0x4c | (reg & 8) >> 3); /* cmp reg, r13 */
	emit_byte(&u->e, 0x39);
	emit_byte(&u->e, 0xc0 | (H_13 & 7) << 3 | (reg & 7));
	slow_if(u, 5, site);
}

/* ---- instructions
 * ------------------------------------------------------------------------------------------------------ */

/* test r14b, align - 1; jnz */
static struct cold *emit_aligned(struct build *u, unsigned align, struct bt_site *site)
{
	emit_byte(&u->e, 0x41), emit_byte(&u->e, 0xf6), emit_byte(&u->e, 0xc6), emit_byte(&u->e, align - 1);
	return slow_if(u, 5, site);
}

static void do_plain(struct build *u, const struct insn *i)
{
	struct flags_use use = operand_flags(&u->d);
	unsigned level = i->fpu & FPU_AVX ? VECTOR_ALL : VECTOR_LOW;
	struct cold *c = NULL, *again = NULL;
	uint16_t used = 0, written = 0;

	if (i->fpu & (FPU_SSE | FPU_AVX))
		operand_vectors(&u->d, &used, &written);
	u->used_upper |= used && level == VECTOR_ALL;
	if (i->flags & INSN_MEM) {
		struct bt_site *site;

		flags_clobbered(u);
		site = make_site(u, i);
		emit_address(u, i, true);
		if (i->align)
			again = emit_aligned(u, i->align, site);
		c = emit_tlb(u, i->memsize, i->flags & INSN_WRITE ? TLB_WRITE : TLB_READ, site);
	}
	flags_used(u, use);
	vectors_used(u, used, level);
	mangle_emit(&u->e, &u->d, i, u->code);
	vectors_written(u, written, level);
	flags_given(u, use);
	if (again)
		come_back(u, again);
	if (c)
		come_back(u, c);
}

static void do_lea(struct build *u, const struct insn *i)
{
	emit_address(u, i, false);
	write_guest(u, i->r[0], i->opsize, H_14);
}

static void do_push(struct build *u, const struct insn *i)
{
	struct bt_site *site;
	struct cold *c;

	flags_clobbered(u);
	site = make_site(u, i);
	emit_lea(&u->e, u->width, H_14, H_15, H_NONE, 0, -(int32_t)u->width);
	c = emit_tlb(u, u->width, TLB_WRITE, site);
	if (i->r[0] != OP_NONE) {
		emit_memory(u, true, u->width, guest_reg(&u->e, i->r[0], H_13));
	} else {
		emit_byte(&u->e, u->width == 8 ? 0x49 : 0x41);
		emit_byte(&u->e, 0xc7);
		emit_byte(&u->e, H_14 & 7);
		emit_u32(&u->e, (uint32_t)i->imm);
	}
	emit_lea(&u->e, u->width, H_15, H_15, H_NONE, 0, -(int32_t)u->width);
	come_back(u, c);
}

static void do_pop(struct build *u, const struct insn *i)
{
	struct bt_site *site;
	struct cold *c;

	flags_clobbered(u);
	site = make_site(u, i);
	emit_mov(&u->e, u->width, H_14, H_15);
	c = emit_tlb(u, u->width, TLB_READ, site);
	emit_memory(u, false, u->width, H_13);
	emit_lea(&u->e, u->width, H_15, H_15, H_NONE, 0, (int32_t)u->width);
	write_guest(u, i->r[0], u->width, H_13);
	come_back(u, c);
}

static void do_leave(struct build *u, const struct insn *i)
{
	struct bt_site *site;
	struct cold *c;

	flags_clobbered(u);
	site = make_site(u, i);
	emit_mov(&u->e, u->width, H_14, H_BP);
	c = emit_tlb(u, u->width, TLB_READ, site);
	emit_lea(&u->e, u->width, H_15, H_BP, H_NONE, 0, (int32_t)u->width);
	emit_memory(u, false, u->width, H_BP);
	come_back(u, c);
}

/* A near JMP's or CALL's target in R14, checked; `site` redoes the instruction when something is wrong. */
static void emit_target(struct build *u, const struct insn *i, struct bt_site *site)
{
	if (i->flags & INSN_MEM) {
		emit_address(u, i, true);
		emit_tlb(u, u->width, TLB_READ, site);
		emit_memory(u, false, u->width, H_14);
	} else {
		emit_mov(&u->e, u->width, H_14, guest_reg(&u->e, i->r[0], H_14));
	}
	emit_canonical(u, H_14, site);
}

static void do_jmp(struct build *u, const struct insn *i)
{
	if (!(i->flags & INSN_MEM) && i->r[0] == OP_NONE) {
		emit_exit(u, (int64_t)u->offset + i->len + i->disp);
		return;
	}
	flags_clobbered(u);
	emit_target(u, i, make_site(u, i));
	emit_indirect(u);
}

static void do_call(struct build *u, const struct insn *i)
{
	bool direct = !(i->flags & INSN_MEM) && i->r[0] == OP_NONE;
	struct bt_site *site;

	flags_clobbered(u);
	site = make_site(u, i);
	if (!direct) {
		emit_target(u, i, site);
		emit_store_vcpu(&u->e, 8, H_14, offsetof(struct vcpu, bt.temp));
	}
	emit_lea(&u->e, u->width, H_14, H_15, H_NONE, 0, -(int32_t)u->width);
	emit_tlb(u, u->width, TLB_WRITE, site);
	emit_load_vcpu(&u->e, 8, H_13, offsetof(struct vcpu, bt.page));
	emit_lea(&u->e, u->width, H_13, H_13, H_NONE, 0, (int32_t)(u->offset + i->len));
	emit_memory(u, true, u->width, H_13);
	emit_lea(&u->e, u->width, H_15, H_15, H_NONE, 0, -(int32_t)u->width);
	if (direct) {
		emit_exit(u, (int64_t)u->offset + i->len + i->disp);
		return;
	}
	emit_load_vcpu(&u->e, 8, H_14, offsetof(struct vcpu, bt.temp));
	emit_indirect(u);
}

static void do_ret(struct build *u, const struct insn *i)
{
	struct bt_site *site;

	flags_clobbered(u);
	site = make_site(u, i);
	emit_mov(&u->e, u->width, H_14, H_15);
	emit_tlb(u, u->width, TLB_READ, site);
	emit_memory(u, false, u->width, H_14);
	emit_canonical(u, H_14, site);
	emit_lea(&u->e, u->width, H_15, H_15, H_NONE, 0, (int32_t)(u->width + (i->imm & 0xffff)));
	emit_indirect(u);
}

/* The condition code of a Jcc is the low half of its opcode. */
static void do_jcc(struct build *u, const struct insn *i)
{
	flags_to_host(u);
	flags_to_memory(u);
	add_cold(u, emit_jcc_later(&u->e, u->d.in.opcode & 15))->target =
		(int64_t)u->offset + i->len + i->disp;
}

static bool is_jcc(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_JO:
	case ZYDIS_MNEMONIC_JNO:
	case ZYDIS_MNEMONIC_JB:
	case ZYDIS_MNEMONIC_JNB:
	case ZYDIS_MNEMONIC_JZ:
	case ZYDIS_MNEMONIC_JNZ:
	case ZYDIS_MNEMONIC_JBE:
	case ZYDIS_MNEMONIC_JNBE:
	case ZYDIS_MNEMONIC_JS:
	case ZYDIS_MNEMONIC_JNS:
	case ZYDIS_MNEMONIC_JP:
	case ZYDIS_MNEMONIC_JNP:
	case ZYDIS_MNEMONIC_JL:
	case ZYDIS_MNEMONIC_JNL:
	case ZYDIS_MNEMONIC_JLE:
	case ZYDIS_MNEMONIC_JNLE:
		return true;
	default:
		return false;
	}
}

/* CLC, STC and CMC are themselves. */
static bool do_carry(struct build *u)
{
	static const struct flags_use use = { true, true };

	switch (u->d.in.mnemonic) {
	case ZYDIS_MNEMONIC_CLC:
	case ZYDIS_MNEMONIC_STC:
	case ZYDIS_MNEMONIC_CMC:
		flags_used(u, use);
		emit_byte(&u->e, u->d.in.opcode);
		flags_given(u, use);
		return true;
	default:
		return false;
	}
}

/* Stack items and near branches of the mode's natural width only. */
static bool is_natural(const struct build *u, const struct insn *i)
{
	return u->width == 8 ? i->opsize != 2 : i->opsize == 4;
}

static bool memory_possible(const struct build *u, const struct insn *i)
{
	return !(i->flags & INSN_MEM) || address_possible(u, i);
}

/* Control flow and stack; false: not one of them, or not in a form that is done inline. */
static bool do_row(struct build *u, const struct insn *i)
{
	ZydisMnemonic m = u->d.in.mnemonic;

	if (i->exec == insn_nop)
		return true;
	if (do_carry(u))
		return true;
	if (m == ZYDIS_MNEMONIC_LEA && i->opsize >= 4 && address_possible(u, i)) {
		do_lea(u, i);
		return true;
	}
	if (!is_natural(u, i) || i->far || !memory_possible(u, i))
		return false;
	if (is_jcc(m)) {
		do_jcc(u, i);
		return true;
	}
	switch (m) {
	case ZYDIS_MNEMONIC_PUSH:
		if (i->seg_operand || (i->flags & INSN_MEM))
			return false;
		do_push(u, i);
		return true;
	case ZYDIS_MNEMONIC_POP:
		if (i->seg_operand || (i->flags & INSN_MEM))
			return false;
		do_pop(u, i);
		return true;
	case ZYDIS_MNEMONIC_LEAVE:
		do_leave(u, i);
		return true;
	case ZYDIS_MNEMONIC_JMP:
		do_jmp(u, i);
		return true;
	case ZYDIS_MNEMONIC_CALL:
		do_call(u, i);
		return true;
	case ZYDIS_MNEMONIC_RET:
		do_ret(u, i);
		return true;
	default:
		return false;
	}
}

/* Does an instruction that runs through its semantics always leave the block? */
static bool always_leaves(const struct decoded *d)
{
	switch (d->in.meta.category) {
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
		return true;
	default:
		return false;
	}
}

/* Blocks assume flat segments outside 64-bit mode, an open FPU, masked exceptions: what may change that is
 * told here. */
static bool changes_mode(const struct build *u, const struct insn *i)
{
	if (i->exec == insn_clts || i->exec == insn_lmsw || i->exec == insn_ldmxcsr ||
		i->exec == insn_fxrstor || i->exec == insn_xrstor)
		return true;
	return u->width == 4 && (i->exec == insn_load_far || (i->seg_operand && i->exec != insn_push));
}

static void translate(struct build *u, const struct insn *i)
{
	bool is_mov = u->d.in.mnemonic == ZYDIS_MNEMONIC_MOV && !i->seg_operand && i->exec != insn_mov_cr &&
		      i->exec != insn_mov_dr;

	if ((!i->exec || is_mov) && mangle_possible(&u->d, i, u->mode) && memory_possible(u, i)) {
		do_plain(u, i);
		return;
	}
	if (i->exec && !is_mov && do_row(u, i))
		return;
	emit_call_site(u, i);
	if (changes_mode(u, i)) {
		emit_exit(u, (int64_t)u->offset + i->len);
		u->cold[u->cold_count - 1].look_up = true;
	} else if (always_leaves(&u->d)) /* but INTO, which may do nothing */
		emit_exit(u, (int64_t)u->offset + i->len);
}

/* ---- the block's ends
 * ---------------------------------------------------------------------------------------------------- */

static void emit_cold(struct build *u, const struct cold *c)
{
	struct emit *e = &u->e;
	static const uint8_t lea_behind[] = { 0x4c, 0x8d, 0x2d, 5, 0, 0, 0 }; /* lea r13, [behind the jump] */
	uint8_t *link = c->from;

	emit_patch(c->from, e->at);
	store_vectors(e, &c->before);
	if (u->used_upper)
		emit_vzeroupper(e);
	if (c->site) {
		emit_mov_imm(e, H_AX, (uintptr_t)c->site);
		emit_bytes(e, lea_behind, sizeof(lea_behind));
		emit_jmp(e, u->b->slow);
		if (c->back) {
			load_vectors(e, &c->after);
			emit_patch(emit_jmp_later(e), c->back);
		}
		return;
	}
	/* What is linked is a jump behind the stores, which must not be jumped over. */
	if (has_dirty(&c->before) || u->used_upper) {
		link = emit_jmp_later(e);
		emit_patch(link, e->at);
	}
	emit_load_vcpu(e, 8, H_14, offsetof(struct vcpu, bt.page));
	emit_lea(e, u->width, H_14, H_14, H_NONE, 0, (int32_t)c->target);
	if (c->look_up) {
		emit_jmp(e, u->b->exit_lookup);
	} else if (c->target >= 0 && c->target < (int64_t)PAGE_SIZE) {
		emit_mov_imm(e, H_AX, (uintptr_t)emit_run_address(e, link));
		emit_jmp(e, u->b->exit_link);
	} else {
		emit_jmp(e, u->b->indirect);
	}
}

/* Head: the budget, then anybody's request; returns where the instruction count goes and notes the exit. */
static uint8_t *emit_head(struct build *u, uint8_t **leave)
{
	struct emit *e = &u->e;
	uint8_t *count;

	emit_byte(e, 0x65), emit_byte(e, 0x48), emit_byte(e, 0x81), emit_byte(e, 0x2c), emit_byte(e, 0x25);
	emit_u32(e, offsetof(struct vcpu, bt.left)); /* sub qword gs:[left], count */
	count = e->at;
	emit_u32(e, 0);
	leave[0] = emit_jcc_later(e, 8);
	emit_byte(e, 0x65), emit_byte(e, 0x83), emit_byte(e, 0x3c), emit_byte(e, 0x25);
	emit_u32(e, offsetof(struct vcpu, attention)); /* cmp dword gs:[attention], 0 */
	emit_byte(e, 0);
	leave[1] = emit_jcc_later(e, 5);
	return count;
}

/* Not entered after all: give the instructions back, and out. */
static void emit_leave(struct build *u, uint8_t *const *leave)
{
	struct emit *e = &u->e;

	emit_patch(leave[0], e->at);
	emit_patch(leave[1], e->at);
	emit_byte(e, 0x65), emit_byte(e, 0x48), emit_byte(e, 0x81), emit_byte(e, 0x04), emit_byte(e, 0x25);
	emit_u32(e, offsetof(struct vcpu, bt.left));
	emit_u32(e, u->count);
	emit_load_vcpu(e, 8, H_14, offsetof(struct vcpu, bt.page));
	emit_lea(e, u->width, H_14, H_14, H_NONE, 0, (int32_t)u->start);
	emit_jmp(e, u->b->exit_lookup);
}

/* Translate instructions until the block ends; false: not even the first can be in a block. */
static bool build_body(struct build *u)
{
	while (!u->ended && u->count < BT_BLOCK_MAX && u->offset < PAGE_SIZE && !u->e.overflow) {
		struct insn i;
		enum decode_result r;

		u->code = u->page->host + u->offset;
		r = insn_decode(u->code, PAGE_SIZE - u->offset, u->width == 8 ? CODE_64 : CODE_32, &i, &u->d);
		if (r != DECODE_OK)
			break;
		translate(u, &i);
		u->count++;
		u->offset += i.len;
	}
	if (!u->ended)
		emit_exit(u, u->offset);
	return u->count > 0;
}

struct bt_block *bt_build(
	struct vcpu *v, struct bt *b, struct code_page *page, unsigned offset, unsigned mode)
{
	struct build u = { .v = v, .b = b, .page = page, .mode = mode, .start = offset, .offset = offset };
	struct bt_block *block = &b->blocks[b->block_used];
	uint8_t *leave[2], *count;

	if (b->block_used == BT_BLOCKS_MAX || b->used + BT_HOST_MAX > BT_CACHE_SIZE)
		return NULL;
	u.width = (mode & 3) == BT_64 ? 8 : 4;
	u.e = (struct emit){
		.at = b->rw + b->used, .end = b->rw + b->used + BT_HOST_MAX, .run_delta = b->rx - b->rw
	};
	*block = (struct bt_block){ .host_code = b->rx + b->used,
		.guest = page->host + offset,
		.page = page,
		.mode = (uint8_t)mode };
	page->idle_writes = 0;
	if (!page->marked)
		code_page_mark(v, page); /* before the bytes are read */
	count = emit_head(&u, leave);
	if (!build_body(&u)) {
		block->host_code = NULL; /* one-shot: the interpreter's business */
		return block;
	}
	le_store(count, 4, u.count);
	emit_leave(&u, leave);
	for (unsigned k = 0; k < u.cold_count; k++)
		emit_cold(&u, &u.cold[k]);
	if (u.e.overflow)
		return NULL;
	b->used = (size_t)(u.e.at - b->rw + 15) & ~15ull;
	b->block_used++;
	page->chunks |= bits_put(0, (u.offset - 1) / 64, offset / 64, ~0ull);
	bt_cache_insert(b, block);
	return block;
}
