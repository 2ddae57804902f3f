/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/segment.c - descriptors and segment register loads.
 */
#include "monitor/cpu/segment.h"

bool desc_fetch(struct vcpu *v, uint16_t selector, struct descriptor *d)
{
	uint64_t base = v->s.gdt_base;
	uint32_t limit = v->s.gdt_limit;

	if ((selector & ~3u) == 0)
		return false;
	if (selector & 4) {
		const struct segment *ldt = &v->s.seg[S_LDTR];

		if (!(ldt->attr & SEG_P) || (ldt->selector & ~3u) == 0)
			return false;
		base = ldt->base;
		limit = ldt->limit;
	}
	if ((selector | 7u) > limit)
		return false;
	d->at = base + (selector & ~7u);
	d->raw = sys_read(v, d->at, 8);
	d->base_high = 0;
	return true;
}

struct segment desc_segment(const struct descriptor *d, uint16_t selector)
{
	uint32_t limit = (uint32_t)(bits_get(d->raw, 51, 48) << 16 | bits_get(d->raw, 15, 0));

	if (d->raw & (1ull << 55))
		limit = limit << 12 | 0xfff;
	return (struct segment){
		.base = bits_get(d->raw, 63, 56) << 24 | bits_get(d->raw, 39, 16) |
			(uint64_t)d->base_high << 32,
		.limit = limit,
		.selector = selector,
		.attr = (uint16_t)(bits_get(d->raw, 55, 40) & 0xf0ff),
	};
}

void desc_touch(struct vcpu *v, struct descriptor *d)
{
	if (d->raw & (1ull << 40))
		return;
	d->raw |= 1ull << 40;
	sys_update(v, d->at + 5, 0, 1);
}

void seg_set(struct vcpu *v, unsigned seg, const struct segment *s)
{
	v->s.seg[seg] = *s;
	cpu_update_mode(v);
}

void seg_load_real(struct vcpu *v, unsigned seg, uint16_t selector)
{
	struct segment *s = &v->s.seg[seg];

	s->selector = selector;
	s->base = (uint64_t)selector << 4;
	if (v->v86) {
		s->limit = 0xffff;
		s->attr = 0xf3;
	} else if (!(s->attr & SEG_P)) { /* was null in protected mode */
		s->limit = 0xffff;
		s->attr = 0x93;
	}
	cpu_update_mode(v);
}

static _Noreturn void selector_fault(struct vcpu *v, int vector, uint16_t selector)
{
	cpu_raise_error(v, vector, selector & 0xfffc);
}

struct segment seg_check_stack(struct vcpu *v, uint16_t selector, unsigned cpl, int vector)
{
	struct descriptor d;

	if (!desc_fetch(v, selector, &d))
		selector_fault(v, vector, selector);
	if ((selector & 3u) != cpl || desc_dpl(&d) != cpl || !desc_is_segment(&d) || desc_is_code(&d) ||
		!(desc_type(&d) & 2))
		selector_fault(v, vector, selector);
	if (!desc_is_present(&d))
		selector_fault(v, EXC_SS, selector);
	desc_touch(v, &d);
	return desc_segment(&d, selector);
}

static void load_stack_segment(struct vcpu *v, uint16_t selector)
{
	struct segment s;

	if ((selector & ~3u) == 0) {
		if (v->code_size != CODE_64 || v->cpl == 3 || (selector & 3u) != v->cpl)
			cpu_raise_error(v, EXC_GP, 0);
		s = (struct segment){ .selector = selector, .attr = (uint16_t)(v->cpl << SEG_DPL_SHIFT) };
	} else {
		s = seg_check_stack(v, selector, v->cpl, EXC_GP);
	}
	seg_set(v, S_SS, &s);
}

