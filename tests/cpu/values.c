/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/values.c - random values with the corners in half of them.
 */
#include "tests/cpu/gen.h"
#include "tests/cpu/xstate.h"

uint64_t gen_code_target(struct rng *r)
{
	return CODE_BASE + 0xc00 + rng_below(r, 0x300);
}

uint64_t gen_value(struct rng *r)
{
	static const uint64_t corner[] = { 0, 1, 2, ~0ull, ~1ull, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000,
		0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
		0x8000000000000000, 0xffffffff80000000, 0xffffffff00000000, 0x5555555555555555,
		0xaaaaaaaaaaaaaaaa };
	uint64_t v = rng_u64(r);
	unsigned k = rng_below(r, 64);

	switch (rng_below(r, 12)) {
	case 0:
	case 1:
	case 2:
		return corner[rng_below(r, ARRAY_LEN(corner))];
	case 3:
		return rng_below(r, 70);
	case 4:
		return 1ull << k;
	case 5:
		return (1ull << k) - rng_below(r, 3);
	case 6:
		return DATA_BASE + rng_below(r, 0x2000);
	case 7:
		return bits_sext(v, 1u << rng_below(r, 4));
	case 8:
		return v >> k;
	default:
		return v;
	}
}

/* TF, NT and AC rarely: each changes everything that follows. */
uint64_t gen_rflags(struct rng *r)
{
	uint64_t f = 0x202 | (rng_u64(r) & 0x8d5);

	if (rng_percent(r, 10))
		f |= 0x400;
	if (rng_percent(r, 10))
		f |= 0x200000;
	if (rng_percent(r, 1))
		f |= 0x40000;
	if (rng_percent(r, 1))
		f |= 0x100;
	if (rng_percent(r, 1))
		f |= 0x4000;
	return f;
}

static uint32_t float_bits(struct rng *r)
{
	static const uint32_t corner[] = { 0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
		0x7fc00000, 0xffc00000, 0x7f800001, 0xffa00000, 0x00000001, 0x807fffff, 0x00800000,
		0x7f7fffff, 0xff7fffff, 0x4f000000, 0xcf000000, 0x5f000000, 0x3f000000, 0x33000000,
		0x477fe000, 0x387fc000, 0x33800000 };

	if (rng_percent(r, 50))
		return corner[rng_below(r, ARRAY_LEN(corner))];
	if (rng_percent(r, 50))
		return (uint32_t)(rng_u64(r) & 0x80ffffff) | (0x70u + rng_below(r, 32)) << 23;
	return (uint32_t)rng_u64(r);
}

static uint64_t double_bits(struct rng *r)
{
	static const uint64_t corner[] = { 0, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000,
		0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0xfff8000000000000,
		0x7ff0000000000001, 0xfff4000000000000, 1, 0x800fffffffffffff, 0x0010000000000000,
		0x7fefffffffffffff, 0x41e0000000000000, 0xc1e0000000000000, 0x43e0000000000000,
		0xc3e0000000000000, 0x3fe0000000000000, 0x36a0000000000000, 0x47efffffe0000000,
		0x47f0000000000000, 0x3810000000000000 };

	if (rng_percent(r, 50))
		return corner[rng_below(r, ARRAY_LEN(corner))];
	if (rng_percent(r, 50))
		return (rng_u64(r) & 0x800fffffffffffff) | (uint64_t)(0x3e0u + rng_below(r, 64)) << 52;
	return rng_u64(r);
}

void gen_vector(struct rng *r, uint8_t bytes[16])
{
	unsigned kind = rng_below(r, 6);

	for (unsigned i = 0; i < 16; i += kind == 1 ? 4 : 8) {
		if (kind == 1)
			le_store(bytes + i, 4, float_bits(r));
		else
			le_store(bytes + i, 8,
				kind == 0   ? double_bits(r)
				: kind == 2 ? gen_value(r)
					    : rng_u64(r));
	}
	if (kind == 3)
		for (unsigned i = 0; i < 16; i++)
			bytes[i] &= 0x1f;
	if (kind == 4)
		memset(bytes + 1, bytes[0], 15);
}

/* Every class of 80-bit value, the unsupported ones too. */
void gen_x87(struct rng *r, uint8_t st[10])
{
	uint64_t m = rng_u64(r) | 1ull << 63;
	uint32_t e = 0x3fff - 70 + rng_below(r, 140);

	switch (rng_below(r, 12)) {
	case 0:
		m = 0, e = 0;
		break;
	case 1:
		m = 1ull << 63, e = 0x3fff;
		break;
	case 2:
		m = 1ull << 63, e = 0x7fff; /* infinity */
		break;
	case 3:
		m |= 3ull << 62, e = 0x7fff; /* quiet NaN */
		break;
	case 4:
		m = 1ull << 63 | m >> 2, e = 0x7fff; /* signalling, mostly */
		break;
	case 5:
		m &= ~0ull >> 1, e = 0; /* denormal */
		break;
	case 6:
		e = 0; /* pseudo-denormal */
		break;
	case 7:
		m &= ~0ull >> 1; /* unnormal */
		break;
	case 8:
		e = rng_below(r, 0x8000);
		break;
	case 9:
		m = gen_value(r) | 1ull << 63, e = 0x3fff + rng_below(r, 66);
		break;
	}
	le_store(st, 8, m);
	le_store(st + 8, 2, e | (rng_percent(r, 50) ? 0x8000 : 0));
}

