/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locked instructions whose operand lies on two pages, under both engines.
 */
#include "tests/unit/cpu/cpu_rig.h"

#include <pthread.h>
#include <stdatomic.h>

#define RIGHTS (PTE_P | PTE_W | PTE_U)
#define CODE   0x30000ull
#define VA     0x40000ull /* two pages there: the operand is their border's */
#define PTE(n) (RIG_PT + 8 * ((VA >> 12) + (n)))
#define AT     (VA + 0x1000 - 4)
#define FIRST  0x80000ull
#define SECOND 0x90000ull
#define ROUNDS 2000 /* a lock over the end of a cache line takes some hosts 0.1 ms */

static const struct engine *const engines[] = { &engine_interp, &engine_bt };
static const struct engine *engine;

/* A vCPU that runs this code, ended by HLT, with the operand at RBX. */
static struct cpu_rig *start(const uint8_t *code, size_t len)
{
	struct cpu_rig *r = cpu_rig_new();

	rig_long_mode(r);
	rig_put(r, PTE(0), 8, FIRST | RIGHTS);
	rig_put(r, PTE(1), 8, SECOND | RIGHTS);
	memcpy(r->ram.base + CODE, code, len);
	rig_put(r, CODE + len, 1, 0xf4);
	assert_true(engine->create(&r->v, NULL));
	r->v.event.vector = -1;
	r->v.s.rip = CODE;
	r->v.s.gpr[R_BX] = AT;
	return r;
}

#define START(...) start((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void finish(struct cpu_rig *r)
{
	engine->destroy(&r->v);
	cpu_rig_free(r);
}

static uint64_t operand(struct cpu_rig *r, uint64_t second)
{
	return rig_get(r, FIRST + 0xffc, 4) | rig_get(r, second, 4) << 32;
}

/* ---- atomic against another processor, which adds to the half on the second page */

struct adder {
	_Atomic uint32_t *half;
	_Atomic bool stop;
	uint32_t added;
};

static void *add(void *opaque)
{
	struct adder *a = opaque;

	while (!atomic_load(&a->stop)) {
		atomic_fetch_add(a->half, 1);
		a->added++;
	}
	return NULL;
}

static uint32_t run_beside_adder(struct cpu_rig *r, uint64_t second)
{
	struct adder a = { .half = (_Atomic uint32_t *)(void *)(r->ram.base + second) };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, add, &a), 0);
	assert_int_equal(engine->run(&r->v, UINT64_MAX), VCPU_RAN_HALTED);
	atomic_store(&a.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(r->v.s.gpr[R_CX], 0);
	return a.added;
}

static void additions(void **state)
{
	(void)state;
	for (unsigned beside = 0; beside < 2; beside++) { /* the pages may be neighbours in RAM too */
		uint64_t second = beside ? FIRST + PAGE_SIZE : SECOND;
		struct cpu_rig *r = START(0xf0, 0x48, 0x83, 0x03, 0x01, /* lock add qword [rbx], 1 */
			0x48, 0xff, 0xc9, 0x75, 0xf6);                  /* dec rcx; jnz */
		uint32_t added;

		rig_put(r, PTE(1), 8, second | RIGHTS);
		r->v.s.gpr[R_CX] = ROUNDS;
		added = run_beside_adder(r, second);
		assert_int_equal(operand(r, second), ROUNDS + ((uint64_t)added << 32));
		finish(r);
	}
}

static void exchanges(void **state)
{
	struct cpu_rig *r = START(0x31, 0xc0, 0x48, 0x87, 0x03, /* xor eax, eax; xchg [rbx], rax */
		0xf0, 0x48, 0x01, 0x03,                         /* lock add [rbx], rax */
		0x48, 0xff, 0xc9, 0x75, 0xf2);                  /* dec rcx; jnz */
	uint32_t added;

	(void)state;
	r->v.s.gpr[R_CX] = ROUNDS;
	added = run_beside_adder(r, SECOND);
	assert_int_equal(operand(r, SECOND), (uint64_t)added << 32);
	finish(r);
}

/* ---- what else must be as without the border */

static void faults_change_nothing(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 2; n++) {
		struct cpu_rig *r = START(0xf0, 0x48, 0x83, 0x03, 0x01);

		rig_put(r, PTE(n), 8, (n ? SECOND : FIRST) | PTE_P);
		rig_put(r, FIRST + 0xffc, 4, 0xffffffff);
		rig_put(r, SECOND, 4, 7);
		assert_int_equal(engine->run(&r->v, UINT64_MAX), VCPU_RAN_TRIPLE_FAULT); /* there is no IDT */
		assert_int_equal(r->v.s.rip, CODE);
		assert_int_equal(r->v.s.cr2, n ? AT + 4 : AT);
		assert_int_equal(operand(r, SECOND), 7ull << 32 | 0xffffffff);
		finish(r);
	}
}

