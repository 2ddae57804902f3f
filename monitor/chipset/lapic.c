/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/lapic.c - registers, priorities, local interrupt pins.
 */
#include "monitor/chipset/lapic_parts.h"

#include "base/topology.h"

#include <stdio.h>

#define VERSION 0x01050015u /* EOI broadcast suppression, 6 LVT entries, version 0x15 */

/* Bits of each LVT entry that software may write. */
static const uint32_t lvt_writable[LVT_COUNT] = {
	[LVT_TIMER] = 0x700ff,
	[LVT_THERMAL] = 0x107ff,
	[LVT_PERF] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff,
	[LVT_LINT1] = 0x1a7ff,
	[LVT_ERROR] = 0x100ff,
};

/* ---- vectors ------------------------------------------------------------------------------------ */

static bool test_bit(const uint32_t *set, unsigned vector)
{
	return set[vector >> 5] >> (vector & 31) & 1;
}

static void put_bit(uint32_t *set, unsigned vector, bool on)
{
	uint32_t bit = 1u << (vector & 31);

	set[vector >> 5] = on ? set[vector >> 5] | bit : set[vector >> 5] & ~bit;
}

/* Highest vector of a 256-bit set, -1 when it is empty. */
static int highest(const uint32_t *set)
{
	for (int i = 7; i >= 0; i--) {
		if (set[i])
			return i * 32 + 31 - __builtin_clz(set[i]);
	}
	return -1;
}

uint32_t lapic_ppr(const struct lapic *l)
{
	int serving = highest(l->s.isr);
	uint32_t class = serving < 0 ? 0 : (uint32_t)serving & 0xf0;

	return (l->s.tpr & 0xf0) >= class ? l->s.tpr : class;
}

/* The vector that may interrupt now, -1 for none. */
static int deliverable(const struct lapic *l)
{
	int vector;

	if (!lapic_sw_enabled(l))
		return -1;
	vector = highest(l->s.irr);
	return vector >= 0 && ((uint32_t)vector & 0xf0) > (lapic_ppr(l) & 0xf0) ? vector : -1;
}

/* True when the 8259's request reaches this CPU: through LINT0, through an I/O APIC, or past a disabled APIC.
 */
static bool extint(const struct lapic *l)
{
	if (!lapic_hw_enabled(l))
		return l->index == 0 && l->s.intr;
	if (l->s.extint)
		return true;
	return l->s.intr && !(l->s.lvt[LVT_LINT0] & LVT_MASKED) &&
	       lvt_mode(l->s.lvt[LVT_LINT0]) == APIC_EXTINT;
}

void lapic_update(struct lapic *l)
{
	const struct lapic_wires *w = &l->set->wires;
	bool want = deliverable(l) >= 0 || extint(l);

	if (want == l->signalled)
		return;
	l->signalled = want;
	if (w->signal)
		w->signal(w->opaque, l->index, LAPIC_SIGNAL_INTR, want, 0);
}

void lapic_request(struct lapic *l, uint8_t vector, bool level)
{
	if (vector < 16) {
		lapic_error(l, ESR_RECEIVE_ILLEGAL);
		return;
	}
	put_bit(l->s.irr, vector, true);
	put_bit(l->s.tmr, vector, level);
	lapic_update(l);
}

/* An error that arises while the error interrupt itself has an illegal vector is recorded once. */
void lapic_error(struct lapic *l, uint32_t bits)
{
	bool news = bits & ~l->s.esr_pending;

	l->s.esr_pending |= bits;
	if (news)
		lapic_local(l, LVT_ERROR);
}

/* ---- local sources ------------------------------------------------------------------------------ */

static void tell(struct lapic *l, uint32_t what)
{
	const struct lapic_wires *w = &l->set->wires;

	if (w->signal)
		w->signal(w->opaque, l->index, what, true, 0);
}

