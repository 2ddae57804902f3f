; SPDX-License-Identifier: GPL-2.0-or-later
;
; v86.asm - virtual-8086 mode: entry by IRET, what traps with IOPL 0 and 3, frames, VME's virtual interrupt flag and
; redirection bitmap (SDM 3A, 20).
%include "rt.inc"

LOW_BASE equ 0x8000
%define LOW(label) ((label) - low_start + LOW_BASE)	; where a label of section .low runs

VM equ 0x20000

; Enter at a low label with flags %2 (VM is added); DS ES FS GS hold paragraphs of their own.
%macro V86 2
	push 0x4444
	push 0x3333
	push 0x2222
	push 0x1111
	push 0x700				; SS
	push 0xff0				; SP
	push VM + (%2)
	push LOW_BASE >> 4
	push LOW(%1) - LOW_BASE
	iret
%endmacro

; The case's low code, in place; 32-bit code goes on behind it.
%macro LOWCODE 1
	[section .low]
	bits 16
%1:
%endmacro
%macro LOWEND 0
	[section .text]
	bits 32
%endmacro

section .low
	align 16
low_start:
	db 0
section .text

; esp0 lies so that the frame can be read back.
main:
	mov esi, low_start
	mov edi, LOW_BASE
	mov ecx, low_end
	sub ecx, esi
	rep movsb

	LOWCODE v_enter
	mov ax, cs
	mov bx, ss
	mov cx, ds
	mov dx, es
	mov si, fs
	mov di, gs
	int USER_END
	LOWEND
	or byte [idt + USER_END * 8 + 5], 0x60
	CASE "IRET into virtual-8086 mode, INT with IOPL 3", USER_END, 0
	V86 v_enter, 0x3002
	END
	movzx eax, word [f_eax]
	VALUE "CS", 0x800
	movzx eax, word [f_ebx]
	VALUE "SS", 0x700
	movzx eax, word [f_ecx]
	VALUE "DS", 0x2222
	movzx eax, word [f_edx]
	VALUE "ES", 0x1111
	movzx eax, word [f_esi]
	VALUE "FS", 0x3333
	movzx eax, word [f_edi]
	VALUE "GS", 0x4444
	mov eax, [interrupt_stack_top - 4]
	VALUE "GS in the frame", 0x4444
	mov eax, [interrupt_stack_top - 16]
	VALUE "ES in the frame", 0x1111
	mov eax, [f_sp]
	VALUE "SP in the frame", 0xff0
	mov eax, [f_flags]
	and eax, 0x23000
	VALUE "VM and IOPL in the frame", 0x23000
	movzx eax, word [f_ds]
	VALUE "DS nulled in the handler", 0

	LOWCODE v_int
	int USER_END
	LOWEND
	CASE "INT with IOPL 0", GP, 0
	V86 v_int, 2
	END
	LOWCODE v_int3
	int3
	LOWEND
	CASE "INT3 with IOPL 0", BP_, 0
	V86 v_int3, 2
	END
	LOWCODE v_reserved
	pushfd
	pop eax
	int USER_END
	LOWEND
	CASE "IRET with reserved flags set", USER_END, 0
	V86 v_reserved, 0xffc0b028
	END
	mov eax, [f_eax]
	VALUE "they stay clear", 0x3002
	LOWCODE v_cd03
	db 0xcd, 0x03
	LOWEND
	CASE "INT 3 in two bytes with IOPL 0", GP, 0
	V86 v_cd03, 2
	END
	LOWCODE v_into
	mov al, 0x7f
	inc al
	into
	LOWEND
	CASE "INTO with IOPL 0", OF_, 0
	V86 v_into, 2
	END
	LOWCODE v_cli
	cli
	LOWEND
	CASE "CLI with IOPL 0", GP, 0
	V86 v_cli, 2
	END
	LOWCODE v_sti
	sti
	LOWEND
	CASE "STI with IOPL 0", GP, 0
	V86 v_sti, 2
	END
	LOWCODE v_pushf
	pushf
	LOWEND
	CASE "PUSHF with IOPL 0", GP, 0
	V86 v_pushf, 2
	END
	LOWCODE v_popf
	popf
	LOWEND
	CASE "POPF with IOPL 0", GP, 0
	V86 v_popf, 2
	END
	LOWCODE v_iret
	iret
	LOWEND
	CASE "IRET with IOPL 0", GP, 0
	V86 v_iret, 2
	END
	LOWCODE v_flags
	cli
	push word 0x0ed7
	popf
	pushf
	pop ax
	push ax
	push cs
	push word LOW(.there) - LOW_BASE
	iret
