; SPDX-License-Identifier: GPL-2.0-or-later
;
; except.asm - exceptions that need no paging: vectors, priorities, restart, #AC, #NM, CR0 flavours, self-modification,
; LOCK and length limits (SDM 3A, 6).
%include "rt.inc"

main:
	CASE "DIV by zero", DE, 0
	xor ecx, ecx
	mov eax, 1
	div ecx
	END
	CASE "IDIV overflow", DE, 0
	mov eax, 0x80000000
	mov edx, -1
	mov ecx, -1
	idiv ecx
	END
	CASE "DIV overflow, byte", DE, 0
	mov ax, 0x1000
	mov cl, 0x10
	div cl
	END
	CASE "AAM 0", DE, 0
	db 0xd4, 0x00
	END
	CASE "INT3", BP_, 0
	int3
	END
	CASE "INT 3, two bytes", BP_, 0
	db 0xcd, 0x03
	END
	CASE "INTO with OF", OF_, 0
	mov al, 0x7f
	inc al
	into
	END
	CASE "INTO without OF", NONE, 0
	xor eax, eax
	into
	END
	CASE "BOUND outside", BR_, 0
	mov eax, 11
	bound eax, [bounds]
	END
	CASE "BOUND inside", NONE, 0
	mov eax, 10
	bound eax, [bounds]
	END
	CASE "UD2", UD, 0
	ud2
	END
	CASE "UD1", UD, 0
	db 0x0f, 0xb9, 0xc0
	END
	CASE "LOCK on a register form", UD, 0
	db 0xf0, 0x01, 0xc0			; lock add eax, eax
	END
	CASE "LOCK on MOV", UD, 0
	db 0xf0
	mov [bounds + 8], eax
	END
	CASE "LOCK ADD memory", NONE, 0
	lock add [bounds + 8], eax
	END
	CASE "LEA register form", UD, 0
	db 0x8d, 0xc0
	END
	CASE "fifteen bytes are allowed", NONE, 0
	times 14 db 0x2e
	nop
	END
	CASE "sixteen bytes are not", GP, 0
	times 15 db 0x2e
	nop
	END
	CASE "MOV from CR5", UD, 0
	db 0x0f, 0x20, 0xe8
	END
	CASE "RDMSR of an unknown register", GP, 0
	mov ecx, 0x12345678
	rdmsr
	END
	CASE "WRMSR of a reserved EFER bit", GP, 0
	mov ecx, 0xc0000080
	mov eax, 0x2
	xor edx, edx
	wrmsr
	END
	CASE "WRMSR PAT, reserved type", GP, 0
	mov ecx, 0x277
	mov eax, 2
	xor edx, edx
	wrmsr
	END
	CASE "WRMSR of a read-only register", GP, 0
	mov ecx, 0xfe				; MTRRCAP
	xor eax, eax
	xor edx, edx
	wrmsr
	END
	CASE "SYSENTER with a null SYSENTER_CS", GP, 0
	mov ecx, 0x174
	xor eax, eax
	xor edx, edx
	wrmsr
	sysenter
	END
	CASE "XSETBV of a reserved bit", GP, 0
	mov eax, cr4
	or eax, 0x40000
	mov cr4, eax
	xor ecx, ecx
	mov eax, 0x5				; AVX without SSE
	xor edx, edx
	xsetbv
	END
	CASE "XSETBV with x87 off", GP, 0
	xor ecx, ecx
	mov eax, 0x2
	xor edx, edx
	xsetbv
	END

	; the FPU
	CASE "FPU with CR0.TS", NM, 0
	mov eax, cr0
	or eax, 8
	mov cr0, eax
	fld1
	END
	CASE "WAIT with TS but not MP", NONE, 0
	wait
	END
	CASE "WAIT with TS and MP", NM, 0
	mov eax, cr0
	or eax, 2
	mov cr0, eax
	wait
	END
	clts
	CASE "FPU with CR0.EM", NM, 0
	mov eax, cr0
	or eax, 4
	mov cr0, eax
	fld1
	END
	CASE "SSE with CR0.EM", UD, 0
	mov eax, cr4
	or eax, 0x600
	mov cr4, eax
	movaps xmm0, xmm1
	END
	mov eax, cr0
	and eax, ~4
	mov cr0, eax
	CASE "SSE", NONE, 0
	movaps xmm0, xmm1
	END
	CASE "SSE with CR4.OSFXSR clear", UD, 0
	mov eax, cr4
	and eax, ~0x200
	mov cr4, eax
	movaps xmm0, xmm1
	END
	mov eax, cr4
	or eax, 0x600
	mov cr4, eax
	CASE "MOVAPS misaligned", GP, 0
	movaps xmm0, [aligned + 4]
	END
	CASE "MOVUPS misaligned", NONE, 0
	movups xmm0, [aligned + 4]
	END
	CASE "SIMD exception unmasked", XM, 0
	push 0x1f00				; zero divide and invalid unmasked
	and dword [esp], ~0x280
	ldmxcsr [esp]
	xorps xmm1, xmm1
	movaps xmm0, [ones]
	divps xmm0, xmm1
	END
	push 0x1f80
	ldmxcsr [esp]
	add esp, 4
	CASE "LDMXCSR of a reserved bit", GP, 0
	push 0xffff0000
	ldmxcsr [esp]
	END
	CASE "x87 exception at the next instruction", MF, 0
	fninit
	fldcw [control]				; zero divide unmasked
	fld1
	fldz
	fdivp
	fld1
	END
	CASE "x87 exception at WAIT", MF, 0
	fninit
	fldcw [control]
	fld1
	fldz
	fdivp
	wait
	END
	fninit
	CASE "FNSTSW does not wait", NONE, 0
	fldcw [control]
	fld1
	fldz
	fdivp
	fnstsw ax
	mov ebx, eax
	fnclex
	END
	fninit
	movzx eax, bx
	and eax, 0x84
	VALUE "ES and ZE in the status word", 0x84

	; alignment
	CASE "#AC in ring 3", AC_, 0
	USER .user1, 0x40002
