/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID tells one consistent story, and MSRs refuse what hardware refuses.
 */
#include "tests/unit/cpu/cpu_rig.h"

#include <cpuid.h>

struct regs {
	uint32_t a, b, c, d;
};

static struct regs cpuid(struct cpu_rig *r, uint32_t leaf, uint32_t subleaf)
{
	uint32_t x[4];

	cpuid_read(&r->v, leaf, subleaf, x);
	return (struct regs){ x[0], x[1], x[2], x[3] };
}

static struct regs host_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct regs h;

	__cpuid_count(leaf, subleaf, h.a, h.b, h.c, h.d);
	return h;
}

#define SSE3       (1u << 0)
#define FMA        (1u << 12)
#define CX16       (1u << 13)
#define PCID       (1u << 17)
#define X2APIC     (1u << 21)
#define DEADLINE   (1u << 24)
#define OSXSAVE    (1u << 27)
#define HYPERVISOR (1u << 31)

/* x86-64-v3 where the host has it, and nothing the host lacks but what is all ours. */
static void features(void **state)
{
	struct cpu_rig *r = cpu_rig_new();
	const uint32_t v3_1c = SSE3 | 1u << 9 | FMA | CX16 | 1u << 19 | 1u << 20 | 1u << 22 | 1u << 23 |
			       1u << 26 | 1u << 28 | 1u << 29;
	const uint32_t v3_7b = 1u << 3 | 1u << 5 | 1u << 8;
	struct regs g1 = cpuid(r, 1, 0), h1 = host_cpuid(1, 0), g7 = cpuid(r, 7, 0), h7 = host_cpuid(7, 0);

	(void)state;
	assert_int_equal(g1.c & v3_1c, h1.c & v3_1c);
	assert_int_equal(g7.b & v3_7b, h7.b & v3_7b);
	assert_int_equal(g1.c & ~h1.c & ~(PCID | X2APIC | DEADLINE | HYPERVISOR), 0);
	assert_int_equal(g1.d & ~h1.d & ~(1u << 28), 0);
	assert_true(g1.c & HYPERVISOR);
	/* No AVX-512, MPX, SGX, RTM, PKU, shadow stacks. */
	assert_int_equal(g7.b & (0xdc230000u | 1u << 2 | 1u << 4 | 1u << 11 | 1u << 14), 0);
	assert_int_equal(g7.c & (1u << 1 | 1u << 3 | 1u << 4 | 1u << 7 | 1u << 16), 0);
	assert_int_equal(g7.d & (1u << 20), 0);
	assert_int_equal(cpuid(r, 0x80000001, 0).c & (1u << 2 | 1u << 11 | 1u << 16), 0); /* SVM, XOP, FMA4 */
	cpu_rig_free(r);
}

static void shape(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	assert_true(cpuid(r, 0, 0).a >= 0xd);
	assert_int_equal(cpuid(r, 0, 0).b, host_cpuid(0, 0).b);
	assert_int_equal(r->cpuid.intel, cpuid(r, 0, 0).b == 0x756e6547); /* "Genu" */
	assert_true(cpuid(r, 0x80000000, 0).a >= 0x80000008);
	assert_int_equal(cpuid(r, 0x80000008, 0).a & 0xff, r->v.phys_bits);
	assert_int_equal(cpuid(r, 0x40000000, 0).b, 0x61774d56); /* "VMwa" */
	assert_int_equal(cpuid(r, 0x40000010, 0).a, 1000000);
	assert_int_equal(cpuid(r, 0x12345678, 0).a, 0);
	assert_true(r->cpuid.count < ARRAY_LEN(r->cpuid.leaf));
	cpu_rig_free(r);
}

static void follows_state(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	rig_long_mode(r);
	assert_true(cpuid(r, 1, 0).c & OSXSAVE);
	assert_int_equal(cpuid(r, 0xd, 0).a, 7);
	assert_int_equal(cpuid(r, 0xd, 0).b, 832);
	assert_int_equal(cpuid(r, 0xd, 0).c, 832);
	r->v.s.xcr0 = 3;
	assert_int_equal(cpuid(r, 0xd, 0).b, 576);
	assert_int_equal(cpuid(r, 0xd, 2).a, 256);
	assert_int_equal(cpuid(r, 0xd, 2).b, 576);
	r->v.s.cr4 &= ~CR4_OSXSAVE;
	assert_false(cpuid(r, 1, 0).c & OSXSAVE);
	r->v.index = 3;
	assert_int_equal(cpuid(r, 1, 0).b >> 24, 3);
	assert_int_equal(cpuid(r, 0xb, 0).d, 3);
	cpu_rig_free(r);
}

