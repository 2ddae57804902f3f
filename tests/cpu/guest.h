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
	bool code_writable;
};

/* What the two files of it share. */
#define GUEST_HIGH      0xffff800000000000ull
#define GUEST_GPA(page) ((uint64_t)(page)*PAGE_SIZE)
#define GUEST_CODE_PAGE 16
#define GUEST_MEM_PAGE  18

void guest_protect_code(struct guest *g, bool writable);

/* What the engine knows of the code when it starts. */
enum guest_way {
	GUEST_COLD,    /* it is told that the code changed */
	GUEST_WARM,    /* the same code as in the run before */
	GUEST_EVICTED, /* everything was dropped, address translations too */
	GUEST_SLICED,  /* as warm, but it is left and entered again every few instructions */
	GUEST_WAYS
};

const char *guest_way_name(enum guest_way way);

bool guest_init(struct guest *g, const char *engine, GError **error);
void guest_destroy(struct guest *g);

/* `mem` is what case_memory made; out->mem and code point into guest RAM and last until the next run. */
void guest_run(struct guest *g, const struct test_case *tc, const uint8_t *mem, enum guest_way way,
	struct outcome *out);

#endif
