/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/undefined.c - what the architecture leaves open and is therefore not compared, with the reason
 * for each.
 *
 * Flags that the manuals call undefined are compared all the same: the interpreter runs plain instructions on
 * the host CPU, so it must give what the host gives.  Only what follows is masked.
 */
#include "tests/cpu/compare.h"

#include "monitor/cpu/arch.h"
#include "tests/cpu/segments.h"
#include "tests/cpu/xstate.h"

#include <sys/mman.h>

static bool decode_bytes(const struct test_case *tc, const uint8_t *bytes, size_t len, ZydisDecodedInstruction *insn,
	ZydisDecodedOperand *ops)
{
	ZydisDecoder d;

	if (tc->bits == 64)
		ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else
		ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, bytes, len, insn, ops));
}

static bool decode(
	const struct test_case *tc, unsigned i, ZydisDecodedInstruction *insn, ZydisDecodedOperand *ops)
{
	return decode_bytes(tc, tc->insns[i].bytes, tc->insns[i].len, insn, ops);
}

/* Stopped at what UMIP forbids, which Linux emulates: a jump into another instruction may find such (excluded.c). */
static bool is_at_umip(const struct test_case *tc, const struct outcome *o)
{
	uint64_t at = o->s.rip - CODE_BASE;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (o->vector != 13 || at >= CODE_BYTES || !decode_bytes(tc, o->code + at, CODE_BYTES - at, &insn, ops))
		return false;
	return insn.mnemonic == ZYDIS_MNEMONIC_SGDT || insn.mnemonic == ZYDIS_MNEMONIC_SIDT ||
	       insn.mnemonic == ZYDIS_MNEMONIC_SLDT || insn.mnemonic == ZYDIS_MNEMONIC_STR ||
	       insn.mnemonic == ZYDIS_MNEMONIC_SMSW;
}

/* Image offset of a memory operand with these registers; -1: nowhere. */
static int64_t operand_offset(
	const struct test_case *tc, unsigned i, const ZydisDecodedOperand *op, const uint64_t gpr[16])
{
	ZydisRegisterContext regs = { 0 };
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZyanU64 va;

	for (unsigned k = 0; k < 16; k++) {
		regs.values[ZYDIS_REGISTER_RAX + k] = gpr[k];
		regs.values[ZYDIS_REGISTER_EAX + k] = (uint32_t)gpr[k];
		regs.values[ZYDIS_REGISTER_AX + k] = (uint16_t)gpr[k];
	}
	if (!decode(tc, i, &insn, ops) ||
		!ZYAN_SUCCESS(ZydisCalcAbsoluteAddressEx(&insn, op, case_insn_address(tc, i), &regs, &va)))
		return -1;
	va += seg_base_of(tc, op->mem.segment);
	if (tc->bits == 32)
		va = (uint32_t)va;
	return case_mem_offset(va);
}

static void loosen(struct loose *loose, int64_t at, uint32_t from, uint32_t to)
{
	if (at >= 0 && loose->range_count < ARRAY_LEN(loose->range))
		loose->range[loose->range_count++] =
			(struct loose_range){ (uint32_t)at + from, (uint32_t)at + to };
}

uint64_t undefined_flags(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	/* 64-bit mode has no such instructions, so ours are written from the manual. */
	case ZYDIS_MNEMONIC_AAA:
	case ZYDIS_MNEMONIC_AAS:
		return FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF;
	case ZYDIS_MNEMONIC_AAD:
	case ZYDIS_MNEMONIC_AAM:
		return FLAG_OF | FLAG_AF | FLAG_CF;
	case ZYDIS_MNEMONIC_DAA:
	case ZYDIS_MNEMONIC_DAS:
		return FLAG_OF;
	default:
		return 0;
	}
}

/* Whether a store that faults has made the x87 registers MMX's already is the model's choice. */
static bool names_mmx(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < insn->operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			ZydisRegisterGetClass(ops[i].reg.value) == ZYDIS_REGCLASS_MMX)
			return true;
	return false;
}

