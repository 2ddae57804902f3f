/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/decode.c - bytes to struct insn, through Zydis.
 */
#include "monitor/cpu/rows.h"

/* Instruction sets that the guest's CPUID can have (cpuid.c masks AES, SHA and the like by the host's). */
static bool isa_offered(ZydisISASet set)
{
	switch (set) {
	case ZYDIS_ISA_SET_I86:
	case ZYDIS_ISA_SET_I186:
	case ZYDIS_ISA_SET_I286PROTECTED:
	case ZYDIS_ISA_SET_I286REAL:
	case ZYDIS_ISA_SET_I386:
	case ZYDIS_ISA_SET_I486:
	case ZYDIS_ISA_SET_I486REAL:
	case ZYDIS_ISA_SET_PENTIUMREAL:
	case ZYDIS_ISA_SET_PENTIUMMMX:
	case ZYDIS_ISA_SET_PPRO:
	case ZYDIS_ISA_SET_CMOV:
	case ZYDIS_ISA_SET_FCMOV:
	case ZYDIS_ISA_SET_X87:
	case ZYDIS_ISA_SET_FXSAVE:
	case ZYDIS_ISA_SET_FXSAVE64:
	case ZYDIS_ISA_SET_FAT_NOP:
	case ZYDIS_ISA_SET_PREFETCH_NOP:
	case ZYDIS_ISA_SET_PREFETCHWT1:
	case ZYDIS_ISA_SET_SSE_PREFETCH:
	case ZYDIS_ISA_SET_PAUSE:
	case ZYDIS_ISA_SET_SSE:
	case ZYDIS_ISA_SET_SSEMXCSR:
	case ZYDIS_ISA_SET_SSE2:
	case ZYDIS_ISA_SET_SSE2MMX:
	case ZYDIS_ISA_SET_SSE3:
	case ZYDIS_ISA_SET_SSE3X87:
	case ZYDIS_ISA_SET_SSSE3:
	case ZYDIS_ISA_SET_SSSE3MMX:
	case ZYDIS_ISA_SET_SSE4:
	case ZYDIS_ISA_SET_SSE42:
	case ZYDIS_ISA_SET_POPCNT:
	case ZYDIS_ISA_SET_LONGMODE:
	case ZYDIS_ISA_SET_LAHF:
	case ZYDIS_ISA_SET_CMPXCHG16B:
	case ZYDIS_ISA_SET_CLFSH:
	case ZYDIS_ISA_SET_CLFLUSHOPT:
	case ZYDIS_ISA_SET_CLWB:
	case ZYDIS_ISA_SET_RDTSCP:
	case ZYDIS_ISA_SET_RDPMC:
	case ZYDIS_ISA_SET_RDWRFSGS:
	case ZYDIS_ISA_SET_SMAP:
	case ZYDIS_ISA_SET_INVPCID:
	case ZYDIS_ISA_SET_XSAVE:
	case ZYDIS_ISA_SET_XSAVEOPT:
	case ZYDIS_ISA_SET_XSAVEC:
	case ZYDIS_ISA_SET_AVX:
	case ZYDIS_ISA_SET_AVX2:
	case ZYDIS_ISA_SET_AVX2GATHER:
	case ZYDIS_ISA_SET_F16C:
	case ZYDIS_ISA_SET_FMA:
	case ZYDIS_ISA_SET_BMI1:
	case ZYDIS_ISA_SET_BMI2:
	case ZYDIS_ISA_SET_LZCNT:
	case ZYDIS_ISA_SET_MOVBE:
	case ZYDIS_ISA_SET_AES:
	case ZYDIS_ISA_SET_AVXAES:
	case ZYDIS_ISA_SET_PCLMULQDQ:
	case ZYDIS_ISA_SET_SHA:
	case ZYDIS_ISA_SET_RDRAND:
	case ZYDIS_ISA_SET_RDSEED:
	case ZYDIS_ISA_SET_ADOX_ADCX:
	case ZYDIS_ISA_SET_RDPID:
	case ZYDIS_ISA_SET_AMD:
	case ZYDIS_ISA_SET_MPX:
	case ZYDIS_ISA_SET_CET:
	case ZYDIS_ISA_SET_CLDEMOTE:
	case ZYDIS_ISA_SET_MONITOR:
		return true;
	default:
		return false;
	}
}

/* Without MPX, CET and the like: where those are absent their encodings are what they were before, NOPs. */
#define DECODER(machine, stack)                                                                               \
	{                                                                                                     \
		.machine_mode = ZYDIS_MACHINE_MODE_##machine, .stack_width = ZYDIS_STACK_WIDTH_##stack,       \
		.decoder_mode = {                                                                             \
			[ZYDIS_DECODER_MODE_LZCNT] = ZYAN_TRUE,                                               \
			[ZYDIS_DECODER_MODE_TZCNT] = ZYAN_TRUE,                                               \
		}                                                                                             \
	}

