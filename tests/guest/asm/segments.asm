; SPDX-License-Identifier: GPL-2.0-or-later
;
; segments.asm - protected-mode segmentation: types, limits, privilege, gates, I/O permission (SDM volume 3A, 5 and 6).
%include "rt.inc"

RO_DATA equ FREE
SMALL	equ FREE + 0x08		; base buffer, limit 0xf
DOWN	equ FREE + 0x10		; expand-down, limit 0xfff, 32-bit
DOWN16	equ FREE + 0x18		; expand-down, limit 0xfff, 16-bit
ABSENT	equ FREE + 0x20
XONLY	equ FREE + 0x28		; execute-only code
CONFORM	equ FREE + 0x30		; conforming, DPL 0
CODE_P1	equ FREE + 0x38		; code, DPL 1
GATE	equ FREE + 0x40		; call gate, DPL 3, two parameters
GATE0	equ FREE + 0x48		; call gate, DPL 0
GATEABS	equ FREE + 0x50		; call gate, not present
GATE16	equ FREE + 0x58		; 16-bit call gate
NOTSEG	equ FREE + 0x60		; system descriptor of reserved type
STACK16	equ FREE + 0x68		; 16-bit stack segment
CODEABS	equ FREE + 0x70
SMALLCS	equ FREE + 0x78		; code, limit just behind a label
GATE1	equ FREE + 0x98		; call gate to CODE_P1
UP2	equ FREE + 0x80		; data DPL 2
SSABS	equ FREE + 0x88		; stack, not present

gate_low equ 0x7000

main:
	SETDESC RO_DATA, 0, 0xfffff, 0x90, 0xc
	SETDESC SMALL, buffer, 0xf, 0x92, 4
	SETDESC DOWN, 0, 0xfff, 0x96, 4
	SETDESC DOWN16, 0, 0xfff, 0x96, 0
	SETDESC ABSENT, 0, 0xfffff, 0x12, 0xc
	SETDESC XONLY, 0, 0xfffff, 0x98, 0xc
	SETDESC CONFORM, 0, 0xfffff, 0x9e, 0xc
	SETDESC CODE_P1, 0, 0xfffff, 0xba, 0xc
	SETDESC NOTSEG, 0, 0xfffff, 0x80, 0xc
	SETDESC STACK16, 0x90000, 0xffff, 0x92, 0
	SETDESC CODEABS, 0, 0xfffff, 0x1a, 0xc
	SETDESC UP2, 0, 0xfffff, 0xd2, 0xc
	SETDESC SSABS, 0, 0xfffff, 0x12, 0xc
	SETDESC SMALLCS, 0, 0x0fff, 0x9a, 4
	SETGATE gdt + GATE, CODE32, gate_target, 0xec, 2
	SETGATE gdt + GATE0, CODE32, gate_target0, 0x8c, 0
	SETGATE gdt + GATEABS, CODE32, gate_target, 0x6c, 0
	SETGATE gdt + GATE16, CODE32, gate_low, 0xe4, 0

	; loads
	CASE "load null DS", NONE, 0
	xor eax, eax
	mov ds, ax
	mov ax, DATA32
	mov ds, ax
	END
	CASE "use null DS", GP, 0
	xor eax, eax
	mov ds, ax
	mov eax, [0x1000]
	END
	CASE "load null SS", GP, 0
	xor eax, eax
	mov ss, ax
	END
	CASE "load DS beyond the GDT", GP, 0xfff8
	mov ax, 0xfff8
	mov ds, ax
	END
	CASE "load DS from an empty LDT", GP, 0x0004
	mov ax, 0x0007
	mov ds, ax
	END
	CASE "load DS not present", NP, ABSENT
	mov ax, ABSENT
	mov ds, ax
	END
	CASE "load SS not present", SS_, SSABS
	mov ax, SSABS
	mov ss, ax
	END
	CASE "load SS read-only", GP, RO_DATA
	mov ax, RO_DATA
	mov ss, ax
	END
	CASE "load SS code", GP, CODE32
	mov ax, CODE32
	mov ss, ax
	END
	CASE "load SS wrong RPL", GP, DATA32
	mov ax, DATA32 + 3
	mov ss, ax
	END
	CASE "load DS execute-only", GP, XONLY
	mov ax, XONLY
	mov ds, ax
	END
	CASE "load DS system descriptor", GP, NOTSEG
	mov ax, NOTSEG
	mov ds, ax
	END
	CASE "load DS readable code", NONE, 0
	mov ax, CODE32
	mov es, ax
	mov eax, [es:buffer]
	END
	CASE "write through readable code", GP, 0
	mov ax, CODE32
	mov es, ax
	mov [es:buffer], eax
	END
	CASE "write read-only", GP, 0
	mov ax, RO_DATA
	mov es, ax
	mov byte [es:buffer], 1
	END
	CASE "read execute-only CS", GP, 0
	jmp XONLY:.xonly
