; SPDX-License-Identifier: GPL-2.0-or-later
;
; real.asm - real-address mode: interrupts through the IVT, limits, big real mode, A20, flags, mode switches
; (SDM 3A, 20; 9.9).
%include "rt.inc"

LOW_BASE equ 0x8000
%define LOW(label) ((label) - low_start + LOW_BASE)	; where the 16-bit code's labels run

; Outcomes are noted in a table and printed back in protected mode: name, kind, wanted, seen, IP.
RESULTS equ 0x20000

%macro RCASE 2
	%push rcase
	%xdefine %$vector %2
	[section .rodata]
%$name:	db %1, 0
	__?SECT?__
	mov [cs:LOW(r_sp)], sp
	mov word [cs:LOW(r_resume)], LOW(%$resume)
	mov word [cs:LOW(r_vec)], NONE
	mov word [cs:LOW(r_ip)], LOW(%$start)
%$start:
%endmacro

%macro REND 0
%$resume:
	call r_reload
	push dword %$vector
	push dword %$name
	push dword LOW(%$start)
	call r_note
	add sp, 12
	%pop
%endmacro

%macro RVALUE 2						; eax
	[section .rodata]
%%name:	db %1, 0
	__?SECT?__
	push dword %2
	push dword %%name
	call r_value
	add sp, 8
%endmacro

main:
	mov esi, low_start
	mov edi, LOW_BASE
	mov ecx, low_size
	rep movsb
	mov dword [0x600], RESULTS
	cld
	xor edi, edi					; IVT
	mov eax, LOW(r_stubs)
	mov ecx, 0x48
.ivt:
	stosd
	add eax, 8
	loop .ivt
	mov [esp_saved], esp
	lidt [real_idt]
	jmp CODE16:LOW(low_pm16)
back32:
	mov ax, DATA32
	mov ds, ax
	mov ss, ax
	mov esp, [esp_saved]
	call load_segments
	lidt [idt_pointer]
	mov ebx, RESULTS
.next:
	cmp ebx, [0x600]
	je .end
	mov esi, [ebx]
	mov edx, [ebx + 8]
	mov eax, [ebx + 12]
	cmp dword [ebx + 4], 0
	jne .value
	mov [f_vec], eax
	mov dword [f_err], 0
	mov eax, [ebx + 16]
	mov [f_ip], eax
	mov dword [case_start], 0
	xor ecx, ecx
	call report32
	jmp .step
.value:
	call value32
.step:
	add ebx, 20
	jmp .next
.end:
	ret

	align 8
low_start:
bits 16
low_pm16:
	mov ax, DATA16
	mov ds, ax
	mov es, ax
	mov fs, ax
	mov gs, ax
	mov ss, ax
	mov eax, cr0
	and al, 0xfe
	mov cr0, eax
	jmp 0:LOW(low_real)
low_real:
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov fs, ax
	mov gs, ax
	mov ss, ax
	mov sp, 0x7c00

	mov ax, 0x1234
	mov es, ax
	mov byte [es:0x10], 0x5a
	mov ax, 0x1235
	mov fs, ax
	movzx eax, byte [fs:0]
	RVALUE "segment base is selector times 16", 0x5a
	smsw ax
	and eax, 1
	RVALUE "CR0.PE", 0

	RCASE "INT 0x40", 0x40
	int 0x40
	REND
	RCASE "DIV by zero", DE
	xor cx, cx
	div cx
	REND
	RCASE "UD2", UD
	ud2
	REND
	RCASE "BOUND", BR_
	mov ax, 100
	bound ax, [LOW(r_bounds)]
	REND
	RCASE "INTO", OF_
	mov al, 0x7f
	inc al
	into
	REND
	RCASE "INT3", BP_
	int3
	REND
	RCASE "word at offset 0xffff", GP
	mov ax, [0xffff]
	REND
	RCASE "dword at offset 0xfffd", GP
	mov eax, [0xfffd]
	REND
	RCASE "32-bit offset beyond 64 KiB", GP
	mov ebx, 0x10000
	mov al, [ebx]
	REND
	RCASE "MOV to CS", UD
	db 0x8e, 0xc8
	REND
	RCASE "LAR does not exist here", UD
	lar ax, cx
	REND
	RCASE "LLDT does not exist here", UD
	db 0x0f, 0x00, 0xd0
	REND
	RCASE "SYSENTER", GP
	sysenter
	REND
	RCASE "ARPL does not exist here", UD
	db 0x63, 0xc8
	REND
	RCASE "far JMP with a 32-bit offset", NONE
	jmp dword 0:LOW(.far)
