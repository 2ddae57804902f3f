; SPDX-License-Identifier: GPL-2.0-or-later
;
; paging.asm - 32-bit paging and PAE: walks, accessed and dirty bits, error codes, WP, NX, large and global pages,
; TLB invalidation (SDM 3A, 4).
%include "rt.inc"

PAGE	equ 0x800000		; where the tests play: 4 MiB entry 2 in 32-bit paging
P	equ 1
W	equ 2
U	equ 4
A	equ 0x20
D	equ 0x40
PS	equ 0x80
G	equ 0x100

main:
	; 32-bit paging: identity by 4 MiB pages, entry 2 through a table
	mov eax, 1
	cpuid
	test edx, 8			; PSE
	jz .no_pse
	mov edi, pd
	mov ecx, 32
	mov eax, P + W + U + PS
.fill:
	stosd
	add eax, 0x400000
	loop .fill
	mov dword [pd + 2 * 4], pt + P + W + U
	mov dword [pt], frame + P + W + U
	mov dword [pt + 4], frame + 0x1000 + P + W + U
	mov dword [pt + 8], 0
	mov dword [pt + 12], frame + P		; supervisor, read-only
	mov dword [pt + 16], frame + P + U	; user, read-only
	mov dword [frame], 0x11111111
	mov dword [frame + 0x1000], 0x22222222
	mov eax, cr4
	or eax, 0x10
	mov cr4, eax
	mov eax, pd
	mov cr3, eax
	CASE "PG on", NONE, 0
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	jmp .on
.on:
	END
	mov eax, [PAGE]
	VALUE "read through a table", 0x11111111
	mov eax, [pt]
	sub eax, frame
	VALUE "entry after a read", P + W + U + A
	mov eax, [pd + 8]
	sub eax, pt
	VALUE "directory entry after a read", P + W + U + A
	mov dword [PAGE + 4], 1
	mov eax, [pt]
	sub eax, frame
	VALUE "entry after a write", P + W + U + A + D

	; the instruction behind MOV CR3 comes from where the page leads then, each time anew
	mov esi, moving
	mov edi, frame + 0x200
	mov ecx, moving_end - moving
	rep movsb
	mov esi, moving
	mov edi, frame + 0x1200
	mov ecx, moving_end - moving
	rep movsb
	mov byte [frame + 0x1200 + moving_byte - moving], 2
	mov edx, frame + 0x1000 + P + W + U
	mov eax, PAGE + 0x200
	call eax
	mov eax, ebx
	VALUE "MOV CR3 moves the code", 2
	mov edx, frame + P + W + U
	mov [pt], edx
	mov eax, cr3
	mov cr3, eax
	mov eax, PAGE + 0x200
	call eax
	mov eax, ebx
	VALUE "MOV CR3 leaves the code", 1
	mov dword [pt], frame + P + W + U + A + D
	mov eax, cr3
	mov cr3, eax
	mov eax, [pd]
	and eax, 0xfff
	VALUE "large page entry in use", P + W + U + A + D + PS
	mov eax, [pd + 31 * 4]
	and eax, 0xfff
	VALUE "large page entry never used", P + W + U + PS

	mov dword [pt + 4], 0x22000 + P		; will be replaced: TLB must not hold it, it was never used
	mov dword [pt + 4], frame + 0x1000 + P + W
	mov eax, [PAGE + 0x1000]
	VALUE "second page", 0x22222222
	mov eax, [PAGE + 0xffe]
	SHOW "read across two pages"

	CASE "supervisor read, not present", PF, 0
	mov eax, [PAGE + 0x2abc]
	END
	mov eax, [f_cr2]
	VALUE "CR2", PAGE + 0x2abc
	CASE "supervisor write, not present", PF, 2
	mov [PAGE + 0x2abc], eax
	END
	CASE "dword write into a missing page", PF, 2
	mov dword [PAGE + 0x1ffe], 0x77777777
	END
	mov eax, [f_cr2]
	VALUE "CR2 is the page's first byte", PAGE + 0x2000
	mov eax, [frame + 0x1ffc]
	VALUE "nothing was written before it", 0
	CASE "execute not present", PF, 0
	jmp PAGE + 0x2000
	END
	CASE "supervisor write to read-only, WP=0", NONE, 0
	mov eax, cr0
	and eax, ~0x10000
	mov cr0, eax
	mov dword [PAGE + 0x3008], 5
	END
	CASE "supervisor write to read-only, WP=1", PF, 3
	mov eax, cr0
	or eax, 0x10000
	mov cr0, eax
	mov dword [PAGE + 0x3008], 6
	END
	CASE "user write", USER_END, 0
	USER .user1
.user1:	mov dword [PAGE], 0x1234
	int USER_END
	END
	CASE "user read of a supervisor page", PF, 5
	USER .user2
.user2:	mov eax, [PAGE + 0x1000]
	END
	CASE "user write of a read-only page", PF, 7
	USER .user3
.user3:	mov [PAGE + 0x4000], eax
	END
	CASE "user write, not present", PF, 6
	USER .user4
