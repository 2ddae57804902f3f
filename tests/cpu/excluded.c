/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/excluded.c - what is not compared with the host CPU, and why.
 */
#include "tests/cpu/forms.h"

#include <string.h>

/* clang-format off */
static const struct {
	uint16_t mnemonic;
	const char *why;
} excluded[] = {
#define X(name, why) { ZYDIS_MNEMONIC_##name, why }
	/* These leave the sandbox: the host kernel would act on them. */
	X(SYSCALL, "host kernel"), X(SYSENTER, "host kernel"), X(SYSEXIT, "pairs with SYSENTER"),
	X(SYSRET, "pairs with SYSCALL"), X(INT, "host kernel"), X(VMCALL, "host hypervisor"),
	X(VMMCALL, "host hypervisor"),
	/* The host's answer is not the guest's. */
	X(CPUID, "guest's own"), X(RDTSC, "time"), X(RDTSCP, "time"), X(RDPMC, "counter"), X(RDRAND, "random"),
	X(RDSEED, "random"), X(RDPID, "guest's own"), X(RDPRU, "counter"), X(XGETBV, "guest's own XCR0"),
	X(RDPKRU, "guest's own CR4.PKE"), X(WRPKRU, "guest's own CR4.PKE"),
	/* Under KVM on AMD it comes back with RIP at the instruction, not behind it. */
	X(INT1, "host hypervisor"),
	/* Linux emulates them for user mode when CR4.UMIP is set. */
	X(SGDT, "UMIP"), X(SIDT, "UMIP"), X(SLDT, "UMIP"), X(STR, "UMIP"), X(SMSW, "UMIP"),
	/* Header and layout follow the components in use; tests/unit/cpu has them. */
	X(XSAVE, "XCR0"), X(XSAVE64, "XCR0"), X(XSAVEC, "XCR0"), X(XSAVEC64, "XCR0"), X(XSAVEOPT, "XCR0"),
	X(XSAVEOPT64, "XCR0"), X(XRSTOR, "XCR0"), X(XRSTOR64, "XCR0"),
	/* Far transfers leave the sandbox's code segment. */
	X(IRET, "far"), X(IRETD, "far"), X(IRETQ, "far"),
	/* AMD's CLZERO, MWAITX and their like: never advertised to the guest. */
	X(MONITOR, "timing"), X(MWAIT, "timing"), X(MONITORX, "not advertised"), X(MWAITX, "not advertised"),
	X(CLZERO, "not advertised"), X(MCOMMIT, "not advertised"),
	X(LLWPCB, "not advertised"), X(SLWPCB, "not advertised"),
	X(INCSSPD, "shadow stack"), X(INCSSPQ, "shadow stack"), X(RSTORSSP, "shadow stack"),
	X(WRSSD, "shadow stack"), X(WRSSQ, "shadow stack"), X(WRUSSD, "shadow stack"), X(WRUSSQ, "shadow stack"),
	X(SETSSBSY, "shadow stack"), X(CLRSSBSY, "shadow stack"), X(SAVEPREVSSP, "shadow stack"),
#undef X
};
/* clang-format on */

/* Extensions the guest is never told of, though this host may have them. */
static bool extension_carried(const ZydisDecodedInstruction *insn)
{
	switch (insn->meta.isa_ext) {
	case ZYDIS_ISA_EXT_AMD3DNOW:
	case ZYDIS_ISA_EXT_AMD_INVLPGB:
	case ZYDIS_ISA_EXT_AMX_BF16:
	case ZYDIS_ISA_EXT_AMX_INT8:
	case ZYDIS_ISA_EXT_AMX_TILE:
	case ZYDIS_ISA_EXT_AVX512EVEX:
	case ZYDIS_ISA_EXT_AVX512VEX:
	case ZYDIS_ISA_EXT_AVX_VNNI:
	case ZYDIS_ISA_EXT_CLZERO:
	case ZYDIS_ISA_EXT_ENQCMD:
	case ZYDIS_ISA_EXT_FMA4:
	case ZYDIS_ISA_EXT_GFNI:
	case ZYDIS_ISA_EXT_HRESET:
	case ZYDIS_ISA_EXT_KEYLOCKER:
	case ZYDIS_ISA_EXT_KEYLOCKER_WIDE:
	case ZYDIS_ISA_EXT_KNC:
	case ZYDIS_ISA_EXT_KNCE:
	case ZYDIS_ISA_EXT_KNCV:
	case ZYDIS_ISA_EXT_MCOMMIT:
	case ZYDIS_ISA_EXT_MOVDIR:
	case ZYDIS_ISA_EXT_MPX:
	case ZYDIS_ISA_EXT_PADLOCK:
	case ZYDIS_ISA_EXT_PCONFIG:
	case ZYDIS_ISA_EXT_PT:
	case ZYDIS_ISA_EXT_RTM:
	case ZYDIS_ISA_EXT_SERIALIZE:
	case ZYDIS_ISA_EXT_SGX:
	case ZYDIS_ISA_EXT_SGX_ENCLV:
	case ZYDIS_ISA_EXT_SMX:
	case ZYDIS_ISA_EXT_SNP:
	case ZYDIS_ISA_EXT_SSE4A:
	case ZYDIS_ISA_EXT_SVM:
	case ZYDIS_ISA_EXT_TBM:
	case ZYDIS_ISA_EXT_TDX:
	case ZYDIS_ISA_EXT_TSX_LDTRK:
	case ZYDIS_ISA_EXT_UINTR:
	case ZYDIS_ISA_EXT_VAES:
	case ZYDIS_ISA_EXT_VMFUNC:
	case ZYDIS_ISA_EXT_VPCLMULQDQ:
	case ZYDIS_ISA_EXT_VTX:
	case ZYDIS_ISA_EXT_WAITPKG:
	case ZYDIS_ISA_EXT_XOP:
	case ZYDIS_ISA_EXT_XSAVES:
		return false;
	default:
		return insn->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX &&
		       insn->encoding != ZYDIS_INSTRUCTION_ENCODING_XOP &&
		       insn->encoding != ZYDIS_INSTRUCTION_ENCODING_MVEX &&
		       insn->encoding != ZYDIS_INSTRUCTION_ENCODING_3DNOW;
	}
}