const ZydisDecoder insn_decoders[] = {
	[CODE_16] = DECODER(LEGACY_16, 16),
	[CODE_32] = DECODER(LEGACY_32, 32),
	[CODE_64] = DECODER(LONG_64, 64),
};

bool insn_gpr(ZydisRegister reg, uint8_t *number, bool *high)
{
	*high = false;
	if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_BL)
		*number = (uint8_t)(reg - ZYDIS_REGISTER_AL);
	else if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		*number = (uint8_t)(reg - ZYDIS_REGISTER_AH), *high = true;
	else if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B)
		*number = (uint8_t)(reg - ZYDIS_REGISTER_SPL + 4);
	else if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W)
		*number = (uint8_t)(reg - ZYDIS_REGISTER_AX);
	else if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D)
		*number = (uint8_t)(reg - ZYDIS_REGISTER_EAX);
	else if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
		*number = (uint8_t)(reg - ZYDIS_REGISTER_RAX);
	else
		return false;
	return true;
}

/* Any register to the number semantics use; OP_NONE for kinds nobody asks for. */
static uint8_t register_number(ZydisRegister reg, bool *high)
{
	static const struct {
		ZydisRegister first, last;
	} banks[] = {
		{ ZYDIS_REGISTER_CR0, ZYDIS_REGISTER_CR15 },
		{ ZYDIS_REGISTER_DR0, ZYDIS_REGISTER_DR15 },
		{ ZYDIS_REGISTER_ES, ZYDIS_REGISTER_GS },
		{ ZYDIS_REGISTER_XMM0, ZYDIS_REGISTER_XMM15 },
		{ ZYDIS_REGISTER_YMM0, ZYDIS_REGISTER_YMM15 },
		{ ZYDIS_REGISTER_MM0, ZYDIS_REGISTER_MM7 },
	};
	uint8_t n;

	if (insn_gpr(reg, &n, high))
		return n;
	for (size_t k = 0; k < ARRAY_LEN(banks); k++) {
		if (reg >= banks[k].first && reg <= banks[k].last)
			return (uint8_t)(reg - banks[k].first);
	}
	return OP_NONE;
}

static uint8_t address_register(ZydisRegister reg)
{
	uint8_t n;
	bool high;

	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return GPR_RIP;
	return insn_gpr(reg, &n, &high) ? n : GPR_NONE;
}

static void set_memory(struct insn *i, const ZydisDecodedOperand *op, const ZydisDecodedInstruction *in)
{
	const ZydisDecodedOperandMem *m = &op->mem;

	i->base = address_register(m->base);
	i->index = address_register(m->index);
	i->scale = (uint8_t)(m->scale ? __builtin_ctz(m->scale) : 0);
	i->disp = m->disp.has_displacement ? m->disp.value : 0;
	if (i->base == GPR_RIP)
		i->disp += i->len;
	/* mod 0 with SIB base 5 means no base, extended by B or not; Zydis 4.0 sees R13 under VEX. */
	if ((in->attributes & ZYDIS_ATTRIB_HAS_SIB) && in->raw.modrm.mod == 0 && in->raw.sib.base == 5) {
		i->base = GPR_NONE;
		i->disp = in->raw.disp.value;
	}
	if (m->segment >= ZYDIS_REGISTER_ES && m->segment <= ZYDIS_REGISTER_GS)
		i->seg = (uint8_t)(m->segment - ZYDIS_REGISTER_ES);
	if (m->type == ZYDIS_MEMOP_TYPE_VSIB) {
		bool high;

		i->imm2 = register_number(m->index, &high);
	}
	i->memsize = (uint8_t)MIN_OF(op->size / 8, 255);
	i->flags |= INSN_MEM;
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		i->flags |= INSN_READ;
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		i->flags |= INSN_WRITE;
}

static void set_operand(
	struct insn *i, const ZydisDecodedOperand *op, unsigned k, const ZydisDecodedInstruction *in)
{
	bool high = false;

	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (k < 2) {
			i->r[k] = register_number(op->reg.value, &high);
			i->flags |= (uint8_t)(high ? INSN_HIGH0 << k : 0);
		}
		if (op->reg.value >= ZYDIS_REGISTER_ES && op->reg.value <= ZYDIS_REGISTER_GS)
			i->seg_operand |= (uint8_t)(1u << k);
		if (k < ARRAY_LEN(i->vectors))
			i->vectors[k] = register_number(op->reg.value, &high);
		break;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		set_memory(i, op, in);
		break;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		if (op->imm.is_relative)
			i->disp = op->imm.value.s;
		else if (k == 1 && i->mnemonic == ZYDIS_MNEMONIC_ENTER)
			i->imm2 = (uint16_t)op->imm.value.u;
		else
			i->imm = op->imm.value.u;
		break;
	case ZYDIS_OPERAND_TYPE_POINTER:
		i->imm = op->ptr.offset;
		i->imm2 = op->ptr.segment;
		break;
	default:
		break;
	}
}

