/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/lapic_timer.c - the local APIC timer: one-shot, periodic, TSC deadline (SDM 11.5.4).
 *
 * The input clock is 1 GHz, so bus ticks are virtual nanoseconds.  A period begins at timer_start; at its end
 * the callback moves timer_start on by whole periods, so a late main loop never makes the timer drift.
 */
#include "monitor/chipset/lapic_parts.h"

/* Shorter periods than this would keep the main loop busy with nothing else. */
#define PERIOD_MIN_NS 20000

static uint32_t divisor(const struct lapic *l)
{
	uint32_t code = (l->s.timer_divide & 3) | (l->s.timer_divide >> 1 & 4);

	return code == 7 ? 1 : 2u << code;
}

static uint64_t period_ns(const struct lapic *l)
{
	return (uint64_t)l->s.timer_initial * divisor(l);
}

static uint32_t mode(const struct lapic *l)
{
	return l->s.lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

static int64_t now_ns(const struct lapic *l)
{
	return timer_now(l->set->timers);
}

/* The machine's TSC value at which this vCPU's own TSC reaches the deadline. */
static uint64_t deadline_machine_tsc(const struct lapic *l)
{
	const struct lapic_wires *w = &l->set->wires;

	return l->s.tsc_deadline - (w->tsc_offset ? w->tsc_offset(w->opaque, l->index) : 0);
}

/* One nanosecond late at most, never early: ticks round down. */
static int64_t deadline_ns(const struct lapic *l)
{
	const struct vclock *clock = l->set->timers->clock;
	uint64_t target = deadline_machine_tsc(l);
	int64_t left = (int64_t)(target - vclock_tsc(clock)); /* read once: it may pass between two looks */

	/* Signed: an offset may put the target before power-on, or beyond what nanoseconds hold. */
	if (left <= 0)
		return now_ns(l);
	if (left > INT64_MAX / 8)
		return INT64_MAX;
	return vclock_ticks_to_ns(clock, target) + 1;
}

uint32_t lapic_timer_current(const struct lapic *l)
{
	uint64_t gone;

	if (mode(l) == LVT_TIMER_TSC || !l->s.timer_initial || !l->s.timer_armed)
		return 0;
	gone = ((uint64_t)now_ns(l) - l->s.timer_start) / divisor(l);
	if (mode(l) == LVT_TIMER_PERIOD)
		gone %= l->s.timer_initial;
	return gone >= l->s.timer_initial ? 0 : l->s.timer_initial - (uint32_t)gone;
}

void lapic_timer_settle(struct lapic *l)
{
	int64_t deadline;

	if (!l->s.timer_armed) {
		timer_cancel(&l->timer);
		return;
	}
	if (mode(l) == LVT_TIMER_TSC)
		deadline = deadline_ns(l);
	else
		deadline = (int64_t)MIN_OF(l->s.timer_start + period_ns(l), (uint64_t)INT64_MAX);
	timer_arm(&l->timer, deadline);
}

static void fired(void *opaque)
{
	struct lapic *l = opaque;
	uint64_t now = (uint64_t)now_ns(l), period = period_ns(l);

	if (!l->s.timer_armed)
		return;
	if (mode(l) == LVT_TIMER_TSC &&
		(int64_t)(deadline_machine_tsc(l) - vclock_tsc(l->set->timers->clock)) > 0) {
		lapic_timer_settle(l);
		return;
	}
	l->s.timer_armed = 0;
	if (mode(l) == LVT_TIMER_TSC) {
		l->s.tsc_deadline = 0;
	} else if (mode(l) == LVT_TIMER_PERIOD && period) {
		l->s.timer_start += (now - l->s.timer_start) / period * period;
		l->s.timer_armed = 1;
		timer_arm(&l->timer, (int64_t)MAX_OF(l->s.timer_start + period, now + PERIOD_MIN_NS));
	}
	lapic_local(l, LVT_TIMER);
}

void lapic_timer_init(struct lapic *l)
{
	timer_init(&l->timer, l->set->timers, fired, l);
}

void lapic_timer_set_initial(struct lapic *l, uint32_t v)
{
	if (mode(l) == LVT_TIMER_TSC)
		return;
	l->s.timer_initial = v;
	l->s.timer_start = (uint64_t)now_ns(l);
	l->s.timer_armed = v != 0;
	lapic_timer_settle(l);
}

/* The count goes on from where it is, at the new rate. */
void lapic_timer_set_divide(struct lapic *l, uint32_t v)
{
	uint32_t current = lapic_timer_current(l);

	l->s.timer_divide = v & 0xb;
	if (l->s.timer_armed && mode(l) != LVT_TIMER_TSC)
		l->s.timer_start =
			(uint64_t)now_ns(l) - (uint64_t)(l->s.timer_initial - current) * divisor(l);
	lapic_timer_settle(l);
}

/* Going to or from deadline mode disarms the timer (SDM 11.5.4.1). */
void lapic_timer_set_lvt(struct lapic *l, uint32_t v)
{
	if ((v ^ l->s.lvt[LVT_TIMER]) & LVT_TIMER_TSC) {
		l->s.timer_armed = 0;
		l->s.timer_initial = 0;
		l->s.tsc_deadline = 0;
	}
	l->s.lvt[LVT_TIMER] = v;
	lapic_timer_settle(l);
}

void lapic_timer_set_deadline(struct lapic *l, uint64_t tsc)
{
	if (mode(l) != LVT_TIMER_TSC)
		return;
	l->s.tsc_deadline = tsc;
	l->s.timer_armed = tsc != 0;
	if (tsc && (int64_t)(deadline_machine_tsc(l) - vclock_tsc(l->set->timers->clock)) <= 0) {
		timer_cancel(&l->timer);
		fired(l);
	} else {
		lapic_timer_settle(l);
	}
}
