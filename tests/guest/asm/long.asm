; SPDX-License-Identifier: GPL-2.0-or-later
;
; long.asm - 64-bit and compatibility mode: SYSCALL and SYSENTER, IST, IRETQ, SWAPGS, canonical addresses, what is gone
; in 64-bit mode (SDM 3A, 5.8, 6.14; AMD APM 2).
%include "rt.inc"
%include "long.inc"

main64:
	CASE "PUSHAD is gone", UD, 0
	db 0x60
	END
	CASE "INTO is gone", UD, 0
	db 0xce
	END
	CASE "far JMP with an immediate is gone", UD, 0
	db 0xea, 0, 0, 0, 0, 8, 0
	END
	CASE "AAM is gone", UD, 0
	db 0xd4, 0x0a
	END
	CASE "PUSH ES is gone", UD, 0
	db 0x06
	END
	CASE "LES is a VEX prefix", UD, 0
	db 0xc4, 0x00, 0x00, 0x00
	END

	; canonical addresses
	CASE "read of a non-canonical address", GP, 0
	mov rax, 0x800000000000
	mov rbx, [rax]
	END
	CASE "the same through RBP", SS_, 0
	mov rbp, 0x800000000000
	mov rbx, [rbp]
	END
	CASE "PUSH with a non-canonical RSP", SS_, 0
	mov byte [idt + SS_ * 16 + 4], 1
	mov byte [idt + GP * 16 + 4], 1
	mov rsp, 0x800000001000
	push rax
	END
	mov byte [idt + SS_ * 16 + 4], 0
	mov byte [idt + GP * 16 + 4], 0
	CASE "qword across the end of the lower half", GP, 0
	mov rax, 0x7ffffffffffc
	mov rbx, [rax]
	END
	CASE "JMP to a non-canonical address", GP, 0
	mov rax, 0x800000000000
	jmp rax
	END
	AT "at the JMP", 0xa
	CASE "RET to a non-canonical address", GP, 0
	mov rax, 0x800000000000
	push rax
	ret
	END
	AT "at the RET", 0xb
	CASE "WRMSR of a non-canonical base", GP, 0
	WRMSR64 0xc0000100, 0x8000, 0
	END
	CASE "INVLPG of a non-canonical address", NONE, 0
	mov rax, 0x800000000000
	invlpg [rax]
	END
	CASE "the kernel half", NONE, 0
	mov rax, 0xffff800000000000
	mov dword [rax + frame], 0x12345678
	END
	mov eax, [frame]
	VALUE "what it reached", 0x12345678

	; bases
	CASE "FS base by MSR", NONE, 0
	WRMSR64 0xc0000100, 0xffff8000, frame
	mov ebx, [fs:0]
	END
	mov eax, ebx
	VALUE "through FS", 0x12345678
	CASE "SWAPGS", NONE, 0
	WRMSR64 0xc0000101, 0, 0x1111
	WRMSR64 0xc0000102, 0, 0x2222
	swapgs
	RDMSR32 0xc0000101
	mov ebx, eax
	RDMSR32 0xc0000102
	mov edi, eax
	END
	mov eax, ebx
	VALUE "GS base", 0x2222
	mov eax, edi
	VALUE "kernel GS base", 0x1111
	CASE "SWAPGS in ring 3", GP, 0
	USER64 .user1
.user1:	swapgs
	END
	CASE "loading FS clears the upper base", NONE, 0
	mov eax, DATA32
	mov fs, eax
	RDMSR32 0xc0000100
	mov ebx, edx
	or ebx, eax
	END
	mov eax, ebx
	VALUE "FS base", 0
	CASE "a null FS", NONE, 0
	xor eax, eax
	mov fs, eax
	mov eax, [fs:frame]
	END
	CASE "DS limit and type do not matter", NONE, 0
	SETDESC FREE, 0x100000, 0xf, 0x90, 4
	mov ebx, FREE
	mov ds, ebx
	mov dword [frame + 4], 5
	END
	CASE "null SS in ring 0", NONE, 0
	xor eax, eax
	mov ss, eax
	mov eax, DATA32
	mov ss, eax
	END

	; interrupts
	CASE "interrupt aligns the stack", 0x40, 0
	mov rsp, stack_top - 3
	int 0x40
	END
	mov eax, [f_sp]
	sub eax, stack_top - 3
	VALUE "RSP in the frame", 0
	mov byte [idt + 0x41 * 16 + 4], 1
	mov dword [hooks + 0x41 * 4], ist_hook
	CASE "IST", NONE, 0
	int 0x41
	END
	mov eax, [ist_seen]
	sub eax, ist1_top
	VALUE "stack it ran on", -40
	CASE "IST with a non-canonical stack", SS_, 0
	mov dword [tss + 0x28], 0x8000
	mov byte [idt + DF * 16 + 4], 0
	mov byte [idt + SS_ * 16 + 4], 0
	int 0x41
	END
	mov dword [tss + 0x28], 0
	mov dword [hooks + 0x41 * 4], 0
	CASE "gate to a 32-bit code segment", GP, CODE32
	mov word [idt + 0x42 * 16 + 2], CODE32
	int 0x42
	END
	CASE "ring 3, INT and back", USER_END, 0
	USER64 .user2