void lapic_local(struct lapic *l, unsigned lvt)
{
	uint32_t *entry = &l->s.lvt[lvt];
	bool pin = lvt == LVT_LINT0 || lvt == LVT_LINT1;
	uint8_t mode = lvt == LVT_TIMER || lvt == LVT_ERROR ? APIC_FIXED : lvt_mode(*entry);

	if (*entry & LVT_MASKED || !lapic_hw_enabled(l))
		return;
	switch (mode) {
	case APIC_FIXED:
		if (!lapic_sw_enabled(l))
			return;
		/* Only LINT0 can be level-triggered; LINT1 is always edge (SDM 11.5.1). */
		if (pin && lvt == LVT_LINT0 && *entry & LVT_LEVEL) {
			if (*entry & LVT_REMOTE_IRR)
				return;
			*entry |= LVT_REMOTE_IRR;
			lapic_request(l, (uint8_t)*entry, true);
		} else {
			lapic_request(l, (uint8_t)*entry, false);
		}
		break;
	case APIC_NMI:
		tell(l, LAPIC_SIGNAL_NMI);
		break;
	case APIC_INIT:
		lapic_init_reset(l->set, l->index);
		tell(l, LAPIC_SIGNAL_INIT);
		break;
	}
}

void lapic_set_intr(void *opaque, unsigned n, bool level)
{
	struct lapic_set *set = opaque;

	(void)n;
	for (unsigned i = 0; i < set->count; i++) {
		struct lapic *l = &set->cpu[i];
		bool rises = level && !l->s.intr;

		l->s.intr = level;
		if (rises)
			lapic_local(l, LVT_LINT0);
		lapic_update(l);
	}
}

void lapic_set_nmi(void *opaque, unsigned n, bool level)
{
	struct lapic_set *set = opaque;

	(void)n;
	for (unsigned i = 0; i < set->count; i++) {
		struct lapic *l = &set->cpu[i];
		bool rises = level && !l->s.nmi;

		l->s.nmi = level;
		if (rises && lapic_hw_enabled(l))
			lapic_local(l, LVT_LINT1);
		else if (rises && l->index == 0)
			tell(l, LAPIC_SIGNAL_NMI);
	}
}

/* ---- acknowledge and end of interrupt ----------------------------------------------------------- */

int lapic_ack(struct lapic_set *set, unsigned cpu)
{
	struct lapic *l = &set->cpu[cpu];
	int vector = deliverable(l);

	if (vector >= 0) {
		put_bit(l->s.irr, (unsigned)vector, false);
		put_bit(l->s.isr, (unsigned)vector, true);
	} else if (extint(l) && set->wires.pic_ack) {
		vector = set->wires.pic_ack(set->wires.opaque);
	}
	lapic_update(l);
	return vector;
}

static void end_of_interrupt(struct lapic *l)
{
	const struct lapic_wires *w = &l->set->wires;
	uint32_t *lint0 = &l->s.lvt[LVT_LINT0];
	int vector = highest(l->s.isr);

	if (vector < 0)
		return;
	put_bit(l->s.isr, (unsigned)vector, false);
	lapic_update(l);
	if (!test_bit(l->s.tmr, (unsigned)vector))
		return;
	if (*lint0 & LVT_REMOTE_IRR && (uint8_t)*lint0 == vector) {
		*lint0 &= ~LVT_REMOTE_IRR;
		if (l->s.intr)
			lapic_local(l, LVT_LINT0);
	}
	if (!(l->s.svr & SVR_SUPPRESS_EOI) && w->eoi)
		w->eoi(w->opaque, (unsigned)vector);
}

/* ---- registers ---------------------------------------------------------------------------------- */

uint32_t lapic_read(struct lapic_set *set, unsigned cpu, uint32_t off)
{
	const struct lapic *l = &set->cpu[cpu];
	const struct lapic_state *s = &l->s;

	switch (off & 0xff0) {
	case APIC_ID:
		return lapic_x2(l) ? l->apic_id : s->id;
	case APIC_VERSION:
		return VERSION;
	case APIC_TPR:
		return s->tpr;
	case APIC_PPR:
		return lapic_ppr(l);
	case APIC_LDR:
		return lapic_x2(l) ? lapic_x2_ldr(l) : s->ldr;
	case APIC_DFR:
		return s->dfr;
	case APIC_SVR:
		return s->svr;
	case APIC_ISR ... APIC_ISR + 0x70:
		return s->isr[(off - APIC_ISR) >> 4 & 7];
	case APIC_TMR ... APIC_TMR + 0x70:
		return s->tmr[(off - APIC_TMR) >> 4 & 7];
	case APIC_IRR ... APIC_IRR + 0x70:
		return s->irr[(off - APIC_IRR) >> 4 & 7];
	case APIC_ESR:
		return s->esr;
	case APIC_ICR:
		return (uint32_t)s->icr;
	case APIC_ICR_HIGH:
		return (uint32_t)(s->icr >> 32);
	case APIC_LVT ... APIC_LVT + 0x50:
		return s->lvt[((off & 0xff0) - APIC_LVT) >> 4];
	case APIC_INITIAL:
		return s->timer_initial;
	case APIC_CURRENT:
		return lapic_timer_current(l);
	case APIC_DIVIDE:
		return s->timer_divide;
	default:
		return 0;
	}
}

