; SPDX-License-Identifier: GPL-2.0-or-later
;
; lost.asm - a guest that goes astray: jumps to where there is no memory, with no IDT to catch it.  When its command
; line ends in "spin" it says so and runs in a circle instead.  Stands alone: rt.inc would catch the fault.
section .multiboot
	align 4
	dd 0x1badb002, 0, -0x1badb002

section .text
bits 32
global start
start:
	cli
	test byte [ebx], 4			; multiboot information: a command line?
	jz lost
	mov esi, [ebx + 16]
.end:	lodsb
	test al, al
	jnz .end
	cmp dword [esi - 5], "spin"
	jne lost
	mov esi, text
	mov dx, 0x3f8
	mov ecx, text_end - text
	rep outsb
spin:	jmp spin

lost:	lidt [nothing]
	jmp 0xe0000000

section .data
text:	db "spinning", 10
text_end:
nothing: dw 0
	dd 0
