/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/guest_run.c - one run of a case on the vCPU, in one of several ways, and what it left.
 *
 * The ways differ in what the engine still knows of the code: nothing, all of it, or all of it but with many
 * stops in between.  The outcome may not depend on that.
 */
#include "tests/cpu/guest.h"
#include "monitor/cpu/segment.h"
#include "tests/cpu/rng.h"
#include "tests/cpu/segments.h"
#include "tests/cpu/xstate.h"

#define HIGH    GUEST_HIGH
#define GPA     GUEST_GPA
#define HANDLER (HIGH + GPA(10))

/* Far more than any case needs: REP with its largest count that does not fault, over all pages. */
#define BUDGET 1000000
/* Of a block whose loops the host came to the end of: more than it carries out before its timer ends them. */
#define LOOP_BUDGET 400000000
#define SLICES 200

static const uint8_t seg_of[5] = { S_DS, S_ES, S_FS, S_GS, S_SS };

/*
 * Ask for flags that are right even where nobody but a fault's frame shows them.  An engine that leaves dead
 * flags unspecified otherwise offers a field of struct vcpu for it; those in this tree always have them
 * right.
 */
static void want_precise_flags(struct vcpu *v, bool precise)
{
	v->precise_flags = precise;
}

/* What a load of the selector would leave in the segment register. */
static struct segment hidden_part(uint16_t selector)
{
	const struct seg_kind *k = &seg_ldt[selector >> 3];
	uint64_t d;

	if (selector == SEL_DS)
		return (struct segment){ 0, 0xffffffff, SEL_DS, 0xc0f3 };
	if (!(selector & 4) || selector >> 3 >= SEGMENTS_LDT)
		return (struct segment){ .selector = selector };
	d = seg_descriptor(k);
	return (struct segment){ k->base, k->pages ? k->limit << 12 | 0xfff : k->limit, selector,
		(uint16_t)(d >> 40 & 0xf0ff) };
}

/* Only what differs from what lies there is written, and told to the engine, unless it shall forget it all.
 */
static void load_code(struct guest *g, const struct test_case *tc, enum guest_way way)
{
	uint8_t *at = g->ram.base + GPA(GUEST_CODE_PAGE), fresh[CODE_BYTES];
	unsigned from = 0, to = CODE_BYTES;

	case_code(tc, fresh);
	if (tc->writable != g->code_writable)
		guest_protect_code(g, tc->writable);
	if (way == GUEST_WARM || way == GUEST_SLICED) {
		while (from < to && at[from] == fresh[from])
			from++;
		while (to > from && at[to - 1] == fresh[to - 1])
			to--;
	}
	memcpy(at + from, fresh + from, to - from);
	if (to > from)
		g->v.engine->invalidate(&g->v, GPA(GUEST_CODE_PAGE) + from, to - from);
	if (way == GUEST_EVICTED)
		vcpu_raise(&g->v, VCPU_FLUSH | VCPU_FORGET);
}

static void load_case(struct guest *g, const struct test_case *tc, const uint8_t *mem, enum guest_way way)
{
	struct vcpu *v = &g->v;
	struct vcpu_state *s = &v->s;

	load_code(g, tc, way);
	memcpy(g->ram.base + GPA(GUEST_MEM_PAGE), mem, MEM_BYTES);
	*s = g->start;
	memcpy(s->gpr, tc->init.gpr, sizeof(s->gpr));
	s->rip = tc->init.rip;
	memcpy(s->xsave.bytes, tc->init.xsave, XSAVE_BYTES);
	memcpy(s->xsave.bytes + XS_MXCSR_MASK, g->start.xsave.bytes + XS_MXCSR_MASK, 4);
	for (unsigned i = 0; i < 5; i++)
		s->seg[seg_of[i]] = hidden_part(tc->init.sel[i]);
	if (tc->bits == 64) {
		s->seg[S_CS] = (struct segment){ 0, 0xffffffff, SEL_CS64, 0xa0fb };
		s->seg[S_FS].base = tc->init.fs_base;
		s->seg[S_GS].base = tc->init.gs_base;
	} else {
		s->seg[S_CS] = (struct segment){ 0, 0xffffffff, SEL_CS32, 0xc0fb };
	}
	/* Not vcpu_settle: page tables never change here, so the TLB may stay warm. */
	s->zero = 0;
	vcpu_set_rflags(v, tc->init.rflags);
	want_precise_flags(v, tc->precise);
	v->views_at_once = tc->views;
	cpu_update_mode(v);
	v->event.vector = -1;
	v->delivering = -1;
	atomic_store(&v->attention, 1);
}

