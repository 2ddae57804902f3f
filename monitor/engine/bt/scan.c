/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/scan.c - the first pass over a block: decode, sort, and find out what each instruction needs.
 *
 * Memory: registers are followed as values that move by constants, so that accesses around one value can be
 * put into groups that one look-up serves.
 */
#include "monitor/engine/bt/build.h"

#include "monitor/cpu/rows.h"

#include <stdlib.h>

#define NARROW_GROUP 1024 /* bytes that a group may span */
#define WIDE_GROUP   (1ll << 30) /* in a view: its guards are wider (view.c) */
#define REACH        (1ll << 30) /* that a group's accesses may be from their value's origin */

bool is_jcc(ZydisMnemonic m)
{
	return insn_row(m) && m != ZYDIS_MNEMONIC_JCXZ && m != ZYDIS_MNEMONIC_JECXZ &&
	       m != ZYDIS_MNEMONIC_JRCXZ && m != ZYDIS_MNEMONIC_LOOP && m != ZYDIS_MNEMONIC_LOOPE &&
	       m != ZYDIS_MNEMONIC_LOOPNE;
}

void scan_cover(struct build *u, unsigned from, unsigned to)
{
	u->page->chunks |= bits_put(0, (to - 1) / 64, from / 64, ~0ull);
}

/* ---- values of registers */

struct values {
	uint16_t vid[18]; /* of gpr 0..15, RIP, none */
	uint16_t small;   /* a bit per register that lies between -2^32 and 2^32 */
	int64_t moved[18];
	uint16_t next;
	bool open;        /* SMAP lets the kernel access user memory */
};

static void new_value(struct values *w, unsigned n)
{
	w->vid[n] = w->next++;
	w->moved[n] = 0;
}

static void forget_values(struct values *w)
{
	for (unsigned n = 0; n < 16; n++)
		new_value(w, n);
	w->small = 0;
	/* What lies at RIP, FS or an absolute address may be mapped elsewhere now. */
	new_value(w, GPR_RIP);
	new_value(w, GPR_NONE);
}

/* A register that an instruction moves by a constant, or sets to another one and a constant. */
static bool follow(struct build *u, struct values *w, const struct op *o)
{
	const struct insn *i = &o->i;
	unsigned r = i->r[0];
	int64_t by;

	if (r >= 16 || i->opsize != u->width || (i->flags & (INSN_HIGH0 | INSN_HIGH1)))
		return false;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
		if (i->r[1] != OP_NONE || (i->flags & INSN_MEM))
			return false;
		by = i->mnemonic == ZYDIS_MNEMONIC_ADD ? (int64_t)i->imm : -(int64_t)i->imm;
		if (u->width == 4)
			by = (int32_t)by;
		break;
	case ZYDIS_MNEMONIC_INC:
		by = 1;
		break;
	case ZYDIS_MNEMONIC_DEC:
		by = -1;
		break;
	case ZYDIS_MNEMONIC_MOV:
		if (i->r[1] >= 16 || i->seg_operand || i->system_operand || (i->flags & INSN_MEM))
			return false;
		w->vid[r] = w->vid[i->r[1]];
		w->moved[r] = w->moved[i->r[1]];
		return true;
	case ZYDIS_MNEMONIC_LEA:
		if (i->base >= 16 || i->index != GPR_NONE || i->addr_shift != (u->width == 8 ? 0 : 32))
			return false;
		w->vid[r] = w->vid[i->base];
		w->moved[r] = w->moved[i->base] + i->disp;
		return true;
	default:
		return false;
	}
	if (by != (int32_t)by || w->moved[r] + by != (int32_t)(w->moved[r] + by))
		return false;
	w->moved[r] += by;
	return true;
}

/* Does the instruction leave so small a value in its first operand? */
static bool makes_small(const struct op *o)
{
	bool cleared = o->i.opsize == 4 && o->d.op[0].size == 32; /* the upper half */

	switch (o->d.in.mnemonic) {
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		return o->d.op[1].size <= 32;
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_LEA:
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
	case ZYDIS_MNEMONIC_NEG:
	case ZYDIS_MNEMONIC_NOT:
		return cleared;
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
		return cleared && o->i.r[1] == OP_NONE && (o->i.imm & 31);
	default:
		return false;
	}
}

