/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/bus/timer.h - one-shot timers on the virtual clock.
 *
 * Owns:    the queue of armed timers (an intrusive sorted structure; timers belong to their devices).
 * Promise: a callback runs at or after its deadline, under the device lock, on the main loop's thread; never while the
 *          clock is stopped.
 * Threads: arm and cancel under the device lock, from any thread.
 */
#ifndef SERAI_MONITOR_BUS_TIMER_H
#define SERAI_MONITOR_BUS_TIMER_H

#include "base/vclock.h"

typedef void timer_fn(void *opaque);

struct timer {
	timer_fn *fn;
	void *opaque;
	int64_t deadline; /* virtual ns; meaningful while armed */
	bool armed;
	struct timer *prev, *next;
	struct timer_queue *queue;
};

struct timer_queue {
	struct vclock *clock;
	struct timer *head; /* earliest first */
	/* Called under the device lock when the earliest deadline changed (to re-program a timerfd); may be NULL. */
	void (*rearm)(void *opaque, int64_t deadline);
	void *opaque;
	bool running; /* inside timer_run_due: its result tells the next deadline, rearm is not called */
};

void timer_queue_init(struct timer_queue *q, struct vclock *clock);

void timer_init(struct timer *t, struct timer_queue *q, timer_fn *fn, void *opaque);

/* Arm or re-arm for `deadline` (virtual ns, may be past: runs as soon as the main loop gets to it). */
void timer_arm(struct timer *t, int64_t deadline);
void timer_cancel(struct timer *t);

/* Run everything due by now; returns the next deadline, INT64_MAX when none.  Under the device lock. */
int64_t timer_run_due(struct timer_queue *q);

static inline int64_t timer_now(const struct timer_queue *q)
{
	return vclock_now(q->clock);
}

/* Whole periods of `hz` elapsed by `ns` (not negative), and the first nanosecond at which `ticks` have elapsed: so
 * timer_ns_to_ticks(timer_ticks_to_ns(n)) == n up to 1 GHz. Saturates at INT64_MAX. */
static inline uint64_t timer_ns_to_ticks(int64_t ns, uint64_t hz)
{
	return (uint64_t)((unsigned __int128)(uint64_t)ns * hz / 1000000000u);
}

static inline int64_t timer_ticks_to_ns(uint64_t ticks, uint64_t hz)
{
	unsigned __int128 ns = ((unsigned __int128)ticks * 1000000000u + hz - 1) / hz;

	return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

#endif
