/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/far.c - transfers between code segments: far JMP, CALL, RET, IRET, call gates.
 *
 * SDM volume 2 (JMP, CALL, RET, IRET), volume 3A 5.8 (privilege checks).
 */
#include "monitor/cpu/segment.h"

static _Noreturn void fault(struct vcpu *v, int vector, uint16_t selector)
{
	cpu_raise_error(v, vector, selector & 0xfffc);
}

static bool is_real(const struct vcpu *v)
{
	return !v->protected_mode || v->v86;
}

/* Would rip be a legal instruction pointer under cs? */
static void check_rip(struct vcpu *v, const struct segment *cs, uint64_t rip)
{
	if (v->long_mode && (cs->attr & SEG_L)) {
		if (!is_canonical(rip))
			cpu_raise_error(v, EXC_GP, 0);
	} else if (rip > cs->limit) {
		cpu_raise_error(v, EXC_GP, 0);
	}
}

void cs_commit(struct vcpu *v, const struct segment *cs, uint64_t rip, unsigned cpl)
{
	v->s.seg[S_CS] = *cs;
	if (v->protected_mode && !v->v86)
		v->s.seg[S_CS].selector = (uint16_t)((cs->selector & ~3u) | cpl);
	v->s.rip = rip;
	cpu_update_code(v);
}

static uint64_t truncate_rip(uint64_t rip, unsigned size)
{
	return rip & bits_mask_bytes(size);
}

static void real_jump(struct vcpu *v, uint16_t selector, uint64_t offset)
{
	if (offset > v->s.seg[S_CS].limit)
		cpu_raise_error(v, EXC_GP, 0);
	seg_load_real(v, S_CS, selector);
	v->s.rip = offset;
}

/* Checks for a code segment as the target of a far JMP or CALL without gate. */
static struct segment direct_target(struct vcpu *v, struct descriptor *d, uint16_t selector)
{
	struct segment cs;
	unsigned dpl = desc_dpl(d), rpl = selector & 3u;

	if (desc_is_conforming(d) ? dpl > v->cpl : rpl > v->cpl || dpl != v->cpl)
		fault(v, EXC_GP, selector);
	if (!desc_is_present(d))
		fault(v, EXC_NP, selector);
	cs = desc_segment(d, selector);
	if (v->long_mode && (cs.attr & SEG_L) && (cs.attr & SEG_DB))
		fault(v, EXC_GP, selector);
	return cs;
}

/* What a call gate says, in either format. */
struct gate {
	uint16_t selector;
	uint64_t offset;
	unsigned params, size;
};

static struct gate gate_read(struct vcpu *v, const struct descriptor *d, uint16_t selector)
{
	struct gate g = { .selector = (uint16_t)bits_get(d->raw, 31, 16), .size = 4 };

	g.offset = bits_get(d->raw, 15, 0) | bits_get(d->raw, 63, 48) << 16;
	g.params = (unsigned)bits_get(d->raw, 36, 32);
	if (v->long_mode) {
		uint64_t high = sys_read(v, d->at + 8, 8);

		if (bits_get(high, 44, 40))
			fault(v, EXC_GP, selector);
		g.offset |= high << 32;
		g.size = 8;
		g.params = 0;
	} else if (desc_type(d) == DESC_CALL16) {
		g.offset &= 0xffff;
		g.size = 2;
	}
	return g;
}

/* The code segment behind a gate; `jump` forbids a change of privilege. */
static void gate_target(struct vcpu *v, const struct gate *g, struct descriptor *d, bool jump)
{
	unsigned dpl;

	if ((g->selector & ~3u) == 0)
		cpu_raise_error(v, EXC_GP, 0);
	if (!desc_fetch(v, g->selector, d) || !desc_is_code(d))
		fault(v, EXC_GP, g->selector);
	dpl = desc_dpl(d);
	if (dpl > v->cpl || (jump && !desc_is_conforming(d) && dpl != v->cpl))
		fault(v, EXC_GP, g->selector);
	if (v->long_mode && (!(d->raw & (1ull << 53)) || (d->raw & (1ull << 54))))
		fault(v, EXC_GP, g->selector);
	if (!desc_is_present(d))
		fault(v, EXC_NP, g->selector);
}