static void note_small(struct values *w, const struct op *o)
{
	const struct insn *i = &o->i;

	if (o->kind != K_PLAIN && o->kind != K_LEA) {
		w->small &= (uint16_t)~o->gprs_written;
		return;
	}
	if (o->d.in.operand_count && o->d.op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && o->d.op[0].size < 32 &&
		!(o->gprs_written & ~(1u << (i->r[0] & 15))))
		return; /* what it does not write stays */
	w->small &= (uint16_t)~o->gprs_written;
	if (o->d.in.mnemonic == ZYDIS_MNEMONIC_CDQE)
		w->small |= 1u << R_AX;
	if (i->r[0] < 16 && o->d.op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && o->gprs_written == 1u << i->r[0] &&
		makes_small(o))
		w->small |= (uint16_t)(1u << i->r[0]);
}

static void after(struct build *u, struct values *w, const struct op *o)
{
	uint16_t written = o->gprs_written;

	note_small(w, o);
	switch (o->kind) {
	case K_SMAP:
	case K_POPF: /* EFLAGS.AC may close what was open */
		w->open = o->d.in.mnemonic == ZYDIS_MNEMONIC_STAC;
		forget_values(w);
		return;
	case K_SITE:
	case K_SWAPGS:
		forget_values(w);
		return;
	case K_PUSH:
	case K_PUSHF:
		w->moved[R_SP] -= u->width;
		return;
	case K_STRING:
	case K_ELEMENT:
		new_value(w, R_CX);
		new_value(w, R_SI);
		new_value(w, R_DI);
		return;
	case K_POP:
		w->moved[R_SP] += u->width;
		new_value(w, o->i.r[0]); /* RSP too */
		return;
	case K_LEAVE:
		w->vid[R_SP] = w->vid[R_BP];
		w->moved[R_SP] = w->moved[R_BP] + u->width;
		new_value(w, R_BP);
		return;
	default:
		break;
	}
	if (follow(u, w, o))
		return;
	for (unsigned n = 0; n < 16; n++) {
		if (written & 1u << n)
			new_value(w, n);
	}
}

/* ---- memory accesses and their groups */

static void add_access(struct build *u, struct op *o, const struct values *w, struct access a)
{
	a.group = -1;
	a.user = w->open;
	a.small = (u->mode & BT_VIEW) && a.index < 16 && (w->small & 1u << a.index) && a.base < 16 && !a.narrow &&
		  a.seg != S_FS && a.seg != S_GS && !a.bits;
	a.vid[0] = w->vid[a.base];
	a.vid[1] = w->vid[a.small ? GPR_NONE : a.index]; /* the base alone finds it */
	a.now = (a.base == GPR_RIP ? 0 : w->moved[a.base]) + (a.small ? 0 : w->moved[a.index] * (1 << a.scale));
	a.disp += a.now;
	if (a.base == GPR_RIP)
		a.disp += o->offset;
	o->access[o->accesses++] = a;
}

/* BT and its like with memory and a register: the bit may be far from the operand's address. */
static bool is_bit_string(const struct op *o)
{
	switch (o->d.in.mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return (o->i.flags & INSN_MEM) && o->i.r[1] != OP_NONE;
	default:
		return false;
	}
}

static void operand_access(struct build *u, struct op *o, const struct values *w)
{
	const struct insn *i = &o->i;

	add_access(u, o, w,
		(struct access){ .base = i->base,
			.index = i->index,
			.scale = i->scale,
			.seg = i->seg,
			.narrow = i->addr_shift || u->width == 4,
			.kind = i->flags & INSN_WRITE ? TLB_WRITE : TLB_READ,
			.bits = is_bit_string(o) ? (uint8_t)(i->r[1] + 1) : 0,
			.unit = i->opsize == 8 ? 3 : i->opsize == 4 ? 2 : 1,
			.size = o->kind == K_JMP_TO || o->kind == K_CALL_TO ? (uint16_t)u->width : i->memsize,
			.disp = i->disp });
}