/* The large FPU images: AMD looks at their last byte first, Intel at their first, so CR2 says different
 * things of the same page; and where EFLAGS.AC and the 16-byte rule both object, which exception comes is the
 * model's choice. */
static void loosen_images(const ZydisDecodedInstruction *insn, bool faulted, struct loose *loose)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
		loose->same_vectors[0] = 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17;
		loose->cr2 = ~0ull;
		loose->error_code = true;
		break;
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FLDENV: /* piece by piece: where both pages are wrong either may come first */
	case ZYDIS_MNEMONIC_FBSTP:
	case ZYDIS_MNEMONIC_FBLD:
	case ZYDIS_MNEMONIC_FSTP:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
	case ZYDIS_MNEMONIC_FLD:
		loose->cr2 = ~0ull;
		loose->error_code = true;
		loose->same_vectors[0] = 1u << 12 | 1u << 13 | 1u << 14;
		break;
	case ZYDIS_MNEMONIC_MASKMOVQ:
		loose->same_vectors[0] = 1u << 12 | 1u << 13 | 1u << 14;
		break;
	case ZYDIS_MNEMONIC_CMPSB: /* AMD: rDI first, but rSI under REPE with bytes */
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSD:
	case ZYDIS_MNEMONIC_CMPSQ:
		loose->cr2 = ~0ull;
		loose->error_code = true;
		loose->same_vectors[0] = 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17;
		break;
	case ZYDIS_MNEMONIC_LDS: /* offset and selector are two accesses */
	case ZYDIS_MNEMONIC_LES:
	case ZYDIS_MNEMONIC_LSS:
	case ZYDIS_MNEMONIC_LFS:
	case ZYDIS_MNEMONIC_LGS:
		loose->same_vectors[0] = 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17;
		break;
	case ZYDIS_MNEMONIC_CALL: /* AMD: the push, then the target; the manuals give no order */
		loose->same_vectors[0] = 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17;
		break;
	case ZYDIS_MNEMONIC_POPA: /* AMD loads registers as it goes */
	case ZYDIS_MNEMONIC_POPAD:
		if (faulted)
			loose->gpr = 0xffef;
		break;
	default:
		break;
	}
}

/* Whether EFLAGS.AC looks at these, and at which width, differs from CPU to CPU; only AC under CPL 3 would
 * show it. */
static bool alignment_is_open(const ZydisDecodedInstruction *insn)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_ENTER:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return true;
	default:
		/* 16 bytes and more that need no alignment: AMD checks them all the same, Intel does not. */
		return insn->meta.isa_ext == ZYDIS_ISA_EXT_AVX2GATHER ||
		       insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ||
		       insn->mnemonic == ZYDIS_MNEMONIC_MOVDQU || insn->mnemonic == ZYDIS_MNEMONIC_MOVUPS ||
		       insn->mnemonic == ZYDIS_MNEMONIC_MOVUPD || insn->mnemonic == ZYDIS_MNEMONIC_LDDQU;
	}
}

/* An x87 store whose value raises an unmasked exception stores nothing; whether its address is looked at all
 * the same (AMD) or not (Intel) shows where that faults. */
static bool store_is_open(const ZydisDecodedInstruction *insn, const struct outcome *native)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_FST:
	case ZYDIS_MNEMONIC_FSTP:
	case ZYDIS_MNEMONIC_FIST:
	case ZYDIS_MNEMONIC_FISTP:
	case ZYDIS_MNEMONIC_FISTTP:
	case ZYDIS_MNEMONIC_FBSTP:
		return xs_get(native->s.xsave, XS_FSW, 2) & 0x80;
	default:
		return false;
	}
}

bool saves_fpu_pointers(ZydisMnemonic mnemonic)
{
	return mnemonic == ZYDIS_MNEMONIC_FNSTENV || mnemonic == ZYDIS_MNEMONIC_FNSAVE ||
	       mnemonic == ZYDIS_MNEMONIC_FXSAVE || mnemonic == ZYDIS_MNEMONIC_FXSAVE64;
}

