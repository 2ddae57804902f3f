/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * base/vclock.h - the virtual machine's one clock; every guest-visible time derives from it.
 *
 * Promise: nanoseconds and guest TSC are two scales of the same counter, never run backwards, and both
 *          stand still while the clock is stopped (pause, suspend).
 * Threads: reading from any thread, lock-free; stop, start and set from the main loop while vCPUs are parked.
 */
#ifndef SERAI_BASE_VCLOCK_H
#define SERAI_BASE_VCLOCK_H

#include "base/compiler.h"

struct vclock {
	uint64_t tsc_khz;      /* frequency of the host TSC and so of the guest TSC */
	uint64_t ns_mult;      /* ns = (ticks * ns_mult) >> 32 */
	bool running;
	uint64_t host_origin;  /* host TSC when the clock last started */
	uint64_t tsc_origin;   /* guest TSC at that moment */
};

/* Measure the host TSC against CLOCK_MONOTONIC (about 20 ms) and leave the clock stopped at 0. */
void vclock_init(struct vclock *clock);

void vclock_start(struct vclock *clock);
void vclock_stop(struct vclock *clock);

/* Set a stopped clock to guest TSC `tsc`, as when a saved state is loaded. */
void vclock_set_tsc(struct vclock *clock, uint64_t tsc);

/* Guest TSC ticks since power-on, before any per-vCPU offset (TSC_ADJUST). */
static inline uint64_t vclock_tsc(const struct vclock *clock)
{
	if (!clock->running)
		return clock->tsc_origin;
	return clock->tsc_origin + (__builtin_ia32_rdtsc() - clock->host_origin);
}

/* TSC ticks to nanoseconds and back; both round down. */
static inline int64_t vclock_ticks_to_ns(const struct vclock *clock, uint64_t ticks)
{
	return (int64_t)(uint64_t)(((unsigned __int128)ticks * clock->ns_mult) >> 32);
}

static inline uint64_t vclock_ns_to_ticks(const struct vclock *clock, int64_t ns)
{
	return (uint64_t)((unsigned __int128)(uint64_t)ns * clock->tsc_khz / 1000000);
}

/* Virtual nanoseconds since power-on. */
static inline int64_t vclock_now(const struct vclock *clock)
{
	return vclock_ticks_to_ns(clock, vclock_tsc(clock));
}

#endif