static bool has_error_code(unsigned vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
}

/* Stopped in a handler: the frame says what happened. */
static void collect_frame(struct guest *g, struct outcome *out)
{
	const struct vcpu_state *s = &g->v.s;
	uint64_t sp = s->gpr[R_SP] - HIGH, frame[6] = { 0 };
	bool code;

	out->vector = (unsigned)((s->rip - 1 - HANDLER) / 16);
	code = has_error_code(out->vector);
	if (out->vector >= 32 || sp > GPA(12) - (code ? 48 : 40) || sp < GPA(11)) {
		out->vector = VECTOR_LOST;
		return;
	}
	memcpy(frame, g->ram.base + sp, code ? 48 : 40);
	out->error_code = code ? (uint32_t)frame[0] : 0;
	out->cr2 = out->vector == 14 ? s->cr2 : 0;
	out->s.rip = frame[code + 0];
	out->s.rflags = frame[code + 2];
	out->s.gpr[R_SP] = frame[code + 3];
	out->s.sel[SEL_I_SS] = (uint16_t)frame[code + 4];
	if (out->vector == 14 && out->s.rip - EXIT_BASE < 16) {
		out->vector = VECTOR_EXIT;
		out->s.rflags &= ~FLAG_RF; /* the fault's own */
		out->error_code = 0;
		out->cr2 = 0;
		out->s.rip = EXIT_BASE;
	}
}

/* A budget of a few instructions, many times; long loops then get the rest at once. */
static enum vcpu_exit run_slices(struct vcpu *v, uint64_t seed, uint64_t budget)
{
	enum vcpu_exit why = VCPU_RAN_BUDGET;
	struct rng r = { seed };

	for (unsigned n = 0; n < SLICES && why == VCPU_RAN_BUDGET; n++)
		why = v->engine->run(v, 1 + rng_below(&r, rng_percent(&r, 50) ? 4 : 100));
	return why == VCPU_RAN_BUDGET ? v->engine->run(v, budget) : why;
}

const char *guest_way_name(enum guest_way way)
{
	static const char *const names[] = { "code new", "code known", "all forgotten", "in slices" };

	return names[way];
}

void guest_run(struct guest *g, const struct test_case *tc, const uint8_t *mem, enum guest_way way,
	struct outcome *out)
{
	uint64_t budget = tc->block ? LOOP_BUDGET : BUDGET;
	struct vcpu *v = &g->v;
	enum vcpu_exit why;

	load_case(g, tc, mem, way);
	why = way == GUEST_SLICED ? run_slices(v, tc->number, budget) : v->engine->run(v, budget);

	memset(out, 0, sizeof(*out));
	memcpy(out->s.gpr, v->s.gpr, sizeof(out->s.gpr));
	out->s.rip = v->s.rip;
	out->s.rflags = vcpu_get_rflags(v);
	out->s.fs_base = v->s.seg[S_FS].base;
	out->s.gs_base = v->s.seg[S_GS].base;
	for (unsigned i = 0; i < 5; i++)
		out->s.sel[i] = v->s.seg[seg_of[i]].selector;
	memcpy(out->s.xsave, v->s.xsave.bytes, XSAVE_BYTES);
	xstate_normalise(out->s.xsave);
	out->mem = g->ram.base + GPA(GUEST_MEM_PAGE);
	out->code = g->ram.base + GPA(GUEST_CODE_PAGE);
	if (why == VCPU_RAN_HALTED && v->cpl == 0)
		collect_frame(g, out);
	else
		out->vector = why == VCPU_RAN_BUDGET ? VECTOR_HUNG : VECTOR_LOST;
}