static void check_gate(struct vcpu *v, const struct descriptor *d, uint16_t selector)
{
	if (desc_dpl(d) < v->cpl || desc_dpl(d) < (selector & 3u))
		fault(v, EXC_GP, selector);
	if (!desc_is_present(d))
		fault(v, EXC_NP, selector);
}

static bool is_call_gate(const struct vcpu *v, const struct descriptor *d)
{
	return desc_type(d) == DESC_CALL32 || (desc_type(d) == DESC_CALL16 && !v->long_mode);
}

/* JMP or CALL to a task: through a task gate or straight to a TSS; false: d is neither. */
static bool try_task(
	struct vcpu *v, struct descriptor *d, uint16_t selector, enum task_switch why, unsigned len)
{
	unsigned type = desc_type(d);

	if (v->long_mode)
		return false;
	if (type == DESC_TASK) {
		check_gate(v, d, selector);
		selector = (uint16_t)bits_get(d->raw, 31, 16);
		if ((selector & 4) || !desc_fetch(v, selector, d))
			fault(v, EXC_GP, selector);
	} else if (type != DESC_TSS16 && type != DESC_TSS32 && type != DESC_TSS16_BUSY &&
		   type != DESC_TSS32_BUSY) {
		return false;
	} else if (desc_dpl(d) < v->cpl || desc_dpl(d) < (selector & 3u)) {
		fault(v, EXC_GP, selector);
	}
	task_switch(v, selector, d, why, v->s.rip + len);
	return true;
}

static void target_or_raise(struct vcpu *v, uint16_t selector, struct descriptor *d)
{
	if ((selector & ~3u) == 0)
		cpu_raise_error(v, EXC_GP, 0);
	if (!desc_fetch(v, selector, d))
		fault(v, EXC_GP, selector);
}

void far_jump(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size, unsigned len)
{
	struct descriptor d;
	struct segment cs;
	struct gate g;

	offset = truncate_rip(offset, size);
	if (is_real(v)) {
		real_jump(v, selector, offset);
		return;
	}
	target_or_raise(v, selector, &d);
	if (desc_is_code(&d)) {
		cs = direct_target(v, &d, selector);
		check_rip(v, &cs, offset);
		desc_touch(v, &d);
		cs_commit(v, &cs, offset, v->cpl);
		return;
	}
	if (desc_is_segment(&d))
		fault(v, EXC_GP, selector);
	if (try_task(v, &d, selector, TASK_JUMP, len))
		return;
	if (!is_call_gate(v, &d))
		fault(v, EXC_GP, selector);
	check_gate(v, &d, selector);
	g = gate_read(v, &d, selector);
	gate_target(v, &g, &d, true);
	cs = desc_segment(&d, g.selector);
	check_rip(v, &cs, g.offset);
	desc_touch(v, &d);
	cs_commit(v, &cs, g.offset, v->cpl);
}

/* Push without touching SP until everything is done. */
static void push_at(struct vcpu *v, uint64_t *sp, unsigned size, uint64_t value)
{
	uint64_t mask = stack_mask(v);

	*sp = (*sp - size) & mask;
	mem_write(v, S_SS, *sp, size, value);
}

static void push_return(struct vcpu *v, unsigned size, unsigned len)
{
	uint64_t sp = v->s.gpr[R_SP];

	lin_probe_write(v, seg_linear(v, S_SS, (sp - 2 * size) & stack_mask(v), size, true), size, S_SS);
	push_at(v, &sp, size, v->s.seg[S_CS].selector);
	push_at(v, &sp, size, v->s.rip + len);
	stack_set(v, sp);
}

/* On a stack that is not in SS yet: no room on it is #SS with its selector (SDM volume 2, CALL). */
static void inner_write(
	struct vcpu *v, const struct segment *ss, unsigned cpl, uint64_t sp, unsigned size, uint64_t value)
{
	if (v->long_mode) {
		if (!is_canonical(sp))
			cpu_raise_error(v, EXC_SS, 0);
		lin_write_as(v, cpl, sp, size, value);
		return;
	}
	if ((ss->attr & 0x1c) == 0x14 ? sp <= ss->limit : sp + size - 1 > ss->limit)
		fault(v, EXC_SS, ss->selector);
	lin_write_as(v, cpl, (ss->base + sp) & 0xffffffffu, size, value);
}

