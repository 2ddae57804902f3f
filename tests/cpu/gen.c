/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/gen.c - put a case together: instructions, where they lie, where branches go.
 */
#include "tests/cpu/compare.h"
#include "tests/cpu/gen.h"

#include <string.h>

static const struct form *draw_form(struct gen *g)
{
	const struct form_table *t = g->t;
	bool plain = t->plain_count && (t->plain_count == t->group_count || rng_percent(&g->rng, 50));
	unsigned i = plain ? rng_below(&g->rng, t->plain_count)
			   : t->plain_count + rng_below(&g->rng, t->group_count - t->plain_count);

	return &t->forms[t->groups[i].first + rng_below(&g->rng, t->groups[i].count)];
}

/* Displacements and immediates as people write them. */
static void tame_constants(struct gen *g, const ZydisDecodedInstruction *insn, uint8_t *b)
{
	struct rng *r = &g->rng;

	if (insn->raw.disp.size >= 32 && rng_percent(r, 70))
		memcpy(b + insn->raw.disp.offset, &(int32_t){ (int32_t)rng_below(r, 0x2000) - 0x1000 }, 4);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t v = gen_value(r);

		if (insn->raw.imm[i].size && rng_percent(r, 60))
			memcpy(b + insn->raw.imm[i].offset, &v, insn->raw.imm[i].size / 8);
	}
	if (insn->mnemonic == ZYDIS_MNEMONIC_ENTER && !rng_percent(r, 15)) {
		uint32_t v = rng_below(r, 0x300) | rng_below(r, rng_percent(r, 60) ? 2 : 34) << 16;

		memcpy(b + insn->raw.imm[0].offset, &v, 3);
	}
}

static bool decode(const struct gen *g, struct drawn *d)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&g->t->decoder, d->bytes, 15, &d->insn, d->ops));
}

/* What Zydis does not decode: both sides should say #UD (or fault on the fetch), and agree on nothing else.
 */
static bool accept_undecodable(struct gen *g, struct drawn *d, bool alone)
{
	if (!alone || !form_bytes_harmless(d->bytes, 15, g->t->bits) || !rng_percent(&g->rng, 5))
		return false;
	d->decoded = false;
	d->len = 15;
	return true;
}

/* Nearly always ends a sequence. */
static bool ends_sequence(const ZydisDecodedInstruction *insn)
{
	if (insn->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
		return true;
	switch (insn->meta.category) {
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_SYSTEM:
		return true;
	default:
		break;
	}
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_BOUND:
	case ZYDIS_MNEMONIC_AAM:
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_STAC:
	case ZYDIS_MNEMONIC_CLAC:
	case ZYDIS_MNEMONIC_LEAVE:
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
	case ZYDIS_MNEMONIC_FLDCW:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FRSTOR:
		return true;
	default:
		return false;
	}
}

/* A sequence loses its meaning with the stack pointer. */
static bool writes_sp(const struct drawn *d)
{
	for (unsigned i = 0; i < d->insn.operand_count_visible; i++)
		if (d->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			d->ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
			ZydisRegisterGetLargestEnclosing(d->insn.machine_mode, d->ops[i].reg.value) ==
				ZydisRegisterGetLargestEnclosing(d->insn.machine_mode, ZYDIS_REGISTER_SP))
			return true;
	return false;
}

bool gen_draw(struct gen *g, struct drawn *d, bool alone)
{
	for (unsigned tries = 0; tries < 40; tries++) {
		gen_encode(&g->rng, draw_form(g), g->t->bits, d->bytes);
		if (alone && rng_percent(&g->rng, 3))
			for (unsigned i = 0; i < 15; i++)
				d->bytes[i] = (uint8_t)rng_u64(&g->rng);
		if (!decode(g, d)) {
			if (accept_undecodable(g, d, alone))
				return true;
			continue;
		}
		if (!form_allowed(&d->insn))
			continue;
		tame_constants(g, &d->insn, d->bytes);
		if (!decode(g, d) || !form_allowed(&d->insn))
			continue;
		if (g->calm && (undefined_flags(d->insn.mnemonic) ||
				       saves_fpu_pointers(d->insn.mnemonic))) /* others would read them */
			continue;
		if (g->calm && (ends_sequence(&d->insn) || writes_sp(d)) && rng_percent(&g->rng, 96))
			continue;
		d->decoded = true;
		d->len = d->insn.length;
		return true;
	}
	return false;
}

