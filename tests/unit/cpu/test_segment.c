/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segments: limits by type, and what may be loaded where (SDM volume 3A, 3.4, 5.3 to 5.6).
 */
#include "tests/unit/cpu/cpu_rig.h"

#define PRESENT 0x80
#define CODE    0x18
#define DATA    0x10

/* Descriptor bytes: access is bits 47..40, flags 55..52. */
static void put_desc(
	struct cpu_rig *r, uint64_t at, uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
	rig_put(r, at, 8,
		(limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
			(uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 |
			(uint64_t)(base >> 24) << 56);
}

/* Selector 0x40 in the GDT, freshly made. */
static void gdt8(struct cpu_rig *r, uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
	put_desc(r, RIG_GDT + 0x40, base, limit, access, flags);
}

static struct cpu_rig *protected_rig(void)
{
	struct cpu_rig *r = cpu_rig_new();

	rig_protected_mode(r);
	return r;
}

static void byte_limit(void **state)
{
	struct cpu_rig *r = protected_rig();

	(void)state;
	gdt8(r, 0x10000, 0xfff, PRESENT | DATA | 2, 4);
	assert_int_equal(FAULT(r, seg_load(&r->v, S_DS, 0x40)), -1);
	mem_write(&r->v, S_DS, 0xffc, 4, 0x12345678);
	assert_int_equal(rig_get(r, 0x10ffc, 4), 0x12345678);
	assert_int_equal(FAULT(r, mem_write(&r->v, S_DS, 0xffd, 4, 0)), EXC_GP);
	assert_int_equal(r->v.event.error, 0);
	assert_int_equal(FAULT(r, mem_read(&r->v, S_DS, 0xffffffff, 4)), EXC_GP);
	assert_int_equal(FAULT(r, mem_read(&r->v, S_DS, 0x1000, 1)), EXC_GP);
	cpu_rig_free(r);
}

static void expand_down(void **state)
{
	struct cpu_rig *r = protected_rig();

	(void)state;
	gdt8(r, 0x10000, 0xfff, PRESENT | DATA | 4 | 2, 0); /* 16-bit: 0x1000..0xffff */
	assert_int_equal(FAULT(r, seg_load(&r->v, S_DS, 0x40)), -1);
	assert_int_equal(FAULT(r, mem_read(&r->v, S_DS, 0xfff, 1)), EXC_GP);
	assert_int_equal(FAULT(r, mem_read(&r->v, S_DS, 0x1000, 1)), -1);
	assert_int_equal(FAULT(r, mem_read(&r->v, S_DS, 0xfffc, 4)), -1);
	assert_int_equal(FAULT(r, mem_read(&r->v, S_DS, 0xfffd, 4)), EXC_GP);
	gdt8(r, 0x10000, 0xfff, PRESENT | DATA | 4 | 2, 4); /* 32-bit: up to 4 GiB */
	assert_int_equal(FAULT(r, seg_load(&r->v, S_DS, 0x40)), -1);
	assert_int_equal(FAULT(r, mem_read(&r->v, S_DS, 0xfffd, 4)), -1);
	cpu_rig_free(r);
}

static void types(void **state)
{
	struct cpu_rig *r = protected_rig();

	(void)state;
	gdt8(r, 0, 0xfffff, PRESENT | DATA, 12); /* read-only */
	assert_int_equal(FAULT(r, seg_load(&r->v, S_ES, 0x40)), -1);
	assert_int_equal(FAULT(r, mem_read(&r->v, S_ES, 0x10000, 4)), -1);
	assert_int_equal(FAULT(r, mem_write(&r->v, S_ES, 0x10000, 4, 0)), EXC_GP);
	assert_int_equal(FAULT(r, seg_load(&r->v, S_SS, 0x40)), EXC_GP);
	assert_int_equal(r->v.event.error, 0x40);
	gdt8(r, 0, 0xfffff, PRESENT | CODE, 12); /* execute-only */
	assert_int_equal(FAULT(r, seg_load(&r->v, S_ES, 0x40)), EXC_GP);
	gdt8(r, 0, 0xfffff, PRESENT | CODE | 2, 12); /* readable code */
	assert_int_equal(FAULT(r, seg_load(&r->v, S_ES, 0x40)), -1);
	assert_int_equal(FAULT(r, mem_write(&r->v, S_ES, 0x10000, 4, 0)), EXC_GP);
	gdt8(r, 0, 0xfffff, PRESENT | 2, 0); /* an LDT */
	assert_int_equal(FAULT(r, seg_load(&r->v, S_ES, 0x40)), EXC_GP);
	cpu_rig_free(r);
}

static void null_and_absent(void **state)
{
	struct cpu_rig *r = protected_rig();

	(void)state;
	assert_int_equal(FAULT(r, seg_load(&r->v, S_FS, 3)), -1);
	assert_int_equal(r->v.s.seg[S_FS].selector, 3);
	assert_int_equal(FAULT(r, mem_read(&r->v, S_FS, 0x10000, 4)), EXC_GP);
	assert_int_equal(r->v.event.error, 0);
	assert_int_equal(FAULT(r, seg_load(&r->v, S_SS, 0)), EXC_GP);
	gdt8(r, 0, 0xfffff, DATA | 2, 12);
	assert_int_equal(FAULT(r, seg_load(&r->v, S_FS, 0x40)), EXC_NP);
	assert_int_equal(r->v.event.error, 0x40);
	assert_int_equal(FAULT(r, seg_load(&r->v, S_SS, 0x40)), EXC_SS);
	assert_int_equal(r->v.event.error, 0x40);
	/* Beyond the limit of its table; the LDT's have TI in the error code. */
	assert_int_equal(FAULT(r, seg_load(&r->v, S_FS, 0x100)), EXC_GP);
	assert_int_equal(r->v.event.error, 0x100);
	assert_int_equal(FAULT(r, seg_load(&r->v, S_FS, 0x107)), EXC_GP);
	assert_int_equal(r->v.event.error, 0x104);
	cpu_rig_free(r);
}

static void privilege(void **state)
{
	struct cpu_rig *r = protected_rig();

	(void)state;
	rig_user(r);
	gdt8(r, 0, 0xfffff, PRESENT | DATA | 2, 12); /* DPL 0 */
	assert_int_equal(FAULT(r, seg_load(&r->v, S_ES, 0x40)), EXC_GP);
	gdt8(r, 0, 0xfffff, PRESENT | 0x60 | DATA | 2, 12);
	assert_int_equal(FAULT(r, seg_load(&r->v, S_ES, 0x40)), -1);
	assert_int_equal(FAULT(r, seg_load(&r->v, S_SS, 0x40)), EXC_GP); /* RPL 0, CPL 3 */
	assert_int_equal(FAULT(r, seg_load(&r->v, S_SS, 0x43)), -1);
	gdt8(r, 0, 0xfffff, PRESENT | CODE | 4 | 2, 12); /* conforming code: any privilege */
	assert_int_equal(FAULT(r, seg_load(&r->v, S_ES, 0x43)), -1);
	cpu_rig_free(r);
}

static void accessed_bit(void **state)
{
	struct cpu_rig *r = protected_rig();

	(void)state;
	gdt8(r, 0, 0xfffff, PRESENT | DATA | 2, 12);
	assert_int_equal(FAULT(r, seg_load(&r->v, S_ES, 0x40)), -1);
	assert_int_equal(rig_get(r, RIG_GDT + 0x45, 1), PRESENT | DATA | 3);
	assert_int_equal(r->v.s.seg[S_ES].attr, 0xc093);
	assert_int_equal(r->v.s.seg[S_ES].limit, 0xffffffff);
	cpu_rig_free(r);
}

static void stack_fault(void **state)
{
	struct cpu_rig *r = protected_rig();

	(void)state;
	gdt8(r, 0x10000, 0xfff, PRESENT | DATA | 2, 0); /* 16-bit stack */
	assert_int_equal(FAULT(r, seg_load(&r->v, S_SS, 0x40)), -1);
	r->v.s.gpr[R_SP] = 0xdead0000;
	assert_int_equal(FAULT(r, stack_push(&r->v, 4, 1)), EXC_SS);
	assert_int_equal(r->v.s.gpr[R_SP], 0xdead0000);
	r->v.s.gpr[R_SP] = 0xdead0004;
	assert_int_equal(FAULT(r, stack_push(&r->v, 4, 0x77)), -1);
	assert_int_equal(r->v.s.gpr[R_SP], 0xdead0000); /* only SP moves */
	assert_int_equal(rig_get(r, 0x10000, 4), 0x77);
	cpu_rig_free(r);
}

/* 64-bit mode: no limits, no bases but FS and GS, only canonical addresses. */
static void long_mode(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	rig_long_mode(r);
	r->v.s.seg[S_DS] = (struct segment){ .base = 0x5000 };
	r->v.s.seg[S_FS].base = 0x11000;
	vcpu_settle(&r->v);
	rig_put(r, 0x11008, 8, 0x99);
	assert_int_equal(mem_read(&r->v, S_DS, 0x11008, 8), 0x99);
	assert_int_equal(mem_read(&r->v, S_FS, 8, 8), 0x99);
	assert_int_equal(FAULT(r, mem_read(&r->v, S_DS, 0x0000800000000000, 8)), EXC_GP);
	assert_int_equal(FAULT(r, mem_read(&r->v, S_SS, 0x0000800000000000, 8)), EXC_SS);
	assert_int_equal(r->v.event.error, 0);
	cpu_rig_free(r);
}

/* CALL through a gate to ring 0 with so much room on its stack. */
static int call_gate(struct cpu_rig *r, uint32_t limit)
{
	put_desc(r, RIG_GDT + 0x40, 0x20000, limit, PRESENT | DATA | 2, 4);
	put_desc(r, RIG_GDT + 0x48, 0, 0xfffff, PRESENT | CODE, 12);
	rig_put(r, RIG_GDT + 0x50, 8, 0xec00ull << 32 | 0x48u << 16 | 0x1234); /* 32-bit gate, DPL 3 */
	r->v.s.seg[S_TR] = (struct segment){
		.base = RIG_FREE, .limit = 0x67, .selector = 0x58, .attr = SEG_P | DESC_TSS32_BUSY
	};
	rig_put(r, RIG_FREE + 4, 4, 0x100);
	rig_put(r, RIG_FREE + 8, 4, 0x40);
	rig_user(r);
	return FAULT(r, far_call(&r->v, 0x53, 0, 4, 7));
}

static void gate_stack(void **state)
{
	struct cpu_rig *r = protected_rig();

	(void)state;
	assert_int_equal(call_gate(r, 0xff), -1);
	assert_int_equal(r->v.cpl, 0);
	assert_int_equal(r->v.s.gpr[R_SP], 0xf0);
	cpu_rig_free(r);
	r = protected_rig();
	assert_int_equal(call_gate(r, 0xf9), EXC_SS);
	assert_int_equal(r->v.event.error, 0x40);
	assert_int_equal(r->v.cpl, 3);
	assert_int_equal(rig_get(r, 0x200fc, 4), 0);
	cpu_rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(byte_limit),
		cmocka_unit_test(expand_down),
		cmocka_unit_test(types),
		cmocka_unit_test(null_and_absent),
		cmocka_unit_test(privilege),
		cmocka_unit_test(accessed_bit),
		cmocka_unit_test(stack_fault),
		cmocka_unit_test(long_mode),
		cmocka_unit_test(gate_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