/* CALL through a gate to more privilege: new stack from the TSS, parameters copied. */
static void call_inner(struct vcpu *v, const struct gate *g, struct descriptor *d, unsigned len)
{
	unsigned cpl = desc_dpl(d), size = g->size;
	uint16_t ss_selector, old_ss = v->s.seg[S_SS].selector;
	uint64_t sp, old_sp = v->s.gpr[R_SP], old_mask = stack_mask(v), mask;
	struct segment ss, cs = desc_segment(d, g->selector);
	uint64_t params[32];

	if (v->long_mode) {
		if (4 + 8 * cpl + 7 > v->s.seg[S_TR].limit)
			fault(v, EXC_TS, v->s.seg[S_TR].selector);
		sp = sys_read(v, v->s.seg[S_TR].base + 4 + 8 * cpl, 8);
		ss = (struct segment){ .selector = (uint16_t)cpl, .attr = (uint16_t)(cpl << SEG_DPL_SHIFT) };
		mask = UINT64_MAX;
	} else {
		tss_stack(v, cpl, &ss_selector, &sp);
		if ((ss_selector & ~3u) == 0)
			fault(v, EXC_TS, ss_selector);
		ss = seg_check_stack(v, ss_selector, cpl, EXC_TS);
		mask = ss.attr & SEG_DB ? 0xffffffffu : 0xffffu;
	}
	for (unsigned k = 0; k < g->params; k++)
		params[k] = mem_read(v, S_SS, (old_sp + (uint64_t)k * size) & old_mask, size);
	check_rip(v, &cs, g->offset);
#define INNER_PUSH(value) (sp = (sp - size) & mask, inner_write(v, &ss, cpl, sp, size, value))
	INNER_PUSH(old_ss);
	INNER_PUSH(old_sp);
	for (unsigned k = g->params; k-- > 0;)
		INNER_PUSH(params[k]);
	INNER_PUSH(v->s.seg[S_CS].selector);
	INNER_PUSH(v->s.rip + len);
#undef INNER_PUSH
	desc_touch(v, d);
	v->s.seg[S_SS] = ss;
	cs_commit(v, &cs, g->offset, cpl);
	stack_set(v, sp);
}

void far_call(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size, unsigned len)
{
	struct descriptor d;
	struct segment cs;
	struct gate g;

	offset = truncate_rip(offset, size);
	if (is_real(v)) {
		if (offset > v->s.seg[S_CS].limit)
			cpu_raise_error(v, EXC_GP, 0);
		push_return(v, size, len);
		real_jump(v, selector, offset);
		return;
	}
	target_or_raise(v, selector, &d);
	if (desc_is_code(&d)) {
		cs = direct_target(v, &d, selector);
		check_rip(v, &cs, offset);
		push_return(v, size, len);
		desc_touch(v, &d);
		cs_commit(v, &cs, offset, v->cpl);
		return;
	}
	if (desc_is_segment(&d))
		fault(v, EXC_GP, selector);
	if (try_task(v, &d, selector, TASK_CALL, len))
		return;
	if (!is_call_gate(v, &d))
		fault(v, EXC_GP, selector);
	check_gate(v, &d, selector);
	g = gate_read(v, &d, selector);
	gate_target(v, &g, &d, false);
	if (!desc_is_conforming(&d) && desc_dpl(&d) < v->cpl) {
		call_inner(v, &g, &d, len);
		return;
	}
	cs = desc_segment(&d, g.selector);
	check_rip(v, &cs, g.offset);
	push_return(v, g.size, len);
	desc_touch(v, &d);
	cs_commit(v, &cs, g.offset, v->cpl);
}

