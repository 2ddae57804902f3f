; SPDX-License-Identifier: GPL-2.0-or-later
;
; task.asm - hardware task switches by CALL, JMP, IRET, interrupt; busy bits, NT, back links, faults (SDM 3A, 7).
%include "rt.inc"

TSS_B	equ FREE		; the task switched to
TASKGATE equ FREE + 0x08	; task gate, DPL 3
TSS_BAD	equ FREE + 0x10		; limit too small
TSS_ABS	equ FREE + 0x18		; not present
TSS_16	equ FREE + 0x20		; a 286 TSS
BADSEG	equ FREE + 0x28		; not-present data segment
LDT_SEL	equ FREE + 0x30

; A fresh task: EIP, flags in tss_b, stack of its own.
%macro TASK 2
	mov dword [tss_b + 0x20], %1
	mov dword [tss_b + 0x24], %2
	call task_reset
%endmacro

main:
	SETDESC TSS_B, tss_b, 0x67, 0x89, 0
	SETDESC TSS_BAD, tss_b, 0x2b, 0x89, 0
	SETDESC TSS_ABS, tss_b, 0x67, 0x09, 0
	SETDESC TSS_16, tss_16, 0x2b, 0x81, 0
	SETDESC BADSEG, 0, 0xfffff, 0x12, 0xc
	SETDESC LDT_SEL, ldt, 0x0f, 0x82, 0
	mov dword [gdt + TASKGATE], TSS_B << 16
	mov dword [gdt + TASKGATE + 4], 0xe500


	TASK task_iret, 2
	CASE "CALL a TSS, IRET back", NONE, 0
	call TSS_B:0x1234
	END
	movzx eax, word [seen_link]
	VALUE "back link in the new task", TSS_SEL
	mov eax, [seen_flags]
	VALUE "NT in the new task", 0x4002
	movzx eax, byte [seen_busy_a]
	VALUE "caller stays busy", 0x8b
	movzx eax, byte [seen_busy_b]
	VALUE "callee is busy", 0x8b
	movzx eax, byte [gdt + TSS_B + 5]
	VALUE "callee idle after IRET", 0x89
	mov eax, [seen_tr]
	VALUE "TR in the task", TSS_B
	mov eax, [seen_cr0]
	and eax, 8
	VALUE "CR0.TS set by the switch", 8
	clts
	mov eax, [tss + 0x28]
	VALUE "EAX saved in the caller's TSS", 0xaaaa5555
	mov eax, [tss_b + 0x24]
	and eax, 0x4000
	VALUE "NT cleared in the task left by IRET", 0

	TASK task_iret, 2
	CASE "CALL through a task gate", NONE, 0
	call TASKGATE:0
	END
	clts
	TASK task_jmp, 2
	CASE "JMP to a TSS and back", NONE, 0
	jmp TSS_B:0
	END
	movzx eax, byte [seen_busy_a]
	VALUE "JMP frees the old task", 0x89
	mov eax, [seen_flags]
	VALUE "JMP leaves NT clear", 2
	clts

	mov dword [idt + 0x40 * 8], TSS_B << 16
	mov dword [idt + 0x40 * 8 + 4], 0xe500
	TASK task_iret, 2
	CASE "interrupt through a task gate", NONE, 0
	int 0x40
	END
	mov eax, [seen_flags]
	VALUE "NT after an interrupt", 0x4002
	clts

	or byte [gdt + TSS_B + 5], 2
	CASE "interrupt through a task gate, its task busy", GP, TSS_B
	int 0x40
	END
	and byte [gdt + TSS_B + 5], ~2

	; An exception with an error code: pushed on the new task's stack.
	mov eax, [idt + GP * 8]
	mov [saved_gate], eax
	mov eax, [idt + GP * 8 + 4]
	mov [saved_gate + 4], eax
	mov dword [idt + GP * 8], TSS_B << 16
	mov dword [idt + GP * 8 + 4], 0x8500
	TASK task_fault, 2
	CASE "#GP through a task gate", NONE, 0
	mov ax, 0xfff8
	mov es, ax
.resumed:
	END
	mov eax, [saved_gate]
	mov [idt + GP * 8], eax
	mov eax, [saved_gate + 4]
	mov [idt + GP * 8 + 4], eax
	mov eax, [seen_error]
	VALUE "its error code on the task's stack", 0xfff8
	clts

	TASK task_iret, 2
	CASE "ring 3 through a DPL 3 task gate", USER_END, 0
	USER .user1
.user1:	call TASKGATE:0
	int USER_END
	END
	clts
	CASE "ring 3 straight to a DPL 0 TSS", GP, TSS_B
	USER .user2
