/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whoever asks a vCPU for attention gets it, whatever loop it is in.
 */
#include "tests/unit/cpu/cpu_rig.h"

#include <pthread.h>
#include <time.h>

#define CODE 0x30000ull

static const struct engine *const engines[] = { &engine_interp, &engine_bt };

static void *ask(void *opaque)
{
	struct timespec pause = { 0, 50000000 };

	nanosleep(&pause, NULL);
	vcpu_raise(opaque, VCPU_EXIT);
	return NULL;
}

/* Starts at `entry`; a vCPU that does not come back is the test's time limit's business. */
static void comes_back(const uint8_t *code, size_t len, unsigned entry)
{
	for (unsigned n = 0; n < ARRAY_LEN(engines); n++) {
		struct cpu_rig *r = cpu_rig_new();
		pthread_t thread;

		rig_long_mode(r);
		memcpy(r->ram.base + CODE, code, len);
		assert_true(engines[n]->create(&r->v, NULL));
		r->v.event.vector = -1;
		r->v.s.rip = CODE + entry;
		r->v.s.gpr[R_SP] = 0x50000;
		assert_int_equal(pthread_create(&thread, NULL, ask, &r->v), 0);
		assert_int_equal(engines[n]->run(&r->v, UINT64_MAX), VCPU_RAN_KICKED);
		pthread_join(thread, NULL);
		engines[n]->destroy(&r->v);
		cpu_rig_free(r);
	}
}

#define COMES_BACK(entry, ...) comes_back((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), entry)

static void backward(void **state)
{
	(void)state;
	COMES_BACK(0, 0x90, 0xeb, 0xfd);             /* nop; jmp */
	COMES_BACK(0, 0x85, 0xc0, 0x74, 0xfc);       /* test eax, eax; jz */
	COMES_BACK(0, 0xff, 0xc8, 0xff, 0xc0, 0x74, 0xfa); /* dec eax; inc eax; jz */
}

/* The jump back is within what is translated as one piece; what closes the loop leads forward. */
static void forward(void **state)
{
	(void)state;
	COMES_BACK(5, 0x85, 0xc0, 0x74, 0x01, 0xf4, 0x90, 0xeb, 0xf8); /* test eax, eax; jz 1f; hlt; 1: nop; jmp */
}

static void through_calls(void **state)
{
	(void)state;
	COMES_BACK(0, 0xe8, 0x02, 0x00, 0x00, 0x00, 0xeb, 0xf9, 0xc3); /* call 1f; jmp; 1: ret */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backward),
		cmocka_unit_test(forward),
		cmocka_unit_test(through_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