.user1:	mov eax, [aligned + 1]
	int USER_END
	END
	CASE "no #AC in ring 0", NONE, 0
	push 0x40002
	popf
	mov eax, [aligned + 1]
	END
	push 2
	popf
	CASE "no #AC with CR0.AM clear", USER_END, 0
	mov eax, cr0
	and eax, ~0x40000
	mov cr0, eax
	USER .user2, 0x40002
.user2:	mov eax, [aligned + 1]
	int USER_END
	END

	; what wins
	CASE "#UD before #GP: privileged and undefined", UD, 0
	USER .user3
.user3:	db 0xf0				; lock hlt
	hlt
	int USER_END
	END
	; a closed gate behind INT n is #GP, whatever exception has that vector: none of them is in delivery
	CASE "INT 8 in ring 3", GP, 8 * 8 + 2
	USER .int8
.int8:	int 8
	END
	CASE "INT 13 in ring 3", GP, 13 * 8 + 2
	USER .int13
.int13:	int 13
	END
	CASE "INT 14 in ring 3", GP, 14 * 8 + 2
	USER .int14
.int14:	int 14
	END
	CASE "MOV to a debug register in ring 3", GP, 0
	USER .user4
.user4:	mov dr0, eax
	END
	CASE "RDTSC in ring 3 with CR4.TSD", GP, 0
	mov eax, cr4
	or eax, 4
	mov cr4, eax
	USER .user5
.user5:	rdtsc
	END
	mov eax, cr4
	and eax, ~4
	mov cr4, eax
	CASE "RDPMC in ring 3 with CR4.PCE clear", GP, 0
	USER .user6
.user6:	xor ecx, ecx
	rdpmc
	END
	CASE "INVD in ring 3", GP, 0
	USER .user7