/* Last instruction, data and opcode pointers of the FPU: CPUs differ in when they update them (AMD: only with
 * an unmasked exception pending), and the interpreter's point into itself. */
static void loosen_fpu_pointers(const struct test_case *tc, unsigned i, const ZydisDecodedInstruction *insn,
	const ZydisDecodedOperand *ops, struct loose *loose)
{
	int64_t at = operand_offset(tc, i, &ops[0], tc->init.gpr);

	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
		if (insn->operand_width == 16)
			loosen(loose, at, 6, 14);
		else
			loosen(loose, at, 12, 28);
		break;
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
		loosen(loose, at, 6, 24);
		break;
	default:
		break;
	}
}

static bool is_address_fault(unsigned vector)
{
	return vector == 12 || vector == 13 || vector == 14 || vector == 17;
}

static bool is_x87_store(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops)
{
	return insn->meta.category == ZYDIS_CATEGORY_X87_ALU && ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
	       ops[0].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
}

/*
 * Intel hosts: which of two faults comes first, and what the one that comes leaves behind, where the
 * interpreter does as AMD does and no guest can rely on either.  `insn` is the instruction where one side or
 * both ended.
 */
static void loosen_intel(const struct test_case *tc, unsigned i, const ZydisDecodedInstruction *insn,
	const ZydisDecodedOperand *ops, const struct outcome *native, const struct outcome *guest,
	struct loose *loose)
{
	const uint32_t faults = 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17;
	bool store = ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY;

	/* Misaligned, and past the last canonical address. */
	if (native->vector == 17)
		loose->same_vectors[2] |= 1u << 12 | 1u << 13 | 1u << 17;
	/* An unmasked exception (invalid, over- or underflow) that keeps it from storing comes before its
	 * address is looked at. */
	if (is_x87_store(insn, ops) && is_address_fault(guest->vector) && native->s.rip != guest->s.rip &&
		~xs_get(guest->s.xsave, XS_FCW, 2) & 0x19)
		loose->skip = true;
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_CALL: /* the return address is stored before the target is found not canonical */
		if (native->vector == 13)
			loosen(loose, case_mem_offset(native->s.gpr[4] - 8), 0, 8);
		break;
	case ZYDIS_MNEMONIC_MOVD: /* has entered MMX state when the fault comes */
	case ZYDIS_MNEMONIC_MOVQ:
	case ZYDIS_MNEMONIC_MOVNTQ:
		loose->x87 |= store && is_address_fault(native->vector) &&
			      ZydisRegisterGetClass(ops[1].reg.value) == ZYDIS_REGCLASS_MMX;
		break;
	case ZYDIS_MNEMONIC_VCVTPH2PS: /* EFLAGS.AC does not count for either */
	case ZYDIS_MNEMONIC_VCVTPS2PH: /* converts, then stores */
		loose->skip |= guest->vector == 17 && (native->vector != 17 || native->s.rip != guest->s.rip);
		if (store && is_address_fault(guest->vector)) {
			loose->mxcsr = 0x3f;
			loose->same_vectors[2] |= faults | 1u << 19;
		}
		break;
	case ZYDIS_MNEMONIC_FBSTP: /* 80 bits are stored in two pieces */
	case ZYDIS_MNEMONIC_FSTP:
		if (store && is_address_fault(native->vector))
			loosen(loose, operand_offset(tc, i, &ops[0], native->s.gpr), 0, 10);
		break;
	case ZYDIS_MNEMONIC_VMASKMOVPS: /* the whole operand must be canonical, masked off or not */
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		loose->cr2 |= 0xfff;
		loose->same_vectors[2] |= 1u << 12 | 1u << 13 | 1u << 14;
		break;
	case ZYDIS_MNEMONIC_BOUND: /* the lower bound is enough to know */
		loose->same_vectors[2] |= faults | 1u << 5;
		break;
	case ZYDIS_MNEMONIC_MOVSXD: /* to 16 bits: reads no more than that */
		loose->skip |= insn->operand_width == 16 && is_address_fault(guest->vector) &&
			       (native->s.rip != guest->s.rip || native->vector != guest->vector);
		break;
	default:
		break;
	}
}

