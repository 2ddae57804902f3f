/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/operands.c - arrange start values so that an instruction reaches memory that exists, or just does
 * not.
 */
#include "tests/cpu/gen.h"
#include "tests/cpu/segments.h"
#include "tests/cpu/xstate.h"

int gen_gpr_index(ZydisRegister reg)
{
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
		if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
			return (int)(reg - ZYDIS_REGISTER_AH);
		return ZydisRegisterGetId(reg) >= 8 ? ZydisRegisterGetId(reg) - 4 : ZydisRegisterGetId(reg);
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return ZydisRegisterGetId(reg);
	default:
		return -1;
	}
}

static bool may_set(const struct gen *g, int reg)
{
	if (reg == R_SP_INDEX && g->tc->init.sel[SEL_I_SS] != SEL_DS) /* see IRET_FRAME */
		return false;
	return reg >= 0 && !((g->pinned | g->written) >> reg & 1);
}

static void set_reg(struct gen *g, int reg, uint64_t v)
{
	g->tc->init.gpr[reg] = g->tc->bits == 64 ? v : (uint32_t)v;
	g->pinned |= (uint16_t)(1u << reg);
}

/* Where an access of `size` bytes shall go: mostly valid, at every kind of edge. */
static uint64_t choose_target(struct gen *g, unsigned size)
{
	struct rng *r = &g->rng;
	unsigned k = rng_below(r, 100);
	uint64_t align = size >= 32   ? 32
			 : size >= 16 ? 16
			 : size >= 8  ? 8
			 : size >= 4  ? 4
			 : size >= 2  ? 2
				      : 1;
	uint32_t inside = size ? rng_below(r, MIN_OF(size, CASE_PAGE)) : 0;

	if (g->tame)
		k = rng_below(r, size >= 16 ? 42 : 67);
	if (g->calm && k >= 42 && rng_percent(r, 95)) /* a fault ends a sequence: few of them there */
		k = rng_below(r, size >= 16 ? 42 : 62);
	if (k < 42)
		return DATA_BASE + (rng_below(r, 0x1f00) & ~(align - 1));
	if (k < 57)
		return DATA_BASE + rng_below(r, 0x1f00);
	if (k < 67)
		return DATA_BASE + 0x1000 - inside;
	if (k < 71)
		return STACK_BASE + (rng_below(r, 0x1f00) & ~(align - 1));
	if (k < 75)
		return DATA_BASE + 0x2000 + (rng_below(r, 0xf00) & ~(align - 1));
	if (k < 79)
		return DATA_BASE + 0x2000 - inside;
	if (k < 82)
		return DATA_BASE + 0x3000 - inside;
	if (k < 85)
		return DATA_BASE - inside;
	if (k < 88)
		return STACK_BASE + 0x2000 - inside;
	if (k < 91)
		return gen_code_target(r);
	if (k < 94)
		return DATA_BASE + 0x5000 + rng_below(r, 0x1000);
	if (g->tc->bits == 32)
		return k < 97 ? (uint32_t)-inside : (uint32_t)rng_u64(r);
	return k < 97 ? 0x800000000000ull - inside : rng_u64(r);
}

/* A gather's indices: small ones, so that the elements lie near the base. */
static void small_indices(struct gen *g, ZydisRegister reg)
{
	uint8_t *xs = g->tc->init.xsave;
	unsigned i = (unsigned)ZydisRegisterGetId(reg) & 15;

	for (unsigned k = 0; k < 16; k += 8) {
		le_store(xs + XS_XMM(i) + k, 8, rng_below(&g->rng, 128));
		le_store(xs + XS_YMMH(i) + k, 8, rng_below(&g->rng, 128));
	}
}