static void stack_access(struct build *u, struct op *o, const struct values *w, unsigned base, bool write)
{
	add_access(u, o, w,
		(struct access){ .base = (uint8_t)base,
			.index = GPR_NONE,
			.seg = S_SS,
			.narrow = u->width == 4,
			.kind = write ? TLB_WRITE : TLB_READ,
			.size = (uint16_t)u->width,
			.disp = write ? -(int64_t)u->width : 0 });
}

static void string_access(struct build *u, struct op *o, const struct values *w, unsigned base, enum tlb_kind kind)
{
	add_access(u, o, w,
		(struct access){ .base = (uint8_t)base,
			.index = GPR_NONE,
			.seg = S_DS,
			.narrow = u->width == 4,
			.kind = (uint8_t)kind,
			.size = o->i.memsize });
}

static bool by_base(const struct access *a)
{
	return a->small || a->index == GPR_NONE;
}

static bool same_key(const struct access *a, const struct access *k)
{
	bool segment = a->seg == S_FS || a->seg == S_GS || k->seg == S_FS || k->seg == S_GS;

	return a->vid[0] == k->vid[0] && a->vid[1] == k->vid[1] && (by_base(a) ? by_base(k) : a->scale == k->scale) &&
	       a->narrow == k->narrow && (!segment || a->seg == k->seg);
}

/*
 * Can its address be told from a group's origin?  What registers moved by must leave room for sums of displacements in
 * 32 bits; in a view nothing wraps addresses of 32 bits.
 */
static bool can_join(const struct build *u, const struct op *o, const struct access *a)
{
	return llabs(a->disp) < REACH && llabs(a->now) < REACH && !a->bits && !a->user && o->kind != K_STRING &&
	       o->kind != K_ELEMENT && !(a->narrow && (u->mode & BT_VIEW));
}

static bool join(const struct build *u, struct group *g, const struct access *a)
{
	int64_t low = MIN_OF(g->low, a->disp), high = MAX_OF(g->high, a->disp + a->size);
	bool view = u->mode & BT_VIEW;

	if (!same_key(a, &g->key) || high - low > (view ? WIDE_GROUP : NARROW_GROUP) ||
		(!view && g->sealed && g->kind != a->kind && a->kind == TLB_WRITE))
		return false;
	g->low = low;
	g->high = high;
	g->uses++;
	if (a->kind == TLB_WRITE)
		g->kind = TLB_WRITE;
	return true;
}

static void find_groups(struct build *u)
{
	for (unsigned n = 0; n < u->count; n++) {
		struct op *o = &u->op[n];

		for (unsigned k = 0; k < o->accesses; k++) {
			struct access *a = &o->access[k];
			unsigned g = 0;

			if (!can_join(u, o, a))
				continue;
			while (g < u->groups && !join(u, &u->group[g], a))
				g++;
			if (g == u->groups) {
				if (g == GROUPS_MAX)
					continue;
				u->group[u->groups++] = (struct group){ .key = *a,
					.low = a->disp,
					.high = a->disp + a->size,
					.kind = a->kind,
					.uses = 1 };
			}
			a->group = (int8_t)g;
		}
		if (o->kind == K_JCC || o->kind == K_LOOP) {
			for (unsigned g = 0; g < u->groups; g++)
				u->group[g].sealed = true;
		}
	}
	for (unsigned n = 0; n < u->count; n++) {
		for (unsigned k = 0; k < u->op[n].accesses; k++) {
			struct access *a = &u->op[n].access[k];

			if (a->group >= 0 && u->group[a->group].uses < 2)
				a->group = -1;
		}
	}
}

/* The stack's look-ups go to the block's head where flags would have to be saved for them later. */
static void move_groups(struct build *u)
{
	if (u->mode & BT_VIEW) /* they lose no flags */
		return;
	for (unsigned n = 1; n < u->count; n++) {
		const struct op *o = &u->op[n];

		for (unsigned k = 0; k < o->accesses; k++) {
			struct group *g = o->access[k].group >= 0 ? &u->group[o->access[k].group] : NULL;

			if (g && !g->checked && o->live_in && o->access[k].vid[0] == R_SP &&
				o->access[k].index == GPR_NONE)
				g->early = true;
			if (g)
				g->checked = true;
		}
	}
	for (unsigned g = 0; g < u->groups; g++)
		u->group[g].checked = false;
}

/* ---- what an instruction is */