.user2:	mov rbx, cs
	mov rdi, ss
	int USER_END
	END
	mov eax, [f_ebx]
	VALUE "CS", UCODE64
	mov eax, [f_edi]
	VALUE "SS", UDATA
	CASE "IRETQ to a non-canonical RIP", GP, 0
	mov rax, 0x800000000000
	push UDATA
	push qword user_stack_top
	push 2
	push UCODE64
	push rax
	iretq
	END
	CASE "IRETQ with a null SS to ring 0", NONE, 0
	mov rax, rsp
	push 0
	push rax
	push 2
	push CODE64
	push qword .back
	iretq
.back:
	mov eax, DATA32
	mov ss, eax
	END
	CASE "IRETQ with NT", GP, 0
	pushfq
	or dword [rsp], 0x4000
	popfq
	iretq
	END

	; SYSCALL
	WRMSR64 0xc0000081, (UCODE32 << 16) | CODE32, 0		; STAR
	WRMSR64 0xc0000082, 0, syscall_target
	WRMSR64 0xc0000084, 0, 0x40700				; SFMASK: AC IF DF TF
	CASE "SYSCALL and SYSRET", USER_END, 0
	USER64 .user3, 0x40cd7
.user3:	syscall
.after:	mov rbx, cs
	mov rdi, ss
	pushfq
	pop rsi
	mov rbp, rcx
	int USER_END
	END
	mov eax, [syscall_cs]
	VALUE "CS in the kernel", CODE32
	mov eax, [syscall_ss]
	VALUE "SS in the kernel", DATA32
	mov eax, [syscall_flags]
	VALUE "flags in the kernel", 0x8d7
	mov eax, [f_ebx]
	VALUE "CS after SYSRET", UCODE64
	mov eax, [f_edi]
	VALUE "SS after SYSRET", UDATA
	mov eax, [f_esi]
	VALUE "flags after SYSRET", 0x40cd7
	mov eax, [f_ebp]
	sub eax, main64.after
	VALUE "RCX is the return address", 0
	; TF is looked at when the transfer is over: SFMASK clears it in time, and SYSRET brings it back at once
	CASE "SYSCALL under TF, SFMASK clears it", DB_, 0
	USER64 .user9, 0x102
.user9:	syscall
.tf:	nop
	nop
	int USER_END
	END
	mov eax, [f_ip]
	sub eax, main64.tf
	VALUE "the trap comes right after SYSRET", 0
	CASE "SYSRET in ring 3", GP, 0
	USER64 .user4
.user4:	o64 sysret
	END
	CASE "SYSRET to a non-canonical address", GP, 0
	mov rcx, 0x800000000000
	mov r11d, 2
	o64 sysret
	END
	CASE "SYSRET to compatibility mode", USER_END, 0
	mov ecx, compat_end
	mov r11d, 2
	mov rsp, user_stack_top
	o32 sysret
	END
	mov eax, [f_ebx]
	VALUE "its CS", UCODE32
	CASE "SYSCALL with EFER.SCE clear", UD, 0
	RDMSR32 0xc0000080
	and eax, ~1
	wrmsr
	syscall
	END
	RDMSR32 0xc0000080
	or eax, 1
	wrmsr

	; SYSENTER: CS at FREE: ring 0 code, data, ring 3 32-bit code, data, 64-bit code, data
	mov rax, [gdt + CODE64]
	mov [gdt + FREE], rax
	mov rax, [gdt + DATA32]
	mov [gdt + FREE + 8], rax
	mov rax, [gdt + UCODE32 - 3]
	mov [gdt + FREE + 16], rax
	mov rax, [gdt + UDATA - 3]
	mov [gdt + FREE + 24], rax
	mov rax, [gdt + UCODE64 - 3]
	mov [gdt + FREE + 32], rax
	mov rax, [gdt + UDATA - 3]
	mov [gdt + FREE + 40], rax
	WRMSR64 0x174, 0, FREE
	WRMSR64 0x175, 0, interrupt_stack_top
	WRMSR64 0x176, 0, sysenter_target
	CASE "SYSENTER and SYSEXIT", USER_END, 0
	USER64 .user5
