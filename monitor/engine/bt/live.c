/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/live.c - which arithmetic flags are live where: from what each instruction of a block does with them, and from what
 * follows the block in the same page.
 */
#include "monitor/engine/bt/build.h"

#include "monitor/cpu/rows.h"

#define AHEAD 16 /* instructions looked at behind a branch */

struct flag_effects {
	uint16_t tested, written, killed;
};

/* The count of a shift by a constant; 0: by CL, or by nothing. */
static unsigned shift_count(const ZydisDecodedInstruction *in)
{
	unsigned mask = in->operand_width == 64 ? 63 : 31;

	if ((in->opcode & 0xfe) == 0xd0)
		return 1;
	return (in->opcode & 0xfe) == 0xc0 || in->opcode == 0xa4 || in->opcode == 0xac
		       ? (unsigned)in->raw.imm[0].value.u & mask
		       : 0;
}

static struct flag_effects effects_of(const ZydisDecodedInstruction *in)
{
	const ZydisAccessedFlags *f = in->cpu_flags;
	struct flag_effects x = { 0 };
	unsigned defined, count;

	if (!f)
		return x;
	defined = (f->modified | f->set_0 | f->set_1) & STATUS;
	x.tested = (uint16_t)(f->tested & STATUS);
	x.written = (uint16_t)(defined | (f->undefined & STATUS));
	x.killed = (uint16_t)defined;
	switch (in->meta.category) {
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_ROTATE:
		count = shift_count(in);
		if (!count || in->operand_width < 32)
			x.killed = 0;
		break;
	case ZYDIS_CATEGORY_LOGICAL: /* AF is "undefined": processors clear it */
		if (x.killed)
			x.killed |= ZYDIS_CPUFLAG_AF;
		break;
	default:
		break;
	}
	return x;
}

/* Rows that neither read nor write arithmetic flags. */
static bool leaves_flags_alone(const ZydisDecodedInstruction *in)
{
	const ZydisAccessedFlags *f = in->cpu_flags;

	if (f && (f->tested | f->modified | f->set_0 | f->set_1 | f->undefined) & STATUS)
		return false;
	switch (in->meta.category) {
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_STRINGOP:
	case ZYDIS_CATEGORY_XSAVE:
	case ZYDIS_CATEGORY_XSAVEOPT:
	case ZYDIS_CATEGORY_SSE:
	case ZYDIS_CATEGORY_AVX:
	case ZYDIS_CATEGORY_RDWRFSGS:
	case ZYDIS_CATEGORY_MISC:
	case ZYDIS_CATEGORY_X87_ALU:
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_POP:
	case ZYDIS_CATEGORY_PREFETCH:
	case ZYDIS_CATEGORY_FLAGOP:
	case ZYDIS_CATEGORY_SMAP:
		return in->mnemonic != ZYDIS_MNEMONIC_PUSHF && in->mnemonic != ZYDIS_MNEMONIC_PUSHFD &&
		       in->mnemonic != ZYDIS_MNEMONIC_PUSHFQ && in->mnemonic != ZYDIS_MNEMONIC_POPF &&
		       in->mnemonic != ZYDIS_MNEMONIC_POPFD && in->mnemonic != ZYDIS_MNEMONIC_POPFQ;
	default:
		return false;
	}
}

/* Rows the look-ahead sees through. */
static bool is_transparent(const ZydisDecodedInstruction *in)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_LEA:
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_LEAVE:
		return true;
	default:
		return false;
	}
}

/* May it write memory?  By its form: operands are not looked at. */
static bool may_store(const ZydisDecodedInstruction *in)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_CMP:
	case ZYDIS_MNEMONIC_TEST:
	case ZYDIS_MNEMONIC_LEA:
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_LEAVE:
	case ZYDIS_MNEMONIC_JMP:
		return false;
	case ZYDIS_MNEMONIC_POP:
		return in->attributes & ZYDIS_ATTRIB_HAS_MODRM;
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		return true;
	case ZYDIS_MNEMONIC_MOV: /* from memory */
		return !(in->attributes & ZYDIS_ATTRIB_HAS_MODRM) ? in->opcode == 0xa2 || in->opcode == 0xa3
			: in->raw.modrm.mod != 3 && (in->opcode & 0xfe) != 0x8a;
	default:
		return insn_row(in->mnemonic) ? in->meta.category != ZYDIS_CATEGORY_COND_BR
					      : !(in->attributes & ZYDIS_ATTRIB_HAS_MODRM) || in->raw.modrm.mod != 3;
	}
}