.far:
	REND
	RCASE "far CALL and RETF", NONE
	call 0x100:LOW(r_far) - 0x1000
	REND
	RCASE "IRET restores flags", NONE
	pushf
	pop ax
	or ax, 0xc1				; CF ZF SF
	push ax
	push cs
	push word LOW(.iret)
	iret
.iret:
	pushf
	pop ax
	mov [LOW(r_a)], ax
	REND
	movzx eax, byte [LOW(r_a)]
	and al, 0xc1
	RVALUE "flags after IRET", 0xc1
	RCASE "POPF reaches IOPL and NT", NONE
	push word 0x7002
	popf
	pushf
	pop ax
	push word 2
	popf
	mov [LOW(r_a)], ax
	REND
	movzx eax, word [LOW(r_a)]
	RVALUE "flags after POPF", 0x7002
	RCASE "INT clears IF and TF, pushes three words", NONE
	sti
	mov ax, LOW(r_int)
	mov [0x42 * 4], ax
	mov [LOW(r_b)], sp
	int 0x42
	cli
	REND
	mov ax, [LOW(r_b)]
	sub ax, [LOW(r_a)]
	movzx eax, ax
	RVALUE "stack used by INT", 6
	movzx eax, word [LOW(r_c)]
	and ax, 0x300
	RVALUE "IF inside", 0
	movzx eax, word [LOW(r_d)]
	and ax, 0x300
	RVALUE "IF in the frame", 0x200

	; string instructions wrap at 16 bits
	RCASE "MOVNTI is 32 bits wide", NONE
	mov eax, 0x12345678
	mov dword [LOW(r_wide)], 0
	movnti [LOW(r_wide)], eax
	REND
	mov eax, [LOW(r_wide)]
	RVALUE "what it stored", 0x12345678
	RCASE "REP MOVSB wraps SI", NONE
	mov byte [0xffff], 0xaa
	mov al, [0]
	mov [LOW(r_c)], al
	mov si, 0xffff
	mov di, 0x7800
	mov cx, 2
	cld
	rep movsb
	mov [LOW(r_a)], si
	mov al, [0x7801]
	mov [LOW(r_c) + 1], al
	REND
	movzx eax, word [LOW(r_a)]
	RVALUE "SI after it", 1
	mov al, [LOW(r_c)]
	sub al, [LOW(r_c) + 1]
	movzx eax, al
	RVALUE "the second byte came from offset 0", 0
	RCASE "LOOP with CX = 0 counts 65536", NONE
	xor cx, cx
	xor ebx, ebx
.loop:
	inc ebx
	loop .loop
	mov [LOW(r_e)], ebx
	REND
	mov eax, [LOW(r_e)]
	RVALUE "times round", 0x10000

	; big real mode: limits loaded in protected mode stay
	cli
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp short $ + 2
	mov bx, DATA32
	mov fs, bx
	and al, 0xfe
	mov cr0, eax
	jmp 0:LOW(.unreal)
