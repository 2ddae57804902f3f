/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/mangle.c - a plain instruction put into a block: the same instruction, other registers.
 *
 * Works on bytes, by Zydis's account of them, so that what runs is the guest's very encoding.
 */
#include "monitor/engine/bt/bt.h"

#include "monitor/cpu/arch.h"

unsigned guest_home(unsigned n)
{
	return n == R_AX ? H_12 : n == R_SP ? H_15 : n;
}

unsigned guest_reg(struct emit *e, unsigned n, unsigned scratch)
{
	if (!guest_in_memory(n))
		return guest_home(n);
	emit_load_vcpu(e, 8, scratch, offsetof(struct vcpu, s.gpr) + 8 * n);
	return scratch;
}

/* Where each guest register the instruction uses is while it runs. */
struct mapping {
	uint8_t host[16];
	uint16_t used, written;
	bool rax; /* RAX itself, because the instruction insists */
	bool possible;
};

static void note_operand(struct mapping *m, const ZydisDecodedOperand *op, unsigned *high, unsigned *bytes)
{
	uint8_t g;
	bool is_high;

	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !insn_gpr(op->reg.value, &g, &is_high))
		return;
	m->used |= (uint16_t)(1u << g);
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		m->written |= (uint16_t)(1u << g);
	if (op->encoding == ZYDIS_OPERAND_ENCODING_NONE) {
		m->rax |= g == R_AX;
		if (guest_in_memory(g) || g == R_SP)
			m->possible = false;
	}
	if (is_high)
		*high |= 1u << g;
	else
		*bytes |= 1u << g;
}