/* String instructions: the source's segment, which a prefix may change, is in a hidden operand. */
static void set_string_segment(struct insn *i, const struct decoded *d)
{
	for (unsigned k = 0; k < d->in.operand_count; k++) {
		const ZydisDecodedOperand *op = &d->op[k];
		uint8_t base =
			op->type == ZYDIS_OPERAND_TYPE_MEMORY ? address_register(op->mem.base) : GPR_NONE;

		if (base == GPR_NONE)
			continue;
		i->memsize = (uint8_t)(op->size / 8);
		if (base == R_SI || base == R_BX || d->in.meta.category != ZYDIS_CATEGORY_STRINGOP)
			i->seg = (uint8_t)(op->mem.segment - ZYDIS_REGISTER_ES);
	}
}

static bool is_avx_set(ZydisISASet set)
{
	return set == ZYDIS_ISA_SET_AVX || set == ZYDIS_ISA_SET_AVX2 || set == ZYDIS_ISA_SET_F16C ||
	       set == ZYDIS_ISA_SET_FMA || set == ZYDIS_ISA_SET_AVXAES || set == ZYDIS_ISA_SET_AVX2GATHER;
}

static uint8_t fpu_needs(const struct decoded *d)
{
	uint8_t needs = 0;
	bool vex = d->in.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;

	if (d->in.mnemonic == ZYDIS_MNEMONIC_FWAIT)
		return FPU_WAIT;
	if (d->in.meta.isa_set == ZYDIS_ISA_SET_X87 || d->in.meta.isa_set == ZYDIS_ISA_SET_FCMOV ||
		d->in.meta.isa_set == ZYDIS_ISA_SET_SSE3X87)
		return FPU_X87;
	if (d->in.mnemonic == ZYDIS_MNEMONIC_EMMS)
		return FPU_MMX;
	for (unsigned k = 0; k < d->in.operand_count; k++) {
		ZydisRegisterClass c;

		if (d->op[k].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		c = ZydisRegisterGetClass(d->op[k].reg.value);
		if (c == ZYDIS_REGCLASS_X87)
			return FPU_X87;
		if (c == ZYDIS_REGCLASS_MMX)
			needs |= FPU_MMX;
		else if (c == ZYDIS_REGCLASS_XMM || c == ZYDIS_REGCLASS_YMM)
			needs |= vex ? FPU_AVX : FPU_SSE;
	}
	if (needs)
		return needs;
	/* Vector instructions between memory and general registers have no vector operand to tell by. */
	if (vex)
		return is_avx_set(d->in.meta.isa_set) ? FPU_AVX : FPU_VEX;
	if (d->in.meta.isa_set == ZYDIS_ISA_SET_SSEMXCSR ||
		(d->in.meta.exception_class >= ZYDIS_EXCEPTION_CLASS_SSE1 &&
			d->in.meta.exception_class <= ZYDIS_EXCEPTION_CLASS_SSE7))
		return FPU_SSE;
	return needs;
}

/* The row's function; Zydis has one mnemonic each for two MOVSD and two CMPSD, and MOV is many things. */
static insn_fn *choose_row(struct insn *i, const struct decoded *d)
{
	bool string = d->in.meta.category == ZYDIS_CATEGORY_STRINGOP;

	switch (d->in.mnemonic) {
	case ZYDIS_MNEMONIC_MOVSD:
		return string ? insn_movs : NULL;
	case ZYDIS_MNEMONIC_CMPSD:
		return string ? insn_cmps : NULL;
	case ZYDIS_MNEMONIC_MOV:
		for (unsigned k = 0; k < 2; k++) {
			ZydisRegisterClass c = d->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER
						       ? ZydisRegisterGetClass(d->op[k].reg.value)
						       : ZYDIS_REGCLASS_INVALID;

			if (c != ZYDIS_REGCLASS_CONTROL && c != ZYDIS_REGCLASS_DEBUG)
				continue;
			i->system_operand = (uint8_t)(1u << k);
			return c == ZYDIS_REGCLASS_CONTROL ? insn_mov_cr : insn_mov_dr;
		}
		return insn_mov_specialize(i);
	case ZYDIS_MNEMONIC_IN:
		i->port_size = (uint8_t)(d->op[0].size / 8);
		return insn_in;
	case ZYDIS_MNEMONIC_OUT:
		i->port_size = (uint8_t)(d->op[1].size / 8);
		return insn_out;
	case ZYDIS_MNEMONIC_PAUSE: /* with REX.B the same byte may be an exchange after all */
		return d->in.raw.rex.B ? insn_pause_r8 : insn_pause;
	default:
		return insn_row(d->in.mnemonic);
	}
}

/* Vector operands that raise #GP when misaligned (SDM volume 2, 2.4 exception types).  AMD is laxer with
 * some: plain_exec.c. */
static uint8_t required_alignment(const struct decoded *d, const struct insn *i)
{
	bool vex = d->in.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;

	if (!(i->flags & INSN_MEM) || i->memsize < 16)
		return 0;
	switch (d->in.meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE1:
	case ZYDIS_EXCEPTION_CLASS_AVX1:
		return i->memsize;
	default:
		break;
	}
	if (d->in.mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B || d->in.mnemonic == ZYDIS_MNEMONIC_CVTPD2PI ||
		d->in.mnemonic == ZYDIS_MNEMONIC_CVTTPD2PI)
		return 16;
	if (d->in.meta.exception_class != ZYDIS_EXCEPTION_CLASS_SSE2 &&
		d->in.meta.exception_class != ZYDIS_EXCEPTION_CLASS_SSE4)
		return 0;
	switch (d->in.mnemonic) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_PCMPISTRI:
	case ZYDIS_MNEMONIC_PCMPISTRM:
		return 0;
	default:
		return vex ? 0 : 16;
	}
}

