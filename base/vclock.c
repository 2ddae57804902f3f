/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/vclock.h"

#include <time.h>

static int64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* One (TSC, ns) pair, taken where reading the two was quickest of several tries. */
static void sample(uint64_t *tsc, int64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 16; i++) {
		uint64_t before = __builtin_ia32_rdtsc();
		int64_t t = monotonic_ns();
		uint64_t width = __builtin_ia32_rdtsc() - before;

		if (width < best) {
			best = width;
			*tsc = before + width / 2;
			*ns = t;
		}
	}
}

void vclock_init(struct vclock *clock)
{
	struct timespec nap = { .tv_nsec = 20000000 };
	uint64_t tsc0 = 0, tsc1 = 0;
	int64_t ns0 = 0, ns1 = 0;

	sample(&tsc0, &ns0);
	nanosleep(&nap, NULL);
	sample(&tsc1, &ns1);
	*clock = (struct vclock){ .tsc_khz = (uint64_t)((unsigned __int128)(tsc1 - tsc0) * 1000000 / (uint64_t)(ns1 - ns0)) };
	clock->ns_mult = (uint64_t)(((unsigned __int128)1000000 << 32) / clock->tsc_khz);
}

void vclock_start(struct vclock *clock)
{
	if (clock->running)
		return;
	clock->host_origin = __builtin_ia32_rdtsc();
	clock->running = true;
}

void vclock_stop(struct vclock *clock)
{
	if (!clock->running)
		return;
	clock->tsc_origin = vclock_tsc(clock);
	clock->running = false;
}

void vclock_set_tsc(struct vclock *clock, uint64_t tsc)
{
	clock->tsc_origin = tsc;
}