static void write_lvt(struct lapic *l, unsigned n, uint32_t v)
{
	v &= lvt_writable[n];
	if (!(l->s.svr & SVR_ENABLE))
		v |= LVT_MASKED;
	if (n == LVT_TIMER) {
		lapic_timer_set_lvt(l, v);
		return;
	}
	if (n == LVT_LINT0 && v & LVT_LEVEL && lvt_mode(v) == APIC_FIXED)
		v |= l->s.lvt[n] & LVT_REMOTE_IRR;
	l->s.lvt[n] = v;
	if (n == LVT_LINT0 && v & LVT_LEVEL && l->s.intr)
		lapic_local(l, n);
	lapic_update(l);
}

static void write_svr(struct lapic *l, uint32_t v)
{
	l->s.svr = v & 0x13ff & ~0x200u; /* focus checking is not there */
	for (unsigned i = 0; i < LVT_COUNT && !(v & SVR_ENABLE); i++)
		l->s.lvt[i] |= LVT_MASKED;
	lapic_update(l);
}

void lapic_write(struct lapic_set *set, unsigned cpu, uint32_t off, uint32_t v)
{
	struct lapic *l = &set->cpu[cpu];
	struct lapic_state *s = &l->s;

	switch (off & 0xff0) {
	case APIC_ID:
		if (!lapic_x2(l))
			s->id = v & 0xff000000;
		break;
	case APIC_TPR:
		s->tpr = v & 0xff;
		lapic_update(l);
		break;
	case APIC_EOI:
		end_of_interrupt(l);
		break;
	case APIC_LDR:
		if (!lapic_x2(l))
			s->ldr = v & 0xff000000;
		break;
	case APIC_DFR:
		if (!lapic_x2(l))
			s->dfr = v | 0x0fffffff;
		break;
	case APIC_SVR:
		write_svr(l, v);
		break;
	case APIC_ESR:
		s->esr = s->esr_pending;
		s->esr_pending = 0;
		break;
	case APIC_ICR:
		s->icr = (s->icr & 0xffffffff00000000ull) | (v & 0x000ccfff);
		lapic_send_icr(l, s->icr);
		break;
	case APIC_ICR_HIGH:
		s->icr = (uint32_t)s->icr | (uint64_t)(v & 0xff000000) << 32;
		break;
	case APIC_LVT ... APIC_LVT + 0x50:
		write_lvt(l, ((off & 0xff0) - APIC_LVT) >> 4, v);
		break;
	case APIC_INITIAL:
		lapic_timer_set_initial(l, v);
		break;
	case APIC_DIVIDE:
		lapic_timer_set_divide(l, v);
		break;
	}
}

/* ---- life cycle --------------------------------------------------------------------------------- */

void lapic_clear(struct lapic *l)
{
	struct lapic_state old = l->s;

	l->s = (struct lapic_state){
		.base = old.base,
		.id = l->apic_id << 24,
		.intr = old.intr,
		.nmi = old.nmi,
		.extint = old.extint,
		.dfr = 0xffffffff,
		.svr = 0xff,
	};
	for (unsigned i = 0; i < LVT_COUNT; i++)
		l->s.lvt[i] = LVT_MASKED;
	lapic_timer_settle(l);
}

/* INIT keeps the APIC ID and the mode (SDM 11.4.7.3). */
void lapic_init_reset(struct lapic_set *set, unsigned cpu)
{
	struct lapic *l = &set->cpu[cpu];
	uint32_t id = l->s.id;

	lapic_clear(l);
	l->s.id = id;
	lapic_update(l);
}

/*
 * Power-on.  The bootstrap processor starts in virtual-wire mode, which the BIOS of a real board sets up
 * first thing, so that 8259 interrupts work without one too.
 */
