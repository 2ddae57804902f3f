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

/* `len` bytes that do nothing, in as few instructions as there can be. */
static void fill_nop(uint8_t *b, unsigned len)
{
	static const uint8_t nops[][9] = { { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0 },
		{ 0x0f, 0x1f, 0x40, 0 }, { 0x0f, 0x1f, 0x44, 0, 0 }, { 0x66, 0x0f, 0x1f, 0x44, 0, 0 },
		{ 0x0f, 0x1f, 0x80, 0, 0, 0, 0 }, { 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 },
		{ 0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 } };

	while (len) {
		unsigned n = MIN_OF(len, 9);

		memcpy(b, nops[n - 1], n);
		b += n;
		len -= n;
	}
}

/* A block's branches name places, so what goes leaves its bytes behind. */
static void nop_instructions(struct shrinker *s)
{
	for (unsigned i = s->best->count; i-- > 0;) {
		struct test_case tc = *s->best;
		struct insn_bytes *insn = &tc.insns[i];

		/* What a store changes, and the jump it needs, go after it only. */
		if (insn->nop || (insn->kept_for && !tc.insns[insn->kept_for - 1].nop))
			continue;
		fill_nop(insn->bytes, insn->len);
		insn->nop = true;
		attempt(s, &tc);
	}
}

/* The end, too, may be reached sooner. */
static void cut_tail(struct shrinker *s)
{
	for (unsigned step = s->best->count / 2; step; step /= 2) {
		struct test_case tc = *s->best;

		while (tc.count > step) {
			tc.count -= step;
			if (!attempt(s, &tc))
				break;
		}
	}
}

static unsigned live_instructions(const struct test_case *tc)
{
	unsigned n = 0;

	for (unsigned i = 0; i < tc->count; i++)
		n += !tc->insns[i].nop;
	return n;
}

static void shorten_block(struct shrinker *s)
{
	unsigned before;

	cut_tail(s);
	do {
		before = live_instructions(s->best);
		nop_instructions(s);
		cut_tail(s);
	} while (live_instructions(s->best) < before);
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
	if (tc.code_off + 15 * tc.count + 5 < CODE_BYTES)
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

	if (tc->block)
		shorten_block(&s);
	else
		do {
			before = tc->count;
			drop_instructions(&s);
		} while (tc->count < before);
	plain_memory(&s);
	plain_registers(&s);
	plain_fpu(&s);
	plain_registers(&s);
}