/* On the way to an outer level, data segments that level may not use become null (SDM: RET, IRET). */
static void drop_data_segments(struct vcpu *v, unsigned cpl)
{
	static const uint8_t data[] = { S_ES, S_DS, S_FS, S_GS };

	for (size_t k = 0; k < ARRAY_LEN(data); k++) {
		struct segment *s = &v->s.seg[data[k]];
		bool conforming = (s->attr & 0x1c) == 0x1c;
		unsigned dpl = (unsigned)bits_get(s->attr, 6, 5);

		if ((s->attr & SEG_P) && !conforming && dpl < cpl)
			*s = (struct segment){ 0 };
	}
}

/* Code segment checks for RET and IRET. */
static struct segment return_target(struct vcpu *v, uint16_t selector, struct descriptor *d)
{
	struct segment cs;
	unsigned rpl = selector & 3u;

	if ((selector & ~3u) == 0)
		cpu_raise_error(v, EXC_GP, 0);
	if (!desc_fetch(v, selector, d) || !desc_is_code(d) || rpl < v->cpl)
		fault(v, EXC_GP, selector);
	if (desc_is_conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl)
		fault(v, EXC_GP, selector);
	cs = desc_segment(d, selector);
	if (v->long_mode && (cs.attr & SEG_L) && (cs.attr & SEG_DB))
		fault(v, EXC_GP, selector);
	if (!desc_is_present(d))
		fault(v, EXC_NP, selector);
	return cs;
}

/* The stack segment that comes back from the stack; null is allowed into 64-bit mode below CPL 3. */
static struct segment return_stack(struct vcpu *v, uint16_t selector, const struct segment *cs, unsigned cpl)
{
	if ((selector & ~3u) == 0) {
		if (!(v->long_mode && (cs->attr & SEG_L)) || cpl == 3 || (selector & 3u) != cpl)
			cpu_raise_error(v, EXC_GP, 0);
		return (struct segment){ .selector = selector, .attr = (uint16_t)(cpl << SEG_DPL_SHIFT) };
	}
	return seg_check_stack(v, selector, cpl, EXC_GP);
}

static void set_outer_sp(struct vcpu *v, uint64_t sp)
{
	uint64_t mask = stack_mask(v);

	v->s.gpr[R_SP] = mask == 0xffff ? (v->s.gpr[R_SP] & ~mask) | (sp & mask) : sp & mask;
}

void far_return(struct vcpu *v, unsigned size, unsigned release)
{
	uint64_t rip = stack_peek(v, size, 0);
	uint16_t selector = (uint16_t)stack_peek(v, size, size);
	struct descriptor d;
	struct segment cs, ss;
	unsigned cpl = selector & 3u;
	uint64_t sp;

	if (is_real(v)) {
		if (rip > v->s.seg[S_CS].limit)
			cpu_raise_error(v, EXC_GP, 0);
		seg_load_real(v, S_CS, selector);
		v->s.rip = rip;
		stack_set(v, v->s.gpr[R_SP] + 2 * size + release);
		return;
	}
	cs = return_target(v, selector, &d);
	if (cpl == v->cpl) {
		check_rip(v, &cs, rip);
		desc_touch(v, &d);
		stack_set(v, v->s.gpr[R_SP] + 2 * size + release);
		cs_commit(v, &cs, rip, cpl);
		return;
	}
	sp = stack_peek(v, size, 2 * size + release);
	ss = return_stack(v, (uint16_t)stack_peek(v, size, 3 * size + release), &cs, cpl);
	check_rip(v, &cs, rip);
	desc_touch(v, &d);
	v->s.seg[S_SS] = ss;
	cs_commit(v, &cs, rip, cpl);
	set_outer_sp(v, sp + release);
	drop_data_segments(v, cpl);
	cpu_update_mode(v);
}

/* Flags IRET may change at this privilege. */
static uint64_t return_flags_mask(const struct vcpu *v, unsigned size)
{
	uint64_t mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT;

	if (size > 2)
		mask |= FLAG_RF | FLAG_AC | FLAG_ID;
	if (!v->protected_mode || v->cpl == 0)
		mask |= FLAG_IOPL | FLAG_IF | (size > 2 ? FLAG_VIF | FLAG_VIP : 0);
	else if (v->cpl <= bits_get(v->s.rflags, 13, 12))
		mask |= FLAG_IF;
	return mask;
}