static void lapic_reset(struct device *dev)
{
	struct lapic *l = (struct lapic *)dev;

	l->s.base = LAPIC_DEFAULT_BASE | LAPIC_BASE_ENABLE | (l->index ? 0 : LAPIC_BASE_BSP);
	lapic_clear(l);
	if (l->index == 0) {
		l->s.lvt[LVT_LINT0] = APIC_EXTINT << 8;
		l->s.lvt[LVT_LINT1] = APIC_NMI << 8;
	}
}

static void lapic_settle(struct device *dev)
{
	struct lapic *l = (struct lapic *)dev;

	lapic_timer_settle(l);
	/* Say it in any case: after a load the vCPU may know nothing, or something old. */
	l->signalled = !(deliverable(l) >= 0 || extint(l));
	lapic_update(l);
}

static bool lapic_check(const void *state, GError **error)
{
	const struct lapic_state *s = state;

	if ((s->base & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC)) == LAPIC_BASE_X2APIC)
		return fail(error, SERAI_ERROR_STATE, "x2APIC mode of a disabled APIC");
	if ((s->irr[0] | s->isr[0]) & 0xffff)
		return fail(error, SERAI_ERROR_STATE, "illegal vectors requested");
	if (s->intr > 1 || s->nmi > 1 || s->extint > 1 || s->timer_armed > 1)
		return fail(error, SERAI_ERROR_STATE, "a flag is neither 0 nor 1");
	return true;
}

static const struct state_field lapic_fields[] = {
	STATE_FIELD(struct lapic_state, base, 1),
	STATE_FIELD(struct lapic_state, tsc_deadline, 1),
	STATE_FIELD(struct lapic_state, timer_start, 1),
	STATE_FIELD(struct lapic_state, icr, 1),
	STATE_FIELD(struct lapic_state, id, 1),
	STATE_FIELD(struct lapic_state, tpr, 1),
	STATE_FIELD(struct lapic_state, ldr, 1),
	STATE_FIELD(struct lapic_state, dfr, 1),
	STATE_FIELD(struct lapic_state, svr, 1),
	STATE_ARRAY(struct lapic_state, isr, 1),
	STATE_ARRAY(struct lapic_state, tmr, 1),
	STATE_ARRAY(struct lapic_state, irr, 1),
	STATE_FIELD(struct lapic_state, esr, 1),
	STATE_FIELD(struct lapic_state, esr_pending, 1),
	STATE_ARRAY(struct lapic_state, lvt, 1),
	STATE_FIELD(struct lapic_state, timer_initial, 1),
	STATE_FIELD(struct lapic_state, timer_divide, 1),
	STATE_FIELD(struct lapic_state, extint, 1),
	STATE_FIELD(struct lapic_state, intr, 1),
	STATE_FIELD(struct lapic_state, nmi, 1),
	STATE_FIELD(struct lapic_state, timer_armed, 1),
};

static const struct device_class lapic_class = {
	DEVICE_STATE("lapic", 1, struct lapic, lapic_fields),
	.state.check = lapic_check,
	.reset = lapic_reset,
	.settle = lapic_settle,
	.keeps_state = true,
};

void lapic_set_init(struct lapic_set *set, unsigned count, unsigned cores_per_socket, struct physmap *mem,
	struct timer_queue *timers)
{
	memset(set, 0, sizeof(*set));
	set->count = count < 1 ? 1 : MIN_OF(count, LAPIC_MAX);
	set->cpu = g_new0(struct lapic, set->count);
	set->mem = mem;
	set->timers = timers;
	for (unsigned i = 0; i < set->count; i++) {
		struct lapic *l = &set->cpu[i];

		l->set = set;
		l->index = i;
		l->apic_id = topology_apic_id(i, cores_per_socket);
		snprintf(l->name, sizeof(l->name), "%u", i);
		device_init(&l->dev, &lapic_class, l->name, mem, timers);
		lapic_timer_init(l);
	}
}

void lapic_set_destroy(struct lapic_set *set)
{
	for (unsigned i = 0; i < set->count; i++)
		timer_cancel(&set->cpu[i].timer);
	g_free(set->cpu);
	set->cpu = NULL;
	set->count = 0;
}