.user5:	mov rcx, rsp
	mov edx, .user6
	sysenter
.user6:	mov rbx, cs
	mov rdi, ss
	int USER_END
	END
	mov eax, [syscall_cs]
	VALUE "CS after SYSENTER", FREE
	mov eax, [f_ebx]
	VALUE "CS after SYSEXIT", FREE + 32 + 3
	mov eax, [f_edi]
	VALUE "SS after SYSEXIT", FREE + 40 + 3

	; compatibility mode
	CASE "compatibility mode: 32-bit code", NONE, 0
	push CODE32
	push compat32
	retfq
compat_back:
	mov esp, [case_sp]
	END
	mov eax, [compat_ebx]
	VALUE "INC is INC there", 8
	CASE "a fault in compatibility mode", UD, 0
	push CODE32
	push compat_ud
	retfq
	END
	mov eax, [f_cs]
	VALUE "CS in the frame", CODE32
	CASE "L and D both set", GP, FREE + 0x30
	SETDESC FREE + 0x30, 0, 0xfffff, 0x9a, 0xe
	push FREE + 0x30
	push compat32
	retfq
	END
	CASE "call gate into 64-bit code", NONE, 0
	SETGATE gdt + FREE + 0x40, CODE64, gate64, 0xec, 0
	mov qword [gdt + FREE + 0x48], 0
	call far dword [gate_pointer]
	END
	CASE "task gate in the IDT", GP, 0x43 * 8 + 2
	mov byte [idt + 0x43 * 16 + 5], 0x85
	int 0x43
	END
	CASE "MOV SS, then RSP: 64-bit push sizes", NONE, 0
	mov rbx, rsp
	push rax
	sub rbx, rsp
	push ax
	lea rdi, [rsp + 10]
	sub rdi, [case_sp]
	END
	mov eax, ebx
	VALUE "PUSH RAX takes", 8
	mov eax, edi
	VALUE "PUSH AX takes two", 0
	CASE "32-bit results clear the upper half", NONE, 0
	mov rbx, -1
	mov ebx, ebx
	shr rbx, 32
	END
	mov eax, ebx
	VALUE "upper half", 0
	CASE "MOVSXD, CDQE, CQO", NONE, 0
	mov eax, 0x80000000
	movsxd rbx, eax
	cdqe
	sub rbx, rax
	cqo
	add rbx, rdx
	END
	mov eax, ebx
	VALUE "together", -1
	CASE "CMPXCHG16B misaligned", GP, 0
	cmpxchg16b [frame + 8]
	END
	CASE "RIP-relative", NONE, 0
	mov ebx, [rel compat_ebx]
	END
	CASE "CR8", NONE, 0
	mov eax, 5
	mov cr8, rax
	mov rbx, cr8
	xor eax, eax
	mov cr8, rax
	END
	mov eax, ebx
	VALUE "CR8 reads back", 5
	CASE "CR8 reserved bits", GP, 0
	mov eax, 0x10
	mov cr8, rax
	END
	jmp finish64

ist_hook:
	mov [ist_seen], esp
	iretq

syscall_target:
	mov [syscall_cs], cs
	mov [syscall_ss], ss
	mov rsp, interrupt_stack_top
	pushfq
	pop rax
	mov [syscall_flags], eax
	mov rsp, user_stack_top
	o64 sysret

sysenter_target:
	mov [syscall_cs], cs
	o64 sysexit

gate64:
	retfq

bits 32
compat_end:
	mov ebx, cs
	int USER_END
compat32:
	mov eax, DATA32
	mov ds, ax
	mov ebx, 7
	db 0x43					; inc ebx; a REX prefix in 64-bit code
	mov [compat_ebx], ebx
	jmp CODE64:compat_back
compat_ud:
	ud2
bits 64

section .data
gate_pointer:
	dd 0
	dw FREE + 0x40
section .bss
	alignb 8
ist_seen resq 1
syscall_cs resd 1
syscall_ss resd 1
syscall_flags resd 1
compat_ebx resd 1