static bool solve_memory(struct gen *g, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *op,
	uint8_t *bytes, uint64_t va, uint64_t target)
{
	struct test_case *tc = g->tc;
	int base = gen_gpr_index(op->mem.base), index = gen_gpr_index(op->mem.index);
	uint64_t seg, disp = op->mem.disp.has_displacement ? (uint64_t)op->mem.disp.value : 0, want;
	unsigned scale = op->mem.scale;

	seg = seg_base_of(tc, op->mem.segment);
	want = target - seg;
	if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP) {
		le_store(bytes + insn->raw.disp.offset, 4, want - (va + insn->length));
		return true;
	}
	if (op->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
		small_indices(g, op->mem.index);
		index = -1;
	}
	if (base < 0 && index < 0) {
		if (insn->raw.disp.size == 0)
			return false;
		le_store(bytes + insn->raw.disp.offset, insn->raw.disp.size / 8, want);
		return true;
	}
	if (base < 0) {
		if (!may_set(g, index))
			return false;
		set_reg(g, index, (want - disp) / (scale ? scale : 1));
		return true;
	}
	if (base == R_SP_INDEX && !rng_percent(&g->rng, 10)) {
		if (insn->raw.disp.size == 32)
			le_store(bytes + insn->raw.disp.offset, 4, rng_below(&g->rng, 0x400) - 0x200u);
		if (index >= 0 && may_set(g, index))
			set_reg(g, index, rng_below(&g->rng, 64));
		else if (index >= 0)
			return false;
		return true;
	}
	if (index >= 0 && index != base && may_set(g, index) && rng_percent(&g->rng, 70))
		set_reg(g, index, rng_below(&g->rng, 64));
	if (may_set(g, base)) {
		uint64_t i = index < 0 ? 0 : tc->init.gpr[index];

		if (index == base)
			set_reg(g, base, (want - disp) / (scale + 1));
		else
			set_reg(g, base, want - disp - i * scale);
		if (index >= 0)
			g->pinned |= (uint16_t)(1u << index);
		return true;
	}
	return false;
}

/* What a memory operand should hold when its mere bits would be refused or dull. */
static void fill_target(struct gen *g, const ZydisDecodedInstruction *insn, unsigned size, uint64_t target)
{
	struct test_case *tc = g->tc;
	int64_t off = case_mem_offset(target);
	struct patch *p = &tc->patches[tc->patch_count];

	if (off < 0 || tc->patch_count == CASE_PATCHES)
		return;
	p->offset = (uint32_t)off;
	p->len = (uint8_t)MIN_OF(size, sizeof(p->bytes));
	for (unsigned i = 0; i < sizeof(p->bytes); i += 8)
		le_store(p->bytes + i, 8, gen_value(&g->rng));
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_CMPXCHG:
		le_store(p->bytes, 8, tc->init.gpr[0]);
		break;
	case ZYDIS_MNEMONIC_CMPXCHG8B:
		le_store(p->bytes, 8, (uint32_t)tc->init.gpr[0] | tc->init.gpr[2] << 32);
		break;
	case ZYDIS_MNEMONIC_CMPXCHG16B:
		le_store(p->bytes, 8, tc->init.gpr[0]);
		le_store(p->bytes + 8, 8, tc->init.gpr[2]);
		break;
	case ZYDIS_MNEMONIC_RET:
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_CALL:
		le_store(p->bytes, 8, gen_code_target(&g->rng));
		break;
	case ZYDIS_MNEMONIC_LDS:
	case ZYDIS_MNEMONIC_LES:
	case ZYDIS_MNEMONIC_LFS:
	case ZYDIS_MNEMONIC_LGS:
	case ZYDIS_MNEMONIC_LSS:
		le_store(p->bytes + (size > 2 ? size - 2 : 0), 2, gen_selector(&g->rng));
		break;
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_POP:
		if (rng_percent(&g->rng, 20))
			le_store(p->bytes, 2, gen_selector(&g->rng));
		break;
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
		le_store(p->bytes, 4, rng_below(&g->rng, 0x10000));
		break;
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPF:
		le_store(p->bytes, 8, gen_rflags(&g->rng) ^ (rng_u64(&g->rng) & 0x3b3200));
		break;
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64: {
		uint8_t xs[XSAVE_BYTES];

		gen_fpu_image(&g->rng, xs);
		memcpy(p->bytes, xs, 40);
		p->len = 40;
		break;
	}
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FRSTOR:
		le_store(p->bytes, 8, 0x37f | (rng_u64(&g->rng) & 0xf007f00000c00));
		break;
	default:
		if (size >= 4 && rng_percent(&g->rng, 60)) {
			gen_vector(&g->rng, p->bytes);
			gen_vector(&g->rng, p->bytes + 16);
			if (insn->meta.isa_ext == ZYDIS_ISA_EXT_X87 && size == 80 / 8)
				gen_x87(&g->rng, p->bytes);
		}
		break;
	}
	tc->patch_count++;
}

