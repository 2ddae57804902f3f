/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/string.c - REP MOVS and REP STOS: the processor's own, a page's worth at a time; MOVS and STOS by themselves.
 *
 * What misses the TLB, crosses a page within an element or runs backwards is carried on by the semantics; registers
 * say at any time how far it has come.
 */
#include "monitor/engine/bt/build.h"

#include "monitor/cpu/arch.h"

#define STRING(n) offsetof(struct vcpu, bt.string[n])

/* T0: offset in a page.  T0 <- elements that fit behind it, at most those in `limit`. */
static void emit_room(struct build *u, unsigned shift)
{
	struct emit *e = &u->e;

	emit_op_reg(e, 8, 0xf7, 3, T0); /* neg */
	emit_imm(e, 8, IMM_ADD, T0, PAGE_SIZE);
	if (shift) {
		emit_op_reg(e, 8, 0xc1, 5, T0); /* shr */
		emit_byte(e, shift);
	}
}

/* cmova t0, r/m behind cmp t0, r/m */
static void emit_minimum_reg(struct build *u, unsigned reg)
{
	emit_op_reg(&u->e, 8, OP_CMP, T0, reg);
	emit_byte(&u->e, 0x48 | 4 | (reg & 8) >> 3);
	emit_byte(&u->e, 0x0f), emit_byte(&u->e, 0x47);
	emit_modrm_reg(&u->e, T0, reg);
}

static void emit_minimum_vcpu(struct build *u, size_t offset)
{
	struct host_mem m = mem_vcpu(offset);

	emit_op_vcpu(&u->e, OP_CMP, T0, offset);
	emit_byte(&u->e, 0x65);
	emit_byte(&u->e, 0x48 | 4);
	emit_byte(&u->e, 0x0f), emit_byte(&u->e, 0x47);
	emit_modrm_mem(&u->e, T0, &m);
}

/* Off to the semantics when it would run backwards. */
static void emit_check_direction(struct build *u, const struct op *o)
{
	struct host_mem rflags = mem_vcpu(offsetof(struct vcpu, s.rflags));

	flags_clobbered(u, o->live_in);
	flush_sp(u);
	t1_lost(u);
	emit_op_mem(&u->e, 4, 0xf7, 0, &rflags); /* test rflags, DF */
	emit_u32(&u->e, FLAG_DF);
	site_if(u, CC_NE, o)->here = true;
}

/* ES is not part of the block's mode. */
static void emit_check_es(struct build *u, const struct op *o)
{
	struct host_mem plain = mem_vcpu(offsetof(struct vcpu, seg_plain));

	emit_byte(&u->e, 0x65), emit_byte(&u->e, 0xf6); /* test byte gs:[..], ES */
	emit_modrm_mem(&u->e, 0, &plain);
	emit_byte(&u->e, 1u << S_ES);
	site_if(u, CC_E, o)->here = true;
	emit_compare_vcpu(&u->e, 4, offsetof(struct vcpu, seg_base) + 8 * S_ES, 0);
	site_if(u, CC_NE, o)->here = true;
}

/* An element between RAX or T0 and memory; T0 takes bytes and words with zeros before them. */
static void emit_element(struct emit *e, bool store, unsigned size, unsigned reg, const struct host_mem *m)
{
	if (size <= 2 && !store) {
		emit_movzx(e, size, reg, m);
		return;
	}
	if (size == 2)
		emit_byte(e, 0x66);
	emit_op_mem(e, size == 8 ? 8 : 4, (store ? 0x88u : 0x8au) | (size > 1), reg, m);
}

void string_element(struct build *u, const struct op *o)
{
	struct emit *e = &u->e;
	struct host_mem m, si = mem_at(H_SI, o->i.memsize), di = mem_at(H_DI, o->i.memsize);
	bool movs = o->accesses == 2;

	emit_check_direction(u, o);
	if (u->width == 4)
		emit_check_es(u, o);
	if (movs) {
		m = access_emit(u, o, 1);
		emit_element(e, false, o->i.memsize, T0, &m);
		emit_store_vcpu(e, 8, T0, STRING(0));
	}
	m = access_emit(u, o, 0);
	if (movs)
		emit_load_vcpu(e, 8, T0, STRING(0));
	emit_element(e, true, o->i.memsize, movs ? T0 : H_AX, &m);
	if (movs)
		emit_lea(e, u->width, H_SI, &si);
	emit_lea(e, u->width, H_DI, &di);
	u->flags = o->live_out ? FLAGS_MEMORY : FLAGS_LOST;
}

void string_rep(struct build *u, const struct op *o)
{
	struct emit *e = &u->e;
	bool movs = o->accesses == 2;
	unsigned shift = (unsigned)__builtin_ctz(o->i.memsize);
	uint8_t *again, *none, *more;

	emit_check_direction(u, o);
	again = e->at;
	emit_op_reg(e, 8, 0x85, H_CX, H_CX);
	none = emit_jcc_later(e, CC_E);
	if (movs) {
		access_emit_string(u, o, 1);
		emit_store_vcpu(e, 8, T1, STRING(0));
		emit_room(u, shift);
		emit_minimum_reg(u, H_CX);
		emit_store_vcpu(e, 8, T0, STRING(1));
	}
	access_emit_string(u, o, 0);
	emit_room(u, shift);
	if (movs)
		emit_minimum_vcpu(u, STRING(1));
	else
		emit_minimum_reg(u, H_CX);
	emit_store_vcpu(e, 8, H_CX, offsetof(struct vcpu, bt.temp));
	emit_mov(e, 8, H_CX, T0);
	emit_op_reg(e, 8, OP_ADD, H_DI, T1);
	if (movs)
		emit_op_vcpu(e, OP_ADD, H_SI, STRING(0));
	emit_byte(e, 0xf3);
	if (o->i.memsize == 2)
		emit_byte(e, 0x66);
	if (o->i.memsize == 8)
		emit_byte(e, 0x48);
	emit_byte(e, (movs ? 0xa4u : 0xaau) | (o->i.memsize > 1));
	emit_op_reg(e, 8, OP_SUB, H_DI, T1);
	if (movs)
		emit_op_vcpu(e, OP_SUB, H_SI, STRING(0));
	emit_load_vcpu(e, 8, H_CX, offsetof(struct vcpu, bt.temp));
	emit_op_reg(e, 8, OP_SUB, H_CX, T0);
	more = emit_jcc_later(e, CC_E);
	emit_compare_vcpu(e, 4, offsetof(struct vcpu, attention), 0);
	site_if(u, CC_NE, o)->here = true;
	emit_patch(emit_jmp_later(e), again);
	emit_patch(none, e->at);
	emit_patch(more, e->at);
	u->flags = o->live_out ? FLAGS_MEMORY : FLAGS_LOST;
}