static bool has_repeat_prefix(const ZydisDecodedInstruction *insn)
{
	for (unsigned i = 0; i < insn->raw.prefix_count; i++)
		if (insn->raw.prefixes[i].value == 0xf2 || insn->raw.prefixes[i].value == 0xf3)
			return true;
	return false;
}

bool form_allowed(const ZydisDecodedInstruction *insn)
{
	for (unsigned i = 0; i < ARRAY_LEN(excluded); i++)
		if (insn->mnemonic == excluded[i].mnemonic)
			return false;
	if (!extension_carried(insn) || insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	/* 66 before a near branch in 64-bit code: Intel ignores it, AMD cuts RIP to 16 bits. */
	if (insn->machine_mode == ZYDIS_MACHINE_MODE_LONG_64 &&
		insn->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE &&
		insn->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
		return false;
	/* A repeat prefix turns LOOPE and LOOPNE into one another on AMD; Intel ignores it. */
	if ((insn->mnemonic == ZYDIS_MNEMONIC_LOOPE || insn->mnemonic == ZYDIS_MNEMONIC_LOOPNE) &&
		has_repeat_prefix(insn))
		return false;
	/* W1 outside 64-bit mode: ignored by Intel, #UD on AMD. */
	if (insn->machine_mode != ZYDIS_MACHINE_MODE_LONG_64 &&
		insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && insn->raw.vex.W &&
		(insn->mnemonic == ZYDIS_MNEMONIC_VPINSRD || insn->mnemonic == ZYDIS_MNEMONIC_VPEXTRD))
		return false;
	/* 0F 0D with a register: a NOP on Intel, #UD on AMD. */
	if (insn->opcode_map == ZYDIS_OPCODE_MAP_0F && insn->opcode == 0x0d && insn->raw.modrm.mod == 3)
		return false;
	/* REX.W before them: a 64-bit offset on Intel, ignored by AMD. */
	if (insn->attributes & ZYDIS_ATTRIB_HAS_REX && insn->raw.rex.W &&
		(insn->mnemonic == ZYDIS_MNEMONIC_LSS || insn->mnemonic == ZYDIS_MNEMONIC_LFS ||
			insn->mnemonic == ZYDIS_MNEMONIC_LGS))
		return false;
	return true;
}

static bool is_prefix(uint8_t b, unsigned bits)
{
	return b == 0x66 || b == 0x67 || b == 0xf0 || b == 0xf2 || b == 0xf3 || b == 0x2e || b == 0x36 ||
	       b == 0x3e || b == 0x26 || b == 0x64 || b == 0x65 || (bits == 64 && (b & 0xf0) == 0x40);
}

bool form_bytes_harmless(const uint8_t *bytes, unsigned len, unsigned bits)
{
	unsigned i = 0;
	uint8_t op, second;

	while (i < len && is_prefix(bytes[i], bits))
		i++;
	if (i >= len)
		return true;
	op = bytes[i];
	second = i + 1 < len ? bytes[i + 1] : 0;
	if (op == 0xcd || op == 0x62 || op == 0x8f)
		return false;
	/* Far transfers, whatever Zydis thinks of them. */
	if (op == 0x9a || op == 0xea || op == 0xca || op == 0xcb || op == 0xcf || op == 0xff)
		return false;
	/* SYSCALL, SYSENTER; 01, AE, C7: groups that grow with every CPU; 3DNow!, SSE4a, AMD's undocumented.
	 */
	return op != 0x0f || (second != 0x05 && second != 0x00 && second != 0x20 && second != 0x22 &&
				     second != 0x07 && second != 0x34 && second != 0x35 && second != 0x01 &&
				     second != 0xae && second != 0xc7 && second != 0x0f && second != 0x0e &&
				     second != 0x78 && second != 0x79 && second != 0xa6 && second != 0xa7);
}
