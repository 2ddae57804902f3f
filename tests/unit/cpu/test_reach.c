/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers that move by nearly as much as a displacement can say: where accesses around them lead, by look-ups and
 * through a view.  The translator once took a sum of two such numbers for one of 32 bits.
 */
#include "tests/unit/cpu/cpu_rig.h"

#include <sys/mman.h>

#define KERNEL 0xffff960000000000ull /* there the lower half's tables come again */
#define GIB    0x40000000ull         /* as they do in each of its first two */
#define ENTRY  0x30000ull
#define DATA   0x80000ull
#define GLOBAL (PTE_P | PTE_W | PTE_G | PTE_A | PTE_D)

static const struct engine *const engines[] = { &engine_interp, &engine_bt };

/* The host has something where a sum of 32 bits would lead: there is no fault to put things right. */
static void lay_trap(struct cpu_rig *r, int64_t distance)
{
	uint8_t *at = mmap(r->ram.base + DATA + distance, PAGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	assert_ptr_equal(at, r->ram.base + DATA + distance);
}

static void take_trap(struct cpu_rig *r, int64_t distance)
{
	assert_int_equal(munmap(r->ram.base + DATA + distance, PAGE_SIZE), 0);
}

#define FOUR_GIB 0x100000000ll

static struct cpu_rig *reach_rig(const struct engine *engine, bool view)
{
	struct cpu_rig *r = cpu_rig_new();

	rig_long_mode(r);
	rig_put(r, RIG_PML4 + 8 * 300, 8, RIG_PDPT | PTE_P | PTE_W | PTE_A);
	rig_put(r, RIG_PDPT + 8, 8, RIG_PD | PTE_P | PTE_W | PTE_A);
	rig_put(r, RIG_PT + 8 * (ENTRY >> 12), 8, ENTRY | GLOBAL);
	rig_put(r, RIG_PT + 8 * (DATA >> 12), 8, DATA | GLOBAL);
	for (unsigned n = 0; n < PAGE_SIZE; n += 8)
		rig_put(r, DATA + n, 8, 0x1000 + n);
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 | CR4_PGE)), -1);
	lay_trap(r, -FOUR_GIB); /* before the engine has its own there */
	lay_trap(r, FOUR_GIB);
	assert_true(engine->create(&r->v, NULL));
	r->v.event.vector = -1;
	r->v.views_at_once = view;
	return r;
}

/* Runs code that loads RCX and RDX by way of a register. */
static void check(const char *code, size_t len, unsigned reg, uint64_t value, uint64_t cx, uint64_t dx)
{
	for (unsigned n = 0; n < 2 * ARRAY_LEN(engines); n++) {
		const struct engine *engine = engines[n / 2];
		struct cpu_rig *r = reach_rig(engine, n % 2);

		memcpy(r->ram.base + ENTRY, code, len);
		for (unsigned k = 0; k < 3; k++) {
			r->v.s.halted = 0;
			r->v.s.rip = KERNEL + ENTRY;
			r->v.s.gpr[reg] = value;
			assert_int_equal(engine->run(&r->v, UINT64_MAX), VCPU_RAN_HALTED);
			assert_int_equal(r->v.s.gpr[R_CX], cx);
			assert_int_equal(r->v.s.gpr[R_DX], dx);
		}
		take_trap(r, -FOUR_GIB);
		take_trap(r, FOUR_GIB);
		engine->destroy(&r->v);
		cpu_rig_free(r);
	}
}

#define CHECK(code, reg, value, cx, dx) check(code, sizeof(code) - 1, reg, value, cx, dx)

static void one_move_by_the_least_number(void)
{
	CHECK("\x48\x05\x00\x00\x00\x80" /* add rax, -0x80000000 */
	      "\x48\x8b\x08"             /* mov rcx, [rax] */
	      "\x48\x8b\x50\x08\xf4",    /* mov rdx, [rax + 8]; hlt */
		R_AX, KERNEL + DATA + 2 * GIB, 0x1000, 0x1008);
}

static void two_moves(void)
{
	CHECK("\x48\x8d\x80\xf8\xff\xff\x7f"      /* lea rax, [rax + 0x7ffffff8] */
	      "\x48\x8d\x80\xf8\xff\xff\x7f"      /* and again */
	      "\x48\x8b\x88\x00\x00\x00\x80"      /* mov rcx, [rax - 0x80000000] */
	      "\x48\x8b\x90\x08\x00\x00\x80\xf4", /* mov rdx, [rax - 0x7ffffff8]; hlt */
		R_AX, KERNEL + DATA + 16 - 2 * GIB, 0x1000, 0x1008);
}

static void register_in_memory(void)
{
	CHECK("\x49\x81\xc6\x00\x00\x00\x40"      /* add r14, 0x40000000 */
	      "\x49\x8b\x8e\x00\x00\x00\x80"      /* mov rcx, [r14 - 0x80000000] */
	      "\x49\x81\xee\x00\x00\x00\x40"      /* sub r14, 0x40000000 */
	      "\x49\x8b\x96\x00\x01\x00\x80\xf4", /* mov rdx, [r14 - 0x7fffff00]; hlt */
		R_14, KERNEL + DATA + 2 * GIB, 0x1000, 0x1100);
}

/* One test: cmocka takes the signals back between tests, and views need them. */
static void accesses_lead_where_registers_say(void **state)
{
	(void)state;
	one_move_by_the_least_number();
	two_moves();
	register_in_memory();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accesses_lead_where_registers_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
