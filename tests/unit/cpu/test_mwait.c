/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MONITOR and MWAIT: who may, what they wait for, what ends the wait.
 */
#include "tests/unit/cpu/cpu_rig.h"

#define VA    0x20000ull
#define CODE  0x30000ull
#define WRMSR 0x0f, 0x30

#define MONITOR(r, ...) EXEC(r, __VA_ARGS__ __VA_OPT__(, ) 0x0f, 0x01, 0xc8)
#define MWAIT(r)        EXEC(r, 0x0f, 0x01, 0xc9)

static struct cpu_rig *start(void)
{
	struct cpu_rig *r = cpu_rig_new();
	struct cpu_options o = { .vcpus = 1, .cores_per_socket = 1, .tsc_khz = 1000000, .mwait = true };

	cpuid_build(&r->cpuid, &r->v.arch_capabilities, &r->v.phys_bits, &o);
	vcpu_reset(&r->v, false);
	r->v.s.apic_base = 0;
	rig_long_mode(r);
	r->v.s.gpr[R_AX] = VA + 0x48;
	r->v.s.gpr[R_CX] = 0;
	return r;
}

static uint32_t feature(struct cpu_rig *r)
{
	uint32_t id[4];

	cpuid_read(&r->v, 1, 0, id);
	return id[2] >> 3 & 1;
}

static void only_where_advertised(void **state)
{
	struct cpu_rig *r = cpu_rig_new();
	uint32_t id[4];

	(void)state;
	rig_long_mode(r);
	assert_int_equal(feature(r), 0);
	assert_int_equal(r->v.s.misc_enable >> 18 & 1, 0);
	assert_int_equal(MONITOR(r), EXC_UD);
	assert_int_equal(MWAIT(r), EXC_UD);
	cpu_rig_free(r);

	r = start();
	assert_int_equal(feature(r), 1);
	cpuid_read(&r->v, 5, 0, id);
	assert_int_equal(id[0], 64);
	assert_int_equal(id[1], 64);
	assert_int_equal(id[2], 3);
	assert_int_equal(MONITOR(r), -1);
	r->v.s.gpr[R_CX] = 0x1a0; /* IA32_MISC_ENABLE: off */
	r->v.s.gpr[R_AX] = 1;
	r->v.s.gpr[R_DX] = 0;
	assert_int_equal(EXEC(r, WRMSR), -1);
	assert_int_equal(feature(r), 0);
	r->v.s.gpr[R_CX] = 0;
	assert_int_equal(MONITOR(r), EXC_UD);
	assert_int_equal(MWAIT(r), EXC_UD);
	cpu_rig_free(r);
}

static void faults(void **state)
{
	struct cpu_rig *r = start();

	(void)state;
	r->v.s.gpr[R_CX] = 1;
	assert_int_equal(MONITOR(r), EXC_GP);
	r->v.s.gpr[R_CX] = 2;
	assert_int_equal(MWAIT(r), EXC_GP);
	r->v.s.gpr[R_CX] = 1ull << 32;
	assert_int_equal(MWAIT(r), EXC_GP);
	r->v.s.gpr[R_CX] = 0;
	r->v.s.gpr[R_AX] = 1ull << 47;
	assert_int_equal(MONITOR(r), EXC_GP);
	r->v.s.gpr[R_AX] = RIG_RAM; /* beyond the page table */
	assert_int_equal(MONITOR(r), EXC_PF);
	assert_int_equal(r->v.s.cr2, RIG_RAM);
	assert_int_equal(r->v.event.error, 0);
	rig_user(r);
	r->v.s.gpr[R_AX] = VA;
	assert_int_equal(MONITOR(r), EXC_UD);
	assert_int_equal(MWAIT(r), EXC_UD);
	cpu_rig_free(r);
}