static void map(struct mapping *m, const struct decoded *d)
{
	unsigned scratch[2] = { H_13, H_AX }, next = 0, high = 0, others = 0;

	*m = (struct mapping){ .possible = true };
	for (unsigned k = 0; k < d->in.operand_count; k++)
		note_operand(m, &d->op[k], &high, &others);
	/* CH, DH and BH exist only without REX, which memory at [r14] and most other registers need. */
	if (high && ((high | others) & ~0x0eu))
		m->possible = false;
	if (high && (d->in.attributes & ZYDIS_ATTRIB_HAS_MODRM) && d->in.raw.modrm.mod != 3)
		m->possible = false;
	for (unsigned g = 0; g < 16; g++) {
		if (!(m->used & (1u << g)))
			continue;
		if (g == R_AX && m->rax) {
			m->host[g] = H_AX;
		} else if (!guest_in_memory(g)) {
			m->host[g] = (uint8_t)guest_home(g);
		} else if (next == (m->rax ? 1u : 2u)) {
			m->possible = false;
		} else {
			m->host[g] = (uint8_t)scratch[next++];
		}
	}
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

bool mangle_possible(const struct decoded *d, const struct insn *i, unsigned mode)
{
	struct mapping m;

	if (!vector_possible(d, i, mode))
		return false;
	switch (d->in.mnemonic) {
	case ZYDIS_MNEMONIC_DIV: /* may raise: the interpreter's thunk can */
	case ZYDIS_MNEMONIC_IDIV:
	case ZYDIS_MNEMONIC_CMPXCHG16B:
		return false;
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		if ((i->flags & INSN_MEM) && i->r[1] != OP_NONE)
			return false;
		break;
	default:
		break;
	}
	/* Accumulator moves to an absolute address have no ModRM to rewrite. */
	if ((i->flags & INSN_MEM) && !(d->in.attributes & ZYDIS_ATTRIB_HAS_MODRM))
		return false;
	map(&m, d);
	return m.possible;
}

/* Register numbers for the encoding's fields; -1: the field is not a general register. */
struct fields {
	int reg, rm, vvvv, opcode;
	bool force_rex; /* SPL BPL SIL DIL */
};

static struct fields fields_of(const struct mapping *m, const struct decoded *d)
{
	struct fields f = { -1, -1, -1, -1, false };

	for (unsigned k = 0; k < d->in.operand_count; k++) {
		const ZydisDecodedOperand *op = &d->op[k];
		uint8_t g;
		bool high;
		int n;

		unsigned vector;

		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		if (insn_gpr(op->reg.value, &g, &high))
			n = m->host[g] + (high ? 4 : 0);
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

static bool is_memory(const struct decoded *d)
{
	return (d->in.attributes & ZYDIS_ATTRIB_HAS_MODRM) && d->in.raw.modrm.mod != 3;
}

static void modrm(struct emit *e, const struct decoded *d, const struct fields *f)
{
	unsigned reg = f->reg >= 0 ? (unsigned)f->reg : d->in.raw.modrm.reg;

	if (is_memory(d))
		emit_byte(e, (reg & 7) << 3 | (H_14 & 7));
	else
		emit_byte(e, 0xc0 | (reg & 7) << 3 | (f->rm >= 0 ? (unsigned)f->rm & 7 : d->in.raw.modrm.rm));
}

static void immediates(struct emit *e, const struct decoded *d, const uint8_t *code)
{
	for (unsigned k = 0; k < 2; k++)
		emit_bytes(e, code + d->in.raw.imm[k].offset, d->in.raw.imm[k].size / 8u);
}

static void emit_vex(struct emit *e, const struct decoded *d, const uint8_t *code, const struct fields *f)
{
	unsigned r = f->reg >= 8 ? 0 : 0x80, b = is_memory(d) || f->rm >= 8 ? 0 : 0x20;
	unsigned vvvv = f->vvvv >= 0 ? (unsigned)~f->vvvv & 15 : 15;
	/* Outside 64-bit mode W does not widen general registers (vectors with W set do not come here then).
	 */
	unsigned w = d->in.machine_mode == ZYDIS_MACHINE_MODE_LONG_64 ? d->in.raw.vex.W : 0u;

	emit_byte(e, 0xc4);
	emit_byte(e, r | 0x40 | b | d->in.raw.vex.m_mmmm);
	emit_byte(e, w << 7 | vvvv << 3 | (unsigned)d->in.raw.vex.L << 2 | d->in.raw.vex.pp);
	emit_byte(e, d->in.opcode);
	modrm(e, d, f);
	immediates(e, d, code);
}

static void emit_prefixes(struct emit *e, const struct decoded *d, const struct insn *i)
{
	bool has66 = d->in.operand_width == 16 && !(i->fpu & FPU_SSE);

	for (unsigned k = 0; k < d->in.raw.prefix_count; k++)
		has66 |= d->in.raw.prefixes[k].type == ZYDIS_PREFIX_TYPE_MANDATORY &&
			 d->in.raw.prefixes[k].value == 0x66;
	if (has66)
		emit_byte(e, 0x66);
	for (unsigned k = 0; k < d->in.raw.prefix_count; k++) {
		if (d->in.raw.prefixes[k].type == ZYDIS_PREFIX_TYPE_MANDATORY &&
			d->in.raw.prefixes[k].value != 0x66)
			emit_byte(e, d->in.raw.prefixes[k].value);
	}
	if (i->flags & INSN_LOCK)
		emit_byte(e, 0xf0);
}

static void emit_legacy(struct emit *e, const struct decoded *d, const uint8_t *code, const struct insn *i,
	const struct fields *f)
{
	unsigned opcode = d->in.opcode, rex = f->force_rex ? 0x40 : 0;

	emit_prefixes(e, d, i);
	if (d->in.raw.rex.W)
		rex |= 0x48;
	if (f->reg >= 8)
		rex |= 0x44;
	if (is_memory(d) || f->rm >= 8 || f->opcode >= 8)
		rex |= 0x41;
	if (rex)
		emit_byte(e, rex);
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
	if (d->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && opcode == 0x82)
		opcode = 0x80; /* an alias 64-bit mode does not have */
	emit_byte(e, f->opcode >= 0 ? (opcode & ~7u) | ((unsigned)f->opcode & 7) : opcode);
	if (d->in.attributes & ZYDIS_ATTRIB_HAS_MODRM)
		modrm(e, d, f);
	immediates(e, d, code);
}

void mangle_emit(struct emit *e, const struct decoded *d, const struct insn *i, const uint8_t *code)
{
	struct mapping m;
	struct fields f;

	map(&m, d);
	f = fields_of(&m, d);
	for (unsigned g = 12; g < 16; g++) {
		if (m.used & (1u << g))
			emit_load_vcpu(e, 8, m.host[g], offsetof(struct vcpu, s.gpr) + 8 * g);
	}
	if (m.rax)
		emit_mov(e, 8, H_AX, H_12);
	if (d->in.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		emit_vex(e, d, code, &f);
	else
		emit_legacy(e, d, code, i, &f);
	for (unsigned g = 12; g < 16; g++) {
		if (m.written & (1u << g))
			emit_store_vcpu(e, 8, m.host[g], offsetof(struct vcpu, s.gpr) + 8 * g);
	}
	if (m.rax && (m.written & 1u))
		emit_mov(e, 8, H_12, H_AX);
}