void gen_fpu_image(struct rng *r, uint8_t *xs)
{
	uint32_t fcw = 0x37f, fsw = 0, ftw = 0xff, mxcsr = 0x1f80;

	xstate_reset(xs);
	if (rng_percent(r, 30))
		fcw = 0x40 | (rng_percent(r, 60) ? 0x3f : rng_below(r, 64)) | rng_below(r, 4) << 8 |
		      rng_below(r, 4) << 10;
	if (rng_percent(r, 30))
		fsw = (uint32_t)rng_u64(r) & (rng_percent(r, 70) ? 0x7f00 : 0x7f7f);
	if (rng_percent(r, 50))
		ftw = rng_percent(r, 30) ? 0 : rng_below(r, 256);
	if (fsw & ~fcw & 0x3f)
		fsw |= 0x8080;
	if (rng_percent(r, 25)) {
		mxcsr = 0x1f80 | (uint32_t)(rng_u64(r) & 0xe07f);
		if (rng_percent(r, 30))
			mxcsr &= ~(rng_below(r, 64) << 7);
	}
	le_store(xs + XS_FCW, 2, fcw);
	le_store(xs + XS_FSW, 2, fsw);
	xs[XS_FTW] = (uint8_t)ftw;
	le_store(xs + XS_MXCSR, 4, mxcsr);
	for (unsigned i = 0; i < 8; i++)
		gen_x87(r, xs + XS_ST(i));
}

uint16_t gen_selector(struct rng *r)
{
	static const uint16_t gdt[] = { 0, SEL_DS, SEL_DS, SEL_DS & ~3u, SEL_CS64, SEL_CS32, 3, SEL_KERNEL_DS,
		SEL_KERNEL_CS };

	if (rng_percent(r, 40))
		return gdt[rng_below(r, ARRAY_LEN(gdt))];
	if (rng_percent(r, 85))
		return (uint16_t)(rng_below(r, 8) << 3 | 4 | (rng_percent(r, 80) ? 3 : rng_below(r, 4)));
	return (uint16_t)rng_below(
		r, rng_percent(r, 50) ? 0x78 : 0x10000); /* 0x78: its limit is the CPU's number */
}

/* Flat mostly, as in every system since 1992; the stack sometimes a 16-bit one. */
static void gen_selectors(struct rng *r, unsigned bits, bool ldt, struct cpu_state *s)
{
	static const uint16_t usable[] = { 7, 15, 23, 31, 39 };

	s->sel[SEL_I_SS] = SEL_DS;
	if (bits == 64)
		return;
	for (unsigned i = 0; i < 4; i++) {
		uint16_t sel = usable[rng_below(r, ARRAY_LEN(usable))];
		bool flat = rng_percent(r, i < 2 ? 85 : 15);

		s->sel[i] = ldt && !flat ? sel : i < 2 ? SEL_DS : 0;
	}
	if (rng_percent(r, 4) && ldt) {
		s->sel[SEL_I_SS] = 31;
		s->gpr[R_SP_INDEX] = (IRET_FRAME & 0xffff0000) | (s->gpr[R_SP_INDEX] & 0xffff);
	}
}

void gen_cpu_state(struct rng *r, unsigned bits, bool ldt, struct cpu_state *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < (bits == 64 ? 16 : 8); i++)
		s->gpr[i] = gen_value(r);
	s->gpr[R_SP_INDEX] = STACK_BASE + 0x400 + (rng_below(r, 0x1800) & ~15u);
	if (rng_percent(r, 5))
		s->gpr[R_SP_INDEX] = STACK_BASE + rng_below(r, 64);
	if (rng_percent(r, 5))
		s->gpr[R_SP_INDEX] += rng_below(r, 16);
	if (rng_percent(r, 2))
		s->gpr[R_SP_INDEX] = STACK_BASE + 0x2000 - rng_below(r, 16);
	if (rng_percent(r, 1))
		s->gpr[R_SP_INDEX] = gen_value(r);
	if (rng_percent(r, 40))
		s->gpr[R_SP_INDEX + 1] = STACK_BASE + 0x400 + (rng_below(r, 0x1800) & ~7u);
	gen_selectors(r, bits, ldt, s);
	if (bits == 32)
		for (unsigned i = 0; i < 8; i++)
			s->gpr[i] = (uint32_t)s->gpr[i];
	s->rflags = gen_rflags(r);
	if (bits == 64) {
		s->fs_base = rng_percent(r, 50) ? rng_below(r, 0x2000) : DATA_BASE - rng_below(r, 0x10000);
		s->gs_base = rng_percent(r, 50) ? (uint64_t)0 - rng_below(r, 0x2000)
						: DATA_BASE + rng_below(r, 0x1000);
	}
	gen_fpu_image(r, s->xsave);
	for (unsigned i = 0; i < (bits == 64 ? 16 : 8); i++) {
		gen_vector(r, s->xsave + XS_XMM(i));
		gen_vector(r, s->xsave + XS_YMMH(i));
	}
}

void gen_base_memory(uint64_t seed, uint8_t *mem)
{
	struct rng r = rng_for(seed, ~0ull);

	for (unsigned i = 0; i < MEM_BYTES; i += 16)
		gen_vector(&r, mem + i);
}
