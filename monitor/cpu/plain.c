/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/plain.c - which instructions are plain data processing.
 *
 * Told from Zydis's description, not from a list of mnemonics: every operand, hidden ones included, is a
 * general, vector, MMX or x87 register, an immediate, the status flags, or one explicit memory operand;
 * nothing privileged, no control flow, no segment or system register.
 */
#include "monitor/cpu/insn.h"

static bool register_is_plain(ZydisRegister reg)
{
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
	case ZYDIS_REGCLASS_X87:
	case ZYDIS_REGCLASS_MMX:
	case ZYDIS_REGCLASS_FLAGS:
		return true;
	case ZYDIS_REGCLASS_XMM:
		return reg <= ZYDIS_REGISTER_XMM15;
	case ZYDIS_REGCLASS_YMM:
		return reg <= ZYDIS_REGISTER_YMM15;
	default:
		return reg == ZYDIS_REGISTER_X87CONTROL || reg == ZYDIS_REGISTER_X87STATUS ||
		       reg == ZYDIS_REGISTER_X87TAG || reg == ZYDIS_REGISTER_MXCSR;
	}
}

static bool operand_is_plain(const ZydisDecodedOperand *op)
{
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		return register_is_plain(op->reg.value);
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return op->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
		       op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return !op->imm.is_relative;
	default:
		return false;
	}
}

/* Data processing that still must not run as it is: it would tell the guest about the host, or change its
 * mode. */
static bool category_is_plain(ZydisInstructionCategory c)
{
	switch (c) {
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_STRINGOP:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_XSAVE:
	case ZYDIS_CATEGORY_XSAVEOPT:
	case ZYDIS_CATEGORY_RDRAND:
	case ZYDIS_CATEGORY_RDSEED:
	case ZYDIS_CATEGORY_RDWRFSGS:
	case ZYDIS_CATEGORY_RDPID:
	case ZYDIS_CATEGORY_SMAP:
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_POP:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_DECIMAL:
	case ZYDIS_CATEGORY_AVX2GATHER:
	case ZYDIS_CATEGORY_GATHER:
	case ZYDIS_CATEGORY_MPX:
	case ZYDIS_CATEGORY_CET:
		return false;
	default:
		return true;
	}
}

bool insn_is_plain(const struct decoded *d)
{
	if (!category_is_plain(d->in.meta.category) || (d->in.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED))
		return false;
	for (unsigned k = 0; k < d->in.operand_count; k++) {
		if (!operand_is_plain(&d->op[k]))
			return false;
	}
	return true;
}
