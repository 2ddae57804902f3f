/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/shrink.c - drop instructions, then bring every part of the state to its plainest value that still
 * fails.
 */
#include "tests/cpu/shrink.h"
#include "tests/cpu/xstate.h"

struct shrinker {
	still_fails_fn *still_fails;
	void *opaque;
	struct test_case *best;
};

/* Keep the attempt if it still fails. */
static bool attempt(struct shrinker *s, const struct test_case *tc)
{
	if (!s->still_fails(s->opaque, tc))
		return false;
	*s->best = *tc;
	return true;
}

static void drop_instructions(struct shrinker *s)
{
	for (unsigned i = s->best->count; i-- > 0 && s->best->count > 1;) {
		struct test_case tc = *s->best;

		memmove(&tc.insns[i], &tc.insns[i + 1], (tc.count - i - 1) * sizeof(tc.insns[0]));
		tc.count--;
		attempt(s, &tc);
	}
}

static void plain_memory(struct shrinker *s)
{
	struct test_case tc = *s->best;

	tc.zero_memory = true;
	attempt(s, &tc);
	for (unsigned i = s->best->patch_count; i-- > 0;) {
		tc = *s->best;
		memmove(&tc.patches[i], &tc.patches[i + 1], (tc.patch_count - i - 1) * sizeof(tc.patches[0]));
		tc.patch_count--;
		attempt(s, &tc);
	}
}

static void plain_registers(struct shrinker *s)
{
	struct test_case tc = *s->best;

	tc.cut = false;
	if (tc.code_off + 15 * tc.count + 5 < CASE_PAGE)
		attempt(s, &tc);
	for (unsigned i = 0; i < 16; i++) {
		tc = *s->best;
		if (i == 4 && tc.init.sel[SEL_I_SS] != SEL_DS)
			continue;
		tc.init.gpr[i] = i == 4 ? STACK_BASE + 0x1000 : 0;
		if (attempt(s, &tc) || i == 4)
			continue;
		tc.init.gpr[i] = 1;
		attempt(s, &tc);
	}
	tc = *s->best;
	tc.init.rflags = 0x202;
	attempt(s, &tc);
	for (unsigned bit = 0; bit < 22; bit++) {
		tc = *s->best;
		if (bit == 1 || bit == 9 || !(tc.init.rflags >> bit & 1))
			continue;
		tc.init.rflags &= ~(1ull << bit);
		attempt(s, &tc);
	}
	for (unsigned i = 0; i < 5; i++) {
		tc = *s->best;
		tc.init.sel[i] = tc.bits == 32 && (i < 2 || i == 4) ? SEL_DS : i == 4 ? SEL_DS : 0;
		if (tc.init.sel[i] != s->best->init.sel[i])
			attempt(s, &tc);
	}
	tc = *s->best;
	tc.init.fs_base = 0;
	attempt(s, &tc);
	tc = *s->best;
	tc.init.gs_base = 0;
	attempt(s, &tc);
}

static void plain_field(struct shrinker *s, unsigned off, unsigned len, uint32_t value)
{
	struct test_case tc = *s->best;

	memset(tc.init.xsave + off, 0, len);
	le_store(tc.init.xsave + off, MIN_OF(len, 4), value);
	attempt(s, &tc);
}

static void plain_fpu(struct shrinker *s)
{
	struct test_case tc = *s->best;

	xstate_reset(tc.init.xsave);
	if (attempt(s, &tc))
		return;
	plain_field(s, XS_FCW, 2, 0x37f);
	plain_field(s, XS_FSW, 2, 0);
	plain_field(s, XS_FTW, 1, 0);
	plain_field(s, XS_MXCSR, 4, 0x1f80);
	for (unsigned i = 0; i < 8; i++)
		plain_field(s, XS_ST(i), 10, 0);
	for (unsigned i = 0; i < 16; i++) {
		plain_field(s, XS_XMM(i), 16, 0);
		plain_field(s, XS_YMMH(i), 16, 0);
	}
}

void shrink(struct test_case *tc, still_fails_fn *still_fails, void *opaque)
{
	struct shrinker s = { still_fails, opaque, tc };
	unsigned before;

	do {
		before = tc->count;
		drop_instructions(&s);
	} while (tc->count < before);
	plain_memory(&s);
	plain_registers(&s);
	plain_fpu(&s);
	plain_registers(&s);
}
