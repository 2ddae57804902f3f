/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/arch.h - numbers of the architecture: flags, control registers, exceptions, MSRs.
 *
 * Intel SDM volume 3A chapters 2 (system registers), 4 (paging), 6 (exceptions); volume 4 (MSRs).
 */
#ifndef SERAI_MONITOR_CPU_ARCH_H
#define SERAI_MONITOR_CPU_ARCH_H

#define FLAG_CF         0x000001ull
#define FLAG_ONE        0x000002ull
#define FLAG_PF         0x000004ull
#define FLAG_AF         0x000010ull
#define FLAG_ZF         0x000040ull
#define FLAG_SF         0x000080ull
#define FLAG_TF         0x000100ull
#define FLAG_IF         0x000200ull
#define FLAG_DF         0x000400ull
#define FLAG_OF         0x000800ull
#define FLAG_IOPL       0x003000ull
#define FLAG_NT         0x004000ull
#define FLAG_RF         0x010000ull
#define FLAG_VM         0x020000ull
#define FLAG_AC         0x040000ull
#define FLAG_VIF        0x080000ull
#define FLAG_VIP        0x100000ull
#define FLAG_ID         0x200000ull
#define FLAG_IOPL_SHIFT 12

#define FLAGS_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* The same in struct vcpu's cc. */
#define CC_OF 0x0001u
#define CC_CF 0x0100u
#define CC_PF 0x0400u
#define CC_AF 0x1000u
#define CC_ZF 0x4000u
#define CC_SF 0x8000u

#define CR0_PE 0x00000001ull
#define CR0_MP 0x00000002ull
#define CR0_EM 0x00000004ull
#define CR0_TS 0x00000008ull
#define CR0_ET 0x00000010ull
#define CR0_NE 0x00000020ull
#define CR0_WP 0x00010000ull
#define CR0_AM 0x00040000ull
#define CR0_NW 0x20000000ull
#define CR0_CD 0x40000000ull
#define CR0_PG 0x80000000ull

#define CR4_VME        0x00000001ull
#define CR4_PVI        0x00000002ull
#define CR4_TSD        0x00000004ull
#define CR4_DE         0x00000008ull
#define CR4_PSE        0x00000010ull
#define CR4_PAE        0x00000020ull
#define CR4_MCE        0x00000040ull
#define CR4_PGE        0x00000080ull
#define CR4_PCE        0x00000100ull
#define CR4_OSFXSR     0x00000200ull
#define CR4_OSXMMEXCPT 0x00000400ull
#define CR4_UMIP       0x00000800ull
#define CR4_FSGSBASE   0x00010000ull
#define CR4_PCIDE      0x00020000ull
#define CR4_OSXSAVE    0x00040000ull
#define CR4_SMEP       0x00100000ull
#define CR4_SMAP       0x00200000ull

#define EFER_SCE 0x0001ull
#define EFER_LME 0x0100ull
#define EFER_LMA 0x0400ull
#define EFER_NXE 0x0800ull

#define XCR0_X87 1ull
#define XCR0_SSE 2ull
#define XCR0_AVX 4ull
#define XCR0_ALL (XCR0_X87 | XCR0_SSE | XCR0_AVX)

enum {
	EXC_DE = 0,
	EXC_DB = 1,
	EXC_NMI = 2,
	EXC_BP = 3,
	EXC_OF = 4,
	EXC_BR = 5,
	EXC_UD = 6,
	EXC_NM = 7,
	EXC_DF = 8,
	EXC_TS = 10,
	EXC_NP = 11,
	EXC_SS = 12,
	EXC_GP = 13,
	EXC_PF = 14,
	EXC_MF = 16,
	EXC_AC = 17,
	EXC_MC = 18,
	EXC_XM = 19,
};

/* #PF error code */
#define PF_PRESENT 0x01u
#define PF_WRITE   0x02u
#define PF_USER    0x04u
#define PF_RSVD    0x08u
#define PF_FETCH   0x10u

/* Page-table entry */
#define PTE_P  0x001ull
#define PTE_W  0x002ull
#define PTE_U  0x004ull
#define PTE_A  0x020ull
#define PTE_D  0x040ull
#define PTE_PS 0x080ull
#define PTE_G  0x100ull
#define PTE_NX 0x8000000000000000ull

#define DR6_FIXED 0xffff0ff0ull
#define DR6_BD    0x2000ull
#define DR6_BS    0x4000ull
#define DR6_BT    0x8000ull
#define DR7_FIXED 0x400ull
#define DR7_GD    0x2000ull

#define MSR_APIC_BASE     0x1b
#define APIC_BASE_BSP     0x100ull

#define MISC_ENABLE_MWAIT (1ull << 18) /* IA32_MISC_ENABLE */
#define APIC_BASE_X2APIC  0x400ull
#define APIC_BASE_ENABLE  0x800ull
#define APIC_BASE_DEFAULT 0xfee00000ull

#endif
