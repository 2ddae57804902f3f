/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PAUSE: a vCPU that spins gives its core away, one that is alone does not.  What the monitor asks of the host is counted.
 */
#include "tests/unit/cpu/cpu_rig.h"

#include <sched.h>

#define CODE 0x30000ull

static unsigned yields;

/* In front of the C library's. */
int sched_yield(void)
{
	yields++;
	return 0;
}

/* What a loop of so many PAUSEs asks for. */
static unsigned run(const struct engine *engine, unsigned vcpus, unsigned pauses, bool between)
{
	static const uint8_t loop[] = { 0xf3, 0x90, 0xff, 0xc9, 0x75, 0xfa, 0xf4 }; /* pause; dec ecx; jnz; hlt */
	static const uint8_t busy[] = { 0xf3, 0x90, 0xba, 0x00, 0x00, 0x01, 0x00, /* pause; mov edx, 65536 */
		0xff, 0xca, 0x75, 0xfc, 0xff, 0xc9, 0x75, 0xf1, 0xf4 };           /* dec edx; jnz; dec ecx; jnz; hlt */
	struct cpu_rig *r = cpu_rig_new();

	rig_long_mode(r);
	r->v.count = vcpus;
	memcpy(r->ram.base + CODE, between ? busy : loop, between ? sizeof(busy) : sizeof(loop));
	assert_true(engine->create(&r->v, NULL));
	r->v.event.vector = -1;
	r->v.s.rip = CODE;
	r->v.s.gpr[R_CX] = pauses;
	r->v.cc = 0;
	yields = 0;
	assert_int_equal(engine->run(&r->v, UINT64_MAX), VCPU_RAN_HALTED);
	assert_int_equal(r->v.s.gpr[R_CX], 0);
	engine->destroy(&r->v);
	cpu_rig_free(r);
	return yields;
}

static void spins(void **state)
{
	static const struct engine *const engines[] = { &engine_interp, &engine_bt };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(engines); k++) {
		if (engines[k]->fits && !engines[k]->fits(NULL))
			continue;
		assert_int_equal(run(engines[k], 1, 1000000, false), 0);
		assert_in_range(run(engines[k], 2, 1000000, false), 1000, 1000000 / 32);
		assert_int_equal(run(engines[k], 2, 10, false), 0);
		assert_int_equal(run(engines[k], 2, 1000, true), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