static void load_data_segment(struct vcpu *v, unsigned seg, uint16_t selector)
{
	struct descriptor d;
	struct segment s = { .selector = selector };

	if ((selector & ~3u) == 0) {
		seg_set(v, seg, &s);
		return;
	}
	if (!desc_fetch(v, selector, &d) || !desc_is_segment(&d) ||
		(desc_is_code(&d) && !(desc_type(&d) & 2)))
		selector_fault(v, EXC_GP, selector);
	if (!desc_is_conforming(&d) && (desc_dpl(&d) < (selector & 3u) || desc_dpl(&d) < v->cpl))
		selector_fault(v, EXC_GP, selector);
	if (!desc_is_present(&d))
		selector_fault(v, EXC_NP, selector);
	desc_touch(v, &d);
	s = desc_segment(&d, selector);
	seg_set(v, seg, &s);
}

void seg_load(struct vcpu *v, unsigned seg, uint16_t selector)
{
	if (!v->protected_mode || v->v86)
		seg_load_real(v, seg, selector);
	else if (seg == S_SS)
		load_stack_segment(v, selector);
	else
		load_data_segment(v, seg, selector);
}

/* LDT and TSS descriptors are 16 bytes in long mode. */
static bool fetch_system(struct vcpu *v, uint16_t selector, struct descriptor *d)
{
	if ((selector & 4) || !desc_fetch(v, selector, d))
		return false;
	if (!v->long_mode)
		return true;
	if ((selector | 15u) > v->s.gdt_limit)
		return false;
	d->base_high = (uint32_t)sys_read(v, d->at + 8, 4);
	return true;
}

void seg_load_ldt(struct vcpu *v, uint16_t selector)
{
	struct descriptor d;

	if ((selector & ~3u) == 0) {
		v->s.seg[S_LDTR] = (struct segment){ .selector = selector };
		return;
	}
	if (!fetch_system(v, selector, &d) || desc_is_segment(&d) || desc_type(&d) != DESC_LDT)
		selector_fault(v, EXC_GP, selector);
	if (!desc_is_present(&d))
		selector_fault(v, EXC_NP, selector);
	v->s.seg[S_LDTR] = desc_segment(&d, selector);
}

void seg_load_tr(struct vcpu *v, uint16_t selector)
{
	struct descriptor d;

	if ((selector & ~3u) == 0)
		cpu_raise_error(v, EXC_GP, 0);
	if (!fetch_system(v, selector, &d) || desc_is_segment(&d) ||
		(desc_type(&d) != DESC_TSS32 && (desc_type(&d) != DESC_TSS16 || v->long_mode)))
		selector_fault(v, EXC_GP, selector);
	if (!desc_is_present(&d))
		selector_fault(v, EXC_NP, selector);
	d.raw |= 2ull << 40;
	if (sys_update(v, d.at + 5, 0, 2) & 2) /* another processor was faster */
		selector_fault(v, EXC_GP, selector);
	v->s.seg[S_TR] = desc_segment(&d, selector);
}

void tss_stack(struct vcpu *v, unsigned cpl, uint16_t *ss, uint64_t *sp)
{
	const struct segment *tr = &v->s.seg[S_TR];
	bool wide = (tr->attr & SEG_TYPE) >= DESC_TSS32;
	uint32_t at = wide ? 4 + 8 * cpl : 2 + 4 * cpl;

	if (at + (wide ? 5u : 3u) > tr->limit)
		selector_fault(v, EXC_TS, tr->selector);
	*sp = sys_read(v, tr->base + at, wide ? 4 : 2);
	*ss = (uint16_t)sys_read(v, tr->base + at + (wide ? 4 : 2), 2);
}

void io_check(struct vcpu *v, uint16_t port, unsigned size)
{
	const struct segment *tr = &v->s.seg[S_TR];
	uint32_t map, bits;

	if (!v->protected_mode || (!v->v86 && v->cpl <= bits_get(v->s.rflags, 13, 12)))
		return;
	if (!(tr->attr & SEG_P) || (tr->attr & SEG_TYPE) < DESC_TSS32 || tr->limit < 0x67)
		cpu_raise_error(v, EXC_GP, 0);
	map = (uint32_t)sys_read(v, tr->base + 0x66, 2) + port / 8;
	if (map + 1 > tr->limit)
		cpu_raise_error(v, EXC_GP, 0);
	bits = (uint32_t)sys_read(v, tr->base + map, 2) >> (port & 7);
	if (bits & ((1u << size) - 1))
		cpu_raise_error(v, EXC_GP, 0);
}
