/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/guest.h - run a case on a vCPU: same linear addresses, CPL 3, no devices.
 *
 * An exception goes through the guest's own IDT to a HLT per vector at CPL 0; vector, error code, RIP and
 * flags are read from the supervisor stack, as the architecture puts them there.
 */
#ifndef SERAI_TESTS_CPU_GUEST_H
#define SERAI_TESTS_CPU_GUEST_H

#include "monitor/engine/engine.h"
#include "tests/cpu/case.h"

struct guest {
	struct ram ram;
	struct physmap mem;
	struct vclock clock;
	struct cpuid_table cpuid;
	struct vcpu_platform platform;
	struct vcpu v;
	struct vcpu_state start; /* everything but what a case sets */
};

bool guest_init(struct guest *g, const char *engine, GError **error);
void guest_destroy(struct guest *g);

/* `mem` is what case_memory made; out->mem points into guest RAM and lasts until the next run. */
void guest_run(struct guest *g, const struct test_case *tc, const uint8_t *mem, struct outcome *out);

#endif
