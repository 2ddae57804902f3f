; SPDX-License-Identifier: GPL-2.0-or-later
;
; control.asm - combinations of control-register bits that must raise #GP.  Judged by the manual alone: QEMU's TCG
; accepts most of them and then stops working (SDM 3A, 2.5).
%include "rt.inc"

; %1 name, %2 register, %3 bits set, %4 bits cleared; must be refused
%macro REFUSED 4
	CASE %1, GP, 0
	mov eax, %2
	or eax, %3
	and eax, ~(%4)
	mov %2, eax
	END
%endmacro

main:
	REFUSED "CR0.PG without PE", cr0, 0x80000000, 1
	REFUSED "CR0.NW without CD", cr0, 0x20000000, 0x40000000
	REFUSED "CR4 bit 15", cr4, 0x8000, 0
	REFUSED "CR4 bit 31", cr4, 0x80000000, 0
	REFUSED "CR4.PCIDE outside long mode", cr4, 0x20000, 0
	CASE "LME without PAE, then PG", GP, 0
	mov ecx, 0xc0000080
	rdmsr
	or eax, 0x100
	wrmsr
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	END
	mov ecx, 0xc0000080
	rdmsr
	and eax, ~0x100
	wrmsr
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
	REFUSED "clearing PE with PG set", cr0, 0, 1
	CASE "EFER.LME with PG set", GP, 0
	mov ecx, 0xc0000080
	rdmsr
	or eax, 0x100
	wrmsr
	END
	CASE "MOV to DR7, upper half is no matter in 32-bit code", NONE, 0
	mov eax, 0x400
	mov dr7, eax
	END
	CASE "DR4 without CR4.DE is DR6", NONE, 0
	mov eax, dr4
	END
	CASE "DR4 with CR4.DE", UD, 0
	mov eax, cr4
	or eax, 8
	mov cr4, eax
	mov eax, dr4
	END
	ret

section .bss
	alignb 4096
pd resb 4096