.there:
	int USER_END
	LOWEND
	CASE "the same with IOPL 3", USER_END, 0
	V86 v_flags, 0x3002
	END
	movzx eax, word [f_eax]
	VALUE "flags POPF left", 0x3ed7

	LOWCODE v_hlt
	hlt
	LOWEND
	CASE "HLT", GP, 0
	V86 v_hlt, 0x3002
	END
	LOWCODE v_cr
	mov eax, cr0
	LOWEND
	CASE "MOV from CR0", GP, 0
	V86 v_cr, 0x3002
	END
	LOWCODE v_lar
	lar ax, cx
	LOWEND
	CASE "LAR", UD, 0
	V86 v_lar, 0x3002
	END
	LOWCODE v_lldt
	db 0x0f, 0x00, 0xd0
	LOWEND
	CASE "LLDT", UD, 0
	V86 v_lldt, 0x3002
	END
	LOWCODE v_smsw
	smsw ax
	and ax, 1
	int USER_END
	LOWEND
	CASE "SMSW is allowed", USER_END, 0
	V86 v_smsw, 0x3002
	END
	movzx eax, word [f_eax]
	VALUE "PE as it sees it", 1
	LOWCODE v_in
	in al, 0x80
	int USER_END
	LOWEND
	mov byte [tss + 0x68 + 0x80 / 8], 0xff
	CASE "IN goes by the bitmap, IOPL 3 or not", GP, 0
	V86 v_in, 0x3002
	END
	mov byte [tss + 0x68 + 0x80 / 8], 0
	CASE "IN through an open bitmap", USER_END, 0
	V86 v_in, 0x3002
	END
	LOWCODE v_limit
	mov ax, [0xffff]
	int USER_END
	LOWEND
	CASE "word at offset 0xffff", GP, 0
	V86 v_limit, 0x3002
	END
	LOWCODE v_div
	xor cx, cx
	div cx
	LOWEND
	CASE "#DE", DE, 0
	V86 v_div, 2
	END
	mov eax, [f_ip]
	VALUE "IP of #DE", LOW(v_div) - LOW_BASE + 2

	LOWCODE v_far
	call (LOW_BASE >> 4) + 1:LOW(.far) - LOW_BASE - 0x10
	int USER_END
.far:
	mov ax, cs
	retf
	LOWEND
	CASE "far call", USER_END, 0
	V86 v_far, 0x3002
	END
	movzx eax, word [f_eax]
	VALUE "CS there", 0x801

	; the monitor's way back
	mov dword [hooks + GP * 4], monitor
	LOWCODE v_monitor
	mov ax, 1
	cli
	inc ax
	hlt
	inc ax
	int USER_END
	LOWEND
	CASE "a monitor that steps over CLI and HLT", USER_END, 0
	V86 v_monitor, 2
	END
	mov dword [hooks + GP * 4], 0
	movzx eax, word [f_eax]
	VALUE "AX", 3
	mov eax, [monitor_calls]
	VALUE "calls of the monitor", 3
	SETDESC FREE, 0, 0xfffff, 0x9e, 0xc
	CASE "interrupt to a conforming handler", GP, FREE
	mov word [idt + USER_END * 8 + 2], FREE
	V86 v_int, 0x3002
	END
	mov word [idt + USER_END * 8 + 2], CODE32

	; VME
	mov eax, 1
	cpuid
	test edx, 2
	jz near main_end
	mov eax, cr4
	or eax, 1
	mov cr4, eax
	mov word [tss + 0x66], 0x68 + 0x20		; room for the redirection bitmap in front
	mov edi, tss + 0x68
	mov ecx, 8
	mov eax, -1
	rep stosd
	LOWCODE v_vif
	sti
	pushf
	pop ax
	cli
	pushf
	pop bx
	hlt
	LOWEND
	CASE "VME: STI and CLI work on VIF", GP, 0
	V86 v_vif, 2
	END
	movzx eax, word [f_eax]
	and eax, 0x3200
	VALUE "PUSHF shows VIF as IF, IOPL as 3", 0x3200
	movzx eax, word [f_ebx]
	and eax, 0x3200
	VALUE "after CLI", 0x3000
	CASE "VME: STI with VIP pending", GP, 0
	V86 v_sti, 0x100002
	END
	; redirect INT 0x20 to the 8086 program's own table: 0:0x80
	mov dword [0x20 * 4], 0x8000000 + LOW(v_handler) - LOW_BASE
	and byte [tss + 0x68 + 0x20 / 8], 0xfe
	LOWCODE v_redirect
	int 0x20
	hlt
	LOWEND
	LOWCODE v_handler
	mov bp, sp
	mov ax, [bp + 4]
	mov bx, [bp]
	hlt
	LOWEND
	CASE "VME: redirected INT", GP, 0
	V86 v_redirect, 2
	END
	mov eax, [f_ip]
	sub eax, LOW(v_handler) - LOW_BASE
	VALUE "it ran the program's handler", 8
	movzx eax, word [f_ebx]
	VALUE "return IP on its stack", LOW(v_redirect) - LOW_BASE + 2
	movzx eax, word [f_eax]
	VALUE "flags on its stack", 0x3002
	CASE "VME: INT not redirected", GP, 0
	V86 v_int_other, 2
	END
main_end:
	ret

; Step over a one-byte instruction; the third trap ends the case.
monitor:
	inc dword [ss:monitor_calls]
	cmp dword [ss:monitor_calls], 3
	je .end
	inc dword [esp]
	iret
.end:
	mov [ss:f_eax], eax
	mov ax, DATA32
	mov ds, ax
	mov es, ax
	mov dword [f_vec], USER_END
	mov esp, [case_sp]
	jmp [case_resume]

section .low
v_int_other:
bits 16
	int 0x21
low_end:
section .bss
monitor_calls resd 1
section .text
