/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/task.c - hardware task switches, 16- and 32-bit TSS.
 *
 * SDM volume 3A chapter 7, in the order of 7.3: checks and the old TSS in the old task, then the new state is
 * committed whole and its segments are checked in the new task (#TS there belongs to it).
 */
#include "monitor/cpu/segment.h"

/* Where things are in a TSS. */
struct tss_layout {
	uint8_t size; /* of a register slot */
	uint8_t cr3, eip, eflags, gpr, segs, ldt;
	uint8_t seg_count;
	uint8_t minimum; /* limit */
};

static const struct tss_layout tss32 = { 4, 0x1c, 0x20, 0x24, 0x28, 0x48, 0x60, 6, 0x67 };
static const struct tss_layout tss16 = { 2, 0, 0x0e, 0x10, 0x12, 0x22, 0x2a, 4, 0x2b };

static _Noreturn void fault(struct vcpu *v, int vector, uint16_t selector)
{
	cpu_raise_error(v, vector, selector & 0xfffc);
}

static void save_old(struct vcpu *v, const struct tss_layout *l, uint64_t base, uint64_t rip, uint64_t flags)
{
	sys_write(v, base + l->eip, l->size, rip);
	sys_write(v, base + l->eflags, l->size, flags);
	for (unsigned k = 0; k < 8; k++)
		sys_write(v, base + l->gpr + k * l->size, l->size, v->s.gpr[k]);
	for (unsigned k = 0; k < l->seg_count; k++)
		sys_write(v, base + l->segs + k * l->size, 2, v->s.seg[k].selector);
}

/* Everything the new TSS holds, read before anything is committed. */
struct task {
	uint64_t cr3, eip, eflags, gpr[8];
	uint16_t seg[6], ldt;
	bool debug_trap;
};

static struct task load_new(struct vcpu *v, const struct tss_layout *l, uint64_t base)
{
	struct task t = { .cr3 = v->s.cr3 };

	if (l->cr3)
		t.cr3 = sys_read(v, base + l->cr3, 4);
	t.eip = sys_read(v, base + l->eip, l->size);
	t.eflags = sys_read(v, base + l->eflags, l->size);
	for (unsigned k = 0; k < 8; k++) {
		t.gpr[k] = sys_read(v, base + l->gpr + k * l->size, l->size);
		if (l->size == 2)
			t.gpr[k] |= 0xffff0000u;
	}
	for (unsigned k = 0; k < l->seg_count; k++)
		t.seg[k] = (uint16_t)sys_read(v, base + l->segs + k * l->size, 2);
	t.ldt = (uint16_t)sys_read(v, base + l->ldt, 2);
	if (l->size == 4)
		t.debug_trap = sys_read(v, base + 0x64, 2) & 1;
	return t;
}

static void load_task_ldt(struct vcpu *v, uint16_t selector)
{
	struct descriptor d;

	v->s.seg[S_LDTR] = (struct segment){ .selector = selector };
	if ((selector & ~3u) == 0)
		return;
	if ((selector & 4) || !desc_fetch(v, selector, &d) || desc_is_segment(&d) ||
		desc_type(&d) != DESC_LDT || !desc_is_present(&d))
		fault(v, EXC_TS, selector);
	v->s.seg[S_LDTR] = desc_segment(&d, selector);
}

static struct segment task_code(struct vcpu *v, uint16_t selector)
{
	struct descriptor d;

	if (!desc_fetch(v, selector, &d) || !desc_is_code(&d))
		fault(v, EXC_TS, selector);
	if (desc_is_conforming(&d) ? desc_dpl(&d) > (selector & 3u) : desc_dpl(&d) != (selector & 3u))
		fault(v, EXC_TS, selector);
	if (!desc_is_present(&d))
		fault(v, EXC_NP, selector);
	desc_touch(v, &d);
	return desc_segment(&d, selector);
}

static struct segment task_data(struct vcpu *v, uint16_t selector, unsigned cpl)
{
	struct descriptor d;

	if ((selector & ~3u) == 0)
		return (struct segment){ .selector = selector };
	if (!desc_fetch(v, selector, &d) || !desc_is_segment(&d) ||
		(desc_is_code(&d) && !(desc_type(&d) & 2)))
		fault(v, EXC_TS, selector);
	if (!desc_is_conforming(&d) && (desc_dpl(&d) < (selector & 3u) || desc_dpl(&d) < cpl))
		fault(v, EXC_TS, selector);
	if (!desc_is_present(&d))
		fault(v, EXC_NP, selector);
	desc_touch(v, &d);
	return desc_segment(&d, selector);
}

/* The new task's segments; it already runs, with null ones, at its own CPL. */
static void load_segments(struct vcpu *v, const struct task *t)
{
	static const uint8_t data[] = { S_ES, S_DS, S_FS, S_GS };
	unsigned cpl = t->seg[S_CS] & 3u;
	struct segment cs, ss;

	if (v->v86) {
		for (unsigned k = S_ES; k <= S_GS; k++)
			seg_load_real(v, k, t->seg[k]);
		load_task_ldt(v, t->ldt);
		return;
	}
	load_task_ldt(v, t->ldt);
	cs = task_code(v, t->seg[S_CS]);
	ss = seg_check_stack(v, t->seg[S_SS], cpl, EXC_TS);
	v->s.seg[S_CS] = cs;
	v->s.seg[S_SS] = ss;
	cpu_update_mode(v);
	for (size_t k = 0; k < ARRAY_LEN(data); k++)
		v->s.seg[data[k]] = task_data(v, t->seg[data[k]], cpl);
	cpu_update_mode(v);
	if (t->eip > cs.limit)
		cpu_raise_error(v, EXC_GP, 0);
}

static void commit(struct vcpu *v, const struct task *t, uint64_t extra_flags)
{
	if (t->cr3 != v->s.cr3 && (v->s.cr0 & CR0_PG)) {
		v->s.cr3 = t->cr3;
		tlb_switch(v, 0, false);
	}
	for (unsigned k = 0; k < 8; k++)
		v->s.gpr[k] = t->gpr[k];
	v->s.rip = t->eip;
	for (unsigned k = S_ES; k <= S_GS; k++)
		v->s.seg[k] = (struct segment){ .selector = t->seg[k] };
	v->s.seg[S_SS].attr = (uint16_t)((t->seg[S_CS] & 3u) << SEG_DPL_SHIFT);
	v->s.seg[S_CS].attr = 0x9b | SEG_DB;
	v->s.cr0 |= CR0_TS;
	v->s.dr[7] &= ~0x155ull;
	vcpu_set_rflags(v, (t->eflags & 0x3f7fd5) | extra_flags);
	cpu_update_mode(v);
	atomic_store(&v->attention, 1);
}

void task_switch(
	struct vcpu *v, uint16_t selector, struct descriptor *d, enum task_switch why, uint64_t next_rip)
{
	struct segment *tr = &v->s.seg[S_TR];
	unsigned type = desc_type(d);
	bool wide = type & 8, busy_wanted = why == TASK_RETURN;
	const struct tss_layout *l = wide ? &tss32 : &tss16;
	const struct tss_layout *old = (tr->attr & 8) ? &tss32 : &tss16;
	uint64_t flags = vcpu_get_rflags(v);
	uint16_t old_selector = tr->selector;
	struct descriptor old_d;
	struct segment s;
	struct task t;

	if (desc_is_segment(d) || (type & ~8u) != (busy_wanted ? DESC_TSS16_BUSY : DESC_TSS16))
		fault(v, why == TASK_RETURN ? EXC_TS : EXC_GP, selector);
	if (!desc_is_present(d))
		fault(v, EXC_NP, selector);
	s = desc_segment(d, selector);
	if (s.limit < l->minimum)
		fault(v, EXC_TS, selector);
	t = load_new(v, l, s.base);
	if (why == TASK_RETURN)
		flags &= ~FLAG_NT;
	save_old(v, old, tr->base, next_rip, flags);
	if (why != TASK_RETURN && (sys_update(v, d->at + 5, 0, 2) & 2)) /* another processor was faster */
		fault(v, EXC_GP, selector);
	if ((why == TASK_JUMP || why == TASK_RETURN) && desc_fetch(v, old_selector, &old_d))
		sys_update(v, old_d.at + 5, 2, 0);
	if (why == TASK_CALL || why == TASK_EVENT)
		sys_write(v, s.base, 2, old_selector);
	s.attr |= 2;
	*tr = s;
	commit(v, &t, why == TASK_CALL || why == TASK_EVENT ? FLAG_NT : 0);
	load_segments(v, &t);
	if (t.debug_trap) {
		v->s.dr[6] |= DR6_BT;
		v->event = (struct cpu_event){ .vector = EXC_DB, .trap = true };
		_longjmp(v->recover, 1);
	}
}