.xonly:	mov eax, [cs:buffer]
	END
	jmp CODE32:.back
.back:
	CASE "MOV to CS", UD, 0
	db 0x8e, 0xc8			; mov cs, ax
	END
	SETDESC FREE + 0x90, 0, 0xfffff, 0x92, 0xc
	mov ax, FREE + 0x90
	mov es, ax
	movzx eax, byte [gdt + FREE + 0x90 + 5]
	VALUE "accessed bit set by a load", 0x93

	; limits
	mov ax, SMALL
	mov fs, ax
	CASE "last byte inside", NONE, 0
	mov al, [fs:0xf]
	END
	mov ax, SMALL
	mov fs, ax
	CASE "dword across the limit", GP, 0
	mov eax, [fs:0xd]
	END
	mov ax, SMALL
	mov fs, ax
	CASE "offset wraps", GP, 0
	mov eax, [fs:0xffffffff]
	END
	CASE "expand-down inside", GP, 0
	mov ax, DOWN
	mov es, ax
	mov al, [es:0xfff]
	END
	CASE "expand-down outside", NONE, 0
	mov ax, DOWN
	mov es, ax
	mov al, [es:0x1000]
	END
	CASE "expand-down 16-bit upper bound", GP, 0
	mov ax, DOWN16
	mov es, ax
	mov al, [es:0x10000]
	END
	CASE "stack limit", SS_, 0
	mov ax, STACK16
	mov ss, ax
	mov esp, 0x100
	mov eax, [ss:0x10000]
	END
	CASE "16-bit stack wraps", NONE, 0
	mov ax, STACK16
	mov ss, ax
	mov esp, 0x12340000
	push eax
	mov ebx, esp
	mov ax, DATA32
	mov ss, ax
	END
	mov eax, ebx
	VALUE "16-bit stack keeps the upper half", 0x1234fffc
	CASE "execute past the limit", GP, 0
	jmp SMALLCS:buffer
	END

	; far transfers
	CASE "far jump to data", GP, DATA32
	jmp DATA32:0
	END
	CASE "far jump null", GP, 0
	jmp 0:0
	END
	CASE "far jump not present", NP, CODEABS
	jmp CODEABS:0
	END
	CASE "far jump to lower privilege", GP, CODE_P1
	jmp CODE_P1:.back
	END
	CASE "far jump conforming", NONE, 0
	jmp CONFORM:.conform
.conform:
	mov ebx, cs
	jmp CODE32:.plain