static bool changes_mode(const struct build *u, const struct insn *i)
{
	if (i->exec == insn_clts || i->exec == insn_lmsw || i->exec == insn_ldmxcsr ||
		i->exec == insn_fxrstor || i->exec == insn_xrstor || i->exec == insn_xsetbv ||
		i->exec == insn_mov_cr || i->exec == insn_mov_dr)
		return true;
	return u->width == 4 && (i->exec == insn_load_far || (i->seg_operand && i->exec != insn_push));
}

/* Near branches: direct ones, to r/m ones. */
static enum op_kind branch_kind(const struct build *u, const struct op *o)
{
	bool direct = !(o->i.flags & INSN_MEM) && o->i.r[0] == OP_NONE;
	unsigned address = (64u - o->i.addr_shift) / 8;

	switch (o->d.in.mnemonic) {
	case ZYDIS_MNEMONIC_JMP:
		return direct ? K_JMP : K_JMP_TO;
	case ZYDIS_MNEMONIC_CALL:
		return direct ? K_CALL : K_CALL_TO;
	case ZYDIS_MNEMONIC_RET:
		return K_RET;
	case ZYDIS_MNEMONIC_JRCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_LOOP:
		return address == u->width ? K_LOOP : K_SITE;
	default:
		return o->d.in.meta.category == ZYDIS_CATEGORY_COND_BR && is_jcc(o->d.in.mnemonic) ? K_JCC
												   : K_SITE;
	}
}

static bool operand_possible(const struct build *u, const struct op *o)
{
	struct access a = { .base = o->i.base, .index = o->i.index, .seg = o->i.seg,
		.narrow = o->i.addr_shift || u->width == 4 };

	if (!(o->i.flags & INSN_MEM))
		return true;
	return o->i.addr_shift != 48 && o->i.memsize &&
	       access_possible(u, &a, o->i.disp + (o->i.base == GPR_RIP ? o->offset : 0));
}

/* A selector or control register that is read, by who may, into a register other than RSP. */
static bool reads_system(const struct build *u, const struct insn *i)
{
	if ((i->flags & (INSN_MEM | INSN_LOCK)) || i->r[0] == R_SP)
		return false;
	if (i->system_operand)
		return i->exec == insn_mov_cr && i->system_operand == 2 && (u->mode & BT_SUPER) &&
		       (i->r[1] == 0 || (i->r[1] >= 2 && i->r[1] <= 4));
	return i->seg_operand == 2 && i->r[1] <= S_GS && i->opsize >= 4;
}

/* A direct jump by more than a distance from the page's start can say. */
static bool leads_too_far(const struct insn *i)
{
	return !(i->flags & INSN_MEM) && (i->disp > INT32_MAX - 2 * (int64_t)PAGE_SIZE || i->disp < INT32_MIN + (int64_t)PAGE_SIZE);
}

/* MOVS or STOS. */
static enum op_kind string_kind(const struct build *u, const struct insn *i)
{
	if (i->addr_shift != (u->width == 8 ? 0 : 32) || i->seg == S_FS || i->seg == S_GS)
		return K_SITE;
	if (u->width == 4 && i->seg == S_CS) /* may not be readable */
		return K_SITE;
	if (i->flags & (INSN_REP | INSN_REPNE))
		return u->width == 8 && (i->flags & INSN_REP) ? K_STRING : K_SITE;
	return K_ELEMENT;
}

static enum op_kind row_kind(const struct build *u, const struct op *o)
{
	const struct insn *i = &o->i;
	bool natural = u->width == 8 ? i->opsize != 2 : i->opsize == 4;
	bool registers = !i->seg_operand && !(i->flags & INSN_MEM);

