/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/event.c - exceptions and interrupts into the guest, in every mode.
 *
 * SDM volume 3A chapter 6; 6.15 for double faults, 20.1.4 real mode, 20.3 virtual-8086 mode, 6.14 64-bit
 * mode.
 */
#include "monitor/cpu/segment.h"

_Noreturn void cpu_raise_software(struct vcpu *v, int vector, unsigned len)
{
	v->event = (struct cpu_event){ .vector = (int16_t)vector, .software = true, .advance = (uint8_t)len };
	_longjmp(v->recover, 1);
}

static bool is_contributory(int vector)
{
	return vector == EXC_DE || (vector >= EXC_TS && vector <= EXC_GP);
}

bool cpu_escalate(struct vcpu *v)
{
	int first = v->delivering, second = v->event.vector;

	v->delivering = -1;
	if (first < 0)
		return true;
	if (first == EXC_DF)
		return false;
	if ((is_contributory(first) && is_contributory(second)) ||
		(first == EXC_PF && (is_contributory(second) || second == EXC_PF)))
		v->event = (struct cpu_event){ .vector = EXC_DF, .has_error = true };
	return true;
}

/* Error code of a fault met while delivering: the vector's gate, and EXT unless software asked for it. */
static uint32_t gate_error(const struct cpu_event *e)
{
	return (uint32_t)(e->vector * 8 + 2) | (e->software ? 0 : 1);
}

static uint32_t selector_error(const struct cpu_event *e, uint16_t selector)
{
	return (selector & 0xfffcu) | (e->software ? 0 : 1);
}

/* The flags image: RF is set for faults so that a breakpoint does not hit again on return. */
static uint64_t flags_image(const struct vcpu *v, const struct cpu_event *e)
{
	uint64_t flags = vcpu_get_rflags(v);

	if (!e->software && !e->external && !e->trap && e->vector != EXC_DB)
		flags |= FLAG_RF;
	return flags;
}