static void marks_and_follows_the_pages(void **state)
{
	struct cpu_rig *r = START(0xf0, 0x48, 0x83, 0x03, 0x01, /* lock add qword [rbx], 1 */
		0x41, 0x0f, 0x01, 0x3e,                         /* invlpg [r14] */
		0x4d, 0x89, 0x7d, 0x00,                         /* mov [r13], r15 */
		0x41, 0x0f, 0x01, 0x3e,                         /* invlpg [r14] */
		0xf0, 0x48, 0x83, 0x03, 0x02);                  /* lock add qword [rbx], 2 */
	uint64_t third = 0xa0000;

	(void)state;
	r->v.s.gpr[R_13] = PTE(1);
	r->v.s.gpr[R_14] = VA + PAGE_SIZE;
	r->v.s.gpr[R_15] = third | RIGHTS;
	rig_put(r, FIRST + 0xffc, 4, 0xffffffff);
	rig_put(r, third, 4, 5);
	assert_int_equal(engine->run(&r->v, UINT64_MAX), VCPU_RAN_HALTED);
	assert_int_equal(operand(r, SECOND), 1ull << 32 | 2);
	assert_int_equal(rig_get(r, third, 4), 5);
	assert_int_equal(rig_get(r, PTE(0), 8) & (PTE_A | PTE_D), PTE_A | PTE_D);
	assert_int_equal(rig_get(r, PTE(1), 8) & (PTE_A | PTE_D), PTE_A | PTE_D);
	finish(r);
}

/* The instruction that follows lies on the second page, and the addition makes another one of it. */
static void code_is_seen_to_change(void **state)
{
	struct cpu_rig *r = START(0xff, 0xd6,           /* call rsi: made, so that it must be forgotten */
		0xf0, 0x48, 0x01, 0x13,                 /* lock add [rbx], rdx */
		0xff, 0xd6);                            /* call rsi */
	static const uint8_t function[] = { 0xb0, 0x01, 0xc3, 0x90 }; /* mov al, 1; ret */

	(void)state;
	memcpy(r->ram.base + SECOND, function, sizeof(function));
	r->v.s.gpr[R_SI] = VA + PAGE_SIZE;
	r->v.s.gpr[R_SP] = 0x50000;
	r->v.s.gpr[R_DX] = 0x41ull << 40; /* 1 becomes 0x42 */
	assert_int_equal(engine->run(&r->v, UINT64_MAX), VCPU_RAN_HALTED);
	assert_int_equal(r->v.s.gpr[R_AX] & 0xff, 0x42);
	finish(r);
}

/* Where one of the pages is no memory the other still gets its bytes. */
static void half_a_device(void **state)
{
	struct cpu_rig *r = START(0xf0, 0x48, 0x01, 0x13); /* lock add [rbx], rdx */

	(void)state;
	rig_put(r, PTE(1), 8, RIG_RAM | RIGHTS); /* nothing there reads as ones */
	rig_put(r, FIRST + 0xffc, 4, 1);
	r->v.s.gpr[R_DX] = 2;
	assert_int_equal(engine->run(&r->v, UINT64_MAX), VCPU_RAN_HALTED);
	assert_int_equal(rig_get(r, FIRST + 0xffc, 4), 3);
	assert_true(vcpu_get_rflags(&r->v) & FLAG_SF);
	finish(r);
}

static void misaligned_where_that_is_checked(void **state)
{
	struct cpu_rig *r = START(0xf0, 0x48, 0x83, 0x03, 0x01);

	(void)state;
	rig_user(r);
	r->v.s.cr0 |= CR0_AM;
	r->v.s.rflags |= FLAG_AC;
	vcpu_settle(&r->v);
	assert_int_equal(engine->run(&r->v, UINT64_MAX), VCPU_RAN_TRIPLE_FAULT);
	assert_int_equal(r->v.s.rip, CODE);
	assert_int_equal(operand(r, SECOND), 0);
	assert_int_equal(rig_get(r, PTE(0), 8) & PTE_D, 0);
	finish(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(additions),
		cmocka_unit_test(exchanges),
		cmocka_unit_test(faults_change_nothing),
		cmocka_unit_test(marks_and_follows_the_pages),
		cmocka_unit_test(code_is_seen_to_change),
		cmocka_unit_test(half_a_device),
		cmocka_unit_test(misaligned_where_that_is_checked),
	};
	int failed = 0;

	for (size_t k = 0; k < ARRAY_LEN(engines); k++) {
		engine = engines[k];
		if (!engine->fits || engine->fits(NULL))
			failed += cmocka_run_group_tests_name(engine->name, tests, NULL, NULL);
	}
	return failed;
}
