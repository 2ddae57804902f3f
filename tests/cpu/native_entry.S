/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/native_entry.S - load a whole user-mode state, run, and save it again.
 *
 * bool native_enter(void): false when the code came to EXIT_BASE by itself, true when a signal ended it (the handler
 * has then taken the state from the signal frame and resumed at native_resume).
 */
#include "tests/cpu/native_layout.h"

	.text
	.globl native_enter
	.type native_enter, @function
native_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, CTX_HOST_RSP
	movl	$1, CTX_INSIDE
	mov	CTX_SEL + 0, %ds
	mov	CTX_SEL + 2, %es
	mov	CTX_SEL + 4, %fs
	mov	CTX_SEL + 6, %gs
	cmpl	$0, CTX_WIDE
	je	1f
	mov	CTX_FS_BASE, %rax
	wrfsbase %rax
	mov	CTX_GS_BASE, %rax
	wrgsbase %rax
1:
	mov	$7, %eax
	xor	%edx, %edx
	xrstor64 CTX_XSAVE_IN
	mov	CTX_GPR + 8 * 0, %rax
	mov	CTX_GPR + 8 * 1, %rcx
	mov	CTX_GPR + 8 * 2, %rdx
	mov	CTX_GPR + 8 * 3, %rbx
	mov	CTX_GPR + 8 * 5, %rbp
	mov	CTX_GPR + 8 * 6, %rsi
	mov	CTX_GPR + 8 * 7, %rdi
	mov	CTX_GPR + 8 * 8, %r8
	mov	CTX_GPR + 8 * 9, %r9
	mov	CTX_GPR + 8 * 10, %r10
	mov	CTX_GPR + 8 * 11, %r11
	mov	CTX_GPR + 8 * 12, %r12
	mov	CTX_GPR + 8 * 13, %r13
	mov	CTX_GPR + 8 * 14, %r14
	mov	CTX_GPR + 8 * 15, %r15
	mov	$IRET_FRAME, %esp
	iretq
	.size native_enter, . - native_enter

/* EXIT_BASE jumps here; every register and flag is still the tested code's. */
	.globl native_exit
	.type native_exit, @function
native_exit:
	mov	%rax, CTX_GPR + 8 * 0
	mov	%rcx, CTX_GPR + 8 * 1
	mov	%rdx, CTX_GPR + 8 * 2
	mov	%rbx, CTX_GPR + 8 * 3
	mov	%rsp, CTX_GPR + 8 * 4
	mov	%rbp, CTX_GPR + 8 * 5
	mov	%rsi, CTX_GPR + 8 * 6
	mov	%rdi, CTX_GPR + 8 * 7
	mov	%r8, CTX_GPR + 8 * 8
	mov	%r9, CTX_GPR + 8 * 9
	mov	%r10, CTX_GPR + 8 * 10
	mov	%r11, CTX_GPR + 8 * 11
	mov	%r12, CTX_GPR + 8 * 12
	mov	%r13, CTX_GPR + 8 * 13
	mov	%r14, CTX_GPR + 8 * 14
	mov	%r15, CTX_GPR + 8 * 15
	mov	%ds, CTX_SEL + 0
	mov	%es, CTX_SEL + 2
	mov	%fs, CTX_SEL + 4
	mov	%gs, CTX_SEL + 6
	mov	%ss, CTX_SEL + 8
	mov	$CTX_STACK_TOP, %esp
	pushfq
	popq	CTX_RFLAGS
	pushq	$0x202
	popfq
	rdfsbase %rax
	mov	%rax, CTX_FS_BASE
	rdgsbase %rax
	mov	%rax, CTX_GS_BASE
	mov	$7, %eax
	xor	%edx, %edx
	xsave64	CTX_XSAVE_OUT
	xor	%eax, %eax

/* eax: the result.  The signal handler comes here with the host's flags and eax = 1. */
	.globl native_resume
native_resume:
	xor	%ecx, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %fs
	mov	%ecx, %gs
	mov	$SEL_DS, %ecx
	mov	%ecx, %ss
	mov	CTX_HOST_FS_BASE, %rcx
	wrfsbase %rcx
	mov	CTX_HOST_GS_BASE, %rcx
	wrgsbase %rcx
	vzeroupper
	fninit
	ldmxcsr	CTX_HOST_MXCSR
	mov	CTX_HOST_RSP, %rsp
	pushq	$0x202 /* NT above all, which sigreturn does not restore */
	popfq
	movl	$0, CTX_INSIDE
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.size native_exit, . - native_exit

/* Copied to EXIT_BASE: entry for 64-bit code at +0, for 32-bit code at +8, which lands at EXIT64. */
	.section .rodata
	.globl native_exit_page, native_exit_page_end
native_exit_page:
	jmp	*CTX_EXIT_PTR
	.org native_exit_page + 8
	.byte	0xea
	.long	EXIT64
	.word	SEL_CS64
	.org native_exit_page + 16
	jmp	*CTX_EXIT_PTR
native_exit_page_end:

	.section .note.GNU-stack, "", @progbits