.plain:
	END
	mov eax, ebx
	VALUE "conforming CS keeps CPL", CONFORM
	CASE "call gate same privilege", NONE, 0
	call GATE0:0
	END
	CASE "call gate not present", NP, GATEABS
	call GATEABS:0
	END
	CASE "RETF to a null selector", GP, 0
	push 0
	push 0
	retf
	END
	CASE "IRET to ring 3 with a kernel stack selector", GP, DATA32
	push DATA32
	push user_stack_top
	push 2
	push UCODE32
	push .back
	iret
	END
	CASE "LSL, LAR, VERR, VERW", NONE, 0
	xor ebx, ebx
	mov eax, SMALL
	lsl ecx, eax
	setz bl
	shl ebx, 1
	lar edx, eax
	setz al
	or bl, al
	shl ebx, 1
	mov eax, RO_DATA
	verw ax
	setz al
	or bl, al
	shl ebx, 1
	mov eax, RO_DATA
	verr ax
	setz al
	or bl, al
	shl ebx, 1
	mov eax, NOTSEG
	lsl edi, eax
	setz al
	or bl, al
	END
	mov eax, ebx
	VALUE "their zero flags", 0x1a
	mov eax, ecx
	VALUE "LSL", 0xf
	mov eax, edx
	VALUE "LAR", 0x409300

	; ring 3
	CASE "ring 3 and back", USER_END, 0
	USER .user1
.user1:	mov ebx, cs
	mov ecx, ss
	int USER_END
	END
	mov eax, [f_ebx]
	VALUE "ring 3 CS", UCODE32
	mov eax, [f_ss]
	VALUE "ring 3 SS in the frame", UDATA
	mov eax, [f_sp]
	sub eax, user_stack_top
	VALUE "ring 3 ESP in the frame", 0
	CASE "RETF clears privileged data segments", USER_END, 0
	mov ax, UP2
	mov fs, ax
	mov ax, UDATA
	mov gs, ax
	push UDATA
	push user_stack_top
	push UCODE32
	push .user2
	retf
.user2:	mov ebx, fs
	mov ecx, gs
	int USER_END
	END
	mov eax, [f_ebx]
	VALUE "FS nulled", 0
	mov eax, [f_ecx]
	VALUE "GS kept", UDATA
	CASE "ring 3 loads a kernel segment", GP, DATA32
	USER .user3
.user3:	mov ax, DATA32
	mov ds, ax
	END
	CASE "ring 3 software interrupt through a closed gate", GP, 0x21 * 8 + 2
	USER .user4
.user4:	int 0x21
	END
	CASE "ring 3 HLT", GP, 0
	USER .user5
.user5:	hlt
	END
	CASE "ring 3 CLI, IOPL 0", GP, 0
	USER .user6
.user6:	cli
	END
	CASE "ring 3 CLI, IOPL 3", USER_END, 0
	USER .user7, 0x3002
.user7:	cli
	int USER_END
	END
	CASE "ring 3 POPF leaves IF and IOPL", USER_END, 0
	USER .user8
.user8:	push 0x3ed7
	popf
	pushf
	pop ebx
	int USER_END
	END
	mov eax, [f_ebx]
	VALUE "the flags it got", 0xcd7
	CASE "ring 3 OUT, bitmap closed", GP, 0
	call bitmap_close
	USER .user9
.user9:	mov dx, 0x3f9
	in al, dx
	END
	CASE "ring 3 IN, bitmap open", USER_END, 0
	and byte [tss + 0x68 + 0x80 / 8], 0xfe
	USER .user10
.user10:
	in al, 0x80
	int USER_END
	END
	CASE "ring 3 word IN, half open", GP, 0
	USER .user11
.user11:
	in ax, 0x80
	int USER_END
	END
	CASE "ring 3 IN past the TSS limit", GP, 0
	USER .user12
.user12:
	mov dx, 0xfff8
	in al, dx
	in eax, dx
	mov dx, 0xfffe
	in eax, dx
	END
	CASE "ring 3 far call through a gate", USER_END, 0
	USER .user13
