; SPDX-License-Identifier: GPL-2.0-or-later
;
; double.asm - faults while delivering faults: which pairs are served one after the other, which make #DF; a triple
; fault at the end shuts the processor down, so there is no PASS line (SDM 3A, 6.15, table 6-5).
%include "rt.inc"

; Mark a vector's gate present (0x8e) or not (0x0e).
%macro GATE_IS 2
	mov byte [idt + (%1) * 8 + 5], %2
%endmacro

main:
	GATE_IS GP, 0x0e
	CASE "#GP, its gate absent: #NP makes #DF", DF, 0
	mov ax, 0xfff8
	mov ds, ax
	END
	GATE_IS GP, 0x8e
	GATE_IS UD, 0x0e
	CASE "#UD, its gate absent: #NP", NP, UD * 8 + 3
	ud2
	END
	GATE_IS UD, 0x8e
	GATE_IS DE, 0x0e
	CASE "#DE, its gate absent: #DF", DF, 0
	xor ecx, ecx
	div ecx
	END
	GATE_IS DE, 0x8e
	GATE_IS PF, 0x0e
	call paging_on
	CASE "#PF, its gate absent: #DF", DF, 0
	mov eax, [0x40000000]
	END
	mov eax, cr2
	VALUE "CR2", 0x40000000
	GATE_IS PF, 0x8e
	mov esi, text_last
	call puts32
	lidt [lost_idt]
	ud2

paging_on:
	mov edi, pd
	mov ecx, 32
	mov eax, 0x87
.fill:
	stosd
	add eax, 0x400000
	loop .fill
	mov eax, cr4
	or eax, 0x10
	mov cr4, eax
	mov eax, pd
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	ret

section .rodata
text_last: db "triple fault", 10, 0
section .data
lost_idt:
	dw 0x7ff
	dd 0x50000000
section .bss
	alignb 4096
pd resb 4096
