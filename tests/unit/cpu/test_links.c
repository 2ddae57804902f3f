/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an address means to one who uses an old translation, as he may, is not what it means to others.
 */
#include "tests/unit/cpu/cpu_rig.h"

#define RIGHTS  (PTE_P | PTE_W | PTE_U)
#define PTE(va) (RIG_PT + 8 * ((va) >> 12))

#define ENTRY  0x30000ull /* jmp rsi */
#define END    0x31000ull /* hlt */
#define HERE   0x40000ull
#define THERE  0x50000ull
#define FIRST  0x80000ull /* pages of RAM */
#define SECOND 0x90000ull
#define BESIDE 0x4000000ull /* so far from an address lies another with its place in the TLB */

static const struct engine *const engines[] = { &engine_interp, &engine_bt };

static void put(struct cpu_rig *r, uint64_t gpa, const char *code, size_t len)
{
	memcpy(r->ram.base + gpa, code, len);
}

#define PUT(r, gpa, code) put(r, gpa, code, sizeof(code) - 1)

/* Jumps there from code, and returns RBX when that has jumped to RDI. */
static uint64_t go(struct cpu_rig *r, const struct engine *engine, uint64_t to, uint64_t ax)
{
	r->v.s.halted = 0;
	r->v.s.rip = ENTRY;
	r->v.s.gpr[R_SI] = to;
	r->v.s.gpr[R_DI] = END;
	r->v.s.gpr[R_AX] = ax;
	r->v.s.gpr[R_BX] = 0;
	assert_int_equal(engine->run(&r->v, UINT64_MAX), VCPU_RAN_HALTED);
	return r->v.s.gpr[R_BX];
}

static void jumps_within_a_page_stay_in_it(void **state)
{
	(void)state;
	for (unsigned n = 0; n < ARRAY_LEN(engines); n++) {
		struct cpu_rig *r = cpu_rig_new();
		uint64_t seen;

		rig_long_mode(r);
		rig_put(r, RIG_PD + 8 * (BESIDE >> 21), 8, RIG_PT | RIGHTS);
		rig_put(r, PTE(HERE), 8, FIRST | RIGHTS);
		rig_put(r, PTE(THERE), 8, FIRST | RIGHTS);
		PUT(r, ENTRY, "\xff\xe6");
		PUT(r, END, "\xf4");
		PUT(r, FIRST, "\x85\xc0\x74\x0c\xff\xe7");               /* test eax, eax; jz 10h; jmp rdi */
		PUT(r, FIRST + 16, "\xbb\x01\x00\x00\x00\xff\xe7");       /* mov ebx, 1; jmp rdi */
		PUT(r, SECOND, "\xff\xe7");
		PUT(r, SECOND + 16, "\xbb\x02\x00\x00\x00\xff\xe7");
		assert_true(engines[n]->create(&r->v, NULL));
		r->v.event.vector = -1;
		for (unsigned k = 0; k < 4; k++)
			assert_int_equal(go(r, engines[n], HERE, 1), 0);
		rig_put(r, PTE(HERE), 8, SECOND | RIGHTS); /* no INVLPG yet: either page is right, or one and then the other */
		assert_int_equal(go(r, engines[n], HERE + BESIDE, 1), 0);
		seen = go(r, engines[n], HERE, 0);
		assert_in_range(seen, 0, 2);
		assert_int_equal(go(r, engines[n], THERE, 0), 1);
		engines[n]->destroy(&r->v);
		cpu_rig_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jumps_within_a_page_stay_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