static void deliver_real(struct vcpu *v, const struct cpu_event *e)
{
	uint64_t sp = v->s.gpr[R_SP], mask = stack_mask(v);
	uint64_t flags = vcpu_get_rflags(v);
	uint32_t entry;

	if ((uint32_t)e->vector * 4 + 3 > v->s.idt_limit)
		cpu_raise_error(v, EXC_GP, gate_error(e));
	entry = (uint32_t)sys_read(v, v->s.idt_base + (uint32_t)e->vector * 4, 4);
	sp = (sp - 2) & mask;
	mem_write(v, S_SS, sp, 2, flags);
	sp = (sp - 2) & mask;
	mem_write(v, S_SS, sp, 2, v->s.seg[S_CS].selector);
	sp = (sp - 2) & mask;
	mem_write(v, S_SS, sp, 2, v->s.rip + e->advance);
	stack_set(v, sp);
	cpu_set_flags(v, 0, FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
	seg_load_real(v, S_CS, (uint16_t)(entry >> 16));
	v->s.rip = entry & 0xffff;
}

/* What an IDT gate says. */
struct idt_gate {
	uint64_t offset;
	uint16_t selector;
	unsigned type, ist, size;
};

static struct idt_gate gate_read(struct vcpu *v, const struct cpu_event *e)
{
	unsigned width = v->long_mode ? 16 : 8;
	uint64_t at = v->s.idt_base + (uint64_t)e->vector * width, low, high = 0;
	struct idt_gate g;

	if ((uint32_t)e->vector * width + width - 1 > v->s.idt_limit)
		cpu_raise_error(v, EXC_GP, gate_error(e));
	low = sys_read(v, at, 8);
	if (v->long_mode)
		high = sys_read(v, at + 8, 8);
	g.type = (unsigned)bits_get(low, 44, 40);
	g.offset = bits_get(low, 15, 0) | bits_get(low, 63, 48) << 16 | high << 32;
	g.selector = (uint16_t)bits_get(low, 31, 16);
	g.ist = v->long_mode ? (unsigned)bits_get(low, 34, 32) : 0;
	g.size = v->long_mode ? 8 : g.type & 8 ? 4 : 2;
	if (g.size == 2)
		g.offset &= 0xffff;
	if (g.type != DESC_INT32 && g.type != DESC_TRAP32 &&
		(v->long_mode || (g.type != DESC_INT16 && g.type != DESC_TRAP16 && g.type != DESC_TASK)))
		cpu_raise_error(v, EXC_GP, gate_error(e));
	if (e->software && bits_get(low, 46, 45) < v->cpl)
		cpu_raise_error(v, EXC_GP, gate_error(e));
	if (!(low & (1ull << 47)))
		cpu_raise_error(v, EXC_NP, gate_error(e));
	return g;
}

static struct segment target_code(
	struct vcpu *v, const struct cpu_event *e, const struct idt_gate *g, struct descriptor *d)
{
	struct segment cs;

	if ((g->selector & ~3u) == 0)
		cpu_raise_error(v, EXC_GP, e->software ? 0 : 1);
	if (!desc_fetch(v, g->selector, d) || !desc_is_code(d) || desc_dpl(d) > v->cpl)
		cpu_raise_error(v, EXC_GP, selector_error(e, g->selector));
	cs = desc_segment(d, g->selector);
	if (v->long_mode && (!(cs.attr & SEG_L) || (cs.attr & SEG_DB)))
		cpu_raise_error(v, EXC_GP, selector_error(e, g->selector));
	if (!desc_is_present(d))
		cpu_raise_error(v, EXC_NP, selector_error(e, g->selector));
	return cs;
}

/* A stack being filled before it is the vCPU's. */
struct new_stack {
	struct segment ss;
	uint64_t sp, mask, base;
	unsigned cpl, size;
	bool switched;
};

static void push(struct vcpu *v, struct new_stack *n, uint64_t value)
{
	n->sp = (n->sp - n->size) & n->mask;
	if (n->switched) {
		uint64_t last = n->sp + n->size - 1;

		if (!v->long_mode && !((n->ss.attr & 0x1c) == 0x14) && last > n->ss.limit)
			cpu_raise_error(v, EXC_SS, n->ss.selector & 0xfffcu);
		if (v->long_mode && !is_canonical(n->sp))
			cpu_raise_error(v, EXC_SS, 0);
		lin_write_as(
			v, n->cpl, v->long_mode ? n->sp : (n->base + n->sp) & 0xffffffffu, n->size, value);
	} else {
		mem_write(v, S_SS, n->sp, n->size, value);
	}
}

static struct new_stack choose_stack(
	struct vcpu *v, const struct cpu_event *e, const struct idt_gate *g, unsigned cpl)
{
	struct new_stack n = { .cpl = cpl, .size = g->size, .ss = v->s.seg[S_SS], .sp = v->s.gpr[R_SP] };
	bool inner = cpl < v->cpl;
	uint16_t selector;

	if (v->long_mode) {
		uint32_t at = g->ist ? 0x24 + 8 * (g->ist - 1) : 4 + 8 * cpl;

		n.switched = true;
		n.mask = UINT64_MAX;
		if (inner || g->ist) {
			if (at + 7 > v->s.seg[S_TR].limit)
				cpu_raise_error(v, EXC_TS, selector_error(e, v->s.seg[S_TR].selector));
			n.sp = sys_read(v, v->s.seg[S_TR].base + at, 8);
		}
		n.sp &= ~15ull;
		if (inner)
			n.ss = (struct segment){ .selector = (uint16_t)cpl,
				.attr = (uint16_t)(cpl << SEG_DPL_SHIFT) };
		return n;
	}
	if (inner) {
		tss_stack(v, cpl, &selector, &n.sp);
		if ((selector & ~3u) == 0)
			cpu_raise_error(v, EXC_TS, selector_error(e, selector));
		n.ss = seg_check_stack(v, selector, cpl, EXC_TS);
		n.switched = true;
	}
	n.base = n.ss.base;
	n.mask = n.ss.attr & SEG_DB ? 0xffffffffu : 0xffffu;
	return n;
}

static void push_frame(struct vcpu *v, const struct cpu_event *e, struct new_stack *n, bool with_stack)
{
	if (v->v86) {
		push(v, n, v->s.seg[S_GS].selector);
		push(v, n, v->s.seg[S_FS].selector);
		push(v, n, v->s.seg[S_DS].selector);
		push(v, n, v->s.seg[S_ES].selector);
	}
	if (with_stack) {
		push(v, n, v->s.seg[S_SS].selector);
		push(v, n, v->s.gpr[R_SP]);
	}
	push(v, n, flags_image(v, e));
	push(v, n, v->s.seg[S_CS].selector);
	push(v, n, v->s.rip + e->advance);
	if (e->has_error)
		push(v, n, e->error);
}

static void deliver_task(struct vcpu *v, const struct cpu_event *e, const struct idt_gate *g)
{
	struct descriptor d;

	if ((g->selector & 4) || !desc_fetch(v, g->selector, &d))
		cpu_raise_error(v, EXC_GP, selector_error(e, g->selector));
	task_switch(v, g->selector, &d, TASK_EVENT, v->s.rip + e->advance);
	if (e->has_error)
		stack_push(v, v->s.seg[S_TR].attr & 8 ? 4 : 2, e->error);
}

static void deliver_protected(struct vcpu *v, const struct cpu_event *e)
{
	struct idt_gate g = gate_read(v, e);
	struct descriptor d;
	struct segment cs;
	struct new_stack n;
	unsigned cpl;
	bool was_v86 = v->v86, limit_ok;

	if (g.type == DESC_TASK && !v->long_mode) {
		deliver_task(v, e, &g);
		return;
	}
	cs = target_code(v, e, &g, &d);
	cpl = desc_is_conforming(&d) ? v->cpl : desc_dpl(&d);
	if (was_v86 && cpl != 0)
		cpu_raise_error(v, EXC_GP, selector_error(e, g.selector));
	n = choose_stack(v, e, &g, cpl);
	limit_ok = v->long_mode ? is_canonical(g.offset) : g.offset <= cs.limit;
	if (!limit_ok)
		cpu_raise_error(v, EXC_GP, e->software ? 0 : 1);
	push_frame(v, e, &n, n.switched);
	desc_touch(v, &d);
	if (was_v86) {
		static const uint8_t data[] = { S_ES, S_DS, S_FS, S_GS };

		for (size_t k = 0; k < ARRAY_LEN(data); k++)
			v->s.seg[data[k]] = (struct segment){ 0 };
	}
	v->s.seg[S_SS] = n.ss;
	cpu_set_flags(v, 0, FLAG_TF | FLAG_NT | FLAG_VM | FLAG_RF | (g.type & 1 ? 0 : FLAG_IF));
	cs_commit(v, &cs, g.offset, cpl);
	stack_set(v, n.sp);
}

void cpu_deliver(struct vcpu *v)
{
	struct cpu_event e = v->event;

	/* A fault behind an interrupt, INT n among them, stands for itself (SDM 3A, table 6-4). */
	v->delivering = e.software || e.external ? -1 : e.vector;
	v->s.irq_shadow = 0;
	if (e.external)
		vcpu_count(&v->stats.interrupts);
	else
		vcpu_count(&v->stats.exceptions);
	if (v->protected_mode)
		deliver_protected(v, &e);
	else
		deliver_real(v, &e);
	v->delivering = -1;
	v->event.vector = -1;
}