/* Linux lets user code execute there, and nothing else: no call tells. */
#define VSYSCALL_PAGE 0xffffffffff600000ull

/* Pages the guest does not have: the harness's fixed ones, and what this process has at random addresses. */
static bool is_harness_page(uint64_t va)
{
	unsigned char in_core;

	if (case_mem_offset(va) >= 0 || va - CODE_BASE < CASE_PAGE)
		return false;
	if (va - VSYSCALL_PAGE < CASE_PAGE)
		return true;
	return mincore((void *)(va & ~(CASE_PAGE - 1ull)), 1, &in_core) == 0;
}

void loose_for(const struct test_case *tc, const struct outcome *native, const struct outcome *guest,
	struct loose *loose)
{
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	memset(loose, 0, sizeof(*loose));
	/* Jumps that landed inside an instruction can make a loop: how far it came when the timer rang means
	 * nothing. */
	loose->skip = native->vector == VECTOR_HUNG;
	if ((guest->vector == 14 && is_harness_page(guest->cr2)) || is_at_umip(tc, guest))
		loose->skip = true;
	/* An access over the end of 4 GiB: AMD holds it against the limit, Intel goes on at 0. */
	if (tc->bits == 32 && native->vector == 14 && native->cr2 >= 0xffffffc0)
		loose->same_vectors[0] = 1u << 12 | 1u << 13 | 1u << 14;
	/* A fault's frame shows flags that nothing would have read. */
	if (!tc->precise && tc->block && guest->vector < 32)
		loose->rflags |= FLAGS_STATUS;
	/* What a block wrote over itself is none of its instructions: which of two faults comes first is open. */
	if (tc->block && tc->writable)
		loose->same_vectors[1] = 1u << 12 | 1u << 13 | 1u << 14;
	for (unsigned i = 0; i < tc->count; i++) {
		uint64_t at = case_insn_address(tc, i);

		/* Of a block, only the instruction that stopped it has anything open. */
		if (tc->block && native->s.rip != at && guest->s.rip != at)
			continue;
		if (!decode(tc, i, &insn, ops) || !insn.operand_count)
			continue;
		/* A gather may trap after any of its elements (SDM volume 2, VGATHERDPD). */
		if (insn.meta.isa_ext == ZYDIS_ISA_EXT_AVX2GATHER &&
			(tc->init.rflags & FLAG_TF || native->vector == 1))
			loose->skip = true;
		if ((native->vector == 17 || guest->vector == 17) && alignment_is_open(&insn))
			loose->skip = true;
		if (native->vector != guest->vector && store_is_open(&insn, native))
			loose->skip = true;
		loose->rflags |= undefined_flags(insn.mnemonic);
		/* A misaligned vector that also exceeds SS's limit. */
		if (ops[0].size >= 128 || ops[1].size >= 128)
			loose->same_vectors[1] |= 1u << 12 | 1u << 13;
		/* AMD raises #GP when the offset is not canonical, though a negative base would make the sum
		 * so. */
		if ((tc->init.fs_base | tc->init.gs_base) >> 63)
			loose->same_vectors[1] |= 1u << 12 | 1u << 13 | 1u << 14;
		loose->x87 |= native->vector < 32 && names_mmx(&insn, ops);
		loosen_images(&insn, native->vector < 32, loose);
		loosen_fpu_pointers(tc, i, &insn, ops, loose);
		if (__builtin_cpu_is("intel") && (native->s.rip == case_insn_address(tc, i) ||
							 guest->s.rip == case_insn_address(tc, i)))
			loosen_intel(tc, i, &insn, ops, native, guest, loose);
	}
}