/* MONITOR's address has a segment, but is no operand to Zydis. */
static void set_monitor_segment(struct insn *i, const ZydisDecodedInstruction *in)
{
	static const uint8_t prefix[] = { [S_ES] = 0x26, [S_CS] = 0x2e, [S_SS] = 0x36, [S_DS] = 0x3e, [S_FS] = 0x64,
		[S_GS] = 0x65 };
	bool wide = in->machine_mode == ZYDIS_MACHINE_MODE_LONG_64;

	for (unsigned k = 0; k < in->raw.prefix_count; k++) {
		for (unsigned s = wide ? S_FS : S_ES; s < ARRAY_LEN(prefix); s++) {
			if (in->raw.prefixes[k].value == prefix[s])
				i->seg = (uint8_t)s;
		}
	}
}

static void fill(struct insn *i, const struct decoded *d)
{
	const ZydisDecodedInstruction *in = &d->in;

	*i = (struct insn){ .mnemonic = (uint16_t)in->mnemonic,
		.len = in->length,
		.opsize = (uint8_t)(in->operand_width / 8),
		.addr_shift = (uint8_t)(64 - in->address_width),
		.seg = S_DS,
		.base = GPR_NONE,
		.index = GPR_NONE,
		.r = { OP_NONE, OP_NONE } };
	if (in->mnemonic == ZYDIS_MNEMONIC_MONITOR)
		set_monitor_segment(i, in);
	for (unsigned k = 0; k < in->operand_count_visible; k++)
		set_operand(i, &d->op[k], k, in);
	if (!(i->flags & INSN_MEM))
		set_string_segment(i, d);
	if (in->attributes & ZYDIS_ATTRIB_HAS_LOCK)
		i->flags |= INSN_LOCK;
	if (in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		i->flags |= INSN_REP;
	if (in->attributes & ZYDIS_ATTRIB_HAS_REPNE)
		i->flags |= INSN_REPNE;
	i->fpu = fpu_needs(d);
	i->align = required_alignment(d, i);
	i->vl = (uint8_t)(in->avx.vector_length / 8);
	i->far = in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

enum decode_result insn_decode(
	const uint8_t *code, size_t len, enum cpu_code_size size, struct insn *i, struct decoded *d)
{
	ZyanStatus st = ZydisDecoderDecodeFull(&insn_decoders[size], code, MIN_OF(len, 15), &d->in, d->op);

	if (!ZYAN_SUCCESS(st)) {
		if (st == ZYDIS_STATUS_NO_MORE_DATA)
			return len < 15 ? DECODE_MORE : DECODE_LONG;
		if (st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
			return DECODE_LONG;
		return DECODE_INVALID;
	}
	fill(i, d);
	if (!isa_offered(d->in.meta.isa_set) || d->in.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ||
		d->in.encoding == ZYDIS_INSTRUCTION_ENCODING_XOP ||
		d->in.encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW)
		return DECODE_INVALID;
	if (size != CODE_64 && d->in.raw.vex.W &&
		(d->in.mnemonic == ZYDIS_MNEMONIC_VPEXTRD || d->in.mnemonic == ZYDIS_MNEMONIC_VPINSRD))
		return DECODE_INVALID; /* the 64-bit forms */
	i->exec = choose_row(i, d);
	if (!i->exec && !insn_is_plain(d))
		return DECODE_INVALID;
	return DECODE_OK;
}