.user7:	invd
	END
	mov eax, 7
	xor ecx, ecx
	cpuid
	test ecx, 4
	jz .no_umip
	CASE "SIDT in ring 3 with UMIP", GP, 0
	mov eax, cr4
	or eax, 0x800
	mov cr4, eax
	USER .user8
.user8:	sidt [user_stack]
	END
	CASE "SMSW in ring 3 with UMIP", GP, 0
	USER .user9
.user9:	smsw ax
	END
	CASE "SIDT in ring 0 with UMIP", NONE, 0
	sidt [user_stack]
	END
	mov eax, cr4
	and eax, ~0x800
	mov cr4, eax
.no_umip:

	; flags an exception pushes
	CASE "RF in the frame of a fault", UD, 0
	ud2
	END
	mov eax, [f_flags]
	and eax, 0x10000
	VALUE "RF", 0x10000
	CASE "RF in the frame of INT n", 0x41, 0
	int 0x41
	END
	mov eax, [f_flags]
	and eax, 0x10000
	VALUE "no RF", 0

	; self-modifying code
	CASE "code written by the instruction before", NONE, 0
	mov ebx, 0
	mov byte [.patch1 + 1], 0x55
	jmp short $ + 2
.patch1:
	mov bl, 0x11
	END
	mov eax, ebx
	VALUE "sees the new byte", 0x55
	CASE "an undefined opcode at a new line, later patched", NONE, 0
	xor ecx, ecx
	jmp .ahead
	align 64
	times 58 nop
.ahead:	test ecx, ecx			; decoded together with what follows, then left
	jz .patch4
	nop
	nop
.bad:	db 0x0f, 0x04			; alone in its 64 bytes
	mov ebx, 0x66
	jmp .patched
	align 64
.patch4:
	mov word [.bad], 0x9090
	inc ecx
	jmp .ahead
.patched:
	END
	mov eax, ebx
	VALUE "runs what was patched in", 0x66
	CASE "a loop that patches itself", NONE, 0
	mov ecx, 5
	xor ebx, ebx
.loop:
.patch2:
	add ebx, 1
	inc byte [.patch2 + 2]
	loop .loop
	END
	mov eax, ebx
	VALUE "1 + 2 + 3 + 4 + 5", 15
	CASE "REP STOSB over code that then runs", NONE, 0
	mov edi, .patch3
	mov al, 0x43				; inc ebx
	mov ecx, 8
	xor ebx, ebx
	rep stosb
	jmp .patch3
.patch3:
	times 8 nop
	END
	mov eax, ebx
	VALUE "eight INC", 8

	; odd corners of plain instructions
	CASE "PUSH SP, POP SP", NONE, 0
	mov ebx, esp
	push esp
	pop ecx
	sub ebx, ecx
	END
	mov eax, ebx
	VALUE "PUSH ESP stores the old value", 0
	CASE "POP [ESP] addresses after the increment", NONE, 0
	push 0x11
	push 0x22
	pop dword [esp]
	pop ebx
	END
	mov eax, ebx
	VALUE "it replaced", 0x22
	CASE "shift by 33", NONE, 0
	mov eax, 1
	mov cl, 33
	shl eax, cl
	mov ebx, eax
	END
	mov eax, ebx
	VALUE "counts are five bits", 2
	CASE "ENTER with nesting", NONE, 0
	mov ebp, 0x77777777
	mov edx, esp
	push 0x99999999
	mov ebp, esp
	enter 8, 2
	mov eax, [ebp - 4]
	mov ebx, esp
	leave
	sub edx, ebx
	END
	mov eax, edx
	VALUE "ENTER 8, 2 takes", 24
	CASE "XLAT, LAHF, SALC", NONE, 0
	mov ebx, bounds
	mov eax, 4
	xlatb
	mov cl, al
	stc
	salc
	mov ch, al
	END
	movzx eax, cx
	VALUE "their results", 0xff0a
	ret

section .data
	align 16
aligned: dd 1, 2, 3, 4, 5, 6, 7, 8
ones: dd 1.0, 1.0, 1.0, 1.0
bounds: dd 0, 10, 0
control: dd 0x37b
