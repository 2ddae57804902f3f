/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/engine/operands.h"

bool operand_vector(ZydisRegister reg, unsigned *n)
{
	if (reg >= ZYDIS_REGISTER_XMM0 && reg <= ZYDIS_REGISTER_XMM15)
		*n = (unsigned)(reg - ZYDIS_REGISTER_XMM0);
	else if (reg >= ZYDIS_REGISTER_YMM0 && reg <= ZYDIS_REGISTER_YMM15)
		*n = (unsigned)(reg - ZYDIS_REGISTER_YMM0);
	else
		return false;
	return true;
}

void operand_vectors(const struct decoded *d, uint16_t *used, uint16_t *written)
{
	*used = *written = 0;
	for (unsigned k = 0; k < d->in.operand_count; k++) {
		unsigned n;

		if (d->op[k].type != ZYDIS_OPERAND_TYPE_REGISTER || !operand_vector(d->op[k].reg.value, &n))
			continue;
		*used |= (uint16_t)(1u << n);
		if (d->op[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			*written |= (uint16_t)(1u << n);
	}
}

bool operand_has_is4(const struct decoded *d)
{
	for (unsigned k = 0; k < d->in.operand_count; k++) {
		if (d->op[k].encoding == ZYDIS_OPERAND_ENCODING_IS4)
			return true;
	}
	return false;
}

struct flags_use operand_flags(const struct decoded *d)
{
	const ZydisAccessedFlagsMask status = ZYDIS_CPUFLAG_CF | ZYDIS_CPUFLAG_PF | ZYDIS_CPUFLAG_AF |
					      ZYDIS_CPUFLAG_ZF | ZYDIS_CPUFLAG_SF | ZYDIS_CPUFLAG_OF;
	const ZydisAccessedFlags *f = d->in.cpu_flags;
	ZydisInstructionCategory c = d->in.meta.category;
	ZydisAccessedFlagsMask out;

	if (!f)
		return (struct flags_use){ false, false };
	out = (f->modified | f->set_0 | f->set_1 | f->undefined) & status;
	return (struct flags_use){
		.out = out != 0,
		/* Shifts by zero leave all flags alone; so may others that "define" them only sometimes. */
		.in = (f->tested & status) ||
		      (out && (out != status || f->undefined || c == ZYDIS_CATEGORY_SHIFT ||
				      c == ZYDIS_CATEGORY_ROTATE)),
	};
}

bool operand_always_leaves(const struct decoded *d)
{
	switch (d->in.meta.category) {
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
		return true;
	case ZYDIS_CATEGORY_INTERRUPT:
		return d->in.mnemonic != ZYDIS_MNEMONIC_INTO;
	default:
		return d->in.mnemonic == ZYDIS_MNEMONIC_UD2 || d->in.mnemonic == ZYDIS_MNEMONIC_HLT;
	}
}