.user13:
	push 0x11112222
	push 0x33334444
	call GATE:0
	mov ecx, esp
	int USER_END
	END
	mov eax, [gate_cs]
	VALUE "gate's CS", CODE32
	mov eax, [gate_ss]
	VALUE "gate's SS", DATA32
	mov eax, [gate_first]
	VALUE "first parameter", 0x33334444
	mov eax, [gate_second]
	VALUE "second parameter", 0x11112222
	mov eax, [gate_old_cs]
	VALUE "caller's CS", UCODE32
	mov eax, [f_ecx]
	sub eax, user_stack_top
	VALUE "RETF 8 drops the caller's parameters", 0
	CASE "ring 3 call through a DPL 0 gate", GP, GATE0
	USER .user14
.user14:
	call GATE0:0
	END
	CASE "ring 3 jump through a gate to ring 0", GP, CODE32
	USER .user15
.user15:
	jmp GATE:0
	END
	CASE "ring 3 conforming code", USER_END, 0
	USER .user16
.user16:
	call CONFORM:.conform3
.conform3:
	mov ebx, cs
	int USER_END
	END
	mov eax, [f_ebx]
	VALUE "conforming CS in ring 3", CONFORM + 3
	SETGATE gdt + GATE1, CODE_P1, gate_target, 0xec, 0
	CASE "gate to ring 1, no stack in the TSS", TS, 0
	USER .user17
.user17:
	call GATE1:0
	END
	mov dword [tss + 0x10], DATA32
	CASE "gate to ring 1, stack of the wrong privilege", TS, DATA32
	USER .user17b
.user17b:
	call GATE1:0
	END
	mov dword [gate_low], 0x20cde389	; mov ebx, esp; int USER_END, at an address 16 bits can name
	mov edi, esp
	CASE "16-bit call gate", USER_END, 0
	call GATE16:0
	END
	sub edi, [f_ebx]
	mov eax, edi
	VALUE "what a 16-bit gate pushes", 4
	CASE "ring 3 SGDT, no UMIP", USER_END, 0
	USER .user18
.user18:
	sgdt [user_stack]
	int USER_END
	END
	CASE "ring 3 LLDT", GP, 0
	USER .user19
.user19:
	xor eax, eax
	lldt ax
	END
	CASE "LTR of a busy TSS", GP, TSS_SEL
	mov ax, TSS_SEL
	ltr ax
	END
	CASE "LLDT of a code segment", GP, CODE32
	mov ax, CODE32
	lldt ax
	END
	CASE "interrupt beyond the IDT limit", GP, 0x80 * 8 + 2
	lidt [short_idt]
	int 0x80
	END
	lidt [idt_pointer]
	CASE "interrupt gate not present", NP, 0x30 * 8 + 2
	and byte [idt + 0x30 * 8 + 5], 0x7f
	int 0x30
	END
	CASE "interrupt gate to data", GP, DATA32
	or byte [idt + 0x30 * 8 + 5], 0x80
	mov word [idt + 0x30 * 8 + 2], DATA32
	int 0x30
	END
	CASE "ARPL", NONE, 0
	mov eax, 0x10
	mov ecx, 0x23
	arpl ax, cx
	setz bl
	mov edi, eax
	END
	mov eax, edi
	VALUE "ARPL result", 0x13
	movzx eax, bl
	VALUE "ARPL ZF", 1
	ret

bitmap_close:
	mov edi, tss + 0x68
	mov ecx, 0x2000 / 4
	mov eax, -1
	rep stosd
	ret

gate_target:
	mov ax, DATA32
	mov ds, ax
	mov [gate_cs], cs
	mov [gate_ss], ss
	mov eax, [esp + 4]
	mov [gate_old_cs], eax
	mov eax, [esp + 8]
	mov [gate_first], eax
	mov eax, [esp + 12]
	mov [gate_second], eax
	mov ax, UDATA
	mov ds, ax
	retf 8

gate_target0:
	retf


section .data
	align 8
short_idt:
	dw 0x33 * 8 - 1
	dd idt
section .bss
	alignb 16
buffer resb 64
gate_cs resd 1
gate_ss resd 1
gate_first resd 1
gate_second resd 1
gate_old_cs resd 1