	if (i->exec == insn_nop)
		return K_NOTHING;
	if (i->exec == insn_pause)
		return u->c->several ? K_PAUSE : K_NOTHING;
	switch (o->d.in.mnemonic) {
	case ZYDIS_MNEMONIC_CLC:
	case ZYDIS_MNEMONIC_STC:
	case ZYDIS_MNEMONIC_CMC:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
		return K_COPY;
	case ZYDIS_MNEMONIC_VZEROUPPER:
	case ZYDIS_MNEMONIC_VZEROALL:
		return u->width == 8 && (u->mode & BT_AVX) ? K_COPY : K_SITE;
	case ZYDIS_MNEMONIC_LEA:
		return i->opsize >= 4 && i->addr_shift != 48 && operand_possible(u, o) ? K_LEA : K_SITE;
	case ZYDIS_MNEMONIC_PUSH:
		return natural && !i->seg_operand && operand_possible(u, o) ? K_PUSH : K_SITE;
	case ZYDIS_MNEMONIC_PUSHFQ:
		return u->width == 8 ? K_PUSHF : K_SITE;
	case ZYDIS_MNEMONIC_POPFQ:
		return u->width == 8 ? K_POPF : K_SITE;
	case ZYDIS_MNEMONIC_STAC:
	case ZYDIS_MNEMONIC_CLAC:
		return u->mode & BT_SMAP ? K_SMAP : K_SITE;
	case ZYDIS_MNEMONIC_SWAPGS:
		return u->width == 8 && (u->mode & BT_SUPER) ? K_SWAPGS : K_SITE;
	case ZYDIS_MNEMONIC_MOV:
		return reads_system(u, i) ? K_MOV_FROM : K_SITE;
	case ZYDIS_MNEMONIC_CLD:
		return K_CLD;
	case ZYDIS_MNEMONIC_CLI:
		return u->mode & BT_SUPER ? K_CLI : K_SITE;
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
		return u->mode & BT_TSC ? K_RDTSC : K_SITE;
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ:
		return string_kind(u, i);
	case ZYDIS_MNEMONIC_POP:
		return natural && registers ? K_POP : K_SITE;
	case ZYDIS_MNEMONIC_LEAVE:
		return natural ? K_LEAVE : K_SITE;
	default:
		break;
	}
	if (!natural || i->far || !operand_possible(u, o) || leads_too_far(i))
		return K_SITE;
	return branch_kind(u, o);
}

static enum op_kind kind_of(const struct build *u, const struct op *o)
{
	const struct insn *i = &o->i;
	bool mov = o->d.in.mnemonic == ZYDIS_MNEMONIC_MOV && !i->seg_operand && !i->system_operand;
	enum op_kind kind = K_SITE;

	if (!i->exec || mov) {
		if (mangle_possible(o, u->mode) && operand_possible(u, o))
			return K_PLAIN;
	} else {
		kind = row_kind(u, o);
	}
	if (kind == K_SITE && (operand_always_leaves(&o->d) || changes_mode(u, i)))
		return K_LEAVE_BLOCK;
	return kind;
}

static void note_gprs(struct op *o)
{
	for (unsigned k = 0; k < o->d.in.operand_count; k++) {
		const ZydisDecodedOperand *op = &o->d.op[k];
		ZydisRegister regs[2] = { ZYDIS_REGISTER_NONE, ZYDIS_REGISTER_NONE };
		uint8_t g;
		bool high;

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER)
			regs[0] = op->reg.value;
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
			regs[0] = op->mem.base, regs[1] = op->mem.index;
		for (unsigned n = 0; n < 2; n++) {
			if (!insn_gpr(regs[n], &g, &high))
				continue;
			o->gprs_used |= (uint16_t)(1u << g);
			if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
				(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
				o->gprs_written |= (uint16_t)(1u << g);
		}
	}
}

static void note_accesses(struct build *u, struct op *o, const struct values *w)
{
	switch (o->kind) {
	case K_PLAIN:
	case K_JMP_TO:
	case K_CALL_TO:
		if (o->i.flags & INSN_MEM)
			operand_access(u, o, w);
		if (o->kind == K_CALL_TO)
			stack_access(u, o, w, R_SP, true);
		break;
	case K_PUSH:
		if (o->i.flags & INSN_MEM)
			operand_access(u, o, w);
		stack_access(u, o, w, R_SP, true);
		break;
	case K_PUSHF:
	case K_CALL:
		stack_access(u, o, w, R_SP, true);
		break;
	case K_STRING:
	case K_ELEMENT:
		string_access(u, o, w, R_DI, TLB_WRITE);
		if (o->i.exec == insn_movs)
			string_access(u, o, w, R_SI, TLB_READ);
		break;
	case K_POPF:
	case K_POP:
	case K_RET:
		stack_access(u, o, w, R_SP, false);
		break;
	case K_LEAVE:
		stack_access(u, o, w, R_BP, false);
		break;
	default:
		break;
	}
}

