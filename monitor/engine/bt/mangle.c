/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/mangle.c - a plain instruction put into a block: the same instruction, other registers and operand.
 *
 * Works on bytes, by Zydis's account of them, so that what runs is the guest's very encoding.
 */
#include "monitor/engine/bt/build.h"

#include "monitor/cpu/arch.h"

/* Where each guest register the instruction names is while it runs. */
struct mapping {
	uint8_t host[16];
	uint16_t moved;   /* those of them that live in memory */
	uint16_t written; /* of those */
	uint16_t read;
	bool high;     /* names AH, CH, DH or BH */
	uint8_t turned; /* of the register so named with a memory operand: it is turned by a byte into T0 */
	bool possible;
};

/* Writes its whole destination whatever happens; BSF, say, does not. */
static bool is_move(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_MOV || m == ZYDIS_MNEMONIC_MOVZX || m == ZYDIS_MNEMONIC_MOVSX ||
	       m == ZYDIS_MNEMONIC_MOVSXD;
}

static void note_operand(struct mapping *m, const ZydisDecodedOperand *op, bool move)
{
	uint8_t g;
	bool is_high;

	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !insn_gpr(op->reg.value, &g, &is_high))
		return;
	m->high |= is_high;
	if (is_high)
		m->turned = g;
	if (!in_memory(g))
		return;
	m->moved |= (uint16_t)(1u << g);
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		m->written |= (uint16_t)(1u << g);
	if (!move || (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ) || op->size < 32)
		m->read |= (uint16_t)(1u << g);
	if (op->encoding == ZYDIS_OPERAND_ENCODING_NONE)
		m->possible = false;
}

static struct mapping map(const struct op *o)
{
	static const uint8_t scratch[2] = { T0, T1 };
	struct mapping m = { .possible = true };
	unsigned next = 0, room = o->i.flags & INSN_MEM ? 1 : 2;

