/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/encode.c - bytes of a form.
 */
#include "tests/cpu/gen.h"

#include <string.h>

struct out {
	uint8_t *b;
	unsigned n;
};

static void put(struct out *o, unsigned byte)
{
	if (o->n < 15)
		o->b[o->n++] = (uint8_t)byte;
}

static void legacy_prefixes(struct rng *r, const struct form *f, unsigned bits, struct out *o)
{
	static const uint8_t pp_byte[4] = { 0, 0x66, 0xf3, 0xf2 };
	static const uint8_t seg[] = { 0x64, 0x65, 0x64, 0x65, 0x26, 0x2e, 0x36, 0x3e };

	if (f->pp && !f->vex && rng_percent(r, 50))
		put(o, pp_byte[f->pp]);
	if (rng_percent(r, f->modrm == 1 ? 12 : 2))
		put(o, seg[rng_below(r, sizeof(seg))]);
	if (rng_percent(r, f->modrm == 1 ? 8 : 3))
		put(o, 0x67);
	if (!f->vex) {
		if (f->modrm == 1 && !f->pp && rng_percent(r, 12))
			put(o, 0xf0);
		if (rng_percent(r, f->modrm ? 2 : 12))
			put(o, rng_percent(r, 50) ? 0xf3 : 0xf2);
		if (rng_percent(r, 2))
			put(o, 0x66);
	}
	if (f->pp && !f->vex && (o->n == 0 || o->b[0] != pp_byte[f->pp]))
		put(o, pp_byte[f->pp]);
	(void)bits;
}

static void modrm(struct rng *r, const struct form *f, unsigned bits, struct out *o)
{
	unsigned mod = f->modrm == 2 ? 3 : rng_below(r, 3);
	unsigned rm = f->modrm == 2 && f->rm ? f->rm : rng_below(r, 8);

	/* A fixed rm of a memory form marks a gather: it needs an SIB byte. */
	if (f->modrm == 1 && f->rm == 4)
		rm = 4;
	put(o, mod << 6 | (unsigned)f->reg << 3 | rm);
	if (mod != 3 && rm == 4)
		put(o, rng_below(r, 256));
	(void)bits;
}

static void vex(struct rng *r, const struct form *f, unsigned bits, struct out *o)
{
	unsigned vvvv = rng_percent(r, 30) ? 15 : rng_below(r, 16);
	unsigned rxb = bits == 64 ? rng_below(r, 8) : 7;

	if (bits == 32)
		vvvv |= 8;
	if (f->map == 1 && !f->w && (rxb & 3) == 3 && rng_percent(r, 70)) {
		put(o, 0xc5);
		put(o, (rxb & 4) << 5 | vvvv << 3 | (unsigned)f->l << 2 | f->pp);
		return;
	}
	put(o, 0xc4);
	put(o, rxb << 5 | f->map);
	put(o, (unsigned)f->w << 7 | vvvv << 3 | (unsigned)f->l << 2 | f->pp);
}

void gen_encode(struct rng *r, const struct form *f, unsigned bits, uint8_t out[15])
{
	struct out o = { out, 0 };

	for (unsigned i = 0; i < 15; i += 8) {
		uint64_t v = rng_u64(r);

		memcpy(out + i, &v, MIN_OF(8, 15 - i));
	}
	legacy_prefixes(r, f, bits, &o);
	if (f->vex) {
		vex(r, f, bits, &o);
	} else {
		if (bits == 64 && (f->w || rng_percent(r, 40)))
			put(&o, 0x40 | (unsigned)f->w << 3 | (rng_percent(r, 60) ? rng_below(r, 8) : 0));
		if (f->map)
			put(&o, 0x0f);
		if (f->map >= 2)
			put(&o, f->map == 2 ? 0x38 : 0x3a);
	}
	put(&o, f->opcode);
	if (f->modrm)
		modrm(r, f, bits, &o);
}