/* Flags that may be read by what starts at this offset of the page before they are written. */
static uint16_t live_ahead(struct build *u, int64_t offset, unsigned *budget)
{
	uint16_t live = 0, open = STATUS; /* open: not written yet */
	const ZydisDecoder *z = &insn_decoders[u->width == 8 ? CODE_64 : CODE_32];

	if (offset < 0 || offset >= (int64_t)PAGE_SIZE || (u->mode & BT_PRECISE))
		return STATUS;
	while (open && *budget) {
		ZydisDecodedInstruction in;
		struct flag_effects x;
		int64_t next;

		(*budget)--;
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(z, NULL, u->bytes + offset,
			    MIN_OF(15, PAGE_SIZE - (unsigned)offset), &in)))
			break;
		next = offset + in.length;
		scan_cover(u, (unsigned)offset, (unsigned)next);
		x = effects_of(&in);
		if ((u->mode & BT_WRITABLE) && may_store(&in))
			break;
		if (in.raw.imm[0].is_relative && in.operand_width == 16) /* may go anywhere */
			break;
		live |= open & x.tested;
		if (in.meta.category == ZYDIS_CATEGORY_COND_BR && is_jcc(in.mnemonic)) {
			live |= open & live_ahead(u, next + in.raw.imm[0].value.s, budget);
		} else if ((in.mnemonic == ZYDIS_MNEMONIC_JMP ||
				   (in.mnemonic == ZYDIS_MNEMONIC_CALL && !(u->mode & BT_WRITABLE))) &&
			   in.raw.imm[0].is_relative) {
			next += in.raw.imm[0].value.s;
		} else if (insn_row(in.mnemonic) && !is_transparent(&in)) {
			break;
		}
		open &= (uint16_t)~x.killed;
		offset = next;
		if (offset < 0 || offset >= (int64_t)PAGE_SIZE)
			break;
	}
	return live | open;
}

/* The same, found out once as long as the page stays as it is. */
uint16_t live_at(struct build *u, int64_t offset)
{
	const uint8_t *at = u->page->host + offset;
	struct bt_ahead *m = &u->c->ahead[(uintptr_t)at % ARRAY_LEN(u->c->ahead)];
	unsigned budget = AHEAD;

	if (offset < 0 || offset >= (int64_t)PAGE_SIZE) /* the page beside it in memory is another one */
		return STATUS;
	if (m->at != at || m->version != u->page->version || m->mode != u->mode)
		*m = (struct bt_ahead){ at, u->page->version, u->mode, live_ahead(u, offset, &budget) };
	return m->live;
}

static bool writes_memory(const struct op *o)
{
	return o->kind == K_SITE || (o->accesses && (o->access[0].kind == TLB_WRITE ||
							    (o->accesses > 1 && o->access[1].kind == TLB_WRITE)));
}

/* Backwards: what is live where. */
void find_live_flags(struct build *u)
{
	uint16_t live = u->live_at_end;

	for (unsigned n = u->count; n-- > 0;) {
		struct op *o = &u->op[n];

		o->live_out = live;
		if (o->kind == K_JCC || o->kind == K_LOOP)
			live |= o->target_live;
		live = (uint16_t)((live & ~o->killed) | o->tested);
		if ((u->mode & BT_PRECISE) && (o->accesses || o->kind == K_SITE || o->kind == K_LEAVE_BLOCK ||
						      o->kind == K_PLAIN))
			live = STATUS;
		if ((u->mode & BT_WRITABLE) && writes_memory(o))
			live = STATUS;
		o->live_in = live;
	}
}

void note_flags(struct op *o)
{
	struct flag_effects x = effects_of(&o->d.in);

	o->tested = x.tested;
	o->written = x.written;
	o->killed = x.killed;
	if (o->kind == K_SITE || o->kind == K_LEAVE_BLOCK) {
		bool neutral = o->i.exec && leaves_flags_alone(&o->d.in);

		o->tested = neutral ? 0 : STATUS;
		o->killed = 0;
		o->written = neutral ? 0 : STATUS;
	}
	if (o->kind == K_POPF) {
		o->tested = 0;
		o->killed = o->written = STATUS;
	}
	if (o->kind == K_PUSHF)
		o->tested = STATUS;
	if (o->kind == K_MOV_FROM) /* "undefined": left alone */
		o->tested = o->written = o->killed = 0;
	if (o->kind == K_CALL || o->kind == K_CALL_TO || o->kind == K_RET || o->kind == K_JMP_TO ||
		o->kind == K_JMP)
		o->tested = o->written = o->killed = 0;
}