	for (unsigned k = 0; k < o->d.in.operand_count; k++)
		note_operand(&m, &o->d.op[k], is_move(o->d.in.mnemonic));
	for (unsigned g = 0; g < 16; g++) {
		m.host[g] = (uint8_t)g;
		if (!(m.moved & (1u << g)))
			continue;
		if (next == room)
			m.possible = false;
		else
			m.host[g] = scratch[next++];
	}
	/* AH, CH, DH and BH exist only without REX, which memory at T1 and the scratch registers need. */
	if (m.high && m.moved)
		m.possible = false;
	m.high &= !!(o->i.flags & INSN_MEM);
	for (unsigned k = 0; m.high && k < o->d.in.operand_count; k++) { /* CMPXCHG [m], AH uses AL too */
		uint8_t g;
		bool is_high;

		if (o->d.op[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			o->d.op[k].encoding == ZYDIS_OPERAND_ENCODING_NONE &&
			insn_gpr(o->d.op[k].reg.value, &g, &is_high) && g == m.turned)
			m.possible = false;
	}
	return m;
}

/* May a vector instruction go in as it is? */
static bool vector_possible(const struct decoded *d, const struct insn *i, unsigned mode)
{
	bool wide = d->in.machine_mode == ZYDIS_MACHINE_MODE_LONG_64;

	if (i->fpu & ~(FPU_SSE | FPU_AVX | FPU_VEX))
		return false;
	if ((i->fpu & FPU_SSE && !(mode & BT_SSE)) || (i->fpu & FPU_AVX && !(mode & BT_AVX)))
		return false;
	/* What VEX says of registers that are not there outside 64-bit mode is left to the interpreter. */
	if (i->fpu && !wide && d->in.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		return !d->in.raw.vex.W && !operand_has_is4(d);
	return true;
}

bool mangle_possible(const struct op *o, unsigned mode)
{
	const struct decoded *d = &o->d;

	if (!vector_possible(d, &o->i, mode))
		return false;
	switch (d->in.mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		if ((o->i.flags & INSN_MEM) && o->i.r[1] != OP_NONE)
			return o->d.in.machine_mode == ZYDIS_MACHINE_MODE_LONG_64 && !o->i.addr_shift;
		break;
	default:
		break;
	}
	if (!(o->gprs_used & (1u << R_14 | 1u << R_15)) && !(o->i.flags & (INSN_HIGH0 | INSN_HIGH1)))
		return !(o->i.flags & INSN_MEM) || (d->in.attributes & ZYDIS_ATTRIB_HAS_MODRM);
	/* Accumulator moves to an absolute address have no ModRM to rewrite. */
	if ((o->i.flags & INSN_MEM) && !(d->in.attributes & ZYDIS_ATTRIB_HAS_MODRM))
		return false;
	return map(o).possible;
}

/* Register numbers for the encoding's fields; -1: the field is not a register. */
struct fields {
	int reg, rm, vvvv, opcode;
	bool force_rex; /* SPL BPL SIL DIL */
	bool turned;    /* the operation is to go the other way, from r/m to the register */
	const struct host_mem *mem;
};

static struct fields fields_of(const struct mapping *m, const struct op *o, const struct host_mem *mem)
{
	struct fields f = { .reg = -1, .rm = -1, .vvvv = -1, .opcode = -1, .mem = mem };

	for (unsigned k = 0; k < o->d.in.operand_count; k++) {
		const ZydisDecodedOperand *op = &o->d.op[k];
		unsigned vector;
		uint8_t g;
		bool high;
		int n;

		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		if (insn_gpr(op->reg.value, &g, &high))
			n = high && m->high ? T0 : m->host[g] + (high ? 4 : 0);
		else if (operand_vector(op->reg.value, &vector))
			n = (int)vector, high = true;
		else
			continue;
		if (op->size == 8 && !high && n >= 4 && n < 8)
			f.force_rex = true;
		switch (op->encoding) {
		case ZYDIS_OPERAND_ENCODING_MODRM_REG:
			f.reg = n;
			break;
		case ZYDIS_OPERAND_ENCODING_MODRM_RM:
			f.rm = n;
			break;
		case ZYDIS_OPERAND_ENCODING_NDSNDD:
			f.vvvv = n;
			break;
		case ZYDIS_OPERAND_ENCODING_OPCODE:
			f.opcode = n;
			break;
		default:
			break;
		}
	}
	return f;
}

/* R, X and B for the fields. */
static unsigned rex_of(const struct fields *f)
{
	unsigned reg = f->reg >= 0 ? (unsigned)f->reg : 0;

	if (f->mem)
		return emit_rex_mem(4, reg, f->mem);
	return (reg & 8) >> 1 | (f->rm >= 8 || f->opcode >= 8 ? 1u : 0u);
}

static void modrm(struct emit *e, const struct decoded *d, const struct fields *f)
{
	unsigned reg = f->reg >= 0 ? (unsigned)f->reg : d->in.raw.modrm.reg;

	if (f->mem)
		emit_modrm_mem(e, reg, f->mem);
	else
		emit_modrm_reg(e, reg, f->rm >= 0 ? (unsigned)f->rm : d->in.raw.modrm.rm);
}

static void immediates(struct emit *e, const struct op *o)
{
	for (unsigned k = 0; k < 2; k++)
		emit_bytes(e, o->code + o->d.in.raw.imm[k].offset, o->d.in.raw.imm[k].size / 8u);
}

static void emit_vex(struct emit *e, const struct op *o, const struct fields *f)
{
	const struct decoded *d = &o->d;
	unsigned rex = rex_of(f), vvvv = f->vvvv >= 0 ? (unsigned)~f->vvvv & 15 : 15;
	/* Outside 64-bit mode W does not widen general registers (vectors with W set do not come here then). */
	unsigned w = d->in.machine_mode == ZYDIS_MACHINE_MODE_LONG_64 ? d->in.raw.vex.W : 0u;

	emit_byte(e, 0xc4);
	emit_byte(e, (~rex & 7) << 5 | d->in.raw.vex.m_mmmm);
	emit_byte(e, w << 7 | vvvv << 3 | (unsigned)d->in.raw.vex.L << 2 | d->in.raw.vex.pp);
	emit_byte(e, d->in.opcode);
	modrm(e, d, f);
	immediates(e, o);
}

static void emit_prefixes(struct emit *e, const struct op *o, const struct fields *f)
{
	const struct decoded *d = &o->d;
	bool has66 = d->in.operand_width == 16 && !(o->i.fpu & FPU_SSE);

	for (unsigned k = 0; k < d->in.raw.prefix_count; k++)
		has66 |= d->in.raw.prefixes[k].type == ZYDIS_PREFIX_TYPE_MANDATORY &&
			 d->in.raw.prefixes[k].value == 0x66;
	if (f->mem && f->mem->vcpu)
		emit_byte(e, 0x65);
	if (has66)
		emit_byte(e, 0x66);
	for (unsigned k = 0; k < d->in.raw.prefix_count; k++) {
		if (d->in.raw.prefixes[k].type == ZYDIS_PREFIX_TYPE_MANDATORY &&
			d->in.raw.prefixes[k].value != 0x66)
			emit_byte(e, d->in.raw.prefixes[k].value);
	}
	if (o->i.flags & INSN_LOCK)
		emit_byte(e, 0xf0);
}

static void emit_legacy(struct emit *e, const struct op *o, const struct fields *f)
{
	const struct decoded *d = &o->d;
	unsigned opcode = d->in.opcode;
	unsigned rex = rex_of(f) | (d->in.raw.rex.W ? 8u : 0u);

	emit_prefixes(e, o, f);
	if (rex || f->force_rex)
		emit_byte(e, 0x40 | rex);
	if (d->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && opcode >= 0x40 && opcode <= 0x4f) {
		/* One-byte INC and DEC became REX prefixes. */
		emit_byte(e, 0xff);
		emit_byte(e, 0xc0 | (opcode & 8) | ((unsigned)f->opcode & 7));
		return;
	}
	if (d->in.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		emit_byte(e, 0x0f);
	if (d->in.opcode_map == ZYDIS_OPCODE_MAP_0F38)
		emit_byte(e, 0x38);
	if (d->in.opcode_map == ZYDIS_OPCODE_MAP_0F3A)
		emit_byte(e, 0x3a);
	opcode |= f->turned ? 2 : 0;
	if (d->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && opcode == 0x82)
		opcode = 0x80; /* an alias 64-bit mode does not have */
	emit_byte(e, f->opcode >= 0 ? (opcode & ~7u) | ((unsigned)f->opcode & 7) : opcode);
	if (d->in.attributes & ZYDIS_ATTRIB_HAS_MODRM)
		modrm(e, d, f);
	immediates(e, o);
}

/* A register that lives in memory may be used there, if the form with memory does the same. */
static bool use_in_place(const struct op *o, const struct mapping *m, const struct fields *f)
{
	const ZydisDecodedOperand *rm = NULL;
	ZydisMnemonic n = o->d.in.mnemonic;

	if (o->i.fpu || (o->i.flags & INSN_MEM) || f->rm < 0 || !(o->d.in.attributes & ZYDIS_ATTRIB_HAS_MODRM))
		return false;
	for (unsigned k = 0; k < o->d.in.operand_count; k++) {
		if (o->d.op[k].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
			rm = &o->d.op[k];
	}
	if (!rm || __builtin_popcount(m->moved) != 1 || f->rm < T0)
		return false;
	if (f->reg >= T0 || f->vvvv >= (int)T0)
		return false; /* the same register twice */
	/* Flags that shifts leave undefined differ between their forms. */
	if (o->d.in.meta.category == ZYDIS_CATEGORY_SHIFT || o->d.in.meta.category == ZYDIS_CATEGORY_ROTATE)
		return false;
	if (n == ZYDIS_MNEMONIC_XCHG || n == ZYDIS_MNEMONIC_BT || n == ZYDIS_MNEMONIC_BTS ||
		n == ZYDIS_MNEMONIC_BTR || n == ZYDIS_MNEMONIC_BTC || n == ZYDIS_MNEMONIC_NOP)
		return false;
	/* A 32-bit result clears the upper half only in a register. */
	return !(rm->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) || rm->size != 32;
}

/* The source may be used there if there is a form that reads it from memory: MOV, ADD and its like. */
static bool use_source_in_place(const struct op *o, const struct mapping *m, struct fields *f)
{
	unsigned opcode = o->d.in.opcode;

	if ((o->i.flags & INSN_MEM) || o->d.in.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT || __builtin_popcount(m->moved) != 1 ||
		f->reg < T0 || f->rm < 0 || f->rm >= T0)
		return false;
	if (opcode != 0x88 && opcode != 0x89 && (opcode >= 0x40 || (opcode & 7) > 1))
		return false;
	f->turned = true;
	f->reg = f->rm;
	return true;
}

static void emit_any(struct emit *e, const struct op *o, const struct fields *f)
{
	if (o->d.in.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		emit_vex(e, o, f);
	else
		emit_legacy(e, o, f);
}

void mangle(struct build *u, const struct op *o, struct host_mem *mem)
{
	struct emit *e = &u->e;
	struct mapping m = map(o);
	struct fields f = fields_of(&m, o, mem);
	struct host_mem there;

	if (!m.moved && !m.high) {
		emit_any(e, o, &f);
		return;
	}
	if (use_in_place(o, &m, &f) || use_source_in_place(o, &m, &f)) {
		there = mem_vcpu(GPR_OFFSET(m.moved & 1u << R_14 ? R_14 : R_15));
		f.rm = -1;
		f.mem = &there;
		emit_any(e, o, &f);
		return;
	}
	if (mem && mem->index == T0) { /* T0 is needed */
		t1_lost(u);
		emit_lea(e, 8, T1, mem);
		*mem = mem_at(T1, 0);
	}
	if (m.high)
		emit_rorx(e, 8, T0, m.turned, 8);
	for (unsigned g = R_14; g <= R_15; g++) {
		if (m.moved & 1u << g && m.host[g] == T1)
			t1_lost(u);
		if (m.read & 1u << g)
			load_guest(u, g, m.host[g]);
	}
	emit_any(e, o, &f);
	for (unsigned g = R_14; g <= R_15; g++) {
		if (m.written & 1u << g)
			store_guest(u, g, m.host[g]);
	}
	if (m.high && (o->gprs_written & 1u << m.turned))
		emit_rorx(e, 8, m.turned, T0, 56);
}