.unreal:
	RCASE "big real mode", NONE
	mov ebx, start
	mov eax, [fs:ebx]
	mov [LOW(r_e)], eax
	REND
	mov eax, [LOW(r_e)]
	and eax, 0xffff
	RVALUE "bytes beyond 1 MiB", 0xfcfa
	xor ax, ax
	mov fs, ax
	RCASE "a real-mode load keeps the limit", NONE
	mov ebx, start
	mov eax, [fs:ebx]
	REND

	; A20 through port 92
	RCASE "A20 off: 1 MiB wraps to 0", NONE
	in al, 0x92
	or al, 2
	out 0x92, al
	mov ax, 0xffff
	mov es, ax
	mov byte [es:0x510], 0x11
	mov byte [0x500], 0x22
	mov al, [es:0x510]
	mov [LOW(r_a)], al
	in al, 0x92
	and al, 0xfd
	out 0x92, al
	mov al, [es:0x510]
	mov [LOW(r_a) + 1], al
	in al, 0x92
	or al, 2
	out 0x92, al
	REND
	movzx eax, byte [LOW(r_a)]
	RVALUE "with A20 on", 0x11
	movzx eax, byte [LOW(r_a) + 1]
	RVALUE "with A20 off", 0x22
	RCASE "IVT limit", GP
	lidt [LOW(r_idt_short)]
	int 0x40
	REND
	o32 lidt [LOW(r_idt)]

	cli
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword CODE32:back32

r_far:
	retf
r_int:
	mov [LOW(r_a)], sp
	pushf
	pop word [LOW(r_c)]
	push bp
	mov bp, sp
	mov ax, [bp + 6]
	mov [LOW(r_d)], ax
	pop bp
	iret

r_reload:						; segments a case may have changed
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	pop ax
	mov sp, [LOW(r_sp)]
	jmp ax

; Stack: return, start, name, wanted.
r_note:
	mov bp, sp
	mov ebx, [0x600]
	mov eax, RESULTS >> 4
	push es
	mov es, ax
	sub ebx, RESULTS
	mov eax, [bp + 6]
	mov [es:bx], eax
	mov dword [es:bx + 4], 0
	mov eax, [bp + 10]
	mov [es:bx + 8], eax
	movzx eax, word [LOW(r_vec)]
	mov [es:bx + 12], eax
	mov ax, [LOW(r_ip)]
	sub ax, [bp + 2]
	movzx eax, ax
	mov [es:bx + 16], eax
	add dword [0x600], 20
	pop es
	ret
; Stack: return, name, wanted; eax seen.
r_value:
	mov bp, sp
	push es
	mov ebx, [0x600]
	mov cx, RESULTS >> 4
	mov es, cx
	sub ebx, RESULTS
	mov [es:bx + 12], eax
	mov eax, [bp + 2]
	mov [es:bx], eax
	mov dword [es:bx + 4], 1
	mov eax, [bp + 6]
	mov [es:bx + 8], eax
	add dword [0x600], 20
	pop es
	ret

	align 8
r_stubs:
%assign vector 0
%rep 0x48
	push byte vector				; eight bytes a stub
	jmp near r_catch
	align 8
%assign vector vector + 1
%endrep
r_catch:
	push ax
	push bp
	mov bp, sp
	mov ax, [bp + 4]
	mov [cs:LOW(r_vec)], ax
	mov ax, [bp + 6]
	mov [cs:LOW(r_ip)], ax
	mov ax, 0
	mov ss, ax
	mov sp, [cs:LOW(r_sp)]
	jmp [cs:LOW(r_resume)]

r_sp dw 0
r_resume dw 0
r_vec dw 0
r_ip dw 0
r_wide dd 0
r_a dw 0
r_b dw 0
r_c dw 0
r_d dw 0
r_e dd 0
r_bounds dw 0, 10
r_idt_short:
	dw 0x100 - 1
	dd 0
r_idt:
	dw 0x3ff
	dd 0
low_size equ $ - low_start
bits 32

section .data
real_idt:
	dw 0x3ff
	dd 0
section .bss
esp_saved resd 1