/* Values without which an instruction nearly always faults or does nothing. */
static void helpful_registers(
	struct gen *g, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops)
{
	struct rng *r = &g->rng;
	uint64_t *gpr = g->tc->init.gpr;

	if (insn->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE) &&
		may_set(g, 1) && !rng_percent(r, 4))
		set_reg(g, 1, rng_below(r, rng_percent(r, 20) ? 400 : 24));
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
		if (may_set(g, 2) && rng_percent(r, 60))
			set_reg(g, 2, rng_percent(r, 50) ? 0 : (uint64_t)((int64_t)gpr[0] >> 63));
		break;
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		if (ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			may_set(g, gen_gpr_index(ops[1].reg.value)) && rng_percent(r, 80))
			set_reg(g, gen_gpr_index(ops[1].reg.value),
				(uint64_t)(int64_t)((int32_t)rng_below(r, 0x2000) - 0x1000));
		break;
	case ZYDIS_MNEMONIC_ENTER:
	case ZYDIS_MNEMONIC_LEAVE:
		if (may_set(g, 5) && !rng_percent(r, 8))
			set_reg(g, 5, STACK_BASE + 0x200 + (rng_below(r, 0x1d00) & ~1u));
		break;
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_CALL:
		if (ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			may_set(g, gen_gpr_index(ops[0].reg.value)) && rng_percent(r, 80))
			set_reg(g, gen_gpr_index(ops[0].reg.value), gen_code_target(r));
		break;
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
		if (may_set(g, gen_gpr_index(ops[0].reg.value)) && rng_percent(r, 70))
			set_reg(g, gen_gpr_index(ops[0].reg.value), rng_u64(r) >> 17);
		break;
	case ZYDIS_MNEMONIC_MOV:
		if (ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			ZydisRegisterGetClass(ops[0].reg.value) == ZYDIS_REGCLASS_SEGMENT &&
			may_set(g, gen_gpr_index(ops[1].reg.value)))
			set_reg(g, gen_gpr_index(ops[1].reg.value),
				gen_selector(r) | (gpr[gen_gpr_index(ops[1].reg.value)] & ~0xffffull));
		break;
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW: {
		const ZydisDecodedOperand *sel =
			&ops[insn->mnemonic == ZYDIS_MNEMONIC_LAR || insn->mnemonic == ZYDIS_MNEMONIC_LSL];

		if (sel->type == ZYDIS_OPERAND_TYPE_REGISTER && may_set(g, gen_gpr_index(sel->reg.value)))
			set_reg(g, gen_gpr_index(sel->reg.value), gen_selector(r));
		break;
	}
	default:
		break;
	}
}

static uint64_t stack_address(const struct test_case *tc)
{
	uint64_t sp = tc->init.gpr[R_SP_INDEX];

	return tc->init.sel[SEL_I_SS] == SEL_DS ? sp : seg_base(tc->init.sel[SEL_I_SS]) + (uint16_t)sp;
}

static bool touches_memory(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
	       (op->mem.type == ZYDIS_MEMOP_TYPE_MEM || op->mem.type == ZYDIS_MEMOP_TYPE_VSIB);
}

bool gen_operands(struct gen *g, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops,
	uint8_t *bytes, uint64_t va)
{
	bool ok = true;

	helpful_registers(g, insn, ops);
	for (unsigned i = 0; i < insn->operand_count; i++) {
		unsigned size = ops[i].size / 8u;
		uint64_t target;

		if (!touches_memory(&ops[i]))
			continue;
		target = choose_target(g, size);
		if (gen_gpr_index(ops[i].mem.base) == R_SP_INDEX && ops[i].mem.index == ZYDIS_REGISTER_NONE)
			target = stack_address(g->tc);
		else if (rng_percent(&g->rng, 97))
			ok &= solve_memory(g, insn, &ops[i], bytes, va, target);
		if (rng_percent(&g->rng, 80))
			fill_target(g, insn, MAX_OF(size, 1), target);
	}
	return ok;
}

void gen_note_writes(struct gen *g, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < insn->operand_count; i++) {
		int reg = ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER ? gen_gpr_index(ops[i].reg.value) : -1;

		if (reg >= 0 && ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE && reg != R_SP_INDEX)
			g->written |= (uint16_t)(1u << reg);
	}
}