.user4:	mov [PAGE + 0x2000], eax
	END
	CASE "user executes a supervisor page", PF, 5
	USER PAGE + 0x1000
	END
	CASE "RMW faults as a write", PF, 3
	or dword [PAGE + 0x3000], 0
	END
	CASE "CMPXCHG that fails faults as a write", PF, 3
	xor eax, eax
	cmpxchg [PAGE + 0x3000], ecx
	END
	and dword [pd + 8], ~W
	mov eax, cr3
	mov cr3, eax
	CASE "directory entry read-only", PF, 3
	mov [PAGE], eax
	END
	or dword [pd + 8], W
	mov eax, cr3
	mov cr3, eax

	; stale translations and what removes them
	mov eax, [PAGE]
	mov dword [pt], frame + 0x1000 + P + W + U
	invlpg [PAGE]
	mov eax, [PAGE]
	VALUE "INVLPG", 0x22222222
	mov dword [pt], frame + P + W + U
	mov eax, cr3
	mov cr3, eax
	mov eax, [PAGE + 8]
	VALUE "CR3 reload", 5
	mov eax, cr4
	or eax, 0x80
	mov cr4, eax
	mov dword [pt], frame + P + W + U + G
	invlpg [PAGE]
	mov eax, [PAGE + 8]
	mov dword [pt], frame + 0x1000 + P + W + U + G
	mov eax, cr4
	xor eax, 0x80
	mov cr4, eax
	xor eax, 0x80
	mov cr4, eax
	mov eax, [PAGE]
	VALUE "CR4.PGE toggle drops global pages", 0x22222222
	CASE "clearing P, then INVLPG", PF, 0
	mov dword [pt], 0
	invlpg [PAGE]
	mov eax, [PAGE]
	END

	; instructions that cross, strings that stop in the middle
	mov dword [pt], frame + P + W + U
	invlpg [PAGE]
	CASE "REP MOVSB into a missing page", PF, 2
	mov esi, source
	mov edi, PAGE + 0x1ff0
	mov ecx, 0x40
	rep movsb
	END
	mov eax, [f_ecx]
	VALUE "ECX left", 0x30
	mov eax, [f_edi]
	VALUE "EDI reached", PAGE + 0x2000
	mov eax, [frame + 0x1ffc]
	VALUE "what arrived", 0x0f0e0d0c
	CASE "REP STOSD backwards into a missing page", PF, 2
	std
	mov edi, PAGE + 0x300c
	mov dword [pt + 12], frame + P + W
	invlpg [PAGE + 0x3000]
	mov ecx, 10
	rep stosd
	END
	cld
	mov eax, [f_ecx]
	VALUE "ECX left backwards", 6
	mov eax, [f_edi]
	VALUE "EDI reached backwards", PAGE + 0x2ffc
	mov byte [PAGE + 0x1fff], 0xb8		; mov eax, imm32: the operand lies in the missing page
	CASE "instruction runs into a missing page", PF, 0
	jmp PAGE + 0x1fff
	END
	mov eax, [f_cr2]
	VALUE "CR2 of the fetch", PAGE + 0x2000
	mov eax, [f_ip]
	VALUE "EIP of the fetch", PAGE + 0x1fff
	CASE "ring 3 PUSH onto a missing page", PF, 6
	USER .user5
.user5:	mov esp, PAGE + 0x3000
	push eax
	END
	mov eax, [f_sp]
	VALUE "ESP is as before the PUSH", PAGE + 0x3000
	CASE "ring 3 POP to a missing page", PF, 6
	USER .user6
.user6:	push eax
	mov ebx, esp
	pop dword [PAGE + 0x2000]
	END
	mov eax, [f_sp]
	sub eax, [f_ebx]
	VALUE "ESP is as before the POP", 0

	; reserved bits: 4 MiB page with bit 21
	mov dword [pd + 3 * 4], 0xc00000 + P + W + PS + 0x200000
	CASE "reserved bit in a large page", PF, 9
	mov eax, [0xc00000]
	END
.no_pse:
	; PAE, with NX
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	mov eax, cr4
	or eax, 0x20
	mov cr4, eax
	mov edi, pae_pd
	mov eax, P + W + U + PS
	mov ecx, 64
.fill2:
	mov [edi], eax
	mov dword [edi + 4], 0
	add edi, 8
	add eax, 0x200000
	loop .fill2
	mov dword [pdpt], pae_pd + P
	mov dword [pae_pd + 4 * 8], pae_pt + P + W + U
	mov dword [pae_pt], frame + P + W + U
	mov dword [pae_pt + 8], frame + 0x1000 + P + W + U
	mov dword [pae_pt + 8 + 4], 0x80000000
	mov ecx, 0xc0000080
	rdmsr
	or eax, 0x800
	wrmsr
	mov eax, pdpt
	mov cr3, eax
	CASE "PAE on", NONE, 0
	mov eax, cr0
	or eax, 0x80010000
	mov cr0, eax
	END
	mov byte [frame], 0xc3
	mov byte [frame + 0x1000], 0xc3
	CASE "PAE execute", NONE, 0
	call PAGE
	END
	CASE "PAE execute an NX page", PF, 0x11
	call PAGE + 0x1000
	END
	CASE "PAE read an NX page", NONE, 0
	mov eax, [PAGE + 0x1000]
	END
	mov eax, [pae_pt]
	and eax, 0xfff
	VALUE "PAE entry after a fetch", P + W + U + A
	CASE "PAE reserved physical bit", PF, 0x9
	mov dword [pae_pt + 16], frame + P
	mov dword [pae_pt + 20], 0x00100000	; physical bit 52
	mov eax, [PAGE + 0x2000]
	END
	CASE "PAE user NX", PF, 0x15
	USER PAGE + 0x1000
	END
	CASE "PDPT entry with a reserved bit", GP, 0
	mov dword [pdpt + 8], P + 2
	mov eax, pdpt
	mov cr3, eax
	END
	mov dword [pdpt + 8], 0
	ret

moving:
	mov [pt], edx
	mov eax, cr3
	mov cr3, eax
moving_byte equ $ + 1
	mov ebx, 1
	ret
moving_end:

section .data
	align 16
source:
%assign i 0
%rep 64
	db i
%assign i i + 1
%endrep
section .bss
	alignb 4096
pd resb 4096
pt resb 4096
pae_pd resb 4096
pae_pt resb 4096
frame resb 8192
pdpt resb 64