static void waits_for_its_line(void **state)
{
	struct cpu_rig *r = start();

	(void)state;
	assert_int_equal(MWAIT(r), -1); /* nothing is waited for */
	assert_int_equal(r->v.s.halted, HALT_NONE);
	assert_int_equal(MONITOR(r), -1);
	assert_int_equal(MWAIT(r), -1);
	assert_int_equal(r->v.s.halted, HALT_MWAIT);
	rig_put(r, VA + 0x3f, 1, 1);
	rig_put(r, VA + 0x80, 1, 1);
	assert_true(vcpu_monitor_quiet(&r->v));
	rig_put(r, VA + 0x7f, 1, 1);
	assert_false(vcpu_monitor_quiet(&r->v));
	r->v.s.halted = HALT_NONE;
	assert_int_equal(MWAIT(r), -1); /* the store came before */
	assert_int_equal(r->v.s.halted, HALT_NONE);
	r->v.s.gpr[R_AX] = 0x48;
	r->v.s.seg[S_FS].base = r->v.seg_base[S_FS] = VA;
	assert_int_equal(MONITOR(r, 0x64), -1);
	assert_ptr_equal(r->v.monitor.at, r->ram.base + VA + 0x40);
	r->v.s.gpr[R_AX] = 1ull << 32 | (VA + 0x80);
	assert_int_equal(MONITOR(r, 0x67), -1);
	assert_ptr_equal(r->v.monitor.at, r->ram.base + VA + 0x80);
	rig_put(r, RIG_PT + 8 * (VA >> 12), 8, 1ull << 30 | PTE_P); /* no memory */
	tlb_flush_all(&r->v);
	r->v.s.gpr[R_AX] = VA;
	assert_int_equal(MONITOR(r), -1);
	assert_int_equal(MWAIT(r), -1);
	assert_int_equal(r->v.s.halted, HALT_NONE);
	cpu_rig_free(r);
}

/* The engine ends it for what may end it. */
static enum vcpu_exit run(const struct engine *engine, unsigned extensions, uint32_t pending)
{
	static const uint8_t code[] = { 0x31, 0xc9, 0x0f, 0x01, 0xc8, /* xor ecx, ecx; monitor */
		0x89, 0xd9, 0x0f, 0x01, 0xc9, 0xeb, 0xfe };           /* mov ecx, ebx; mwait; jmp to itself */
	struct cpu_rig *r = start();
	enum vcpu_exit why;

	memcpy(r->ram.base + CODE, code, sizeof(code));
	assert_true(engine->create(&r->v, NULL));
	r->v.event.vector = -1;
	r->v.s.rip = CODE;
	r->v.s.rflags = FLAG_ONE;
	r->v.s.gpr[R_BX] = extensions;
	if (pending)
		vcpu_raise(&r->v, pending);
	why = engine->run(&r->v, 1000);
	if (why == VCPU_RAN_HALTED) {
		assert_int_equal(r->v.s.rip, CODE + 10);
		vcpu_raise(&r->v, VCPU_EXIT);
		assert_int_equal(engine->run(&r->v, 1000), VCPU_RAN_KICKED);
	}
	engine->destroy(&r->v);
	cpu_rig_free(r);
	return why;
}

static void ends(void **state)
{
	static const struct engine *const engines[] = { &engine_interp, &engine_bt };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(engines); k++) {
		if (engines[k]->fits && !engines[k]->fits(NULL))
			continue;
		assert_int_equal(run(engines[k], 0, 0), VCPU_RAN_HALTED);
		assert_int_equal(run(engines[k], 1, 0), VCPU_RAN_HALTED);
		assert_int_equal(run(engines[k], 0, VCPU_INTR), VCPU_RAN_HALTED); /* it is masked */
		assert_int_equal(run(engines[k], 1, VCPU_INTR), VCPU_RAN_BUDGET);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_where_advertised),
		cmocka_unit_test(faults),
		cmocka_unit_test(waits_for_its_line),
		cmocka_unit_test(ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