static void return_real(struct vcpu *v, unsigned size)
{
	uint64_t rip = stack_peek(v, size, 0), flags = stack_peek(v, size, 2 * size);
	uint16_t selector = (uint16_t)stack_peek(v, size, size);
	uint64_t mask = return_flags_mask(v, size);

	if (v->v86) {
		if (bits_get(v->s.rflags, 13, 12) != 3)
			cpu_raise_error(v, EXC_GP, 0);
		mask = (mask | FLAG_IF) & ~FLAG_IOPL;
	}
	if (rip > v->s.seg[S_CS].limit)
		cpu_raise_error(v, EXC_GP, 0);
	stack_set(v, v->s.gpr[R_SP] + 3 * size);
	seg_load_real(v, S_CS, selector);
	v->s.rip = rip;
	cpu_set_flags(v, flags, mask);
}

/* From CPL 0 into virtual-8086 mode: nine items on the stack. */
static void return_v86(struct vcpu *v, uint64_t rip, uint16_t cs, uint64_t flags)
{
	static const uint8_t order[] = { S_SS, S_ES, S_DS, S_FS, S_GS };
	uint16_t sel[ARRAY_LEN(order)];
	uint64_t sp = stack_peek(v, 4, 12);

	for (unsigned k = 0; k < ARRAY_LEN(order); k++)
		sel[k] = (uint16_t)stack_peek(v, 4, 16 + 4 * k);
	cpu_set_flags(v, flags, 0x3f7fd5); /* all there are */
	for (unsigned k = 0; k < ARRAY_LEN(order); k++)
		seg_load_real(v, order[k], sel[k]);
	seg_load_real(v, S_CS, cs);
	v->s.rip = rip & 0xffff;
	v->s.gpr[R_SP] = sp;
}

static void return_task(struct vcpu *v)
{
	struct descriptor d;
	uint16_t link = (uint16_t)sys_read(v, v->s.seg[S_TR].base, 2);

	if ((link & 4) || !desc_fetch(v, link, &d))
		fault(v, EXC_TS, link);
	task_switch(v, link, &d, TASK_RETURN, v->s.rip);
}

void interrupt_return(struct vcpu *v, unsigned size)
{
	uint64_t rip, flags, sp = 0, mask;
	uint16_t selector;
	struct descriptor d;
	struct segment cs, ss;
	unsigned cpl;
	bool outer;

	v->s.nmi_blocked = 0;
	if (atomic_load(&v->pending) & VCPU_NMI)
		atomic_store(&v->attention, 1);
	if (is_real(v)) {
		return_real(v, size);
		return;
	}
	if (v->s.rflags & FLAG_NT) {
		if (v->long_mode)
			cpu_raise_error(v, EXC_GP, 0);
		return_task(v);
		return;
	}
	rip = stack_peek(v, size, 0);
	selector = (uint16_t)stack_peek(v, size, size);
	flags = stack_peek(v, size, 2 * size);
	if ((flags & FLAG_VM) && !v->long_mode && v->cpl == 0 && size == 4) {
		return_v86(v, rip, selector, flags);
		return;
	}
	cs = return_target(v, selector, &d);
	cpl = selector & 3u;
	mask = return_flags_mask(v, size);
	outer = cpl != v->cpl || v->code_size == CODE_64;
	if (outer) {
		sp = stack_peek(v, size, 3 * size);
		ss = return_stack(v, (uint16_t)stack_peek(v, size, 4 * size), &cs, cpl);
	}
	check_rip(v, &cs, rip);
	desc_touch(v, &d);
	if (!outer) {
		stack_set(v, v->s.gpr[R_SP] + 3 * size);
		cs_commit(v, &cs, rip, cpl);
	} else {
		bool drop = cpl != v->cpl;

		v->s.seg[S_SS] = ss;
		cs_commit(v, &cs, rip, cpl);
		set_outer_sp(v, sp);
		if (drop) {
			drop_data_segments(v, cpl);
			cpu_update_mode(v);
		}
	}
	cpu_set_flags(v, flags, mask);
}
