/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/forms.c - walk the opcode space, keep what Zydis decodes and excluded.c allows.
 */
#include "tests/cpu/forms.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t pp_byte[4] = { 0, 0x66, 0xf3, 0xf2 };

/* The shortest bytes of the form; the rest of the 15 are zero. */
static void form_bytes(const struct form *f, uint8_t b[15])
{
	unsigned n = 0;

	memset(b, 0, 15);
	if (f->vex) {
		b[n++] = 0xc4;
		b[n++] = 0xe0 | f->map;
		b[n++] = (uint8_t)(f->w << 7 | 0x78 | f->l << 2 | f->pp);
	} else {
		if (f->pp)
			b[n++] = pp_byte[f->pp];
		if (f->w)
			b[n++] = 0x48;
		if (f->map)
			b[n++] = 0x0f;
		if (f->map >= 2)
			b[n++] = f->map == 2 ? 0x38 : 0x3a;
	}
	b[n++] = f->opcode;
	if (f->modrm == 1 && f->vex && f->rm == 4) { /* index and mask of a gather must differ */
		b[n - 2] = (uint8_t)((b[n - 2] & 0x87) | 0x68);
		b[n + 1] = 0x08;
	}
	if (f->modrm)
		b[n] = (uint8_t)((f->modrm == 2 ? 0xc0 : 0) | f->reg << 3 | f->rm);
}

static bool is_simd(const ZydisDecodedInstruction *insn)
{
	ZydisInstructionCategory c = insn->meta.category;

	if (insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		return insn->meta.isa_ext != ZYDIS_ISA_EXT_BMI1 && insn->meta.isa_ext != ZYDIS_ISA_EXT_BMI2;
	return c == ZYDIS_CATEGORY_SSE || c == ZYDIS_CATEGORY_MMX || c == ZYDIS_CATEGORY_X87_ALU ||
	       c == ZYDIS_CATEGORY_CONVERT || insn->meta.isa_ext == ZYDIS_ISA_EXT_SSE ||
	       insn->meta.isa_ext == ZYDIS_ISA_EXT_SSE2 || insn->meta.isa_ext == ZYDIS_ISA_EXT_SSE3 ||
	       insn->meta.isa_ext == ZYDIS_ISA_EXT_SSSE3 || insn->meta.isa_ext == ZYDIS_ISA_EXT_SSE4 ||
	       insn->meta.isa_ext == ZYDIS_ISA_EXT_X87 || insn->meta.isa_ext == ZYDIS_ISA_EXT_MMX;
}

struct builder {
	struct form_table *t;
	unsigned room;
	const char *only;
	bool *simd; /* by mnemonic */
};

static void consider(struct builder *b, struct form f)
{
	struct form_table *t = b->t;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	uint8_t bytes[15];
	bool has_modrm;

	form_bytes(&f, bytes);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&t->decoder, bytes, 15, &insn, ops)))
		return;
	has_modrm = insn.attributes & ZYDIS_ATTRIB_HAS_MODRM;
	/* A prefix byte in the opcode's place, or a form without ModRM seen a second time. */
	if (insn.raw.prefix_count != (f.vex ? 0 : (f.pp ? 1 : 0) + (f.w ? 1 : 0)) ||
		has_modrm != (f.modrm != 0))
		return;
	if (insn.opcode != f.opcode || !form_allowed(&insn))
		return;
	if (b->only && g_ascii_strcasecmp(ZydisMnemonicGetString(insn.mnemonic), b->only))
		return;
	/* W that changes nothing is drawn by gen.c; here it would only count the form twice. */
	f.mnemonic = (uint16_t)insn.mnemonic;
	if (f.rm && t->count && t->forms[t->count - 1].mnemonic == f.mnemonic &&
		t->forms[t->count - 1].opcode == f.opcode && t->forms[t->count - 1].modrm == f.modrm)
		return;
	if (t->count == b->room) {
		b->room = b->room ? b->room * 2 : 4096;
		t->forms = g_renew(struct form, t->forms, b->room);
	}
	t->forms[t->count++] = f;
	b->simd[f.mnemonic] = is_simd(&insn);
}

static void walk_modrm(struct builder *b, struct form f)
{
	f.modrm = 0;
	consider(b, f);
	for (unsigned reg = 0; reg < 8; reg++) {
		f.reg = (uint8_t)reg;
		f.modrm = 1;
		f.rm = 0;
		consider(b, f);
		f.rm = 4; /* gathers want an index */
		consider(b, f);
		f.modrm = 2;
		for (f.rm = 0; f.rm < 8; f.rm++)
			consider(b, f);
		f.rm = 0;
	}
}

static int by_mnemonic(const void *a, const void *b)
{
	const struct form *x = a, *y = b;

	return x->mnemonic != y->mnemonic ? x->mnemonic - y->mnemonic : 0;
}

/* Groups by mnemonic, those that are not SIMD first. */
static void make_groups(struct form_table *t, const bool *simd)
{
	t->groups = g_new0(struct form_group, ZYDIS_MNEMONIC_MAX_VALUE + 1);
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < t->count;) {
			unsigned j = i;
			uint16_t m = t->forms[i].mnemonic;

			while (j < t->count && t->forms[j].mnemonic == m)
				j++;
			if (simd[m] == (pass == 1))
				t->groups[t->group_count++] = (struct form_group){ m, pass == 1, i, j - i };
			i = j;
		}
		if (pass == 0)
			t->plain_count = t->group_count;
	}
}

bool forms_build(struct form_table *t, unsigned bits, const char *only, GError **error)
{
	bool *simd = g_new0(bool, ZYDIS_MNEMONIC_MAX_VALUE + 1);
	struct builder b = { .t = t, .only = only, .simd = simd };

	memset(t, 0, sizeof(*t));
	t->bits = bits;
	if (bits == 64)
		ZydisDecoderInit(&t->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else
		ZydisDecoderInit(&t->decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
	for (unsigned key = 0; key < 2u << 15; key++) {
		struct form f = { .opcode = (uint8_t)key };

		f.vex = key >> 8 & 1;
		f.map = key >> 9 & 3;
		f.pp = key >> 11 & 3;
		f.w = key >> 13 & 1;
		f.l = key >> 14 & 1;
		if (key >> 15 || (f.vex && !f.map) || (!f.vex && (f.l || (f.w && bits == 32))))
			continue;
		walk_modrm(&b, f);
	}
	qsort(t->forms, t->count, sizeof(t->forms[0]), by_mnemonic);
	make_groups(t, simd);
	g_free(simd);
	if (!t->count)
		return fail(error, SERAI_ERROR_CONFIG, "no instruction '%s' in %u-bit code", only ? only : "",
			bits);
	return true;
}

void forms_free(struct form_table *t)
{
	g_free(t->forms);
	g_free(t->groups);
	memset(t, 0, sizeof(*t));
}