/* Sockets of three cores, which take two bits of the APIC ID. */
static void topology(void **state)
{
	struct cpu_rig *r = cpu_rig_new();
	const struct cpu_options options = { .vcpus = 6, .cores_per_socket = 3, .tsc_khz = 1000000 };
	uint64_t capabilities;
	unsigned bits;

	(void)state;
	cpuid_build(&r->cpuid, &capabilities, &bits, &options);
	r->v.index = 4;
	assert_int_equal(cpuid(r, 1, 0).b >> 24, 5);
	assert_int_equal(cpuid(r, 1, 0).b >> 16 & 0xff, 3);
	assert_int_equal(cpuid(r, 0xb, 1).a, 2);
	assert_int_equal(cpuid(r, 0xb, 1).b, 3);
	assert_int_equal(cpuid(r, 0xb, 1).d, 5);
	cpu_rig_free(r);
}

static void refused_values(void **state)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
		bool ok;
	} rows[] = {
		{ 0xc0000080, 0xd01, true },
		{ 0xc0000080, 0xd03, false }, /* EFER: reserved bit */
		{ 0xc0000080, 0x801, false }, /* LME cannot change under paging */
		{ 0xc0000082, 0xffffffff81000000, true },
		{ 0xc0000082, 0x0000800000000000, false }, /* LSTAR */
		{ 0xc0000100, 0x00007fffffffffff, true },
		{ 0xc0000100, 0x8000000000000000, false }, /* FS base */
		{ 0xc0000102, 0x0001000000000000, false },
		{ 0x175, 0x0000900000000000, false },
		{ 0x277, 0x0007040600070406, true },
		{ 0x277, 0x0007040600070402, false }, /* PAT: type 2 */
		{ 0x2ff, 0xc06, true },
		{ 0x2ff, 0xc02, false },
		{ 0x2ff, 0x1000, false }, /* MTRR default */
		{ 0x250, 0x0606060606060606, true },
		{ 0x250, 0x0606060606060602, false },
		{ 0x201, 1ull << 52, false },      /* MTRR mask beyond the physical width */
		{ 0xc0000084, 1ull << 32, false }, /* SFMASK */
		{ 0xc0000103, 1ull << 32, false }, /* TSC_AUX */
		{ 0x10a, 0, false },               /* ARCH_CAPABILITIES is read-only */
		{ 0xfe, 0, false },
		{ 0x00001234, 0, false },
		{ 0xc0001234, 0, false },
	};
	struct cpu_rig *r = cpu_rig_new();
	uint64_t before, after;

	(void)state;
	rig_long_mode(r);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		bool known = msr_read(&r->v, rows[i].msr, &before);

		assert_int_equal(msr_write(&r->v, rows[i].msr, rows[i].value), rows[i].ok);
		if (!known)
			continue;
		assert_true(msr_read(&r->v, rows[i].msr, &after));
		assert_int_equal(after, rows[i].ok ? rows[i].value : before);
	}
	assert_false(msr_read(&r->v, 0x1234, &before));
	cpu_rig_free(r);
}

static void tsc_and_adjust(void **state)
{
	struct cpu_rig *r = cpu_rig_new();
	uint64_t v;

	(void)state;
	r->clock.tsc_origin = 1000;
	assert_true(msr_write(&r->v, 0x10, 5000));
	assert_int_equal(vcpu_tsc(&r->v), 5000);
	assert_true(msr_read(&r->v, 0x3b, &v));
	assert_int_equal(v, 4000);
	assert_true(msr_write(&r->v, 0x3b, 0));
	assert_int_equal(vcpu_tsc(&r->v), 1000);
	cpu_rig_free(r);
}

static void bases_count_at_once(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	rig_long_mode(r);
	rig_put(r, 0x20010, 8, 0x55);
	assert_true(msr_write(&r->v, 0xc0000101, 0x20000));
	assert_int_equal(mem_read(&r->v, S_GS, 0x10, 8), 0x55);
	cpu_rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features),
		cmocka_unit_test(shape),
		cmocka_unit_test(follows_state),
		cmocka_unit_test(topology),
		cmocka_unit_test(refused_values),
		cmocka_unit_test(tsc_and_adjust),
		cmocka_unit_test(bases_count_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
