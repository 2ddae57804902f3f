; SPDX-License-Identifier: GPL-2.0-or-later
;
; debug.asm - breakpoints on execution, data and I/O, single step, ICEBP, general detect, RF, the order of traps
; (SDM 3B, 17.2, 17.3).
%include "rt.inc"

%macro DR6 2
	mov eax, dr6
	and eax, 0xe00f
	VALUE %1, %2
	call quiet
%endmacro

main:
	mov eax, cr4
	or eax, 8
	mov cr4, eax
	call quiet
	mov eax, dr6
	VALUE "DR6 at rest", 0xffff0ff0
	mov eax, dr7
	VALUE "DR7 at rest", 0x400

	; execution
	mov eax, .exec
	mov dr0, eax
	mov eax, 0x402
	mov dr7, eax
	CASE "execution breakpoint", DB_, 0
	nop
.exec:	mov ebx, 1
	END
	mov eax, [f_flags]
	and eax, 0x10000
	VALUE "no RF in the frame of an instruction breakpoint", 0
	DR6 "DR6", 1
	mov eax, .rf
	mov dr0, eax
	mov eax, 0x402
	mov dr7, eax
	CASE "IRET with RF steps over it", NONE, 0
	push 0x10002
	push CODE32
	push .rf
	iret
.rf:	nop
	END
	call quiet
	mov eax, .gone
	mov dr0, eax
	mov eax, 0x400
	mov dr7, eax
	CASE "disabled in DR7", NONE, 0
.gone:	nop
	END
	DR6 "DR6 when disabled", 0

	; data: dword write at DR1
	mov eax, watched
	mov dr1, eax
	mov eax, 0xd00408
	mov dr7, eax
	CASE "write breakpoint", DB_, 0
	mov dword [watched], 5
	END
	mov eax, [watched]
	VALUE "the write was done", 5
	DR6 "DR6 of a write", 2
	mov eax, watched
	mov dr1, eax
	mov eax, 0xd00408
	mov dr7, eax
	CASE "write breakpoint, a read", NONE, 0
	mov eax, [watched]
	END
	CASE "write breakpoint, byte inside", DB_, 0
	mov byte [watched + 3], 1
	END
	DR6 "DR6 of a byte inside", 2
	mov eax, 0xd00408
	mov dr7, eax
	CASE "write breakpoint, next to it", NONE, 0
	mov dword [watched + 4], 1
	END
	CASE "write breakpoint, overlapping from below", DB_, 0
	mov dword [watched - 2], 1
	END
	call quiet
	mov eax, 0xf00408
	mov dr7, eax
	CASE "read-write breakpoint, a read", DB_, 0
	mov eax, [watched]
	END
	call quiet
	mov eax, 0xd00408
	mov dr7, eax
	CASE "REP STOSD stops after the iteration", DB_, 0
	mov edi, watched - 8
	mov ecx, 8
	rep stosd
	END
	mov eax, [f_ecx]
	VALUE "ECX left", 5
	call quiet
	mov eax, 0xd00408
	mov dr7, eax
	CASE "PUSH onto a watched dword", DB_, 0
	mov esp, watched + 4
	push eax
	END
	call quiet

	; MOV SS holds back the trap by one instruction
	mov dword [watched], DATA32
	mov eax, watched
	mov dr1, eax
	mov eax, 0xf00408
	mov dr7, eax
	CASE "MOV SS from a watched word, trap is late", DB_, 0
	mov ss, [watched]
	nop
	nop
	END
	AT "one instruction late", 7
	call quiet

	; I/O
	mov eax, 0x80
	mov dr2, eax
	mov eax, 0x2000420
	mov dr7, eax
	CASE "I/O breakpoint", DB_, 0
	out 0x80, al
	END
	DR6 "DR6 of I/O", 4
	mov eax, 0x2000420
	mov dr7, eax
	CASE "I/O breakpoint, another port", NONE, 0
	out 0x81, al
	END
	call quiet

	; single step
	CASE "single step", DB_, 0
	push 0x102
	popf
	nop
	nop
	END
	DR6 "DR6.BS", 0x4000
	CASE "single step over INT n runs the handler first", DB_, 0
	mov dword [hooks + 0x44 * 4], step_hook
	push 0x102
	popf
	int 0x44
	nop
	nop
	END
	mov dword [hooks + 0x44 * 4], 0
	mov eax, [step_seen]
	VALUE "handler ran without TF", 1
	call quiet
	CASE "single step and MOV SS", DB_, 0
	mov ax, DATA32
	push 0x102
	popf
	mov ss, ax
	nop
	nop
	END
	call quiet
	CASE "single step of REP", DB_, 0
	mov edi, watched
	mov ecx, 4
	push 0x102
	popf
	rep stosd
	nop
	END
	mov eax, [f_ecx]
	VALUE "ECX after one step", 3
	call quiet
	CASE "single step of a jump", DB_, 0
	push 0x102
	popf
	jmp .target
	nop
	nop
.target:
	nop
	END
	call quiet
	CASE "a fault wins over the single step", UD, 0
	push 0x102
	popf
	ud2
	END
	mov eax, [f_flags]
	and eax, 0x100
	VALUE "TF in its frame", 0x100
	DR6 "no BS", 0
	CASE "ring 3 single step", DB_, 0
	USER .user1, 0x102
.user1:	nop
	nop
	END
	call quiet

	; the rest
	CASE "ICEBP", DB_, 0
	db 0xf1
	END
	AT "ICEBP is a trap", 1
	DR6 "DR6 of ICEBP", 0
	CASE "general detect", DB_, 0
	mov eax, 0x2400
	mov dr7, eax
	mov ebx, dr6
	END
	mov eax, dr7
	VALUE "GD cleared for the handler", 0x400
	DR6 "DR6.BD", 0x2000
	mov eax, watched
	mov dr0, eax
	mov dr1, eax
	mov eax, 0xdd040a
	mov dr7, eax
	CASE "two breakpoints at once", DB_, 0
	mov dword [watched], 1
	END
	DR6 "DR6 names both", 3
	ret

quiet:
	mov eax, 0x400
	mov dr7, eax
	xor eax, eax
	mov dr6, eax
	ret

step_hook:
	pushf
	pop eax
	and eax, 0x100
	xor eax, 0x100
	shr eax, 8
	mov [step_seen], eax
	iret

section .bss
	alignb 64
	resb 32
watched resb 64
step_seen resd 1