/* ---- the walk */

/* Decode at u->end; false: what is there cannot be in a block. */
static bool decode_next(struct build *u, struct op *o)
{
	unsigned room = PAGE_SIZE - u->end;
	enum decode_result r;

	o->code = u->bytes + u->end;
	o->offset = (uint16_t)u->end;
	if (u->second) /* its bytes on both pages */
		room = 15;
	r = insn_decode(o->code, room, u->width == 8 ? CODE_64 : CODE_32, &o->i, &o->d);
	if (r != DECODE_OK)
		return false;
	return true;
}

/* Has the block this instruction already? */
static bool has(const struct build *u, int64_t offset)
{
	for (unsigned n = 0; n < u->count; n++) {
		if (u->op[n].offset == offset)
			return true;
	}
	return false;
}

/* The block goes on at the target of a direct jump. */
static bool can_follow(const struct build *u, const struct op *o)
{
	return o->kind == K_JMP && o->target >= 0 && o->target < (int64_t)PAGE_SIZE && !u->second &&
	       u->count + 4 < u->limit && o->target != o->offset && !has(u, o->target);
}

static bool ends_block(enum op_kind kind)
{
	return kind == K_LEAVE_BLOCK || kind == K_JMP || kind == K_CALL || kind == K_JMP_TO || kind == K_CALL_TO ||
	       kind == K_RET;
}

static bool leads_back(const struct build *u)
{
	for (unsigned n = 0; n < u->count; n++) {
		const struct op *o = &u->op[n];

		if ((o->kind == K_JCC || o->kind == K_LOOP || o->kind == K_JMP) && o->target <= o->offset &&
			has(u, o->target))
			return true;
	}
	return false;
}

bool scan(struct build *u)
{
	struct values w = { .next = 0 };
	const struct op *last;
	bool ended = false;

	for (unsigned n = 0; n < 18; n++)
		new_value(&w, n);
	u->end = u->start;
	u->count = u->groups = 0;
	u->falls_through = true;
	u->end_unsure = u->turns_back = false;
	while (!ended && u->count < u->limit && u->end < PAGE_SIZE) {
		struct op *o = &u->op[u->count];

		o->accesses = 0;
		o->gprs_used = o->gprs_written = 0;
		o->target_live = 0;
		if (!decode_next(u, o)) {
			u->end_unsure = true;
			break;
		}
		note_gprs(o);
		o->kind = kind_of(u, o);
		o->target = (int64_t)o->offset + o->i.len + o->i.disp;
		note_flags(o);
		note_accesses(u, o, &w);
		after(u, &w, o);
		scan_cover(u, o->offset, MIN_OF(u->end + o->i.len, PAGE_SIZE));
		u->count++;
		u->end = o->offset + o->i.len;
		if (can_follow(u, o)) {
			o->kind = K_NOTHING;
			u->turns_back |= o->target <= o->offset;
			u->end = (unsigned)o->target;
			continue;
		}
		ended = ends_block(o->kind);
		u->falls_through = !ended;
	}
	if (!u->count)
		return false;
	for (unsigned n = 0; n + 1 < u->count; n++) { /* its shadow must lie in the block */
		if (u->op[n].i.exec == insn_sti && (u->mode & BT_SUPER))
			u->op[n].kind = K_STI;
	}
	for (unsigned n = 0; n < u->count; n++) {
		struct op *o = &u->op[n];

		if (o->kind == K_JCC || o->kind == K_LOOP || o->kind == K_JMP || o->kind == K_CALL)
			o->target_live = live_at(u, o->target);
	}
	last = &u->op[u->count - 1];
	u->loops = leads_back(u);
	u->live_at_end = u->falls_through                                ? live_at(u, u->end)
			 : last->kind == K_JMP || last->kind == K_CALL ? last->target_live
								       : STATUS;
	find_live_flags(u);
	if (!(u->mode & BT_SINGLE))
		find_groups(u);
	else
		for (unsigned n = 0; n < u->count; n++)
			u->op[n].access[0].group = u->op[n].access[1].group = -1;
	move_groups(u);
	return true;
}
