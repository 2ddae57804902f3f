; SPDX-License-Identifier: GPL-2.0-or-later
;
; wild.asm - wild values to every port and to the memory of every device, in all sizes.  Leaving by the exit port, a
; reset or power-off are all fair ends: what must hold is that the monitor survives.
%include "rt.inc"

main:
	mov dword [seed], 0x12345678
	mov ecx, 3				; times round
.round:
	push ecx
	xor edx, edx
.port:	cmp dx, EXIT_PORT			; would end the run
	je .next
	cmp dx, 0x64				; reset by the keyboard controller
	je .next
	cmp dx, 0x92				; reset and A20
	je .next
	cmp dx, 0xcf9				; reset
	je .next
	in al, dx
	in ax, dx
	in eax, dx
	call random
	out dx, al
	call random
	out dx, ax
	call random
	out dx, eax
.next:	inc edx
	cmp edx, 0x10000
	jb .port
	pop ecx
	dec ecx
	jnz .round

	mov ecx, areas
.area:	mov edi, [ecx]
	test edi, edi
	jz .done
	mov ebp, [ecx + 4]
.cell:	mov eax, [edi]
	call random
	mov [edi], eax
	call random
	mov [edi + 1], al
	call random
	mov [edi + 2], ax
	add edi, 4
	cmp edi, ebp
	jb .cell
	add ecx, 8
	jmp .area
.done:
	in al, 0x92
	or al, 2
	and al, 0xfe
	out 0x92, al
	ret

random:						; eax, by a linear congruence
	imul eax, [seed], 1664525
	add eax, 1013904223
	mov [seed], eax
	ror eax, 7
	ret

section .data
	align 4
areas:	dd 0xa0000, 0xc0000
	dd 0xf0000, 0x100000
	dd 0xfec00000, 0xfec00100
	dd 0xfed00000, 0xfed00400
	dd 0xfee00000, 0xfee00400
	dd 0xfffc0000, 0xfffc1000
	dd 0
section .bss
seed resd 1