static void append(struct gen *g, const struct drawn *d)
{
	struct insn_bytes *i = &g->tc->insns[g->tc->count++];

	i->len = (uint8_t)d->len;
	memcpy(i->bytes, d->bytes, d->len);
	if (d->decoded)
		gen_note_writes(g, &d->insn, d->ops);
}

static void gen_single(struct gen *g)
{
	struct test_case *tc = g->tc;
	struct drawn d;

	if (!gen_draw(g, &d, true)) {
		memset(&d, 0, sizeof(d));
		d.bytes[0] = 0x90;
		d.len = 1;
	}
	/* AMD takes UD0 and UD1 for two bytes, Intel wants a ModRM: at the end of a page they differ. */
	tc->cut = rng_percent(&g->rng, 4) && d.decoded && d.insn.mnemonic != ZYDIS_MNEMONIC_UD0 &&
		  d.insn.mnemonic != ZYDIS_MNEMONIC_UD1;
	tc->code_off = 16 + rng_below(&g->rng, 0x400);
	if (tc->cut)
		tc->code_off =
			CODE_BYTES - d.len + (rng_percent(&g->rng, 50) ? rng_below(&g->rng, d.len) : 0);
	if (d.decoded)
		gen_operands(g, &d.insn, d.ops, d.bytes, CODE_BASE + tc->code_off);
	append(g, &d);
}

static void gen_sequence(struct gen *g, unsigned n)
{
	struct test_case *tc = g->tc;
	uint64_t va;

	g->calm = true;
	tc->code_off = 16 + rng_below(&g->rng, 0x400);
	va = CODE_BASE + tc->code_off;
	for (unsigned tries = 0; tries < n * 8 && tc->count < n; tries++) {
		struct gen before = *g;
		unsigned patches = tc->patch_count;
		struct cpu_state *s = &tc->init;
		uint64_t gpr[16];
		struct drawn d;

		memcpy(gpr, s->gpr, sizeof(gpr));
		if (!gen_draw(g, &d, false))
			break;
		if (d.decoded && !gen_operands(g, &d.insn, d.ops, d.bytes, va)) {
			g->pinned = before.pinned;
			tc->patch_count = patches;
			memcpy(s->gpr, gpr, sizeof(gpr));
			continue;
		}
		append(g, &d);
		va += d.len;
	}
}

/* Relative branches go forward: to a later instruction, the end, or int3. */
static void aim_branches(struct gen *g)
{
	struct test_case *tc = g->tc;
	struct drawn d;

	for (unsigned i = 0; i < tc->count; i++) {
		uint64_t next = case_insn_address(tc, i + 1), target;
		unsigned size, k;

		memcpy(d.bytes, tc->insns[i].bytes, 15);
		if (!decode(g, &d) || d.insn.length != tc->insns[i].len || !d.insn.raw.imm[0].is_relative)
			continue;
		size = d.insn.raw.imm[0].size / 8;
		k = i + 1 + rng_below(&g->rng, tc->count - i);
		target = case_insn_address(tc, k);
		if (rng_percent(&g->rng, 40)) /* past the end: int3 */
			target = case_insn_address(tc, tc->count) + 8 + rng_below(&g->rng, 100);
		if (size == 1 && target - next > 127)
			target = next;
		if (rng_percent(&g->rng, 2) && size == 4)
			target = rng_u64(&g->rng);
		target -= next;
		memcpy(tc->insns[i].bytes + d.insn.raw.imm[0].offset, &target, size);
	}
}

void gen_case(const struct form_table *t, const struct gen_options *o, uint64_t number, struct test_case *tc)
{
	struct gen g = { .t = t, .rng = rng_for(o->seed, number), .tc = tc };

	memset(tc, 0, sizeof(*tc));
	tc->number = number;
	tc->bits = t->bits;
	tc->precise = true;
	tc->views = rng_percent(&g.rng, 50);
	gen_cpu_state(&g.rng, t->bits, o->ldt, &tc->init);
	if (o->max_insns <= 1)
		gen_single(&g);
	else
		gen_sequence(&g, 2 + rng_below(&g.rng, o->max_insns - 1));
	aim_branches(&g);
	tc->init.rip = case_insn_address(tc, 0);
}
