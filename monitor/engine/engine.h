/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/engine/engine.h - a way to run a vCPU.
 *
 * An engine never knows about devices: it sees guest-physical memory and ports (struct physmap), an
 * interrupt-pending word (vcpu->pending), the platform hooks and a clock.
 *
 * Threads: create, run and destroy on the vCPU's thread; kick and invalidate from any.
 */
#ifndef SERAI_MONITOR_ENGINE_ENGINE_H
#define SERAI_MONITOR_ENGINE_ENGINE_H

#include "monitor/cpu/vcpu.h"

enum vcpu_exit {
	VCPU_RAN_KICKED, /* VCPU_EXIT was pending (now cleared) */
	VCPU_RAN_HALTED, /* HLT or wait-for-SIPI with nothing to deliver: sleep until pending is non-zero */
	VCPU_RAN_TRIPLE_FAULT, /* shutdown; state is that of the instruction that did it */
	VCPU_RAN_BUDGET,       /* vcpu_run's instruction budget is used up */
	VCPU_RAN_BROKEN,       /* the engine met its own fault (logged): the VM cannot go on */
};

/* What to do beside running guest code. */
struct engine_options {
	bool perf_map; /* bt: tell perf where translated code lies (bt/perf.c) */
};

/* A number that an engine tells of itself; group: what its name is one of, NULL: nothing. */
typedef void engine_tell_fn(void *opaque, const char *group, const char *name, uint64_t value);

struct engine {
	const char *name;
	bool (*fits)(GError **error); /* can it run on this host? NULL: on any */
	bool (*create)(struct vcpu *v, GError **error);
	/* Run until one of the above; budget in instructions, UINT64_MAX for none (exact in interp, a bound
	 * elsewhere). */
	enum vcpu_exit (*run)(struct vcpu *v, uint64_t budget);
	/* The bytes at this RAM offset changed: tells all vCPUs of v's machine.  Any thread. */
	void (*invalidate)(struct vcpu *v, uint64_t ram_offset, uint64_t len);
	void (*destroy)(struct vcpu *v);
	/* Any thread, while the vCPU runs: what there is to tell beside vcpu.stats.  May be NULL. */
	void (*tell)(struct vcpu *v, engine_tell_fn *fn, void *opaque);
};

extern const struct engine engine_interp;
extern const struct engine engine_bt;
extern const struct engine engine_diff; /* both at once, compared */

/* NULL when there is no engine of that name. */
const struct engine *engine_by_name(const char *name);

#endif