.user2:	call TSS_B:0
	END

	or byte [gdt + TSS_B + 5], 2
	CASE "CALL a busy TSS", GP, TSS_B
	call TSS_B:0
	END
	CASE "JMP to a busy TSS through the gate", GP, TSS_B
	jmp TASKGATE:0
	END
	and byte [gdt + TSS_B + 5], ~2
	CASE "TSS not present", NP, TSS_ABS
	call TSS_ABS:0
	END
	CASE "TSS limit too small", TS, TSS_BAD
	call TSS_BAD:0
	END
	CASE "IRET with NT, link to an idle TSS", TS, TSS_B
	mov word [tss], TSS_B
	pushf
	or dword [esp], 0x4000
	popf
	iret
	END
	CASE "IRET with NT, null link", TS, 0
	mov word [tss], 0
	pushf
	or dword [esp], 0x4000
	popf
	iret
	END
	pushf
	and dword [esp], ~0x4000
	popf

	; A fault that belongs to the new task: TR and busy bits have changed by then.  (With CS, SS or LDTR at
	; fault the handler has no stack to speak of; only a task gate could catch those.)
	TASK task_iret, 2
	mov word [tss_b + 0x54], BADSEG
	CASE "new task's DS not present", NP, BADSEG
	call TSS_B:0
	END
	call recover
	TASK task_iret, 2
	mov word [tss_b + 0x60], LDT_SEL
	mov word [tss_b + 0x58], 0x04
	CASE "new task's LDT and a selector in it", NONE, 0
	call TSS_B:0
	END
	clts
	movzx eax, word [seen_ldt]
	VALUE "LDTR in the task", LDT_SEL
	sldt ax
	movzx eax, ax
	VALUE "LDTR back in the first task", 0

	TASK task_iret, 2
	mov byte [tss_b + 0x64], 1
	CASE "T bit: debug trap in the new task", DB_, 0
	call TSS_B:0
	END
	mov eax, dr6
	and eax, 0xe00f
	VALUE "DR6.BT", 0x8000
	xor eax, eax
	mov dr6, eax
	call recover
	ret

; After a fault inside the new task: back to the first one's TR by hand.
recover:
	mov byte [tss_b + 0x64], 0
	mov byte [gdt + TSS_SEL + 5], 0x89
	mov byte [gdt + TSS_B + 5], 0x89
	mov ax, TSS_SEL
	ltr ax
	xor eax, eax
	lldt ax
	pushf
	and dword [esp], ~0x4000
	popf
	clts
	mov word [tss], 0
	ret

task_reset:
	mov eax, cr3
	mov [tss_b + 0x1c], eax
	mov dword [tss_b + 0x28], 0x11111111	; EAX
	mov dword [tss_b + 0x38], task_stack_top
	mov dword [tss_b + 0x48], DATA32		; ES
	mov dword [tss_b + 0x4c], CODE32
	mov dword [tss_b + 0x50], DATA32
	mov dword [tss_b + 0x54], DATA32
	mov dword [tss_b + 0x58], DATA32
	mov dword [tss_b + 0x5c], DATA32
	mov dword [tss_b + 0x60], 0
	mov dword [tss_b + 0x64], 0x680000
	mov byte [gdt + TSS_B + 5], 0x89
	mov eax, 0xaaaa5555
	ret

; What every task notes on entry.
note:
	pushf
	pop dword [seen_flags]
	mov ax, [tss_b]
	mov [seen_link], ax
	mov al, [gdt + TSS_SEL + 5]
	mov [seen_busy_a], al
	mov al, [gdt + TSS_B + 5]
	mov [seen_busy_b], al
	xor eax, eax
	str ax
	mov [seen_tr], eax
	sldt ax
	mov [seen_ldt], ax
	mov eax, cr0
	mov [seen_cr0], eax
	ret

task_iret:
	call note
	iret
	jmp task_iret

task_jmp:
	call note
	jmp TSS_SEL:0

task_fault:
	pop dword [seen_error]
	call note
	add dword [tss + 0x20], 2			; past the faulting MOV
	iret

section .bss
	alignb 16
tss_b resb 0x100
tss_16 resb 0x40
task_stack resb 4096
task_stack_top:
seen_flags resd 1
seen_link resd 1
seen_busy_a resd 1
seen_busy_b resd 1
seen_tr resd 1
seen_ldt resd 1
seen_cr0 resd 1
seen_error resd 1
saved_gate resq 1
section .data
	align 16
ldt:	DESC 0, 0xfffff, 0x93, 0xc
	DESC 0, 0xfffff, 0x93, 0xc
