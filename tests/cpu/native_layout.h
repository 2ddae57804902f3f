/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/native_layout.h - fixed addresses of the sandbox, and the context block native_entry.S works on.
 *
 * Everything lies below 2 GiB: a 32-bit displacement reaches it with no base register from 64-bit code, and
 * 32-bit code runs at the same addresses.  Shared by C and assembly, so macros only.
 */
#ifndef SERAI_TESTS_CPU_NATIVE_LAYOUT_H
#define SERAI_TESTS_CPU_NATIVE_LAYOUT_H

/* Seen by the tested code, natively and in the guest; what surrounds each is unmapped. */
#define CODE_BASE                                                                                            \
	0x20000000            /* two pages, executable, read-only unless the case says so; int3 wherever no  \
			       instruction is */
#define DATA_BASE  0x20010000 /* two pages read-write, one read-only */
#define STACK_BASE 0x20020000 /* two pages read-write */
#define EXIT_BASE  0x6b580000 /* jumped to when the instructions are done; unmapped in the guest */

/*
 * rip cs rflags rsp ss, loaded by iretq, which also serialises.  An IRET to a 16-bit stack segment keeps
 * bits 31..16 of the ESP it found, so those are what cases on such a stack start with; nothing else is mapped
 * in their 64 KiB.
 */
#define IRET_FRAME 0x7a5bf000

/* The host side's own, where neither small displacements nor corner values lead. */
#define CTX_BASE 0x6b5a0000
#define EXIT64   (EXIT_BASE + 16) /* where 32-bit code enters 64-bit mode again */

#define CTX_GPR          (CTX_BASE + 0x000) /* 16, architectural order; loaded from and saved to */
#define CTX_HOST_RSP     (CTX_BASE + 0x0a8)
#define CTX_FS_BASE      (CTX_BASE + 0x0b0)
#define CTX_GS_BASE      (CTX_BASE + 0x0b8)
#define CTX_HOST_FS_BASE (CTX_BASE + 0x0c0)
#define CTX_HOST_GS_BASE (CTX_BASE + 0x0c8)
#define CTX_RFLAGS       (CTX_BASE + 0x0d0)
#define CTX_EXIT_PTR     (CTX_BASE + 0x0d8)
#define CTX_WIDE         (CTX_BASE + 0x0e0) /* 64-bit code: FS and GS bases count, selectors do not */
#define CTX_INSIDE       (CTX_BASE + 0x0e8)
#define CTX_HOST_MXCSR   (CTX_BASE + 0x0ec)
#define CTX_SEL          (CTX_BASE + 0x0f0) /* ds es fs gs ss, 16 bits each */
#define CTX_STACK_TOP    (CTX_BASE + 0x180)
#define CTX_XSAVE_IN     (CTX_BASE + 0x200)
#define CTX_XSAVE_OUT    (CTX_BASE + 0x600)

/* Linux's selectors. */
#define SEL_KERNEL_CS 0x10
#define SEL_KERNEL_DS 0x18
#define SEL_CS32      0x23
#define SEL_DS        0x2b
#define SEL_CS64      0x33
#define SEL_TSS       0x40

#endif
